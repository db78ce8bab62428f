"""Whether what a server sends is of the content that is held: never old bytes beside new ones.

A server tells the size of the whole, and most a stamp, an ETag or a date. Another size is other
content. Another stamp may be: then bytes that readers have got, or that are held, are compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, MutableMapping

from vidfs.content.chunkcache import CachedFile
from vidfs.content.chunks import chunk_start, chunk_stop
from vidfs.errors import ContentChangedError, HostServerError, TransientHostError
from vidfs.hosts.api import ByteStream, ContentStamp, DownloadLink, VideoHost

_WITNESS_BYTES = 4096
_SEEN_MAX = 100
_HALF = 16  # bytes of a digest for the server, and as many for its mark


class ContentCheck:
    """Of one code, as long as somebody reads it."""

    def __init__(
        self, host: VideoHost, file: CachedFile, name: str, fickle: MutableMapping[bytes, bool]
    ) -> None:
        """*fickle*: where stamps turned out to change though the bytes don't."""
        self._host = host
        self._file = file
        self._name = name.encode()
        self._fickle = fickle
        self._seen: set[bytes] = set()  # stamps of one content
        self._witness: tuple[int, bytes] | None = None
        self._ended_at: int | None = None

    @property
    def has_witness(self) -> bool:
        return self._witness is not None

    def note_given(self, offset: int, data: bytes) -> None:
        """A reader has got *data*: what comes later must be of the same content."""
        if data:
            part = data[-_WITNESS_BYTES:]
            self._witness = offset + len(data) - len(part), part

    async def check(
        self, link: DownloadLink, body: ByteStream, *, is_alone: Callable[[], bool]
    ) -> bool:
        """Whether *body* is of the same content as all before, as far as the server tells; else
        nobody has a whole chunk of the other, and of one that was begun nothing may be kept.

        *is_alone*: no other download is about to bring its first bytes.
        Errors: ContentChangedError; TransientHostError where it is too early to tell; HostError.
        """
        self._check_total(body.total_bytes)
        known, stamp = self._file.stamp, _digest(body.stamp)
        if stamp is None or stamp == known or stamp in self._seen:
            return True
        is_same = True
        place = stamp[:_HALF] + self._name
        if known is not None and known[_HALF:] != stamp[_HALF:] and place not in self._fickle:
            is_same_server = known[:_HALF] == stamp[:_HALF]
            is_same = await self._compare(link, stamp, thoroughly=is_same_server)
            if is_same and is_same_server:
                self._fickle[place] = True
            elif not is_same and not (is_alone() and self._file.held_bytes == 0):
                raise TransientHostError("another version, and nothing to compare yet")
            elif not is_same and is_same_server and await self._is_stamp_of_now(link, stamp):
                raise self._changed()
        if not is_same:
            self._seen.clear()
        elif len(self._seen) < _SEEN_MAX:
            self._seen.add(stamp)
        self._file.note_stamp(stamp)
        return is_same

    async def _compare(self, link: DownloadLink, stamp: bytes, *, thoroughly: bool) -> bool:
        """Whether there was something to compare. Errors: ContentChangedError, HostError."""
        chunks = self._file.samples()
        if not thoroughly:
            chunks = chunks[len(chunks) // 2 :][:1]
        was_compared = False
        for chunk in chunks:
            start, stop = chunk_start(chunk), chunk_stop(chunk, self._file.size_bytes)
            found = await self._fetch_part(link, start, stop, stamp)
            if self._file.has(chunk):
                was_compared = True
                if found != self._file.read(start, stop - start):
                    raise self._changed()
        if self._witness is not None and not was_compared:
            was_compared = True
            start, data = self._witness
            if await self._fetch_part(link, start, start + len(data), stamp) != data:
                raise self._changed()
        return was_compared

    def _changed(self) -> ContentChangedError:
        return ContentChangedError(
            "other bytes of the same size", call="download", size_bytes=self._file.size_bytes
        )

    async def _fetch_part(
        self, link: DownloadLink, start: int, stop: int, stamp: bytes
    ) -> bytearray:
        """*stamp*: of the answer that is being checked, which may be older than this one."""
        found = bytearray()
        async with self._host.open_stream(link, start, stop) as body:
            self._check_total(body.total_bytes)
            if _digest(body.stamp) == self._file.stamp != stamp:
                raise TransientHostError("an answer of other content than the server has")
            skipped = start - body.start_byte
            async for block in body:
                found += block[max(0, min(skipped, len(block))) :]
                skipped -= len(block)
                if len(found) >= stop - start:
                    return found[: stop - start]
        raise HostServerError("the download ended early", call="download")

    async def _is_stamp_of_now(self, link: DownloadLink, stamp: bytes) -> bool:
        """Whether the server says *stamp* again: there are some that never do."""
        async with self._host.open_stream(link, 0, 1) as body:
            return _digest(body.stamp) == stamp

    def _check_total(self, total_bytes: int | None) -> None:
        if total_bytes is not None and total_bytes != self._file.size_bytes:
            raise ContentChangedError(
                f"{total_bytes} bytes and no longer {self._file.size_bytes}",
                call="download",
                size_bytes=total_bytes,
            )

    def check_end(self, at: int, body: ByteStream) -> None:
        """A server that tells no size, and ends twice at one place, has no more.

        Errors: ContentChangedError.
        """
        if body.total_bytes is None:
            if at == self._ended_at:
                raise ContentChangedError("the download is shorter than the file", call="download")
            self._ended_at = at


def _digest(stamp: ContentStamp | None) -> bytes | None:
    if stamp is None:
        return None
    return b"".join(
        hashlib.sha256(part.encode()).digest()[:_HALF] for part in (stamp.server, stamp.mark)
    )
