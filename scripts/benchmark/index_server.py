"""A plain HTTP index of files, as rclone's `http` backend reads it, with a latency per request.

    python -m benchmark.index_server TREE.json LATENCY_MS

TREE.json: `{"folders": {path: {name: size_bytes}}, "links": {path: url}}`, the top being "".
A folder answers with an HTML page of relative links; a file answers HEAD with its size, and GET
with a redirect to its link where it has one: so the bytes come from the very server that the
others read from. A redirect waits for nothing: rclone isn't charged for the detour.
Prints its URL when it listens; ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import html
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import uvicorn

Message = dict[str, Any]
MODIFIED = formatdate(1_700_000_000, usegmt=True).encode()


class Index:
    def __init__(self, tree: Message, latency_s: float) -> None:
        self._folders: dict[str, dict[str, int]] = tree["folders"]
        self._links: dict[str, str] = tree["links"]
        self._latency_s = latency_s
        subfolders: dict[str, list[str]] = {}
        for path in self._folders:
            if path:
                parent, _, name = path.rpartition("/")
                subfolders.setdefault(parent, []).append(name)
        self._pages = {
            path: self._page(subfolders.get(path, []), files)
            for path, files in self._folders.items()
        }

    @staticmethod
    def _page(subfolders: list[str], files: dict[str, int]) -> bytes:
        names = [f"{name}/" for name in subfolders] + list(files)
        lines = [f'<a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names]
        return ("<html><body><pre>\n" + "".join(lines) + "</pre></body></html>\n").encode()

    def _answer(self, path: str) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        if path.endswith("/") and (page := self._pages.get(path.strip("/"))) is not None:
            return 200, page, [(b"content-type", b"text/html; charset=utf-8")]
        folder, _, name = path.lstrip("/").rpartition("/")
        size = self._folders.get(folder, {}).get(name)
        if size is None:
            return 404, b"", []
        if link := self._links.get(path.lstrip("/")):
            return 302, b"", [(b"location", link.encode())]
        return 200, b"", [(b"content-length", b"%d" % size), (b"content-type", b"video/mp4")]

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        status, body, headers = self._answer(unquote(scope["path"]))
        if status != 302:
            await asyncio.sleep(self._latency_s)
        if not any(name == b"content-length" for name, _ in headers):
            headers.append((b"content-length", b"%d" % len(body)))
        headers.append((b"last-modified", MODIFIED))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send(
            {"type": "http.response.body", "body": body if scope["method"] == "GET" else b""}
        )


async def serve(tree: Path, latency_ms: float) -> None:
    app = Index(json.loads(tree.read_text()), latency_ms / 1000)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    # Inherited by what it accepts. asyncio sets it only on sockets that say they are TCP, and
    # without it every answer waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    )

    def stop() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            server.should_exit = True

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    await server.serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), float(sys.argv[2])))
