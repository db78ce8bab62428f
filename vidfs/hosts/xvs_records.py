"""XVideoSharing's dialects as records, and the rows of its answers.

Data only: a site that runs the same script costs one record here. Which calls exist, how
their parameters are called and what they can do stands in `XvsDialect`; the client in
`xvs.py` reads it and asks no name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from vidfs.hosts.api import Capabilities, RemoteFile
from vidfs.hosts.envelope import decode_rows, open_envelope
from vidfs.hosts.extras import RemoteUpload
from vidfs.hosts.scalars import (
    HostClock,
    to_bool,
    to_float,
    to_identifier,
    to_int,
    to_size,
    to_text,
)
from vidfs.hosts.transport import Answer
from vidfs.types import FileCode, FolderId

ROOT = FolderId("0")
"""Source: S1 "Folder List" (`fld_id`: default=0)."""

VIDEO_EXTENSIONS = frozenset(
    "3gp asf avi divx f4v flv m2ts m2v m4v mkv mov mp4 mpeg mpg mpe mts ogg ogm ogv rm rmvb ts "
    "vob webm wmv xvid".split()
)
"""Assumed: no document lists them; refusals read "unallowed extension" (API_FACTS §2.4)."""

Edit = tuple[str, str]
"""A call and its parameter that changes one thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class XvsDialect:
    """One service of the XVideoSharing family. See the recipe in `hosts/__init__.py`."""

    name: str
    api_url: str | None  # None: the user says it
    capabilities: Capabilities
    optional_calls: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Calls that an installation may lack, and the `Capabilities` that are lost with each."""
    page_size: int = 1000  # asked for with file/list; what comes is taken as it is
    listing: Literal["whole", "paged"] = "whole"
    """"whole": folder/list with files=1 tells all; "paged": file/list tells the files."""
    file_edits: Mapping[str, Edit] = field(
        default_factory=lambda: MappingProxyType(
            {
                "title": ("file/edit", "file_title"),
                "folder": ("file/edit", "file_fld_id"),
                "description": ("file/edit", "file_descr"),
                "category": ("file/edit", "cat_id"),
                "public": ("file/edit", "file_public"),
                "adult": ("file/edit", "file_adult"),
                "tags": ("file/edit", "tags"),
            }
        )
    )
    """What can be changed of a file. Changes of one call go in one request."""
    folder_edits: Mapping[str, Edit] = field(
        default_factory=lambda: MappingProxyType(
            {"name": ("folder/edit", "name"), "parent": ("folder/edit", "parent_id")}
        )
    )
    upload_key_field: str = "key"
    upload_key_in_query: bool = False  # the key, bare, as the query of the upload address
    upload_fields: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType(
            {
                "title": "file_title",
                "folder": "fld_id",
                "description": "file_descr",
                "category": "cat_id",
                "public": "file_public",
                "adult": "file_adult",
                "tags": "tags",
            }
        )
    )
    remote_fields: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType(
            {
                "folder": "fld_id",
                "category": "cat_id",
                "public": "file_public",
                "adult": "file_adult",
                "tags": "tags",
            }
        )
    )
    folders_only: tuple[tuple[str, str], ...] = ()  # what makes folder/list leave files out
    clone_into_folder: bool = False
    encodings_filter: str = "code"
    calls: frozenset[str] = frozenset()
    """Everything beside the family's core that the documents list."""


_VIPSTREAM_CALLS = frozenset(
    {"account/stats", "upload/url", "file/clone", "file/deleted", "file/dmca", "file/encodings"}
)

VIPSTREAM = XvsDialect(
    name="vipstream",
    api_url="https://vipstream.cc/api",
    calls=_VIPSTREAM_CALLS,
    capabilities=Capabilities(
        create_folder=True,
        rename_folder=True,
        move_folder=True,
        delete_folder=False,
        rename_file=True,
        move_file=True,
        delete_file=False,
        read_content=False,
        stores_any_file=False,
        accepted_extensions=VIDEO_EXTENSIONS,
        keeps_content=False,  # assumed: it encodes what it gets ("file/encodings")
        upload_into_folder=True,
        upload_title=True,
        upload_hash=None,
        upload_bytes_max=None,
        listing_sizes=False,
        listing_hash=None,
        list_new_files=True,
        info_batch_max=50,
        info_sizes=False,
        quota=True,
        clone=True,
        edit_fields=frozenset({"public", "adult", "tags", "category", "description"}),
        remote_upload=True,
        search=True,
        stats=True,
        encodings=True,
        deleted_list=True,
        dmca_list=True,
        thumbnails=True,
    ),
)
"""Source: S1, exactly. 50 codes per file/info: API_FACTS §2.4."""

