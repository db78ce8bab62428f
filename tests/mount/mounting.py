"""What the tests of real mounts work with: a simulated host, the program, mounts that end.

Everything waits with a deadline for what it waits for, and every mount is taken away again,
whatever the test did.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from vidfs.app.mounts import FS_TYPE, find_daemon_info, find_lock_holder, wait_until_gone
from vidfs.fuse.mountinfo import load_kernel_mounts

ROOT = Path(__file__).parents[2]
RUN_DEADLINE_S = 90.0
STOP_DEADLINE_S = 25.0


def until(condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    """The first true value of *condition*; fails with *what* if none comes in time."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:.0f} s"
        time.sleep(0.02)
    return value


def child_environ(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIDFS_")}
    own = {"PYTHONPATH": str(ROOT), "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    return kept | own | more


class Simhost:
    """`python -m vidfs.simhost` and its back door."""

    def __init__(self, root: Path, *flags: str) -> None:
        self.root = root
        self.config_file = root.with_name(root.name + ".toml")
        self._flags = flags
        self._process: subprocess.Popen[str] | None = None
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Also after `stop`: on the same port, with the same data."""
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "vidfs.simhost", "--root", str(self.root)),
                *("--port", str(self._port), "--until-eof"),
                *("--write-config", str(self.config_file), *self._flags),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=child_environ(),
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("simhost listening on http://127.0.0.1:"), line
        self._port = int(line.rsplit(":", 1)[1])
        self._accounts = self.accounts()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def accounts(self) -> dict[str, Any]:
        accounts: dict[str, Any] = tomllib.loads(self.config_file.read_text())["accounts"]
        return accounts

    def secrets(self) -> list[str]:
        """The accounts' keys, whatever a test made of the configuration meanwhile."""
        return [str(account["key"]) for account in self._accounts.values()]

    # --- the back door -------------------------------------------------------------------

    def request(self, method: str, path: str, body: object = None, /, **query: object) -> Any:
        url = f"{self.url}/_sim/{quote(path)}?{urlencode(query)}"
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode("utf-8")
        request = urllib.request.Request(url, data=data, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            text: bytes = answer.read()
        return json.loads(text) if text else None

    def tree(self, dialect: str) -> dict[str, Any]:
        tree: dict[str, Any] = self.request("GET", f"{dialect}/tree")
        return tree

    def files(self, dialect: str) -> dict[str, dict[str, Any]]:
        """What the host has, by path ("Films/a.mp4")."""
        return {file["path"]: file for file in self.tree(dialect)["files"]}

    def body(self, dialect: str, path: str) -> bytes:
        """The bytes of a file, byte for byte as they were received."""
        code = self.files(dialect)[path]["code"]
        file = self.root / dialect / "files" / str(code)
        return file.read_bytes()

    def add_file(self, dialect: str, title: str, content: bytes, folder: str = "") -> str:
        code: str = self.request("POST", f"{dialect}/files", content, folder=folder, title=title)[
            "code"
        ]
        return code

    def calls(self, dialect: str) -> dict[str, int]:
        calls: dict[str, int] = self.request("GET", f"{dialect}/calls")
        return calls

    def reset_calls(self, dialect: str) -> None:
        self.request("DELETE", f"{dialect}/calls")

    def fault(self, *rules: str) -> None:
        self.request("POST", "fault", list(rules))

    def clear_faults(self) -> None:
        self.request("DELETE", "fault")

    def set(self, **settings: object) -> None:
        self.request("POST", "settings", settings)


@dataclass
class Mount:
    """A mount that a test works in."""

    path: Path
    account: str
    program: Program

    @property
    def state_dir(self) -> Path:
        return self.program.state_root / self.account

    @property
    def pid(self) -> int:
        info = find_daemon_info(self.state_dir)
        assert info is not None, "no daemon"
        return info.pid

    def log(self) -> str:
        file = self.state_dir / "vidfs.log"
        return file.read_text() if file.exists() else ""

    def is_mounted(self) -> bool:
        return any(
            mount.mountpoint == str(self.path) and mount.fs_type == FS_TYPE
            for mount in load_kernel_mounts()
        )

    def status(self) -> dict[str, Any]:
        [status] = self.program.status(str(self.path))
        return status

    def wait(self) -> None:
        """Until all uploads are at the host."""
        self.program.ok("wait", str(self.path))

    def kill(self) -> None:
        """SIGKILL, as the machine's end would be; the dead mount stays."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        assert wait_until_gone(self.state_dir, pid, timeout_s=10)

    def unmount(self) -> None:
        self.program.ok("umount", str(self.path))


@dataclass
class Program:
    """`vidfs` with configuration, state and cache of its own, run as a user runs it."""

    root: Path
    config_file: Path
    environ: dict[str, str] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)  # all that the program ever said

    def __post_init__(self) -> None:
        self.environ = child_environ(
            VIDFS_CONFIG=str(self.config_file),
            VIDFS_STATE_DIR=str(self.state_root),
            VIDFS_CACHE_DIR=str(self.root / "cache"),
            HOME=str(self.root),
        )

    @property
    def state_root(self) -> Path:
        return self.root / "state"

    def command(self, *args: str, function: str = "main") -> list[str]:
        start = f"from vidfs.cli import {function}; {function}()"
        return [sys.executable, "-c", start, *args]

    def run(
        self, *args: str, function: str = "main", timeout_s: float = RUN_DEADLINE_S, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """One command to its end. *more*: environment variables."""
        done = subprocess.run(
            self.command(*args, function=function),
            env=self.environ | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        self.outputs += [done.stdout, done.stderr]
        return done

    def ok(self, *args: str) -> str:
        """stdout of a command that must succeed and have nothing to complain about."""
        done = self.run(*args)
        assert (done.returncode, done.stderr) == (0, ""), f"{args}: {done.stderr}{self.logs()}"
        return done.stdout

    def fails(self, *args: str, code: int) -> str:
        """The one line of a command that must fail with *code*."""
        done = self.run(*args)
        assert done.returncode == code, (done, self.logs())
        [line] = done.stderr.splitlines()
        assert line.startswith("vidfs: ")
        return line

    def start(self, *args: str) -> subprocess.Popen[str]:
        """A command that goes on; the caller ends it."""
        return subprocess.Popen(
            self.command(*args),
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def status(self, *args: str) -> list[dict[str, Any]]:
        """This test's mounts; the machine may have others."""
        mounts: list[dict[str, Any]] = json.loads(self.ok("status", "--json", *args))["mounts"]
        own = str(self.root) + "/"
        return [mount for mount in mounts if mount["mountpoint"].startswith(own)]

    def logs(self) -> str:
        """Every daemon's log, for a failed test to show."""
        return "".join(
            f"\n--- {file.relative_to(self.root)}\n{file.read_text(errors='replace')}"
            for file in sorted(self.root.glob("**/*.log"))
        )

    @contextmanager
    def mounted(
        self,
        account: str = "xvs",
        *,
        folder: str = "",
        where: Path | None = None,
        **options: object,
    ) -> Iterator[Mount]:
        """*account* mounted with *options* (`ro=True`, `upload="close"`), for a block."""
        path = where or self.root / f"mnt-{account}"
        path.mkdir(exist_ok=True)
        words = [name if value is True else f"{name}={value}" for name, value in options.items()]
        source = f"{account}:/{folder}" if folder else account
        flags = ("-o", ",".join(words)) if words else ()
        mount = Mount(path, account, self)
        try:
            self.ok("mount", *flags, source, str(path))
            yield mount
        except BaseException:
            print(self.logs())
            raise
        finally:
            self.take_away(mount)
        assert "Traceback" not in mount.log(), mount.log()

    def take_away(self, mount: Mount) -> None:
        """End mount and daemon, gently first. Pending uploads stay in the queue."""
        holder = find_lock_holder(mount.state_dir)
        if holder:
            os.kill(holder, signal.SIGTERM)
            if not wait_until_gone(mount.state_dir, holder, timeout_s=STOP_DEADLINE_S):
                os.kill(holder, signal.SIGKILL)
                wait_until_gone(mount.state_dir, holder, timeout_s=10)
        for _ in range(5):
            if not mount.is_mounted():
                return
            subprocess.run(["fusermount3", "-uz", str(mount.path)], check=False)


Mounted = Callable[..., AbstractContextManager[Mount]]
"""The fixture `mounted`."""


def write_config(path: Path, accounts: Mapping[str, Mapping[str, str]]) -> Path:
    """A configuration of *accounts*, as a user would write it."""
    lines: list[str] = []
    for name, settings in accounts.items():
        lines.append(f"[accounts.{name}]")
        lines += [f"{setting} = {json.dumps(value)}" for setting, value in settings.items()]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


def why_no_mounts() -> str:
    """Why no mount can be made on this machine; "" if one can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is missing or closed to this user"
    for place in os.get_exec_path():
        if (Path(place) / "fusermount3").exists():
            return ""
    return "fusermount3 is not installed"


def processes_with(words: Sequence[str]) -> list[str]:
    """Command lines and environments that hold one of *words*, over all processes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                text = (process / name).read_bytes().decode(errors="replace")
            except OSError:
                continue
            if any(word in text for word in words):
                found.append(f"{process.name}/{name}")
    return found
