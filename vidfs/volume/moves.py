"""Moving folders on hosts that can only move files.

A new folder is made where the old one is to go, and from that moment on it is the folder of the
tree. What lies in the old one follows behind that, file by file and folder by folder, until the
old one is seen empty and goes. A journal (`FolderMove`) says at any moment which old folder
belongs to which folder of the tree, so that a new daemon goes on where the last one was killed;
until a file has moved, the tree shows it where it is going (`tree.moves`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field

import trio

from vidfs.errors import (
    BadRequestError,
    HostNotFoundError,
    NotFoundError,
    OutcomeUnknownError,
    SpoolError,
    TransientHostError,
    VidfsError,
)
from vidfs.hosts.api import Listing, RemoteFile, RemoteFolder, VideoHost
from vidfs.tree.merge import MOVED_PREFIX, TRASH_PREFIX
from vidfs.tree.node import Node
from vidfs.tree.store import FolderMove
from vidfs.tree.tree import Tree, TreeListener
from vidfs.types import FileCode, FolderId, Inode, JobState, NodeKind
from vidfs.volume.trash import Trash
from vidfs.volume.writeback import Writeback

log = logging.getLogger(__name__)

Lock = Callable[[Node], AbstractAsyncContextManager[None]]

ANSWER_S = 2.0
"""So long `rename` waits for the outcome, to be able to report a refusal. The kernel lets nobody
look into the two parent folders meanwhile, so not longer."""
_CALL_DEADLINE_S = 30.0
_PARALLEL = 8  # files moved at once; others want to be answered, too
_PAUSE_S, _PAUSE_S_MAX = 0.5, 60.0
_LAG_S = 30.0  # so long a host may go on listing a file where it was

_AGAIN = (TransientHostError, OutcomeUnknownError, SpoolError, trio.TooSlowError)


@dataclass(slots=True)
class _Progress:
    """What this daemon knows of one `FolderMove`."""

    done: trio.Event = field(default_factory=trio.Event)
    error: VidfsError | None = None  # the first refusal
    moved: dict[FileCode, float] = field(default_factory=dict)  # when, by trio's clock
    steps: int = 0  # files and folders that followed


class FolderMoves:
    def __init__(
        self,
        tree: Tree,
        host: VideoHost,
        writeback: Writeback,
        trash: Trash,
        *,
        listener: TreeListener,
        lock: Lock,
    ) -> None:
        """*lock*: of a node, held while the host is asked to change something about it."""
        self._tree = tree
        self._host = host
        self._writeback = writeback
        self._trash = trash
        self._listener = listener
        self._lock = lock
        self._nursery: trio.Nursery | None = None
        self._progress: dict[FolderId, _Progress] = {}
        self._arriving: Counter[str] = Counter()  # calls under way that move a file into it
        self._wake = trio.Event()

    def start(self, nursery: trio.Nursery) -> None:
        """From now on moves go on in *nursery*: those of the last daemon first."""
        self._nursery = nursery
        for move in self._tree.moves.all:
            self._launch(move)

    @property
    def pending(self) -> int:
        return len(self._progress)

    async def wait_idle(self) -> None:
        while self._progress:
            await self._wake.wait()

    @property
    def able(self) -> bool:
        """Whether the host can do what it takes."""
        can = self._host.capabilities
        removes = can.delete_folder or can.rename_folder
        return can.move_file and can.create_folder and can.list_folders and removes

    async def move(self, node: Node, target: Node, name: str) -> None:
        """*node* becomes *name* in *target*; their locks are held. What is in it may go on
        following after this has returned. Errors: HostError: then nothing has happened."""
        was_begun = self._tree.moves.find(node.remote or "") is not None
        move = self._tree.moves.begin(node, target, name)
        try:
            with trio.fail_after(_CALL_DEADLINE_S):
                folder = await self._make(target, name, adopt=was_begun)
            self._tree.moves.switch(move, folder, name)
        except Exception:
            self._tree.moves.end(move.old, emptied=False)
            raise
        self._launch(move)

    async def answer(self, old: str) -> None:
        """Wait a moment for the outcome of moving *old*. Errors: what the host refused it with."""
        progress = self._progress.get(FolderId(old))
        if progress is not None:
            with trio.move_on_after(ANSWER_S):
                await progress.done.wait()
            if progress.error is not None:
                raise progress.error

    async def _make(self, parent: Node, name: str, *, adopt: bool) -> FolderId:
        """A new folder at the host. *adopt*: it may have been made already."""
        if adopt:
            listing = await self._host.list_folder(FolderId(parent.remote or ""))
            for folder in listing.folders:
                is_known = self._tree.find_by_remote(NodeKind.FOLDER, folder.folder) is not None
                if folder.name == name and not (is_known or self._tree.moves.find(folder.folder)):
                    return folder.folder
        return await self._host.create_folder(FolderId(parent.remote or ""), name)

    # --- behind it ---------------------------------------------------------------------------

    def _launch(self, move: FolderMove) -> _Progress:
        assert self._nursery is not None
        known = self._progress.get(move.old)
        if known is not None:
            return known
        progress = self._progress[move.old] = _Progress()
        self._nursery.start_soon(self._run, move.old, progress, name=f"move {move.old}")
        return progress

    async def _run(self, old: FolderId, progress: _Progress) -> None:
        try:
            await self._finish(old, progress)
        except Exception as error:  # its row stays: the next start tries again
            log.exception("moving a folder broke")
            progress.error = progress.error or VidfsError(f"unforeseen: {error}")
        finally:
            del self._progress[old]
            progress.done.set()
            self._tell()

    def _tell(self) -> None:
        self._wake.set()
        self._wake = trio.Event()

    async def _finish(self, old: FolderId, progress: _Progress) -> None:
        """Take the move of *old* to its end, however often the host fails meanwhile."""
        pause_s = _PAUSE_S
        while (move := self._tree.moves.find(old)) is not None:
            steps = progress.steps
            try:
                if not move.is_made:
                    await self._resume(move)
                    continue
                if await self._advance(move, progress):
                    return
            except _AGAIN as error:
                log.info("%s: moving goes on in %.0f s: %s", move.title, pause_s, error)
            except VidfsError as error:
                progress.error = progress.error or error
                await self._give_up(move, error)
                return
            if progress.steps > steps:
                pause_s = _PAUSE_S
                continue
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S_MAX)

    async def _resume(self, move: FolderMove) -> None:
        """Go on with a *move* whose new folder may or may not have been made."""
        node, parent = self._find(move.inode), self._find(move.parent)
        name = move.name or ""
        if node is None or parent is None or node.remote != move.old:
            self._tree.moves.end(move.old, emptied=False)
            return
        is_inside = node.parent == parent.inode and node.name == name
        taken = self._tree.find_child(parent, name)
        if taken not in (None, node) or parent is node or node in self._tree.ancestors(parent):
            log.warning("%s stays where it is: %s is in the way", node.name, name)
            self._tree.moves.end(move.old, emptied=False)
            return
        async with self._lock(node):
            if self._tree.moves.find(move.old) != move:
                return
            with trio.fail_after(_CALL_DEADLINE_S):
                title = move.title if is_inside else name
                folder = await self._make(parent, title, adopt=True)
            before = node.parent, node.name
            self._tree.moves.switch(move, folder, None if is_inside else name)
        self._listener.entry_changed(*before, None)
        self._listener.entry_changed(parent.inode, node.name, None)

    async def _advance(self, move: FolderMove, progress: _Progress) -> bool:
        """Move what lies in the old folder now. True: it was empty, and is gone."""
        node = self._find(move.inode)
        with trio.fail_after(_CALL_DEADLINE_S):
            listing = await self._list(move)
        if listing is None:
            self._tree.moves.end(move.old, emptied=True)
            return True
        files, folders = self._to_move(listing)
        if node is None and (files or folders):
            raise NotFoundError(f"{move.title} was removed, but something was left in it")
        if node is not None:
            codes = {file.code for file in files}
            codes |= self._maybe_unlisted(node, move, progress)
            await self._move_files(node, codes, progress)
            for folder in folders:
                await self._move_subfolder(node, folder, progress)
        if files or folders:
            if progress.error is not None:
                raise progress.error
            return False
        # What is on its way into it must not find it gone, or go with it.
        await self._writeback.queue.wait_until(lambda: not self._is_awaited(move))
        while self._arriving[move.old]:
            await self._wake.wait()
        return await self._remove_old(move)

    async def _list(self, move: FolderMove) -> Listing | None:
        try:
            return await self._host.list_folder(move.old)
        except HostNotFoundError:
            return None

    def _to_move(self, listing: Listing) -> tuple[Sequence[RemoteFile], Sequence[RemoteFolder]]:
        """What is to follow. An upload whose answer is due is settled by the queue."""
        files = [
            file
            for file in listing.files
            if file.folder in (None, listing.folder) and not self._writeback.is_in_flight(file)
        ]
        return files, [f for f in listing.folders if not f.name.startswith(TRASH_PREFIX)]

    def _maybe_unlisted(self, node: Node, move: FolderMove, progress: _Progress) -> set[FileCode]:
        """Files that came into the old folder so short before that a listing may lack them."""
        return {
            FileCode(child.remote)
            for child in self._tree.entries(node).values()
            if not child.is_folder
            and child.remote is not None
            and child.remote not in progress.moved
            and child.unsettled_since is not None
            and child.unsettled_since <= move.begun_at
        }

    async def _move_files(self, node: Node, codes: set[FileCode], progress: _Progress) -> None:
        now = trio.current_time()
        waiting = [
            code for code in sorted(codes) if now > progress.moved.get(code, -_LAG_S) + _LAG_S
        ]
        failures: list[Exception] = []
        lost = False

        async def work() -> None:
            nonlocal lost
            while waiting and not failures:
                code = waiting.pop()
                try:
                    with trio.fail_after(_CALL_DEADLINE_S):
                        await self._move_file(node, code)
                except HostNotFoundError:
                    lost = True  # it, or its new folder: a fresh listing says which
                except _AGAIN as error:
                    failures.append(error)
                    return
                except VidfsError as error:
                    log.warning("the host refuses to move a file of %s: %s", node.name, error)
                    progress.error = progress.error or error
                    continue
                progress.moved[code] = trio.current_time()
                progress.steps += 1

        async with trio.open_nursery() as nursery:
            for _ in range(min(_PARALLEL, len(waiting))):
                nursery.start_soon(work)
        if lost:
            with suppress(NotFoundError):
                await self._tree.refresh_newest(node)
        if failures:
            raise failures[0]

    async def _move_file(self, folder: Node, code: FileCode) -> None:
        node = self._tree.find_by_remote(NodeKind.FILE, code)
        async with self._lock(node) if node is not None else _no_lock():
            if node is not None and node.parent != folder.inode:
                return  # moved elsewhere meanwhile
            if folder.remote is None or not folder.linked:
                return
            target = FolderId(folder.remote)
            self._arriving[target] += 1
            try:
                await self._host.edit_file(code, folder=target)
            finally:
                self._arriving[target] -= 1
                self._tell()
            if node is not None and node.linked:
                self._tree.moves.record_moved(node)

    async def _move_subfolder(self, parent: Node, folder: RemoteFolder, above: _Progress) -> None:
        """A folder inside of the old one gets a new one, too, and is emptied in turn."""
        if self._tree.moves.find(folder.folder) is None:
            node = self._tree.find_by_remote(NodeKind.FOLDER, folder.folder)
            if node is None:  # made elsewhere
                await self._tree.refresh_newest(parent)
                node = self._tree.find_by_remote(NodeKind.FOLDER, folder.folder)
            if node is None or node.parent != parent.inode:
                return
            async with self._lock(node):
                if node.linked and node.remote == folder.folder and node.parent == parent.inode:
                    self._tree.moves.begin(node, parent, node.name)
        move = self._tree.moves.find(folder.folder)
        if move is None:
            return
        progress = self._launch(move)
        await progress.done.wait()
        if progress.error is not None:
            raise progress.error
        above.steps += 1

    def _is_awaited(self, move: FolderMove) -> bool:
        """Whether an upload is on its way into the old folder, or may just be moved there."""
        return any(
            (job.sent_folder == move.old and (job.pending or job.outcome_unknown))
            or (job.state is JobState.CONFIRMING and self._is_in(job.inode, move.inode))
            for job in self._writeback.queue.jobs
        )

    def _is_in(self, inode: Inode | None, folder: Inode) -> bool:
        local = self._writeback.find(inode) if inode is not None else None
        return local is not None and local.node.parent == folder

    async def _remove_old(self, move: FolderMove) -> bool:
        """Remove the old folder if it is empty at the host at this moment."""
        with trio.fail_after(_CALL_DEADLINE_S):
            listing = await self._list(move)
            if listing is not None:
                if any(self._to_move(listing)) or listing.files:
                    return False
                if listing.folders and self._host.capabilities.delete_folder:
                    raise NotFoundError(f"{move.title} holds folders that can't follow")
                try:
                    await self._trash.dispose_folder(move.old, move.title, prefix=MOVED_PREFIX)
                except HostNotFoundError:
                    pass
                except BadRequestError:
                    return False  # hosts lag behind their own changes: it isn't empty for it yet
        self._tree.moves.end(move.old, emptied=True)
        return True

    async def _give_up(self, move: FolderMove, error: VidfsError) -> None:
        """The host won't: what didn't follow stays in the old folder, which is shown again."""
        log.warning("%s was not moved whole: %s", move.title, error)
        self._tree.moves.end(move.old, emptied=False)
        node, place = self._find(move.inode), self._find(move.place)
        try:
            if place is not None:
                await self._tree.refresh_newest(place)
            old = self._tree.find_by_remote(NodeKind.FOLDER, move.old)
            if old is not None and old is not node:
                await self._tree.refresh_newest(old)
            if move.is_made and node is not None and node.remote is not None:
                await self._tree.refresh_newest(node)
                if not self._tree.entries(node) and node.linked:
                    await self._trash.dispose_folder(
                        FolderId(node.remote), node.title, prefix=MOVED_PREFIX
                    )
                    self._listener.entry_changed(node.parent, node.name, node.inode)
                    self._tree.remove(node)
        except (VidfsError, trio.TooSlowError) as trouble:
            log.warning("after that: %s", trouble)
        if node is not None:
            # The kernel believes that a rename that failed has changed nothing.
            self._listener.entry_changed(move.place, node.name, None)
            self._listener.entry_changed(node.parent, node.name, None)
            self._listener.entry_changed(move.place, move.title, None)

    def _find(self, inode: int | None) -> Node | None:
        """The folder of that number, if it is still in the tree."""
        try:
            node = self._tree.get(inode) if inode is not None else None  # type: ignore[arg-type]
        except NotFoundError:
            return None
        return node if node is not None and node.linked else None


@asynccontextmanager
async def _no_lock() -> AsyncIterator[None]:
    yield
