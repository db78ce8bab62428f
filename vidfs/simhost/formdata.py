"""Incremental reading of multipart/form-data: a body of any size in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

HEADER_BYTES_MAX = 16_384


@dataclass(frozen=True, slots=True)
class PartStart:
    name: str
    filename: str | None  # None: an ordinary field
    content_type: str


@dataclass(frozen=True, slots=True)
class PartEnd:
    pass


Event = PartStart | PartEnd | memoryview


class FormError(ValueError):
    """The body is not what its content type promises."""


class FormScanner:
    """Feed it pieces as they come; it yields part starts, slices of content, part ends.

    A slice is only good until the next piece is fed if the caller does not keep a reference.
    """

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._rest = b"\r\n"  # so that the first delimiter is found like every other
        self._in_part = False
        self._in_headers = False
        self.finished = False

    def feed(self, piece: bytes) -> Iterator[Event]:
        data = self._rest + piece if self._rest else piece
        self._rest = b""
        at = 0
        while not self.finished:
            if self._in_headers:
                end = data.find(b"\r\n\r\n", at)
                if end < 0:
                    if len(data) - at > HEADER_BYTES_MAX:
                        raise FormError("part header too long")
                    self._rest = data[at:]
                    return
                yield _parse_part_headers(data[at:end])
                at = end + 4
                self._in_headers, self._in_part = False, True
            found = data.find(self._delimiter, at)
            if found < 0:
                keep = self._tail(data, at)
                if self._in_part and keep > at:
                    yield memoryview(data)[at:keep]
                self._rest = data[keep:]
                return
            after = found + len(self._delimiter)
            if len(data) < after + 2:  # "--" or CR LF is still to come
                if self._in_part and found > at:
                    yield memoryview(data)[at:found]
                self._rest = data[found:]
                return
            if self._in_part:
                if found > at:
                    yield memoryview(data)[at:found]
                yield PartEnd()
                self._in_part = False
            if data[after : after + 2] == b"--":
                self.finished = True
                return
            # The CR LF of the delimiter line stays: a part without headers has only that
            # and one more before its content.
            line_end = data.find(b"\r\n", after)
            if line_end < 0:
                raise FormError("delimiter line not ended")
            at = line_end + 2
            self._in_headers = True

    def _tail(self, data: bytes, at: int) -> int:
        """Where a delimiter that is cut off by the end of *data* may begin."""
        start = max(at, len(data) - len(self._delimiter) - 1)
        while True:
            start = data.find(b"\r", start)
            if start < 0:
                return len(data)
            if self._delimiter.startswith(data[start : start + len(self._delimiter)]):
                return start
            start += 1


def find_boundary(content_type: str) -> bytes | None:
    """The boundary of a multipart content type; None if it is another type."""
    if not content_type.lower().startswith("multipart/form-data"):
        return None
    match = re.search(r'boundary=(?:"([^"]+)"|([^;\s]+))', content_type, re.IGNORECASE)
    return (match.group(1) or match.group(2)).encode("latin-1") if match else None


def _parse_part_headers(block: bytes) -> PartStart:
    name, filename, content_type = "", None, "application/octet-stream"
    for line in block.decode("utf-8", "surrogateescape").split("\r\n"):
        key, _, value = line.partition(":")
        match key.strip().lower():
            case "content-disposition":
                name = _find_parameter(value, "name") or ""
                filename = _find_parameter(value, "filename")
            case "content-type":
                content_type = value.strip()
    return PartStart(name, filename, content_type)


def _find_parameter(value: str, name: str) -> str | None:
    """A quoted or bare parameter. Of escapes only `\\"` and `\\\\` are undone, as PHP does;
    `%22` stays as it is sent."""
    match = re.search(rf'[;\s]{name}=(?:"((?:\\.|[^"\\])*)"|([^;\s]*))', value)
    if match is None:
        return None
    if match.group(1) is None:
        return match.group(2)
    text = re.sub(r'\\(["\\])', r"\1", match.group(1))
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
