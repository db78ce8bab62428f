"""What a desktop does to a mount: thumbnails, and GLib's file operations."""

from __future__ import annotations

import ctypes
import io
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.mount.mounting import Mounted, Program, Simhost, until
from vidfs.content.thumbnails import State, Subject, ThumbnailCache

FILMS = 200


def subject_of(file: Path) -> Subject:
    return Subject(str(file), int(file.stat().st_mtime))


@pytest.fixture
def thumbnails(vidfs: Program) -> ThumbnailCache:
    cache = vidfs.root / "desktop-cache"
    cache.mkdir()
    vidfs.environ["XDG_CACHE_HOME"] = str(cache)
    return ThumbnailCache(cache / "thumbnails")


def give_picture(simhost: Simhost, dialect: str, code: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (320, 180), (30, 30, 200)).save(out, "JPEG")
    (simhost.root / dialect / "pictures" / code).write_bytes(out.getvalue())


def open_folder(folder: Path, cache: ThumbnailCache) -> int:
    """As a file manager with its thumbnailer: how many films had to be read."""
    read = 0
    for file in folder.iterdir():
        if cache.state(subject_of(file)) is State.NONE:
            file.read_bytes()
            read += 1
    return read


def test_a_folder_of_films_is_shown_without_a_film_downloaded(
    simhost: Simhost, mounted: Mounted, thumbnails: ThumbnailCache
) -> None:
    simhost.request("POST", "xvs/populate", folders=1, files=FILMS, size=5_000_000)
    with mounted("xvs", thumbnails=True) as mount:
        [folder] = mount.path.iterdir()
        assert open_folder(folder, thumbnails) == 0
        files = list(folder.iterdir())
        assert len(files) == FILMS
        until(
            lambda: all(thumbnails.state(subject_of(file)) is State.PICTURE for file in files),
            "the pictures",
        )
    assert simhost.calls("xvs").get("download", 0) == 0
    with mounted("xvs") as mount:
        shutil.rmtree(mount.program.root / "desktop-cache")
        assert open_folder(folder, thumbnails) == FILMS, "the test doesn't see downloads"
    assert simhost.calls("xvs")["download"] >= FILMS


