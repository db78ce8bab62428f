"""`rsync -a` to and from the mount: the second run has nothing to do, on every host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.mount.mounting import Mount, Mounted, Simhost
from tests.mount.test_main_job import drop_cache, pattern, rsync

READABLE = ("xvs", "fruithosted", "streamtape")
ACCOUNTS = (*READABLE, "vipstream", "doodstream", "pstream")
SIZES = {
    "a film.mp4": 70_001,
    "Films/Ünïcödé – 映画.mp4": 12_345,
    "Films/Old/one byte.webm": 1,
    "Films/Old/Vol. 2.mkv": 4096,
}


def make_collection(top: Path) -> None:
    for number, (path, size) in enumerate(SIZES.items()):
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(pattern(size, number))
        at = 1_500_000_000_123_456_789 + number * 86_400_000_000_000
        os.utime(top / path, ns=(at, at))


def look_anew(mount: Mount) -> None:
    """What the host lists by now is taken over."""
    for folder in ("", "Films", "Films/Old"):
        mount.program.ok("refresh", str(mount.path / folder))


@pytest.mark.parametrize("account", ACCOUNTS)
def test_a_second_rsync_has_nothing_to_do(
    account: str, simhost: Simhost, mounted: Mounted, tmp_path: Path
) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    make_collection(source)
    back.mkdir()
    if account == "fruithosted":  # it has no call that makes folders
        simhost.request("POST", f"{account}/folders", path="Films/Old")
    with mounted(account) as mount:
        sent = [line for line in rsync(source, mount.path) if line.startswith(">f")]
        assert len(sent) == len(SIZES)
        assert rsync(source, mount.path) == [], "while uploads are under way"
        mount.wait()
        assert rsync(source, mount.path) == [], "once they are done"
        look_anew(mount)
        assert rsync(source, mount.path) == [], "by the host's own listing"
    with mounted(account) as mount:
        assert rsync(source, mount.path) == [], "after a remount"
        look_anew(mount)
        assert rsync(source, mount.path) == []
        if account in READABLE:
            mount.unmount()
            drop_cache(mount.program)
    with mounted(account) as mount:
        assert len([line for line in rsync(mount.path, back) if line.startswith(">f")]) == len(
            SIZES
        )
        assert rsync(mount.path, back) == []
        assert rsync(source, back, "--checksum") == [], "byte for byte, with its times"
    assert simhost.calls(account)["upload"] == len(SIZES)
