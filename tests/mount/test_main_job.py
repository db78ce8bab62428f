"""What people mount an account for: cp, mkdir, mv, rsync, and having it all back."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.mount.mounting import Mounted, Program, Simhost

ACCOUNTS = ("vipstream", "xvs", "fruithosted")
READABLE = ("xvs", "fruithosted")
TRASH = ("vidfs-trash~", "vidfs trash/")


def sh(*words: str | Path) -> str:
    """stdout of a program that must succeed and have nothing to complain about."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), (words, done)
    return done.stdout


def pattern(size_bytes: int, seed: int) -> bytes:
    """Bytes that differ from file to file and from place to place."""
    return b"".join(
        (seed * 1_000_003 + number).to_bytes(8, "little") for number in range(size_bytes // 8 + 1)
    )[:size_bytes]


def make_files(top: Path) -> dict[str, bytes]:
    """A small collection below *top*, as {path: content}."""
    files = {
        "a film.mp4": pattern(700_001, 1),
        "b.mkv": pattern(3 << 20, 2),
        "Ünïcödé – 映画.mp4": pattern(12_345, 3),
        "one byte.webm": b"x",
    }
    top.mkdir()
    for number, (name, content) in enumerate(files.items()):
        (top / name).write_bytes(content)
        at = 1_500_000_000_000_000_000 + number * 86_400_000_000_000 + 123_456_789
        os.utime(top / name, ns=(at, at))
    return files


def at_host(simhost: Simhost, account: str) -> dict[str, bytes]:
    """What the account holds outside of the trash, byte for byte; titles must be unique."""
    tree = simhost.tree(account)
    files = [f for f in tree["files"] if not f["path"].startswith(TRASH)]
    found = {f["path"]: (simhost.root / account / "files" / f["code"]).read_bytes() for f in files}
    assert len(found) == len(files), sorted(f["path"] for f in files)
    return found


def folders_at_host(simhost: Simhost, account: str) -> set[str]:
    paths = {f["path"] for f in simhost.tree(account)["folders"]}
    return {path for path in paths if path and not f"{path}/".startswith(TRASH)}


def rsync(source: Path, target: Path, *more: str) -> list[str]:
    """What `rsync -a` did, one line each."""
    return sh("rsync", "-a", "-i", *more, f"{source}/", f"{target}/").splitlines()


def drop_cache(vidfs: Program) -> None:
    shutil.rmtree(vidfs.root / "cache")


@pytest.mark.parametrize("account", ACCOUNTS)
def test_rsync_sends_every_file_once_and_nothing_the_second_time(
    account: str, vidfs: Program, simhost: Simhost, mounted: Mounted, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    files = make_files(source)
    with mounted(account) as mount:
        assert len([line for line in rsync(source, mount.path) if line.startswith(">f")]) == 4
        mount.wait()
        assert at_host(simhost, account) == files
        assert simhost.calls(account)["upload"] == 4
        assert rsync(source, mount.path) == []
        assert mount.status()["pending"] == 0
    with mounted(account) as mount:
        assert rsync(source, mount.path) == []
        names = sorted(os.listdir(mount.path))
        assert names == sorted(files)
        for name in files:
            then, now = (source / name).stat(), (mount.path / name).stat()
            assert (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns)
    assert at_host(simhost, account) == files
    assert simhost.calls(account)["upload"] == 4


@pytest.mark.parametrize("account", ACCOUNTS)
def test_rsync_of_a_changed_file_replaces_it(
    account: str, simhost: Simhost, mounted: Mounted, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    files = make_files(source)
    with mounted(account) as mount:
        rsync(source, mount.path)
        mount.wait()
        files["b.mkv"] = pattern(100_000, 9)
        (source / "b.mkv").write_bytes(files["b.mkv"])
        changed = [line for line in rsync(source, mount.path) if line.startswith(">f")]
        assert [line.split(maxsplit=1)[1] for line in changed] == ["b.mkv"]
        mount.wait()
        assert (mount.path / "b.mkv").read_bytes() == files["b.mkv"]
        assert rsync(source, mount.path) == []
    assert at_host(simhost, account) == files


@pytest.mark.parametrize("account", ["vipstream", "xvs"])
def test_folders_are_made_filled_renamed_and_moved(
    account: str, simhost: Simhost, mounted: Mounted, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    files = make_files(source)
    with mounted(account) as mount:
        sh("mkdir", "-p", mount.path / "Films" / "Old", mount.path / "Series")
        sh("cp", "-p", source / "a film.mp4", source / "b.mkv", mount.path / "Films")
        sh("mv", mount.path / "Films" / "b.mkv", mount.path / "Films" / "Old" / "c.mkv")
        mount.wait()
        assert at_host(simhost, account) == {
            "Films/a film.mp4": files["a film.mp4"],
            "Films/Old/c.mkv": files["b.mkv"],
        }
        sh("mv", mount.path / "Films" / "a film.mp4", mount.path / "Series" / "d.mp4")
        sh("mv", mount.path / "Films" / "Old", mount.path / "Series" / "New")
        sh("rmdir", mount.path / "Films")
        assert at_host(simhost, account) == {
            "Series/d.mp4": files["a film.mp4"],
            "Series/New/c.mkv": files["b.mkv"],
        }
        assert folders_at_host(simhost, account) == {"Series", "Series/New"}
        assert simhost.calls(account)["upload"] == 2
        assert sorted(os.listdir(mount.path)) == ["Series"]
        sh("rm", "-r", mount.path / "Series")
        assert os.listdir(mount.path) == []
    assert at_host(simhost, account) == {}
    assert folders_at_host(simhost, account) == set()


def test_a_host_that_cannot_move_or_make_folders_says_so_and_mv_copies(
    simhost: Simhost, mounted: Mounted, tmp_path: Path
) -> None:
    files = make_files(tmp_path / "source")
    simhost.add_file("fruithosted", "there.mp4", b"there", folder="Films")
    with mounted("fruithosted") as mount:
        with pytest.raises(PermissionError):
            (mount.path / "New").mkdir()
        sh("cp", "-p", tmp_path / "source" / "b.mkv", mount.path)
        mount.wait()
        with pytest.raises(OSError, match="cross-device") as caught:
            (mount.path / "b.mkv").rename(mount.path / "Films" / "b.mkv")
        assert caught.value.errno == errno.EXDEV
        sh("mv", mount.path / "b.mkv", mount.path / "Films" / "c.mkv")
        mount.wait()
        assert os.listdir(mount.path) == ["Films"]
        sh("mv", mount.path / "Films" / "c.mkv", mount.path / "Films" / "d.mkv")
        assert sorted(os.listdir(mount.path / "Films")) == ["d.mkv", "there.mp4"]
    assert at_host(simhost, "fruithosted") == {
        "Films/there.mp4": b"there",
        "Films/d.mkv": files["b.mkv"],
    }


@pytest.mark.parametrize("account", READABLE)
def test_everything_comes_back_from_the_host(
    account: str, vidfs: Program, mounted: Mounted, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    files = make_files(source)
    with mounted(account) as mount:
        rsync(source, mount.path)
        mount.unmount()
    drop_cache(vidfs)
    with mounted(account) as mount:
        for name in files:
            sh("cmp", source / name, mount.path / name)
        back = tmp_path / "back"
        back.mkdir()
        rsync(mount.path, back)
        assert {file.name: file.read_bytes() for file in back.iterdir()} == files
        assert rsync(mount.path, back) == []


@pytest.mark.parametrize("account", READABLE)
def test_a_player_reads_a_film(
    account: str, vidfs: Program, mounted: Mounted, tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    sh(
        *("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=duration=3:size=320x240:rate=25"),
        *("-c:v", "mpeg4", "-b:v", "4M", film),
    )
    with mounted(account) as mount:
        sh("cp", film, mount.path)
        mount.unmount()
    drop_cache(vidfs)
    with mounted(account) as mount:
        show = ("-v", "error", "-count_packets", "-show_entries")
        what = "stream=nb_read_packets,width,duration"
        expected = sh("ffprobe", *show, what, film)
        assert "nb_read_packets=75" in expected
        assert sh("ffprobe", *show, what, mount.path / "film.mp4") == expected
