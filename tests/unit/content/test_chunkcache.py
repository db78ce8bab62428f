"""The chunk cache: what is served was written, marked, and is of this content and this boot."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.fakes import formula
from vidfs.content import chunkcache
from vidfs.content.chunkcache import CachedFile, ChunkCache
from vidfs.content.chunks import CHUNK_BYTES, chunk_start, chunk_stop
from vidfs.types import FileCode

A, B, C = FileCode("aaaa"), FileCode("bbbb"), FileCode("cccc")
SIZE = 3 * CHUNK_BYTES + 1000
CONTENT = formula(SIZE)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def opened(directory: Path, size_bytes_max: int = 1 << 30) -> ChunkCache:
    return ChunkCache(directory, size_bytes_max=size_bytes_max)


def fill(cache: ChunkCache, code: FileCode, *chunks: int, content: bytes = CONTENT) -> None:
    file = cache.acquire(code, len(content))
    for chunk in chunks:
        start, stop = chunk_start(chunk), chunk_stop(chunk, len(content))
        file.write(start, content[start:stop])
        file.mark(chunk, chunk + 1)
    cache.release(code, file)


def held(cache: ChunkCache, code: FileCode, size_bytes: int = SIZE) -> list[int]:
    file = cache.acquire(code, size_bytes)
    try:
        chunks = [chunk for chunk in range(-(-size_bytes // CHUNK_BYTES)) if file.has(chunk)]
        for chunk in chunks:
            start, stop = chunk_start(chunk), chunk_stop(chunk, size_bytes)
            assert file.read(start, stop - start) == CONTENT[start:stop]
        return chunks
    finally:
        cache.release(code, file)


def test_chunks_survive_a_reopening(directory: Path) -> None:
    fill(opened(directory), A, 0, 3)
    cache = opened(directory)
    assert held(cache, A) == [0, 3]
    assert not cache.holds_all(A, SIZE)
    fill(cache, A, 1, 2)
    assert opened(directory).holds_all(A, SIZE)


def test_bytes_without_a_mark_are_never_served(directory: Path) -> None:
    cache = opened(directory)
    file = cache.acquire(A, SIZE)
    file.write(0, CONTENT[:CHUNK_BYTES])
    assert file.find_missing(0, 10) == 0
    cache.release(A, file)
    assert held(opened(directory), A) == []


def test_the_first_missing_chunk_of_a_range_is_found(directory: Path) -> None:
    cache = opened(directory)
    fill(cache, A, 0, 2)
    file = cache.acquire(A, SIZE)
    assert file.find_missing(0, CHUNK_BYTES) is None
    assert file.find_missing(0, CHUNK_BYTES + 1) == 1
    assert file.find_missing(2 * CHUNK_BYTES, CHUNK_BYTES) is None
    assert file.find_missing(2 * CHUNK_BYTES, CHUNK_BYTES + 1) == 3
    cache.release(A, file)


def test_bytes_of_another_size_are_dropped(directory: Path) -> None:
    cache = opened(directory)
    fill(cache, A, 0, 1, 2, 3)
    assert held(cache, A, SIZE + 1) == []
    assert held(opened(directory), A, SIZE) == []


def test_chunks_of_an_earlier_boot_are_not_believed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(opened(directory), A, 0, 1, 2, 3)
    monkeypatch.setattr(chunkcache, "_boot_id", lambda: b"another boot".ljust(36))
    assert held(opened(directory), A) == []


def test_an_adopted_file_is_believed_after_another_boot(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = directory.with_name("spooled")
    source.write_bytes(CONTENT)
    assert opened(directory).adopt(A, source, SIZE)
    assert not source.exists()
    monkeypatch.setattr(chunkcache, "_boot_id", lambda: b"another boot".ljust(36))
    cache = opened(directory)
    assert held(cache, A) == [0, 1, 2, 3]
    assert cache.holds_all(A, SIZE)


@pytest.mark.parametrize("damage", ["short map", "no map", "short data", "rubbish"])
def test_whatever_is_damaged_is_fetched_again(directory: Path, damage: str) -> None:
    fill(opened(directory), A, 0, 1, 2, 3)
    [data], [marks] = directory.glob("*.data"), directory.glob("*.map")
    if damage == "short map":
        os.truncate(marks, 20)
    elif damage == "no map":
        marks.unlink()
    elif damage == "short data":
        os.truncate(data, SIZE - 1)
    else:
        marks.write_bytes(b"\x01" * 100)
    assert held(opened(directory), A) == []


def test_what_was_used_longest_ago_goes_first(directory: Path) -> None:
    cache = opened(directory, size_bytes_max=5 * CHUNK_BYTES)
    fill(cache, A, 0, 1)
    fill(cache, B, 0, 1)
    assert held(cache, A) == [0, 1]  # used
    fill(cache, C, 0, 1)
    assert cache.bytes_used <= 5 * CHUNK_BYTES
    assert held(cache, B) == []
    assert held(cache, A) == [0, 1]
    assert held(cache, C) == [0, 1]


def test_what_is_being_read_stays(directory: Path) -> None:
    cache = opened(directory, size_bytes_max=CHUNK_BYTES)
    file = cache.acquire(A, SIZE)
    file.write(0, CONTENT[:CHUNK_BYTES])
    file.mark(0, 1)
    fill(cache, B, 0, 1)
    assert file.read(0, 100) == CONTENT[:100]
    cache.release(A, file)


def test_the_bound_holds_for_what_earlier_sessions_left(directory: Path) -> None:
    fill(opened(directory), A, 0, 1, 2)
    fill(opened(directory), B, 0, 1, 2)
    cache = opened(directory, size_bytes_max=4 * CHUNK_BYTES)
    cache.trim()
    assert cache.bytes_used <= 4 * CHUNK_BYTES
    assert len(list(directory.glob("*.data"))) == 1


def test_a_forgotten_file_that_is_still_read_is_not_counted_for_ever(directory: Path) -> None:
    cache = opened(directory)
    file = cache.acquire(A, SIZE)
    file.write(0, CONTENT[:CHUNK_BYTES])
    file.mark(0, 1)
    cache.forget(A)
    assert file.read(0, 100) == CONTENT[:100]
    cache.release(A, file)
    assert cache.bytes_used == 0
    assert list(directory.iterdir()) == []


def test_a_closed_file_never_touches_a_descriptor_that_is_used_again(directory: Path) -> None:
    cache = opened(directory)
    file = cache.acquire(A, SIZE)
    cache.release(A, file)
    others = [os.open(os.devnull, os.O_RDWR) for _ in range(3)]
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            file.write(0, b"stray")
    finally:
        for fd in others:
            os.close(fd)


def test_codes_with_dots_are_kept_apart(directory: Path) -> None:
    cache = opened(directory)
    one, other = FileCode("abc.one"), FileCode("abc.other")
    fill(cache, one, 0, 1)
    assert held(cache, other) == []
    assert held(cache, one) == [0, 1]


def test_the_directory_may_be_removed_at_any_time(directory: Path) -> None:
    cache = opened(directory)
    fill(cache, A, 0)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    assert held(cache, A) == []
    fill(cache, B, 0)
    assert held(cache, B) == [0]


# ------------------------------------------------------------------------------ bounded while read


LONG = formula(1 << 16) * (20 * CHUNK_BYTES >> 16)


def put(cache: ChunkCache, code: FileCode, file: CachedFile, chunk: int) -> None:
    start = chunk_start(chunk)
    file.write(start, LONG[start : start + CHUNK_BYTES])
    file.mark(chunk, chunk + 1)
    cache.stored(code, file)


def blocks(directory: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in directory.glob("*.data"))


def test_what_nobody_reads_leaves_before_chunks_of_what_is_read(directory: Path) -> None:
    cache = opened(directory, size_bytes_max=6 * CHUNK_BYTES)
    fill(cache, B, 0, 1)
    file = cache.acquire(A, len(LONG))
    for chunk in range(5):
        put(cache, A, file, chunk)
    assert [file.has(chunk) for chunk in range(5)] == [True] * 5
    assert cache.bytes_used == file.held_bytes == 5 * CHUNK_BYTES
    assert held(cache, B) == []
    cache.release(A, file)


def test_chunks_far_from_their_readers_leave_an_open_file(directory: Path) -> None:
    cache = opened(directory, size_bytes_max=6 * CHUNK_BYTES)
    file = cache.acquire(A, len(LONG))
    needed = [range(9, 12)]
    file.keepers.append(lambda: needed)
    for chunk in (11, 10, 9, 8, 19, 0, 12, 5, 13):
        put(cache, A, file, chunk)
        assert cache.bytes_used <= 6 * CHUNK_BYTES
        assert blocks(directory) <= 7 * CHUNK_BYTES
    kept = [chunk for chunk in range(20) if file.has(chunk)]
    assert {9, 10, 11, 12} <= set(kept)
    assert not {0, 5, 19} & set(kept)
    for chunk in kept:
        start = chunk_start(chunk)
        assert file.read(start, CHUNK_BYTES) == LONG[start : start + CHUNK_BYTES]
    assert file.find_missing(0, 10) == 0
    cache.release(A, file)
    again = opened(directory).acquire(A, len(LONG))
    assert [chunk for chunk in range(20) if again.has(chunk)] == kept


def test_a_mark_goes_before_its_bytes(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in between, nothing is left that says of a hole that it has bytes."""
    cache = opened(directory, size_bytes_max=2 * CHUNK_BYTES)
    seen = []

    def punch(fd: int, start: int, stop: int) -> None:
        marks = (directory / "aaaa.map").read_bytes()[-20:]
        seen.append(any(marks[start // CHUNK_BYTES : stop // CHUNK_BYTES]))

    monkeypatch.setattr(chunkcache, "_punch", punch)
    file = cache.acquire(A, len(LONG))
    for chunk in range(6):
        put(cache, A, file, chunk)
    assert seen
    assert not any(seen)
    cache.release(A, file)


def test_our_own_upload_is_held_whole_or_not_at_all(directory: Path) -> None:
    source = directory.with_name("spooled")
    source.write_bytes(LONG)
    cache = opened(directory, size_bytes_max=len(LONG))
    assert cache.adopt(A, source, len(LONG))
    file = cache.acquire(A, len(LONG))
    other = cache.acquire(B, len(LONG))
    for chunk in range(20):
        put(cache, B, other, chunk)
    assert file.is_whole
    assert cache.bytes_used <= len(LONG) + CHUNK_BYTES
    cache.release(A, file)
    cache.release(B, other)


def test_a_file_system_without_holes_only_costs_the_bound(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, start: int, stop: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "no holes")

    monkeypatch.setattr(chunkcache, "_punch", refuse)
    cache = opened(directory, size_bytes_max=2 * CHUNK_BYTES)
    file = cache.acquire(A, len(LONG))
    for chunk in range(6):
        put(cache, A, file, chunk)
    assert file.has(5)
    cache.release(A, file)
    assert cache.bytes_used <= 2 * CHUNK_BYTES


@pytest.mark.parametrize(
    ("total", "free", "fits"),
    [
        (16 << 20, 8 << 20, True),  # a small disk: the reserve is a part of it
        (16 << 20, 1 << 19, False),
        (1 << 40, 2 << 30, True),
        (1 << 40, 1 << 29, False),
    ],
)
def test_the_disk_keeps_a_reserve(
    directory: Path, monkeypatch: pytest.MonkeyPatch, total: int, free: int, fits: bool
) -> None:
    cache = opened(directory)
    fill(cache, A, 0, 1)
    usage = SimpleNamespace(total=total, used=total - free, free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    cache.trim()
    assert (held(cache, A) == [0, 1]) is fits
