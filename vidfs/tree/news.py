"""Uploads made elsewhere, seen without listing every folder again.

Where a host can say what is new over the whole account, one call every `dir_ttl` is enough:
each folder with something unknown in it is listed afresh, and the kernel is told by the merge
as of any other change. Nobody has looked into the mount for a while: nobody is asked either.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from vidfs.errors import VidfsError
from vidfs.hosts.api import RemoteFile, VideoHost
from vidfs.tree.tree import Tree
from vidfs.types import NodeKind

log = logging.getLogger(__name__)

OVERLAP_S = 120.0
"""Asked for twice: a host may show a file only some time after the time it gives it."""

_DEADLINE_S = 60.0
_PERIOD_S_MIN = 5.0


class News:
    def __init__(
        self,
        tree: Tree,
        host: VideoHost,
        *,
        period_s: float,
        is_watched: Callable[[], bool],
        is_in_flight: Callable[[RemoteFile], bool],
        clock: Callable[[], float],
    ) -> None:
        """*is_watched*: somebody has used the mount lately. *is_in_flight*: as for `Tree`."""
        self._tree = tree
        self._host = host
        self._period_s = max(period_s, _PERIOD_S_MIN)
        self._is_watched = is_watched
        self._is_in_flight = is_in_flight
        self._clock = clock
        self._asked_at = clock()

    async def run(self) -> None:
        while True:
            await trio.sleep(self._period_s)
            if self._host.capabilities.list_new_files and self._is_watched():
                try:
                    with trio.fail_after(_DEADLINE_S):
                        await self.look()
                except (VidfsError, trio.TooSlowError) as error:
                    log.debug("what is new at the host was not told: %s", error)
                except Exception:
                    log.exception("looking for what is new at the host broke")

    async def look(self) -> None:
        """Refresh, in the background, each folder that has a file the tree doesn't know."""
        now = self._clock()
        files = await self._host.list_new_files(self._asked_at - OVERLAP_S)
        self._asked_at = now
        folders = {file.folder for file in files if self._is_news(file)}
        for folder in folders:
            node = self._tree.find_by_remote(NodeKind.FOLDER, folder) if folder else None
            if node is not None and self._tree.listed_at(node) is not None:
                self._tree.refresh_soon(node)

    def _is_news(self, file: RemoteFile) -> bool:
        if self._tree.is_known(file) or self._is_in_flight(file):
            return False
        return file.folder is not None
