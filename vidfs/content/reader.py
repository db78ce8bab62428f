"""Ranged reads of the host's files through the chunk cache.

One `RemoteReader` for each code that is open, shared by all its handles. A read that meets a
missing chunk is served by a stream: one ranged request that runs ahead of its reader into the
cache. Several streams may run in one file (a player reads the end first); a chunk is fetched
by one of them only. A stream that is far enough ahead waits; one that nobody follows ends.

The link is asked for once for all streams and again when the host no longer honours it. A
connection that is lost is taken up again at the byte where it broke off.

A host that made something else of an upload, or took another one under the code, says another
size, or its server another ETag or date: then all of the reader ends with
`ContentChangedError`, and what was cached is dropped.
While the cache has no room the last chunks of each stream are handed on in memory, of a few
readers at a time (`seats`).
"""

from __future__ import annotations

import logging
import math
from functools import partial

import trio

from vidfs.content.chunkcache import CachedFile, CacheFileCutError, ChunkCache, is_full
from vidfs.content.chunks import (
    CHUNK_BYTES,
    chunk_count,
    chunk_of,
    chunk_start,
    chunk_stop,
    chunks_of,
)
from vidfs.content.links import Links
from vidfs.content.sameness import ContentCheck
from vidfs.content.seats import Seats
from vidfs.content.stream import SKIP_MAX, WINDOW_MIN, Stream
from vidfs.errors import (
    AccessDeniedError,
    CaptchaError,
    ContentChangedError,
    HostNotFoundError,
    HostServerError,
    HostUnreachableError,
    LegalBlockError,
    SpoolError,
    TransientHostError,
    VidfsError,
)
from vidfs.hosts.api import ByteStream, VideoHost
from vidfs.types import FileCode

log = logging.getLogger(__name__)

_STREAMS_MAX = 4
_LOOSE_MAX = 10 * _STREAMS_MAX  # chunks in memory while there is no room: two requests' each
_FULL_S = 1.0  # so long a full disk is not tried again
_IDLE_S = 5.0  # a stream that nobody follows ends …
_IDLE_UNRANGED_S = 600.0  # … later where the next one would begin at the film's first byte
_READ_DEADLINE_S = 60.0
"""A read waits so long for every 256 KiB that arrive, whatever is tried meanwhile.

Slow lines are no error, but bytes by the drop are: below 4 KiB/s nobody would wait for more.
"""
_ECHO_S = 0.5
"""What the kernel asks again at once for a page of its read-ahead that failed: the same answer."""
_UNREACHABLE_S = 10.0  # no connection: whoever reads is told sooner
_RECONNECT_S, _RECONNECT_MAX_S = 0.1, 5.0
_SKIPPED_WINDOWS = 4  # kept of what a server sends though it wasn't asked for, at the most
_REFUSALS_MAX = 5  # of new links, one after the other: then it's the truth


class _AgainError(TransientHostError):
    """The next attempt, at once, is another one."""


class _NoRoomError(VidfsError):
    """Neither on the disk nor, until its reader has a seat, in memory."""


