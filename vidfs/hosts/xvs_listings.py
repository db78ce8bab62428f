"""What lies in the folders of an XVideoSharing account: folder/list and file/list.

Source: S1 for both calls unless noted; API_FACTS §1.4, §2.4 on pages.
"""

from __future__ import annotations

import math
from functools import partial

import msgspec
import trio

from vidfs.errors import CallMissingError
from vidfs.hosts.api import Listing, RemoteFile, RemoteFolder
from vidfs.hosts.envelope import Envelope, decode_result, decode_rows
from vidfs.hosts.parallel import run_parallel
from vidfs.hosts.scalars import to_identifier, to_int, to_text
from vidfs.hosts.xvs_records import ROOT
from vidfs.hosts.xvs_rows import FilePage, FileRow, FolderRow, to_remote_file
from vidfs.hosts.xvs_session import Sent, XvsSession
from vidfs.types import FileCode, FolderId

PAGES_MAX = 100_000
CUT_STEP = 50
"""A folder of a multiple of so many files might have been cut there: see `_check_whole`."""


class XvsListings:
    def __init__(self, session: XvsSession) -> None:
        self._session = session
        self._check_lock = trio.Lock()
        self._uncut_files = 0
        self._cut_files: int | None = None

    async def list_folder(self, folder: FolderId) -> Listing:
        """Everything in *folder*.

        folder/list tells folders and files in one call and documents no paging: taken as
        whole (assumed), and checked against file/list's total where the number of files
        looks like a cut. Without folder/list there is only file/list. Errors:
        HostNotFoundError.
        """
        dialect, requested_at = self._session.dialect, self._session.transport.now()
        if not self._session.capabilities.list_folders:
            return await self._list_without_folders(folder, requested_at)
        whole = dialect.listing == "whole"
        extra = dialect.with_files if whole else dialect.without_files
        try:
            folders, files = await self._ask_folder(folder, extra)
        except CallMissingError:
            if not self._session.narrow("folder/list"):
                raise
            return await self._list_without_folders(folder, requested_at)
        if not whole or not await self._check_whole(folder, len(files)):
            files = await self.list_pages([("fld_id", folder)], folder=folder)
        inside = {f.folder for f in folders}
        if folder == ROOT:
            files = [f for f in files if f.folder == ROOT]
        else:
            files = [f for f in files if f.folder not in inside]
        return Listing(folder=folder, folders=folders, files=files, requested_at=requested_at)

    async def list_subfolders(self, folder: FolderId) -> list[RemoteFolder]:
        """The folders in *folder*, its files left out. Errors: CallMissingError."""
        folders, _ = await self._ask_folder(folder, self._session.dialect.without_files)
        return folders

    async def _list_without_folders(self, folder: FolderId, requested_at: float) -> Listing:
        """*folder*'s files. The root's listing reads all of the account's, for their folders.

        Source: API_FACTS §1.4: without fld_id file/list is over the whole account, and a
        folder is visible as the number in a file's fld_id.
        """
        params = [] if folder == ROOT else [("fld_id", folder)]
        files = await self.list_pages(params, folder=folder)
        inside = [f for f in files if f.folder == folder]
        elsewhere: dict[FolderId, None] = {}
        if folder == ROOT:
            elsewhere = dict.fromkeys(f.folder for f in files if f.folder not in (None, ROOT))
        for identifier in elsewhere:
            self._session.note_folder(identifier)
        return Listing(
            folder=folder,
            folders=[RemoteFolder(folder=found, name="") for found in elsewhere],
            files=inside,
            requested_at=requested_at,
            folders_complete=False,
        )

    async def _ask_folder(
        self, folder: FolderId, extra: Sent
    ) -> tuple[list[RemoteFolder], list[RemoteFile]]:
        return await self._session.ask(
            "folder/list", [("fld_id", folder), *extra], partial(self._parse_folder, folder=folder)
        )

    def _parse_folder(
        self, envelope: Envelope, *, folder: FolderId
    ) -> tuple[list[RemoteFolder], list[RemoteFile]]:
        call = "folder/list"
        page = decode_result(envelope.result, FilePage, FilePage(), call)
        folders = []
        for row in decode_rows(page.folders, FolderRow, call):
            identifier = to_identifier(row.fld_id)
            if identifier:
                self._session.note_folder(identifier)
                folders.append(
                    RemoteFolder(folder=FolderId(identifier), name=to_text(row.name), parent=folder)
                )
        return folders, self.to_files(page.files, call, folder)

    def to_files(self, raw: msgspec.Raw, call: str, folder: FolderId | None) -> list[RemoteFile]:
        """*folder*: where a row's file is unless it says."""
        clock = self._session.clock
        files = [to_remote_file(row, clock, folder) for row in decode_rows(raw, FileRow, call)]
        return [file for file in files if file.code]

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
        self, params: Sent, *, page: int, per_page: int, urgent: bool = False
    ) -> FilePage:
        call = "file/list"
        sent = [*params, ("per_page", str(per_page)), ("page", str(page))]
        return await self._session.ask(
            call, sent, lambda e: decode_result(e.result, FilePage, FilePage(), call), urgent=urgent
        )

    async def fetch_newest(self, count: int) -> list[RemoteFile]:
        """The first files that file/list tells of the whole account."""
        page = await self._fetch_page([], page=1, per_page=count)
        return self.to_files(page.files, "file/list", None)

    async def list_pages(self, params: Sent, *, folder: FolderId | None) -> list[RemoteFile]:
        """All pages of file/list: the first tells how many, the others come in parallel.

        A page with fewer rows than asked for isn't the last: hosts cap `per_page`.
        """
        files: dict[FileCode, RemoteFile] = {}

        async def fetch(number: int) -> FilePage:
            size = self._session.dialect.page_size
            page = await self._fetch_page(params, page=number, per_page=size)
            for found in self.to_files(page.files, "file/list", folder):
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
