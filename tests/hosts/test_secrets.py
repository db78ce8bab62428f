"""The key is sent, and seen nowhere else: not in errors, records, reprs or tracebacks."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import trio

from tests.hosts.scripted_server import Handler, Request, answer, scripted, serve
from vidfs.errors import VidfsError
from vidfs.hosts import HOSTS, open_host
from vidfs.hosts.api import UploadBody, UploadOptions, VideoHost
from vidfs.types import FileCode, Secret

KEY = "sEcretKey_1/x+y 9"
LOGIN = "l0ginname77"
CODE = FileCode("abcdef123456")


def echo(status: int, http_status: int = 200) -> Handler:
    """A host that repeats what it was asked in its message."""

    async def handler(request: Request) -> bytes:
        await request.read_body()
        message = f"{KEY} {LOGIN} {quote(KEY, safe='')} {quote_plus(KEY)} {request.target}"
        return answer(json.dumps({"status": status, "msg": message, "result": None}), http_status)

    return handler


async def echo_upload(request: Request) -> bytes:
    body = await request.read_body()
    if request.method == "POST":
        row = {"filecode": "", "status": f"refused for {KEY} {body[:400]!r}"}
        return answer(json.dumps({"status": 200, "msg": f"refused for {KEY}", "files": [row]}))
    server = f"http://127.0.0.1:{request.headers['host'].partition(':')[2]}/up"
    listing = request.target.partition("?")[0].endswith("file/ul")
    return answer(
        json.dumps({"status": 200, "msg": "OK", "result": {"url": server} if listing else server})
    )


FAILURES: dict[str, Handler] = {
    **{f"status {s}": echo(s) for s in (400, 401, 403, 404, 429, 451, 500, 509)},
    "http 403": echo(403, 403),
    "html": scripted(answer(f"<html>{KEY}", 200, "text/html")),
    "closed": scripted(None),
    "truncated": scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\nx"),
    "not http": scripted(f"{KEY}\r\n\r\n".encode()),
    "gzip": scripted(answer("x", Content_Encoding="gzip")),
    "redirect": scripted(answer("", 302, Location=f"http://elsewhere.example/?k={KEY}")),
    "bad redirect": scripted(answer("", 302, Location=f"http://[{quote(KEY)}")),
    "circle": scripted(answer("", 302, Location="?key=x")),
    "upload": echo_upload,
}


def find_leaks(text: str) -> list[str]:
    forms = {KEY, LOGIN, quote(KEY, safe=""), quote_plus(KEY), repr(KEY)[1:-1]}
    return [form for form in forms if form in text]


def everything_about(error: BaseException) -> str:
    """As much of it as any reporter could print, local variables of every frame included."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    parts = [str(error), repr(error), repr(error.args), "".join(shown.format())]
    for inner in (error.__cause__, error.__context__):
        if inner is not None:
            parts.append(everything_about(inner))
    return "\n".join(parts)


Attempt = Callable[[VideoHost, Path], Awaitable[object]]

ATTEMPTS: dict[str, Attempt] = {
    "info": lambda host, path: host.account_info(),
    "list": lambda host, path: host.list_folder(host.root),
    "files": lambda host, path: host.file_info([CODE]),
    "edit": lambda host, path: host.edit_file(CODE, title="T"),
    "create": lambda host, path: host.create_folder(host.root, "N"),
    "link": lambda host, path: host.open_link(CODE),
    "probe": lambda host, path: host.probe(),
    "upload": lambda host, path: host.upload(
        UploadBody(path=path, size_bytes=5),
        folder=host.root,
        title="T.mp4",
        options=UploadOptions(),
    ),
}


@pytest.mark.parametrize("dialect", sorted(HOSTS))
@pytest.mark.parametrize("failure", sorted(FAILURES))
def test_no_failure_shows_the_key(
    dialect: str, failure: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    film = tmp_path / "film"
    film.write_bytes(b"12345")
    errors: list[VidfsError] = []

    async def main() -> None:
        async with serve(FAILURES[failure]) as server:
            host = open_host(
                dialect, key=Secret(KEY), login=Secret(LOGIN), base_url=server.url + "/api"
            )
            for attempt in ATTEMPTS.values():
                with trio.move_on_after(0.15):
                    try:
                        await attempt(host, film)
                    except VidfsError as error:
                        errors.append(error)
            assert any(quote_plus(KEY) in request.target for request in server.requests)
            assert not find_leaks(repr(host) + repr(host.__dict__))
            await host.aclose()

    trio.run(main)
    assert errors
    for error in errors:
        assert not find_leaks(everything_about(error)), type(error)
    assert not find_leaks("\n".join(record.getMessage() for record in caplog.records))


def test_no_connection_shows_no_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def main() -> None:
        for url in ("http://127.0.0.1:9/api", "https://127.0.0.1:9/api", "https://h.invalid/x"):
            host = open_host("vipstream", key=Secret(KEY), base_url=url)
            with trio.fail_after(0.4), pytest.raises(VidfsError) as caught:
                await host.account_info()
            assert not find_leaks(everything_about(caught.value))
            await host.aclose()

    trio.run(main)
    assert not find_leaks("\n".join(record.getMessage() for record in caplog.records))
