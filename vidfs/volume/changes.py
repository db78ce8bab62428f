"""Making, removing, renaming: what changes names, at the host and here.

Every change holds the name lock of the folders it touches while it asks the host, so that two
changes to one name come one after the other. Locks are taken in the order of inode numbers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import trio

from vidfs.content.chunkcache import ChunkCache
from vidfs.content.uploads import OUTCOME_GRACE_S
from vidfs.errors import (
    BadRequestError,
    ExistsError,
    HostNotFoundError,
    InvalidArgumentError,
    IsFolderError,
    MediaTypeError,
    MoveAbilityError,
    NamespaceAbilityError,
    NameTooLongError,
    NotEmptyError,
    NotFolderError,
    NotFoundError,
)
from vidfs.hosts.api import VideoHost
from vidfs.tree.merge import TRASH_FOLDER, TRASH_PREFIX
from vidfs.tree.names import (
    bytes_of,
    decorated,
    fitted,
    is_scratch,
    shown_name,
    title_for_rename,
    with_extension,
)
from vidfs.tree.node import Node
from vidfs.tree.tree import Tree, TreeListener
from vidfs.types import NAME_BYTES_MAX, ROOT_INODE, FileCode, FolderId, Inode, NodeKind
from vidfs.volume.files import Files
from vidfs.volume.moves import FolderMoves
from vidfs.volume.settings import VolumeSettings
from vidfs.volume.trash import Trash
from vidfs.volume.unfinished import Unfinished
from vidfs.volume.writeback import LocalFile, Writeback

log = logging.getLogger(__name__)

CHANGE_DEADLINE_S = 30.0  # for a call that changes something, with its retries
_EMPTYING_S = 10.0  # so long a folder may be full for a host after its files were deleted
_ARRIVING_S = OUTCOME_GRACE_S + 5.0  # by then it is known what became of an upload into it


class Changes:
    def __init__(
        self,
        *,
        tree: Tree,
        host: VideoHost,
        files: Files,
        cache: ChunkCache,
        writeback: Writeback,
        trash: Trash,
        listener: TreeListener,
        unfinished: Unfinished,
        settings: VolumeSettings,
        default_extension: str,
    ) -> None:
        self._tree = tree
        self._host = host
        self._files = files
        self._cache = cache
        self._writeback = writeback
        self._trash = trash
        self._unfinished = unfinished
        self._listener = listener
        self._settings = settings
        self._default_extension = default_extension
        self._locks: dict[Inode, trio.Lock] = {}
        self.moves = FolderMoves(tree, host, writeback, trash, listener=listener, lock=self._locked)

    # --- making ------------------------------------------------------------------------------

    async def create_file(self, folder: Node, name: str, flags: int) -> tuple[int, Node]:
        """A new empty file and a handle of it. Errors: ExistsError, MediaTypeError …"""
        self._check_new_name(name)
        self._check_media_type(name)
        async with self._locked(folder):
            node = await self._tree.look(folder, name)
            if node is not None:
                if flags & os.O_EXCL:
                    raise ExistsError(f"{name} exists")
                if node.is_folder:
                    raise IsFolderError(f"{name} is a folder")
                return await self._files.open(node, flags), node
            node = self._tree.add_file(folder, name)
            try:
                fh = self._files.create(node, flags)
            except BaseException:
                self._tree.remove(node)
                raise
            return fh, node

    async def make_folder(self, folder: Node, name: str) -> Node:
        self._check_new_name(name)
        async with self._locked(folder):
            if await self._tree.look(folder, name) is not None:
                raise ExistsError(f"{name} exists")
            if not self._host.capabilities.create_folder:
                raise NamespaceAbilityError(f"{self._host.name} can't create folders")
            with self._unfinished.noted(folder):
                with change_deadline():
                    folder_id = await self._host.create_folder(FolderId(folder.remote or ""), name)
                node = self._tree.find_by_remote(NodeKind.FOLDER, folder_id)
                if node is None:
                    node = self._tree.add_folder(folder, name, folder_id)
            return node

    # --- removing ----------------------------------------------------------------------------

    async def unlink(self, folder: Node, name: str) -> None:
        async with self._locked(folder):
            node = await self._get_child(folder, name)
            if node.is_folder:
                raise IsFolderError(f"{name} is a folder")
            await self._remove_file(node)

    async def _remove_file(self, node: Node) -> None:
        """Take *node* from the host and from the tree."""
        if node.remote is None:
            self._writeback.removed(node, deleted=None)
            return
        self._check_may_delete()
        async with self._locked(node):
            code = FileCode(node.remote)  # not before: an upload may just have given it another
            if self._writeback.is_confirming(node):
                # The host is being asked to put it right: it is removed behind that.
                self._cache.forget(code)
                self._writeback.removed(node, deleted=None)
                return
            with self._unfinished.noted(node, removes=True):
                with change_deadline():
                    try:
                        await self._trash.remove_file(node)
                    except HostNotFoundError:
                        log.info("%s was already gone from the host", node.name)
                self._cache.forget(code)
                self._writeback.removed(node, deleted=code)

    def _check_may_delete(self) -> None:
        if self._settings.delete_deny:
            raise NamespaceAbilityError("deleting is switched off (delete=deny)")

    async def remove_folder(self, folder: Node, name: str) -> None:
        async with self._locked_entries((folder, name)):
            node = await self._get_child(folder, name)
            if not node.is_folder:
                raise NotFolderError(f"{name} is not a folder")
            await self._remove_folder(node)

    async def _remove_folder(self, node: Node) -> None:
        """Remove *node*, whose own lock is held, so that nothing is put into it meanwhile."""
        self._check_may_delete()
        with self._unfinished.noted(node, removes=True):
            with change_deadline():
                await self._check_empty(node)
                await self._remove_emptied(node)
            self._tree.remove(node)

    async def _check_empty(self, node: Node) -> None:
        """A host's own deletion takes the videos inside with it: look for certain."""
        await self._tree.refresh_newest(node)
        if self._tree.entries(node):
            raise NotEmptyError(f"{node.name} is not empty")

    async def _remove_emptied(self, node: Node) -> None:
        """Remove a folder that was seen empty. A host may lag behind its own deletions, and an
        upload may arrive in it that has its place elsewhere by now: it would go with it."""
        queue, folder = self._writeback.queue, FolderId(node.remote or "")
        takes_all = self._host.capabilities.delete_folder
        began_at = trio.current_time()
        has_waited = False
        while True:
            if takes_all and queue.is_bound_for(folder):
                reason, patience_s = "an upload is still on its way into it", _ARRIVING_S
                has_waited = True
            else:
                if has_waited:  # others may have put something into it
                    await self._check_empty(node)
                try:
                    await self._trash.remove_folder(node)
                    return
                except BadRequestError:
                    reason, patience_s = "the host says that it is not empty", _EMPTYING_S
            if trio.current_time() > began_at + patience_s:
                raise NotEmptyError(f"{node.name}: {reason}")
            await trio.sleep(0.5)

    # --- renaming ----------------------------------------------------------------------------

    async def rename(
        self, source: Node, old_name: str, target: Node, new_name: str, *, replace: bool
    ) -> None:
        """*old_name* in *source* becomes *new_name* in *target*."""
        self._check_new_name(new_name)
        moved: str | None = None
        async with self._locked_entries((source, old_name), (target, new_name)):
            node = await self._get_child(source, old_name)
            victim = await self._tree.look(target, new_name)
            if victim is node:
                return
            if victim is not None:
                if not replace:
                    raise ExistsError(f"{new_name} exists")
                _check_replaceable(node, victim)
            if node.is_folder:
                moved = node.remote
                await self._rename_folder(node, target, new_name, victim)
            else:
                await self._rename_file(node, target, new_name, victim)
        if moved is not None:
            await self.moves.answer(moved)

    async def _rename_folder(
        self, node: Node, target: Node, name: str, victim: Node | None
    ) -> None:
        if target is node or any(above is node for above in self._tree.ancestors(target)):
            raise InvalidArgumentError("a folder can't be moved into itself")
        assert node.remote is not None
        if victim is not None and self._tree.entries(victim):
            raise NotEmptyError(f"{victim.name} is not empty")
        can = self._host.capabilities
        renames, moves = name != node.name, target.inode != node.parent
        by_files = moves and not can.move_folder
        if by_files and not self.moves.able:
            raise MoveAbilityError(f"{self._host.name} can't move folders")
        if renames and not by_files and not can.rename_folder:
            raise NamespaceAbilityError(f"{self._host.name} can't rename folders")
        if victim is not None:
            await self._remove_folder(victim)
        if by_files:
            await self.moves.move(node, target, name)
            return
        with self._unfinished.noted(node, target=target, name=name):
            with change_deadline():
                await self._host.edit_folder(
                    FolderId(node.remote),
                    name=name if renames else None,
                    parent=FolderId(target.remote or "") if moves else None,
                )
            self._tree.move(node, target, name, title=name)

    async def retitle(self, node: Node, title: str) -> None:
        """Give *node* another title at the host: its name follows, as if it were listed anew.

        Errors: NamespaceAbilityError for the root and for names that are reserved.
        """
        if node.inode == ROOT_INODE or title == TRASH_FOLDER or title.startswith(TRASH_PREFIX):
            raise NamespaceAbilityError(f"{title} is reserved, or this is the root")
        folder = self._tree.get(node.parent)
        async with self._locked(folder, node):
            remote = node.remote or ""
            with change_deadline():
                if node.is_folder:
                    await self._host.edit_folder(FolderId(remote), name=title)
                else:
                    await self._host.edit_file(FileCode(remote), title=title)
            name = shown_name(title, remote)
            if not node.is_folder:
                name = with_extension(name, self._default_extension)
            name, before = fitted(name, remote), node.name
            if self._tree.find_child(folder, name) not in (None, node):
                name = decorated(name, remote)
            self._tree.move(node, folder, name, title=title)
            self._writeback.renamed(node)
        if name != before:
            self._listener.entry_changed(folder.inode, before, None)
            self._listener.entry_changed(folder.inode, name, None)

    async def _rename_file(self, node: Node, target: Node, name: str, victim: Node | None) -> None:
        if _extension_differs(node.name, name) or node.remote is None:
            self._check_media_type(name)
        if victim is not None and victim.remote is not None:
            self._check_may_delete()
        local = self._writeback.find(node.inode)
        if local is not None and (node.remote is None or local.job.pending):
            await self._rename_local(node, local, target, name, victim)
            return
        assert node.remote is not None
        can = self._host.capabilities
        title = title_for_rename(name, node.title, self._default_extension)
        moves = target.inode != node.parent
        if moves and not can.move_file:
            raise MoveAbilityError(f"{self._host.name} can't move files")
        if title != node.title and not can.rename_file:
            raise NamespaceAbilityError(f"{self._host.name} can't rename files")
        with self._unfinished.noted(node, target=target, name=name):
            if title != node.title or moves:
                async with self._locked(node):
                    with change_deadline():
                        await self._host.edit_file(
                            FileCode(node.remote),
                            title=title if title != node.title else None,
                            folder=FolderId(target.remote or "") if moves else None,
                        )
            # The host has done it: from here on nothing may fail, so the old file is removed
            # behind.
            with self._writeback.transaction():
                if victim is not None:
                    self._writeback.removed(victim, deleted=None)
                self._tree.move(node, target, name, title=title)
        self._writeback.renamed(node)

    async def _rename_local(
        self, node: Node, local: LocalFile, target: Node, name: str, victim: Node | None
    ) -> None:
        """Rename a file that is not at the host yet: its upload will bear the new name.

        What it takes the place of goes once the new bytes are at the host.
        """
        moves = target.inode != node.parent
        if node.remote is not None and moves and not self._host.capabilities.move_file:
            raise MoveAbilityError(f"{self._host.name} can't move files")
        if local.job.sent_at is not None and moves and not self._host.capabilities.move_file:
            raise MoveAbilityError(f"{self._host.name} can't move files")
        if victim is not None:
            self._writeback.take_place(node, victim, target)
        else:
            self._tree.move(node, target, name, title=None)
        self._writeback.renamed(node)

    # --- inside -------------------------------------------------------------------------------

    @asynccontextmanager
    async def _locked(self, *nodes: Node) -> AsyncIterator[None]:
        """Hold the locks of *nodes*, taken in one order everywhere: of folders, whose names or
        place change, then of the file that the host is asked to move or to remove."""
        async with AsyncExitStack() as stack:
            for inode in sorted({node.inode for node in nodes}):
                lock = self._locks.setdefault(inode, trio.Lock())
                await stack.enter_async_context(lock)
                stack.callback(self._drop_idle_lock, inode, lock)
            yield

    @asynccontextmanager
    async def _locked_entries(self, *places: tuple[Node, str]) -> AsyncIterator[None]:
        """Hold the locks of all these folders, and of the folders among their entries of these
        names."""
        while True:
            entries = [await self._tree.look(*place) for place in places]
            inner = [entry for entry in entries if entry is not None and entry.is_folder]
            async with self._locked(*(folder for folder, _ in places), *inner):
                now = [self._tree.find_child(*place) for place in places]
                if all(e is None or not e.is_folder or e in inner for e in now):
                    yield
                    return

    def _drop_idle_lock(self, inode: Inode, lock: trio.Lock) -> None:
        if not lock.statistics().tasks_waiting:
            self._locks.pop(inode, None)

    async def _get_child(self, folder: Node, name: str) -> Node:
        node = await self._tree.look(folder, name)
        if node is None:
            raise NotFoundError(f"no {name}")
        return node

    def _check_new_name(self, name: str) -> None:
        check_name_length(name)
        if name in ("", ".", "..") or "/" in name:
            raise InvalidArgumentError("not a name")
        if name == TRASH_FOLDER or name.startswith(TRASH_PREFIX):
            raise NamespaceAbilityError(f"{name} is reserved for the trash")

    def _check_media_type(self, name: str) -> None:
        """Errors: MediaTypeError if the host would refuse a file of this name."""
        if self._settings.other_files != "reject" or is_scratch(name, self._settings.scratch):
            return
        if not self._writeback.is_accepted(name):
            raise MediaTypeError(f"{self._host.name} stores videos only: {name}")


def _extension_differs(old: str, new: str) -> bool:
    return old.rpartition(".")[2].lower() != new.rpartition(".")[2].lower()


def check_name_length(name: str) -> None:
    if len(bytes_of(name)) > NAME_BYTES_MAX:
        raise NameTooLongError("a name can have 255 bytes at the most")


def _check_replaceable(node: Node, victim: Node) -> None:
    if victim.is_folder and not node.is_folder:
        raise IsFolderError(f"{victim.name} is a folder")
    if node.is_folder and not victim.is_folder:
        raise NotFolderError(f"{victim.name} is not a folder")


@contextmanager
def change_deadline() -> Iterator[None]:
    """Errors: trio.TooSlowError."""
    with trio.fail_after(CHANGE_DEADLINE_S):
        yield
