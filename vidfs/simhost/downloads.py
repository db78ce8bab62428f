"""Media servers, web pages and pictures."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import time

from starlette.types import Receive, Scope, Send

from .account import Account
from .bodies import Body
from .faults import Faults
from .openload import content_type
from .wire import Disconnected, drop, hang, header, parse_query, send_bytes, send_html

CHUNK_BYTES = 1 << 20

# The smallest picture that decoders accept: one grey pixel.
PICTURE = base64.b64decode(
    "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////"
    "////////////////////////////////wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAACf/EABQQAQAA"
    "AAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AfwD/2Q=="
)


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """First byte and the byte after the last of a `Range` header.

    None: no range, or one that is to be ignored (several, malformed). Errors: ValueError:
    outside of the file (416).
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", text.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
        if not int(last):
            raise ValueError(text)
    else:
        start, stop = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < start:
            return None
    if start >= size:
        raise ValueError(text)
    return start, stop


class MediaNode:
    """ASGI application for the download servers of one account.

    The link's token stands in the path: any segment may be it.
    """

    def __init__(self, account: Account, faults: Faults) -> None:
        self.account = account
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.account.calls["download"] += 1
        with contextlib.suppress(Disconnected):
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        account = self.account
        faults = self._faults.pick(account.record.name, "download")
        if "drop-before" in faults:
            await drop(scope, receive)
        if "hang" in faults:
            await hang(receive)
        if account.media_latency_s:
            await asyncio.sleep(account.media_latency_s)
        if await self._refused_early(faults, send):
            return
        now = time.time()
        segments = scope["path"].split("/")
        link = next((account.links[s] for s in segments if s in account.links), None)
        row = account.store.find_file(link.code) if link else None
        if link is None or row is None or row.status != 200:
            await send_html(send, 404)
            return
        if link.expires_at <= now or "expire" in faults:
            await send_html(send, 403)
            return
        try:
            body = account.open_body(row)
        except OSError:
            await send_html(send, 404)
            return
        try:
            if link.low:
                body.size //= 2
            await self._serve(body, row.title, faults, scope, receive, send)
        finally:
            body.close()
        account.store.db.execute(
            "UPDATE files SET views=views+1, last_download=? WHERE id=?", (now, row.id)
        )

    async def _refused_early(self, faults: dict[str, str], send: Send) -> bool:
        status = int(faults.get("status") or faults.get("http") or 0)
        if "html" in faults:
            status = 200
        elif "bandwidth" in faults:
            status = 509
        elif faults.keys() & {"too-many", "too-many-http"}:
            await send_bytes(
                send, 429, b"Too Many Requests", "text/plain", [(b"retry-after", b"1")]
            )
            return True
        if status:
            await send_html(send, status)
        return bool(status)

    async def _serve(
        self, body: Body, title: str, faults: dict[str, str], scope: Scope,
        receive: Receive, send: Send,
    ) -> None:  # fmt: skip
        headers = [(b"accept-ranges", b"bytes")]
        span: tuple[int, int] | None = None
        if "ignore-range" not in faults:
            try:
                span = parse_range(header(scope, b"range"), body.size)
            except ValueError:
                headers.append((b"content-range", b"bytes */%d" % body.size))
                await send_bytes(send, 416, b"", "text/plain", headers)
                return
        else:
            headers = []
        headers.append((b"etag", f'"{body.mark}"'.encode()))
        start, stop = span or (0, body.size)
        if span:
            headers.append((b"content-range", b"bytes %d-%d/%d" % (start, stop - 1, body.size)))
        headers += [
            (b"content-type", content_type(title).encode()),
            (b"content-length", b"%d" % (stop - start)),
        ]
        await send(
            {"type": "http.response.start", "status": 206 if span else 200, "headers": headers}
        )
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        await self._stream(body, start, stop, faults, scope, send)

    async def _stream(
        self, body: Body, start: int, stop: int, faults: dict[str, str], scope: Scope, send: Send
    ) -> None:
        pause_s = float(faults.get("slow") or 0) / 1000
        end = stop
        if "drop-at" in faults:
            end = min(stop, start + int(faults["drop-at"]))
        elif "truncate" in faults:
            end = start + (stop - start) // 2
        at = start
        while at < end:
            if pause_s:
                await asyncio.sleep(pause_s)
            piece = body.read(at, min(CHUNK_BYTES, end - at))
            if not piece:
                break
            at += len(piece)
            self.account.download_bytes += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": at < stop})
            if scope["state"]["transport"].is_closing():
                raise Disconnected
        if at < stop:
            scope["state"]["transport"].close()
            raise Disconnected
        if start == stop:
            await send({"type": "http.response.body", "body": b""})


class Site:
    """Web pages, players and pictures: never the media."""

    def __init__(self, account: Account) -> None:
        self.account = account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        account = self.account
        path = scope["path"]
        if path.endswith((".jpg", ".png")):
            name = re.split(r"[._/]", path.rpartition("/")[2])[0]
            if "/splash/" in path:
                name = path.split("/")[-2]
            own = account.pictures_dir / name
            picture = own.read_bytes() if name and own.is_file() else PICTURE
            await send_bytes(send, 200, picture, "image/jpeg")
            return
        if scope["query_string"]:
            parse_query(scope["query_string"].decode("latin-1"))
        await send_html(send, 200)
