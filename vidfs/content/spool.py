"""The spool: files being written or waiting for the host, one file on disk each.

Owns the files `<state>/spool/<job id>`; what they mean stands in the journal. One of which a
part is still at the host is called `<job id>.sparse`, with its map `<job id>.map` beside it: so
nothing that has holes ever bears the name that is sent. Reads and writes
are synchronous: a hop to a thread costs several times what a copy into the page cache does.
Syncing and hashing are not: they go to a thread, on a descriptor of their own.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import trio

from vidfs.content import freeing
from vidfs.content.patches import Patch
from vidfs.content.running_hash import Hashes, RunningHash
from vidfs.errors import FileTooBigError, SpoolDamagedError, SpoolError, SpoolFullError
from vidfs.types import FILE_BYTES_MAX, FileCode

_SEALS_MAX = 4  # threads that hash at once
_LOST = "lost"


def load_boot_id() -> str:
    """Changes with every start of the machine; "" if it can't be told.

    Source: random(4), /proc/sys/kernel/random/boot_id.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@contextmanager
def spool_errors() -> Iterator[None]:
    """Turn the local disk's errors into ours."""
    try:
        yield
    except FileNotFoundError:
        raise SpoolDamagedError("its bytes, or the spool itself, are missing") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SpoolFullError("the disk of the spool is full") from None
        if error.errno == errno.EFBIG:
            raise FileTooBigError("larger than the spool's file system allows") from None
        raise SpoolError(f"the spool: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a spool file held when it was synced."""

    size_bytes: int
    sha1: str
    sha256: str | None


class Strays(NamedTuple):
    """What became of files that no row of the journal stands for."""

    removed: int  # empty ones and half fetched ones
    kept: list[Path]  # where those with bytes are now


class SpoolFile:
    """Bytes of one file. Several handles may share it.

    The descriptor is there while it is used: thousands of files may wait for the host.
    """

    def __init__(
        self,
        path: Path,
        fd: int,
        running_hash: RunningHash | None = None,
        patch: Patch | None = None,
    ) -> None:
        self.path = path
        self.patch = patch  # of a file that is not all here
        self._fd: int | None = fd
        self._running_hash = running_hash
        self.size_bytes = os.fstat(fd).st_size

    def _get_fd(self) -> int:
        if self._fd is None:
            self._fd = _open(self.path)
        return self._fd

    def read(self, offset: int, size: int) -> bytes:
        with spool_errors():
            return os.pread(self._get_fd(), size, offset)

    def write(self, offset: int, data: bytes) -> int:
        """Write all of *data*. Errors: SpoolFullError, FileTooBigError."""
        if offset + len(data) > FILE_BYTES_MAX:
            raise FileTooBigError("a file can have 8 TiB at the most")
        if self._running_hash is not None:
            self._running_hash.will_write(offset, offset + len(data))
        written = 0
        try:
            with spool_errors():
                while written < len(data):
                    part = data if written == 0 else memoryview(data)[written:]
                    written += os.pwrite(self._get_fd(), part, offset + written)
        finally:
            if written:
                self.size_bytes = max(self.size_bytes, offset + written)
                if self.patch is not None:
                    with spool_errors():
                        self.patch.wrote(offset, offset + written)
        return written

    def truncate(self, size_bytes: int) -> None:
        if size_bytes > FILE_BYTES_MAX:
            raise FileTooBigError("a file can have 8 TiB at the most")
        if self._running_hash is not None:
            self._running_hash.will_truncate(size_bytes)
        with spool_errors():
            os.ftruncate(self._get_fd(), size_bytes)
            self.size_bytes = size_bytes
            if self.patch is not None:
                self.patch.cut(size_bytes)

    def find_missing(self, offset: int, size: int) -> list[range]:
        """Which of these bytes are still at the host."""
        return [] if self.patch is None else self.patch.find_missing(offset, offset + size)

    def fill(self, offset: int, data: bytes) -> None:
        """Bytes from the host, for where none are here. Errors: SpoolFullError."""
        patch = self.patch
        assert patch is not None
        with spool_errors():
            for part in patch.find_missing(offset, offset + len(data)):
                at = part.start
                while at < part.stop:
                    at += os.pwrite(self._get_fd(), data[at - offset : part.stop - offset], at)
                patch.fetched(part.start, part.stop)

    async def make_whole(self) -> None:
        """Nothing is missing any more: the file gets the name that is sent. Errors: SpoolError."""
        patch = self.patch
        if patch is None:
            return  # somebody else was quicker
        assert patch.find_first_missing(1) is None
        await self.sync()
        with spool_errors():
            if self.patch is not None:  # else somebody else did
                self.path = self.path.rename(self.path.with_suffix(""))
                self.patch = None
                patch.rest()
                patch.path.unlink(missing_ok=True)

    async def sync(self) -> None:
        """Wait until everything written so far is on disk, and the file's name with it."""
        fd = os.dup(self._get_fd())
        try:
            with spool_errors():
                await trio.to_thread.run_sync(_sync, fd, self.path.parent, self._map_path)
        finally:
            os.close(fd)

    @property
    def _map_path(self) -> Path | None:
        return self.patch.path if self.patch is not None else None

    def sync_now(self) -> None:
        """`sync` for who stops and can't wait otherwise."""
        with spool_errors():
            _sync(self._get_fd(), self.path.parent, self._map_path)

    def wake(self) -> None:
        """Have a descriptor from now on, whatever becomes of the name."""
        self._get_fd()
        if self.patch is not None:
            with spool_errors():
                self.patch.wake()

    def rest(self) -> None:
        """Do without a descriptor until it is needed again."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(OSError):
                freeing.close(fd)
        if self.patch is not None:
            self.patch.rest()

    def close(self) -> None:
        self.rest()


def _open(path: Path) -> int:
    """Errors: SpoolDamagedError if the journal knows of a file that isn't there."""
    with spool_errors():
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)


