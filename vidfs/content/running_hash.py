"""The hash of a file while it is still being written: behind its writer, in a thread.

`close` finds most of a big file hashed, and most of its bytes on their way to the disk. Counts
on writes in order; a write into what was read already spoils it, and sealing reads all again.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_BLOCK_BYTES = 1 << 20
_STEP_BYTES = 8 << 20  # smaller files are left to sealing
_STEP_BYTES_MAX = 64 << 20  # who stops waits for no more than this
_SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h


def _load_sync_file_range() -> Callable[[int, int, int, int], int] | None:
    with suppress(OSError, AttributeError):
        call = ctypes.CDLL(None).sync_file_range
        call.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
        call.restype = ctypes.c_int
        return call
    return None


_sync_file_range = _load_sync_file_range()


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


class Hashes:
    """SHA-1 of the bytes fed in, and SHA-256 where it is wanted."""

    def __init__(self, *, sha256: bool) -> None:
        self._sha1: _Hash = hashlib.sha1(usedforsecurity=False)
        self._sha256: _Hash | None = hashlib.sha256() if sha256 else None
        self.size_bytes = 0

    def feed(self, fd: int, stop: int | None, stopped: Callable[[], bool]) -> None:
        """Read on from where the last call ended, up to *stop* or the end of the file."""
        view = memoryview(bytearray(_BLOCK_BYTES))
        while not stopped() and (stop is None or self.size_bytes < stop):
            wanted = _BLOCK_BYTES if stop is None else min(_BLOCK_BYTES, stop - self.size_bytes)
            count = os.preadv(fd, [view[:wanted]], self.size_bytes)
            if not count:
                return
            self._sha1.update(view[:count])
            if self._sha256 is not None:
                self._sha256.update(view[:count])
            self.size_bytes += count

    @property
    def sha1(self) -> str:
        return self._sha1.hexdigest()

    @property
    def sha256(self) -> str | None:
        return self._sha256.hexdigest() if self._sha256 is not None else None


class RunningHash:
    """Follows one file. Its writer tells of every change before it makes it.

    On the loop's thread, but for `take`.
    """

    def __init__(self, path: Path, executor: Executor, *, sha256: bool) -> None:
        self._path = path
        self._executor = executor
        self._wants_sha256 = sha256
        self._is_over = False
        self._begin()

    def _begin(self) -> None:
        self._hashes = Hashes(sha256=self._wants_sha256)
        self._spoiled = threading.Event()
        self._step: Future[None] | None = None
        self._written = 0  # all bytes before it were written, in order
        self._target = 0  # all bytes before it were read, or are being read

    def will_write(self, start: int, stop: int) -> None:
        """The bytes from *start* up to, not including, *stop* are about to change."""
        if start < self._target:
            self._spoiled.set()
        elif start <= self._written < stop:
            self._read_on(start)  # never what is about to change
            self._written = stop

    def will_truncate(self, size_bytes: int) -> None:
        if size_bytes < self._target:
            self._spoiled.set()
            if size_bytes == 0:
                self._begin()
        self._written = min(self._written, size_bytes)

    def end(self) -> None:
        """Follow no longer: what was hashed so far is about to be taken."""
        self._is_over = True

    def _read_on(self, end: int) -> None:
        """Hash what is there before *end*, if it is worth it."""
        if end - self._target < _STEP_BYTES or self._is_over or self._spoiled.is_set():
            return
        if self._step is not None and not self._step.done():
            return
        start = self._target
        self._target = min(end, start + _STEP_BYTES_MAX)
        with suppress(RuntimeError):  # whoever stops lets no more begin
            self._step = self._executor.submit(
                _read_part, self._path, self._hashes, start, self._target, self._spoiled
            )

    def take(self) -> Hashes | None:
        """What was hashed, once it was ended; None: begin anew. Waits: for a thread."""
        if self._step is not None:
            self._step.result()
        return None if self._spoiled.is_set() else self._hashes


def _read_part(path: Path, hashes: Hashes, start: int, stop: int, spoiled: threading.Event) -> None:
    """Hash these bytes and begin to bring them to the disk. Runs in a thread."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        spoiled.set()
        return
    try:
        hashes.feed(fd, stop, spoiled.is_set)
        if _sync_file_range is not None:  # only begun: what fails here, `fsync` will say
            _sync_file_range(fd, start, stop - start, _SYNC_FILE_RANGE_WRITE)
    except OSError:
        spoiled.set()
    finally:
        os.close(fd)
