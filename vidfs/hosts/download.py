"""GET of a film's bytes straight from the socket: where httpx costs more than the network.

httpx and h11 hand over 64 KiB at a time through a dozen frames: more than half of the
daemon's time in a fast download. Here the kernel's bytes land in one buffer of 1 MiB that all
downloads share, so that a hundred of them take no more memory than one. Only what downloads
need: one GET, one answer, the connection closed
after it (a film's range is seldom read to its end, so it could not be kept anyway). No
proxies, no cookies, no compression; redirects are the caller's business.

Source: RFC 9112.
"""

from __future__ import annotations

import io
import os
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from http.client import HTTPException, parse_headers
from urllib.parse import urlsplit

import trio

from vidfs.errors import HostError, HostTimeoutError, HostUnreachableError, UnreadableAnswerError

BLOCK_BYTES = 1 << 20
_HEAD_BYTES_MAX = 64 << 10
_BUFFER = memoryview(bytearray(BLOCK_BYTES))
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[^\r\n]*\r?\n")


class Download:
    """One answer: `status` and `headers` (names in lower case), then the body.

    *server*: name and port, as in the address.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        status: int,
        headers: Mapping[str, str],
        surplus: bytes,
        *,
        server: str,
        stall_s: float,
    ) -> None:
        self.server = server
        self.status = status
        self.headers = headers
        self._stream = stream
        self._surplus = surplus  # of the body, that came with the head
        self._stall_s = stall_s

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)

    async def chunks(self) -> AsyncIterator[memoryview]:
        """The body. What is yielded is good until the next checkpoint.

        Ends early, without an error, where the server closes early: whoever knows the length
        will notice. Errors: HostTimeoutError, UnreadableAnswerError.
        """
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            async for part in self._dechunk():
                yield part
            return
        length = self.headers.get("content-length", "")
        left = int(length) if length.isdigit() else None
        if self._surplus:
            first = memoryview(self._surplus)[:left]
            left = None if left is None else left - len(first)
            yield first
        while left is None or left > 0:
            data = await self._receive(BLOCK_BYTES if left is None else min(left, BLOCK_BYTES))
            if not data:
                return
            left = None if left is None else left - len(data)
            yield data

    async def _receive(self, size: int) -> memoryview:
        """Up to *size* bytes, good until the next checkpoint; none at the end."""
        try:
            with trio.fail_after(self._stall_s):
                if not isinstance(self._stream, trio.SocketStream):
                    return memoryview(await self._stream.receive_some(size))
                # Not trio's `recv_into`: it lets others run once the buffer is filled.
                await trio.lowlevel.checkpoint()
                sock = self._stream.socket
                while True:
                    try:
                        return _BUFFER[: os.readv(sock.fileno(), [_BUFFER[:size]])]
                    except BlockingIOError:
                        await trio.lowlevel.wait_readable(sock)
        except trio.TooSlowError:
            raise HostTimeoutError("download: no bytes in time", call="download") from None
        except (OSError, trio.BrokenResourceError):
            raise UnreadableAnswerError(
                "download: the connection broke off", call="download"
            ) from None

    async def _dechunk(self) -> AsyncIterator[memoryview]:
        pending = bytearray(self._surplus)

        async def more() -> None:
            data = await self._receive(_HEAD_BYTES_MAX)
            if not data:
                raise UnreadableAnswerError("download: it ended in mid-chunk", call="download")
            pending.extend(data)

        while True:
            while (found := _CHUNK_SIZE.match(pending)) is None:
                if len(pending) > 1024:
                    raise UnreadableAnswerError("download: broken chunks", call="download")
                await more()
            size = int(found[1], 16)
            del pending[: found.end()]
            if size == 0:
                return
            while size:
                if not pending:
                    await more()
                part = bytes(pending[:size])
                del pending[: len(part)]
                size -= len(part)
                yield memoryview(part)
            while len(pending) < 2:
                await more()
            del pending[: 2 if pending.startswith(b"\r\n") else 1]


async def open_download(
    url: str,
    headers: Mapping[str, str],
    *,
    ssl_context: ssl.SSLContext,
    connect_s: float,
    stall_s: float,
) -> Download | HostError:
    """GET *url*, up to the end of the answer's head.

    Returns rather than raises its errors, so that no frame that saw the address is kept:
    HostUnreachableError, HostTimeoutError, UnreadableAnswerError.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    try:
        with trio.fail_after(connect_s):
            stream: trio.abc.Stream = await trio.open_tcp_stream(host, port)
    except (OSError, trio.TooSlowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no answer"
        return HostUnreachableError(f"download: no connection: {reason}", call="download")
    try:
        if secure:
            stream = trio.SSLStream(
                stream, ssl_context, server_hostname=host, https_compatible=True
            )
        with trio.fail_after(stall_s):
            await stream.send_all(_render_request(parts.path, parts.query, parts.netloc, headers))
            found = await _receive_head(stream)
    except trio.TooSlowError:
        await trio.aclose_forcefully(stream)
        return HostTimeoutError("download: no answer in time", call="download")
    except (OSError, trio.BrokenResourceError, HTTPException):
        await trio.aclose_forcefully(stream)
        return UnreadableAnswerError("download: the connection broke off", call="download")
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    if found is None:
        await trio.aclose_forcefully(stream)
        return UnreadableAnswerError("download: not an HTTP answer", call="download")
    status, answer_headers, surplus = found
    server = parts.netloc.rpartition("@")[2]
    return Download(stream, status, answer_headers, surplus, server=server, stall_s=stall_s)


def _render_request(path: str, query: str, netloc: str, headers: Mapping[str, str]) -> bytes:
    target = (path or "/") + (f"?{query}" if query else "")
    host = netloc.rpartition("@")[2]
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "ignore")


async def _receive_head(stream: trio.abc.Stream) -> tuple[int, dict[str, str], bytes] | None:
    """Status, headers and what of the body came with them; None if it isn't HTTP."""
    head = bytearray()
    while (end := head.find(b"\r\n\r\n")) < 0:
        data = await stream.receive_some(_HEAD_BYTES_MAX)
        head += data
        if not data or len(head) > 2 * _HEAD_BYTES_MAX:
            return None
    status = _STATUS.match(head)
    if status is None:
        return None
    message = parse_headers(io.BytesIO(bytes(head[status.end() : end + 4])))
    headers = {name.lower(): value for name, value in message.items()}
    return int(status[1]), headers, bytes(head[end + 4 :])
