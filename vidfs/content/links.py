"""Direct links that are still good, kept over opens, asked for once by many readers."""

from __future__ import annotations

import time

import trio
from cachetools import LRUCache

from vidfs.hosts.api import DownloadLink, VideoHost
from vidfs.types import FileCode

_LINKS_MAX = 1000
_LINK_TTL_S = 300.0  # where the host doesn't say how long a link lives


class Links:
    def __init__(self, host: VideoHost) -> None:
        self._host = host
        self._links: LRUCache[FileCode, tuple[DownloadLink, float]] = LRUCache(_LINKS_MAX)
        self._locks: dict[FileCode, trio.Lock] = {}
        self.fickle: LRUCache[bytes, bool] = LRUCache(_LINKS_MAX)
        """Servers whose stamps change though the bytes don't."""

    async def get(self, code: FileCode) -> tuple[DownloadLink, bool]:
        """A link, and whether the host was asked for it just now. Errors: HostError."""
        lock = self._locks.setdefault(code, trio.Lock())
        try:
            async with lock:
                known = self._links.get(code)
                if known is not None and time.time() < known[1]:
                    return known[0], False
                link = await self._host.open_link(code)
                good_until = link.expires_at or time.time() + _LINK_TTL_S
                self._links[code] = (link, good_until - 1.0)
                return link, True
        finally:
            if not lock.statistics().tasks_waiting:
                self._locks.pop(code, None)

    def drop(self, code: FileCode, link: DownloadLink) -> None:
        """*link* turned out to be good no longer."""
        known = self._links.get(code)
        if known is not None and known[0] is link:
            del self._links[code]
