"""Ranged reads: single flight, few requests, one link, and an end to every wait."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.unit.fakes import FakeHost, FakeStream, formula, raising, run
from vidfs.content import links as links_module
from vidfs.content.chunkcache import CachedFile, ChunkCache
from vidfs.content.chunks import CHUNK_BYTES
from vidfs.content.reader import Readers, RemoteReader
from vidfs.errors import (
    AccessDeniedError,
    ContentChangedError,
    HostError,
    HostNotFoundError,
    HostServerError,
    HostUnreachableError,
    LegalBlockError,
    VidfsError,
)
from vidfs.hosts.api import ContentStamp
from vidfs.types import FileCode

SIZE = 40 * CHUNK_BYTES + 12_345
CONTENT = formula(1 << 16) * (SIZE // (1 << 16)) + formula(SIZE % (1 << 16), seed=77)


class Clock:
    """`time.time` of the links, on the test's clock."""

    def time(self) -> float:
        return 1_000_000.0 + trio.current_time()


@pytest.fixture(autouse=True)
def _one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_module, "time", Clock())


class Bench:
    def __init__(self, directory: Path) -> None:
        self.host = FakeHost()
        self.code = self.host.add("a.mp4", CONTENT)
        self.cache = ChunkCache(directory, size_bytes_max=1 << 30)
        self.readers = Readers(self.host, self.cache)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[RemoteReader]:
        async with trio.open_nursery() as nursery:
            self.readers.start(nursery)
            reader = self.readers.acquire(self.code, SIZE)
            yield reader
            self.readers.release(reader)
            # Streams that nobody follows any more end by themselves.


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "cache")


async def read_all(reader: RemoteReader, step: int = 128 * 1024) -> bytes:
    parts = [await reader.read(at, step) for at in range(0, SIZE, step)]
    return b"".join(parts)


def test_a_sequential_read_is_three_requests_and_right(bench: Bench) -> None:
    async def main() -> None:
        async with bench.reading() as reader:
            assert await read_all(reader) == CONTENT

    run(main)
    asked = [(stream.asked_byte, stream.asked_stop) for stream in bench.host.streams]
    assert [start for start, _ in asked[1:]] == [stop for _, stop in asked[:-1]]
    assert len(asked) == 3
    assert asked[-1][1] is None
    assert bench.host.links == 1


def test_whoever_looks_at_head_and_index_has_little_downloaded(bench: Bench) -> None:
    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 0, 100_000)
            await check(reader, SIZE - 200_000, 200_000)
            await check(reader, 100_000, 50_000)
            await trio.sleep(30)

    run(main)
    assert len(bench.host.streams) == 2
    assert sum(stream.given_bytes for stream in bench.host.streams) <= 6 * CHUNK_BYTES


def test_a_link_that_expires_between_requests_is_renewed(bench: Bench) -> None:
    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 0, 1000)
            bench.host.on("open_stream", raising(AccessDeniedError("expired")))
            assert await read_all(reader) == CONTENT

    run(main)
    assert bench.host.links == 2


def test_what_was_read_is_not_fetched_again(bench: Bench) -> None:
    async def main() -> None:
        async with bench.reading() as reader:
            await read_all(reader)
        async with bench.reading() as reader:
            before = bench.host.calls["open_stream"]
            assert await read_all(reader) == CONTENT
            assert bench.host.calls["open_stream"] == before

    run(main)


def test_many_readers_of_one_place_cost_one_request(bench: Bench) -> None:
    async def main() -> None:
        async with bench.reading() as reader, trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(check, reader, 5 * CHUNK_BYTES + 7, 100_000)

    run(main)
    assert bench.host.calls["open_stream"] == 1


async def check(reader: RemoteReader, offset: int, size: int) -> None:
    assert await reader.read(offset, size) == CONTENT[offset : offset + size]


def test_reads_beyond_the_end_are_short(bench: Bench) -> None:
    async def main() -> None:
        async with bench.reading() as reader:
            assert await reader.read(SIZE - 10, 100) == CONTENT[-10:]
            assert await reader.read(SIZE, 100) == b""
            assert await reader.read(SIZE + 1000, 100) == b""

    run(main)


