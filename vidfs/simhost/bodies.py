"""Bytes of files: on disk as received, or computed from a formula.

A formula body takes no disk. Byte *i* of a body with seed *s* is

    BASE[(i + (i >> 20) * 7919 + s) % 2**20]

where BASE is the first 2**20 bytes of SHAKE-256 of b"vidfs simhost". The seed of a file
that was added through `/_sim` without a `seed` is the CRC-32 of its code.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Protocol

BLOCK = 1 << 20
_STRIDE = 7919
_BASE = hashlib.shake_256(b"vidfs simhost").digest(BLOCK)
_TWICE = _BASE + _BASE


class Body(Protocol):
    """The bytes of one file, open for reading."""

    size: int
    mark: str  # of this version of the bytes, as an ETag

    def read(self, offset: int, length: int) -> bytes:
        """Up to *length* bytes (at most to the next MiB boundary of a formula)."""

    def close(self) -> None: ...


class FormulaBody:
    def __init__(self, seed: int, size: int) -> None:
        self.size = size
        self.mark = f"{seed:x}-{size:x}"
        self._seed = seed

    def read(self, offset: int, length: int) -> bytes:
        block, within = divmod(offset, BLOCK)
        length = min(length, BLOCK - within, self.size - offset)
        start = (offset + block * _STRIDE + self._seed) % BLOCK
        return _TWICE[start : start + max(0, length)]

    def close(self) -> None:
        pass


class FileBody:
    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        stat = os.fstat(self._fd)
        self.size = stat.st_size
        self.mark = f"{stat.st_mtime_ns:x}-{stat.st_size:x}"

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, length, offset)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)


def body_sha1(body: Body) -> str:
    """Hex sha1 of a whole body. About a second per GiB: in a thread if it may be large."""
    sha1 = hashlib.sha1(usedforsecurity=False)
    offset = 0
    while offset < body.size:
        piece = body.read(offset, BLOCK)
        if not piece:
            break
        sha1.update(piece)
        offset += len(piece)
    return sha1.hexdigest()


def write_formula(path: Path, seed: int, size: int) -> None:
    """A formula body as a plain file."""
    body = FormulaBody(seed, size)
    with path.open("wb", buffering=0) as file:
        offset = 0
        while offset < size:
            offset += file.write(body.read(offset, BLOCK))
