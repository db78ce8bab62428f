"""Small ASGI helpers: parameters in, answers out, connections dropped."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

_encoder = msgspec.json.Encoder()

HTML_PAGE = b"<!DOCTYPE html><html><head><title>Please wait</title></head><body>...</body></html>\n"
FORM_BYTES_MAX = 1 << 20


class Disconnected(Exception):  # noqa: N818 - an event, not a fault of ours
    """The other side went away, or we closed the connection on purpose."""


def encode(value: object) -> bytes:
    return _encoder.encode(value)


def header(scope: Scope, name: bytes) -> str:
    """A request header; the empty text when it is absent."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


def parse_query(text: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Parameters by name (the last wins) and all values by name."""
    params: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        params[name] = value
        lists.setdefault(name, []).append(value)
    return params, lists


async def read_form(scope: Scope, receive: Receive) -> str:
    """The body of a urlencoded POST, as a query string."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        body += message["body"]
        more = message.get("more_body", False)
        if len(body) > FORM_BYTES_MAX:
            break
    if "urlencoded" not in header(scope, b"content-type"):
        return ""
    return body.decode("utf-8", "replace")


async def send_bytes(
    send: Send,
    status: int,
    body: bytes,
    content_type: str = "application/json",
    headers: list[tuple[bytes, bytes]] | None = None,
) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type.encode()),
                (b"content-length", b"%d" % len(body)),
                *(headers or ()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_html(send: Send, status: int, body: bytes = HTML_PAGE) -> None:
    await send_bytes(send, status, body, "text/html; charset=UTF-8")


async def send_half(send: Send, scope: Scope, body: bytes, content_type: str) -> None:
    """Announce the whole answer, send half of it, close the connection."""
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", content_type.encode()),
                (b"content-length", b"%d" % len(body)),
            ],
        }
    )
    half = body[: len(body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    scope["state"]["transport"].close()
    raise Disconnected


async def drop(scope: Scope, receive: Receive) -> None:
    """Close the connection without a word and return when it is closed."""
    transport: asyncio.Transport = scope["state"]["transport"]
    transport.abort() if transport.get_write_buffer_size() else transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
    raise Disconnected


async def hang(receive: Receive) -> None:
    """Never answer; return (by exception) when the other side gives up."""
    while (await receive())["type"] != "http.disconnect":
        pass
    raise Disconnected
