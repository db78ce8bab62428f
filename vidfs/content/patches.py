"""Files that are changed here while the rest of their bytes is still at the host.

A `Patch` is the map of such a file: which of its bytes are in the spool, and of which code and
size the others are. It is kept beside the file and grows with it. A record is appended after
the bytes it speaks of were written: whoever is killed in between leaves bytes that count as
missing, as if they had not been written yet, and never a hole that counts as bytes.
"""

from __future__ import annotations

import errno
import json
import os
import struct
from bisect import bisect_left, bisect_right
from contextlib import suppress
from pathlib import Path

from vidfs.errors import SpoolDamagedError
from vidfs.types import FileCode

_RECORD = struct.Struct("<cQQ")  # kind, start, stop
_WRITTEN, _FETCHED, _CUT = b"w", b"f", b"c"


class Patch:
    """Errors of all methods: OSError of the disk."""

    def __init__(self, path: Path, fd: int, code: FileCode, base_bytes: int) -> None:
        self.path = path
        self.code = code  # whose bytes the missing ones are …
        self.base_bytes = base_bytes  # … and how many that has
        self.is_changed = False  # by a person: not just fetched
        self._fd: int | None = fd
        self._limit = base_bytes  # from here on the host's bytes don't count any more
        self._starts: list[int] = []  # of the ranges that are here, in order, apart …
        self._stops: list[int] = []  # … and their ends

    @classmethod
    def create(cls, path: Path, code: FileCode, base_bytes: int) -> Patch:
        """Nothing is here yet."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, json.dumps({"code": code, "size": base_bytes}).encode() + b"\n")
        except OSError:
            os.close(fd)
            raise
        return cls(path, fd, code, base_bytes)

    @classmethod
    def load(cls, path: Path, size_bytes: int) -> Patch:
        """The map of a file that has *size_bytes* now. Errors: SpoolDamagedError, too."""
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        try:
            raw = path.read_bytes()
            header, newline, records = raw.partition(b"\n")
            try:
                known = json.loads(header) if newline else {}
                patch = cls(path, fd, FileCode(str(known["code"])), int(known["size"]))
            except (ValueError, KeyError, TypeError):
                raise SpoolDamagedError("its map in the spool can't be read") from None
            whole = len(records) // _RECORD.size * _RECORD.size
            os.ftruncate(fd, len(header) + 1 + whole)  # a record that was cut short
        except BaseException:
            os.close(fd)
            raise
        for kind, start, stop in _RECORD.iter_unpack(records[:whole]):
            patch._apply(kind, start, stop)
        # A cut whose record is missing.
        patch._limit = min(patch._limit, size_bytes)
        return patch

    def wrote(self, start: int, stop: int) -> None:
        """The bytes from *start* up to, not including, *stop* were written to the file."""
        if not (self.is_changed and self._holds(start, min(stop, self._limit))):
            self._record(_WRITTEN, start, stop)

    def fetched(self, start: int, stop: int) -> None:
        """The same of bytes that came from the host."""
        self._record(_FETCHED, start, stop)

    def cut(self, size_bytes: int) -> None:
        """The file was truncated, or enlarged with zeros."""
        self._record(_CUT, size_bytes, size_bytes)

    def _record(self, kind: bytes, start: int, stop: int) -> None:
        self.wake()
        assert self._fd is not None
        size = os.fstat(self._fd).st_size
        if os.write(self._fd, _RECORD.pack(kind, start, stop)) != _RECORD.size:
            os.ftruncate(self._fd, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._apply(kind, start, stop)

    def _apply(self, kind: bytes, start: int, stop: int) -> None:
        self.is_changed = self.is_changed or kind != _FETCHED
        if kind == _CUT:
            self._limit = min(self._limit, start)
            return
        first, last = bisect_left(self._stops, start), bisect_right(self._starts, stop)
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[last - 1])
        self._starts[first:last], self._stops[first:last] = [start], [stop]

    def _holds(self, start: int, stop: int) -> bool:
        at = bisect_right(self._starts, start) - 1
        return stop <= start or (at >= 0 and self._stops[at] >= stop)

    def find_missing(self, start: int, stop: int) -> list[range]:
        """What isn't here of these bytes and is to come from the host, in order."""
        stop = min(stop, self._limit)
        missing = []
        at = bisect_right(self._stops, start)  # the first range that ends behind *start*
        while start < stop:
            held = self._starts[at] if at < len(self._starts) else stop
            if held > start:
                missing.append(range(start, min(held, stop)))
            start = self._stops[at] if at < len(self._stops) else stop
            at += 1
        return missing

    def find_first_missing(self, size_max: int) -> range | None:
        """The first bytes that aren't here, *size_max* of them at most; None: all are."""
        number = 1 if self._starts[:1] == [0] else 0
        at = self._stops[0] if number else 0
        stop = self._starts[number] if number < len(self._starts) else self._limit
        stop = min(stop, self._limit, at + size_max)
        return range(at, stop) if at < stop else None

    @property
    def missing_bytes(self) -> int:
        return sum(len(part) for part in self.find_missing(0, self._limit))

    def wake(self) -> None:
        """Have a descriptor from now on, whatever becomes of the name."""
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)

    def rest(self) -> None:
        """Do without a descriptor until it is needed again."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(OSError):
                os.close(fd)
