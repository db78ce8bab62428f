"""What a host refuses, on a real mount: by errno where `close` waits, in `status`, bytes kept.

And what one file costs that rsync brings: no call but those that are needed.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.mount.mounting import Mounted, Simhost, until

FILM = b"film" * 10_000

REFUSALS = [
    ("upload", "refuse=unallowed extension", errno.EMEDIUMTYPE, "unallowed extension"),
    ("upload", "refuse=quota reached", errno.EDQUOT, "quota"),
    ("upload", "refuse=DiskFull", errno.EDQUOT, "DiskFull"),
    ("upload", "refuse=sha1 mismatch", errno.EIO, "sha1 mismatch"),
    ("upload", "undef", errno.EIO, ""),
]


@pytest.mark.parametrize("account", ["fruithosted", "xvs"])
def test_close_says_what_the_host_refused_and_the_bytes_are_kept(
    account: str, simhost: Simhost, mounted: Mounted
) -> None:
    with mounted(account, upload="close") as mount:
        for number, (call, action, code, reason) in enumerate(REFUSALS):
            simhost.fault(f"{account}:{call}:{action}:times=1")
            path = mount.path / f"{number}.mp4"
            fd = os.open(path, os.O_WRONLY | os.O_CREAT)
            os.write(fd, FILM + bytes([number]))
            with pytest.raises(OSError, match=r".") as caught:
                os.close(fd)
            assert caught.value.errno == code, action
            [upload] = mount.status()["uploads"]
            assert (upload["path"], upload["state"]) == (f"/{number}.mp4", "parked")
            assert reason in upload["reason"]
            assert path.read_bytes() == FILM + bytes([number])
            mount.program.ok("retry", str(path))
            mount.wait()
    assert sorted(simhost.files(account)) == [f"{number}.mp4" for number in range(len(REFUSALS))]


@pytest.mark.parametrize(
    ("account", "call"), [("fruithosted", "file/ul"), ("xvs", "upload/server")]
)
def test_a_key_that_is_refused_in_mid_queue_parks_what_is_left(
    account: str, call: str, simhost: Simhost, mounted: Mounted
) -> None:
    with mounted(account, uploads=1) as mount:
        simhost.fault(f"{account}:{call}:status=403:after=1:times=2")
        for number in range(3):
            (mount.path / f"{number}.mp4").write_bytes(FILM + bytes([number]))
        until(lambda: mount.status()["parked"] == 2, "two refusals")
        assert all(upload["reason"] for upload in mount.status()["uploads"])
        assert len(simhost.files(account)) == 1
        mount.program.ok("retry")
        mount.wait()
    assert len(simhost.files(account)) == 3


COSTS = {
    "doodstream": {"upload/server", "upload", "file/info", "file/rename"},
    "vipstream": {"upload/server", "upload", "file/info"},
    "xvs": {"upload/server", "upload", "file/info"},
    "fruithosted": {"file/ul", "upload", "file/info"},
    "pstream": {"file/ul", "upload", "file/info"},
    "streamtape": {"file/ul", "upload", "file/info"},
}


@pytest.mark.parametrize("account", COSTS)
def test_a_file_that_rsync_brings_costs_its_upload_and_one_look_at_it(
    account: str, simhost: Simhost, mounted: Mounted, tmp_path: Path
) -> None:
    source = tmp_path / "film.mp4"
    source.write_bytes(FILM)
    with mounted(account) as mount:
        os.listdir(mount.path)
        simhost.reset_calls(account)
        subprocess.run(["rsync", "-a", source, mount.path], check=True, timeout=30)
        mount.wait()
        calls = simhost.calls(account)
        assert calls == dict.fromkeys(calls, 1)
        assert set(calls) <= COSTS[account], calls
        assert list(simhost.files(account)) in (["film.mp4"], ["film"])


@pytest.mark.parametrize("account", ["fruithosted", "xvs"])
def test_a_page_of_html_from_a_node_leaves_one_copy(
    account: str, simhost: Simhost, mounted: Mounted
) -> None:
    """The node may have done its work all the same: here it has."""
    simhost.fault(f"{account}:upload:html:times=1")
    with mounted(account, upload="close") as mount:
        (mount.path / "a.mp4").write_bytes(FILM)
        assert mount.status()["uploads"] == []
    assert sorted(simhost.files(account)) == ["a.mp4"]
    assert simhost.calls(account)["upload"] == 1


@pytest.mark.parametrize("what", ["spool", "."])
def test_a_spool_that_somebody_removed_is_told_and_reading_goes_on(
    what: str, simhost: Simhost, mounted: Mounted
) -> None:
    """Or the whole state directory: then there is nowhere to tell it but by errno."""
    simhost.add_file("xvs", "film.mp4", FILM)
    with mounted("xvs") as mount:
        os.listdir(mount.path)
        shutil.rmtree((mount.state_dir / what).resolve())
        film, new = mount.path / "film.mp4", mount.path / "new.mp4"
        for change in (
            lambda: new.write_bytes(FILM),
            lambda: os.truncate(film, 5),
            lambda: film.write_bytes(FILM),
        ):
            with pytest.raises(OSError, match=r".") as caught:
                change()
            assert caught.value.errno == errno.EIO
        assert film.read_bytes() == FILM
        if what == "spool":
            assert "the spool itself" in mount.log()
            mount.unmount()
        else:
            assert "was removed" in mount.program.fails("umount", str(mount.path), code=3)
            subprocess.run(["fusermount3", "-u", mount.path], check=True)
        mount.program.ok("mount", "xvs", str(mount.path))
        new.write_bytes(FILM)
        mount.wait()
    assert sorted(simhost.files("xvs")) == ["film.mp4", "new.mp4"]
