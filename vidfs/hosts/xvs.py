"""Client of the XVideoSharing family: `key`, `fld_id`, `file_code`.

One client; what differs between services stands in their records (`xvs_records`). Here are
files and folders, which `VideoHost` asks for; `xvs_extras` has the rest. Knows no HTTP
(`transport`) and keeps nothing but what `xvs_session` learns.

Source: S1 for every call unless noted; API_FACTS §1, §2.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Any

import trio

from vidfs.errors import (
    AbilityError,
    BadRequestError,
    CallMissingError,
    ContentAbilityError,
    ContentChangedError,
    HostError,
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
    Pace,
    RemoteFile,
    UploadBody,
    UploadOptions,
    UploadReceipt,
)
from vidfs.hosts.envelope import decode_result, decode_scalar
from vidfs.hosts.lag import make_once
from vidfs.hosts.multipart import MultipartBody, SmallFile
from vidfs.hosts.parallel import run_parallel
from vidfs.hosts.scalars import to_identifier, to_int, to_size, to_text
from vidfs.hosts.transport import Param, Transport
from vidfs.hosts.xvs_extras import XvsExtras
from vidfs.hosts.xvs_listings import XvsListings
from vidfs.hosts.xvs_records import ROOT, XvsDialect
from vidfs.hosts.xvs_rows import (
    FileRow,
    FolderRow,
    Version,
    parse_upload,
    parse_versions,
    render_options,
    row_code,
    to_remote_file,
)
from vidfs.hosts.xvs_session import XvsSession
from vidfs.types import FileCode, FolderId, Secret

_IMPOSSIBLE_CODE = "0vidfsprobe0"
"""No file has it (12 of 36 signs): asked for to see whether a call exists."""

_IMPOSSIBLE_FOLDER = "99999999999"
"""Beyond a 32-bit id, and still a number: a word might be read as 0, the root."""

_LINK_CALL = "file/direct_link"
_LINK_PROBE_S = 10.0
_LINK_PROBE_FILES = 20

_VERSIONS = "ohnl"
"""Original, high, normal, low. Source: API_FACTS §2.2."""


class XvsClient(XvsExtras):
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
        self._session = XvsSession(
            transport,
            dialect,
            key,
            api_url=url,
            capabilities=capabilities or dialect.capabilities,
        )
        self._listings = XvsListings(self._session)

    @property
    def name(self) -> str:
        return self._dialect.name

    @property
    def capabilities(self) -> Capabilities:
        return self._session.capabilities

    @property
    def root(self) -> FolderId:
        return ROOT

    @property
    def calls(self) -> Mapping[str, int]:
        return self._transport.calls

    @property
    def pace(self) -> Pace:
        return self._transport.pacer.pace

    @property
    def clock_offset_s(self) -> float:
        return self._session.clock.offset_s

    async def aclose(self) -> None:
        await self._transport.aclose()

    # --- account ---

    async def probe(self) -> Capabilities:
        """Ask which optional modules the installation has; changes nothing there.

        Each is asked about something that can't exist: a missing module says "Invalid
        operation" or "not allowed in API", a present one that it finds no such thing.
        """
        dialect = self._dialect
        calls = [*dialect.optional_calls, *([_LINK_CALL] if dialect.unpromised_link else [])]
        jobs = [partial(self._probe_call, call) for call in calls]
        found = dialect.capabilities
        for call, is_there in await run_parallel(jobs):
            if not is_there:
                found = dataclasses.replace(found, **dialect.optional_calls.get(call, {}))
            elif call == _LINK_CALL and dialect.unpromised_link:
                found = dataclasses.replace(found, read_content=await self._leads_to_bytes())
        self._session.capabilities = found
        return found

    def restore(self, capabilities: Capabilities) -> None:
        """Instead of `probe`: what an earlier one found."""
        self._session.capabilities = capabilities

    async def _probe_call(self, call: str) -> tuple[str, bool]:
        params = [("file_code", _IMPOSSIBLE_CODE)]
        if call.startswith("folder/"):
            params = [("fld_id", _IMPOSSIBLE_FOLDER)]
        try:
            await self._session.do(call, params)
        except CallMissingError:
            return call, False
        except WrongKeyError:
            raise
        except PermanentHostError:
            pass  # it looked, and found no such thing
        return call, True

    async def _leads_to_bytes(self) -> bool:
        """Whether the link of some film of the account is a film; False if there is no film.

        Trouble on the way counts as no: the call is promised by nobody.
        """
        with trio.move_on_after(_LINK_PROBE_S):
            try:
                files = await self._listings.fetch_newest(_LINK_PROBE_FILES)
                playable = [file for file in files if file.can_play and file.readable]
                if playable:
                    link = await self._fetch_link(playable[0].code)
                    async with self._transport.open_stream(link, 0, 1) as stream:
                        return [chunk async for chunk in stream] != []
            except HostError:
                pass
        return False

    async def account_info(self) -> AccountInfo:
        """Errors: WrongKeyError and every other HostError."""
        call = "account/info"
        found = await self._session.ask(
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

    # --- listings ---

    async def list_folder(self, folder: FolderId) -> Listing:
        """Everything in *folder*. Errors: HostNotFoundError."""
        return await self._listings.list_folder(folder)

    async def list_new_files(self, since: float) -> Sequence[RemoteFile]:
        """Files uploaded after *since*, up to a minute more: the host is asked in minutes.

        Minutes back need no agreement about clocks; a file without a date is included.
        """
        minutes = max(1, math.ceil((self._transport.now() - since) / 60) + 1)
        files = await self.list_files(created=str(minutes))
        return [f for f in files if f.uploaded_at is None or f.uploaded_at >= since - 60]

    # --- files ---

    async def file_info(self, codes: Sequence[FileCode]) -> Mapping[FileCode, RemoteFile]:
        """In batches, in parallel. A code the host doesn't know is left out, all of them where
        the installation has no such call: listings and links tell what is needed."""
        wanted = list(dict.fromkeys(codes))
        size = self.capabilities.info_batch_max
        batches = [wanted[i : i + size] for i in range(0, len(wanted), size)]
        if not batches:
            return {}
        found: dict[FileCode, RemoteFile] = {}
        try:
            for part in await run_parallel([partial(self._info_batch, b) for b in batches]):
                found.update(part)
        except CallMissingError:
            self._session.change(info_sizes=False)
            return {}
        sized = [f.size_bytes is not None for f in found.values() if f.readable and f.can_play]
        if self.capabilities.info_sizes and sized and not any(sized):
            self._session.change(info_sizes=False)
        return found

    async def _info_batch(self, codes: list[FileCode]) -> dict[FileCode, RemoteFile]:
        """What the host says of *codes*; those it passes over in silence are asked for again.

        Source: API_FACTS §2.4: codes beyond a limit are ignored without a word, and the limit
        (for DoodStream: whether it takes a list at all) is in no document.
        """
        try:
            rows = await self._session.ask_rows(
                "file/info", [("file_code", ",".join(codes))], FileRow
            )
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
                found[code] = to_remote_file(row, self._session.clock, None)
        passed_over = [code for code in codes if code not in {row_code(row) for row in rows}]
        if passed_over and len(passed_over) < len(codes):
            more = await self._info_batch(passed_over)
            if more:
                limit = len(codes) - len(passed_over)
                self._session.change(info_batch_max=min(self.capabilities.info_batch_max, limit))
            found |= more
        return found

    async def find_size(self, code: FileCode) -> int | None:
        """From file/info where the site tells it there; from direct_link, which tells it per
        version; else from the link itself."""
        if self.capabilities.info_sizes:
            info = (await self.file_info([code])).get(code)
            if info is not None and info.size_bytes is not None:
                return info.size_bytes
        if not self.capabilities.read_content:
            return None
        link = await self.open_link(code)
        if link.size_bytes is not None:
            return link.size_bytes
        try:
            async with self._transport.open_stream(link, 0, 1) as stream:
                return stream.total_bytes
        except ContentChangedError as error:
            return error.size_bytes or 0  # an empty file has no first byte (HTTP 416)

    async def edit_file(
        self,
        code: FileCode,
        *,
        title: str | None = None,
        folder: FolderId | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """Errors: MoveAbilityError, AbilityError for what this host can't change."""
        await self.edit_files([code], title=title, folder=folder, fields=fields)

    async def edit_files(
        self,
        codes: Sequence[FileCode],
        *,
        title: str | None = None,
        folder: FolderId | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """The same change of many files, many in one call where the host takes that."""
        changes = dict(fields or {})
        if title is not None:
            changes["title"] = title
        if folder is not None:
            if not self.capabilities.move_file:
                raise MoveAbilityError(f"{self.name} can't move files")
            changes["folder"] = folder
        size = self.capabilities.info_batch_max if self._dialect.edits_many else 1
        for start in range(0, len(codes), size):
            subject = ("file_code", ",".join(codes[start : start + size]))
            await self._edit(subject, changes, self._dialect.file_edits)

    async def _edit(
        self,
        subject: tuple[str, str],
        changes: Mapping[str, str],
        edits: Mapping[str, tuple[str, str]],
    ) -> None:
        """One request per call that *changes* need."""
        requests: dict[str, list[tuple[str, str | None]]] = {}
        for what, value in changes.items():
            if what not in edits:
                raise self._unable(what)
            call, param = edits[what]
            requests.setdefault(call, [subject]).append((param, value))
        for call, params in requests.items():
            try:
                await self._session.do(call, params)
            except CallMissingError:
                self._session.narrow(call)
                raise self._unable(*(what for what in changes if edits[what][0] == call)) from None

    def _unable(self, *what: str) -> AbilityError:
        kind = MoveAbilityError if {"folder", "parent"} & set(what) else AbilityError
        return kind(f"{self.name} can't change the {', '.join(what)}")

    async def delete_file(self, code: FileCode) -> None:
        """A file that is gone already counts as deleted. Source: API_FACTS §2.2."""
        await self._delete("file/delete", "file_code", code, self.capabilities.delete_file)

    async def delete_folder(self, folder: FolderId) -> None:
        await self._delete("folder/delete", "fld_id", folder, self.capabilities.delete_folder)

    async def _delete(self, call: str, param: str, subject: str, able: bool) -> None:
        if not able:
            raise NamespaceAbilityError(f"{self.name} can't delete: it has no {call}")
        try:
            await self._session.do(call, [(param, subject)])
        except HostNotFoundError:
            return  # perhaps by our own first try, whose answer was lost
        except CallMissingError:
            self._session.narrow(call)
            raise NamespaceAbilityError(f"{self.name} can't delete: it has no {call}") from None

    async def clone_file(
        self, code: FileCode, *, title: str | None = None, folder: FolderId | None = None
    ) -> FileCode:
        """A second file with the same content. Never repeated blindly.

        Errors: OutcomeUnknownError: look whether it is there before asking again.
        """
        clone = await self.begin_clone(code, title=title, folder=folder)
        sets = self.capabilities.clone_sets
        later_title = title if "title" not in sets else None
        later_folder = folder if "folder" not in sets else None
        if folder is not None and later_folder is None and self.capabilities.move_file:
            # The oldest document's clone knows no fld_id (S1), and others may ignore it alike.
            with suppress(HostError):
                info = (await self.file_info([clone])).get(clone)
                if info is not None and info.folder not in (None, folder):
                    later_folder = folder
        if later_title is not None or later_folder is not None:
            await self.edit_file(clone, title=later_title, folder=later_folder)
        return clone

    async def begin_clone(
        self, code: FileCode, *, title: str | None, folder: FolderId | None
    ) -> FileCode:
        """The call alone. Errors: as `clone_file`."""
        call, names = "file/clone", self._dialect.clone_fields
        given = {"title": title, "folder": folder}
        row = await self._session.ask(
            call,
            [
                ("file_code", code),
                *((name, value) for what, name in names.items() if (value := given[what])),
            ],
            lambda e: decode_result(e.result, FileRow, FileRow(), call),
            repeatable=False,
        )
        clone = row_code(row)
        if not clone:
            raise OutcomeUnknownError(f"{call}: no code in the answer", call=call)
        return clone

    # --- folders ---

    async def create_folder(self, parent: FolderId, name: str, descr: str = "") -> FolderId:
        """After an unknown outcome a new folder of that name is looked for in *parent*.

        Errors: OutcomeUnknownError where the host can't list folders.
        """
        call = "folder/create"
        known_newest = self._session.newest_folder
        params: list[tuple[str, str | None]] = [("name", name), ("parent_id", parent)]
        if descr:
            names = self._dialect.folder_fields
            self._session.need("description" in names, "describe folders")
            params.append((names["description"], descr))

        async def make() -> FolderId | None:
            row = await self._session.ask(
                call,
                params,
                lambda e: decode_result(e.result, FolderRow, FolderRow(), call),
                repeatable=False,
            )
            identifier = to_identifier(row.fld_id)
            if not identifier:
                return None
            self._session.note_folder(identifier)
            return FolderId(identifier)

        find = partial(self._find_new_folder, parent, name, known_newest)
        return await make_once(make, find if self.capabilities.list_folders else None, call=call)

    async def _find_new_folder(
        self, parent: FolderId, name: str, known_newest: int
    ) -> FolderId | None:
        """The newest folder called *name* among those with a higher id than any known before."""
        named = [f.folder for f in await self.list_subfolders(parent) if f.name == name]
        new = [f for f in named if (to_int(f) or math.inf) > known_newest]
        return max(new, key=lambda f: to_int(f) or 0, default=None)

    async def edit_folder(
        self,
        folder: FolderId,
        *,
        name: str | None = None,
        parent: FolderId | None = None,
        descr: str | None = None,
    ) -> None:
        """Errors: AbilityError, MoveAbilityError."""
        given = {"name": name, "parent": parent, "description": descr}
        changes = {what: value for what, value in given.items() if value is not None}
        await self._edit(("fld_id", folder), changes, self._dialect.folder_edits)

    # --- content ---

    async def upload(
        self,
        body: UploadBody,
        *,
        folder: FolderId,
        title: str,
        options: UploadOptions,
        snapshot: SmallFile | None = None,
        html_redirect: bool = False,
    ) -> UploadReceipt:
        """*snapshot*: a picture of up to 300 KB (S1). *html_redirect*: have the server answer
        with a page as older builds do; the receipt is the same. Errors: as `VideoHost.upload`,
        AbilityError for a *snapshot* that the host doesn't take.
        """
        names = self._dialect.upload_fields
        self._session.need(snapshot is None or "snapshot" in names, "take pictures with uploads")
        server = await self.fetch_upload_server()
        fields: list[Param] = [(self._dialect.upload_key_field, self._session.key)]
        fields += render_options(names, options, title=title, folder=folder, html=html_redirect)
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
        in_query = self._dialect.upload_key_in_query
        query: list[Param] = [("", self._session.key)] if in_query else []
        return await self._transport.upload(server, query, multipart, parse_upload)

    async def fetch_upload_server(self) -> str:
        """A fresh address to post one file to."""
        call = "upload/server"
        url = await self._session.ask(call, [], lambda e: to_text(decode_scalar(e.result, call)))
        if not url:
            raise UnreadableAnswerError(f"{call}: no server in the answer", call=call)
        return url

    async def open_link(self, code: FileCode) -> DownloadLink:
        """The original where the site keeps it, else the best there is."""
        if not self.capabilities.read_content:
            raise ContentAbilityError(f"{self.name} has no call that leads to a file's bytes")
        try:
            return await self._fetch_link(code)
        except CallMissingError:
            self._session.change(read_content=False)
            raise ContentAbilityError(
                f"{self.name} has no call that leads to a file's bytes"
            ) from None

    async def _fetch_link(self, code: FileCode) -> DownloadLink:
        versions = await self.fetch_versions(code)
        if not versions:
            raise HostNotFoundError(
                f"{_LINK_CALL}: no version of the file can be read", call=_LINK_CALL
            )
        ranks = {name: rank for rank, name in enumerate(_VERSIONS)}
        _, url, size = min(versions, key=lambda v: ranks.get(v[0], len(ranks)))
        return DownloadLink(url=url, size_bytes=size)

    async def fetch_versions(
        self, code: FileCode, *, quality: str | None = None, hls: bool = False
    ) -> list[Version]:
        """The versions of a file that can be read. Errors: CallMissingError.

        *quality*: only this one, of `o h n l`. *hls*: a playlist as well, called "hls".
        """
        return await self._session.ask(
            _LINK_CALL,
            [("file_code", code), ("q", quality), ("hls", "1" if hls else None)],
            lambda e: parse_versions(decode_result(e.result, object, None, _LINK_CALL)),
        )

    def open_stream(
        self, link: DownloadLink, start_byte: int, stop_byte: int | None = None
    ) -> AbstractAsyncContextManager[ByteStream]:
        """*stop_byte* is the first byte not wanted."""
        return self._transport.open_stream(link, start_byte, stop_byte)
