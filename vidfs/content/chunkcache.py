"""The chunk cache: bytes of the host's files on the local disk, bounded, sparse.

Two files for each code: `NAME.data`, sparse, and `NAME.map`, a header and one byte for every
chunk: 1 once the chunk's bytes are in `NAME.data`. The byte is set after the data was written,
so that after SIGKILL a chunk is either marked and whole or not marked. A power cut may lose
data pages but keep the mark; so the header names the boot in which marks were made, and after
another boot only whole files that were synced before (our own uploads) are believed.

Nothing in here is needed: whatever is missing or odd is fetched again.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from vidfs.content.chunks import CHUNK_BYTES, chunk_count, chunk_start, chunk_stop, chunks_of
from vidfs.types import FileCode

log = logging.getLogger(__name__)

_HEADER = struct.Struct("<8sQQ36s")  # magic, chunk size, file size, boot id
_MAGIC = b"vidfsmap"
_SYNCED = b"synced".ljust(36)
_FREE_BYTES_MIN = 1 << 30  # never fill the disk below this


def _boot_id() -> bytes:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip().ljust(36)[:36]
    except OSError:
        return b"".ljust(36)


class CachedFile:
    """What is held of one code. Open as long as somebody reads it."""

    def __init__(self, base: Path, size_bytes: int, boot_id: bytes) -> None:
        self.size_bytes = size_bytes
        self.users = 0
        self._base = base
        self._boot_id = boot_id
        self._marks = bytearray(chunk_count(size_bytes))
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._data_fd = os.open(f"{base}.data", flags, 0o600)
        try:
            self._map_fd = os.open(f"{base}.map", flags, 0o600)
        except OSError:
            os.close(self._data_fd)
            raise
        if not self._load():
            self._reset()

    def _load(self) -> bool:
        raw = os.pread(self._map_fd, _HEADER.size + len(self._marks) + 1, 0)
        if len(raw) != _HEADER.size + len(self._marks):
            return False
        magic, chunk_bytes, size_bytes, boot_id = _HEADER.unpack_from(raw)
        if (magic, chunk_bytes, size_bytes) != (_MAGIC, CHUNK_BYTES, self.size_bytes):
            return False
        if boot_id not in (self._boot_id, _SYNCED):
            return False
        if os.fstat(self._data_fd).st_size != self.size_bytes:
            return False
        self._marks[:] = raw[_HEADER.size :]
        if boot_id == _SYNCED and not self.is_whole:
            self._write_header(self._boot_id)  # marks to come are only as good as this boot
        return True

    def _reset(self) -> None:
        os.ftruncate(self._map_fd, 0)
        os.ftruncate(self._data_fd, 0)
        os.ftruncate(self._data_fd, self.size_bytes)
        os.pwrite(self._map_fd, bytes(_HEADER.size + len(self._marks)), 0)
        self._write_header(self._boot_id)

    def _write_header(self, boot_id: bytes) -> None:
        header = _HEADER.pack(_MAGIC, CHUNK_BYTES, self.size_bytes, boot_id)
        os.pwrite(self._map_fd, header, 0)

    def has(self, chunk: int) -> bool:
        return self._marks[chunk] == 1

    def find_missing(self, offset: int, size: int) -> int | None:
        """First chunk of the range that isn't held."""
        chunks = chunks_of(offset, size)
        at = self._marks.find(0, chunks.start, chunks.stop)
        return None if at < 0 else at

    @property
    def is_whole(self) -> bool:
        return 0 not in self._marks

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of chunks that are held; whoever asks made sure of that."""
        return os.pread(self._data_fd, max(0, min(size, self.size_bytes - offset)), offset)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Bytes of a chunk that is not marked yet."""
        while data:
            count = os.pwrite(self._data_fd, data, offset)
            offset, data = offset + count, memoryview(data)[count:]

    def find_held(self, first: int, last: int) -> int | None:
        """First chunk from *first* up to, not including, *last* that is held."""
        at = self._marks.find(1, first, last)
        return None if at < 0 else at

    def mark(self, first: int, last: int) -> None:
        """All bytes of the chunks from *first* up to, not including, *last* were written."""
        marks = b"\x01" * (last - first)
        self._marks[first:last] = marks
        os.pwrite(self._map_fd, marks, _HEADER.size + first)

    @property
    def held_bytes(self) -> int:
        held = self._marks.count(1) * CHUNK_BYTES
        if self._marks and self._marks[-1]:
            last = len(self._marks) - 1
            held += chunk_stop(last, self.size_bytes) - chunk_start(last) - CHUNK_BYTES
        return held

    def close(self) -> None:
        fds = self._data_fd, self._map_fd
        # The numbers may be given to other files at once: nothing late must reach those.
        self._data_fd = self._map_fd = -1
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)


@dataclass(slots=True)
class _Held:
    bytes: int
    original_bytes: int | None = None  # size of a whole file that was uploaded from here


