"""What programs do with files that the account has, or is about to have, costs what it must."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.mount.mounting import Mounted, Simhost, until
from vidfs.app.mounts import wait_until_gone

FILM = os.urandom(300_000)
MTIME_S = 1_400_000_000


@pytest.mark.parametrize("account", ["vipstream", "fruithosted", "streamtape"])
def test_a_film_that_is_written_again_as_it_is_keeps_its_code(
    account: str, simhost: Simhost, mounted: Mounted, tmp_path: Path
) -> None:
    source = tmp_path / "a.mp4"
    source.write_bytes(FILM)
    with mounted(account) as mount:
        subprocess.run(["rsync", "-a", source, mount.path], check=True, timeout=30)
        mount.wait()
        before = simhost.files(account)
        simhost.reset_calls(account)
        os.utime(source, (MTIME_S, MTIME_S))
        for command in (["rsync", "-a"], ["rsync", "-aI"], ["rsync", "-aI", "--inplace"]):
            subprocess.run([*command, source, mount.path], check=True, timeout=30)
            mount.wait()
            assert (mount.path / "a.mp4").stat().st_mtime == MTIME_S
        subprocess.run(["cp", "-f", source, mount.path / "a.mp4"], check=True, timeout=30)
        mount.wait()
        assert simhost.calls(account) == {"file/info": 8}
        assert simhost.files(account) == before
        mount.program.ok("refresh", str(mount.path))
        assert os.listdir(mount.path) == ["a.mp4"]
        assert (mount.path / "a.mp4").read_bytes() == FILM


@pytest.mark.parametrize("account", ["doodstream", "vipstream", "xvs"])
def test_a_copy_of_a_film_that_is_still_being_sent_is_made_by_the_host(
    account: str, simhost: Simhost, mounted: Mounted
) -> None:
    with mounted(account) as mount:
        simhost.fault(f"{account}:upload:slow=1000")
        (mount.path / "a.mp4").write_bytes(FILM)
        until(lambda: simhost.calls(account).get("upload"), "the upload")
        subprocess.run(["cp", mount.path / "a.mp4", mount.path / "b.mp4"], check=True, timeout=30)
        mount.wait()
        calls = simhost.calls(account)
    assert (calls["upload"], calls["file/clone"]) == (1, 1)
    found = simhost.tree(account)["files"]
    assert [file["size"] for file in found] == [len(FILM)] * 2
    assert len({file["code"] for file in found}) == 2


@pytest.mark.parametrize("account", ["doodstream", "vipstream", "xvs", "fruithosted"])
def test_what_the_account_has_no_room_for_is_told_before_it_is_sent(
    account: str, simhost: Simhost, mounted: Mounted
) -> None:
    simhost.set(quota_bytes=len(FILM) + 1000)
    with mounted(account, upload="close") as mount:
        (mount.path / "a.mp4").write_bytes(FILM)
        fd = os.open(mount.path / "b.mp4", os.O_WRONLY | os.O_CREAT)
        os.write(fd, FILM[:2000])
        with pytest.raises(OSError, match=r".") as caught:
            os.close(fd)
        assert caught.value.errno == errno.EDQUOT
        [upload] = mount.status()["uploads"]
        assert (upload["state"], "quota" in upload["reason"]) == ("parked", True)
        assert (mount.path / "b.mp4").read_bytes() == FILM[:2000]
    assert simhost.calls(account)["upload"] == 1


def test_eight_films_at_once_take_little_memory(simhost: Simhost, mounted: Mounted) -> None:
    def peak_kib() -> int:
        lines = Path(f"/proc/{mount.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    with mounted("streamtape", uploads=8) as mount:
        before = peak_kib()
        for number in range(8):
            with (mount.path / f"{number}.mp4").open("wb") as file:
                for _ in range(24):
                    file.write(FILM * 3)
        mount.wait()
        assert peak_kib() - before < 30 << 10
    assert len(simhost.files("streamtape")) == 8


def test_a_daemon_stops_within_seconds_whatever_hangs(simhost: Simhost, mounted: Mounted) -> None:
    with mounted("fruithosted") as mount:
        simhost.fault("fruithosted:upload:hang")
        for number in range(5):
            (mount.path / f"{number}.mp4").write_bytes(FILM)
        until(lambda: sum(u["sent_bytes"] > 0 for u in mount.status()["uploads"]) == 4, "sending")
        simhost.fault("fruithosted:*:hang")
        looker = subprocess.Popen(["ls", "-R", mount.path], stdout=subprocess.DEVNULL)
        pid, started = mount.pid, time.monotonic()
        os.kill(pid, signal.SIGTERM)
        assert wait_until_gone(mount.state_dir, pid, timeout_s=20)
        assert time.monotonic() - started < 5
        assert "left in the queue for the next mount: 5" in mount.log()
        looker.wait(timeout=10)
