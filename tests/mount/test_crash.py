"""Nothing that was closed is ever lost, and nothing arrives twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.mount.mounting import Mount, Mounted, Program, Simhost, until
from tests.mount.test_main_job import at_host, make_files, pattern, rsync, sh

WRITER = """
import os, sys, time
os.write(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), b"some")
print("ok", flush=True)
time.sleep(60)
"""

ACCOUNTS = ("vipstream", "xvs", "fruithosted")


@pytest.mark.parametrize("account", ACCOUNTS)
def test_a_kill_while_sending_loses_and_doubles_nothing(
    account: str, simhost: Simhost, mounted: Mounted, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    files = make_files(source)
    simhost.fault(f"{account}:upload:slow=1000")
    with mounted(account, uploads=2) as mount:
        rsync(source, mount.path)
        until(lambda: simhost.calls(account).get("upload"), "an upload")
        mount.kill()
    simhost.clear_faults()
    with mounted(account) as mount:
        for name, content in files.items():
            assert (mount.path / name).read_bytes() == content, "readable before it is sent"
        mount.wait()
        assert rsync(source, mount.path) == []
    assert at_host(simhost, account) == files


@pytest.mark.parametrize("account", ACCOUNTS)
def test_a_kill_after_the_host_got_it_all_is_not_answered_by_a_second_copy(
    account: str, simhost: Simhost, mounted: Mounted
) -> None:
    """The answer is lost and the daemon with it: only the host knows."""
    content = pattern(500_000, 5)
    simhost.fault(f"{account}:upload:drop-after", f"{account}:*:slow=300")
    with mounted(account) as mount:
        (mount.path / "a.mp4").write_bytes(content)
        until(lambda: simhost.tree(account)["files"], "the file at the host")
        mount.kill()
    simhost.clear_faults()
    with mounted(account) as mount:
        mount.wait()
    assert at_host(simhost, account) == {"a.mp4": content}
    assert simhost.calls(account)["upload"] == 1


def test_kills_at_any_moment_of_many_writes_lose_nothing_that_was_closed(
    simhost: Simhost, mounted: Mounted, tmp_path: Path
) -> None:
    written: dict[str, bytes] = {}
    for round_ in range(5):
        with mounted("xvs") as mount:
            started = time.monotonic()
            for number in range(100):
                name = f"{round_}-{number}.mp4"
                content = pattern(1000 + number, round_ * 1000 + number)
                with (mount.path / name).open("wb") as file:
                    file.write(content)
                written[name] = content
                if time.monotonic() - started > 0.1 * round_:
                    break
            mount.kill()
    with mounted("xvs") as mount:
        mount.wait()
        names = {path.name for path in mount.path.iterdir()}
        assert names == set(written)
    assert at_host(simhost, "xvs") == written


def test_a_plain_unmount_with_uploads_pending_loses_nothing(
    vidfs: Program, simhost: Simhost, mounted: Mounted, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    files = {f"{number}.mp4": pattern(3_000_000, number) for number in range(3)}
    for name, content in files.items():
        (source / name).write_bytes(content)
    simhost.fault("xvs:upload:drop-at=1000")
    with mounted("xvs") as mount:
        rsync(source, mount.path)
        pid = mount.pid
        subprocess.run(["fusermount3", "-u", str(mount.path)], check=True)
        assert not mount.is_mounted()
        [status] = vidfs.status()
        assert (status["pid"], status["pending"]) == (pid, 3), "the daemon goes on"
        vidfs.ok("retry", "xvs")
        simhost.clear_faults()
        until(lambda: vidfs.status() == [], "the daemon's end")
        assert at_host(simhost, "xvs") == files
    with mounted("xvs") as mount:
        assert rsync(source, mount.path) == []


def test_a_daemon_that_hangs_is_shown_with_the_queue_that_is_on_disk(
    vidfs: Program, simhost: Simhost, mounted: Mounted
) -> None:
    """After its mount is gone, too, wherever its state is."""
    simhost.fault("xvs:upload/server:http=503")
    with mounted("xvs", state_dir=vidfs.root / "elsewhere") as mount:
        (mount.path / "Films").mkdir()
        (mount.path / "Films" / "a.mp4").write_bytes(pattern(3_000_000, 7))
        [before] = until(lambda: [m for m in vidfs.status() if m["uploads"]], "the upload")
        pid = before["pid"]
        subprocess.run(["fusermount3", "-u", str(mount.path)], check=True)
        until(lambda: "(unmounted, finishing uploads)" in vidfs.ok("status"), "the unmount")
        os.kill(pid, signal.SIGSTOP)
        try:
            asked = vidfs.start("status")
            [status] = vidfs.status()
            text, _ = asked.communicate(timeout=20)
        finally:
            os.kill(pid, signal.SIGCONT)
        kept = ("account", "source", "mountpoint", "pid", "pending", "parked")
        assert {key: status[key] for key in kept} == {key: before[key] for key in kept}
        [upload] = status["uploads"]
        assert set(upload) == set(before["uploads"][0])
        assert (upload["path"], upload["size_bytes"]) == ("/Films/a.mp4", 3_000_000)
        assert upload["state"] in ("queued", "sending")
        shown = f"xvs on {mount.path} (its daemon doesn't answer), pid {pid}"
        assert [line for line in text.splitlines() if line == shown]
        assert "  uploads: 1 pending, 0 parked\n" in text
        vidfs.ok("retry", "xvs")
        simhost.clear_faults()
        until(lambda: vidfs.status() == [], "the daemon's end")
    assert list(simhost.files("xvs")) == ["Films/a.mp4"]


def test_what_was_being_written_when_it_died_is_kept_and_named(
    vidfs: Program, simhost: Simhost, mounted: Mounted
) -> None:
    with mounted("xvs") as mount:
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(mount.path / "a.mp4")],
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ok\n"
        mount.kill()
        writer.kill()
        writer.communicate()
    with mounted("xvs") as mount:
        [upload] = mount.status()["uploads"]
        assert (upload["path"], upload["state"]) == ("/a.mp4", "parked")
        assert "interrupted" in upload["reason"]
        assert (mount.path / "a.mp4").read_bytes() == b"some"
        assert at_host(simhost, "xvs") == {}
        sh("cp", "/etc/hostname", mount.path / "a.mp4")
        mount.wait()
    assert at_host(simhost, "xvs") == {"a.mp4": Path("/etc/hostname").read_bytes()}


def test_a_mount_never_hangs_after_its_daemon_was_killed(
    simhost: Simhost, mounted: Mounted, vidfs: Program
) -> None:
    """A thread that waits in the kernel for a request of ours would keep the dead daemon's
    connection open: whoever looks would wait for ever."""
    with mounted("xvs") as mount:
        assert list(mount.path.iterdir()) == []
        simhost.fault("xvs:folder/create:hang")
        maker = subprocess.Popen(["mkdir", mount.path / "d"], stderr=subprocess.DEVNULL)
        until(lambda: simhost.calls("xvs").get("folder/create"), "the call that hangs")
        simhost.add_file("xvs", "new.mp4", b"film")
        vidfs.ok("refresh", str(mount.path))
        time.sleep(0.3)  # for the kernel to be told of the new file
        mount.kill()
        looked = subprocess.run(
            ["timeout", "-s", "KILL", "5", "ls", str(mount.path)], capture_output=True, text=True
        )
        assert "not connected" in looked.stderr
        assert maker.wait(5) != 0


@contextmanager
def waiting_in_the_kernel(mount: Mount, simhost: Simhost) -> Iterator[None]:
    """A mv holds the root while it waits for the folder that a mkdir holds: the daemon can't
    know of it, and its news of the root waits for the mv."""
    assert sorted(path.name for path in mount.path.rglob("*")) == ["A", "x.mp4", "y.mp4"]
    simhost.fault("xvs:folder/create:hang")
    inside = mount.path / "A"
    maker = subprocess.Popen(["mkdir", inside / "d"], stderr=subprocess.PIPE, text=True)
    until(lambda: simhost.calls("xvs").get("folder/create"), "the call that hangs")
    words = ["mv", f"{mount.path}/x.mp4", f"{inside}"]
    mover = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    time.sleep(0.3)  # for the mover to wait in the kernel
    simhost.add_file("xvs", "new.mp4", b"film")
    mount.program.ok("refresh", str(mount.path))
    time.sleep(0.3)  # for the kernel to be told of the new file
    yield
    for process in (maker, mover):
        assert process.communicate(timeout=10)[1]
        assert process.returncode != 0
    simhost.clear_faults()


@pytest.fixture
def two_films(simhost: Simhost) -> None:
    simhost.add_file("xvs", "x.mp4", b"film")
    simhost.add_file("xvs", "y.mp4", b"film", folder="A")


@pytest.mark.usefixtures("two_films")
def test_a_daemon_that_is_stopped_leaves_nobody_waiting_in_the_kernel(
    simhost: Simhost, mounted: Mounted
) -> None:
    with mounted("xvs") as mount:
        pid = mount.pid
        with waiting_in_the_kernel(mount, simhost):
            os.kill(pid, signal.SIGTERM)
        until(lambda: not is_running(pid), "the daemon's end", timeout_s=10)
        assert not mount.is_mounted()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can always end a connection")
@pytest.mark.usefixtures("two_films")
@pytest.mark.parametrize("command", ["mount", "umount"])
def test_who_waits_in_the_kernel_for_a_killed_daemon_is_freed_by_the_next_command(
    simhost: Simhost, mounted: Mounted, vidfs: Program, command: str
) -> None:
    with mounted("xvs") as mount:
        with waiting_in_the_kernel(mount, simhost):
            os.kill(mount.pid, signal.SIGKILL)
            vidfs.ok(command, *(["xvs"] if command == "mount" else []), str(mount.path))
        assert mount.is_mounted() == (command == "mount")


def is_running(pid: int) -> bool:
    """Whether a thread of that process is left, which may be one that no signal reaches."""
    with suppress(OSError):
        return any(Path(f"/proc/{pid}/task").iterdir())
    return False


def test_what_appeared_while_a_folder_was_busy_is_seen_afterwards(
    simhost: Simhost, mounted: Mounted, vidfs: Program
) -> None:
    with mounted("xvs") as mount:
        assert list(mount.path.iterdir()) == []
        simhost.fault("xvs:folder/create:slow=1500")
        maker = subprocess.Popen(["mkdir", mount.path / "d"])
        until(lambda: simhost.calls("xvs").get("folder/create"), "the call")
        simhost.add_file("xvs", "new.mp4", b"film")
        vidfs.ok("refresh", str(mount.path))
        assert maker.wait(30) == 0
        until(lambda: (mount.path / "new.mp4").exists(), "the new file", timeout_s=5)
        assert sorted(path.name for path in mount.path.iterdir()) == ["d", "new.mp4"]
