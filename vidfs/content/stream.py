"""One download into the chunk cache: where it is, and how far it may run ahead of its reader.

Plain bookkeeping; `reader` moves the bytes.
"""

from __future__ import annotations

import math

import trio

from vidfs.content.chunks import chunk_start
from vidfs.errors import VidfsError

WINDOW_MIN = 4  # chunks ahead of a reader when a stream starts …
_WINDOW_MAX = 128  # … and at the most, 32 MiB, after doubling with sequential use
_SHORT_REQUESTS = 2
"""So many requests of a stream ask for its window only, the next for all that follows.

Whoever looks at a film's head or index (scanners, thumbnailers, players that open it) wants
no more, and what a server has sent already can't be called back.
"""
SKIP_MAX = 16  # chunks a stream may be behind and still be worth waiting for


class Stream:
    """Ranged requests one after the other, from chunk `position` on, never beyond `limit`."""

    def __init__(self, position: int) -> None:
        self.position = position  # the next chunk that will be whole
        self.written = chunk_start(position)  # the next byte
        self.requests = 0  # that brought what they were for
        self.fed_bytes = 0  # since …
        self.fed_at = -math.inf  # … a chunk's worth of them had come
        self.read_at = position  # where its reader was last
        self.limit = position + WINDOW_MIN
        self.window = WINDOW_MIN
        self.used_at = trio.current_time()
        self.more = trio.Event()  # the limit was raised
        self.progress = trio.Event()  # another chunk is whole, or it ended
        self.waiting = 0  # readers that wait for its next chunk
        self.error: VidfsError | None = None  # the last one, if `ended` what ended it
        self.scope = trio.CancelScope()
        self.ended = False
        self.buffer: bytearray | None = None  # of chunk `position`, while the disk is full

    def covers(self, chunk: int, is_unranged: bool) -> bool:
        """Whether to wait for it. Where every download begins at the first byte, always, unless
        it is past *chunk*."""
        if self.ended or chunk < self.position:
            return False
        return is_unranged or chunk <= self.position + SKIP_MAX

    def find_stop(self, size_bytes: int, is_unranged: bool) -> int:
        """The byte up to which the next request asks."""
        stop = chunk_start(self.limit)
        is_short = self.requests < _SHORT_REQUESTS and not is_unranged
        return stop if is_short and self.written < stop < size_bytes else size_bytes

    def wake(self) -> None:
        self.progress.set()
        self.progress = trio.Event()

    def want(self, chunk: int, window_max: int) -> None:
        """A reader is at *chunk*: run ahead of it."""
        self.used_at = trio.current_time()
        self.read_at = chunk
        if chunk + self.window // 2 >= self.limit:
            self.window = max(WINDOW_MIN, min(self.window * 2, _WINDOW_MAX, window_max))
            self.limit = chunk + self.window
            self.more.set()
            self.more = trio.Event()
