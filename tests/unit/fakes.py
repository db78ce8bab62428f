"""What unit tests run on: a clock that jumps, a host in memory, a listener that notes."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import trio
import trio.testing

from vidfs.errors import HostNotFoundError
from vidfs.hosts.api import (
    AccountInfo,
    ByteStream,
    Capabilities,
    ContentStamp,
    DownloadLink,
    Listing,
    Pace,
    RemoteFile,
    RemoteFolder,
    UploadBody,
    UploadOptions,
    UploadReceipt,
)
from vidfs.types import FileCode, FolderId, Inode

EPOCH = 1_700_000_000.0
RUN_DEADLINE_S = 100_000.0  # of the jumping clock: a hang ends quickly

ALL = Capabilities(
    create_folder=True,
    rename_folder=True,
    move_folder=True,
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
    upload_hash=None,
    upload_bytes_max=None,
    listing_sizes=True,
    listing_hash=None,
    list_new_files=False,
    info_batch_max=50,
    info_sizes=True,
    quota=False,
    clone=False,
    edit_fields=frozenset({"public", "adult", "tags", "category", "description"}),
)


def clock() -> float:
    """Unix seconds by the clock of the test."""
    return EPOCH + trio.current_time()


def run(main: Callable[[], Awaitable[None]]) -> None:
    """*main* on a clock that jumps to the next deadline whenever everybody waits."""

    async def bounded() -> None:
        with trio.fail_after(RUN_DEADLINE_S):
            await main()

    trio.run(bounded, clock=trio.testing.MockClock(autojump_threshold=0))


def formula(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes no two places of which look the same."""
    return bytes((i * i >> 8 ^ i * 7 ^ i >> 16 ^ seed) & 255 for i in range(size_bytes))


Step = Callable[[], Awaitable[None]]


@dataclass
class Stored:
    file: RemoteFile
    content: bytes
    options: UploadOptions = field(default_factory=UploadOptions)


