"""The mount table, the lock and the state file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vidfs.app import mounts
from vidfs.app.mounts import (
    AccountLock,
    DaemonInfo,
    check_mountpoint,
    clear_dead_mounts,
    daemon_info,
    find_daemon_info,
    find_lock_holder,
    find_mount_of,
    find_served,
    get_served,
    wait_until_gone,
)
from vidfs.config import Directories
from vidfs.errors import MountPointError, NotMountedError
from vidfs.fuse.mountinfo import KernelMount, load_kernel_mounts, parse_mountinfo_line

LINE = (
    r"36 35 98:0 / /mnt/my\040films\134\011 rw,nosuid shared:1 master:2"
    r" - fuse.vidfs films:/a\040b rw"
)


def test_mountinfo_is_unescaped() -> None:
    mount = parse_mountinfo_line(LINE)
    assert mount == KernelMount("/mnt/my films\\\t", "fuse.vidfs", "films:/a b", "98:0")
    assert mount.account == "films"
    assert parse_mountinfo_line("") is None
    assert parse_mountinfo_line("36 35 - x") is None


def test_names_that_are_no_text_survive(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(b"1 2 0:1 / /m/\xff\\040\xc3\xa4 rw - fuse.vidfs films rw\n")
    [mount] = load_kernel_mounts(str(table))
    assert os.fsencode(mount.mountpoint) == b"/m/\xff \xc3\xa4"


def test_the_deepest_and_last_mount_wins() -> None:
    root = KernelMount("/", "ext4", "disk")
    lower = KernelMount("/mnt/a", "fuse.vidfs", "films")
    upper = KernelMount("/mnt/a", "ext4", "disk2")
    mounts = [root, lower, upper]
    assert find_mount_of("/mnt/a/b", mounts) == upper
    assert find_mount_of("/mnt/a", [root, lower]) == lower
    assert find_mount_of("/mnt/ab", mounts) == root
    assert find_mount_of("/x", []) is None


def test_the_lock_is_seen_by_others_and_goes_with_its_process(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from vidfs.app.mounts import AccountLock\n"
        "print(AccountLock(pathlib.Path(sys.argv[1])).try_acquire(), flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"
        assert find_lock_holder(tmp_path) == holder.pid
        lock = AccountLock(tmp_path)
        assert not lock.try_acquire()
        assert not wait_until_gone(tmp_path, holder.pid, timeout_s=0.05)
        holder.kill()
        assert wait_until_gone(tmp_path, holder.pid, timeout_s=10)
    assert find_lock_holder(tmp_path) is None
    assert lock.try_acquire()
    lock.release()


def test_no_lock_file_is_no_holder(tmp_path: Path) -> None:
    assert find_lock_holder(tmp_path) is None
    assert find_lock_holder(tmp_path / "absent") is None


def test_the_state_file_lives_as_long_as_its_block(tmp_path: Path) -> None:
    info = DaemonInfo(pid=7, mountpoint="/m", source="films:/x", started_at=1.5)
    with daemon_info(tmp_path, info):
        assert find_daemon_info(tmp_path) == info
    assert find_daemon_info(tmp_path) is None
    (tmp_path / "daemon.json").write_text("{torn")
    assert find_daemon_info(tmp_path) is None


def test_a_state_file_without_lock_is_no_daemon(tmp_path: Path) -> None:
    state_dir = tmp_path / "films"
    state_dir.mkdir()
    directories = Directories(state_root=tmp_path, cache_root=tmp_path)
    with daemon_info(state_dir, DaemonInfo(1, "/m", "films", 0.0)):
        assert find_served(directories, []) == []
        with pytest.raises(NotMountedError, match="films: no vidfs mount there"):
            get_served("films", directories)


def test_mount_points_are_checked(tmp_path: Path) -> None:
    check_mountpoint(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(MountPointError, match="not empty"):
        check_mountpoint(str(tmp_path))
    with pytest.raises(MountPointError, match="not a directory"):
        check_mountpoint(str(tmp_path / "file"))
    with pytest.raises(MountPointError, match="doesn't exist"):
        check_mountpoint(str(tmp_path / "absent"))


def test_mounts_of_others_are_never_cleared(tmp_path: Path) -> None:
    assert clear_dead_mounts("/proc") == 0
    assert clear_dead_mounts(str(tmp_path)) == 0


def test_one_that_is_silent_silences_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "_ANSWER_S", 1.0)
    program = """
import sys, time
if sys.argv[1] == "silent":
    time.sleep(60)
print("here")
"""
    answers = mounts._ask_in_children(program, ["one", "silent", "two", "three"])
    assert answers == dict.fromkeys(("one", "two", "three"), b"here\n")
