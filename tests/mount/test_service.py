"""A mount that systemd started: it hears when the mount is usable, how it goes, and the end."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from tests.mount.mounting import Program, Simhost


def test_systemd_hears_of_readiness_and_the_end(
    vidfs: Program, simhost: Simhost, tmp_path: Path
) -> None:
    point = tmp_path / "point"
    point.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.settimeout(30)
        vidfs.environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        process = vidfs.start("mount", "-f", "xvs", str(point))
        try:
            first = line.recv(999).decode().splitlines()
            assert first[:2] == ["READY=1", f"MAINPID={process.pid}"]
            assert first[2].startswith(f"STATUS=mounted: xvs on {point}; uploads pending: 0")
            (point / "a.mp4").write_bytes(b"x" * 99)
            simhost.fault("xvs:upload:hang")
            process.send_signal(signal.SIGTERM)
            assert line.recv(999).startswith(b"STOPPING=1\nSTATUS=stopping")
            _, log = process.communicate(timeout=30)
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == 0, log
    assert "stopping (SIGTERM)" in log
    assert not os.path.ismount(point)
