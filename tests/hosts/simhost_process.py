"""A simulated host in a process of its own, and a plain HTTP client to talk to it."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

ROOT = Path(__file__).parents[2]
START_DEADLINE_S = 20.0


@dataclass(slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class SimHost:
    """`accounts[dialect]` has base_url, key and login."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, root: Path) -> None:
        self.process = process
        self.url = url
        self.root = root
        self._kept: http.client.HTTPConnection | None = None  # for `sim`
        self.accounts: dict[str, dict[str, str]] = {
            account["name"]: account for account in self.sim("GET", "accounts")
        }

    def request(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """One request on a connection of its own. *url*: absolute, or a path."""
        parts = urlsplit(url if url.startswith("http") else self.url + url)
        assert parts.hostname and parts.port
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, named, answer.read())
        finally:
            connection.close()

    def api(self, dialect: str, call: str, /, **params: object) -> Reply:
        """An API call with the account's key, unless the parameters bring their own."""
        account = self.accounts[dialect]
        query = {"key": account["key"]}
        if dialect in ("fruithosted", "pstream", "streamtape"):
            query["login"] = account["login"]
        query |= {name: str(value) for name, value in params.items() if value is not None}
        return self.request("GET", f"{account['base_url']}/{call}?{urlencode(query)}")

    def call(self, dialect: str, name: str, /, **params: object) -> Any:
        """The decoded answer of an API call, whatever its status."""
        return self.api(dialect, name, **params).json()

    def result(self, dialect: str, name: str, /, **params: object) -> Any:
        """The result of an API call that must succeed."""
        answer = self.call(dialect, name, **params)
        assert answer["status"] == 200, answer
        return answer.get("result")

    def sim(self, method: str, path: str, body: bytes | None = None, /, **params: object) -> Any:
        """A call of the test-only API."""
        query = urlencode({name: str(value) for name, value in params.items()})
        if self._kept is None:
            parts = urlsplit(self.url)
            assert parts.hostname and parts.port
            self._kept = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
        for _ in range(2):  # the server lets go of a connection that was idle for long
            try:
                self._kept.request(method, f"/_sim/{path}?{query}", body)
                answer = self._kept.getresponse()
                content = answer.read()
                break
            except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
                self._kept.close()
            except (OSError, http.client.HTTPException):
                self.close()
                raise
        assert answer.status < 300, (answer.status, content)
        return json.loads(content)

    def close(self) -> None:
        """Let go of the connection; the process goes on."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def fault(self, rule: str) -> None:
        self.sim("POST", "fault", rule=rule)

    def set(self, **settings: object) -> None:
        self.sim("POST", "settings", json.dumps(settings).encode())

    def files(self, dialect: str) -> list[dict[str, Any]]:
        files: list[dict[str, Any]] = self.sim("GET", f"{dialect}/tree")["files"]
        return files

    def add(self, dialect: str, title: str, content: bytes = b"x", folder: str = "") -> str:
        """A file from the host's side; its code."""
        answer = self.sim("POST", f"{dialect}/files", content, title=title, folder=folder)
        return str(answer["code"])

    def upload_url(self, dialect: str, **params: object) -> str:
        if dialect in ("doodstream", "vipstream", "xvs"):
            return str(self.result(dialect, "upload/server"))
        return str(self.result(dialect, "file/ul", **params)["url"])

    def upload(
        self, dialect: str, filename: str, content: bytes, ul: dict[str, object] | None = None,
        **fields: object,
    ) -> Reply:  # fmt: skip
        """One file to a fresh upload node."""
        if dialect in ("doodstream", "vipstream", "xvs"):
            name = "api_key" if dialect == "doodstream" else "key"
            fields = {name: self.accounts[dialect]["key"], **fields}
        url = self.upload_url(dialect, **(ul or {}))
        return self.post_form(url, fields, [("file", filename, content)])

    def post_form(
        self, url: str, fields: dict[str, object], files: list[tuple[str, str, bytes]]
    ) -> Reply:
        body, content_type = encode_form(fields, files)
        return self.request("POST", url, body, {"content-type": content_type})

    def link(self, dialect: str, code: str) -> str:
        """A direct download link, by whichever calls the dialect has."""
        if dialect == "xvs":
            result = self.result(dialect, "file/direct_link", file_code=code)
            return str(result["versions"][0]["url"])
        ticket = self.result(dialect, "file/dlticket", file=code)["ticket"]
        return str(self.result(dialect, "file/dl", file=code, ticket=ticket)["url"])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


def encode_form(
    fields: dict[str, object], files: list[tuple[str, str, bytes]]
) -> tuple[bytes, str]:
    boundary = "----boundary0123456789"
    parts: list[bytes] = []
    for name, value in fields.items():
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
            f"{value}\r\n".encode()
        )
    for name, filename, content in files:
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; '
            f'filename="{filename}"\r\nContent-Type: video/mp4\r\n\r\n'.encode()
            + content
            + b"\r\n"
        )
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


@contextmanager
def running(root: Path, *flags: str, stdin: int = subprocess.DEVNULL) -> Iterator[SimHost]:
    """A simulated host on any free port; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vidfs.simhost", "--root", str(root), *flags],
        cwd=ROOT,
        stdin=stdin,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_DEADLINE_S)
        assert ready, "the simulated host did not start in time"
        line = process.stdout.readline().decode()
        assert line.startswith("simhost listening on http://127.0.0.1:"), line
        host = SimHost(process, line.split()[-1], root)
        try:
            yield host
        finally:
            host.close()
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def wait_until(condition: Callable[[], bool], deadline_s: float = 10.0) -> None:
    """Ask again and again, briefly; fails when *deadline_s* is over."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def body_file(host: SimHost, dialect: str, code: str) -> Path:
    return host.root / dialect / "files" / code


def random_bytes(count: int) -> bytes:
    return os.urandom(count)
