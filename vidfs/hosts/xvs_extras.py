"""What XVideoSharing sites offer beyond files and folders: the half of the client that
commands use. See `extras` for the shapes.

Source: S1 and S0 for the calls of their records; API_FACTS §1.2, §2.2 for parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from vidfs.errors import AbilityError
from vidfs.hosts.api import RemoteFile, RemoteFolder, UploadOptions
from vidfs.hosts.envelope import Envelope, decode_result, decode_rows
from vidfs.hosts.extras import (
    DeletedFile,
    DmcaFile,
    Encoding,
    RemoteUpload,
    RemoteUploads,
    StatsDay,
)
from vidfs.hosts.parallel import run_parallel
from vidfs.hosts.scalars import to_identifier, to_int, to_text
from vidfs.hosts.xvs_listings import XvsListings
from vidfs.hosts.xvs_rows import (
    FileRow,
    render_options,
    row_code,
    to_count,
    to_deleted,
    to_dmca,
    to_encoding,
    to_flag,
    to_remote_upload,
    to_stats_day,
)
from vidfs.hosts.xvs_session import XvsSession
from vidfs.types import FileCode, FolderId

DMCA_PAGE_SIZE = 500
"""Source: API_FACTS §1.2 (dmca/list: per_page is 500 by default)."""

_PICTURES = ("single_img", "thumb_img", "splash_img")


class XvsExtras:
    """Meets `extras.Extras` together with `XvsClient`, its only subclass: one client in two
    files."""

    _session: XvsSession
    _listings: XvsListings

    # --- searching ---

    async def search_files(self, title: str) -> list[RemoteFile]:
        """Files of the whole account whose title has *title* in it."""
        call, param = self._session.dialect.search
        if call == "file/list":
            return await self._listings.list_pages([(param, title)], folder=None)
        return await self._session.ask(
            call, [(param, title)], partial(self._parse_found, call=call)
        )

    def _parse_found(self, envelope: Envelope, *, call: str) -> list[RemoteFile]:
        """A list of files; S0 prints "true" for it, which is then an empty list."""
        if bytes(envelope.result).strip()[:1] not in (b"[", b"{"):
            return []
        return self._listings.to_files(envelope.result, call, None)

    async def list_files(
        self,
        *,
        folder: FolderId | None = None,
        title: str | None = None,
        public: bool | None = None,
        adult: bool | None = None,
        created: str | None = None,
    ) -> list[RemoteFile]:
        """file/list with its filters, all pages. *created*: host's local time, or minutes.

        Errors: AbilityError for a filter that the host hasn't.
        """
        given = {
            "folder": folder,
            "title": title,
            "created": created,
            "public": to_flag(public),
            "adult": to_flag(adult),
        }
        names = self._session.dialect.list_fields
        params = []
        for what, value in given.items():
            if value is not None:
                self._session.need(what in names, f"filter files by {what}")
                params.append((names[what], value))
        return await self._listings.list_pages(params, folder=folder)

    async def list_subfolders(self, folder: FolderId) -> Sequence[RemoteFolder]:
        """The folders in *folder*, its files not asked for."""
        self._session.need(self._session.capabilities.list_folders, "list folders")
        return await self._listings.list_subfolders(folder)

    # --- the account ---

    async def account_stats(
        self,
        last_days: int | None = None,
        *,
        from_date: str | None = None,
        to_date: str | None = None,
    ) -> list[StatsDay]:
        """*last_days*: None: the host's default, 7. Dates: YYYY-MM-DD. Errors: AbilityError."""
        self._session.need(self._session.capabilities.stats, "tell statistics")
        names = self._session.dialect.stats_fields
        given = {"last": to_count(last_days), "from_date": from_date, "to_date": to_date}
        params = []
        for what, value in given.items():
            if value is not None:
                self._session.need(what in names, "tell statistics between two dates")
                params.append((names[what], value))
        rows = await self._session.ask_rows("account/stats", params, dict[str, Any])
        return [to_stats_day(row) for row in rows]

    async def list_deleted(self, last_hours: int | None = None) -> list[DeletedFile]:
        self._session.need(self._session.capabilities.deleted_list, "list deleted files")
        rows = await self._session.ask_rows(
            "file/deleted", [("last", to_count(last_hours))], dict[str, Any]
        )
        return [to_deleted(row, self._session.clock) for row in rows]

    async def list_dmca(self, last_hours: int | None = None) -> list[DmcaFile]:
        """Files reported by a rights holder, in the last *last_hours* or ever."""
        session, dialect = self._session, self._session.dialect
        session.need(session.capabilities.dmca_list, "list reported files")
        names = dialect.dmca_fields
        if "page" not in names:
            params = [(names["last"], to_count(last_hours))]
            rows = await session.ask_rows(dialect.dmca, params, dict[str, Any])
        else:
            rows = await self._list_dmca_pages(names)
        if "last" not in names and last_hours is not None:
            since = session.transport.now() - last_hours * 3600
            rows = [
                row
                for row in rows
                if (at := session.clock.to_unix(row.get("reported_on"))) is None or at >= since
            ]
        return [to_dmca(row, session.clock) for row in rows]

    async def _list_dmca_pages(self, names: Mapping[str, str]) -> list[dict[str, Any]]:
        """Nothing tells how many pages there are: read until one brings nothing new."""
        found: dict[str, dict[str, Any]] = {}
        for page in range(1, 10_000):
            params = [(names["per_page"], str(DMCA_PAGE_SIZE)), (names["page"], str(page))]
            rows = await self._session.ask_rows(self._session.dialect.dmca, params, dict[str, Any])
            known = len(found)
            for row in rows:
                found.setdefault(to_identifier(row.get("file_code")), row)
            if len(found) == known:
                break
        return list(found.values())

    # --- files ---

    async def check_files(self, codes: Sequence[FileCode]) -> Mapping[FileCode, str]:
        """The host's word on each file ("Active"); "" where it says nothing. One call each."""
        call = self._session.dialect.check_call
        self._session.need(call, "check files")
        assert call is not None

        async def check(code: FileCode) -> tuple[FileCode, str]:
            rows = await self._session.ask_rows(call, [("file_code", code)], FileRow)
            said = [to_text(row.status) for row in rows if row_code(row) in (code, "")]
            return code, said[0] if said else ""

        return dict(await run_parallel([partial(check, code) for code in codes])) if codes else {}

    async def find_pictures(self, code: FileCode) -> Mapping[str, str]:
        """Addresses of a file's pictures by the host's names: single_img, thumb_img …"""
        call = self._session.dialect.image_call
        self._session.need(call, "tell several pictures")
        assert call is not None
        rows = await self._session.ask_rows(call, [("file_code", code)], dict[str, Any])
        row = rows[0] if rows else {}
        return {name: text for name in _PICTURES if (text := to_text(row.get(name)))}

    async def find_encoding(self, code: FileCode) -> str:
        """How far the conversions of a file are, in words."""
        return ", ".join(encoding.describe() for encoding in await self.list_encodings(code))

    async def find_thumbnail(self, code: FileCode) -> str | None:
        """Address of the host's picture of a file."""
        if self._session.dialect.image_call is not None:
            pictures = await self.find_pictures(code)
            return next(iter(pictures.values()), None)
        call = "file/info"
        rows = await self._session.ask_rows(call, [("file_code", code)], FileRow)
        files = [to_text(row.player_img) or to_text(row.single_img) for row in rows]
        return files[0] or None if files else None

    async def list_encodings(self, code: FileCode | None = None) -> list[Encoding]:
        self._session.need(self._session.capabilities.encodings, "list encodings")
        rows = await self._session.ask_rows(
            "file/encodings", [(self._session.dialect.encodings_filter, code)], dict[str, Any]
        )
        return [to_encoding(row) for row in rows]

    # --- uploads by URL ---

    async def add_remote_upload(
        self,
        url: str,
        *,
        folder: FolderId | None = None,
        title: str | None = None,
        options: UploadOptions | None = None,
    ) -> RemoteUpload:
        """The host fetches *url*. The code is good once it has. Never repeated blindly.

        Errors: AbilityError for a *title* that the call doesn't take.
        """
        call, names = "upload/url", self._session.dialect.remote_fields
        if title is not None and "title" not in names:
            raise AbilityError(f"{self._session.dialect.name} can't name what it fetches")
        params = render_options(names, options or UploadOptions(), title=title, folder=folder)
        row = await self._session.ask(
            call,
            [("url", url), *params],
            lambda e: decode_result(e.result, FileRow, FileRow(), call),
            repeatable=False,
        )
        code = row_code(row)
        return RemoteUpload(job=code, url=url, status="", code=code or None, folder=folder)

    async def list_remote_uploads(self, job: str | None = None) -> RemoteUploads:
        """Those that aren't done, or the one with the code *job*."""
        session, dialect = self._session, self._session.dialect
        session.need(session.capabilities.remote_upload_status, "say how remote uploads stand")
        call, params = dialect.remote_list, []
        if job is not None:
            call, param = dialect.remote_status
            params = [(param, job)]

        def parse(envelope: Envelope) -> RemoteUploads:
            rows = decode_rows(envelope.result, dict[str, Any], call)
            return RemoteUploads(
                uploads=tuple(to_remote_upload(row) for row in rows),
                requests_available=to_int(envelope.requests_available),
            )

        found = await session.ask(call, params, parse)
        if job is None and dialect.remote_slots is not None:
            total, used = await self.count_remote_slots()
            left = None if total is None else max(0, total - (used or 0))
            return RemoteUploads(uploads=found.uploads, requests_available=left)
        return found

    async def count_remote_slots(self) -> tuple[int | None, int | None]:
        """How many remote uploads the account may have at once, and how many it has."""
        call = self._session.dialect.remote_slots
        self._session.need(call, "tell slots of remote uploads")
        assert call is not None
        return await self._session.ask(
            call, [], lambda e: (to_int(e.total_slots), to_int(e.used_slots))
        )

    async def retry_remote_uploads(self) -> None:
        """Start all failed ones again."""
        await self._act_on_remote("retry")

    async def cancel_remote_uploads(self, jobs: Sequence[str] | None = None) -> None:
        """*jobs*: None: all of them."""
        if jobs is None:
            await self._act_on_remote("cancel_all")
        elif self._session.dialect.remote_cancels_many and jobs:
            await self._act_on_remote("cancel", ",".join(jobs))
        else:
            for job in jobs:
                await self._act_on_remote("cancel", job)

    async def clear_remote_errors(self) -> None:
        await self._act_on_remote("clear")

    async def _act_on_remote(self, action: str, value: str = "1") -> None:
        able = self._session.capabilities.remote_upload_status
        self._session.need(able, "change remote uploads")
        call, param = self._session.dialect.remote_actions[action]
        await self._session.do(call, [(param, value)])
