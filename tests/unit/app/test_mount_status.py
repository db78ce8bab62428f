"""What is shown of daemons that can't be asked."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from vidfs.app import mount_status
from vidfs.app.mount_status import SILENT, find_statuses
from vidfs.app.mounts import DaemonInfo, Served
from vidfs.control import SOCKET_NAME


def served(state_dir: Path) -> Served:
    info = DaemonInfo(7, f"/mnt/{state_dir.name}", state_dir.name, 0.0)
    return Served(account=state_dir.name, state_dir=state_dir, info=info)


@pytest.fixture(autouse=True)
def _hardly_any_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount_status, "_ANSWER_S", 0.3)


def test_daemons_are_asked_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that hang, and one that holds its lock and has no socket (yet)."""
    monkeypatch.setattr(mount_status, "find_lock_holder", lambda state_dir: 8)
    names = ["a", "b", "c", "d", "e", "f"]
    listening = []
    for name in names:
        (tmp_path / name).mkdir()
        if name != "f":
            listening.append(socket.socket(socket.AF_UNIX))
            listening[-1].bind(str(tmp_path / name / SOCKET_NAME))
            listening[-1].listen()
    started = time.monotonic()
    found = find_statuses([served(tmp_path / name) for name in names])
    assert time.monotonic() - started < 0.3 * len(names) / 2
    assert [one["source"] for one in found] == names
    assert {(one["phase"], one["pid"], one["pending"]) for one in found} == {(SILENT, 8, None)}
    for one in listening:
        one.close()


def test_who_has_just_ended_is_left_out(tmp_path: Path) -> None:
    assert find_statuses([served(tmp_path)]) == []
