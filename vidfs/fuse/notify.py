"""Telling the kernel what changed behind its back.

Never from inside a handler: an invalidation waits for requests on the same entry to end.
Entries go through pyfuse3's own queue, which a thread of its own works off. Inodes are
gathered and told in one go, in a thread of ours.
"""

from __future__ import annotations

import logging
import os

import pyfuse3
import trio

from vidfs.types import Inode

log = logging.getLogger(__name__)


class KernelNotifier:
    """A `TreeListener` that pushes changes to the kernel."""

    def __init__(self) -> None:
        self._changed: dict[Inode, bool] = {}  # inode: whether its bytes changed too
        self._wake = trio.Event()

    def entry_changed(self, parent: Inode, name: str, gone: Inode | None) -> None:
        pyfuse3.invalidate_entry_async(
            pyfuse3.InodeT(parent), pyfuse3.FileNameT(os.fsencode(name)), ignore_enoent=True
        )

    def node_changed(self, inode: Inode, *, content: bool) -> None:
        self._changed[inode] = content or self._changed.get(inode, False)
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            changed, self._changed = self._changed, {}
            await trio.to_thread.run_sync(_tell_all, changed)


def _tell_all(changed: dict[Inode, bool]) -> None:
    for inode, content in changed.items():
        try:
            pyfuse3.invalidate_inode(pyfuse3.InodeT(inode), attr_only=not content)
        except OSError as error:
            log.debug("inode %d not invalidated: %s", inode, error)
        except Exception:
            log.exception("the kernel could not be told of a change")
