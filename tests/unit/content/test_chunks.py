"""Chunk arithmetic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vidfs.content.chunks import (
    CHUNK_BYTES,
    chunk_count,
    chunk_of,
    chunk_start,
    chunk_stop,
    chunks_of,
)

SIZES = st.integers(0, 5 * CHUNK_BYTES + 1)


@given(SIZES)
def test_chunks_tile_the_file(size_bytes: int) -> None:
    at = 0
    for chunk in range(chunk_count(size_bytes)):
        assert chunk_start(chunk) == at
        assert at < chunk_stop(chunk, size_bytes) <= at + CHUNK_BYTES
        at = chunk_stop(chunk, size_bytes)
    assert at == size_bytes


@given(SIZES, SIZES)
def test_a_range_is_covered_by_its_chunks_and_by_no_fewer(offset: int, size: int) -> None:
    chunks = chunks_of(offset, size)
    if size == 0:
        assert len(chunks) == 0
        return
    assert chunks[0] == chunk_of(offset)
    assert chunks[-1] == chunk_of(offset + size - 1)
    assert list(chunks) == list(range(chunks[0], chunks[-1] + 1))
