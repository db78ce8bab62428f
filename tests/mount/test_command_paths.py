"""The commands that ask the host, given paths inside a mount."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.mount.mounting import Mount, Mounted, Program, Simhost, until


def ask(vidfs: Program, *args: str | Path) -> Any:
    return json.loads(vidfs.ok(*(str(arg) for arg in args), "--json"))


@pytest.fixture
def films(simhost: Simhost) -> dict[str, str]:
    return {
        title: simhost.add_file("vipstream", title, b"x" * 100, "Films")
        for title in ("a film", "b.mp4")
    }


def test_a_path_in_a_mount_needs_no_call_to_find_the_code(
    vidfs: Program, simhost: Simhost, mounted: Mounted, films: dict[str, str]
) -> None:
    with mounted("vipstream") as mount:
        names = sorted(path.name for path in (mount.path / "Films").iterdir())
        assert names == ["a film.mp4", "b.mp4"]
        simhost.reset_calls("vipstream")
        [link] = ask(vidfs, "link", mount.path / "Films/a film.mp4")["links"]
        assert link["code"] == films["a film"]
        assert link["path"] == str(mount.path / "Films/a film.mp4")
        # At most what tells the attributes of all the folder's files at once.
        assert simhost.calls("vipstream") in ({}, {"file/info": 1})
        entries = ask(vidfs, "ls", mount.path / "Films")["entries"]
        assert [entry["name"] for entry in entries] == names
        assert "folder/list" in simhost.calls("vipstream")


def test_a_mount_of_a_folder_and_its_account_are_the_same_place(
    vidfs: Program, mounted: Mounted, films: dict[str, str]
) -> None:
    with mounted("vipstream", folder="Films") as mount:
        inside = ask(vidfs, "ls", mount.path)["entries"]
        assert {entry["code"] for entry in inside} == set(films.values())
        assert vidfs.ok("ls", str(mount.path)) == vidfs.ok("ls", "vipstream:/Films")


def test_changes_made_beside_a_mount_show_in_it(
    vidfs: Program, mounted: Mounted, films: dict[str, str]
) -> None:
    with mounted("vipstream") as mount:
        folder = mount.path / "Films"
        (folder / "mine.mp4").write_bytes(b"just uploaded")
        mount.wait()
        vidfs.ok("edit", "--title", "Better.mp4", str(folder / "mine.mp4"))
        until(lambda: (folder / "Better.mp4").exists(), "the new name")
        assert not (folder / "mine.mp4").exists()
        vidfs.ok("clone", str(folder / "b.mp4"), str(folder / "c.mp4"))
        until(lambda: (folder / "c.mp4").exists(), "the clone")


def test_what_rm_trashed_comes_back_at_once(
    vidfs: Program, mounted: Mounted, films: dict[str, str]
) -> None:
    with mounted("vipstream") as mount:
        film = mount.path / "Films/a film.mp4"
        film.unlink()
        [entry] = until(lambda: trash_of(vidfs, mount), "the file in the trash")
        assert (entry["name"], entry["was_in"]) == ("a film.mp4", "/Films")
        vidfs.ok("trash", "restore", str(mount.path), "a film.mp4")
        until(film.exists, "the file where it was")
        assert trash_of(vidfs, mount) == []


def trash_of(vidfs: Program, mount: Mount) -> Any:
    return ask(vidfs, "trash", "list", mount.path)["entries"]


def test_what_is_not_at_the_host_yet_is_said_to_be_so(
    vidfs: Program, simhost: Simhost, mounted: Mounted
) -> None:
    simhost.fault("vipstream:upload:slow=60000")
    with mounted("vipstream") as mount:
        (mount.path / "new.mp4").write_bytes(b"on its way")
        assert "not at the host yet" in vidfs.fails("link", str(mount.path / "new.mp4"), code=9)
        vidfs.fails("show", str(mount.path / "none.mp4"), code=9)
        simhost.clear_faults()


def test_the_demo_account_shares_the_host_of_its_mount(vidfs: Program, mounted: Mounted) -> None:
    with mounted("demo") as mount:
        (mount.path / "film.mp4").write_bytes(b"a film")
        mount.wait()
        assert vidfs.ok("ls", "demo:/") == "film.mp4\n"
        assert ask(vidfs, "ls", mount.path)["entries"][0]["size_bytes"] == 6