class FakeHost:
    """An account in memory. `before[call]` and `after[call]` run around the work of a call,
    each entry for one call, in order; what they raise is the call's outcome."""

    name = "fake"
    root = FolderId("0")
    clock_offset_s = 0.0

    def __init__(self, **abilities: Any) -> None:
        self.capabilities = replace(ALL, **abilities)
        self.calls: Counter[str] = Counter()
        self.before: dict[str, deque[Step]] = {}
        self.after: dict[str, deque[Step]] = {}
        self.folders: dict[FolderId, RemoteFolder] = {}
        self.stored: dict[FileCode, Stored] = {}
        self.info = AccountInfo(login="me")
        self.ids = 0
        self.lists: Callable[[RemoteFile], bool] = lambda file: True
        self.says_sizes = True
        self.says_folder = True
        self.max_uploads_at_once = 0
        self._uploads_now = 0
        self.streams: list[FakeStream] = []
        self.links = 0
        self.stream_options: dict[str, Any] = {}
        self.clock = clock

    # --- for tests -----------------------------------------------------------------------

    def add_folder(self, name: str, parent: FolderId | None = None) -> FolderId:
        self.ids += 1
        folder = FolderId(f"f{self.ids}")
        self.folders[folder] = RemoteFolder(folder=folder, name=name, parent=parent or self.root)
        return folder

    def add(
        self, title: str, content: bytes = b"x", folder: FolderId | None = None, **more: Any
    ) -> FileCode:
        self.ids += 1
        code = FileCode(f"c{self.ids}")
        file = RemoteFile(
            code=code, title=title, folder=folder or self.root, size_bytes=len(content), **more
        )
        self.stored[code] = Stored(file, content)
        return code

    def change(self, code: FileCode, **changes: Any) -> None:
        self.stored[code].file = replace(self.stored[code].file, **changes)

    def paths(self) -> list[str]:
        """Of every file, and of every folder, with a slash at its end."""

        def path_of(folder: FolderId | None) -> str:
            if folder is None or folder == self.root:
                return "/"
            known = self.folders[folder]
            return f"{path_of(known.parent)}{known.name}/"

        files = [path_of(s.file.folder) + s.file.title for s in self.stored.values()]
        return sorted([*files, *(path_of(folder) for folder in self.folders)])

    def titles(self, folder: FolderId | None = None) -> list[str]:
        where = folder or self.root
        return sorted(s.file.title for s in self.stored.values() if s.file.folder == where)

    def on(self, call: str, *steps: Step, when: str = "before") -> None:
        """Let *steps* run before (after) the next calls, one each."""
        table = self.before if when == "before" else self.after
        table.setdefault(call, deque()).extend(steps)

    # --- VideoHost -----------------------------------------------------------------------

    async def _begin(self, call: str) -> None:
        self.calls[call] += 1
        if self.before.get(call):
            await self.before[call].popleft()()
        await trio.lowlevel.checkpoint()

    async def _end(self, call: str) -> None:
        if self.after.get(call):
            await self.after[call].popleft()()

    async def probe(self) -> Capabilities:
        self.calls["probe"] += 1
        return self.capabilities

    def restore(self, capabilities: Capabilities) -> None:
        self.capabilities = capabilities

    async def account_info(self) -> AccountInfo:
        await self._begin("account_info")
        return self.info

    def _shown(self, file: RemoteFile) -> RemoteFile:
        shown = file if self.says_sizes else replace(file, size_bytes=None)
        return self._placed(shown)

    def _placed(self, file: RemoteFile) -> RemoteFile:
        return file if self.says_folder else replace(file, folder=None)

    async def list_folder(self, folder: FolderId) -> Listing:
        requested_at = self.clock()
        await self._begin("list_folder")
        if folder != self.root and folder not in self.folders:
            raise HostNotFoundError("no such folder", call="list_folder")
        listing = Listing(
            folder=folder,
            folders=[f for f in self.folders.values() if f.parent == folder],
            files=[
                self._shown(s.file)
                for s in self.stored.values()
                if s.file.folder == folder and self.lists(s.file)
            ],
            requested_at=requested_at,
        )
        await self._end("list_folder")
        return listing

    @property
    def pace(self) -> Pace:
        return Pace()

    async def list_new_files(self, since: float) -> Sequence[RemoteFile]:
        return []

    async def find_encoding(self, code: FileCode) -> str:
        await self._begin("find_encoding")
        return ""

    async def find_thumbnail(self, code: FileCode) -> str | None:
        await self._begin("find_thumbnail")
        return None

    async def file_info(self, codes: Sequence[FileCode]) -> Mapping[FileCode, RemoteFile]:
        await self._begin("file_info")
        known = (code for code in codes if code in self.stored)
        return {code: self._placed(self.stored[code].file) for code in known}

    async def find_size(self, code: FileCode) -> int | None:
        await self._begin("find_size")
        return self.stored[code].file.size_bytes if code in self.stored else None

    async def create_folder(self, parent: FolderId, name: str) -> FolderId:
        await self._begin("create_folder")
        if parent != self.root and parent not in self.folders:
            raise HostNotFoundError("no such folder", call="create_folder")
        folder = self.add_folder(name, parent)
        await self._end("create_folder")
        return folder

    async def edit_folder(
        self, folder: FolderId, *, name: str | None = None, parent: FolderId | None = None
    ) -> None:
        await self._begin("edit_folder")
        old = self.folders[folder]
        self.folders[folder] = replace(old, name=name or old.name, parent=parent or old.parent)
        await self._end("edit_folder")

    async def delete_folder(self, folder: FolderId) -> None:
        """With all that is in it, as hosts do."""
        await self._begin("delete_folder")
        if folder not in self.folders:
            raise HostNotFoundError("no such folder", call="delete_folder")
        self._delete_below(folder)
        await self._end("delete_folder")

    def _delete_below(self, folder: FolderId) -> None:
        for inner in [f.folder for f in self.folders.values() if f.parent == folder]:
            self._delete_below(inner)
        for code in [c for c, s in self.stored.items() if s.file.folder == folder]:
            del self.stored[code]
        del self.folders[folder]

    async def edit_file(
        self,
        code: FileCode,
        *,
        title: str | None = None,
        folder: FolderId | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        await self._begin("edit_file")
        if code not in self.stored:
            raise HostNotFoundError("no such file", call="edit_file")
        if folder is not None and folder != self.root and folder not in self.folders:
            raise HostNotFoundError("no such folder", call="edit_file")
        file = self.stored[code].file
        self.stored[code].file = replace(
            file,
            title=file.title if title is None else title,
            folder=file.folder if folder is None else folder,
            extra={**file.extra, **(fields or {})},
        )
        await self._end("edit_file")

    async def delete_file(self, code: FileCode) -> None:
        await self._begin("delete_file")
        if code not in self.stored:
            raise HostNotFoundError("no such file", call="delete_file")
        del self.stored[code]
        await self._end("delete_file")

    async def clone_file(
        self, code: FileCode, *, title: str | None = None, folder: FolderId | None = None
    ) -> FileCode:
        await self._begin("clone_file")
        old = self.stored[code]
        clone = self.add(title or old.file.title, old.content, folder, uploaded_at=self.clock())
        await self._end("clone_file")
        return clone

    async def begin_clone(self, code: FileCode, *, title: str, folder: FolderId) -> FileCode:
        await self._begin("begin_clone")
        if code not in self.stored:
            raise HostNotFoundError("no such file", call="begin_clone")
        old, sets = self.stored[code], self.capabilities.clone_sets
        clone = self.add(
            title if "title" in sets else old.file.title,
            old.content,
            folder if "folder" in sets else self.root,
            uploaded_at=self.clock(),
            extra=old.file.extra,
        )
        await self._end("begin_clone")
        return clone

    async def upload(
        self, body: UploadBody, *, folder: FolderId, title: str, options: UploadOptions
    ) -> UploadReceipt:
        self._uploads_now += 1
        self.max_uploads_at_once = max(self.max_uploads_at_once, self._uploads_now)
        try:
            await self._begin("upload")
            content = body.path.read_bytes()
            body.on_progress(len(content))
            if self.before.get("store"):
                await self.before["store"].popleft()()
            landing = folder if self.capabilities.upload_into_folder else self.root
            code = self.add(title, content, landing, uploaded_at=self.clock())
            self.stored[code].options = options
            await self._end("upload")
        finally:
            self._uploads_now -= 1
        return UploadReceipt(code=code, size_bytes=len(content))

    async def open_link(self, code: FileCode) -> DownloadLink:
        await self._begin("open_link")
        self.links += 1
        return DownloadLink(url=json.dumps([code, self.links]))

    @asynccontextmanager
    async def open_stream(
        self, link: DownloadLink, start_byte: int, stop_byte: int | None = None
    ) -> AsyncIterator[ByteStream]:
        await self._begin("open_stream")
        code, _ = json.loads(link.url)
        content = self.stored[code].content
        stream = FakeStream(content, start_byte, stop_byte, **self.stream_options)
        self.streams.append(stream)
        try:
            yield stream
        finally:
            stream.is_closed = True

    async def aclose(self) -> None:
        pass


class FakeStream:
    """A body that arrives in *block_bytes* every *pace_s*, and may end too early."""

    def __init__(
        self,
        content: bytes,
        start_byte: int,
        stop_byte: int | None = None,
        *,
        block_bytes: int = 100_000,
        pace_s: float = 0.001,
        ignores_range: bool = False,
        cut_after_bytes: int | None = None,
        stamp: ContentStamp | None = None,
    ) -> None:
        self.asked_byte = start_byte
        self.asked_stop = stop_byte
        self.start_byte = 0 if ignores_range else start_byte
        self.total_bytes = len(content)
        self.stamp = stamp
        self.is_closed = False
        self.given_bytes = 0
        self._content = content[:stop_byte]
        self._block_bytes = block_bytes
        self._pace_s = pace_s
        self._cut_after_bytes = cut_after_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        at = self.start_byte
        while at < len(self._content):
            await trio.sleep(self._pace_s)
            block = self._content[at : at + self._block_bytes]
            if self._cut_after_bytes is not None:
                block = block[: max(0, self._cut_after_bytes - self.given_bytes)]
                if not block:
                    return
            self.given_bytes += len(block)
            at += len(block)
            yield block


class Notes:
    """A TreeListener that remembers."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, str, int | None]] = []
        self.nodes: list[tuple[int, bool]] = []

    def entry_changed(self, parent: Inode, name: str, gone: Inode | None) -> None:
        self.entries.append((parent, name, gone))

    def node_changed(self, inode: Inode, *, content: bool) -> None:
        self.nodes.append((inode, content))


def raising(error: BaseException) -> Step:
    async def step() -> None:
        raise error

    return step


def waiting(event: trio.Event) -> Step:
    return event.wait


async def settle() -> None:
    """Let everybody run who can."""
    await trio.testing.wait_all_tasks_blocked()
