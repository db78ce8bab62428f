"""`mv` of folders on hosts that can only move files, on real mounts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.mount.mounting import Mounted, Simhost, until

BY_FILES = ["doodstream", "pstream", "streamtape"]


def paths(top: Path) -> list[str]:
    """Of all files and folders below *top*."""
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


def mv(*args: Path | str) -> None:
    subprocess.run(["mv", *map(str, args)], check=True, timeout=60)


def at_host(simhost: Simhost, dialect: str) -> list[str]:
    """Paths of the files, without what a host that can't delete keeps out of sight; with the
    extension that some strip."""
    kept = (path for path in simhost.files(dialect) if "vidfs-trash~" not in path)
    return sorted(path.removesuffix(".mp4") + ".mp4" for path in kept)


@pytest.mark.parametrize("dialect", BY_FILES)
def test_mv_of_a_tree_survives_a_kill_in_the_middle(
    simhost: Simhost, mounted: Mounted, dialect: str
) -> None:
    for number in range(12):
        simhost.add_file(dialect, f"film {number}.mp4", b"film %d" % number, "M/a")
        simhost.add_file(dialect, f"film {number}.mp4", b"inner %d" % number, "M/a/s/t")
    wanted = ["M", "M/b", "M/b/a", "M/b/a/s", "M/b/a/s/t", "M/b/a/new.mp4"]
    for number in range(12):
        wanted += [f"M/b/a/film {number}.mp4", f"M/b/a/s/t/film {number}.mp4"]
    wanted.sort()
    with mounted(dialect) as mount:
        top = mount.path
        (top / "M" / "b").mkdir()
        inode = (top / "M/a/s/t/film 3.mp4").stat().st_ino
        (top / "M/a/new.mp4").write_bytes(b"not at the host yet")
        simhost.set(latency_ms=100.0)
        mover = subprocess.Popen(["mv", str(top / "M/a"), str(top / "M/b/")])
        until(
            lambda: any(path.startswith("M/b/a/film") for path in at_host(simhost, dialect)),
            "files begin to follow",
        )
        mount.kill()
        mover.wait(30)
        assert any(path.startswith("M/a/") for path in at_host(simhost, dialect))
        subprocess.run(["fusermount3", "-uz", str(top)], check=True)
    simhost.set(latency_ms=0.0)
    with mounted(dialect) as mount:
        assert paths(mount.path) == wanted
        mount.wait()
        assert at_host(simhost, dialect) == [path for path in wanted if path.endswith(".mp4")]
        assert paths(mount.path) == wanted
        assert (mount.path / "M/b/a/s/t/film 3.mp4").stat().st_ino == inode
        # Back again under another name, and then away with it.
        mv(mount.path / "M/b/a", mount.path / "c")
        assert not (mount.path / "M/b/a").exists()
        assert len(os.listdir(mount.path / "c")) == 14
        mount.wait()
        subprocess.run(["rm", "-r", str(mount.path / "c")], check=True, timeout=60)
        assert paths(mount.path) == ["M", "M/b"]


def test_mv_reports_what_the_host_refuses(simhost: Simhost, mounted: Mounted) -> None:
    for name in ("one.mp4", "two.mp4"):
        simhost.add_file("streamtape", name, name.encode(), "M/a")
    with mounted("streamtape") as mount:
        (mount.path / "M" / "b").mkdir()
        os.listdir(mount.path / "M/a")
        before = paths(mount.path)
        simhost.fault("streamtape:file/move:status=403")
        done = subprocess.run(
            ["mv", str(mount.path / "M/a"), str(mount.path / "M/b/")],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1, done
        assert "cannot move" in done.stderr
        simhost.clear_faults()
        mount.wait()
        until(lambda: paths(mount.path) == before, "all is shown where it was")
        assert at_host(simhost, "streamtape") == ["M/a/one.mp4", "M/a/two.mp4"]
        mv(mount.path / "M/a", mount.path / "M/b/")
        assert "M/b/a/two.mp4" in paths(mount.path)