XVS = XvsDialect(
    name="xvs",
    api_url=None,
    calls=_VIPSTREAM_CALLS | {"file/url_uploads", "file/url_actions"},
    optional_calls=MappingProxyType(
        {
            "file/direct_link": {"read_content": False},
            "file/delete": {"delete_file": False},
            "folder/delete": {"delete_folder": False},
            "file/url_uploads": {"remote_upload_status": False},
        }
    ),
    clone_into_folder=True,
    encodings_filter="file_code",
    capabilities=Capabilities(
        create_folder=True,
        rename_folder=True,
        move_folder=True,
        delete_folder=True,
        rename_file=True,
        move_file=True,
        delete_file=True,
        read_content=True,
        stores_any_file=False,
        accepted_extensions=VIDEO_EXTENSIONS,
        keeps_content=False,
        upload_into_folder=True,
        upload_title=True,
        upload_hash=None,
        upload_bytes_max=None,
        listing_sizes=False,
        listing_hash=None,
        list_new_files=True,
        info_batch_max=50,
        info_sizes=True,  # on some sites: narrowed by the first answer without
        quota=True,
        clone=True,
        edit_fields=frozenset({"public", "adult", "tags", "category", "description"}),
        remote_upload=True,
        remote_upload_status=True,
        search=True,
        stats=True,
        encodings=True,
        deleted_list=True,
        dmca_list=True,
        thumbnails=True,
    ),
)
"""Source: API_FACTS §2.2 (a site with all modules), §2.3 (sizes in file/info of some)."""


class FolderRow(msgspec.Struct, gc=False):
    fld_id: Any = None
    name: Any = None
    code: Any = None


class FileRow(msgspec.Struct, gc=False):
    """One file in file/list, folder/list, file/info and the upload reply.

    The calls name the same thing differently; every name of the documents is here.
    Source: S0, S1; API_FACTS §2.1, §2.3 (`size`, `file_sizes`).
    """

    file_code: Any = None
    filecode: Any = None
    status: Any = None
    title: Any = None
    file_title: Any = None
    name: Any = None
    filename: Any = None
    fld_id: Any = None
    file_fld_id: Any = None
    size: Any = None
    file_size: Any = None
    file_sizes: Any = None
    length: Any = None
    file_length: Any = None
    uploaded: Any = None
    file_created: Any = None
    created: Any = None
    canplay: Any = None
    link: Any = None
    download_url: Any = None
    protected_embed: Any = None
    thumbnail: Any = None
    player_img: Any = None
    single_img: Any = None
    views: Any = None
    file_views: Any = None
    file_views_full: Any = None
    last_view: Any = None
    file_last_download: Any = None
    public: Any = None
    file_public: Any = None
    file_adult: Any = None
    file_premium_only: Any = None
    cat_id: Any = None
    tags: Any = None
    file_descr: Any = None


class FilePage(msgspec.Struct):
    """The result of folder/list and of file/list."""

    folders: msgspec.Raw = msgspec.Raw(b"")
    files: msgspec.Raw = msgspec.Raw(b"")
    results: Any = None
    results_total: Any = None
    pages: Any = None
    total_pages: Any = None


_EXTRAS = (
    ("link", "link"),
    ("thumbnail", "thumbnail"),
    ("thumbnail", "player_img"),
    ("thumbnail", "single_img"),
    ("views", "views"),
    ("views", "file_views"),
    ("uploaded", "uploaded"),
    ("uploaded", "file_created"),
    ("public", "public"),
    ("public", "file_public"),
    ("adult", "file_adult"),
    ("premium_only", "file_premium_only"),
    ("category", "cat_id"),
    ("tags", "tags"),
    ("description", "file_descr"),
    ("download", "download_url"),
    ("embed", "protected_embed"),
    ("views_full", "file_views_full"),
    ("last_view", "last_view"),
    ("last_download", "file_last_download"),
)
_EXTRA_NAMES = tuple(name for name, _ in _EXTRAS)
_get_extras = attrgetter(*(member for _, member in _EXTRAS))


def row_code(row: FileRow) -> FileCode:
    """The file's code; "" for none, `undef` included."""
    return FileCode(to_identifier(row.file_code) or to_identifier(row.filecode))


def row_folder(row: FileRow) -> FolderId | None:
    value = row.fld_id if row.fld_id is not None else row.file_fld_id
    return FolderId(to_identifier(value)) or None


