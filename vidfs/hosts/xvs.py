"""Client of the XVideoSharing family: `key`, `fld_id`, `file_code`.

One client; what differs between services stands in their records (`xvs_records`). Owns the
calls and what their answers mean. Knows no HTTP (`transport`) and keeps nothing but the
host's clock and what it learnt of the host's abilities.

Source: S1 for every call unless noted; API_FACTS §2.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar

import msgspec
import trio

from vidfs.errors import (
    AbilityError,
    BadRequestError,
    CallMissingError,
    ContentAbilityError,
    HostNotFoundError,
    MoveAbilityError,
    NamespaceAbilityError,
    OutcomeUnknownError,
    PermanentHostError,
    UnreadableAnswerError,
    WrongKeyError,
)
from vidfs.hosts.api import (
    AccountInfo,
    ByteStream,
    Capabilities,
    DownloadLink,
    Listing,
    RemoteFile,
    RemoteFolder,
    UploadBody,
    UploadOptions,
    UploadReceipt,
)
from vidfs.hosts.envelope import (
    Envelope,
    decode_result,
    decode_rows,
    decode_scalar,
    open_envelope,
)
from vidfs.hosts.extras import (
    DeletedFile,
    DmcaFile,
    Encoding,
    RemoteUpload,
    RemoteUploads,
    StatsDay,
)
from vidfs.hosts.multipart import MultipartBody, SmallFile
from vidfs.hosts.parallel import run_parallel
from vidfs.hosts.scalars import (
    HostClock,
    to_identifier,
    to_int,
    to_size,
    to_text,
)
from vidfs.hosts.transport import Answer, Param, Transport
from vidfs.hosts.xvs_records import ROOT, XvsDialect
from vidfs.hosts.xvs_rows import (
    FilePage,
    FileRow,
    FolderRow,
    parse_upload,
    parse_versions,
    render_options,
    row_code,
    to_count,
    to_deleted,
    to_dmca,
    to_encoding,
    to_flag,
    to_remote_file,
    to_remote_upload,
    to_stats_day,
)
from vidfs.types import FileCode, FolderId, Secret

T = TypeVar("T")

PAGES_MAX = 100_000
CUT_STEP = 50
"""A folder of a multiple of so many files might have been cut there: see `_check_whole`."""

_IMPOSSIBLE_CODE = "0vidfsprobe0"
"""No file has it (12 of 36 signs): asked for to see whether a call exists."""

_IMPOSSIBLE_FOLDER = "99999999999"
"""Beyond a 32-bit id, and still a number: a word might be read as 0, the root."""

_VERSIONS = "ohnl"
"""Original, high, normal, low. Source: API_FACTS §2.2."""


class XvsClient:
    """An account on one XVideoSharing site. Satisfies `VideoHost` by shape."""

    def __init__(
        self,
        transport: Transport,
        dialect: XvsDialect,
        key: Secret,
        *,
        api_url: str | None = None,
        capabilities: Capabilities | None = None,
    ) -> None:
        """*capabilities*: what an earlier `probe` found; None: the dialect's own."""
        url = api_url or dialect.api_url
        if not url:
            raise BadRequestError(f"{dialect.name}: base_url is needed")
        self._transport = transport
        self._dialect = dialect
        self._key = key
        self._api_url = url
        self._capabilities = capabilities or dialect.capabilities
        self._clock = HostClock()
        self._newest_folder = 0
        self._check_lock = trio.Lock()
        self._uncut_files = 0
        self._cut_files: int | None = None

    @property
    def name(self) -> str:
        return self._dialect.name

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def root(self) -> FolderId:
        return ROOT

    @property
    def calls(self) -> Mapping[str, int]:
        return self._transport.calls

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _ask(
        self,
        call: str,
        params: Sequence[tuple[str, str | None]],
        parse: Callable[[Envelope], T],
        *,
        repeatable: bool = True,
        urgent: bool = False,
    ) -> T:
        """One API call. Parameters that are None are left out."""

        def parse_answer(answer: Answer) -> T:
            return parse(open_envelope(answer, self._clock))

        sent: list[Param] = [("key", self._key)]
        sent += [(name, value) for name, value in params if value is not None]
        return await self._transport.call(
            self._api_url, call, sent, parse_answer, repeatable=repeatable, urgent=urgent
        )

    async def _ask_rows(
        self, call: str, params: Sequence[tuple[str, str | None]], row: type[T]
    ) -> list[T]:
        return await self._ask(call, params, lambda e: decode_rows(e.result, row, call))

    # --- account ---

    async def probe(self) -> Capabilities:
        """Ask which optional modules the installation has; changes nothing there.

        Each is asked about something that can't exist: a missing module says "Invalid
        operation" or "not allowed in API", a present one that it finds no such thing.
        """
        jobs = [partial(self._probe_call, call) for call in self._dialect.optional_calls]
        if jobs:
            for call, is_there in await run_parallel(jobs):
                if not is_there:
                    self._narrow(call)
        return self._capabilities

    async def _probe_call(self, call: str) -> tuple[str, bool]:
        params = [("file_code", _IMPOSSIBLE_CODE)]
        if call.startswith("folder/"):
            params = [("fld_id", _IMPOSSIBLE_FOLDER)]
        try:
            await self._ask(call, params, lambda e: None)
        except CallMissingError:
            return call, False
        except WrongKeyError:
            raise
        except PermanentHostError:
            pass  # it looked, and found no such thing
        return call, True

    def _narrow(self, call: str) -> None:
        """This installation has no such call."""
        lost: dict[str, Any] = dict(self._dialect.optional_calls.get(call, {}))
        if lost:
            self._capabilities = dataclasses.replace(self._capabilities, **lost)

    async def account_info(self) -> AccountInfo:
        """Errors: WrongKeyError and every other HostError."""
        call = "account/info"
        found = await self._ask(
            call, [], lambda e: decode_result(e.result, dict[str, Any], {}, call)
        )
        extra = {name: to_text(value) for name, value in found.items()}
        premium_until = extra.get("premium_expire") or extra.get("premim_expire") or ""
        return AccountInfo(
            login=extra.get("login", ""),
            email=extra.get("email", ""),
            storage_used_bytes=to_size(found.get("storage_used")),
            storage_left_bytes=to_size(found.get("storage_left")),
            premium_until=premium_until,
            extra={name: text for name, text in extra.items() if text},
        )

    async def account_stats(self, last_days: int | None = None) -> list[StatsDay]:
        """*last_days*: None: the host's default, 7."""
        call = "account/stats"
        rows = await self._ask_rows(call, [("last", to_count(last_days))], dict[str, Any])
        return [to_stats_day(row) for row in rows]

    # --- listings ---

    async def list_folder(self, folder: FolderId) -> Listing:
        """Everything in *folder*.

        folder/list with files=1 tells folders and files in one call and documents no paging:
        taken as whole (assumed), and checked against file/list's total where the number of
        files looks like a cut. Errors: HostNotFoundError.
        """
        requested_at = self._transport.now()
        whole = self._dialect.listing == "whole"
        params = [("fld_id", folder), *(() if whole else self._dialect.folders_only)]
        if whole:
            params.append(("files", "1"))
        folders, files = await self._ask(
            "folder/list", params, partial(self._parse_folder, folder=folder)
        )
        if not whole or not await self._check_whole(folder, len(files)):
            files = await self._list_pages([("fld_id", folder)], folder=folder)
        inside = {f.folder for f in folders}
        if folder == ROOT:
            files = [f for f in files if f.folder == ROOT]
        else:
            files = [f for f in files if f.folder not in inside]
        return Listing(folder=folder, folders=folders, files=files, requested_at=requested_at)

    def _parse_folder(
        self, envelope: Envelope, *, folder: FolderId
    ) -> tuple[list[RemoteFolder], list[RemoteFile]]:
        call = "folder/list"
        page = decode_result(envelope.result, FilePage, FilePage(), call)
        folders = []
        for row in decode_rows(page.folders, FolderRow, call):
            identifier = to_identifier(row.fld_id)
            if identifier:
                self._note_folder(identifier)
                folders.append(
                    RemoteFolder(folder=FolderId(identifier), name=to_text(row.name), parent=folder)
                )
        return folders, self._to_files(page.files, call, folder)

    def _to_files(self, raw: msgspec.Raw, call: str, folder: FolderId | None) -> list[RemoteFile]:
        clock = self._clock
        files = [to_remote_file(row, clock, folder) for row in decode_rows(raw, FileRow, call)]
        return [file for file in files if file.code]

    def _note_folder(self, identifier: str) -> None:
        self._newest_folder = max(self._newest_folder, to_int(identifier) or 0)

    async def _check_whole(self, folder: FolderId, count: int) -> bool:
        """Whether folder/list can have told all files of a folder where it told *count*.

        A host that cuts would cut at a round number. Any greater number proves that it
        doesn't cut there, so the question costs a call once or twice in an account's life.
        """
        if self._cut_files is None and count > self._uncut_files and count % CUT_STEP == 0:
            async with self._check_lock:  # many folders may be waiting: one of them asks
                if self._cut_files is None and count > self._uncut_files:
                    page = await self._fetch_page(
                        [("fld_id", folder)], page=1, per_page=1, urgent=True
                    )
                    if (to_int(page.results_total) or 0) > count:
                        self._cut_files = count
        if self._cut_files is not None:
            return count < self._cut_files
        self._uncut_files = max(self._uncut_files, count)
        return True

    async def _fetch_page(
        self,
        params: Sequence[tuple[str, str | None]],
        *,
        page: int,
        per_page: int,
        urgent: bool = False,
    ) -> FilePage:
        call = "file/list"
        sent = [*params, ("per_page", str(per_page)), ("page", str(page))]
        return await self._ask(
            call, sent, lambda e: decode_result(e.result, FilePage, FilePage(), call), urgent=urgent
        )

    async def _list_pages(
        self, params: Sequence[tuple[str, str | None]], *, folder: FolderId | None
    ) -> list[RemoteFile]:
        """All pages of file/list: the first tells how many, the others come in parallel.

        A page with fewer rows than asked for isn't the last: hosts cap `per_page`.
        """
        files: dict[FileCode, RemoteFile] = {}

        async def fetch(number: int) -> FilePage:
            page = await self._fetch_page(params, page=number, per_page=self._dialect.page_size)
            for found in self._to_files(page.files, "file/list", folder):
                files.setdefault(found.code, found)
            return page

        first = await fetch(1)
        pages = to_int(first.pages) or to_int(first.total_pages)
        total = to_int(first.results_total) or 0
        if pages is None:
            pages = math.ceil(total / max(1, len(files)))
        if pages > 1:
            numbers = range(2, min(pages, PAGES_MAX) + 1)
            await run_parallel([partial(fetch, number) for number in numbers])
            if len(files) < total:  # a file went while we read, and others moved up a page
                await run_parallel([partial(fetch, number) for number in range(1, pages + 1)])
        return list(files.values())

    async def list_new_files(self, since: float) -> Sequence[RemoteFile]:
        """Files uploaded after *since*, up to a minute more: the host is asked in minutes.

        Minutes back need no agreement about clocks; a file without a date is included.
        """
        minutes = max(1, math.ceil((self._transport.now() - since) / 60) + 1)
        files = await self._list_pages([("created", str(minutes))], folder=None)
        return [f for f in files if f.uploaded_at is None or f.uploaded_at >= since - 60]

    async def search_files(self, title: str) -> list[RemoteFile]:
        """Files of the whole account whose title has *title* in it."""
        return await self._list_pages([("title", title)], folder=None)

    async def list_files(
        self,
        *,
        folder: FolderId | None = None,
        title: str | None = None,
        public: bool | None = None,
        adult: bool | None = None,
        created: str | None = None,
    ) -> list[RemoteFile]:
        """file/list with its filters, all pages. *created*: host's local time, or minutes."""
        params = [
            ("fld_id", folder),
            ("title", title),
            ("created", created),
            ("public", to_flag(public)),
            ("adult", to_flag(adult)),
        ]
        return await self._list_pages(params, folder=folder)

    # --- files ---

    async def file_info(self, codes: Sequence[FileCode]) -> Mapping[FileCode, RemoteFile]:
        """In batches, in parallel. A code the host doesn't know is left out."""
        wanted = list(dict.fromkeys(codes))
        size = self._capabilities.info_batch_max
        batches = [wanted[i : i + size] for i in range(0, len(wanted), size)]
        if not batches:
            return {}
        found: dict[FileCode, RemoteFile] = {}
        for part in await run_parallel([partial(self._info_batch, batch) for batch in batches]):
            found.update(part)
        sized = [f.size_bytes is not None for f in found.values() if f.readable and f.can_play]
        if self._capabilities.info_sizes and sized and not any(sized):
            self._capabilities = dataclasses.replace(self._capabilities, info_sizes=False)
        return found

    async def _info_batch(self, codes: list[FileCode]) -> dict[FileCode, RemoteFile]:
        try:
            rows = await self._ask_rows("file/info", [("file_code", ",".join(codes))], FileRow)
        except (HostNotFoundError, BadRequestError):
            # "Invalid file codes": one bad code may spoil the batch.
            if len(codes) == 1:
                return {}
            half = len(codes) // 2
            first = await self._info_batch(codes[:half])
            return first | await self._info_batch(codes[half:])
        found = {}
        for row in rows:
            code = row_code(row)
            if code and to_int(row.status) != 404:
                found[code] = to_remote_file(row, self._clock, None)
        return found

    async def find_size(self, code: FileCode) -> int | None:
        """From direct_link, which tells it per version; else from the link itself."""
        if not self._capabilities.read_content:
            return None
        link = await self.open_link(code)
        if link.size_bytes is not None:
            return link.size_bytes
        async with self._transport.open_stream(link, 0, 1) as stream:
            return stream.total_bytes

    async def edit_file(
        self,
        code: FileCode,
        *,
        title: str | None = None,
        folder: FolderId | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """Errors: MoveAbilityError, AbilityError for what this host can't change."""
        changes = dict(fields or {})
        if title is not None:
            changes["title"] = title
        if folder is not None:
            changes["folder"] = folder
        await self._edit([("file_code", code)], changes, self._dialect.file_edits)

    async def edit_files(self, codes: Sequence[FileCode], changes: Mapping[str, str]) -> None:
        """The same change of many files. *changes*: by the names of `edit_fields`, and folder."""
        for start in range(0, len(codes), self._capabilities.info_batch_max):
            batch = codes[start : start + self._capabilities.info_batch_max]
            await self._edit([("file_code", ",".join(batch))], changes, self._dialect.file_edits)

    async def _edit(
        self,
        subject: Sequence[tuple[str, str]],
        changes: Mapping[str, str],
        edits: Mapping[str, tuple[str, str]],
    ) -> None:
        """One request per call that *changes* need."""
        requests: dict[str, list[tuple[str, str | None]]] = {}
        for what, value in changes.items():
            if what not in edits:
                kind = MoveAbilityError if what in ("folder", "parent") else AbilityError
                raise kind(f"{self.name} can't change the {what}")
            call, param = edits[what]
            requests.setdefault(call, [*subject]).append((param, value))
        for call, params in requests.items():
            await self._ask(call, params, lambda e: None)

    async def delete_file(self, code: FileCode) -> None:
        """A file that is gone already counts as deleted. Source: API_FACTS §2.2."""
        await self._delete("file/delete", "file_code", code, self._capabilities.delete_file)

    async def delete_folder(self, folder: FolderId) -> None:
        await self._delete("folder/delete", "fld_id", folder, self._capabilities.delete_folder)

    async def _delete(self, call: str, param: str, subject: str, able: bool) -> None:
        if not able:
            raise NamespaceAbilityError(f"{self.name} can't delete: it has no {call}")
        try:
            await self._ask(call, [(param, subject)], lambda e: None)
        except HostNotFoundError:
            return  # perhaps by our own first try, whose answer was lost
        except CallMissingError:
            self._narrow(call)
            raise NamespaceAbilityError(f"{self.name} can't delete: it has no {call}") from None

    async def clone_file(
        self, code: FileCode, *, title: str | None = None, folder: FolderId | None = None
    ) -> FileCode:
        """A second file with the same content. Never repeated blindly.

        Errors: OutcomeUnknownError: look whether it is there before asking again.
        """
        call = "file/clone"
        into = folder if self._dialect.clone_into_folder else None
        params = [("file_code", code), ("file_title", title), ("fld_id", into)]
        row = await self._ask(
            call,
            params,
            lambda e: decode_result(e.result, FileRow, FileRow(), call),
            repeatable=False,
        )
        clone = row_code(row)
        if not clone:
            raise OutcomeUnknownError(f"{call}: no code in the answer", call=call)
        if folder is not None and into is None:
            await self.edit_file(clone, folder=folder)
        return clone

    # --- folders ---

    async def create_folder(self, parent: FolderId, name: str, descr: str = "") -> FolderId:
        """After an unknown outcome a new folder of that name is looked for in *parent*."""
        call = "folder/create"
        known_newest = self._newest_folder
        params = [("name", name), ("parent_id", parent), ("descr", descr or None)]
        asked_before = False
        for _ in range(3):
            try:
                row = await self._ask(
                    call,
                    params,
                    lambda e: decode_result(e.result, FolderRow, FolderRow(), call),
                    repeatable=False,
                )
            except OutcomeUnknownError:
                asked_before = True
            except PermanentHostError:
                if not asked_before:
                    raise
            else:
                identifier = to_identifier(row.fld_id)
                if identifier:
                    self._note_folder(identifier)
                    return FolderId(identifier)
                asked_before = True
            listing = await self.list_folder(parent)
            for found in sorted(listing.folders, key=lambda f: to_int(f.folder) or 0, reverse=True):
                if found.name == name and (to_int(found.folder) or math.inf) > known_newest:
                    return found.folder
        raise UnreadableAnswerError(f"{call}: no answer, and no folder of that name", call=call)

    async def edit_folder(
        self,
        folder: FolderId,
        *,
        name: str | None = None,
        parent: FolderId | None = None,
        descr: str | None = None,
    ) -> None:
        """Errors: NamespaceAbilityError, MoveAbilityError."""
        changes = {"name": name, "parent": parent, "description": descr}
        edits = dict(self._dialect.folder_edits)
        await self._edit(
            [("fld_id", folder)], {k: v for k, v in changes.items() if v is not None}, edits
        )

    # --- content ---

    async def upload(
        self,
        body: UploadBody,
        *,
        folder: FolderId,
        title: str,
        options: UploadOptions,
        snapshot: SmallFile | None = None,
    ) -> UploadReceipt:
        """*snapshot*: a picture of up to 300 KB (S1). Errors: as `VideoHost.upload`."""
        server = await self.fetch_upload_server()
        fields: list[Param] = [(self._dialect.upload_key_field, self._key)]
        fields += render_options(self._dialect.upload_fields, options, title=title, folder=folder)
        multipart = MultipartBody(
            fields=fields,
            path=body.path,
            size_bytes=body.size_bytes,
            file_field="file",
            file_name=title,
            extra_file=snapshot,
            on_progress=body.on_progress,
            throttle=body.throttle,
        )
        query: list[Param] = [("", self._key)] if self._dialect.upload_key_in_query else []
        return await self._transport.upload(server, query, multipart, parse_upload)

    async def fetch_upload_server(self) -> str:
        """A fresh address to post one file to."""
        call = "upload/server"
        url = await self._ask(call, [], lambda e: to_text(decode_scalar(e.result, call)))
        if not url:
            raise UnreadableAnswerError(f"{call}: no server in the answer", call=call)
        return url

    async def open_link(self, code: FileCode) -> DownloadLink:
        """The original where the site keeps it, else the best there is."""
        call = "file/direct_link"
        if not self._capabilities.read_content:
            raise ContentAbilityError(f"{self.name} has no call that leads to a file's bytes")
        try:
            versions = await self._ask(
                call,
                [("file_code", code)],
                lambda e: parse_versions(decode_result(e.result, object, None, call)),
            )
        except CallMissingError:
            self._narrow(call)
            raise ContentAbilityError(
                f"{self.name} has no call that leads to a file's bytes"
            ) from None
        if not versions:
            raise HostNotFoundError(f"{call}: no version of the file can be read", call=call)
        ranks = {name: rank for rank, name in enumerate(_VERSIONS)}
        _, url, size = min(versions, key=lambda v: ranks.get(v[0], len(ranks)))
        return DownloadLink(url=url, size_bytes=size)

    def open_stream(
        self, link: DownloadLink, start_byte: int, stop_byte: int | None = None
    ) -> AbstractAsyncContextManager[ByteStream]:
        """*stop_byte* is the first byte not wanted."""
        return self._transport.open_stream(link, start_byte, stop_byte)

    # --- beyond files and folders ---

    async def add_remote_upload(
        self, url: str, *, folder: FolderId | None = None, options: UploadOptions | None = None
    ) -> RemoteUpload:
        """The host fetches *url*. The code is good once it has. Never repeated blindly."""
        call = "upload/url"
        params = render_options(
            self._dialect.remote_fields, options or UploadOptions(), folder=folder
        )
        row = await self._ask(
            call,
            [("url", url), *params],
            lambda e: decode_result(e.result, FileRow, FileRow(), call),
            repeatable=False,
        )
        code = row_code(row)
        return RemoteUpload(job=code, url=url, status="", code=code or None, folder=folder)

    async def list_remote_uploads(self, job: str | None = None) -> RemoteUploads:
        """Source: API_FACTS §2.2 (file/url_uploads)."""
        call = "file/url_uploads"

        def parse(envelope: Envelope) -> RemoteUploads:
            rows = decode_rows(envelope.result, dict[str, Any], call)
            return RemoteUploads(
                uploads=tuple(to_remote_upload(row) for row in rows),
                requests_available=to_int(envelope.requests_available),
            )

        self._need(self._capabilities.remote_upload_status, "say how remote uploads stand")
        return await self._ask(call, [("file_code", job)], parse)

    async def retry_remote_uploads(self) -> None:
        """Start all failed ones again. Source: API_FACTS §2.2 (file/url_actions)."""
        await self._act_on_remote([("restart_errors", "1")])

    async def cancel_remote_uploads(self, jobs: Sequence[str] | None = None) -> None:
        """*jobs*: None: all of them."""
        if jobs is None:
            await self._act_on_remote([("delete_all", "1")])
        elif jobs:
            await self._act_on_remote([("delete_code", ",".join(jobs))])

    async def clear_remote_errors(self) -> None:
        await self._act_on_remote([("delete_errors", "1")])

    async def _act_on_remote(self, params: Sequence[tuple[str, str | None]]) -> None:
        self._need(self._capabilities.remote_upload_status, "change remote uploads")
        await self._ask("file/url_actions", params, lambda e: None)

    async def list_deleted(self, last_hours: int | None = None) -> list[DeletedFile]:
        self._need(self._capabilities.deleted_list, "list deleted files")
        rows = await self._ask_rows(
            "file/deleted", [("last", to_count(last_hours))], dict[str, Any]
        )
        return [to_deleted(row, self._clock) for row in rows]

    async def list_dmca(self, last_hours: int | None = None) -> list[DmcaFile]:
        """Files scheduled for deletion after a report."""
        self._need(self._capabilities.dmca_list, "list reported files")
        rows = await self._ask_rows("file/dmca", [("last", to_count(last_hours))], dict[str, Any])
        return [to_dmca(row, self._clock) for row in rows]

    async def list_encodings(self, code: FileCode | None = None) -> list[Encoding]:
        self._need(self._capabilities.encodings, "list encodings")
        rows = await self._ask_rows(
            "file/encodings", [(self._dialect.encodings_filter, code)], dict[str, Any]
        )
        return [to_encoding(row) for row in rows]

    async def find_thumbnail(self, code: FileCode) -> str | None:
        """Address of the host's picture of a file."""
        found = await self.file_info([code])
        return found[code].extra.get("thumbnail") if code in found else None

    def _need(self, able: bool, what: str) -> None:
        if not able:
            raise AbilityError(f"{self.name} can't {what}")
