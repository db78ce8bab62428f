"""What reading may cost at the most: time, memory, disk, downloads; and never a byte too few."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trio

from tests.unit.content.test_reader import CONTENT, SIZE, Bench, _one_clock, bench, check
from tests.unit.fakes import FakeStream, run, settle
from vidfs.content.chunkcache import CachedFile, ChunkCache
from vidfs.content.chunks import CHUNK_BYTES
from vidfs.content.reader import Readers
from vidfs.errors import HostError

__all__ = ["_one_clock", "bench"]

STEP = 128 * 1024


def give_cache(bench: Bench, directory: Path, chunks: int) -> None:
    bench.cache = ChunkCache(directory, size_bytes_max=chunks * CHUNK_BYTES)
    bench.readers = Readers(bench.host, bench.cache)


def disk_bytes(directory: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in directory.glob("*.data"))


def run_all(bench: Bench, read: Callable[[int], Awaitable[None]], files: int) -> None:
    """*read* for each of so many files, all at once."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            bench.readers.start(nursery)
            for number in range(files):
                nursery.start_soon(read, number)

    run(main)


def test_a_cache_file_that_was_cut_is_fetched_again_and_never_read_short(
    bench: Bench, tmp_path: Path
) -> None:
    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 0, 6 * CHUNK_BYTES)
            [file] = (tmp_path / "cache").glob("*.data")
            os.truncate(file, 2 * CHUNK_BYTES + 77)
            await check(reader, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES)
            await check(reader, 0, SIZE)

    run(main)


@pytest.mark.parametrize("cut", [1, 100])
def test_bytes_by_the_drop_end_in_an_error_within_the_deadline(bench: Bench, cut: int) -> None:
    bench.host.stream_options = {"cut_after_bytes": cut}

    async def main() -> None:
        async with bench.reading() as reader:
            started = trio.current_time()
            with pytest.raises((HostError, trio.TooSlowError)):
                await reader.read(0, 100_000)
            with pytest.raises((HostError, trio.TooSlowError)):
                await reader.read(0, 4096)  # as the kernel does after a failed read-ahead
            assert trio.current_time() - started <= 61

    run(main)


