"""OpenLoad's dialects as records, and the rows of their answers.

Data only: the next host of the family costs one record here. The client in `openload.py`
reads it and asks no name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import msgspec

from vidfs.hosts.api import Capabilities, RemoteFile
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
from vidfs.hosts.xvs_records import VIDEO_EXTENSIONS
from vidfs.types import FileCode, FolderId

HOME = FolderId("")
"""Stands for the account's root where no document tells its number: then it isn't sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenloadDialect:
    """One service of the OpenLoad family. See the recipe in `hosts/__init__.py`."""

    name: str
    api_url: str
    capabilities: Capabilities
    root_sent: str | None = None
    """The root's number where one is asked for and files are moved there; None: none is known."""
    upload_field: str = "file1"  # any name is taken (API_FACTS §3.3)
    remote_headers: Literal["lines", "repeated", "none"] = "lines"
    """How headers go with remotedl/add: `headers` with line breaks, or `headers[]` repeated."""
    remote_name: bool = False  # remotedl/add takes a name
    converts_calls: tuple[str, ...] = ()  # calls that list conversions
    converts_limit: bool = False  # they take limit and file rather than folder
    converts_percent: bool = False  # progress in percent rather than as a fraction
    calls: frozenset[str] = frozenset()
    """Calls that the service has beside the family's core."""


FRUITHOSTED = OpenloadDialect(
    name="fruithosted",
    api_url="https://api.fruithosted.net",
    converts_calls=("file/runningconverts",),
    calls=frozenset({"file/convert"}),
    capabilities=Capabilities(
        create_folder=False,
        rename_folder=True,
        move_folder=False,
        delete_folder=False,
        rename_file=True,
        move_file=False,
        delete_file=False,
        read_content=True,
        stores_any_file=True,
        accepted_extensions=None,
        keeps_content=False,  # conversion replaces the file (API_FACTS §3.4)
        upload_into_folder=True,
        upload_title=True,  # the multipart file name
        upload_hash="sha1",
        upload_bytes_max=None,
        listing_sizes=True,
        listing_hash="sha1",
        list_new_files=False,
        info_batch_max=50,
        info_sizes=True,
        quota=True,
        clone=False,
        remote_upload=True,
        remote_upload_status=True,
        encodings=True,
        convert=True,
        thumbnails=True,
    ),
)
"""Source: S2, exactly."""

PSTREAM = OpenloadDialect(
    name="pstream",
    api_url="https://api.pstream.net/v1",
    root_sent="0",  # assumed: the sample lists files with folder_id 0 (API_FACTS §4)
    remote_headers="repeated",
    converts_calls=("file/converts",),
    converts_limit=True,
    converts_percent=True,
    capabilities=Capabilities(
        create_folder=True,
        rename_folder=True,
        move_folder=False,
        delete_folder=True,
        rename_file=True,
        move_file=True,
        delete_file=True,
        read_content=False,
        stores_any_file=False,
        accepted_extensions=VIDEO_EXTENSIONS,
        keeps_content=False,
        upload_into_folder=True,
        upload_title=True,
        upload_hash="sha1",
        upload_bytes_max=None,
        listing_sizes=True,
        listing_hash="sha1",
        list_new_files=False,
        info_batch_max=50,
        info_sizes=True,
        quota=False,
        clone=False,
        remote_upload=True,
        remote_upload_status=True,
        encodings=True,
        thumbnails=True,
    ),
)
"""Source: S3, exactly."""

STREAMTAPE = OpenloadDialect(
    name="streamtape",
    api_url="https://api.streamtape.com",
    root_sent="0",  # API_FACTS §5: folderid "0" or "" for the root
    remote_name=True,
    converts_calls=("file/runningconverts", "file/failedconverts"),
    calls=frozenset({"remotedl/remove"}),
    capabilities=Capabilities(
        create_folder=True,
        rename_folder=True,
        move_folder=False,
        delete_folder=True,
        rename_file=True,
        move_file=True,
        delete_file=True,
        read_content=True,
        stores_any_file=True,
        accepted_extensions=None,
        keeps_content=False,
        upload_into_folder=True,
        upload_title=True,
        upload_hash="sha256",
        upload_bytes_max=None,
        listing_sizes=True,
        listing_hash=None,
        list_new_files=False,
        info_batch_max=50,
        info_sizes=True,
        quota=False,
        clone=False,
        remote_upload=True,
        remote_upload_status=True,
        encodings=True,
        thumbnails=True,
    ),
)
"""Source: API_FACTS §5."""


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
