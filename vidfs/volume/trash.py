"""Deleting at the host: for good where it can, else out of sight in a trash that can be emptied.

In order: the host's own delete; a move into the folder `vidfs trash` at the root; a prefix to
the title. The tree hides the last two.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from vidfs.errors import HostNotFoundError, NamespaceAbilityError
from vidfs.hosts.api import VideoHost
from vidfs.tree.merge import TRASH_FOLDER, TRASH_META, TRASH_PREFIX
from vidfs.tree.node import Node
from vidfs.tree.tree import Tree
from vidfs.types import FileCode, FolderId

Move = Callable[[FolderId], Awaitable[None]]


class Trash:
    def __init__(self, tree: Tree, host: VideoHost) -> None:
        self._tree = tree
        self._host = host
        self._folder_lock = trio.Lock()

    async def dispose_file(self, code: FileCode, title: str) -> None:
        """Delete or trash a file at the host. Errors: NamespaceAbilityError, HostError."""
        can = self._host.capabilities
        if can.delete_file:
            await self._host.delete_file(code)
        elif can.move_file and can.create_folder:
            await self._into_folder(lambda folder: self._host.edit_file(code, folder=folder))
        elif can.rename_file:
            await self._host.edit_file(code, title=TRASH_PREFIX + title)
        else:
            raise NamespaceAbilityError(f"{self._host.name} can't delete, move or rename files")

    async def remove_file(self, node: Node) -> None:
        """As `dispose_file`, remembering where *node* was."""
        assert node.remote is not None
        await self.dispose_file(FileCode(node.remote), node.title)
        self.note(node)

    def note(self, node: Node, code: FileCode | None = None) -> None:
        """Remember where *node* was, if it goes into the trash. *code*: it stays, but its older
        bytes go, unless something is known of them already."""
        if self._host.capabilities.delete_file:
            return
        if code is not None:
            self._tree.record_trashed(node, code, keep=True)
        elif node.remote is not None:
            self._tree.record_trashed(node, node.remote)

    async def remove_folder(self, node: Node) -> None:
        """Delete or trash an empty folder."""
        assert node.remote is not None
        await self.dispose_folder(FolderId(node.remote), node.title)
        if not self._host.capabilities.delete_folder:
            self._tree.record_trashed(node, node.remote)

    async def dispose_folder(
        self, folder: FolderId, title: str, *, prefix: str = TRASH_PREFIX
    ) -> None:
        """Delete or trash an empty folder at the host. *prefix*: for its name, where that is
        the only way."""
        can = self._host.capabilities
        if can.delete_folder:
            await self._host.delete_folder(folder)
        elif can.move_folder and can.create_folder:
            await self._into_folder(lambda trash: self._host.edit_folder(folder, parent=trash))
        elif can.rename_folder:
            await self._host.edit_folder(folder, name=prefix + title)
        else:
            raise NamespaceAbilityError(f"{self._host.name} can't delete, move or rename folders")

    async def _into_folder(self, move: Move) -> None:
        folder = await self._get_folder()
        try:
            await move(folder)
        except HostNotFoundError:
            # Either what is moved is gone, or somebody removed the trash: find out once.
            self._tree.save_meta(TRASH_META, "")
            await move(await self._get_folder())

    async def _get_folder(self) -> FolderId:
        """The trash folder's id, made where there is none."""
        async with self._folder_lock:
            known = self._tree.find_meta(TRASH_META)
            if known:
                return FolderId(known)
            listing = await self._host.list_folder(self._host.root)
            for folder in listing.folders:
                if folder.name == TRASH_FOLDER:
                    found = folder.folder
                    break
            else:
                found = await self._host.create_folder(self._host.root, TRASH_FOLDER)
            self._tree.save_meta(TRASH_META, found)
            return found