def _sync(fd: int, directory: Path, map_path: Path | None) -> None:
    os.fsync(fd)
    if map_path is not None:
        with suppress(FileNotFoundError), map_path.open("rb") as file:
            os.fsync(file.fileno())
    _sync_directory(directory)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _seal(
    path: Path, sha256: bool, running: RunningHash | None, stopped: threading.Event
) -> Sealed:
    """Runs in a thread; soon after *stopped* is set it ends, with what nobody waits for."""
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        hashes = running.take() if running is not None else None
        if hashes is None:
            hashes = Hashes(sha256=sha256)
        hashes.feed(file.fileno(), None, stopped.is_set)
    _sync_directory(path.parent)
    return Sealed(hashes.size_bytes, hashes.sha1, hashes.sha256)


def _is_unchanged(path: Path) -> bool:
    """Whether *path* is the map of a file that has nothing but what the host has, too."""
    if path.suffix != ".map":
        return False
    try:
        patch = Patch.load(path, 0)
    except (OSError, SpoolDamagedError):
        return False
    patch.rest()
    return not patch.is_changed


class Spool:
    def __init__(self, directory: Path, *, sha256: bool = False) -> None:
        """*sha256*: sealing gives this hash as well."""
        self._directory = directory
        self._sha256 = sha256
        self._running: dict[int, RunningHash] = {}
        self._executor = ThreadPoolExecutor(_SEALS_MAX, "hash")
        # Their own: whoever seals must not keep others from the threads of all.
        self._seal_limit = trio.CapacityLimiter(_SEALS_MAX)
        if not directory.is_dir():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_directory(directory.parent)

    def path_of(self, job_id: int) -> Path:
        return self._directory / str(job_id)

    def create(self, job_id: int) -> SpoolFile:
        with spool_errors():
            fd = os.open(
                self.path_of(job_id), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
        running = RunningHash(self.path_of(job_id), self._executor, sha256=self._sha256)
        self._running[job_id] = running
        return SpoolFile(self.path_of(job_id), fd, running)

    def create_patch(self, job_id: int, code: FileCode, base_bytes: int) -> SpoolFile:
        """A file of *base_bytes*, all of them still at the host under *code*."""
        path, map_path = self._sparse_path_of(job_id), self._map_path_of(job_id)
        with spool_errors():
            patch = Patch.create(map_path, code, base_bytes)
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                try:
                    os.ftruncate(fd, base_bytes)
                except OSError:
                    os.close(fd)
                    path.unlink()
                    raise
            except OSError:
                patch.rest()
                map_path.unlink()
                raise
        return SpoolFile(path, fd, patch=patch)

    def open(self, job_id: int) -> SpoolFile:
        """Errors: SpoolDamagedError if the journal knows of a file that isn't there."""
        path = self.path_of(job_id)
        sparse_path = self._sparse_path_of(job_id)
        if path.exists() or not sparse_path.exists():
            return SpoolFile(path, _open(path))
        fd = _open(sparse_path)
        try:
            with spool_errors():
                patch = Patch.load(self._map_path_of(job_id), os.fstat(fd).st_size)
        except SpoolError:
            os.close(fd)
            raise SpoolDamagedError("which of its bytes are in the spool is not known") from None
        return SpoolFile(sparse_path, fd, patch=patch)

    def _sparse_path_of(self, job_id: int) -> Path:
        return self._directory / f"{job_id}.sparse"

    def _map_path_of(self, job_id: int) -> Path:
        return self._directory / f"{job_id}.map"

    def remove(self, job_id: int) -> None:
        self._running.pop(job_id, None)
        for path in (self.path_of, self._sparse_path_of, self._map_path_of):
            freeing.unlink(path(job_id), missing_ok=True)

    def sweep(self, known: Collection[int]) -> Strays:
        """Clear away what no row of the journal stands for.

        Bytes are never removed: the catalogue may have been lost, and they be nowhere else.
        Errors: SpoolError.
        """
        stems = {_LOST, *map(str, known)}
        strays = Strays(0, [])
        with spool_errors():
            found = [path for path in self._directory.iterdir() if path.stem not in stems]
            unchanged = {path.stem for path in found if _is_unchanged(path)}
            for path in found:
                if path.stem in unchanged or path.stat().st_size == 0:
                    path.unlink()
                    strays = strays._replace(removed=strays.removed + 1)
                else:
                    strays.kept.append(self._set_aside(path))
        return strays

    def _set_aside(self, path: Path) -> Path:
        lost = self._directory / _LOST
        lost.mkdir(mode=0o700, exist_ok=True)
        names = (path.name if n == 0 else f"{path.name}.{n}" for n in itertools.count())
        aside = next(lost / name for name in names if not (lost / name).exists())
        return path.rename(aside)

    async def seal(self, job_id: int) -> Sealed:
        """Put the file and its name on disk for certain, and hash it, all in a thread.

        A cancelled call leaves the thread to itself, which ends at its next block.
        Errors: SpoolDamagedError if the file isn't there.
        """
        running = self._running.pop(job_id, None)
        if running is not None:
            running.end()
        stopped = threading.Event()
        try:
            with spool_errors():
                return await trio.to_thread.run_sync(
                    _seal,
                    self.path_of(job_id),
                    self._sha256,
                    running,
                    stopped,
                    abandon_on_cancel=True,
                    limiter=self._seal_limit,
                )
        finally:
            stopped.set()