def row_size(row: FileRow) -> int | None:
    """The file's size where the site tells it, which most don't.

    0 is what a site shows that doesn't know, so it counts as not said.
    """
    value = row.size if row.size is not None else row.file_size
    if value is None and isinstance(row.file_sizes, list) and row.file_sizes:
        first = row.file_sizes[0]
        value = first.get("size") if isinstance(first, dict) else first
    return to_size(value) or None


def to_remote_file(row: FileRow, clock: HostClock, folder: FolderId | None) -> RemoteFile:
    """*row* as the rest of vidfs knows files. *folder*: where it is unless it says."""
    status = to_int(row.status)
    title = row.title if row.title is not None else row.file_title
    if title is None:
        title = row.name
    extra: dict[str, str] = {}
    for name, value in zip(_EXTRA_NAMES, _get_extras(row), strict=True):
        if value is not None:
            text = to_text(value)
            if text:
                extra[name] = text
    code = row_code(row)
    link = extra.get("link")
    if link and "embed" not in extra and link.endswith(f"/{code}.html"):
        # Assumed: every site of this script has its player there; no document says so.
        extra["embed"] = f"{link[: -len(code) - 5]}embed-{code}.html"
    length = row.length if row.length is not None else row.file_length
    uploaded = row.uploaded if row.uploaded is not None else row.file_created
    readable = status is None or status == 200
    return RemoteFile(
        code=code,
        title=to_text(title),
        folder=row_folder(row) or folder,
        size_bytes=row_size(row),
        uploaded_at=clock.to_unix(uploaded),
        length_s=to_float(length) if length is not None else None,
        can_play=to_bool(row.canplay),
        readable=readable,
        status="" if readable else to_text(row.status),
        extra=extra,
    )


def to_flag(value: bool | None) -> str | None:
    return None if value is None else "1" if value else "0"


def to_count(value: int | None) -> str | None:
    return None if value is None else str(value)


def to_percent(value: object) -> float | None:
    """0 … 1 of a number of percent."""
    number = to_float(value)
    return None if number is None else min(1.0, max(0.0, number / 100))


def decode_upload(answer: Answer) -> list[FileRow]:
    """The rows of an upload server's JSON.

    In `files` (S1), in `result` (S0), or a bare list (API_FACTS §2.3). Errors: as
    `open_envelope`.
    """
    call = answer.call
    if answer.body.lstrip()[:1] == b"[":
        return decode_rows(msgspec.Raw(answer.body), FileRow, call)
    envelope = open_envelope(answer)
    raw = envelope.files if bytes(envelope.files) else envelope.result
    return decode_rows(raw, FileRow, call)


Version = tuple[str, str, int | None]
"""Quality letter, address, size in bytes."""


def parse_versions(result: object) -> list[Version]:
    """The versions in a direct_link answer, in every shape it has been seen in.

    Source: API_FACTS §2.2 (a list of versions; an object keyed by quality; one bare url),
    §1.2 (a string; direct_link, ssl_direct_link, download_link; a list of such).
    """
    if isinstance(result, str):
        return [("", result, None)] if "://" in result else []
    if isinstance(result, list):
        return [version for item in result for version in parse_versions(item)]
    if not isinstance(result, dict):
        return []
    if "versions" in result:
        return parse_versions(result["versions"])
    for member in ("url", "ssl_direct_link", "direct_link", "download_link"):
        url = to_text(result.get(member))
        if "://" in url:
            return [(to_text(result.get("name")), url, to_size(result.get("size")) or None)]
    found = []
    for name, value in result.items():
        if isinstance(value, dict):
            found += [(name, url, size) for _, url, size in parse_versions(value)]
    return found


def to_remote_upload(row: Mapping[str, Any]) -> RemoteUpload:
    """A row of file/url_uploads (XVS) or of urlupload/list (DoodStream)."""
    code = to_identifier(row.get("file_code"))
    folder = to_identifier(row.get("fld_id") if "fld_id" in row else row.get("folder_id"))
    loaded, total = to_size(row.get("bytes_downloaded")), to_size(row.get("bytes_total"))
    progress = to_percent(row.get("progress"))
    if progress is None and loaded is not None and total:
        progress = min(1.0, loaded / total)
    return RemoteUpload(
        job=code,
        url=to_text(row.get("remote_url")),
        status=to_text(row.get("status")),
        code=FileCode(code) if code else None,
        folder=FolderId(folder) if folder else None,
        progress=progress,
        loaded_bytes=loaded,
        total_bytes=total,
        added=to_text(row.get("created")),
    )
