"""A mount that systemd started: it hears when the mount is usable, how it goes, and the end."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.mount.mounting import ROOT, Program, Simhost, until

UNIT = ROOT / "share/systemd/user/vidfs@.service"


def command_of(name: str, account: str, point: Path) -> list[str]:
    """What the unit runs, as systemd would fill it in."""
    [line] = [one for one in UNIT.read_text().splitlines() if one.startswith(f"{name}=")]
    words = line.partition("=")[2].removeprefix("-")
    for mark, value in {"${OPTIONS}": "rw", "${MOUNTPOINT}": str(point), "%i": account}.items():
        words = words.replace(mark, value)
    return shlex.split(words)


def test_the_units_commands_mount_report_and_stop(
    vidfs: Program, simhost: Simhost, tmp_path: Path
) -> None:
    point = tmp_path / "point"
    program = tmp_path / "bin/vidfs"
    program.parent.mkdir()
    start = "from vidfs.cli import main; main()"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{start}' \"$@\"\n")
    program.chmod(0o755)
    environ = vidfs.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.settimeout(30)
        subprocess.run(command_of("ExecStartPre", "xvs", point), env=environ, check=True)
        process = subprocess.Popen(
            command_of("ExecStart", "xvs", point),
            env=environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            first = line.recv(999).decode().splitlines()
            assert first[:2] == ["READY=1", f"MAINPID={process.pid}"]
            assert first[2].startswith(f"STATUS=mounted: xvs on {point}; uploads pending: 0")
            simhost.fault("xvs:upload:hang")
            (point / "a.mp4").write_bytes(b"x" * 99)
            until(lambda: b"pending: 1" in line.recv(999), "how the uploads go")
            stop = command_of("ExecStop", "xvs", point)
            subprocess.run(stop, env=environ, check=True, timeout=30)
            assert line.recv(999).startswith(b"STOPPING=1\nSTATUS=stopping")
            _, log = process.communicate(timeout=30)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()
    vidfs.outputs.append(log)  # no key may be in it
    assert process.returncode == 0, log
    assert "stopping" in log
    assert "uploads left in the queue for the next mount: 1" in log
    assert not os.path.ismount(point)