def test_a_player_that_looks_at_the_end_keeps_its_first_stream(bench: Bench) -> None:
    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 0, 1000)
            await check(reader, SIZE - 1000, 1000)
            assert await read_all(reader) == CONTENT

    run(main)
    assert bench.host.calls["open_stream"] <= 4
    assert bench.host.links == 1


@pytest.mark.parametrize("places", [4, 5, 9, 14])
def test_more_readers_than_streams_all_get_their_bytes(bench: Bench, places: int) -> None:
    """Nobody's stream is taken away before it gave what it was opened for."""
    apart = 20 * CHUNK_BYTES
    content = bytes(range(256)) * (places * apart // 256)
    code = bench.host.add("big.mp4", content)
    done: list[int] = []

    async def read_one(reader: RemoteReader, place: int) -> None:
        size = 4 * CHUNK_BYTES
        assert await reader.read(place * apart + place, size) == content[place : place + size]
        done.append(place)

    async def give_up_after(opened: int) -> None:
        if bench.host.calls["open_stream"] > opened:
            pytest.fail("streams are opened and taken away for ever")

    async def main() -> None:
        for _ in range(100):
            bench.host.on("open_stream", partial(give_up_after, 3 * places))
        async with trio.open_nursery() as nursery:
            bench.readers.start(nursery)
            reader = bench.readers.acquire(code, len(content))
            started = trio.current_time()
            async with trio.open_nursery() as reading:
                for place in range(places):
                    reading.start_soon(read_one, reader, place)
            assert trio.current_time() - started < 1, "they waited for streams to be idle"
            bench.readers.release(reader)

    run(main)
    assert sorted(done) == list(range(places))


def test_a_stream_does_not_run_far_ahead_of_one_short_read(bench: Bench) -> None:
    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 0, 1000)
            await trio.sleep(60)
            assert bench.host.streams[0].is_closed
            assert bench.host.streams[0].given_bytes < 12 * CHUNK_BYTES

    run(main)


def test_a_server_that_ignores_the_range_still_works(bench: Bench) -> None:
    bench.host.stream_options = {"ignores_range": True}

    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 7 * CHUNK_BYTES + 5, 300_000)
            assert await read_all(reader) == CONTENT

    run(main)


def test_a_link_that_expired_is_renewed_once_and_nobody_notices(bench: Bench) -> None:
    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 0, 1000)
            await trio.sleep(20)  # the stream has ended
            bench.host.on("open_stream", raising(HostNotFoundError("expired")))
            assert await read_all(reader) == CONTENT

    run(main)
    assert bench.host.links == 2


def test_a_link_older_than_its_life_is_not_tried(bench: Bench) -> None:
    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 0, 1000)
            await trio.sleep(3600)
            await check(reader, 30 * CHUNK_BYTES, 1000)

    run(main)
    assert bench.host.links == 2


@pytest.mark.parametrize("error", [HostNotFoundError("gone"), AccessDeniedError("no")])
def test_a_fresh_link_that_fails_is_the_truth(bench: Bench, error: VidfsError) -> None:
    bench.host.on("open_stream", *[raising(error)] * 20)

    async def main() -> None:
        async with bench.reading() as reader:
            started = trio.current_time()
            with pytest.raises(type(error)):
                await reader.read(0, 100)
            assert trio.current_time() - started < 2

    run(main)
    assert bench.host.calls["open_stream"] <= 5


def test_new_links_that_are_refused_by_chance_are_no_error(bench: Bench) -> None:
    """Of a server that loses one in four, four readers at once may well meet three in a row."""
    refused = [raising(HostNotFoundError("404")), raising(AccessDeniedError("403"))]
    bench.host.on("open_stream", *refused, *refused)

    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 0, 1000)

    run(main)


def test_a_blocked_file_is_not_asked_for_twice(bench: Bench) -> None:
    bench.host.on("open_link", *[raising(LegalBlockError("451"))] * 20)

    async def main() -> None:
        async with bench.reading() as reader:
            with pytest.raises(LegalBlockError):
                await reader.read(0, 100)

    run(main)
    assert bench.host.calls["open_link"] == 1


def test_bodies_that_end_early_are_continued(bench: Bench) -> None:
    bench.host.stream_options = {"cut_after_bytes": 3 * CHUNK_BYTES + 100}

    async def main() -> None:
        async with bench.reading() as reader:
            assert await read_all(reader) == CONTENT

    run(main)