def _find_original_size(path: Path) -> int | None:
    """Size of the file that *path*, a map, says is whole and synced: only adopted ones are."""
    with path.open("rb") as file:
        raw = file.read(_HEADER.size)
    if len(raw) != _HEADER.size:
        return None
    magic, chunk_bytes, size_bytes, boot_id = _HEADER.unpack(raw)
    known = (magic, chunk_bytes, boot_id) == (_MAGIC, CHUNK_BYTES, _SYNCED)
    return int(size_bytes) if known else None


class ChunkCache:
    """All cached files of an account, least recently used ones leaving first."""

    def __init__(self, directory: Path, *, size_bytes_max: int) -> None:
        self._directory = directory
        self._size_bytes_max = size_bytes_max
        self._boot_id = _boot_id()
        self._open: dict[str, CachedFile] = {}
        self._held: dict[str, _Held] = {}  # ordered by use, oldest first
        self.losses = 0  # counts what was dropped: what is held has changed
        self._make_directory()
        self._load()

    def _make_directory(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _load(self) -> None:
        found = []
        for path in self._directory.glob("*.data"):
            with contextlib.suppress(OSError):
                stat = path.stat()
                held = _Held(
                    stat.st_blocks * 512, _find_original_size(self._directory / f"{path.stem}.map")
                )
                found.append((stat.st_mtime, path.stem, held))
        for _, stem, held in sorted(found, key=lambda entry: entry[:2]):
            self._held[stem] = held

    def _stem(self, code: FileCode) -> str:
        return quote(code, safe="")[:200]

    @property
    def bytes_used(self) -> int:
        return sum(held.bytes for held in self._held.values())

    def acquire(self, code: FileCode, size_bytes: int) -> CachedFile:
        """Open what is held of *code*; `release` it after use.

        Bytes held for another size are of other content and are dropped.
        Errors: OSError of the disk.
        """
        stem = self._stem(code)
        file = self._open.get(stem)
        if file is not None and file.size_bytes != size_bytes:
            self._discard(stem)
            file = None
        if file is None:
            # The whole directory may have been removed under us: that is allowed.
            self._make_directory()
            file = CachedFile(self._directory / stem, size_bytes, self._boot_id)
            self._open[stem] = file
        file.users += 1
        self._use(stem, file)
        return file

    def release(self, code: FileCode, file: CachedFile) -> None:
        stem = self._stem(code)
        file.users -= 1
        if file.users == 0:
            if self._open.get(stem) is file:
                self._use(stem, file)
                del self._open[stem]
            file.close()
            self.trim()

    def _use(self, stem: str, file: CachedFile) -> None:
        held = self._held.pop(stem, None) or _Held(0)
        held.bytes = file.held_bytes
        self._held[stem] = held

    def holds_all(self, code: FileCode, size_bytes: int) -> bool:
        if self._stem(code) not in self._held and self._stem(code) not in self._open:
            return False
        try:
            file = self.acquire(code, size_bytes)
        except OSError:
            return False
        try:
            return file.is_whole
        finally:
            self.release(code, file)

    def adopt(self, code: FileCode, path: Path, size_bytes: int) -> bool:
        """Take over the local file *path*, synced, as the whole content of *code*.

        Moves it if the cache is on the same disk; else False, and *path* stays.
        """
        if size_bytes > self._size_bytes_max or size_bytes == 0:
            return False
        stem = self._stem(code)
        self._discard(stem)
        try:
            self._make_directory()
            # The map first: data without a map would be taken for rubbish.
            marks = b"\x01" * chunk_count(size_bytes)
            header = _HEADER.pack(_MAGIC, CHUNK_BYTES, size_bytes, _SYNCED)
            (self._directory / f"{stem}.map").write_bytes(header + marks)
            path.rename(self._directory / f"{stem}.data")
        except OSError as error:
            if error.errno != errno.EXDEV:
                log.debug("the cache can't take a file over: %s", error)
            self._discard(stem)
            return False
        self._held[stem] = _Held(size_bytes, size_bytes)
        self.trim()
        return True

    def holds_original(self, code: FileCode, size_bytes: int) -> bool:
        """Whether the bytes that were uploaded from here as *code* are still held.

        Cheap: nothing is opened, so that a folder can be listed with it.
        """
        held = self._held.get(self._stem(code))
        return held is not None and held.original_bytes == size_bytes

    def forget(self, code: FileCode) -> None:
        """*code* is gone or has other content."""
        self._discard(self._stem(code))

    def _discard(self, stem: str) -> None:
        self.losses += 1
        self._open.pop(stem, None)  # its readers keep their descriptors
        self._held.pop(stem, None)
        for suffix in (".map", ".data"):
            with contextlib.suppress(OSError):
                (self._directory / f"{stem}{suffix}").unlink()

    def trim(self) -> None:
        """Drop what was used longest ago until the bounds hold. Files being read stay."""
        excess = self.bytes_used - self._size_bytes_max
        excess = max(excess, self._shortage())
        for stem in list(self._held):
            if excess <= 0:
                break
            if stem not in self._open:
                excess -= self._held[stem].bytes
                self._discard(stem)

    def _shortage(self) -> int:
        try:
            return _FREE_BYTES_MIN - shutil.disk_usage(self._directory).free
        except OSError:
            return 0

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()