def test_a_chunk_that_leaves_the_cache_while_a_stream_is_in_it_is_not_left_with_a_hole(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream leaves a part of a held chunk out; that chunk then has to stay."""
    bench.host.stream_options = {"block_bytes": CHUNK_BYTES + 1000}
    stored = bench.cache.stored

    def store_and_trim(code: object, file: CachedFile) -> None:
        stored(bench.code, file)
        bench.cache.make_room(1 << 30)  # the disk is short

    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 5 * CHUNK_BYTES, CHUNK_BYTES)
            await check(reader, 30 * CHUNK_BYTES, CHUNK_BYTES)
            await trio.sleep(20)
            monkeypatch.setattr(bench.cache, "stored", store_and_trim)
            await check(reader, 4 * CHUNK_BYTES, CHUNK_BYTES)
            await check(reader, 5 * CHUNK_BYTES, CHUNK_BYTES)

    run(main)


def test_streams_leave_nothing_on_the_disk_that_is_not_counted(
    bench: Bench, tmp_path: Path
) -> None:
    bench.host.stream_options = {"block_bytes": CHUNK_BYTES // 2 + 4096, "pace_s": 1.0}

    async def main() -> None:
        async with bench.reading() as reader:
            for chunk in range(14):
                await check(reader, chunk * CHUNK_BYTES, CHUNK_BYTES)
            await trio.sleep(60)  # its last request was for all that follows
            running = reader.streams
            assert not running
            assert disk_bytes(tmp_path / "cache") <= reader.held_bytes + 4096
            await check(reader, 38 * CHUNK_BYTES, 100)
            await trio.sleep(1.5)
            assert reader.streams
        assert disk_bytes(tmp_path / "cache") <= bench.cache.bytes_used + 4096

    run(main)


@pytest.mark.parametrize("chunks", [0, 4, 16])
def test_a_tiny_cache_is_exceeded_by_no_more_than_a_chunk_for_each_file(
    bench: Bench, tmp_path: Path, chunks: int
) -> None:
    files, most = 12, 0
    give_cache(bench, tmp_path / "small", chunks)
    codes = [bench.host.add(f"{number}.mp4", CONTENT) for number in range(files)]

    async def read(number: int) -> None:
        nonlocal most
        reader = bench.readers.acquire(codes[number], SIZE)
        for at in range(0, SIZE, STEP):
            await check(reader, at, STEP)
            most = max(most, disk_bytes(tmp_path / "small"))
        bench.readers.release(reader)

    run_all(bench, read, files)
    assert most <= (chunks + files) * CHUNK_BYTES


def test_a_full_disk_costs_little_memory_however_many_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: CachedFile, offset: int, data: bytes | memoryview) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(CachedFile, "write", full)
    files, most = 30, 0
    codes = [bench.host.add(f"{number}.mp4", CONTENT) for number in range(files)]

    def kept_bytes() -> int:
        return sum(
            sum(len(chunk) for chunk in reader._loose.values())
            + sum(len(stream.buffer or b"") for stream in reader._streams)
            for reader in bench.readers.open_readers
        )

    async def read(number: int) -> None:
        nonlocal most
        reader = bench.readers.acquire(codes[number], SIZE)
        for at in range(0, SIZE, 1 << 20):
            await check(reader, at, 1 << 20)
            most = max(most, kept_bytes())
        bench.readers.release(reader)

    run_all(bench, read, files)
    assert 0 < most <= 48 << 20, most


def test_a_server_without_ranges_sends_a_film_that_is_played_slowly_hardly_twice(
    bench: Bench,
) -> None:
    bench.host.stream_options = {"ignores_range": True}

    async def main() -> None:
        async with bench.reading() as reader:
            for at in range(0, SIZE, CHUNK_BYTES):
                await check(reader, at, CHUNK_BYTES)
                await trio.sleep(8)

    run(main)
    assert sum(stream.given_bytes for stream in bench.host.streams) <= 2 * SIZE


def test_a_stream_that_was_ended_writes_nothing_more(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next bytes had arrived when what it had written of its chunk was dropped."""
    gate, half = trio.Event(), CHUNK_BYTES // 2

    async def blocks(stream: FakeStream) -> AsyncIterator[bytes]:
        yield CONTENT[stream.start_byte : stream.start_byte + half]
        await gate.wait()
        yield CONTENT[stream.start_byte + half : stream.start_byte + 2 * CHUNK_BYTES]

    async def main() -> None:
        async with bench.reading() as reader, trio.open_nursery() as nursery:
            await check(reader, 0, 1000)
            await trio.sleep(20)
            monkeypatch.setattr(FakeStream, "__aiter__", blocks)
            nursery.start_soon(check, reader, 20 * CHUNK_BYTES, 1000)
            await settle()
            [file] = (tmp_path / "cache").glob("*.data")
            os.truncate(file, 0)
            gate.set()
            await check(reader, 0, 1000)
            monkeypatch.undo()
            await check(reader, 20 * CHUNK_BYTES, 1000)

    run(main)


@pytest.mark.parametrize("place", [SIZE - 1000, 20 * CHUNK_BYTES])
def test_a_server_without_ranges_sends_a_film_once_though_its_end_is_read_first(
    bench: Bench, place: int
) -> None:
    bench.host.stream_options = {"ignores_range": True}

    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, place, 1000)
            for at in range(0, SIZE, CHUNK_BYTES):
                await check(reader, at, CHUNK_BYTES)

    run(main)
    given = sum(stream.given_bytes for stream in bench.host.streams)
    assert given <= SIZE + 8 * CHUNK_BYTES, given / SIZE
