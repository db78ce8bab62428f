"""Listing folders ahead of somebody who walks the tree.

A walk is recognised when a folder is listed whose parent was listed shortly before. From then
on the siblings and, breadth first, everything below them is listed in parallel, until nobody
has listed anything below for a while. The transport's own limits decide how many calls run at
once; this keeps just enough of them waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio
from cachetools import TTLCache

from vidfs.errors import VidfsError
from vidfs.tree.node import Node
from vidfs.tree.tree import Tree
from vidfs.types import Inode

_WALK_S = 5.0  # a walk is over when nothing was listed for so long
_AHEAD_MAX = 5_000  # folders waiting to be listed at the most


class Walker:
    def __init__(self, tree: Tree, *, parallel: int, clock: Callable[[], float]) -> None:
        self._tree = tree
        self._parallel = parallel
        self._clock = clock
        self._recent: TTLCache[Inode, bool] = TTLCache(10_000, ttl=_WALK_S, timer=clock)
        self._waiting: deque[Node] = deque()
        self._queued: set[Inode] = set()
        self._looked_through: dict[Inode, int] = {}  # the version of each, while a walk goes on
        self._active_until = 0.0
        self._running = 0
        self._nursery: trio.Nursery | None = None

    def start(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def listed(self, folder: Node) -> None:
        """*folder* is being listed by somebody."""
        walking = folder.inode != folder.parent and folder.parent in self._recent
        self._recent[folder.inode] = True
        if not walking:
            return
        if self._clock() >= self._active_until:
            self._looked_through.clear()
        self._active_until = self._clock() + _WALK_S
        parent = self._tree.get(folder.parent)
        self._want_below(parent)
        self._want_below(folder)
        self._spread()

    def _want_below(self, folder: Node) -> None:
        version = self._tree.version_of(folder)
        if self._looked_through.get(folder.inode) == version:
            return
        for node in self._tree.subfolders(folder):
            if node.inode in self._queued or self._tree.listed_at(node) is not None:
                continue
            if len(self._queued) >= _AHEAD_MAX:
                return
            self._queued.add(node.inode)
            self._waiting.append(node)
        self._looked_through[folder.inode] = version

    def _spread(self) -> None:
        assert self._nursery is not None
        while self._running < self._parallel and self._waiting:
            self._running += 1
            self._nursery.start_soon(self._work, name="list ahead")

    async def _work(self) -> None:
        try:
            while self._waiting and self._clock() < self._active_until:
                node = self._waiting.popleft()
                self._queued.discard(node.inode)
                if not node.linked or self._tree.listed_at(node) is not None:
                    continue
                try:
                    await self._tree.refresh(node)
                except VidfsError:
                    continue  # whoever wants this folder will meet the error
                self._want_below(node)
                self._spread()
        finally:
            self._running -= 1
            if self._running == 0 and self._clock() >= self._active_until:
                self._waiting.clear()
                self._queued.clear()
                self._looked_through.clear()