def test_glib_takes_the_thumbnail_for_valid(
    simhost: Simhost, mounted: Mounted, vidfs: Program, thumbnails: ThumbnailCache
) -> None:
    if shutil.which("gio") is None:
        pytest.skip("gio is not installed")
    code = simhost.add_file("fruithosted", "ä film [1].mp4", b"film" * 1000)
    give_picture(simhost, "fruithosted", code[::-1])
    with mounted("fruithosted", thumbnails=True) as mount:
        [file] = mount.path.iterdir()
        until(lambda: thumbnails.state(subject_of(file)) is State.PICTURE, "the picture")
        done = subprocess.run(
            ["gio", "info", "-a", "thumbnail::*", str(file)],
            env=vidfs.environ,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    assert "thumbnail::is-valid: TRUE" in done.stdout


def test_thumbnails_follow_what_becomes_of_a_file(
    simhost: Simhost, mounted: Mounted, thumbnails: ThumbnailCache
) -> None:
    for title in ("a.mp4", "b.mp4", "c.mp4"):
        simhost.add_file("xvs", title, b"film")
    with mounted("xvs", thumbnails=True) as mount:
        a, b, c = sorted(mount.path.iterdir())
        old_a, old_b = subject_of(a), subject_of(b)
        subjects = [subject_of(file) for file in (a, b, c)]
        until(lambda: {thumbnails.state(s) for s in subjects} == {State.PICTURE}, "the pictures")
        a.rename(mount.path / "new.mp4")
        b.unlink()
        assert thumbnails.state(old_a) is thumbnails.state(old_b) is State.NONE
        assert thumbnails.state(subject_of(mount.path / "new.mp4")) is State.PICTURE
        subprocess.run(["touch", "-d", "2001-02-03", str(c)], check=True)
        assert thumbnails.state(subject_of(c)) is State.NONE
        list(mount.path.iterdir())
        until(lambda: thumbnails.state(subject_of(c)) is State.PICTURE, "the picture anew")


def test_a_film_without_a_picture_is_not_read_either(
    simhost: Simhost, mounted: Mounted, thumbnails: ThumbnailCache
) -> None:
    simhost.add_file("streamtape", "a.mp4", b"film")
    simhost.fault("streamtape:file/getsplash:status=500")
    simhost.reset_calls("streamtape")
    with mounted("streamtape", thumbnails=True) as mount:
        assert open_folder(mount.path, thumbnails) == 0
        [file] = mount.path.iterdir()
        assert thumbnails.state(subject_of(file)) is State.PLACEHOLDER
    assert simhost.calls("streamtape").get("download", 0) == 0


def test_a_walk_over_many_folders_makes_few_thumbnails(
    simhost: Simhost, mounted: Mounted, thumbnails: ThumbnailCache, vidfs: Program
) -> None:
    simhost.request("POST", "vipstream/populate", folders=100, files=300)
    with mounted("vipstream", thumbnails=True) as mount:
        started = time.monotonic()
        assert len(list(mount.path.glob("*/*"))) == 300
        if time.monotonic() - started > 5:
            pytest.skip("this machine is too busy for a walk")
        made = {file.name for file in (vidfs.root / "desktop-cache").rglob("*.png")}
        assert 3 <= len(made) <= 100


def gio(*words: object) -> subprocess.CompletedProcess[str]:
    if shutil.which("gio") is None:
        pytest.skip("gio is not installed")
    return subprocess.run(
        ["gio", *map(str, words)], capture_output=True, text=True, timeout=30, check=False
    )


def test_glibs_file_operations_work(
    simhost: Simhost, mounted: Mounted, vidfs: Program, tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"film" * 100_000)
    with mounted("xvs") as mount:
        steps = [
            gio("mkdir", mount.path / "Films"),
            gio("copy", film, mount.path / "Films"),
            gio("rename", mount.path / "Films/film.mp4", "b.mp4"),
            gio("copy", mount.path / "Films/b.mp4", mount.path / "c.mp4"),
            gio("move", mount.path / "c.mp4", mount.path / "Films/d.mp4"),
            gio("remove", mount.path / "Films/b.mp4"),
        ]
        assert [(step.returncode, step.stderr) for step in steps] == [(0, "")] * len(steps)
        listed = gio("list", "-l", mount.path / "Films").stdout
        assert listed == "d.mp4\t400000\t(regular)\n"
        assert "filesystem::type: fuse" in gio("info", "-f", mount.path).stdout
        mount.wait()
    assert {path: file["size"] for path, file in simhost.files("xvs").items()} == {
        "Films/d.mp4": 400_000
    }


@pytest.mark.parametrize("other_files", ["reject", "upload"])
def test_there_is_no_trash_can_and_nothing_is_lost(
    simhost: Simhost, mounted: Mounted, other_files: str
) -> None:
    simhost.add_file("xvs", "a.mp4", b"film")
    with mounted("xvs", other_files=other_files) as mount:
        done = gio("trash", mount.path / "a.mp4")
        assert (done.returncode, done.stdout) == (1, "")
        assert "Unable to find or create trash directory" in done.stderr
        with pytest.raises(PermissionError):
            (mount.path / ".Trash").mkdir()
        (mount.path / "Films").mkdir()
        (mount.path / "Films" / ".Trash-1000").mkdir()
        (mount.path / ".Trashy").mkdir()
        assert (mount.path / "a.mp4").read_bytes() == b"film"
    assert {folder["path"] for folder in simhost.tree("xvs")["folders"]} == {
        *("Films", "Films/.Trash-1000", ".Trashy")
    }


def test_file_managers_are_told_of_new_pictures(
    simhost: Simhost, mounted: Mounted, thumbnails: ThumbnailCache
) -> None:
    """They watch the folder, and look at a file again when its attributes change."""
    simhost.add_file("xvs", "a.mp4", b"film")
    libc = ctypes.CDLL(None, use_errno=True)
    attributes_changed = 0x4
    with mounted("xvs", thumbnails=True) as mount:
        watch = libc.inotify_init1(os.O_NONBLOCK)
        libc.inotify_add_watch(watch, os.fsencode(mount.path), attributes_changed)
        before = (mount.path / "a.mp4").stat()
        assert [file.name for file in mount.path.iterdir()] == ["a.mp4"]
        assert until(lambda: select.select([watch], [], [], 0)[0], "the event")
        assert b"a.mp4\0" in os.read(watch, 4096)
        os.close(watch)
        assert thumbnails.state(subject_of(mount.path / "a.mp4")) is State.PICTURE
        after = (mount.path / "a.mp4").stat()
        assert (after.st_mode, after.st_mtime) == (before.st_mode, before.st_mtime)
