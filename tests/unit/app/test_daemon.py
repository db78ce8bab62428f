"""Going into the background and telling how it went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vidfs.app.daemon import Outcome, ReadyPipe, StartTimeoutError, daemonise


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.01)
    return path.read_text()


def test_the_caller_goes_on_once_the_daemon_is_ready(tmp_path: Path) -> None:
    def run(pipe: ReadyPipe) -> int:
        pipe.tell(Outcome(ready=True, note="hello"))
        pipe.tell(Outcome(error="too late"))
        late = tmp_path / "late.new"
        late.write_text(
            f"{os.getsid(0) != caller_session} {Path.cwd()} {os.readlink('/proc/self/fd/1')}"
        )
        late.rename(tmp_path / "late")
        return 0

    caller_session = os.getsid(0)
    outcome = daemonise(run, timeout_s=10)
    assert outcome.ready
    assert outcome.note == "hello"
    assert wait_for(tmp_path / "late") == "True / /dev/null"


def test_an_error_comes_with_its_exit_code() -> None:
    def run(pipe: ReadyPipe) -> int:
        pipe.tell(Outcome(error="wrong key", exit_code=4))
        return 4

    outcome = daemonise(run, timeout_s=10)
    assert (outcome.ready, outcome.error, outcome.exit_code) == (False, "wrong key", 4)


def test_a_daemon_that_dies_is_noticed() -> None:
    def run(pipe: ReadyPipe) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    outcome = daemonise(run, timeout_s=10)
    assert "died" in outcome.error
    assert outcome.exit_code == 1


def test_a_daemon_that_hangs_is_stopped(tmp_path: Path) -> None:
    def run(pipe: ReadyPipe) -> int:
        def stopped(number: int, frame: object) -> None:
            (tmp_path / "stopped").touch()
            os._exit(0)

        signal.signal(signal.SIGTERM, stopped)
        time.sleep(60)
        return 0

    with pytest.raises(StartTimeoutError):
        daemonise(run, timeout_s=0.3)
    wait_for(tmp_path / "stopped")


def test_an_exception_never_runs_the_caller_twice(tmp_path: Path) -> None:
    # in a process of its own: the daemon's would-be second run must be seen
    program = (
        "from vidfs.app.daemon import daemonise\n"
        "def run(pipe): raise RuntimeError('x')\n"
        "print(daemonise(run, timeout_s=10).error, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.stdout == "the daemon died while mounting\n"
