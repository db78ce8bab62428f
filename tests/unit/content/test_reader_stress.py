"""Readers at random on a host and a disk that do their worst: every byte is of one content.

Small chunks, a clock that jumps and no kernel in between: thousands of reads a second, so that
rare orders of events come about. `VIDFS_STRESS=N` runs N rounds, from seed `VIDFS_SEED` on.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.unit.fakes import FakeHost, run
from vidfs.content import chunkcache, chunks, links, reader
from vidfs.content.chunkcache import ChunkCache
from vidfs.content.reader import Readers, RemoteReader
from vidfs.errors import (
    AccessDeniedError,
    ContentChangedError,
    HostError,
    HostNotFoundError,
    HostServerError,
    HostTimeoutError,
    RateLimitedError,
    SpoolError,
    UnreadableAnswerError,
)
from vidfs.hosts.api import ByteStream, ContentStamp, DownloadLink
from vidfs.types import FileCode

CHUNK = 4096  # as small as a hole can be
ROUNDS = int(os.environ.get("VIDFS_STRESS", "0")) or 8
FIRST_SEED = int(os.environ.get("VIDFS_SEED", "0"))


class Film:
    """One code and all the contents it ever had."""

    def __init__(self, code: FileCode, chance: random.Random) -> None:
        self.code = code
        self._chance = chance
        self.versions: list[bytes] = []
        self.replace(chance.choice([1, CHUNK, 9 * CHUNK + 77, 40 * CHUNK, 70 * CHUNK - 1]))

    @property
    def content(self) -> bytes:
        return self.versions[-1]

    def replace(self, size_bytes: int) -> None:
        self.versions.append(self._chance.randbytes(size_bytes))


class RoughStream:
    """A body in blocks of any size, each good until the next checkpoint only, which may end
    early, be silent for long, or come from the first byte on."""

    def __init__(
        self, film: Film, chance: random.Random, server: str, start: int, stop: int | None
    ) -> None:
        version = len(film.versions) - 1
        self._chance = chance
        self._content = film.versions[version]
        self._stop = len(self._content) if stop is None else min(stop, len(self._content))
        self.start_byte = 0 if chance.random() < 0.03 else start
        self.total_bytes = len(self._content)
        self.stamp = ContentStamp(server, f"{server}'s {version}")

    async def __aiter__(self) -> AsyncIterator[memoryview]:
        chance, at = self._chance, self.start_byte
        most = chance.choice([100, CHUNK // 2, CHUNK + 1000, 5 * CHUNK])
        ends_at = chance.randrange(at, self._stop + 1) if chance.random() < 0.3 else self._stop
        while at < ends_at:
            if chance.random() < 0.5:
                await trio.lowlevel.checkpoint()
            else:
                await trio.sleep(chance.choice([0, 0.001, 0.01, 1, 7 if most > CHUNK else 0]))
            block = bytearray(self._content[at : min(ends_at, at + chance.randint(1, most))])
            at += len(block)
            yield memoryview(block)
            block[:] = b"\xee" * len(block)
        if at < self._stop and chance.random() < 0.5:
            raise UnreadableAnswerError("the connection broke off", call="download")


class RoughHost(FakeHost):
    def __init__(self, chance: random.Random, rate: float) -> None:
        super().__init__()
        self._chance = chance
        self._rate = rate
        self._servers = chance.choice([1, 1, 3])
        self.films: dict[FileCode, Film] = {}

    async def _stumble(self) -> None:
        await trio.sleep(self._chance.choice([0, 0, 0.05, 1]))
        if self._chance.random() < self._rate:
            raise self._chance.choice(
                [
                    HostServerError("500"),
                    HostTimeoutError("silence"),
                    RateLimitedError("509"),
                    AccessDeniedError("403"),
                    HostNotFoundError("404"),
                ]
            )

    async def open_link(self, code: FileCode) -> DownloadLink:
        await self._stumble()
        server = self._chance.randrange(self._servers)
        return DownloadLink(url=f"{code} {server}", expires_at=1e6 + trio.current_time() + 20)

    @asynccontextmanager
    async def open_stream(
        self, link: DownloadLink, start_byte: int, stop_byte: int | None = None
    ) -> AsyncIterator[ByteStream]:
        await self._stumble()
        code, server = link.url.split()
        film = self.films[FileCode(code)]
        if start_byte >= len(film.content):
            raise ContentChangedError("416", size_bytes=len(film.content))
        yield RoughStream(film, self._chance, server, start_byte, stop_byte)


class RoughDisk:
    """Stands between the cache and its files: fails, writes short, and looks after each call
    whether what a killed daemon would leave there now is right."""

    def __init__(self, stress: Stress, full_rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stress = stress
        self._chance = stress.chance
        self._full_rate = full_rate
        self.is_full = False
        self._pwrite, self._punch_hole = os.pwrite, chunkcache._punch
        monkeypatch.setattr(os, "pwrite", self.pwrite)
        monkeypatch.setattr(chunkcache, "_punch", self.punch)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        chance = self._chance
        if len(data) > 1000 and (self.is_full or chance.random() < self._full_rate):
            raise OSError(errno.ENOSPC, "full")
        if len(data) > 1000 and chance.random() < 0.05:
            data = data[: chance.randrange(1, len(data))]
        count = self._pwrite(fd, data, offset)
        self._stress.look(often=False)
        return count

    def punch(self, fd: int, start: int, stop: int) -> None:
        self._stress.look(often=False)
        self._punch_hole(fd, start, stop)
        self._stress.look(often=False)


class Stress:
    def __init__(self, seed: int, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.chance = chance = random.Random(seed)
        self.directory = directory
        self.host = RoughHost(chance, chance.choice([0, 0.1, 0.4]))
        for number in range(chance.choice([1, 2, 7])):
            code = FileCode(f"c{number}")
            self.host.films[code] = Film(code, chance)
        self.disk = RoughDisk(self, chance.choice([0, 0, 0.02]), monkeypatch)
        self.room = chance.choice([0, 3, 10, 40, 1000])
        self.cache = ChunkCache(directory, size_bytes_max=self.room * CHUNK)
        self.readers = Readers(self.host, self.cache)
        self.consistent: dict[RemoteReader, set[int]] = {}
        """The contents that all bytes a reader ever gave could be of."""
        self.reads = self.errors = 0
        self.may_replace = chance.random() < 0.5

    async def read_some(self) -> None:
        chance = self.chance
        for _ in range(12):
            film = chance.choice(list(self.host.films.values()))
            try:
                reader = self.readers.acquire(film.code, len(film.content))
            except OSError:
                continue
            try:
                await self._read_in(reader, film)
            except (HostError, SpoolError, trio.TooSlowError):
                self.errors += 1
            finally:
                self.readers.release(reader)
            await trio.sleep(chance.choice([0, 0, 0.3, 10]))

    async def _read_in(self, reader: RemoteReader, film: Film) -> None:
        chance, size = self.chance, reader.size_bytes
        offset = chance.choice([0, chance.randrange(size), max(0, size - 5000)])
        length = chance.choice([1, 100, CHUNK, 3 * CHUNK + 5, 12 * CHUNK])
        for _ in range(chance.choice([1, 4, 20])):
            with trio.move_on_after(chance.choice([0, 0.01, 1, 200, 200, 200, 200])):
                data = await reader.read(offset, length)
                self.check(reader, film, offset, length, data)
                offset += len(data)
            if chance.random() < 0.2:
                offset = chance.randrange(size)
            await trio.sleep(chance.choice([0, 0, 0, 0.01, 2]))

    def check(
        self, reader: RemoteReader, film: Film, offset: int, length: int, data: bytes
    ) -> None:
        self.reads += 1
        assert len(data) == max(0, min(length, reader.size_bytes - offset)), "a short read"
        fitting = {
            number
            for number, content in enumerate(film.versions)
            if len(content) == reader.size_bytes and content[offset : offset + len(data)] == data
        }
        assert fitting, f"bytes of no content at {offset} of {reader.size_bytes}"
        known = self.consistent.setdefault(reader, fitting)
        known &= fitting
        assert known, f"old and new bytes are mixed at {offset}"

    async def make_trouble(self) -> None:
        chance = self.chance
        while True:
            await trio.sleep(chance.choice([0.01, 1, 5]))
            what, film = chance.random(), chance.choice(list(self.host.films.values()))
            if what < 0.1 and self.may_replace:
                size = len(film.content)
                film.replace(
                    size if chance.random() < 0.5 else max(1, size + chance.randint(-9, 9))
                )
            elif what < 0.15:
                self.disk.is_full = not self.disk.is_full
            elif what < 0.2:
                self.cache.make_room(chance.randrange(50 * CHUNK))
            elif what < 0.22:
                self.cache.forget(film.code)

    def look(self, *, often: bool = True) -> None:
        """What is marked on the disk is there, of one content."""
        if not often and self.chance.random() > 0.1:
            return
        header = chunkcache._HEADER.size
        for path in self.directory.glob("*.map"):
            film = self.host.films[FileCode(path.stem)]
            data_path = path.with_suffix(".data")
            marks = path.read_bytes()[header:]
            if not data_path.exists() or data_path.stat().st_size < (len(marks) - 1) * CHUNK + 1:
                continue  # cut from outside, or just begun
            data = data_path.read_bytes()
            fitting = [v for v in film.versions if len(v) == len(data)]
            held = [n for n, mark in enumerate(marks) if mark]
            assert not held or any(
                all(
                    v[n * CHUNK : (n + 1) * CHUNK] == data[n * CHUNK : (n + 1) * CHUNK]
                    for n in held
                )
                for v in fitting
            ), f"a mark without its bytes in {path.name}"

    def disk_bytes(self) -> int:
        return sum(file.stat().st_blocks * 512 for file in self.directory.glob("*.data"))

    async def main(self) -> None:
        async with trio.open_nursery() as nursery:
            self.readers.start(nursery)
            nursery.start_soon(self.make_trouble)
            async with trio.open_nursery() as reading:
                for _ in range(self.chance.choice([1, 4, 16])):
                    reading.start_soon(self.read_some)
            await trio.sleep(1300)
            nursery.cancel_scope.cancel()
        self.look()


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + ROUNDS))
def test_every_byte_is_of_one_content_whatever_happens(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        def time(self) -> float:
            return 1e6 + trio.current_time()

    monkeypatch.setattr(links, "time", Clock())
    for module in (chunks, chunkcache, reader):
        monkeypatch.setattr(module, "CHUNK_BYTES", CHUNK)
    trio._core._run._r.seed(seed)  # the order in which tasks run
    stress = Stress(seed, tmp_path / "cache", monkeypatch)
    run(stress.main)
    assert stress.reads
