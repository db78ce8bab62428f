"""OpenLoad's answers: their rows, and what is made of them.

Pure functions over what `envelope` decoded, for every dialect of the family.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import msgspec

from vidfs.errors import HostError
from vidfs.hosts.api import RemoteFile, UploadReceipt
from vidfs.hosts.envelope import decode_result, open_envelope
from vidfs.hosts.extras import Encoding, RemoteUpload
from vidfs.hosts.scalars import (
    HostClock,
    parse_unix_time,
    to_float,
    to_identifier,
    to_int,
    to_size,
    to_text,
)
from vidfs.hosts.transport import Answer
from vidfs.hosts.uploading import judge_failure, refusal
from vidfs.types import FileCode, FolderId


class FolderRow(msgspec.Struct, gc=False):
    id: Any = None
    name: Any = None
    folderid: Any = None  # what createfolder answers with


class FileRow(msgspec.Struct, gc=False):
    """One file in file/listfolder, file/info, file/dl and the upload reply.

    Source: S2, S3; API_FACTS §3, §5 (`linkid`, `created_at`, `downloads`, `convert`).
    """

    id: Any = None
    linkextid: Any = None
    linkid: Any = None
    name: Any = None
    status: Any = None
    size: Any = None
    sha1: Any = None
    sha256: Any = None
    content_type: Any = None
    folderid: Any = None
    folder_id: Any = None
    upload_at: Any = None
    created_at: Any = None
    cstatus: Any = None
    convert: Any = None
    converted: Any = None
    download_count: Any = None
    downloads: Any = None
    link: Any = None
    embed_link: Any = None
    thumb: Any = None
    url: Any = None


class FolderPage(msgspec.Struct):
    folders: msgspec.Raw = msgspec.Raw(b"")
    files: msgspec.Raw = msgspec.Raw(b"")


_EXTRAS = (
    ("link", "link"),
    ("embed", "embed_link"),
    ("thumbnail", "thumb"),
    ("content_type", "content_type"),
    ("encoding", "cstatus"),
    ("encoding", "convert"),
    ("converted", "converted"),
    ("views", "download_count"),
    ("views", "downloads"),
    ("uploaded", "upload_at"),
    ("uploaded", "created_at"),
)
_EXTRA_NAMES = tuple(name for name, _ in _EXTRAS)
_get_extras = attrgetter(*(member for _, member in _EXTRAS))

_FINE = ("", "200", "active", "ok")


def row_code(row: FileRow, key: str = "") -> FileCode:
    """The file's id. *key*: the row's key, where the answer is keyed by id."""
    return FileCode(
        to_identifier(row.linkextid)
        or to_identifier(row.linkid)
        or to_identifier(row.id)
        or to_identifier(key)
    )


def row_folder(row: FileRow) -> FolderId | None:
    value = row.folderid if row.folderid is not None else row.folder_id
    return FolderId(to_identifier(value)) or None


def to_remote_file(row: FileRow, key: str, clock: HostClock, folder: FolderId | None) -> RemoteFile:
    """*row* as the rest of vidfs knows files. *folder*: where it is, as far as known."""
    status = to_text(row.status).lower()
    extra: dict[str, str] = {}
    for name, value in zip(_EXTRA_NAMES, _get_extras(row), strict=True):
        if value is not None:
            text = to_text(value)
            if text:
                extra[name] = text
    uploaded = row.upload_at if row.upload_at is not None else row.created_at
    uploaded_at = parse_unix_time(uploaded)
    if uploaded_at is None:
        uploaded_at = clock.to_unix(uploaded)
    sha1 = to_text(row.sha1).lower()
    readable = status in _FINE and to_text(row.cstatus).lower() != "error"
    return RemoteFile(
        code=row_code(row, key),
        title=to_text(row.name),
        folder=folder,
        size_bytes=to_size(row.size),
        uploaded_at=uploaded_at,
        sha1=sha1 if len(sha1) == 40 else None,
        readable=readable,
        status="" if status in _FINE else to_text(row.status),
        extra=extra,
    )


def to_remote_upload(row: Mapping[str, Any], key: str) -> RemoteUpload:
    """A row of remotedl/status. Source: S2 (bytes), S3 (percent and errormsg)."""
    code = to_identifier(row.get("extid"))
    folder = to_identifier(row.get("folderid"))
    loaded, total = to_size(row.get("bytes_loaded")), to_size(row.get("bytes_total"))
    percent = to_float(row.get("progress_percent"))
    progress = percent / 100 if percent is not None else None
    if progress is None and loaded is not None and total:
        progress = loaded / total
    return RemoteUpload(
        job=to_identifier(row.get("id")) or key,
        url=to_text(row.get("remoteurl")),
        status=to_text(row.get("status")),
        code=FileCode(code) if code else None,
        folder=FolderId(folder) if folder else None,
        progress=None if progress is None else min(1.0, max(0.0, progress)),
        loaded_bytes=loaded,
        total_bytes=total,
        added=to_text(row.get("added")),
        updated=to_text(row.get("last_update")),
        error=to_text(row.get("errormsg")),
        link=to_text(row.get("url")),
    )


def to_encoding(row: Mapping[str, Any], *, percent: bool) -> Encoding:
    """A row of runningconverts (a fraction, S2) or converts (percent, S3)."""
    progress = to_float(row.get("progress"))
    if progress is not None:
        progress = min(1.0, max(0.0, progress / 100 if percent else progress))
    return Encoding(
        code=FileCode(to_identifier(row.get("linkextid") or row.get("linkid"))),
        name=to_text(row.get("name")),
        status=to_text(row.get("status")),
        progress=progress,
        link=to_text(row.get("link")),
        job=to_identifier(row.get("id")),
        retries=to_int(row.get("retries")),
        updated=to_text(row.get("last_update")),
    )


def parse_upload(answer: Answer, is_sent: bool) -> UploadReceipt:
    """The receipt for one file. *is_sent*: the server got the whole body.

    Errors: a readable refusal, or what `judge_failure` says. A missing id with a success is
    a file that was thrown away. Source: API_FACTS §3.3.
    """
    try:
        envelope = open_envelope(answer)
        row = decode_result(envelope.result, FileRow, FileRow(), answer.call)
    except HostError as error:
        raise judge_failure(error, is_sent=is_sent) from None
    code = row_code(row) or _code_in_url(to_text(row.url))
    if not code:
        raise refusal(envelope.msg if to_text(envelope.msg).lower() != "ok" else "")
    return UploadReceipt(code=code, title=to_text(row.name) or None, size_bytes=to_size(row.size))


def _code_in_url(url: str) -> FileCode:
    """The id in `…/f/ID/name` or `…/v/ID/name`, for a reply that has no other.

    Source: API_FACTS §5: one author's upload reply has only a url.
    """
    parts = url.split("/")
    for marker in ("f", "v", "e"):
        if marker in parts[3:-1]:
            return FileCode(to_identifier(parts[parts.index(marker, 3) + 1]))
    return FileCode("")
