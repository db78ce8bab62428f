"""Waiting for uploads against a daemon's control socket."""

from __future__ import annotations

import json
import os
import pty
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vidfs.app.mounts import DaemonInfo, Served
from vidfs.cli import progress
from vidfs.cli.exit_codes import WaitTimeoutError
from vidfs.cli.progress import wait_for_uploads
from vidfs.errors import MountError


def upload(sent: int) -> dict[str, object]:
    return {"path": "/my [film].mp4", "state": "sending", "sent_bytes": sent, "size_bytes": 100}


Daemon = Callable[..., Served]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Answers one request with the given lines, then hangs up or (hold) keeps silent."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "control.sock"))
    listener.listen()
    release = threading.Event()
    threads = []

    def answering(*lines: object, hold: bool = False) -> Served:
        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                for line in lines:
                    connection.sendall(json.dumps(line).encode() + b"\n")
                if hold:
                    release.wait(20)

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        info = DaemonInfo(os.getpid(), "/mnt/films", "films", 0.0)
        return Served(account="films", state_dir=tmp_path, info=info)

    yield answering
    release.set()
    for thread in threads:
        thread.join()
    listener.close()


def test_the_last_line_tells_how_many_are_parked(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    served = daemon({"pending": 1, "uploads": [upload(3)]}, {"parked": 2, "end": True})
    assert wait_for_uploads(served) == 2
    assert capsys.readouterr() == ("", "")


def test_a_daemon_that_breaks_off_is_an_error(daemon: Daemon) -> None:
    with pytest.raises(MountError, match="broke off"):
        wait_for_uploads(daemon({"pending": 1, "uploads": []}))


def test_a_daemon_that_has_gone_was_done(tmp_path: Path) -> None:
    info = DaemonInfo(1, "/mnt/films", "films", 0.0)
    assert wait_for_uploads(Served(account="films", state_dir=tmp_path, info=info)) == 0


def test_the_deadline_ends_the_waiting(daemon: Daemon) -> None:
    served = daemon({"pending": 4, "uploads": []}, hold=True)
    with pytest.raises(WaitTimeoutError, match="uploads pending: 4"):
        wait_for_uploads(served, deadline=time.monotonic())


def test_a_terminal_gets_bars(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "is_terminal", lambda: True)
    main, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "120")
        lines = [{"pending": 1, "uploads": [upload(sent)]} for sent in (10, 50, 99)]
        served = daemon(*lines, {"pending": 0, "uploads": []}, {"parked": 0, "end": True})
        assert wait_for_uploads(served) == 0
        stderr.flush()
        raw = b""
        while select.select([main], [], [], 0)[0]:  # a terminal gives 4 KiB at a time
            raw += os.read(main, 65536)
        shown = raw.decode()
    os.close(main)
    assert "/my [film].mp4" in shown
    assert "all (" in shown
