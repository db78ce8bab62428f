"""What an HTTP answer means as the bytes of a film: ranges, web pages, bodies cut short.

Knows statuses, headers and chunks, not who fetched them: `transport` hands them over.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping

from vidfs.errors import (
    AccessDeniedError,
    BadRequestError,
    ContentChangedError,
    HostError,
    HostNotFoundError,
    HostServerError,
    LegalBlockError,
    RateLimitedError,
    UnreadableAnswerError,
)
from vidfs.hosts.api import ContentStamp, DownloadLink

_CONTENT_RANGE = re.compile(r"bytes\s+(?:(\d+)-(\d+)|\*)/(\d+|\*)", re.IGNORECASE)


def check_media(
    status: int, headers: Mapping[str, str], link: DownloadLink, start_byte: int
) -> HostError | None:
    """What is wrong with an answer as the bytes of a film; None: nothing.

    *headers*: names in any case, as httpx's mapping has them.
    """
    call = "download"
    if status in (200, 206):
        return _check_content(status, headers, link, start_byte)
    if status in (404, 410):
        return HostNotFoundError("download: the link is no longer good", call=call)
    if status in (401, 403):
        return AccessDeniedError("download: the link is no longer good for us", call=call)
    if status == 416:
        found = _CONTENT_RANGE.match(headers.get("content-range", ""))
        total = int(found[3]) if found is not None and found[3] != "*" else None
        message = f"download: byte {start_byte} is beyond the end"
        return ContentChangedError(message, call=call, size_bytes=total)
    if status == 451:
        return LegalBlockError("download: blocked for legal reasons", call=call)
    if status in (429, 509):
        return RateLimitedError(f"download: the host wants us to wait (HTTP {status})", call=call)
    if status >= 500:
        return HostServerError(f"download: the server failed (HTTP {status})", call=call)
    return BadRequestError(f"download: refused (HTTP {status})", call=call)


def _check_content(
    status: int, headers: Mapping[str, str], link: DownloadLink, start_byte: int
) -> HostError | None:
    call = "download"
    if headers.get("content-encoding", "identity").lower() != "identity":
        return UnreadableAnswerError("download: the server compresses the film", call=call)
    if status == 206:
        found = _CONTENT_RANGE.match(headers.get("content-range", ""))
        if found is None or found[1] is None:
            return UnreadableAnswerError("download: a part without its place", call=call)
        if int(found[1]) > start_byte:
            return UnreadableAnswerError("download: not the part asked for", call=call)
        return None  # a web page that stands in for a film never comes in parts
    is_page = headers.get("content-type", "").lower().startswith("text/html")
    size = find_length(headers)
    if is_page and (size is None or size != link.size_bytes):
        return AccessDeniedError("download: the link leads to a web page now", call=call)
    return None


def find_length(headers: Mapping[str, str]) -> int | None:
    value = headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() else None


class MediaStream:
    """The body of one answer; meets `ByteStream`. Iterate once."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        chunks: AsyncIterator[bytes | memoryview],
        stop_byte: int | None,
        *,
        server: str,
    ) -> None:
        """*chunks* raises nothing but HostError."""
        self._chunks = chunks
        mark = headers.get("etag") or headers.get("last-modified")
        self._stamp = ContentStamp(server, mark) if mark else None
        self._stop_byte = stop_byte
        self._start_byte = 0
        self._total_bytes: int | None = None
        self._length_bytes = find_length(headers)
        if status == 206:
            found = _CONTENT_RANGE.match(headers.get("content-range", ""))
            assert found is not None, "check_media has seen it"
            self._start_byte = int(found[1])
            if self._length_bytes is None:
                self._length_bytes = int(found[2]) + 1 - self._start_byte
            if found[3] != "*":
                self._total_bytes = int(found[3])
        else:
            self._total_bytes = self._length_bytes

    @property
    def start_byte(self) -> int:
        """Where the first chunk begins: 0 if the server ignored the range."""
        return self._start_byte

    @property
    def total_bytes(self) -> int | None:
        """Size of the whole file, where the server says."""
        return self._total_bytes

    @property
    def stamp(self) -> ContentStamp | None:
        """Source: RFC 9110 §8.8."""
        return self._stamp

    async def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        """Errors: HostTimeoutError, UnreadableAnswerError (it broke off, or was too short)."""
        position = self._start_byte
        async for chunk in self._chunks:
            position += len(chunk)
            if self._stop_byte is not None and position >= self._stop_byte:
                surplus = position - self._stop_byte
                yield chunk[: len(chunk) - surplus] if surplus else chunk
                return
            yield chunk
        if self._length_bytes is not None:
            missing = self._start_byte + self._length_bytes - position
            if missing > 0:
                raise UnreadableAnswerError(
                    f"download: {missing} bytes are missing at its end", call="download"
                )