def test_a_body_that_never_brings_anything_ends_in_an_error(bench: Bench) -> None:
    bench.host.stream_options = {"cut_after_bytes": 0}

    async def main() -> None:
        async with bench.reading() as reader:
            started = trio.current_time()
            with pytest.raises(HostServerError):
                await reader.read(0, 100)
            assert 10 < trio.current_time() - started <= 61

    run(main)
    assert bench.host.calls["open_stream"] < 60


def test_a_host_that_is_gone_is_told_to_the_reader_sooner(bench: Bench) -> None:
    bench.host.on("open_stream", *[raising(HostUnreachableError("no connection"))] * 200)

    async def main() -> None:
        async with bench.reading() as reader:
            started = trio.current_time()
            with pytest.raises(HostUnreachableError):
                await reader.read(0, 100)
            assert 3 < trio.current_time() - started <= 10

    run(main)


def test_connections_that_break_off_within_a_chunk_are_taken_up_at_the_byte(bench: Bench) -> None:
    bench.host.stream_options = {"cut_after_bytes": CHUNK_BYTES // 3}

    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 3 * CHUNK_BYTES + 5, 4 * CHUNK_BYTES)

    run(main)
    asked = [stream.asked_byte for stream in bench.host.streams]
    assert asked[:4] == [3 * CHUNK_BYTES + n * (CHUNK_BYTES // 3) for n in range(4)]


def test_a_slow_line_is_no_error(bench: Bench) -> None:
    bench.host.stream_options = {"block_bytes": 10_000, "pace_s": 2.0}

    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 0, 2 * CHUNK_BYTES)

    run(main)
    assert bench.host.calls["open_stream"] == 1


def test_a_new_link_that_fails_by_chance_is_asked_for_again(bench: Bench) -> None:
    bench.host.on("open_stream", raising(AccessDeniedError("403")))

    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 0, 1000)

    run(main)
    assert bench.host.links == 2


def test_a_reader_waits_only_so_long_for_a_silent_host(bench: Bench) -> None:
    async def main() -> None:
        bench.host.on("open_stream", trio.Event().wait)
        async with bench.reading() as reader:
            started = trio.current_time()
            with pytest.raises((HostError, trio.TooSlowError)):
                await reader.read(0, 100)
            assert trio.current_time() - started <= 61

    run(main)


def test_passing_trouble_is_not_seen_by_the_reader(bench: Bench) -> None:
    bench.host.on("open_link", *[raising(HostServerError("500"))] * 3)
    bench.host.on("open_stream", *[raising(HostServerError("500"))] * 3)

    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 0, 1000)

    run(main)


def test_a_cancelled_reader_takes_nothing_from_the_others(bench: Bench) -> None:
    bench.host.stream_options = {"pace_s": 1.0}

    async def main() -> None:
        async with bench.reading() as reader, trio.open_nursery() as nursery:
            nursery.start_soon(check, reader, 0, 1000)
            with trio.move_on_after(0.5):
                await reader.read(0, 1000)

    run(main)
    assert bench.host.calls["open_stream"] == 1


def test_readers_of_one_code_share_and_the_last_one_closes(bench: Bench) -> None:
    async def main() -> None:
        async with bench.reading() as first:
            second = bench.readers.acquire(bench.code, SIZE)
            assert second is first
            bench.readers.release(second)
            await check(first, 0, 1000)
        async with bench.reading() as later:
            assert later is not first
            await check(later, 0, 1000)

    run(main)


def test_a_file_of_another_size_gets_a_reader_of_its_own(bench: Bench) -> None:
    async def main() -> None:
        async with bench.reading() as old:
            await check(old, 0, 1000)
            longer = CONTENT + b"more"
            bench.host.stored[bench.code].content = longer
            new = bench.readers.acquire(FileCode(bench.code), len(longer))
            assert new is not old
            assert await new.read(SIZE - 5, 100) == longer[-9:]
            bench.readers.release(new)

    run(main)


# --------------------------------------------------------------- content that is another by now


