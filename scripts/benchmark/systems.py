"""What is measured, and what it is measured on: started here, and always stopped here.

Each class is a context manager that owns one process; leaving it unmounts and ends the process,
with force if need be. Whoever holds an object may restart it by entering a new one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import urlencode

from .measure import run

READY_S = 60.0  # time for a mount or a server to appear; a refusal shows at once
STOP_S = 20.0


class Process:
    """A child that dies with this run. *said* collects what it printed, for error messages."""

    def __init__(self, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
        self._child = subprocess.Popen(
            command,
            env=dict(env) if env else None,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C reaches us alone; we stop them in order
        )
        self.pid = self._child.pid
        self._said: list[str] = []
        self._line = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout
        for line in self._child.stdout:
            with self._line:
                self._said.append(line)
                self._line.notify_all()

    def first_line(self, containing: str) -> str:
        deadline = time.monotonic() + READY_S
        with self._line:
            while True:
                for line in self._said:
                    if containing in line:
                        return line.strip()
                self.check_alive()
                if time.monotonic() > deadline:
                    raise RuntimeError(f"nothing like {containing!r} from {self._child.args!r}")
                self._line.wait(0.2)

    def check_alive(self) -> None:
        if (code := self._child.poll()) is not None:
            said = "".join(self._said[-20:])
            raise RuntimeError(f"{self._child.args!r} ended with {code}: {said}")

    def wait_mounted(self, mountpoint: Path) -> None:
        deadline = time.monotonic() + READY_S
        while not is_mounted(mountpoint):
            self.check_alive()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._child.args!r} did not mount within {READY_S:.0f} s")
            time.sleep(0.002)

    def wait_ended(self, timeout_s: float) -> bool:
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._child.stdin and self._child.stdout
        self._child.stdin.close()
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, sign)
            if self.wait_ended(STOP_S):
                break
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # a child that it left behind
        self._reader.join(STOP_S)
        self._child.stdout.close()


def is_mounted(mountpoint: Path) -> bool:
    """From the kernel's table, so that a mount that hangs can't hang us."""
    escaped = str(mountpoint).replace(" ", "\\040")
    return f" {escaped} " in Path("/proc/self/mounts").read_text()


@contextmanager
def mounted(process: Process, mountpoint: Path) -> Iterator[Process]:
    """*process* mounts on *mountpoint*; yields when it is mounted, unmounts at the end."""
    with process:
        try:
            process.wait_mounted(mountpoint)
            yield process
        finally:
            if is_mounted(mountpoint):
                subprocess.run(["fusermount3", "-u", mountpoint], check=False, capture_output=True)
            if is_mounted(mountpoint):
                subprocess.run(["fusermount3", "-uz", mountpoint], check=False)
            process.wait_ended(STOP_S)


class SimHost(Process):
    """The simulated host on *root*; what is in it outlives the process.

    *config* is a vidfs configuration with one account per dialect, named like the dialect.
    """

    def __init__(self, root: Path, *, latency_ms: float = 0) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.config = root / "config.toml"
        super().__init__(
            *(sys.executable, "-m", "vidfs.simhost", "--root", root, "--port", "0"),
            *("--until-eof", "--write-config", self.config),
            *("--latency-ms", f"{latency_ms:g}"),
        )

    def __enter__(self) -> Self:
        self.url = self.first_line("simhost listening on ").rpartition(" ")[2]
        return self

    def admin(self, method: str, path: str, **query: object) -> Any:
        """A call of the simulated host's own, outside every dialect: it changes the data."""
        url = f"{self.url}/_sim/{path}" + (f"?{urlencode(query)}" if query else "")
        with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def calls(self, dialect: str) -> dict[str, int]:
        return cast("dict[str, int]", self.admin("GET", f"{dialect}/calls"))

    def api(self, call: str, **query: object) -> Any:
        """One call of fruithosted's API; its `result`."""
        account = json.loads((self.root / "fruithosted/account.json").read_text())
        query |= {"login": account["login"], "key": account["key"]}
        url = f"{self.url}/fruithosted/{call}?{urlencode(query)}"
        with urllib.request.urlopen(url) as answer:
            body = json.load(answer)
        if body["status"] != 200:
            raise RuntimeError(f"{call}: {body['status']} {body['msg']}")
        return body["result"]

    def link(self, code: str) -> str:
        """A download link of fruithosted: what a browser would be given after the ticket."""
        ticket = self.api("file/dlticket", file=code)
        time.sleep(float(ticket["wait_time"]))
        return str(self.api("file/dl", file=code, ticket=ticket["ticket"])["url"])


class Index(Process):
    """rclone's view of the same files. *links* sends the readers of a path to another URL."""

    def __init__(
        self,
        work: Path,
        folders: Mapping[str, Mapping[str, int]],
        *,
        links: Mapping[str, str] | None = None,
        latency_ms: float = 0,
    ) -> None:
        tree = work / "index.json"
        tree.write_text(json.dumps({"folders": folders, "links": links or {}}))
        super().__init__(*(sys.executable, "-m", "benchmark.index_server", tree, f"{latency_ms:g}"))

    def __enter__(self) -> Self:
        self.url = self.first_line("http://")
        return self


class Mount(ABC):
    """One way to mount the data. `cold()` forgets everything that an earlier mount kept."""

    name: str

    def __init__(self, work: Path) -> None:
        self.work = work
        self.mountpoint = work / "mnt"
        self.mountpoint.mkdir(parents=True, exist_ok=True)

    def cold(self) -> None:
        for kept in ("cache", "state"):
            shutil.rmtree(self.work / kept, ignore_errors=True)

    @abstractmethod
    def mount(self) -> AbstractContextManager[Process]: ...


class Rclone(Mount):
    """`rclone mount` of an index, as generous with its caches as it lets one be."""

    def __init__(self, work: Path, url: str, *flags: str) -> None:
        super().__init__(work)
        self._flags = ("--http-url", url, *flags)

    def mount(self) -> AbstractContextManager[Process]:
        command = (
            *("rclone", "mount", ":http:", str(self.mountpoint), "--read-only", *self._flags),
            *("--attr-timeout", "1h", "--dir-cache-time", "1h", "--poll-interval", "0"),
            *("--config", "/dev/null", "--cache-dir", str(self.work / "cache")),
        )
        return mounted(Process(*command), self.mountpoint)


class Vidfs(Mount):
    """`vidfs mount` of the simulated host's account *dialect*, in the foreground."""

    def __init__(self, work: Path, host: SimHost, *options: str, dialect: str) -> None:
        super().__init__(work)
        self._source = dialect
        self._options = ",".join(("dir_ttl=3600", "dir_stale=3600", *options))
        self.env = os.environ | {
            "VIDFS_CONFIG": str(host.config),
            "VIDFS_STATE_DIR": str(work / "state"),
            "VIDFS_CACHE_DIR": str(work / "cache"),
        }

    def mount(self) -> AbstractContextManager[Process]:
        command = ("vidfs", "mount", "-f", "-o", self._options, self._source, self.mountpoint)
        return mounted(Process(*command, env=self.env), self.mountpoint)

    def wait_uploads(self) -> None:
        """Until the host has everything. Errors: RuntimeError if an upload is parked."""
        run("vidfs", "wait", self.mountpoint, env=self.env)
