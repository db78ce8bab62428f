"""The commands on real mounts: what they return, say and leave behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from tests.mount.mounting import Mounted, Program, Simhost, processes_with, until, write_config
from vidfs.app.mounts import FS_TYPE, find_daemon_info, find_lock_holder, wait_until_gone
from vidfs.fuse.mountinfo import load_kernel_mounts

FILM = bytes(range(256)) * 1024


def assert_nothing_mounted(vidfs: Program, path: Path) -> None:
    assert not any(mount.mountpoint == str(path) for mount in load_kernel_mounts())
    for state_dir in vidfs.state_root.glob("*"):
        until(partial(_is_unlocked, state_dir), "the daemon's end")
        assert find_daemon_info(state_dir) is None


def _is_unlocked(state_dir: Path) -> bool:
    return find_lock_holder(state_dir) is None


@pytest.fixture
def point(tmp_path: Path) -> Path:
    path = tmp_path / "point"
    path.mkdir()
    return path


# ------------------------------------------------------------------------------ refusals


def test_a_wrong_key_is_refused(vidfs: Program, simhost: Simhost, point: Path) -> None:
    accounts = simhost.accounts()
    accounts["xvs"]["key"] = "wrongwrongwrong1234"
    write_config(vidfs.config_file, {"xvs": accounts["xvs"]})
    line = vidfs.fails("mount", "xvs", str(point), code=4)
    assert "key" in line
    assert "wrongwrongwrong1234" not in line + vidfs.logs()
    assert vidfs.run("account", "test", "xvs").returncode == 4
    assert_nothing_mounted(vidfs, point)


def test_an_unreachable_host_is_refused(vidfs: Program, simhost: Simhost, point: Path) -> None:
    simhost.stop()
    line = vidfs.fails("mount", "xvs", str(point), code=5)
    assert "127.0.0.1" in line or "xvs" in line
    assert_nothing_mounted(vidfs, point)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("-o", "ro,colour=red", "xvs"), 2, "unknown mount option 'colour'"),
        (("-o", "uploads=none", "xvs"), 2, "option uploads=none"),
        (("films",), 2, "no account 'films'"),
        (("xvs:Films",), 2, "begins with a slash"),
        (("xvs:/absent",), 9, "absent"),
    ],
)
def test_wrong_words_are_named(
    vidfs: Program, point: Path, args: tuple[str, ...], code: int, words: str
) -> None:
    assert words in vidfs.fails("mount", *args, str(point), code=code)
    assert_nothing_mounted(vidfs, point)


def test_a_mount_point_must_be_an_empty_directory(vidfs: Program, tmp_path: Path) -> None:
    assert "doesn't exist" in vidfs.fails("mount", "xvs", str(tmp_path / "absent"), code=8)
    (tmp_path / "file").touch()
    assert "not a directory" in vidfs.fails("mount", "xvs", str(tmp_path / "file"), code=8)
    full = tmp_path / "full"
    full.mkdir()
    (full / "something").touch()
    assert "not empty" in vidfs.fails("mount", "xvs", str(full), code=8)
    assert_nothing_mounted(vidfs, full)


def test_a_configuration_open_to_others_is_refused(vidfs: Program, point: Path) -> None:
    vidfs.config_file.chmod(0o644)
    assert "chmod 600" in vidfs.fails("mount", "xvs", str(point), code=2)


def test_a_second_mount_of_the_account_is_refused(
    vidfs: Program, mounted: Mounted, point: Path
) -> None:
    with mounted("xvs") as mount:
        for where in (point, mount.path):
            line = vidfs.fails("mount", "xvs", str(where), code=7)
            assert str(mount.path) in line
            assert f"pid {mount.pid}" in line
        line = vidfs.fails("mount", "vipstream", str(mount.path), code=7)
        assert "xvs is already mounted there" in line
        assert os.listdir(mount.path) == []


def test_commands_without_a_mount_say_so(vidfs: Program, point: Path) -> None:
    for command in ("umount", "status", "wait", "refresh", "retry"):
        assert "no vidfs mount there" in vidfs.fails(command, str(point), code=3)
    assert vidfs.status() == []


# ------------------------------------------------------------------------ mounts and ends


def test_kernel_and_status_show_the_same(vidfs: Program, mounted: Mounted) -> None:
    with mounted("vipstream") as one, mounted("xvs") as two:
        found = {mount.mountpoint: mount for mount in load_kernel_mounts()}
        for mount in (one, two):
            assert found[str(mount.path)].fs_type == FS_TYPE
            assert found[str(mount.path)].source == mount.account
        statuses = {status["account"]: status for status in vidfs.status()}
        assert set(statuses) == {"vipstream", "xvs"}
        assert list(statuses["xvs"]) == [
            *("account", "source", "mountpoint", "pid", "pending", "parked", "uploads"),
            *("api_calls", "cache_bytes"),
        ]
        assert statuses["xvs"]["pid"] == two.pid
        assert f"vipstream on {one.path}" in vidfs.ok("status")


def test_a_folder_can_be_mounted(vidfs: Program, simhost: Simhost, mounted: Mounted) -> None:
    simhost.add_file("xvs", "a.mp4", FILM, folder="Films/Old, all")
    with mounted("xvs", folder="Films") as mount:
        assert os.listdir(mount.path) == ["Old, all"]
        assert mount.status()["source"] == "xvs:/Films"
    escaped = r"xvs:/Films/Old\, all"
    with vidfs.mounted("xvs", folder="Films/Old, all") as mount:
        assert os.listdir(mount.path) == ["a.mp4"]
        [found] = [one for one in load_kernel_mounts() if one.mountpoint == str(mount.path)]
        assert found.source in ("xvs:/Films/Old, all", escaped)
        assert mount.status()["source"] == "xvs:/Films/Old, all"


def test_umount_waits_for_the_host(vidfs: Program, simhost: Simhost, mounted: Mounted) -> None:
    simhost.fault("xvs:upload:slow=1500")
    with mounted("xvs") as mount:
        (mount.path / "a.mp4").write_bytes(FILM)
        mount.unmount()
        assert simhost.body("xvs", "a.mp4") == FILM
        assert not mount.is_mounted()
        assert find_lock_holder(mount.state_dir) is None
    assert_nothing_mounted(vidfs, mount.path)


def test_umount_now_leaves_the_queue_to_the_next_mount(
    vidfs: Program, simhost: Simhost, mounted: Mounted
) -> None:
    simhost.fault("xvs:upload/server:http=503")
    with mounted("xvs") as mount:
        (mount.path / "a.mp4").write_bytes(FILM)
        started = time.monotonic()
        vidfs.ok("umount", "--now", str(mount.path))
        assert time.monotonic() - started < 15
        assert_nothing_mounted(vidfs, mount.path)
        assert simhost.files("xvs") == {}
    simhost.clear_faults()
    with mounted("xvs") as mount:
        assert (mount.path / "a.mp4").read_bytes() == FILM
        mount.wait()
    assert simhost.body("xvs", "a.mp4") == FILM


def test_a_plain_unmount_goes_on_until_the_queue_is_empty(
    vidfs: Program, simhost: Simhost, mounted: Mounted
) -> None:
    simhost.fault("xvs:upload/server:http=503")
    with mounted("xvs") as mount:
        pid = mount.pid
        (mount.path / "a.mp4").write_bytes(FILM)
        subprocess.run(["fusermount3", "-u", str(mount.path)], check=True)
        [status] = vidfs.status()
        assert (status["pid"], status["pending"]) == (pid, 1)
        assert "finishing uploads" in vidfs.ok("status", str(mount.path))
        vidfs.fails("wait", "--timeout", "0.2", str(mount.path), code=6)
        simhost.clear_faults()
        assert wait_until_gone(mount.state_dir, pid, timeout_s=20)
        assert simhost.body("xvs", "a.mp4") == FILM


def test_the_next_mount_takes_the_queue_over(
    vidfs: Program, simhost: Simhost, mounted: Mounted, point: Path
) -> None:
    simhost.fault("xvs:upload/server:http=503")
    with mounted("xvs") as first:
        (first.path / "a.mp4").write_bytes(FILM)
        pid = first.pid
        subprocess.run(["fusermount3", "-u", str(first.path)], check=True)
        with vidfs.mounted("xvs", where=point) as second:
            assert second.pid != pid
            simhost.clear_faults()
            second.wait()
    assert simhost.body("xvs", "a.mp4") == FILM
    assert len(simhost.files("xvs")) == 1


def test_umount_leaves_a_mount_in_use_alone(vidfs: Program, mounted: Mounted) -> None:
    with mounted("xvs") as mount:
        (mount.path / "a.mp4").write_bytes(FILM)
        with (mount.path / "a.mp4").open("rb"):
            assert "in use" in vidfs.fails("umount", str(mount.path), code=1)
            assert mount.status()["pid"] == mount.pid
        mount.unmount()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_daemon_and_keeps_the_queue(
    vidfs: Program, simhost: Simhost, mounted: Mounted, number: signal.Signals
) -> None:
    simhost.fault("xvs:upload/server:hang")
    with mounted("xvs") as mount:
        (mount.path / "a.mp4").write_bytes(FILM)
        pid = mount.pid
        started = time.monotonic()
        os.kill(pid, number)
        assert wait_until_gone(mount.state_dir, pid, timeout_s=20)
        assert time.monotonic() - started < 8
        assert not mount.is_mounted()
        assert mount.log().count("left in the queue for the next mount: 1") == 1
        simhost.clear_faults()
        vidfs.ok("mount", "xvs", str(mount.path))
        mount.wait()
        assert simhost.body("xvs", "a.mp4") == FILM


def test_sighup_and_refresh_look_now(vidfs: Program, simhost: Simhost, mounted: Mounted) -> None:
    with mounted("xvs", dir_ttl="1h", dir_stale="1h") as mount:
        assert os.listdir(mount.path) == []
        simhost.add_file("xvs", "a.mp4", FILM)
        os.kill(mount.pid, signal.SIGHUP)
        until(lambda: os.listdir(mount.path) == ["a.mp4"], "SIGHUP")
        simhost.add_file("xvs", "b.mp4", FILM)
        vidfs.ok("refresh", str(mount.path))
        assert sorted(os.listdir(mount.path)) == ["a.mp4", "b.mp4"]


def test_a_dead_mount_is_cleaned_up_by_the_next(vidfs: Program, mounted: Mounted) -> None:
    with mounted("xvs") as mount:
        mount.kill()
        with pytest.raises(OSError) as caught:
            os.listdir(mount.path)
        assert caught.value.errno == errno.ENOTCONN
        assert "died" in vidfs.fails("status", str(mount.path), code=3)
        vidfs.ok("mount", "xvs", str(mount.path))
        assert os.listdir(mount.path) == []


def test_a_dead_mount_elsewhere_is_cleaned_up_too(
    vidfs: Program, mounted: Mounted, point: Path
) -> None:
    with mounted("xvs") as mount:
        mount.kill()
        with vidfs.mounted("xvs", where=point):
            assert not mount.is_mounted()


def test_umount_cleans_a_dead_mount_up(vidfs: Program, mounted: Mounted) -> None:
    with mounted("xvs") as mount:
        mount.kill()
        vidfs.ok("umount", str(mount.path))
        assert not mount.is_mounted()


def test_the_foreground_ends_with_ctrl_c(vidfs: Program, point: Path) -> None:
    process = vidfs.start("mount", "-f", "xvs", str(point))
    try:
        until(lambda: vidfs.status() != [], "the mount")
        (point / "a.mp4").write_bytes(FILM)
        vidfs.ok("wait", str(point))
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert f"mounted xvs on {point}" in log
    assert_nothing_mounted(vidfs, point)


def test_an_unreachable_host_is_no_obstacle_with_a_catalogue(
    vidfs: Program, simhost: Simhost, mounted: Mounted
) -> None:
    simhost.add_file("xvs", "a.mp4", FILM)
    with mounted("xvs") as mount:
        assert os.listdir(mount.path) == ["a.mp4"]
    simhost.stop()
    done = vidfs.run("mount", "xvs", str(mount.path))
    try:
        assert done.returncode == 0
        [line] = done.stderr.splitlines()
        assert line.startswith("vidfs: mounted from the catalogue")
        assert os.listdir(mount.path) == ["a.mp4"]
    finally:
        vidfs.take_away(mount)


# -------------------------------------------------------------------------------- waiting


def test_wait_knows_paths_and_time(vidfs: Program, simhost: Simhost, mounted: Mounted) -> None:
    with mounted("xvs") as mount:
        (mount.path / "a.mp4").write_bytes(FILM)
        vidfs.ok("wait", str(mount.path / "a.mp4"))
        simhost.fault("xvs:upload/server:http=503")
        (mount.path / "b.mp4").write_bytes(FILM[::-1])  # a copy would not be sent
        vidfs.ok("wait", str(mount.path / "a.mp4"))
        line = vidfs.fails("wait", "--timeout", "0.5", str(mount.path / "b.mp4"), code=6)
        assert "uploads pending: 1" in line
        simhost.clear_faults()


def test_parked_uploads_are_told_and_retried(
    vidfs: Program, simhost: Simhost, mounted: Mounted
) -> None:
    simhost.fault("xvs:upload:refuse=unallowed extension")
    with mounted("xvs") as mount:
        (mount.path / "a.mp4").write_bytes(FILM)
        assert "parked" in vidfs.fails("wait", str(mount.path), code=1)
        [upload] = mount.status()["uploads"]
        assert list(upload) == [
            *("path", "state", "sent_bytes", "size_bytes", "attempts", "reason")
        ]
        assert upload["state"] == "parked"
        assert "unallowed extension" in upload["reason"]
        assert "unallowed extension" in vidfs.ok("status")
        simhost.clear_faults()
        assert vidfs.ok("retry", str(mount.path / "a.mp4")) == "uploads queued again: 1\n"
        mount.wait()
        assert simhost.body("xvs", "a.mp4") == FILM


def test_umount_says_that_uploads_are_parked(
    vidfs: Program, simhost: Simhost, mounted: Mounted
) -> None:
    simhost.fault("xvs:upload:refuse=unallowed extension")
    with mounted("xvs") as mount:
        (mount.path / "a.mp4").write_bytes(FILM)
        assert "uploads parked: 1" in vidfs.fails("umount", str(mount.path), code=1)
        assert not mount.is_mounted()


# ---------------------------------------------------------------------------------- places


def test_a_mount_with_a_state_directory_of_its_own_is_found(
    vidfs: Program, tmp_path: Path, point: Path
) -> None:
    state = tmp_path / "elsewhere"
    vidfs.ok("mount", "-o", f"state_dir={state},cache_dir={tmp_path / 'c'}", "xvs", str(point))
    try:
        [status] = vidfs.status()
        assert status["mountpoint"] == str(point)
        assert (state / "xvs/lock").exists()
        assert (tmp_path / "c/xvs").is_dir()
        assert not (vidfs.state_root / "xvs").exists()
    finally:
        vidfs.ok("umount", str(point))
    assert find_lock_holder(state / "xvs") is None


def test_the_log_goes_where_it_was_asked_for(
    vidfs: Program, tmp_path: Path, mounted: Mounted
) -> None:
    log_file = tmp_path / "own.log"
    with mounted("xvs", log_file=log_file) as mount:
        assert mount.log() == ""
        assert f"mounted xvs on {mount.path}" in log_file.read_text()
        assert log_file.stat().st_mode & 0o077 == 0


def test_no_key_shows_anywhere(vidfs: Program, simhost: Simhost, mounted: Mounted) -> None:
    for account in ("vipstream", "fruithosted"):
        with mounted(account, debug=True) as mount:
            (mount.path / "a.mp4").write_bytes(FILM)
            mount.wait()
            simhost.fault(f"{account}:upload/server:http=500", f"{account}:ul:http=500")
            (mount.path / "b.mp4").write_bytes(FILM)
            vidfs.run("wait", "--timeout", "1", str(mount.path))
            vidfs.ok("status", "--json")
            vidfs.run("--debug", "account", "test", account)
            assert processes_with(simhost.secrets()) == []
            simhost.clear_faults()
    simhost.stop()
    assert vidfs.run("--debug", "account", "test", "vipstream").returncode == 5
    # the fixture `vidfs` looks through all that was said and logged


def test_a_key_from_the_environment_works_and_stays_out_of_children(
    vidfs: Program, simhost: Simhost, point: Path
) -> None:
    accounts = simhost.accounts()
    key = accounts["xvs"].pop("key")
    write_config(vidfs.config_file, {"xvs": accounts["xvs"]})
    mount_with_key = vidfs.run("mount", "xvs", str(point), VIDFS_XVS_KEY=key)
    assert mount_with_key.returncode == 0, mount_with_key.stderr
    try:
        assert key not in "".join(vidfs.outputs) + vidfs.logs()
    finally:
        vidfs.ok("umount", str(point))


# ------------------------------------------------------------------------ demo and mount(8)


def test_the_demo_account_keeps_its_data_and_ends_with_its_mount(vidfs: Program) -> None:
    with vidfs.mounted("demo") as mount:
        (mount.path / "a.mp4").write_bytes(FILM)
        assert "the host accepts the key" in vidfs.ok("account", "test", "demo")
        mount.unmount()
        here = str(mount.state_dir)
        until(lambda: processes_with([here]) == [], "the simulated host's end")
        vidfs.ok("mount", "demo", str(mount.path))
        assert (mount.path / "a.mp4").read_bytes() == FILM
        mount.kill()
        until(lambda: processes_with([here]) == [], "the simulated host's end")


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount(8)")
def test_the_mount_helper_speaks_like_mount(vidfs: Program, point: Path) -> None:
    def helper(*args: str) -> subprocess.CompletedProcess[str]:
        return vidfs.run(*args, function="mount_helper")

    assert helper("xvs", str(point), "-f", "-o", "rw,nofail").returncode == 0
    assert_nothing_mounted(vidfs, point)
    assert helper("xvs", str(point), "-o", "colour=red").returncode == 1
    assert helper("xvs").returncode == 1
    done = helper("xvs", str(point) + "absent")
    assert done.returncode == 32
    assert done.stderr.count("\n") == 1
    options = "rw,noauto,nofail,_netdev,user,x-systemd.automount,noexec,colour=red"
    done = helper("xvs", str(point), "-s", "-n", "-o", options)
    assert (done.returncode, done.stderr) == (0, "")
    try:
        assert f" {point} " in Path("/proc/self/mountinfo").read_text()
    finally:
        vidfs.ok("umount", str(point))


def test_a_silent_control_socket_is_no_daemon(vidfs: Program, point: Path) -> None:
    state_dir = vidfs.state_root / "xvs"
    state_dir.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(state_dir / "control.sock"))
    (state_dir / "daemon.json").write_text(
        json.dumps({"pid": 1, "mountpoint": str(point), "source": "xvs", "started_at": 0})
    )
    assert vidfs.status() == []
    with vidfs.mounted("xvs", where=point) as mount:
        assert mount.status()["pid"] == mount.pid


# --------------------------------------------------------------------------------- doctor


def test_doctor_finds_dead_mounts_refused_keys_and_odd_clocks(
    vidfs: Program, simhost: Simhost, mounted: Mounted
) -> None:
    accounts = simhost.accounts()
    wrong = accounts["xvs"] | {"key": "wrongwrongwrong1234"}
    chosen = {"films": accounts["xvs"], "wrong": wrong, "odd": accounts["vipstream"]}
    write_config(vidfs.config_file, chosen)

    def examine(*words: str) -> dict[str, list[str]]:
        done = vidfs.run("doctor", "--json", *words)
        found = json.loads(done.stdout)
        problems = [one for one in found["checks"] if one["state"] == "problem"]
        assert (found["problems"], done.returncode) == (len(problems), min(1, len(problems)))
        texts: dict[str, list[str]] = {}
        for one in problems:
            texts.setdefault(one["check"], []).append(one["text"])
        return texts

    with mounted("films") as mount:
        simhost.set(clock_offset_s=10_000)
        found = examine()
        assert not [text for text in found.get("mounts", []) if str(mount.path) in text]
        assert "account films" in found  # its clock
        assert "refuses the key" in found["account wrong"][0]
        assert "more than a time zone explains" in found["account odd"][0]
        simhost.set(clock_offset_s=3600)
        mount.kill()
        [dead] = [text for text in examine()["mounts"] if str(mount.path) in text]
        assert "the daemon of this mount has died" in dead
    line = vidfs.fails("doctor", "nosuch", code=2)
    assert "no account 'nosuch'" in line
    shown = vidfs.run("doctor", "wrong").stdout
    assert "refuses the key" in shown
    assert "→ get a new key" in shown


def test_status_is_shown_whatever_hangs(vidfs: Program, mounted: Mounted) -> None:
    with mounted("xvs") as one, mounted("vipstream") as two:
        os.kill(two.pid, signal.SIGSTOP)
        try:
            silent = f"vipstream on {two.path} (its daemon doesn't answer)"
            elsewhere = Program(vidfs.root / "elsewhere", vidfs.config_file)  # asks the mounts
            for program, pid in ((vidfs, two.pid), (elsewhere, None)):
                started = time.monotonic()
                text = program.ok("status")
                assert time.monotonic() - started < 15
                assert f"xvs on {one.path}, pid {one.pid}\n" in text
                shown = silent if pid is None else f"{silent}, pid {pid}"
                assert shown in text.splitlines()
                mounts = json.loads(program.ok("status", "--json"))["mounts"]
                assert {m["mountpoint"]: m["pid"] for m in mounts}.items() >= {
                    (str(one.path), one.pid),
                    (str(two.path), pid),
                }
        finally:
            os.kill(two.pid, signal.SIGCONT)