@pytest.mark.parametrize("size", [SIZE - 5 * CHUNK_BYTES, SIZE + 5 * CHUNK_BYTES, 1])
def test_content_of_another_size_ends_all_reading_at_once(bench: Bench, size: int) -> None:
    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 0, 1000)
            await trio.sleep(20)  # the stream has ended
            bench.host.stored[bench.code].content = bytes(size)
            started = trio.current_time()
            with pytest.raises(ContentChangedError) as raised:
                await reader.read(20 * CHUNK_BYTES, 1000)
            assert raised.value.size_bytes == size
            assert trio.current_time() - started < 2
            with pytest.raises(ContentChangedError):
                await reader.read(0, 1000)  # old bytes are never mixed with new ones
            assert bench.cache.bytes_used == 0
            newer = bench.readers.acquire(bench.code, size)
            assert await newer.read(0, 1000) == bytes(min(1000, size))
            bench.readers.release(newer)

    run(main)


def test_a_link_to_the_old_content_is_renewed(bench: Bench) -> None:
    """A listing told the new size; the link of before still leads to the old bytes."""
    old = bench.host.stored[bench.code].content
    new = CONTENT[: 9 * CHUNK_BYTES]

    async def renew() -> None:
        bench.host.stored[bench.code].content = new

    async def main() -> None:
        async with bench.reading() as reader:
            await check(reader, 0, 1000)
            bench.host.on("open_link", renew)
            assert bench.host.stored[bench.code].content is old
            newer = bench.readers.acquire(bench.code, len(new))
            assert await newer.read(5 * CHUNK_BYTES, 10) == new[5 * CHUNK_BYTES :][:10]
            bench.readers.release(newer)

    run(main)
    assert bench.host.links == 2


def test_a_range_beyond_the_end_is_changed_content(bench: Bench) -> None:
    bench.host.on("open_stream", *[raising(ContentChangedError("416"))] * 5)

    async def main() -> None:
        async with bench.reading() as reader:
            started = trio.current_time()
            with pytest.raises(ContentChangedError):
                await reader.read(0, 1000)
            assert trio.current_time() - started < 2

    run(main)


def test_a_server_without_a_size_that_always_ends_at_one_place_has_no_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsaid = property(lambda self: None, lambda self, value: None)
    monkeypatch.setattr(FakeStream, "total_bytes", unsaid, raising=False)
    bench.host.stored[bench.code].content = CONTENT[: 5 * CHUNK_BYTES + 99]

    async def main() -> None:
        async with bench.reading() as reader:
            started = trio.current_time()
            with pytest.raises(ContentChangedError):
                await reader.read(5 * CHUNK_BYTES, 1000)
            assert trio.current_time() - started < 5

    run(main)


def stamped(mark: str, server: str = "a") -> dict[str, ContentStamp]:
    return {"stamp": ContentStamp(server, mark)}


@pytest.mark.parametrize("remounted", [False, True])
def test_other_bytes_of_the_same_size_are_noticed_by_their_stamp(
    bench: Bench, tmp_path: Path, remounted: bool
) -> None:
    new = bytes(SIZE)

    async def main() -> None:
        bench.host.stream_options = stamped("1")
        async with bench.reading() as reader:
            await check(reader, 0, 1000)
            await trio.sleep(20)  # the stream has ended
        bench.host.stored[bench.code].content = new
        bench.host.stream_options = stamped("2")
        if remounted:
            bench.cache = ChunkCache(tmp_path / "cache", size_bytes_max=1 << 30)
            bench.readers = Readers(bench.host, bench.cache)
        async with bench.reading() as reader:
            await check(reader, 0, 1000)  # nobody was asked yet
            with pytest.raises(ContentChangedError) as raised:
                await reader.read(20 * CHUNK_BYTES, 1000)
            assert raised.value.size_bytes == SIZE
            newer = bench.readers.acquire(bench.code, SIZE)
            assert await read_all(newer) == new
            bench.readers.release(newer)

    run(main)