class RemoteReader:
    def __init__(
        self, host: VideoHost, cache: ChunkCache, code: FileCode, size_bytes: int,
        links: Links, seats: Seats, nursery: trio.Nursery,
    ) -> None:  # fmt: skip
        """Errors: OSError of the cache's disk."""
        self.code = code
        self.size_bytes = size_bytes
        self.users = 0
        self._host = host
        self._cache = cache
        self._nursery = nursery
        self._file: CachedFile = cache.acquire(code, size_bytes)
        self._streams: list[Stream] = []
        self._links = links
        self._same = ContentCheck(host, self._file, code, links.fickle)
        self._seats = seats
        self._is_unranged = False  # the server gives it from its first byte on or not at all
        self._is_closed = False
        self._failed: tuple[int, float, Exception] | None = None  # chunk, when, how
        self._read_at = 0
        self._fetching: list[range] = []  # chunks that readers wait for
        self._loose: dict[int, bytearray] = {}  # chunks that found no room on the disk
        self._full_until = 0.0
        self._freed = trio.Event()  # a stream may be taken away now
        self._fed_at = -math.inf
        self._refusals = 0
        self.is_gone = False  # the host gave no link: it no longer knows the code
        self.changed: ContentChangedError | None = None
        self._file.keepers.append(self._needed)

    @property
    def is_whole(self) -> bool:
        return self._file.is_whole

    @property
    def held_bytes(self) -> int:
        return self._file.held_bytes

    @property
    def streams(self) -> int:
        """Downloads that run, or wait for their reader to follow."""
        return sum(not stream.ended for stream in self._streams)

    def _needed(self) -> list[range]:
        """The chunks that must stay in the cache: those that somebody is about to read."""
        return [
            range(self._read_at, self._read_at + 1),
            *self._fetching,
            *(
                range(min(stream.read_at, stream.position), stream.position + 1)
                for stream in self._streams
                if not stream.ended
            ),
        ]

    def close(self) -> None:
        for stream in self._streams:
            self._drop_part(stream)
            stream.scope.cancel()
        self._is_closed = True
        self._seats.forget(self)
        self._file.keepers.remove(self._needed)
        self._cache.release(self.code, self._file)

    async def read(self, offset: int, size: int) -> bytes:
        """Bytes from *offset*; fewer only at the end of the file.

        Errors: HostError when the bytes can't be had within the deadline;
        ContentChangedError when the host has others now, of another size.
        """
        if self.changed is not None:
            raise self.changed
        size = max(0, min(size, self.size_bytes - offset))
        for _ in range(2):
            missing = self._find_missing(offset, size)
            if missing is None:
                self._follow(offset, size)
            else:
                await self._fetch(offset, size, missing)
            try:
                data = self._load(offset, size)
                if missing is not None or not self._same.has_witness:
                    self._same.note_given(offset, data)
                return data
            except CacheFileCutError:
                log.warning("the cache lost bytes of %s: they are fetched again", self.code)
                self._stop_streams()  # what they have written of their chunks is gone, too
                self._file.reset()
        raise SpoolError("the cache lost bytes while they were being read")

    def _stop_streams(self) -> None:
        for stream in self._streams:
            stream.ended = True
            stream.scope.cancel()

    def stand_up(self) -> None:
        """Drop what is kept in memory: there is no room, and others are to have their turn."""
        self._loose.clear()
        self._stop_streams()

    def _find_missing(self, offset: int, size: int) -> int | None:
        missing = self._file.find_missing(offset, size)
        if missing is not None and self._loose:
            stop = chunks_of(offset, size).stop
            while missing < stop and (missing in self._loose or self._file.has(missing)):
                missing += 1
            return missing if missing < stop else None
        return missing

    def _load(self, offset: int, size: int) -> bytes:
        """Bytes of chunks that are held or loose; whoever asks made sure of that."""
        if not self._loose:
            return self._file.read(offset, size)
        parts: list[bytes | bytearray] = []
        for chunk in chunks_of(offset, size):
            start = max(offset, chunk_start(chunk))
            stop = min(offset + size, chunk_stop(chunk, self.size_bytes))
            if self._file.has(chunk):
                parts.append(self._file.read(start, stop - start))
            else:
                first = chunk_start(chunk)
                parts.append(self._loose[chunk][start - first : stop - first])
        return b"".join(parts)

    def _follow(self, offset: int, size: int) -> None:
        """A reader is served from the cache: keep its stream running ahead of it."""
        chunk = self._read_at = chunk_of(offset + max(size - 1, 0))
        for stream in self._streams:
            behind = stream.position - max(stream.window, SKIP_MAX)
            if not stream.ended and stream.position > chunk >= behind:
                stream.want(chunk, self._cache.window_chunks_max)
                return

    async def _fetch(self, offset: int, size: int, missing: int) -> None:
        if self._failed is not None:
            chunk, failed_at, error = self._failed
            if chunk == missing and trio.current_time() < failed_at + _ECHO_S:
                raise error
        chunks, started_at = chunks_of(offset, size), trio.current_time()
        self._fetching.append(chunks)
        try:
            if started_at < self._full_until:
                await self._fetch_seated(offset, size)
                return
            try:
                await self._fetch_chunks(offset, size, missing)
            except _NoRoomError:
                await self._fetch_seated(offset, size)
        except (VidfsError, trio.TooSlowError) as error:
            now, still = trio.current_time(), self._find_missing(offset, size)
            if still is not None and now > started_at + _ECHO_S:
                self._failed = still, now, error
            raise
        finally:
            self._fetching.remove(chunks)
            self._read_at = chunks.stop - 1

    async def _fetch_seated(self, offset: int, size: int) -> None:
        async with self._seats.taken(self, _READ_DEADLINE_S):
            await self._fetch_chunks(offset, size, self._find_missing(offset, size))

    async def _fetch_chunks(self, offset: int, size: int, missing: int | None) -> None:
        deadline = trio.current_time() + _READ_DEADLINE_S
        while missing is not None:
            stream = self._find_stream(missing)
            if stream is None:
                with trio.move_on_at(deadline):
                    await self._freed.wait()
                error, fed_at = None, self._fed_at
            else:
                await self._wait(stream, deadline)
                error, fed_at = stream.error, stream.fed_at
            if self.changed is not None:
                raise self.changed
            missing = self._find_missing(offset, size)
            if missing is None:
                break
            if stream is not None and stream.ended and error is not None:
                raise error
            deadline = max(deadline, fed_at + _READ_DEADLINE_S)
            if trio.current_time() >= deadline:
                raise error or trio.TooSlowError

    async def _wait(self, stream: Stream, deadline: float) -> None:
        """Until *stream* has got on, or ended, or the deadline."""
        stream.waiting += 1
        try:
            with trio.move_on_at(deadline):
                await stream.progress.wait()
        finally:
            stream.waiting -= 1
            if not stream.waiting:
                self._tell_freed()

    def _tell_freed(self) -> None:
        """A stream may be taken away now."""
        self._freed.set()
        self._freed = trio.Event()

    def _find_stream(self, chunk: int) -> Stream | None:
        """The stream, perhaps a new one, that will bring *chunk*; None: all are taken.

        One that somebody waits for is never taken away: readers in more places than there may
        be streams would rob each other for ever. They wait for a stream to become free.
        """
        for stream in self._streams:
            if stream.covers(chunk, self._is_unranged):
                stream.want(chunk, self._cache.window_chunks_max)
                return stream
        running = [stream for stream in self._streams if not stream.ended]
        if len(running) >= _STREAMS_MAX:
            oldest = min(running, key=lambda stream: (stream.waiting, stream.used_at))
            if oldest.waiting:
                return None
            oldest.ended = True
            oldest.scope.cancel()
        stream = Stream(chunk)
        self._streams.append(stream)
        self._cache.begun += 1
        self._nursery.start_soon(self._run, stream, name=f"stream {chunk}")
        return stream

    async def _run(self, stream: Stream) -> None:
        try:
            with stream.scope:
                await self._copy(stream)
        except ContentChangedError as error:
            stream.error = error
            self.end(error)
            log.info("the content of %s changed at the host: %s", self.code, error)
        except VidfsError as error:
            stream.error = error
            log.debug("a stream of %s ended: %s", self.code, error)
        except OSError as error:
            stream.error = SpoolError(f"the cache's disk: {error.strerror}")
        except Exception:
            log.exception("a stream of %s broke", self.code)
            stream.error = SpoolError("an unforeseen error, see the log")
        finally:
            stream.ended = True
            self._cache.begun -= 1
            self._streams.remove(stream)
            self._drop_part(stream)
            stream.wake()
            self._tell_freed()

    def _drop_part(self, stream: Stream) -> None:
        """Give back to the disk what *stream* leaves of a chunk: nothing else knows of it."""
        chunk = stream.position
        is_shared = any(other.position == chunk for other in self._streams if other is not stream)
        if stream.written > chunk_start(chunk) and not is_shared and not self._is_closed:
            self._file.drop_part(chunk)

    def end(self, error: ContentChangedError) -> None:
        """Whatever is here is of other content than what is to come: neither goes on."""
        self.changed = error
        self._loose.clear()
        self._cache.drop(self.code, self._file)
        for stream in self._streams:
            stream.scope.cancel()

    async def _copy(self, stream: Stream) -> None:
        """One request after the other, failed ones again as long as somebody waits.

        Errors: the last one, once a reader would have given up.
        """
        failing_since, delay_s = trio.current_time(), _RECONNECT_S
        while True:
            before = stream.written
            try:
                await self._copy_once(stream)
            except TransientHostError as error:
                stream.error = error
                if stream.written > before:
                    failing_since, delay_s = trio.current_time(), _RECONNECT_S
                wait_s = max(delay_s, error.retry_after_s or 0.0)
                if isinstance(error, _AgainError) or stream.written - before >= CHUNK_BYTES:
                    wait_s = 0.0
                is_gone = isinstance(error, HostUnreachableError)
                patience_s = _UNREACHABLE_S if is_gone else _READ_DEADLINE_S
                until = trio.current_time() + wait_s
                if not stream.waiting or until >= failing_since + patience_s:
                    raise
                log.debug("a stream of %s goes on at byte %d: %s", self.code, stream.written, error)
                await trio.sleep_until(until)
                delay_s = min(2 * delay_s, _RECONNECT_MAX_S)
                continue
            if stream.written >= self.size_bytes:
                return
            stream.error = None
            stream.requests += 1
            await self._pause(stream)
            failing_since, delay_s = trio.current_time(), _RECONNECT_S

    async def _copy_once(self, stream: Stream) -> None:
        try:
            link, is_new = await self._links.get(self.code)
        except HostNotFoundError:
            self.is_gone = True
            raise
        try:
            stop = stream.find_stop(self.size_bytes, self._is_unranged)
            asked = stop if stop < self.size_bytes else None
            async with self._host.open_stream(link, stream.written, asked) as body:
                self._refusals = 0
                if stream.written - body.start_byte > CHUNK_BYTES:
                    self._begin_earlier(stream, body.start_byte, asked)
                if not await self._same.check(link, body, is_alone=partial(self._has_only, stream)):
                    self._begin_anew(stream)
                await self._pump(stream, body.start_byte, body, stop)
        except ContentChangedError:
            self._links.drop(self.code, link)
            if is_new:
                raise
            # An old link may lead to the old content still.
            raise _AgainError("the link leads to other content") from None
        except (CaptchaError, LegalBlockError):
            raise
        except (HostNotFoundError, AccessDeniedError) as error:
            self._links.drop(self.code, link)
            if not is_new:
                raise _AgainError(f"the link is no longer good: {error}") from None
            self._refusals += 1
            if self._refusals >= _REFUSALS_MAX:
                raise
            # It may have failed by chance: another one is asked for, in a moment.
            raise TransientHostError(f"a new link is refused: {error}") from None

    def _has_only(self, stream: Stream) -> bool:
        return all(other.ended or other is stream for other in self._streams)

    def _begin_earlier(self, stream: Stream, start: int, asked: int | None) -> None:
        """The server doesn't know ranges: what it sends before is kept, too, where there is room,
        so that a player that reads the end first has the film sent once.

        Errors: _AgainError where less than the rest was asked for.
        """
        if not self._is_unranged:
            self._is_unranged = True
            if asked is not None:
                raise _AgainError("the server ignores ranges", call="download")
        first = chunk_count(start)  # that begins in what is sent
        room = _SKIPPED_WINDOWS * self._cache.window_chunks_max
        has_room = trio.current_time() >= self._full_until and stream.position - first <= room
        if has_room and first < stream.position:
            stream.position, stream.written, stream.buffer = first, chunk_start(first), None

    def _begin_anew(self, stream: Stream) -> None:
        """Errors: TransientHostError where part of a chunk is here, which may be of old content."""
        self._loose.clear()
        start = chunk_start(stream.position)
        if stream.written > start:
            stream.written, stream.buffer = start, None
            raise TransientHostError("the chunk that was begun may be of older content")

    async def _pump(self, stream: Stream, at: int, body: ByteStream, stop: int) -> None:
        """Write *body*, of bytes *at* to *stop*, into the cache, within the stream's limit."""
        async for block in body:
            stream.fed_bytes += len(block)
            if stream.fed_bytes >= CHUNK_BYTES:
                stream.fed_bytes = 0
                stream.fed_at = self._fed_at = trio.current_time()
            if stream.ended:  # by another, a moment ago: nothing is kept for it any more
                return
            skipped = stream.written - at  # a server that ignored the range begins before
            at += len(block)
            if at <= stream.written:
                continue
            if at > self.size_bytes:
                raise ContentChangedError("the download is longer than the file", call="download")
            data = memoryview(block)[max(skipped, 0) :]
            self._store(stream, stream.written, data)
            stream.written += len(data)
            if stream.written >= stop:
                return
            if stream.position >= stream.limit:
                await self._pause(stream)
        if stream.written < stop:
            self._same.check_end(at, body)
            raise HostServerError("the download ended early", call="download")

    def _store(self, stream: Stream, offset: int, data: memoryview) -> None:
        """Put *data* at *offset*, and mark the chunks that are whole by now.

        Errors: OSError of the disk, except that it is full; _NoRoomError.
        """
        if stream.buffer is None and trio.current_time() >= self._full_until:
            if self._write_if_room(stream, offset, data):
                return
            if not self._full_until:
                log.warning("the cache has no room: %s is read without it", self.code)
            self._full_until = trio.current_time() + _FULL_S
        if not self._seats.has(self):
            raise _NoRoomError("the cache has no room")
        self._hand_on(stream, offset, data)

    def _write_if_room(self, stream: Stream, offset: int, data: memoryview) -> bool:
        for _ in range(2):
            try:
                self._write(stream, offset, data)
                return True
            except OSError as error:
                if not is_full(error):
                    raise
            self._cache.make_room(len(data) + CHUNK_BYTES)
        return False

    def _write(self, stream: Stream, offset: int, data: memoryview) -> None:
        stop = offset + len(data)
        first, last = stream.position, self._last_whole(stop)
        self._cache.make_way((last - first) * CHUNK_BYTES)  # says ENOSPC, as the disk does
        if self._file.find_held(first, last + 1) is None:
            self._file.write(offset, data)
        else:
            self._write_missing(offset, data)
        if last > first:
            self._file.mark(first, last)
            # Before anything may leave the cache: chunk `last`, part of which may have been
            # left out because it is held, has to stay from now on.
            stream.position = last
            self._cache.stored(self.code, self._file)
            stream.wake()

    def _last_whole(self, stop: int) -> int:
        """The chunk after the last one that is whole once the bytes before *stop* are here."""
        last = chunk_of(stop)
        # The end of the file makes its last chunk whole.
        return last + 1 if stop == self.size_bytes and stop > chunk_start(last) else last

    def _hand_on(self, stream: Stream, offset: int, data: memoryview) -> None:
        """Keep *data*, for which the cache has no room, in memory until it is read."""
        while data:
            chunk = chunk_of(offset)
            start, stop = chunk_start(chunk), chunk_stop(chunk, self.size_bytes)
            part = data[: stop - offset]
            if stream.buffer is None:  # what came of the chunk before is on the disk
                stream.buffer = bytearray(self._file.read(start, offset - start))
            stream.buffer += part
            offset, data = offset + len(part), data[len(part) :]
            if offset == stop:
                if not self._file.has(chunk):
                    self._loose[chunk] = stream.buffer
                stream.buffer = None
                stream.position = chunk + 1
        while len(self._loose) > _LOOSE_MAX:
            del self._loose[next(iter(self._loose))]
        stream.limit = min(stream.limit, stream.read_at + WINDOW_MIN)
        stream.wake()

    def _write_missing(self, offset: int, data: memoryview) -> None:
        """Leave chunks alone that are held already: somebody may be reading them."""
        while data:
            chunk = chunk_of(offset)
            part = data[: chunk_stop(chunk, self.size_bytes) - offset]
            if not self._file.has(chunk):
                self._file.write(offset, part)
            offset, data = offset + len(part), data[len(part) :]

    async def _pause(self, stream: Stream) -> None:
        """Far enough ahead: wait until a reader follows; nobody does, and the stream ends."""
        while stream.position >= stream.limit:
            idle_s = _IDLE_UNRANGED_S if self._is_unranged else _IDLE_S
            with trio.move_on_after(idle_s) as idle:
                await stream.more.wait()
            if idle.cancelled_caught:
                stream.scope.cancel()
                await trio.lowlevel.checkpoint()


