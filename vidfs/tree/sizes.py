"""Sizes that listings leave out, asked for ahead of whoever walks a folder.

A file that can be read must never show a wrong size, so `ensure` waits for the host where
nothing is known. It asks for the neighbours too: one batch of file/info where that tells
sizes, else single calls for a window that grows while the same folder is being looked at.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Sequence

import trio
from cachetools import LRUCache

from vidfs.errors import TransientHostError, VidfsError
from vidfs.hosts.api import VideoHost
from vidfs.tree.node import Node, SizeSource
from vidfs.tree.tree import Tree
from vidfs.types import FileCode, Inode

log = logging.getLogger(__name__)

_BATCH_WINDOW = 500  # files asked for at once where one call answers many
_SINGLE_WINDOW_MAX = 64  # the most single calls ahead of a walker
_DEADLINE_S = 30.0
_PAUSE_S = 15.0  # so long nobody waits after somebody waited in vain …
_LONG_S = 5.0  # … for so long


class SizeFinder:
    def __init__(
        self,
        tree: Tree,
        host: VideoHost,
        *,
        is_known: Callable[[Node], bool],
        on_found: Callable[[Inode, bool], None],
    ) -> None:
        """*is_known*: nothing need be asked for this node. *on_found* is told of every size
        that became known, and whether it is another one than was shown before."""
        self._tree = tree
        self._host = host
        self._is_known = is_known
        self._on_found = on_found
        self._asking: dict[Inode, trio.Event] = {}
        self._windows: LRUCache[Inode, int] = LRUCache(256)
        self._nursery: trio.Nursery | None = None
        self._found_at = -math.inf
        self._trouble: Exception | None = None
        self._paused_until = -math.inf

    def start(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    @property
    def can_ask(self) -> bool:
        """Whether this host tells sizes at all beside its listings."""
        capabilities = self._host.capabilities
        return capabilities.info_sizes or capabilities.read_content

    async def ensure(self, node: Node) -> int | None:
        """The size of *node*'s content in bytes; None only where the host can't tell.

        Errors: HostError or TooSlowError if the host doesn't answer in time; at once for a
        while after somebody waited for long and the host told no size at all.
        """
        if self._is_known(node):
            return node.size_bytes
        if self._trouble is not None and trio.current_time() < self._paused_until:
            raise self._trouble.with_traceback(None)
        asked_at = trio.current_time()
        try:
            await self._ensure(node)
        except (TransientHostError, trio.TooSlowError) as error:
            now = trio.current_time()
            if self._found_at < asked_at and now - asked_at >= _LONG_S:
                # Else `ls -l` waits as long again for each file of the folder.
                self._trouble, self._paused_until = error, now + _PAUSE_S
            raise
        return node.size_bytes

    async def _ensure(self, node: Node) -> None:
        if node.inode not in self._asking:
            self._ask(self._with_neighbours(node))
        event = self._asking.get(node.inode)
        if event is not None:
            with trio.fail_after(_DEADLINE_S):
                await event.wait()
        if not self._is_known(node) and node.linked and node.remote is not None:
            # The batch failed or left it out: the error must reach whoever asks.
            with trio.fail_after(_DEADLINE_S):
                size_bytes = await self._host.find_size(FileCode(node.remote))
            if size_bytes is not None:
                self._found(node, size_bytes)

    def _with_neighbours(self, node: Node) -> list[Node]:
        """*node* first, then those after it in its folder that lack a size as well; where one
        call answers for many, those before it, too: `ls` goes by names, a listing by age."""
        folder = self._tree.get(node.parent)
        others = list(self._tree.entries(folder).values())
        at = next((at for at, other in enumerate(others) if other is node), len(others))
        if self._host.capabilities.info_sizes:
            window, near = _BATCH_WINDOW, others[at + 1 :] + others[:at]
        else:
            window = min(2 * self._windows.get(folder.inode, 1), _SINGLE_WINDOW_MAX)
            self._windows[folder.inode] = window
            near = others[at + 1 :]
        return [node, *itertools.islice(filter(self._lacks_size, near), window - 1)]

    def _lacks_size(self, node: Node) -> bool:
        return node.inode not in self._asking and not self._is_known(node)

    def _ask(self, nodes: Sequence[Node]) -> None:
        assert self._nursery is not None
        for node in nodes:
            self._asking[node.inode] = trio.Event()
        if self._host.capabilities.info_sizes:
            step = self._host.capabilities.info_batch_max
            for start in range(0, len(nodes), step):
                self._nursery.start_soon(self._ask_batch, nodes[start : start + step])
        else:
            for node in nodes:
                self._nursery.start_soon(self._ask_one, node)

    async def _ask_batch(self, nodes: Sequence[Node]) -> None:
        try:
            with trio.move_on_after(_DEADLINE_S):
                infos = await self._host.file_info([FileCode(n.remote or "") for n in nodes])
                for node in nodes:
                    info = infos.get(FileCode(node.remote or ""))
                    if info is not None and info.size_bytes is not None:
                        self._found(node, info.size_bytes)
        except VidfsError as error:
            log.debug("sizes of %d files not told: %s", len(nodes), error)
        except Exception:
            log.exception("asking for sizes broke")
        finally:
            self._answered(nodes)

    async def _ask_one(self, node: Node) -> None:
        try:
            with trio.move_on_after(_DEADLINE_S):
                size_bytes = await self._host.find_size(FileCode(node.remote or ""))
                if size_bytes is not None:
                    self._found(node, size_bytes)
        except VidfsError as error:
            log.debug("size of %s not told: %s", node.name, error)
        except Exception:
            log.exception("asking for a size broke")
        finally:
            self._answered([node])

    def _found(self, node: Node, size_bytes: int) -> None:
        self._found_at, self._trouble = trio.current_time(), None
        if node.linked and not self._is_known(node):
            differs = node.size_bytes is not None and node.size_bytes != size_bytes
            self._tree.set_size(node, size_bytes, SizeSource.HOST)
            self._on_found(node.inode, differs)

    def _answered(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            self._asking.pop(node.inode).set()
