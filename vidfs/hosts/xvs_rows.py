"""XVideoSharing's answers: their rows, and what is made of them.

Pure functions over what `envelope` decoded. The calls name the same thing differently; every
name of the documents is known here, whichever call uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import msgspec

from vidfs.errors import HostError
from vidfs.hosts.api import RemoteFile, UploadOptions, UploadReceipt
from vidfs.hosts.envelope import decode_rows, open_envelope
from vidfs.hosts.extras import DeletedFile, DmcaFile, Encoding, RemoteUpload, StatsDay
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
from vidfs.hosts.uploading import judge_failure, parse_html_answer, parse_redirect, refusal
from vidfs.types import FileCode, FolderId


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
    file_status: Any = None
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
    protected_dl: Any = None
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
    _add_pages(extra, row, code)
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


def _add_pages(extra: dict[str, str], row: FileRow, code: str) -> None:
    """The addresses of a file's page and player.

    DoodStream's `download_url` and `protected_dl` are pages, not films (API_FACTS §1.4);
    addresses without a host, as in its file/info, lead nowhere from here.
    """
    for name, value in (
        ("link", row.protected_dl),
        ("link", row.download_url),
        ("embed", row.protected_embed),
    ):
        if value is not None and "://" in (text := to_text(value)):
            extra[name] = text
    link = extra.get("link", "")
    if not link or "embed" in extra:
        return
    if link.endswith(f"/{code}.html"):
        # Assumed: every site of this script has its player there; no document says so.
        extra["embed"] = f"{link[: -len(code) - 5]}embed-{code}.html"
    elif link.endswith(f"/d/{code}"):
        extra["embed"] = f"{link[: -len(code) - 2]}e/{code}"  # API_FACTS §1.2, "Extras"


def render_options(
    names: Mapping[str, str],
    options: UploadOptions,
    *,
    title: str | None = None,
    folder: str | None = None,
    html: bool = False,
) -> list[tuple[str, str]]:
    """What a new file gets, under the *names* that the call has for it; no more than that."""
    values = {
        "title": title,
        "folder": folder,
        "html": "1" if html else None,
        "description": options.description,
        "category": options.category,
        "public": to_flag(options.public),
        "adult": to_flag(options.adult),
        "tags": ", ".join(options.tags) or None,
    }
    return [(name, v) for what, name in names.items() if (v := values.get(what)) is not None]


def to_flag(value: bool | None) -> str | None:
    return None if value is None else "1" if value else "0"


def to_count(value: int | None) -> str | None:
    return None if value is None else str(value)


def to_percent(value: object) -> float | None:
    """0 … 1 of a number of percent."""
    number = to_float(value)
    return None if number is None else min(1.0, max(0.0, number / 100))


def parse_upload(answer: Answer, is_sent: bool) -> UploadReceipt:
    """The receipt for one file. *is_sent*: the server got the whole body.

    Errors: a readable refusal (`refusal`), or what `judge_failure` says.
    """
    page = parse_redirect(answer.location)
    if page is None and answer.body.lstrip()[:1] == b"<":
        page = parse_html_answer(answer.body)
    if page is not None:
        code = page.get("fn") or page.get("file_code")
        rows = [FileRow(filecode=code, status=page.get("st", ""))]
    else:
        try:
            rows = _decode_upload(answer)
        except HostError as error:
            raise judge_failure(error, is_sent=is_sent) from None
    row = rows[0] if rows else FileRow()
    status = to_text(row.status if row.status is not None else row.file_status)
    is_fine = status.lower() in ("ok", "200", "success", "")
    code = row_code(row)
    if not is_fine or not code:
        raise refusal("" if is_fine else status)
    return UploadReceipt(
        code=code, title=to_text(row.title) or None, size_bytes=to_size(row.size) or None
    )


def _decode_upload(answer: Answer) -> list[FileRow]:
    """The rows of an upload server's JSON.

    In `files` (S1), in `result` (S0), or a bare list (API_FACTS §2.3). Errors: as
    `open_envelope`.
    """
    if answer.body.lstrip()[:1] == b"[":
        return decode_rows(msgspec.Raw(answer.body), FileRow, answer.call)
    envelope = open_envelope(answer)
    raw = envelope.files if bytes(envelope.files) else envelope.result
    return decode_rows(raw, FileRow, answer.call)


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
        playlist = to_text(result.get("hls_direct"))
        hls: list[Version] = [("hls", playlist, None)] if "://" in playlist else []
        return parse_versions(result["versions"]) + hls
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


def to_stats_day(row: Mapping[str, Any]) -> StatsDay:
    values = {name: to_text(value) for name, value in row.items() if name != "day"}
    return StatsDay(day=to_text(row.get("day")), values=values)


def to_deleted(row: Mapping[str, Any], clock: HostClock) -> DeletedFile:
    return DeletedFile(
        code=FileCode(to_identifier(row.get("file_code"))),
        title=to_text(row.get("title")),
        deleted_at=clock.to_unix(row.get("deleted")),
        deleted_by=to_text(row.get("deleted_by")),
    )


def to_dmca(row: Mapping[str, Any], clock: HostClock) -> DmcaFile:
    """Source: S1 (del_time, del_in_sec), S0 (reported_on, disabled_on)."""
    gone = row.get("del_time") if "del_time" in row else row.get("disabled_on")
    return DmcaFile(
        code=FileCode(to_identifier(row.get("file_code"))),
        delete_at=clock.to_unix(gone),
        delete_in_s=to_float(row.get("del_in_sec")),
        extra={name: text for name, value in row.items() if (text := to_text(value))},
    )


def to_encoding(row: Mapping[str, Any]) -> Encoding:
    """Source: S1 (code, name); API_FACTS §2.2 (file_code, title)."""
    return Encoding(
        code=FileCode(to_identifier(row.get("code")) or to_identifier(row.get("file_code"))),
        name=to_text(row.get("name")) or to_text(row.get("title")),
        status=to_text(row.get("status")),
        progress=to_percent(row.get("progress")),
        quality=to_text(row.get("quality")),
        link=to_text(row.get("link")),
    )
