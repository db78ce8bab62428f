"""The chunk cache: bytes of the host's files on the local disk, bounded, sparse.

Two files for each code: `NAME.data`, sparse, and `NAME.map`, a header and one byte for every
chunk: 1 once the chunk's bytes are in `NAME.data`. The byte is set after the data was written,
so that after SIGKILL a chunk is either marked and whole or not marked. A power cut may lose
data pages but keep the mark; so the header names the boot in which marks were made, and after
another boot only whole files that were synced before (our own uploads) are believed.

Bounded while files are read, too: what is stored is counted, and above the bound whole files
that nobody reads leave, then chunks of open files that are far from their readers: unmarked
first, then punched out of `NAME.data`, so that a mark without bytes is never left. Our own
uploads are held whole or not at all: the rest of one might come from what the host made of it.

Nothing in here is needed: whatever is missing or odd is fetched again.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from vidfs.content import freeing
from vidfs.content.chunks import CHUNK_BYTES, chunk_count, chunk_start, chunk_stop, chunks_of
from vidfs.types import FileCode

log = logging.getLogger(__name__)

_HEADER = struct.Struct("<8sQQ36s32s")  # magic, chunk size, file size, boot id, stamp
_MAGIC = b"vidfsmap"
_SYNCED = b"synced".ljust(36)
_NO_STAMP = bytes(32)
_FREE_BYTES_MIN = 1 << 30  # never fill the disk below this …
_FREE_PART = 20  # … or below this part of it, where that is less
_SLACK_BYTES_MAX = 32 << 20  # trimmed at once, so that it isn't done for each chunk
_SLACK_PART = 16
_CHECK_BYTES = 4 << 20  # so much is stored at the most until the disk is looked at again
_WINDOW_PART = 8  # what is read ahead in one place takes this part of the cache at the most,
# with many open files less

_FALLOC_FL_KEEP_SIZE, _FALLOC_FL_PUNCH_HOLE = 1, 2  # linux/falloc.h
_FULL = (errno.ENOSPC, errno.EDQUOT)


class CacheFileCutError(OSError):
    """A file of the cache has become shorter: somebody else touched it."""


Keeper = Callable[[], Iterable[range]]
"""Tells the chunks that somebody is about to read."""


def is_full(error: OSError) -> bool:
    """Whether *error* says that there is no room on the disk."""
    return error.errno in _FULL


def _load_fallocate() -> Callable[[int, int, int, int], int] | None:
    with contextlib.suppress(OSError, AttributeError):
        call = ctypes.CDLL(None, use_errno=True).fallocate64
        call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
        call.restype = ctypes.c_int
        return call
    return None


_fallocate = _load_fallocate()


def _punch(fd: int, start: int, stop: int) -> None:
    """Give the bytes from *start* to *stop* back to the disk. Errors: OSError."""
    if _fallocate is None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    if _fallocate(fd, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, start, stop - start) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


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
        self.held_bytes = 0
        self.is_original = False  # our own upload, whole
        self._stamp = _NO_STAMP
        self.keepers: list[Keeper] = []
        self._boot_id = boot_id
        self._marks = bytearray(chunk_count(size_bytes))
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._data_fd = os.open(f"{base}.data", flags, 0o600)
        try:
            self._map_fd = os.open(f"{base}.map", flags, 0o600)
        except OSError:
            os.close(self._data_fd)
            raise
        try:
            if not self._load():
                self.reset()
        except OSError:
            self.close()
            raise

    def _load(self) -> bool:
        raw = os.pread(self._map_fd, _HEADER.size + len(self._marks) + 1, 0)
        if len(raw) != _HEADER.size + len(self._marks):
            return False
        magic, chunk_bytes, size_bytes, boot_id, self._stamp = _HEADER.unpack_from(raw)
        if (magic, chunk_bytes, size_bytes) != (_MAGIC, CHUNK_BYTES, self.size_bytes):
            return False
        if boot_id not in (self._boot_id, _SYNCED):
            return False
        if os.fstat(self._data_fd).st_size != self.size_bytes:
            return False
        self._marks[:] = raw[_HEADER.size :]
        self.held_bytes = self._bytes_of(0, len(self._marks))
        self.is_original = boot_id == _SYNCED and self.is_whole
        if boot_id == _SYNCED and not self.is_whole:
            self._write_header(self._boot_id)  # marks to come are only as good as this boot
        return True

    def reset(self) -> None:
        """Begin anew, with nothing held. Errors: OSError."""
        self._marks[:] = bytes(len(self._marks))
        self.held_bytes, self.is_original = 0, False
        self._stamp = _NO_STAMP
        os.ftruncate(self._map_fd, 0)
        os.ftruncate(self._data_fd, 0)
        os.ftruncate(self._data_fd, self.size_bytes)
        os.pwrite(self._map_fd, bytes(_HEADER.size + len(self._marks)), 0)
        self._write_header(self._boot_id)

    def _write_header(self, boot_id: bytes) -> None:
        header = _HEADER.pack(_MAGIC, CHUNK_BYTES, self.size_bytes, boot_id, self._stamp)
        os.pwrite(self._map_fd, header, 0)

    @property
    def stamp(self) -> bytes | None:
        """What its reader noted of the content's version, 32 bytes."""
        return None if self._stamp == _NO_STAMP else self._stamp

    def note_stamp(self, stamp: bytes) -> None:
        self._stamp = stamp
        self._write_header(self._boot_id)

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

    def samples(self) -> list[int]:
        """A few chunks of those that are held: the first, the last, and one between them."""
        first, last = self._marks.find(1), self._marks.rfind(1)
        middle = self._marks.find(1, (first + last) // 2)
        return sorted({first, middle, last}) if first >= 0 else []

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of chunks that are held; whoever asks made sure of that.

        Never fewer than there are before the end: the kernel would make zeros of the rest.
        Errors: CacheFileCutError.
        """
        wanted = max(0, min(size, self.size_bytes - offset))
        data = os.pread(self._data_fd, wanted, offset)
        if len(data) < wanted:
            raise CacheFileCutError(errno.EIO, "a file of the cache was cut")
        return data

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
        held_bytes = self._bytes_of(first, last)
        marks = b"\x01" * (last - first)
        self._marks[first:last] = marks
        self.held_bytes += self._bytes_of(first, last) - held_bytes
        os.pwrite(self._map_fd, marks, _HEADER.size + first)

    def drop(self, first: int, last: int) -> None:
        """Give the bytes of these chunks, all of them held, back to the disk.

        The marks go first: whoever is killed in between leaves bytes without a mark.
        Errors: OSError where the file system knows no holes.
        """
        marks = bytes(last - first)
        os.pwrite(self._map_fd, marks, _HEADER.size + first)
        self.held_bytes -= self._bytes_of(first, last)
        self._marks[first:last] = marks
        _punch(self._data_fd, chunk_start(first), chunk_stop(last - 1, self.size_bytes))

    def drop_part(self, chunk: int) -> None:
        """*chunk* was begun and won't be finished: nothing of it stays, unless it is held."""
        if not self._marks[chunk]:
            with contextlib.suppress(OSError):
                _punch(self._data_fd, chunk_start(chunk), chunk_stop(chunk, self.size_bytes))

    def _bytes_of(self, first: int, last: int) -> int:
        """Bytes of the chunks that are held among these."""
        held = self._marks.count(1, first, last) * CHUNK_BYTES
        if last == len(self._marks) > first and self._marks[-1]:
            held += chunk_stop(last - 1, self.size_bytes) - chunk_start(last)
        return held

    def spare_runs(self) -> list[range]:
        """Runs of held chunks that no keeper names, those furthest from one first. Each run
        begins with its chunk that is furthest: its step is 1 or -1."""
        if self.is_original:
            return []
        kept = sorted(
            (part for keeper in self.keepers for part in keeper()), key=lambda part: part.start
        )
        runs = [run for held in self._held_runs() for run in _without(held, kept)]
        return [
            run if after else run[::-1]
            for _, after, run in sorted(
                ((*_distance(run, kept), run) for run in runs), key=lambda found: -found[0]
            )
        ]

    def _held_runs(self) -> Iterator[range]:
        start = self._marks.find(1)
        while start >= 0:
            stop = self._marks.find(0, start)
            if stop < 0:
                stop = len(self._marks)
            yield range(start, stop)
            start = self._marks.find(1, stop)

    def close(self) -> None:
        fds = self._data_fd, self._map_fd
        # The numbers may be given to other files at once: nothing late must reach those.
        self._data_fd = self._map_fd = -1
        for fd in fds:
            with contextlib.suppress(OSError):
                freeing.close(fd)


def _without(run: range, kept: Sequence[range]) -> Iterator[range]:
    """The parts of *run* that are in none of *kept*, which are in order."""
    start = run.start
    for part in kept:
        if part.stop > start and part.start < run.stop:
            if part.start > start:
                yield range(start, part.start)
            start = max(start, part.stop)
    if start < run.stop:
        yield range(start, run.stop)


def _distance(run: range, kept: Sequence[range]) -> tuple[int, bool]:
    """How far *run* is from the nearest of *kept*, and whether that comes after it."""
    near = [
        (part.start - run.stop, True) if part.start >= run.stop else (run.start - part.stop, False)
        for part in kept
        if part
    ]
    return min(near, default=(0, True))


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
    magic, chunk_bytes, size_bytes, boot_id, _ = _HEADER.unpack(raw)
    known = (magic, chunk_bytes, boot_id) == (_MAGIC, CHUNK_BYTES, _SYNCED)
    return int(size_bytes) if known else None


class ChunkCache:
    """All cached files of an account, least recently used ones leaving first."""

    def __init__(self, directory: Path, *, size_bytes_max: int) -> None:
        self._directory = directory
        self._size_bytes_max = size_bytes_max
        self._slack_bytes = min(size_bytes_max // _SLACK_PART, _SLACK_BYTES_MAX)
        self._boot_id = _boot_id()
        self._open: dict[str, CachedFile] = {}
        self._held: dict[str, _Held] = {}  # ordered by use, oldest first
        self._bytes_used = 0
        self._check_at = 0  # bytes stored until the disk is looked at again
        self._knows_holes = True
        self.window_chunks_max = 0  # what may be read ahead in one place
        self.begun = 0  # chunks of which a part may be on the disk: those streams are at
        self.losses = 0  # counts what was dropped: what is held has changed
        self._make_directory()
        self._load()
        self._look_at_disk()

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
            self._bytes_used += held.bytes

    def _stem(self, code: FileCode) -> str:
        return quote(code, safe="")[:200]

    @property
    def bytes_used(self) -> int:
        return self._bytes_used

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
            try:
                file = CachedFile(self._directory / stem, size_bytes, self._boot_id)
            except OSError as error:
                if not is_full(error):
                    raise
                self.make_room(_CHECK_BYTES)
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
        self._bytes_used += file.held_bytes - held.bytes
        held.bytes = file.held_bytes
        self._held[stem] = held

    def make_way(self, size_bytes: int) -> None:
        """So much is about to be stored: keep the bound before, not after it.

        Errors: OSError (ENOSPC) where what readers need at this moment is more than the bound
        and a chunk for each open file.
        """
        excess = self._bytes_used + size_bytes - self._size_bytes_max
        if excess > 0:
            self._free(excess + self._slack_bytes)
            excess = self._bytes_used + size_bytes - self._size_bytes_max
        if excess + (self.begun - len(self._open)) * CHUNK_BYTES > 0:
            raise OSError(errno.ENOSPC, "the cache is full")

    def stored(self, code: FileCode, file: CachedFile) -> None:
        """More of *code* was marked in *file*: count it, and keep the bounds."""
        stem = self._stem(code)
        if self._open.get(stem) is not file:
            return  # dropped: nothing of it is on the disk once its readers are gone
        before = self._bytes_used
        self._use(stem, file)
        self._check_at -= self._bytes_used - before
        if self._bytes_used > self._size_bytes_max or self._check_at <= 0:
            self.trim()

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
            header = _HEADER.pack(_MAGIC, CHUNK_BYTES, size_bytes, _SYNCED, _NO_STAMP)
            (self._directory / f"{stem}.map").write_bytes(header + marks)
            path.rename(self._directory / f"{stem}.data")
        except OSError as error:
            if error.errno != errno.EXDEV:
                log.debug("the cache can't take a file over: %s", error)
            self._discard(stem)
            return False
        self._held[stem] = _Held(size_bytes, size_bytes)
        self._bytes_used += size_bytes
        self.trim()
        return True

    def holds(self, code: FileCode) -> bool:
        """Whether anything of *code* is here. Cheap, as `holds_original`."""
        return self._stem(code) in self._held

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
        held = self._held.pop(stem, None)
        if held is not None:
            self._bytes_used -= held.bytes
        for suffix in (".map", ".data"):
            with contextlib.suppress(OSError):
                freeing.unlink(self._directory / f"{stem}{suffix}")

    def drop(self, code: FileCode, file: CachedFile) -> None:
        """*file* turned out to be of other content than *code* has now."""
        if self._open.get(self._stem(code)) is file:
            self.forget(code)

    def trim(self) -> None:
        """Drop what was used longest ago until the bounds hold: whole files, then chunks of
        those that are being read. What readers are about to read stays."""
        shortage = self._look_at_disk()
        excess = max(self._bytes_used - self._size_bytes_max, shortage)
        if excess > 0:
            self._free(excess + self._slack_bytes)
            self._look_at_disk()

    def make_room(self, size_bytes: int) -> None:
        """The disk is full: drop so much, as `trim` does."""
        self._free(size_bytes + max(0, self._look_at_disk()))
        freeing.wait()
        self._look_at_disk()

    def _free(self, size_bytes: int) -> None:
        victims = []
        for stem, held in self._held.items():
            if size_bytes <= 0:
                break
            if stem not in self._open:
                size_bytes -= held.bytes
                victims.append(stem)
        for stem in victims:
            self._discard(stem)
        for stem in [stem for stem in self._held if stem in self._open]:
            if size_bytes <= 0 or not self._knows_holes:
                break
            size_bytes -= self._thin_out(stem, size_bytes)

    def _thin_out(self, stem: str, size_bytes: int) -> int:
        """Drop about so many bytes of an open file. Returns how many they were."""
        file, held = self._open[stem], self._held[stem]
        wanted = chunk_count(size_bytes)
        try:
            for run in file.spare_runs():
                if wanted <= 0:
                    break
                run = run[:wanted]
                wanted -= len(run)
                file.drop(min(run[0], run[-1]), max(run[0], run[-1]) + 1)
        except OSError as error:
            log.warning("chunks of open files can't leave the cache: %s", error.strerror)
            self._knows_holes = False
        freed = held.bytes - file.held_bytes
        self._bytes_used -= freed
        held.bytes = file.held_bytes
        return freed

    def _look_at_disk(self) -> int:
        """Bytes that the disk lacks to its reserve (negative: it has so many to spare)."""
        try:
            disk = shutil.disk_usage(self._directory)
        except OSError:
            shortage = -self._size_bytes_max  # the directory was removed: nothing is known
        else:
            free = disk.free + freeing.bytes_under_way()
            shortage = min(_FREE_BYTES_MIN, disk.total // _FREE_PART) - free
        room = min(self._size_bytes_max, self._bytes_used - shortage)
        part = max(_WINDOW_PART, 2 * len(self._open))
        self.window_chunks_max = max(0, room) // part // CHUNK_BYTES
        self._check_at = max(CHUNK_BYTES, min(_CHECK_BYTES, -shortage // 4))
        return shortage

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()
