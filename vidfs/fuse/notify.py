"""Telling the kernel what changed behind its back.

An invalidation of an entry waits, in the kernel, until no request about names in its folder is
under way. Were we killed while we wait so, neither we nor whoever made that request could end: the
mount would hang for good. So what concerns a folder with such a request is told after it; and
whoever ends the session answers requests until `finish` returns.
Nor is the kernel told to drop the bytes of a file: that waits for reads under way, likewise. It
drops them by itself when it asks for the attributes, which it is told to, and finds another size;
and whoever opens the file next doesn't get to see them (`volume.contents`).
Entries and inodes are gathered and told in one go, in a thread each.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pyfuse3
import trio

from vidfs.tree.names import bytes_of
from vidfs.types import Inode

log = logging.getLogger(__name__)


_ANY = Inode(0)  # no node's number


class _Serving:
    """A request about names in *folders*, while it is being served."""

    def __init__(self, notifier: KernelNotifier, folders: tuple[int, ...]) -> None:
        self._notifier = notifier
        self._folders = folders

    def __enter__(self) -> None:
        for folder in self._folders:
            self._notifier._busy[folder] += 1

    def __exit__(self, *error: object) -> None:
        busy = self._notifier._busy
        for folder in self._folders:
            busy[folder] -= 1
            if not busy[folder]:
                del busy[folder]
        if self._notifier._held:
            self._notifier._ended.set()


class KernelNotifier:
    """A `TreeListener` that pushes changes to the kernel."""

    def __init__(self) -> None:
        self._busy: Counter[int] = Counter()  # requests being served, by folder
        self._held: dict[tuple[Inode, str], None] = {}  # to be told when they have ended
        self._ended = trio.Event()
        self._changed: set[Inode] = set()
        self._wake = trio.Event()
        self._entries: dict[tuple[Inode, str], None] = {}  # to be told now
        self._wake_entries = trio.Event()
        self._is_stopping = False
        self._finished = trio.Event()

    def serving(self, folder: int) -> _Serving:
        """While a request about names in *folder* is being served."""
        return _Serving(self, (folder,))

    def serving_any(self) -> _Serving:
        """As `serving`, of a request for which the kernel locks more than it tells us."""
        return _Serving(self, (_ANY,))

    def entry_changed(self, parent: Inode, name: str, gone: Inode | None) -> None:
        if parent in self._busy or _ANY in self._busy:
            self._held[parent, name] = None
        else:
            self._entries[parent, name] = None
            self._wake_entries.set()

    def node_changed(self, inode: Inode, *, content: bool) -> None:
        self._changed.add(inode)
        self._wake.set()

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell_held)
                nursery.start_soon(self._tell_changed)
                nursery.start_soon(self._tell_entries)
        finally:
            self._finished.set()

    async def finish(self) -> None:
        """Returns when `run`, which was cancelled, has ended: no thread waits in the kernel.

        Until then requests have to be answered; what a thread waits for may be one of them.
        """
        self._is_stopping = True
        await self._finished.wait()

    async def _tell_held(self) -> None:
        while True:
            await self._ended.wait()  # and by then the request was answered
            self._ended = trio.Event()
            held, self._held = self._held, {}
            for parent, name in held:
                self.entry_changed(parent, name, None)

    async def _tell_changed(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            changed, self._changed = self._changed, set()
            await trio.to_thread.run_sync(_tell_all, changed)

    async def _tell_entries(self) -> None:
        while True:
            await self._wake_entries.wait()
            self._wake_entries = trio.Event()
            entries, self._entries = self._entries, {}
            await trio.to_thread.run_sync(self._tell_names, entries)

    def _tell_names(self, entries: Collection[tuple[Inode, str]]) -> None:
        for parent, name in entries:
            if self._is_stopping:
                return
            _tell_entry(parent, name)


def _tell_entry(parent: Inode, name: str) -> None:
    with _logging_errors(parent, name):
        pyfuse3.invalidate_entry(pyfuse3.InodeT(parent), pyfuse3.FileNameT(bytes_of(name)))


def _tell_all(changed: Collection[Inode]) -> None:
    for inode in changed:
        with _logging_errors(inode, "attributes"):
            pyfuse3.invalidate_inode(pyfuse3.InodeT(inode), attr_only=True)


@contextmanager
def _logging_errors(inode: Inode, what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        pass  # the kernel doesn't know it
    except OSError as error:
        log.debug("%s of inode %d not invalidated: %s", what, inode, error)
    except Exception:
        log.exception("the kernel could not be told of a change")
