"""Chunk arithmetic. Pure."""

from __future__ import annotations

CHUNK_BYTES = 256 * 1024
"""Our slice of a file: two of the kernel's usual requests, a fiftieth of a second at 100 Mbit/s."""


def chunk_count(size_bytes: int) -> int:
    return -(-size_bytes // CHUNK_BYTES)


def chunk_of(offset: int) -> int:
    return offset // CHUNK_BYTES


def chunk_start(chunk: int) -> int:
    return chunk * CHUNK_BYTES


def chunk_stop(chunk: int, size_bytes: int) -> int:
    """First byte after *chunk* in a file of *size_bytes*."""
    return min((chunk + 1) * CHUNK_BYTES, size_bytes)


def chunks_of(offset: int, size: int) -> range:
    """The chunks that hold bytes of `[offset, offset + size)`."""
    if size <= 0:
        return range(0)
    return range(chunk_of(offset), chunk_of(offset + size - 1) + 1)
