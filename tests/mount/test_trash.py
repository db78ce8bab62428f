"""The trash of hosts that can't delete: hidden from the mount, and back with one command."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.mount.mounting import Mounted, Program, Simhost

DIALECTS = ["doodstream", "vipstream", "fruithosted"]
ALL = ["F", "F/a.mp4", "F/s", "F/s/b.mp4", "F/s/t", "F/s/t/c.mp4", "x.mp4"]


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest, simhost: Simhost) -> str:
    name = str(request.param)
    for path in ("F/a.mp4", "F/s/b.mp4", "F/s/t/c.mp4", "x.mp4"):
        folder, _, title = path.rpartition("/")
        simhost.add_file(name, title, path.encode(), folder)
    return name


def rm(path: Path) -> None:
    subprocess.run(["rm", "-r", str(path)], check=True, timeout=60)


def paths(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


def trashed(vidfs: Program, dialect: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(vidfs.ok("trash", "list", "--json", dialect))[
        "entries"
    ]
    return entries


def test_a_folder_comes_back_with_all_that_was_removed_with_it(
    simhost: Simhost, vidfs: Program, mounted: Mounted, dialect: str
) -> None:
    with mounted(dialect) as mount:
        assert paths(mount.path) == ALL
        codes = {file["code"] for file in simhost.tree(dialect)["files"]}
        rm(mount.path / "F")
        assert paths(mount.path) == ["x.mp4"]
        mount.program.ok("refresh", str(mount.path))
        assert paths(mount.path) == ["x.mp4"]
        found = {f"{t['was_in'].rstrip('/')}/{t['name']}" for t in trashed(vidfs, dialect)}
        assert found == {f"/{path}" for path in ALL if path != "x.mp4"}
        # Part of it, with the folders that it was in …
        vidfs.ok("trash", "restore", dialect, "/F/s/b.mp4")
        assert paths(mount.path) == ["F", "F/s", "F/s/b.mp4", "x.mp4"]
        rm(mount.path / "F")
        # … and all.
        said = vidfs.ok("trash", "restore", dialect, "/F")
        assert f"c.mp4 is in {dialect}:/F/s/t" in said
        assert paths(mount.path) == ALL
        assert trashed(vidfs, dialect) == []
        rm(mount.path / "F")
    vidfs.ok("trash", "restore", dialect, "/F")
    with mounted(dialect) as mount:
        assert paths(mount.path) == ALL
    assert codes == {file["code"] for file in simhost.tree(dialect)["files"]}
    by_path = sorted(path for path in simhost.files(dialect) if path.endswith(".mp4"))
    assert by_path == [path for path in ALL if path.endswith(".mp4")]


def test_what_bears_the_name_by_now_keeps_it(
    simhost: Simhost, vidfs: Program, mounted: Mounted, dialect: str
) -> None:
    with mounted(dialect) as mount:
        code = simhost.files(dialect)["F/a.mp4"]["code"]
        rm(mount.path / "F/a.mp4")
        (mount.path / "F/a.mp4").write_bytes(b"a new one")
        mount.wait()
        said = vidfs.ok("trash", "restore", dialect, "a.mp4")
        assert f"a.mp4 is in {dialect}:/F as a [{code}].mp4" in said
        assert paths(mount.path / "F")[:2] == [f"a [{code}].mp4", "a.mp4"]
        os.utime(mount.path / "F/a.mp4", (1_600_000_000, 1_600_000_000))
        rm(mount.path / "F/a.mp4")
        vidfs.ok("trash", "restore", dialect, "a.mp4")
        found = (mount.path / "F/a.mp4").stat()
        assert (found.st_size, found.st_mtime) == (len(b"a new one"), 1_600_000_000)


def test_an_overwritten_film_can_be_had_back(
    simhost: Simhost, vidfs: Program, mounted: Mounted, dialect: str
) -> None:
    with mounted(dialect) as mount:
        first = simhost.files(dialect)["F/s/b.mp4"]["code"]
        (mount.path / "F/s/b.mp4").write_bytes(b"rewritten")
        mount.wait()
        second = simhost.files(dialect)["F/a.mp4"]["code"]
        (mount.path / "F/new.mp4").write_bytes(b"put over it")
        mount.wait()
        (mount.path / "F/new.mp4").rename(mount.path / "F/a.mp4")
        mount.wait()
        assert {(t["code"], t["was_in"]) for t in trashed(vidfs, dialect)} == {
            (first, "/F/s"), (second, "/F"),
        }  # fmt: skip
        vidfs.ok("trash", "restore", "--all", dialect)
        assert f"F/s/b [{first}].mp4" in paths(mount.path)
        assert f"F/a [{second}].mp4" in paths(mount.path)


def test_a_folder_that_is_gone_for_good_is_made_anew(
    simhost: Simhost, vidfs: Program, mounted: Mounted
) -> None:
    dialect = "vipstream"
    simhost.add_file(dialect, "b.mp4", b"film", "F/s")
    simhost.add_file(dialect, "a.mp4", b"film", "F")
    with mounted(dialect) as mount:
        rm(mount.path / "F/s")
        [folder] = [t for t in trashed(vidfs, dialect) if t["kind"] == "folder"]
        assert folder["was_in"] == "/F"
        simhost.request("DELETE", f"{dialect}/folders", path="vidfs trash/s")
        vidfs.ok("trash", "restore", dialect, "/F/s")
        assert paths(mount.path) == ["F", "F/a.mp4", "F/s", "F/s/b.mp4"]