def test_a_chunk_is_not_made_of_old_and_new_bytes(bench: Bench) -> None:
    """The connection broke off in the very first chunk: nothing that could be compared."""
    new = bytes(SIZE)

    async def replace() -> None:
        bench.host.stored[bench.code].content = new
        bench.host.stream_options = stamped("2")

    async def main() -> None:
        bench.host.stream_options = {"cut_after_bytes": CHUNK_BYTES // 2} | stamped("1")
        bench.host.on("open_stream", trio.lowlevel.checkpoint, replace)
        async with bench.reading() as reader:
            with pytest.raises(ContentChangedError):
                await reader.read(0, CHUNK_BYTES)
            newer = bench.readers.acquire(bench.code, SIZE)
            assert await newer.read(0, CHUNK_BYTES) == new[:CHUNK_BYTES]
            bench.readers.release(newer)

    run(main)


@pytest.mark.parametrize("server", ["a", "b"])
def test_other_bytes_of_the_same_size_are_noticed_where_nothing_is_held(
    bench: Bench, tmp_path: Path, server: str
) -> None:
    """The cache has no room: what a reader got is known, though, and wherever it came from."""
    bench.cache = ChunkCache(tmp_path / "none", size_bytes_max=0)
    bench.readers = Readers(bench.host, bench.cache)
    new = bytes(SIZE)

    async def main() -> None:
        bench.host.stream_options = stamped("1")
        async with bench.reading() as reader:
            await check(reader, 0, 1000)
            await trio.sleep(20)  # the stream has ended
            bench.host.stored[bench.code].content = new
            bench.host.stream_options = stamped("2", server)
            with pytest.raises(ContentChangedError):
                await reader.read(20 * CHUNK_BYTES, 1000)

    run(main)


def test_a_download_that_began_before_the_content_changed_brings_nothing(bench: Bench) -> None:
    """Two downloads begin at once, one of the old content and one of the new."""
    old, new = CONTENT, bytes(SIZE)
    got: list[bytes] = []

    async def replace() -> None:
        await trio.sleep(0.5)
        bench.host.stored[bench.code].content = new
        bench.host.stream_options = {"pace_s": 1.0} | stamped("2")

    async def read(reader: RemoteReader, offset: int) -> None:
        with suppress(ContentChangedError):
            data = await reader.read(offset, 1000)
            got.append(data)
            assert data == old[offset : offset + 1000]

    async def main() -> None:
        bench.host.stream_options = {"pace_s": 1.0} | stamped("1")
        bench.host.on("open_stream", trio.lowlevel.checkpoint, replace)
        async with bench.reading() as reader, trio.open_nursery() as nursery:
            nursery.start_soon(read, reader, 0)
            nursery.start_soon(read, reader, 30 * CHUNK_BYTES)

    run(main)
    assert len(got) == 1


@pytest.mark.parametrize("server", ["a", "b"])
def test_a_stamp_that_changes_without_the_bytes_costs_little(bench: Bench, server: str) -> None:
    async def main() -> None:
        bench.host.stream_options = stamped("0")
        async with bench.reading() as reader:
            for place in range(1, 8):
                await check(reader, place * 5 * CHUNK_BYTES, 1000)
                await trio.sleep(20)
                bench.host.stream_options = stamped(str(place), server)

    run(main)
    assert bench.host.calls["open_stream"] <= 7 + 4


# ------------------------------------------------------------------------------ bounds, full disks


def test_the_cache_stays_bounded_while_one_file_is_read(bench: Bench, tmp_path: Path) -> None:
    bench.cache = ChunkCache(tmp_path / "small", size_bytes_max=8 * CHUNK_BYTES)
    bench.readers = Readers(bench.host, bench.cache)
    most = 0

    async def main() -> None:
        nonlocal most
        async with bench.reading() as reader:
            for at in range(0, SIZE, 128 * 1024):
                await check(reader, at, 128 * 1024)
                used = sum(f.stat().st_blocks * 512 for f in (tmp_path / "small").glob("*.data"))
                most = max(most, used)

    run(main)
    assert most <= 16 * CHUNK_BYTES
    assert bench.host.calls["open_stream"] == 3


@pytest.mark.parametrize("room", [0, 3, 20])
def test_a_full_disk_is_read_past(bench: Bench, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """*room* chunks fit; then the disk takes no more, nor gives any back."""
    plain = CachedFile.write

    def full(self: CachedFile, offset: int, data: bytes | memoryview) -> None:
        if offset + len(data) > room * CHUNK_BYTES:
            raise OSError(errno.ENOSPC, "full")
        plain(self, offset, data)

    monkeypatch.setattr(CachedFile, "write", full)

    async def main() -> None:
        async with bench.reading() as reader, trio.open_nursery() as nursery:
            nursery.start_soon(check, reader, 30 * CHUNK_BYTES - 7, 4 * CHUNK_BYTES)
            assert await read_all(reader, step=1 << 20) == CONTENT
            await check(reader, 0, 1 << 20)

    run(main)
    assert bench.host.links == 1
