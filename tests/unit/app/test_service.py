"""What a service manager is told, over real sockets of both kinds."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vidfs.app.service import ServiceManager, without_manager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A listening end and what NOTIFY_SOCKET says of it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        if request.param == "path":
            address = name = str(tmp_path / "notify")
        else:
            name = f"@vidfs-test-{os.getpid()}"
            address = "\0" + name[1:]
        line.bind(address)
        line.settimeout(5)
        yield line, name


def test_both_kinds_of_socket_are_spoken_to(manager: tuple[socket.socket, str]) -> None:
    line, name = manager
    service = ServiceManager({"NOTIFY_SOCKET": name})
    assert service.listens
    service.tell("READY=1", "MAINPID=7", status="films on /m;\nuploads pending: 0")
    assert line.recv(999) == b"READY=1\nMAINPID=7\nSTATUS=films on /m; uploads pending: 0"
    service.tell(status="films on /m;\nuploads pending: 0")  # nothing new
    service.tell("STOPPING=1")
    assert line.recv(999) == b"STOPPING=1"


@pytest.mark.parametrize("address", [None, "", "/nonexistent/socket", "relative"])
def test_nobody_there_is_no_error(address: str | None) -> None:
    environ = {} if address is None else {"NOTIFY_SOCKET": address}
    ServiceManager(environ).tell("READY=1", status="x")
    assert without_manager(environ | {"A": "b"}) == {"A": "b"}


def test_the_journal_gets_levels_and_no_time(tmp_path: Path) -> None:
    program = """if True:
        import logging, os
        from vidfs.app.logs import Redactor, set_up_logging
        stat = os.fstat(2)
        os.environ["JOURNAL_STREAM"] = f"{stat.st_dev}:{stat.st_ino}"
        set_up_logging(Redactor(), log_file=None, rotate=False, debug=True)
        log = logging.getLogger("vidfs.test")
        for level in ("debug", "info", "warning"):
            getattr(log, level)("said")
        log.error("one\\ntwo")
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    levels = [line.partition(">")[0][1:] for line in done.stderr.splitlines()]
    assert levels == ["7", "6", "4", "3", "3"]
    assert done.stderr.splitlines()[0] == "<7>vidfs.test: said"
    assert logging.getLogger("vidfs").level == logging.NOTSET
