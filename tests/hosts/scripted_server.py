"""An HTTP server inside the test whose every answer the test writes itself, byte by byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio


@dataclass(slots=True, repr=False)  # no key may stand in a traceback's locals
class Request:
    method: str
    target: str
    headers: dict[str, str]
    at: float  # trio time
    stream: trio.SocketStream
    rest: bytes  # of the body, what came with the head

    async def read_body(self, limit: int | None = None) -> bytes:
        """The body, or its first *limit* bytes."""
        length = int(self.headers.get("content-length", "0"))
        wanted = length if limit is None else min(limit, length)
        parts = [self.rest]
        got = len(self.rest)
        while got < wanted:
            part = await self.stream.receive_some(65536)
            if not part:
                break
            parts.append(part)
            got += len(part)
        return b"".join(parts)


Handler = Callable[[Request], Awaitable["bytes | None"]]
"""The whole answer as it goes over the wire; None closes the connection without one."""


@dataclass(slots=True, repr=False)
class Server:
    url: str
    requests: list[Request] = field(default_factory=list)


def answer(
    body: bytes | str = b"",
    status: int = 200,
    content_type: str = "application/json",
    **headers: str,
) -> bytes:
    content = body.encode() if isinstance(body, str) else body
    named = {"Content-Type": content_type, "Content-Length": str(len(content))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + content


GOOD = answer('{"status": 200, "msg": "OK", "result": {"folders": [], "files": []}}')


@asynccontextmanager
async def serve(handler: Handler) -> AsyncIterator[Server]:
    """*handler* answers every request; connections stay open until it returns None."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server = Server(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}")

    async def talk(stream: trio.SocketStream) -> None:
        try:
            while (request := await _read_request(stream)) is not None:
                server.requests.append(request)
                content = await handler(request)
                if content is None:
                    return
                await stream.send_all(content)
                if b"Connection: close" in content:
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, talk, listeners)
        yield server
        nursery.cancel_scope.cancel()


async def _read_request(stream: trio.SocketStream) -> Request | None:
    head = b""
    while b"\r\n\r\n" not in head:
        part = await stream.receive_some(65536)
        if not part:
            return None
        head += part
    first, _, rest = head.partition(b"\r\n\r\n")
    lines = first.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    return Request(method, target, headers, trio.current_time(), stream, rest)


def scripted(*answers: bytes | None) -> Handler:
    """One answer after the other; the last is repeated."""
    left = list(answers)

    async def handler(request: Request) -> bytes | None:
        await request.read_body()
        return left.pop(0) if len(left) > 1 else left[0]

    return handler


async def hang(request: Request) -> None:
    """Never answers."""
    await trio.sleep_forever()