class Readers:
    """The readers of all open codes."""

    def __init__(self, host: VideoHost, cache: ChunkCache) -> None:
        self._host = host
        self._cache = cache
        self._links = Links(host)
        self._seats = Seats()
        self._readers: dict[FileCode, RemoteReader] = {}
        self._nursery: trio.Nursery | None = None

    def start(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    @property
    def open_readers(self) -> list[RemoteReader]:
        return list(self._readers.values())

    def acquire(self, code: FileCode, size_bytes: int) -> RemoteReader:
        assert self._nursery is not None
        reader = self._readers.get(code)
        if reader is None or reader.changed or reader.size_bytes != size_bytes:
            reader = RemoteReader(
                self._host, self._cache, code, size_bytes, self._links, self._seats, self._nursery
            )
            self._readers[code] = reader
        reader.users += 1
        return reader

    def forget(self, code: FileCode) -> None:
        """The host says that *code* has other content now."""
        reader = self._readers.pop(code, None)
        if reader is not None:
            reader.end(ContentChangedError("the host has other content", call="download"))
        self._cache.forget(code)

    def hold(self, reader: RemoteReader) -> None:
        """One more user of *reader*, which `release` takes away again."""
        reader.users += 1

    def release(self, reader: RemoteReader) -> None:
        reader.users -= 1
        if reader.users == 0:
            if self._readers.get(reader.code) is reader:
                del self._readers[reader.code]
            reader.close()
