"""The body of one upload: multipart/form-data with a known length, read from disk as it goes.

Owns the framing and the reading of the file; knows no HTTP client. httpx's own encoder reads
in small pieces through several generators, at a fraction of the speed.

Source: RFC 7578; HTML standard, "multipart/form-data encoding algorithm" (names and file
names: quotes and line breaks are percent-encoded, everything else is UTF-8 as it is).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import trio

from vidfs.errors import SpoolDamagedError
from vidfs.types import Secret

BLOCK_MAX_BYTES = 1 << 20
BLOCK_MIN_BYTES = 16 << 10
_QUICK_S = 0.2
_SLOW_S = 2.0


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A second file part that fits in memory, such as a snapshot picture."""

    field: str
    file_name: str
    content: bytes
    content_type: str = "application/octet-stream"


def quote_name(name: str) -> str:
    """*name* for a Content-Disposition parameter."""
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


class MultipartBody:
    """Iterate once to send. `is_sent` tells whether all of it was handed to the connection."""

    def __init__(
        self,
        *,
        fields: Sequence[tuple[str, str | Secret]],
        path: Path,
        size_bytes: int,
        file_field: str,
        file_name: str,
        extra_file: SmallFile | None = None,
        on_progress: Callable[[int], None] = lambda sent_bytes: None,
        throttle: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        """*on_progress* gets the file's bytes sent so far, framing not counted."""
        boundary = "vidfs-" + secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._head = _render_head(boundary, fields, extra_file, file_field, file_name)
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._path = path
        self._size_bytes = size_bytes
        self._on_progress = on_progress
        self._throttle = throttle
        self.is_sent = False

    @property
    def length_bytes(self) -> int:
        """The value of Content-Length."""
        return len(self._head) + self._size_bytes + len(self._tail)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Blocks that grow to 1 MiB on a fast line and shrink on a slow one.

        So a stalled connection is told from a slow one: the sender's time-out is per block.
        A block is valid until the next is asked for: its memory is used again.

        Errors: SpoolDamagedError if the file is shorter than declared; OSError.
        """
        yield self._head
        file_fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            offset = 0
            block_bytes = 256 << 10
            buffer = memoryview(bytearray(min(BLOCK_MAX_BYTES, self._size_bytes)))
            while offset < self._size_bytes:
                wanted = min(block_bytes, self._size_bytes - offset)
                count = await _read_into(file_fd, buffer[:wanted], offset)
                if not count:
                    raise SpoolDamagedError(f"{self._path.name} is shorter than it was")
                block = cast("bytes", buffer[:count])  # what httpx takes as well
                started_at = trio.current_time()
                if self._throttle is not None:
                    await self._throttle(len(block))
                yield block
                offset += len(block)
                self._on_progress(offset)
                taken_s = trio.current_time() - started_at
                if taken_s < _QUICK_S:
                    block_bytes = min(BLOCK_MAX_BYTES, block_bytes * 2)
                elif taken_s > _SLOW_S:
                    block_bytes = max(BLOCK_MIN_BYTES, block_bytes // 2)
        finally:
            os.close(file_fd)
        yield self._tail
        self.is_sent = True


async def _read_into(file_fd: int, block: memoryview, offset: int) -> int:
    """From the page cache at once, else in a thread: a disk must not hold up the loop."""
    try:
        count = os.preadv(file_fd, [block], offset, os.RWF_NOWAIT)
    except OSError:  # not in the page cache, or a file system that can't tell
        count = 0
    if count == len(block):
        return count
    return await trio.to_thread.run_sync(os.preadv, file_fd, [block], offset)


def _render_head(
    boundary: str,
    fields: Sequence[tuple[str, str | Secret]],
    extra_file: SmallFile | None,
    file_field: str,
    file_name: str,
) -> bytes:
    parts: list[bytes] = []
    for name, value in fields:
        parts.append(
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{quote_name(name)}"\r\n\r\n'
            f"{value.reveal() if isinstance(value, Secret) else value}\r\n".encode()
        )
    if extra_file is not None:
        parts.append(
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{quote_name(extra_file.field)}"; '
            f'filename="{quote_name(extra_file.file_name)}"\r\n'
            f"Content-Type: {extra_file.content_type}\r\n\r\n".encode()
            + extra_file.content
            + b"\r\n"
        )
    parts.append(
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="{quote_name(file_field)}"; '
        f'filename="{quote_name(file_name)}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
    )
    return b"".join(parts)
