"""Folders that are being moved by moving what is in them: the tree's part.

`volume/moves.py` asks the host; here is written down how far it has come, and a folder whose
entries are still on their way is listed with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vidfs.errors import HostNotFoundError
from vidfs.hosts.api import Listing
from vidfs.tree.node import Node
from vidfs.tree.store import FolderMove
from vidfs.types import FolderId, NodeKind

if TYPE_CHECKING:
    from vidfs.tree.tree import Tree


class Moves:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._by_old = {move.old: move for move in tree._store.load_moves()}

    @property
    def all(self) -> Sequence[FolderMove]:
        """Those under way, oldest first."""
        return list(self._by_old.values())

    def find(self, old: str) -> FolderMove | None:
        return self._by_old.get(FolderId(old))

    def begin(self, node: Node, parent: Node, name: str) -> FolderMove:
        """A new folder is about to be made for *node*. Errors: SpoolError: then it mustn't."""
        move = FolderMove(
            old=FolderId(node.remote or ""),
            inode=node.inode,
            title=node.title,
            place=node.parent,
            parent=parent.inode,
            name=name,
            begun_at=self._tree._clock(),
        )
        with self._tree._store.durable():
            self._tree._store.save_move(move)
        self._by_old[move.old] = move
        return move

    def switch(self, move: FolderMove, folder: FolderId, name: str | None) -> None:
        """*folder* was made: it is *move*'s node from now on, in its new place, under *name*
        (None: the place and name that it has), and what lies in the old one is on its way."""
        node = self._tree.get(move.inode)
        parent = self._tree.get(move.parent or node.parent)
        made = replace(move, parent=None, name=None, begun_at=self._tree._clock())
        with self._tree._store.durable():
            self._tree._undo_on_rollback(node)
            self._tree._drop_duplicate(node, folder)
            self._tree._store.save_move(made)
            self._tree._store.save_tombstone(NodeKind.FOLDER, move.old, self._tree._clock())
            self._tree._store.follow_move(move.old, folder)
            node.remote = folder
            if name is None:
                node.unsettled_since = self._tree._clock()
                self._tree._save(node)
            else:
                self._tree.move(node, parent, name, title=name)
        self._by_old[move.old] = made

    def end(self, old: FolderId, *, emptied: bool) -> None:
        """*old* is gone (*emptied*), or stays what it was: a listing that shows it is right."""
        with self._tree._store.transaction():
            self._tree._store.drop_move(old)
            move = self._by_old.get(old)
            if emptied:
                self._tree._store.save_tombstone(NodeKind.FOLDER, old, self._tree._clock())
            elif move is not None and move.is_made:
                self._tree._store.drop_tombstone(NodeKind.FOLDER, old)
        self._by_old.pop(old, None)

    def is_making(self, parent: Node, name: str) -> bool:
        """Whether a folder *name* that appears in *parent* may be one that we are making."""
        return any(
            move.parent == parent.inode and name in (move.name, move.title)
            for move in self._by_old.values()
        )

    def record_moved(self, node: Node) -> None:
        """*node*'s file was just moved at the host: listings may lag behind."""
        node.unsettled_since = self._tree._clock()
        self._tree._save(node)

    async def list_whole(self, folder: Node) -> Listing:
        """*folder* at the host, with what is still on its way there. Errors: HostNotFoundError."""
        # The old places first: what moves between the two calls is then seen twice, not never.
        older = [
            await self._list_old(move.old)
            for move in self.all
            if move.inode == folder.inode and move.is_made
        ]
        listing = await self._tree._host.list_folder(FolderId(folder.remote or ""))
        if not any(older):
            return listing
        files = {
            file.code: replace(file, folder=listing.folder)
            for old in older
            for file in (old.files if old else ())
            if file.folder in (None, old.folder if old else None)
            and not self._tree._is_in_flight(file)
        }
        files.update((file.code, file) for file in listing.files)
        folders = [sub for old in older if old for sub in old.folders]
        return replace(
            listing,
            files=list(files.values()),
            folders=[*listing.folders, *folders],
            requested_at=min(each.requested_at for each in [listing, *filter(None, older)]),
        )

    async def _list_old(self, folder: FolderId) -> Listing | None:
        try:
            return await self._tree._host.list_folder(folder)
        except HostNotFoundError:
            return None
