"""One file to the host without a mount: sent, looked for if the answer is lost, put in place."""

from __future__ import annotations

import hashlib
import mimetypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from vidfs.app.remote import Entry, RemoteAccount
from vidfs.errors import (
    AbilityError,
    MediaTypeError,
    OutcomeUnknownError,
    UploadNodeError,
    UsageError,
)
from vidfs.hosts.api import Capabilities, UploadBody, UploadOptions, UploadReceipt
from vidfs.hosts.multipart import SmallFile
from vidfs.hosts.xvs_records import XvsDialect
from vidfs.tree.names import extension_of, loose_title, name_of
from vidfs.types import FileCode, FolderId

ATTEMPTS_MAX = 4
"""Upload servers tried, one after the other, while nothing was stored."""

SNAPSHOT_BYTES_MAX = 500 << 10
"""Source: S1 says 300 KB, a relative 500 KB (API_FACTS §2.3); the host has the last word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    path: Path
    title: str
    options: UploadOptions
    snapshot: Path | None = None


def check_upload(remote: RemoteAccount, upload: Upload, given: Sequence[str]) -> None:
    """Whether the host can take *upload* with the options *given*, before anything is sent.

    Errors: AbilityError, MediaTypeError, UsageError, OSError.
    """
    can, name = remote.host.capabilities, remote.host.name
    if unable := sorted(set(given) - can.edit_fields):
        raise AbilityError(f"{name} can't set the {', '.join(unable)} of a file")
    dialect = remote.dialect
    takes_snapshot = isinstance(dialect, XvsDialect) and "snapshot" in dialect.upload_fields
    if upload.snapshot is not None:
        if not (takes_snapshot and remote.takes("upload", "snapshot")):
            raise AbilityError(f"{name} takes no picture with an upload")
        if upload.snapshot.stat().st_size > SNAPSHOT_BYTES_MAX:
            raise UsageError(f"{upload.snapshot}: a picture may have 500 KB at the most")
    accepted = remote.account.accepted_extensions or can.accepted_extensions
    if accepted is not None and extension_of(upload.path.name) not in accepted:
        raise MediaTypeError(f"{name} stores videos only: {upload.path.name}")
    if upload.path.is_dir():
        raise UsageError(f"{upload.path} is a folder")
    if upload.path.stat().st_size == 0:
        raise UsageError(f"{upload.path} is empty")


async def send(
    remote: RemoteAccount, upload: Upload, folder: Entry, on_progress: Callable[[int], None]
) -> FileCode:
    """Upload a file into *folder*. Never sent again while it may have arrived.

    Errors: HostError; OutcomeUnknownError where nobody can tell whether it did.
    """
    can, host = remote.host.capabilities, remote.host
    landing = folder.folder if can.upload_into_folder else host.root
    body = await _to_body(upload.path, can.upload_hash, on_progress)
    more = {}
    if upload.snapshot is not None:
        more["snapshot"] = _to_snapshot(upload.snapshot)
    before = {file.code for file in (await host.list_folder(landing)).files}
    sent_title = _to_sent_title(upload, can)
    post = partial(
        host.upload, body, folder=landing, title=sent_title, options=upload.options, **more
    )
    code = None
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            receipt: UploadReceipt = await post()
            code = receipt.code
            break
        except UploadNodeError:
            if attempt == ATTEMPTS_MAX:
                raise
        except OutcomeUnknownError:
            code = await _find_arrived(remote, landing, before, upload, body)
            if code is None:
                raise
            break
    assert code is not None
    await _put_in_place(remote, code, upload, folder, landing, sent_title=sent_title)
    remote.note_change(folder.parts)
    return code


def _to_sent_title(upload: Upload, can: Capabilities) -> str:
    """The title to send under: a host of videos judges a file by its extension."""
    accepted = None if can.stores_any_file else can.accepted_extensions
    if accepted is None or extension_of(upload.title) in accepted:
        return upload.title
    return name_of(os.fsencode(upload.path.name))


async def _put_in_place(
    remote: RemoteAccount,
    code: FileCode,
    upload: Upload,
    folder: Entry,
    landing: FolderId,
    *,
    sent_title: str,
) -> None:
    """Give the file the place and the title it should have; some hosts ignore what was sent."""
    host = remote.host
    is_settled = host.capabilities.upload_title and sent_title == upload.title
    title = None if is_settled else upload.title
    target = None if landing == folder.folder else folder.folder
    if title is None:
        listing = await host.list_folder(landing)
        taken = next((file.title for file in listing.files if file.code == code), upload.title)
        title = upload.title if taken != upload.title and host.capabilities.rename_file else None
    if title is not None or target is not None:
        await host.edit_file(code, title=title, folder=target)


async def _find_arrived(
    remote: RemoteAccount,
    landing: FolderId,
    before: set[FileCode],
    upload: Upload,
    body: UploadBody,
) -> FileCode | None:
    """A file that wasn't there before and can only be this one."""
    wanted = {loose_title(upload.title), loose_title(upload.path.name)}
    listing = await remote.host.list_folder(landing)
    new = [file for file in listing.files if file.code not in before]
    found = [
        file
        for file in new
        if (body.sha1 and file.sha1 == body.sha1)
        or (loose_title(file.title) in wanted and file.size_bytes in (None, body.size_bytes))
    ]
    return found[0].code if len(found) == 1 else None


async def _to_body(path: Path, kind: str | None, on_progress: Callable[[int], None]) -> UploadBody:
    digest = None
    if kind is not None:
        digest = await trio.to_thread.run_sync(_hash, path, kind, abandon_on_cancel=True)
    return UploadBody(
        path=path,
        size_bytes=path.stat().st_size,
        sha1=digest if kind == "sha1" else None,
        sha256=digest if kind == "sha256" else None,
        on_progress=on_progress,
    )


def _hash(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _to_snapshot(path: Path) -> SmallFile:
    kind = mimetypes.guess_type(path.name)[0] or "image/jpeg"
    return SmallFile(
        field="snapshot",
        file_name=name_of(os.fsencode(path.name)),
        content=path.read_bytes(),
        content_type=kind,
    )
