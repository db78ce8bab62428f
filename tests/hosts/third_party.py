"""Other people's clients of these APIs, each in an environment of its own below `.cache/`.

They are programs that we run, never code that we read from or ship. What they do to the
network is held to this machine.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "third-party"
PIP = "-m pip install --quiet --disable-pip-version-check --timeout 10 --retries 1"
INSTALL_S = 300
RUN_S = 60

GUARD = """
import json, socket, sys
_connect = socket.socket.connect
def _only_here(self, address):
    if self.family != socket.AF_UNIX and address[0] != "127.0.0.1":
        raise AssertionError(f"a connection to {address[0]}")
    return _connect(self, address)
socket.socket.connect = _only_here
account = json.loads(sys.stdin.read())
"""


@dataclass(frozen=True, slots=True)
class Client:
    """A package of the registry. *without_needs*: install what it names in *extra* instead."""

    package: str
    version: str
    extra: tuple[str, ...] = ()
    without_needs: bool = False

    def python(self) -> Path:
        """The interpreter of its environment, made where it is missing. Skips if it can't."""
        home = CACHE / f"{self.package}-{self.version}"
        ready = home / "ready"
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / f"{self.package}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not ready.exists() or ready.read_text() != sys.version:
                shutil.rmtree(home, ignore_errors=True)
                self._run([sys.executable, "-m", "venv", str(home)])
                pip = [str(home / "bin" / "python"), *PIP.split()]
                no_needs = ["--no-deps"] if self.without_needs else []
                self._run([*pip, *no_needs, f"{self.package}=={self.version}"])
                if self.extra:
                    self._run([*pip, *self.extra])
                ready.write_text(sys.version)
        return home / "bin" / "python"

    def _run(self, command: list[str]) -> None:
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=INSTALL_S
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"{self.package} {self.version}: no answer in {INSTALL_S} s to {command}")
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            errors = [line for line in said if "ERROR" in line] or said
            pytest.skip(f"{self.package} {self.version} can't be installed: {errors[-1:]}")

    def run(self, program: str, account: dict[str, Any]) -> dict[str, Any]:
        """What *program* prints as JSON; it finds *account* under that name."""
        environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        done = subprocess.run(
            [str(self.python()), "-I", "-c", GUARD + program],
            check=False,
            input=json.dumps(account),
            capture_output=True,
            text=True,
            timeout=RUN_S,
            env=environ | {"NO_PROXY": "*"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found
