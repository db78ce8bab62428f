"""What an upload takes over: from the file that it replaces, or is made of at the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vidfs.errors import HostError, HostNotFoundError
from vidfs.hosts.api import RemoteFile, UploadOptions, VideoHost
from vidfs.tree.node import Node
from vidfs.tree.tree import Tree
from vidfs.types import FileCode, FolderId, Job


async def fetch_options(
    tree: Tree, host: VideoHost, configured: UploadOptions, job: Job, node: Node
) -> UploadOptions:
    """What the file that is being replaced had; else what the account is configured to."""
    if not job.obsolete or not host.capabilities.edit_fields:
        return configured
    # Its own older bytes, else the file that it took the place of last.
    codes = [FileCode(node.remote)] if node.remote is not None else job.obsolete[::-1]
    extra = tree.load_extra(node)  # hosts don't tell all that can be set
    try:
        infos = await host.file_info(codes)
    except HostNotFoundError:
        infos = {}
    info = next((infos[code] for code in codes if code in infos), None)
    return to_upload_options(extra | dict(info.extra if info else {}), configured)


async def find_twin(tree: Tree, host: VideoHost, job: Job) -> RemoteFile | None:
    """A file that was made of *job*'s bytes, as the host has it now, where it can clone."""
    if not host.capabilities.clone or job.sha1 is None:
        return None
    codes = tree.find_twins(job.sha1, job.size_bytes)
    if not codes:
        return None
    try:
        infos = await host.file_info(codes)
    except HostError:
        return None  # whatever it is, sending the bytes meets it, too, or helps
    return next((info for info in infos.values() if info.readable), None)


async def find_same(
    host: VideoHost,
    job: Job,
    node: Node,
    made_of: tuple[FileCode, str] | None,
    *,
    folder: FolderId,
    known_folder: FolderId | None,
) -> RemoteFile | None:
    """That of the files which *job*'s bytes are to replace that was made of these very bytes,
    as the host has it now, if it has.

    What a conversion made of them counts as them: it would again. *made_of*: a code and the
    hash of what it was made of. *folder*: where it is to be; *known_folder*: where it lies at
    the host, as far as known. Errors: HostError.
    """
    known = [made_of, (node.remote, node.sha1)]
    codes = [code for code, sha1 in filter(None, known) if sha1 is not None and sha1 == job.sha1]
    code = next((FileCode(code) for code in codes if code in job.obsolete), None)
    if code is None:
        return None
    try:
        info = (await host.file_info([code])).get(code)
    except HostNotFoundError:
        info = None
    if info is None:  # some know nothing of a file for a while that they list
        info = await _find_in(host, folder, code)
    if info is None or not info.readable:
        return None
    if info.size_bytes == job.size_bytes and info.sha1 not in (None, job.sha1):
        return None  # other bytes, and no conversion of these
    if info.folder is None:
        is_there = known_folder == folder or await _find_in(host, folder, code) is not None
        if not is_there and not host.capabilities.move_file:
            return None
        info = replace(info, folder=folder if is_there else None)
    return info


async def _find_in(host: VideoHost, folder: FolderId, code: FileCode) -> RemoteFile | None:
    """*code* as the listing of *folder* shows it."""
    try:
        files = (await host.list_folder(folder)).files
    except HostNotFoundError:
        return None
    found = next((file for file in files if file.code == code), None)
    return replace(found, folder=folder) if found is not None else None


def find_missing_fields(host: VideoHost, job: Job, info: RemoteFile | None) -> dict[str, str]:
    """What the new file is to bear and doesn't: a clone has what the file had that it was made
    of, and a host may ignore what it was sent. What it doesn't tell of what was sent is taken
    as heard."""
    shown = info.extra if info is not None else {}
    can = host.capabilities.edit_fields
    return {
        name: value
        for name, value in job.fields.items()
        if name in can and shown.get(name, None if job.cloned else value) != value
    }


def to_upload_options(extra: Mapping[str, str], default: UploadOptions) -> UploadOptions:
    """The settings of an existing file, by attribute name, for the one that replaces it."""

    def flag(name: str, otherwise: bool | None) -> bool | None:
        return extra[name] == "1" if name in extra else otherwise

    tags = [tag.strip() for tag in extra.get("tags", "").split(",") if tag.strip()]
    return UploadOptions(
        public=flag("public", default.public),
        adult=flag("adult", default.adult),
        category=extra.get("category") or default.category,
        tags=tags or default.tags,
        description=extra.get("description") or default.description,
    )
