"""Client of the OpenLoad family: `login`, `key`, `folder`, `file`.

One client; what differs between services stands in their records (`openload_records`).
Owns the calls and what their answers mean. Knows no HTTP (`transport`).

Source: S2 and S3 for every call unless noted; API_FACTS §3 to §5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar

import trio

from vidfs.errors import (
    AbilityError,
    AccessDeniedError,
    BadRequestError,
    CaptchaError,
    ContentAbilityError,
    HostNotFoundError,
    MoveAbilityError,
    NamespaceAbilityError,
    RateLimitedError,
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
    RemoteFolder,
    UploadBody,
    UploadOptions,
    UploadReceipt,
)
from vidfs.hosts.envelope import (
    Envelope,
    decode_keyed,
    decode_result,
    decode_rows,
    decode_scalar,
    open_envelope,
)
from vidfs.hosts.extras import Encoding, RemoteUpload, RemoteUploads, Ticket
from vidfs.hosts.lag import make_once
from vidfs.hosts.multipart import MultipartBody
from vidfs.hosts.openload_records import HOME, OpenloadDialect
from vidfs.hosts.openload_rows import (
    FileRow,
    FolderPage,
    FolderRow,
    parse_upload,
    row_code,
    row_folder,
    to_encoding,
    to_remote_file,
    to_remote_upload,
)
from vidfs.hosts.parallel import run_parallel
from vidfs.hosts.scalars import HostClock, to_float, to_identifier, to_int, to_size, to_text
from vidfs.hosts.transport import DEADLINE_MARGIN_S, Answer, Param, Transport
from vidfs.types import FileCode, FolderId, Secret

T = TypeVar("T")


class OpenloadClient:
    """An account on one host of the OpenLoad family. Satisfies `VideoHost` by shape."""

    def __init__(
        self,
        transport: Transport,
        dialect: OpenloadDialect,
        login: Secret,
        key: Secret,
        *,
        api_url: str | None = None,
        capabilities: Capabilities | None = None,
    ) -> None:
        """*capabilities*: what an earlier `probe` found; None: the dialect's own."""
        self._transport = transport
        self._dialect = dialect
        self._login = login
        self._key = key
        self._api_url = api_url or dialect.api_url
        self._capabilities = capabilities or dialect.capabilities
        self._clock = HostClock()  # stays at 0: this family's answers carry no time of theirs
        self._newest_folder = 0

    @property
    def name(self) -> str:
        return self._dialect.name

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def root(self) -> FolderId:
        return HOME

    @property
    def calls(self) -> Mapping[str, int]:
        return self._transport.calls

    @property
    def pace(self) -> Pace:
        return self._transport.pacer.pace

    @property
    def clock_offset_s(self) -> float:
        return self._clock.offset_s

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _ask(
        self,
        call: str,
        params: Sequence[tuple[str, str | None]],
        parse: Callable[[Envelope], T],
        *,
        repeatable: bool = True,
    ) -> T:
        """One API call. Parameters that are None or "" are left out."""

        def parse_answer(answer: Answer) -> T:
            return parse(open_envelope(answer))

        sent: list[Param] = [("login", self._login), ("key", self._key)]
        sent += [(name, value) for name, value in params if value]
        return await self._transport.call(
            self._api_url, call, sent, parse_answer, repeatable=repeatable
        )

    async def _do(self, call: str, params: Sequence[tuple[str, str | None]]) -> None:
        """A call that answers true. Errors: BadRequestError where it answers false."""
        done = await self._ask(call, params, lambda e: decode_scalar(e.result, call))
        if done is False:
            raise BadRequestError(f"{call}: the host says that it didn't", call=call)

    # --- account ---

    async def probe(self) -> Capabilities:
        """This family has no optional modules: nothing is asked."""
        return self._capabilities

    def restore(self, capabilities: Capabilities) -> None:
        """Instead of `probe`: what an earlier one found."""
        self._capabilities = capabilities

    async def account_info(self) -> AccountInfo:
        """Errors: WrongKeyError for any refusal, as no file is involved."""
        call = "account/info"
        try:
            found = await self._ask(
                call, [], lambda e: decode_result(e.result, dict[str, Any], {}, call)
            )
        except WrongKeyError:
            raise
        except AccessDeniedError as error:
            raise WrongKeyError(str(error), call=call) from None
        extra = {name: text for name, value in found.items() if (text := to_text(value))}
        traffic = found.get("traffic")
        if isinstance(traffic, Mapping):
            extra |= {f"traffic_{name}": to_text(value) for name, value in traffic.items()}
        return AccountInfo(
            login=extra.get("extid") or extra.get("apiid") or "",
            email=extra.get("email", ""),
            storage_used_bytes=to_size(found.get("storage_used")),
            storage_left_bytes=to_size(found.get("storage_left")),
            extra=extra,
        )

    # --- listings ---

    async def list_folder(self, folder: FolderId) -> Listing:
        """Everything in *folder*: this family has no pages. Errors: HostNotFoundError."""
        requested_at = self._transport.now()
        folders, files = await self._ask(
            "file/listfolder", [("folder", folder)], partial(self._parse_folder, folder=folder)
        )
        return Listing(folder=folder, folders=folders, files=files, requested_at=requested_at)

    def _parse_folder(
        self, envelope: Envelope, *, folder: FolderId
    ) -> tuple[list[RemoteFolder], list[RemoteFile]]:
        """Files that the answer mixes in from below are left out.

        Source: API_FACTS §4: a root listing with files of a listed subfolder. The numbers in
        S2's sample fit no root and no request, so elsewhere only listed subfolders count.
        """
        call = "file/listfolder"
        page = decode_result(envelope.result, FolderPage, FolderPage(), call)
        folders = []
        for key, row in decode_keyed(page.folders, FolderRow, call):
            identifier = to_identifier(row.id) or key
            if identifier:
                self._newest_folder = max(self._newest_folder, to_int(identifier) or 0)
                folders.append(
                    RemoteFolder(folder=FolderId(identifier), name=to_text(row.name), parent=folder)
                )
        below = {f.folder for f in folders}
        root = self._dialect.root_sent if folder == HOME else None
        files = []
        for key, file_row in decode_keyed(page.files, FileRow, call):
            lies_in = row_folder(file_row)
            if lies_in is None or (lies_in not in below and root in (None, lies_in)):
                file = to_remote_file(file_row, key, self._clock, folder)
                if file.code:
                    files.append(file)
        return folders, files

    async def list_new_files(self, since: float) -> Sequence[RemoteFile]:
        """Errors: AbilityError, always: no call lists over the whole account."""
        raise AbilityError(f"{self.name} can't list what is new")

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
        return found

    async def _info_batch(self, codes: list[FileCode]) -> dict[FileCode, RemoteFile]:
        call = "file/info"
        try:
            rows = await self._ask(
                call,
                [("file", ",".join(codes))],
                lambda e: decode_keyed(e.result, FileRow, call),
            )
        except (HostNotFoundError, BadRequestError):
            if len(codes) == 1:
                return {}
            half = len(codes) // 2
            first = await self._info_batch(codes[:half])
            return first | await self._info_batch(codes[half:])
        found = {}
        for key, row in rows:
            code = row_code(row, key)
            if code and to_int(row.status) != 404:
                found[code] = to_remote_file(row, key, self._clock, None)
        answered = {row_code(row, key) for key, row in rows}
        passed_over = [code for code in codes if code not in answered]
        if answered and passed_over and len(passed_over) < len(codes):
            found |= await self._info_batch(passed_over)  # beyond what this host answers at once
        return found

    async def find_size(self, code: FileCode) -> int | None:
        found = (await self.file_info([code])).get(code)
        return found.size_bytes if found is not None else None

    async def edit_file(
        self,
        code: FileCode,
        *,
        title: str | None = None,
        folder: FolderId | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """Move, then rename: two calls in this family.

        Errors: MoveAbilityError; AbilityError for any *fields*.
        """
        if fields:
            raise AbilityError(f"{self.name} can't change the {', '.join(fields)}")
        if folder is not None:
            if not self._capabilities.move_file:
                raise MoveAbilityError(f"{self.name} can't move files")
            await self._do("file/move", [("file", code), ("folder", self._sent(folder))])
        if title is not None:
            await self._do("file/rename", [("file", code), ("name", title)])

    def _sent(self, folder: FolderId) -> str | None:
        """*folder* for a call that needs a number for the root, too."""
        return folder or self._dialect.root_sent

    async def delete_file(self, code: FileCode) -> None:
        """A file that is gone already counts as deleted."""
        if not self._capabilities.delete_file:
            raise NamespaceAbilityError(f"{self.name} can't delete files")
        await self._delete("file/delete", "file", code)

    async def delete_folder(self, folder: FolderId) -> None:
        """Takes everything inside with it. Source: S3 ("also delete all video")."""
        if not self._capabilities.delete_folder or folder == HOME:
            raise NamespaceAbilityError(f"{self.name} can't delete this folder")
        await self._delete("file/deletefolder", "folder", folder)

    async def _delete(self, call: str, param: str, subject: str) -> None:
        try:
            await self._do(call, [(param, subject)])
        except HostNotFoundError:
            return  # perhaps by our own first try, whose answer was lost

    async def clone_file(
        self, code: FileCode, *, title: str | None = None, folder: FolderId | None = None
    ) -> FileCode:
        """Errors: AbilityError: no host of this family clones."""
        raise AbilityError(f"{self.name} can't clone files")

    async def begin_clone(self, code: FileCode, *, title: str, folder: FolderId) -> FileCode:
        """Errors: AbilityError: no host of this family clones."""
        raise AbilityError(f"{self.name} can't clone files")

    # --- folders ---

    async def create_folder(self, parent: FolderId, name: str) -> FolderId:
        """After an unknown outcome a new folder of that name is looked for in *parent*."""
        call = "file/createfolder"
        if not self._capabilities.create_folder:
            raise NamespaceAbilityError(f"{self.name} can't create folders")
        known_newest = self._newest_folder

        async def make() -> FolderId | None:
            row = await self._ask(
                call,
                [("name", name), ("pid", parent)],
                lambda e: decode_result(e.result, FolderRow, FolderRow(), call),
                repeatable=False,
            )
            identifier = to_identifier(row.folderid) or to_identifier(row.id)
            if not identifier:
                return None
            self._newest_folder = max(self._newest_folder, to_int(identifier) or 0)
            return FolderId(identifier)

        find = partial(self._find_new_folder, parent, name, known_newest)
        return await make_once(make, find, call=call)

    async def _find_new_folder(
        self, parent: FolderId, name: str, known_newest: int
    ) -> FolderId | None:
        """The newest folder called *name*; ids that aren't numbers all count as new."""
        listing = await self.list_folder(parent)
        named = [f.folder for f in listing.folders if f.name == name]
        new = [f for f in named if (number := to_int(f)) is None or number > known_newest]
        return max(new, key=lambda f: to_int(f) or 0, default=None)

    async def edit_folder(
        self, folder: FolderId, *, name: str | None = None, parent: FolderId | None = None
    ) -> None:
        """Errors: MoveAbilityError: no host of this family moves folders."""
        if parent is not None:
            raise MoveAbilityError(f"{self.name} can't move folders")
        if name is not None:
            await self._do("file/renamefolder", [("folder", folder), ("name", name)])

    # --- content ---

    async def upload(
        self, body: UploadBody, *, folder: FolderId, title: str, options: UploadOptions
    ) -> UploadReceipt:
        """The file's name at the host is the multipart file name. Errors: as `VideoHost.upload`."""
        kind = self._capabilities.upload_hash
        digest = {"sha1": body.sha1, "sha256": body.sha256}.get(kind) if kind else None
        server = await self.fetch_upload_server(folder, digest)
        multipart = MultipartBody(
            fields=[],
            path=body.path,
            size_bytes=body.size_bytes,
            file_field=self._dialect.upload_field,
            file_name=title,
            on_progress=body.on_progress,
            throttle=body.throttle,
        )
        return await self._transport.upload(server, [], multipart, parse_upload)

    async def fetch_upload_server(
        self, folder: FolderId = HOME, digest: str | None = None, *, http_only: bool = False
    ) -> str:
        """A fresh address to post one file to.

        *digest*: the expected hash: the host refuses other content. *http_only*: the host
        then gives plain http addresses, which `transport` refuses unless the user allows it.
        """
        call = "file/ul"
        params = [
            ("folder", folder),
            (self._capabilities.upload_hash or "sha1", digest),
            ("httponly", "true" if http_only else None),
        ]
        found = await self._ask(
            call, params, lambda e: decode_result(e.result, FileRow, FileRow(), call)
        )
        url = to_text(found.url)
        if not url:
            raise UnreadableAnswerError(f"{call}: no server in the answer", call=call)
        return url

    async def open_link(self, code: FileCode) -> DownloadLink:
        """Ticket, waiting time, link. Errors: CaptchaError, LegalBlockError, RateLimitedError."""
        if not self._capabilities.read_content:
            raise ContentAbilityError(f"{self.name} has no call that leads to a file's bytes")
        ticket = await self.fetch_ticket(code)
        until = trio.current_time() + ticket.wait_s
        if until >= trio.current_effective_deadline() - DEADLINE_MARGIN_S:
            raise RateLimitedError(
                f"file/dl: the host wants {ticket.wait_s:g} s of waiting",
                call="file/dl",
                retry_after_s=ticket.wait_s,
            )
        await trio.sleep_until(until)
        try:
            return await self.redeem_ticket(code, ticket)
        except AccessDeniedError as error:
            if ticket.captcha_url and not isinstance(error, CaptchaError):
                raise CaptchaError(
                    f"{error}; the host wants a captcha solved", call="file/dl"
                ) from None
            raise

    async def fetch_ticket(self, code: FileCode) -> Ticket:
        """The promise of a download. A captcha may be named that an account needn't solve."""
        call = "file/dlticket"
        found = await self._ask(
            call,
            [("file", code)],
            lambda e: decode_result(e.result, dict[str, Any], {}, call),
        )
        ticket = to_text(found.get("ticket"))
        if not ticket:
            raise UnreadableAnswerError(f"{call}: no ticket in the answer", call=call)
        return Ticket(
            ticket=ticket,
            wait_s=max(0.0, to_float(found.get("wait_time")) or 0.0),
            captcha_url=to_text(found.get("captcha_url")),
            valid_until=to_text(found.get("valid_until")),
        )

    async def redeem_ticket(
        self, code: FileCode, ticket: Ticket, captcha_response: str | None = None
    ) -> DownloadLink:
        """The link, once the ticket's waiting time is over."""
        call = "file/dl"
        params = [
            ("file", code),
            ("ticket", ticket.ticket),
            ("captcha_response", captcha_response),
        ]
        row = await self._ask(
            call, params, lambda e: decode_result(e.result, FileRow, FileRow(), call)
        )
        url = to_text(row.url)
        if not url:
            raise UnreadableAnswerError(f"{call}: no link in the answer", call=call)
        return DownloadLink(url=url, size_bytes=to_size(row.size))

    def open_stream(
        self, link: DownloadLink, start_byte: int, stop_byte: int | None = None
    ) -> AbstractAsyncContextManager[ByteStream]:
        """*stop_byte* is the first byte not wanted."""
        return self._transport.open_stream(link, start_byte, stop_byte)

    # --- beyond files and folders ---

    async def add_remote_upload(
        self,
        url: str,
        *,
        folder: FolderId | None = None,
        headers: Sequence[str] = (),
        name: str | None = None,
    ) -> RemoteUpload:
        """The host fetches *url*, with *headers* ("Name: value"). Never repeated blindly."""
        call = "remotedl/add"
        params: list[tuple[str, str | None]] = [("url", url), ("folder", folder)]
        if self._dialect.remote_headers == "repeated":
            params += [("headers[]", header) for header in headers]
        elif self._dialect.remote_headers == "lines":
            params.append(("headers", "\n".join(headers)))
        if self._dialect.remote_name:
            params.append(("name", name))
        found = await self._ask(
            call,
            params,
            lambda e: decode_result(e.result, dict[str, Any], {}, call),
            repeatable=False,
        )
        return RemoteUpload(
            job=to_identifier(found.get("id")),
            url=url,
            status="",
            folder=FolderId(to_identifier(found.get("folderid"))) or folder,
        )

    async def list_remote_uploads(
        self, job: str | None = None, limit: int | None = None
    ) -> RemoteUploads:
        """*limit*: 5 to 100; None: the host's default, 5."""
        call = "remotedl/status"
        params = [("limit", None if limit is None else str(limit)), ("id", job)]
        rows = await self._ask(call, params, lambda e: decode_keyed(e.result, dict[str, Any], call))
        return RemoteUploads(uploads=tuple(to_remote_upload(row, key) for key, row in rows))

    async def cancel_remote_uploads(self, jobs: Sequence[str] | None = None) -> None:
        """*jobs*: None: all of them. Source: API_FACTS §5 (remotedl/remove)."""
        self._need("remotedl/remove" in self._dialect.calls, "cancel remote uploads")
        for job in ["all"] if jobs is None else jobs:
            await self._do("remotedl/remove", [("id", job)])

    async def convert_file(self, code: FileCode) -> None:
        """Start converting a file to a streamable mp4, which replaces it."""
        self._need(self._capabilities.convert, "convert files")
        await self._do("file/convert", [("file", code)])

    async def list_encodings(
        self,
        code: FileCode | None = None,
        *,
        folder: FolderId | None = None,
        limit: int | None = None,
    ) -> list[Encoding]:
        """Conversions running (and failed, where the host lists them).

        *code*: sent where the host filters by it, else filtered here. S3 has the filter as
        `file` in its table and as `id` in its address: the table is taken (assumed).
        """
        self._need(bool(self._dialect.converts_calls), "list encodings")
        params: list[tuple[str, str | None]] = [("folder", folder)]
        if self._dialect.converts_limit:
            params = [("limit", None if limit is None else str(limit)), ("file", code)]
        found: list[Encoding] = []
        for call in self._dialect.converts_calls:
            rows = await self._ask(call, params, partial(self._parse_rows, call=call))
            found += [to_encoding(row, percent=self._dialect.converts_percent) for row in rows]
        return [item for item in found if code is None or item.code == code]

    @staticmethod
    def _parse_rows(envelope: Envelope, *, call: str) -> list[dict[str, Any]]:
        return decode_rows(envelope.result, dict[str, Any], call)

    async def find_encoding(self, code: FileCode) -> str:
        """How far the conversions of a file are, in words."""
        return ", ".join(encoding.describe() for encoding in await self.list_encodings(code))

    async def find_thumbnail(self, code: FileCode) -> str | None:
        """Address of the host's picture of a file."""
        call = "file/getsplash"
        url = await self._ask(
            call, [("file", code)], lambda e: to_text(decode_scalar(e.result, call))
        )
        return url or None

    def _need(self, able: bool, what: str) -> None:
        if not able:
            raise AbilityError(f"{self.name} can't {what}")
