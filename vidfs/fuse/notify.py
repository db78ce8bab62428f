"""Telling the kernel what changed behind its back.

Never from inside a handler: an invalidation waits for requests on the same entry to end. The
changes are queued by sync calls and carried out by one task with a thread's help; when more
come than the queue holds, the oldest are still told, and what is dropped expires by its ttl.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import pyfuse3
import trio

from vidfs.types import Inode

log = logging.getLogger(__name__)

_QUEUE_MAX = 100_000


class KernelNotifier:
    """A `TreeListener` that pushes changes to the kernel."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Callable[[], None]](_QUEUE_MAX)

    def entry_changed(self, parent: Inode, name: str, gone: Inode | None) -> None:
        encoded = os.fsencode(name)

        def tell() -> None:
            pyfuse3.invalidate_entry_async(
                pyfuse3.InodeT(parent), pyfuse3.FileNameT(encoded), ignore_enoent=True
            )

        self._put(tell)

    def node_changed(self, inode: Inode, *, content: bool) -> None:
        def tell() -> None:
            try:
                pyfuse3.invalidate_inode(pyfuse3.InodeT(inode), attr_only=not content)
            except OSError as error:
                log.debug("inode %d not invalidated: %s", inode, error)

        self._put(tell)

    def _put(self, tell: Callable[[], None]) -> None:
        try:
            self._send.send_nowait(tell)
        except trio.WouldBlock:
            log.debug("too many changes at once: the kernel learns some when they expire")

    async def run(self) -> None:
        async for tell in self._receive:
            try:
                await trio.to_thread.run_sync(tell)
            except Exception:
                log.exception("the kernel could not be told of a change")
