"""Extended attributes with the attr tools, on real mounts of every dialect."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.mount.mounting import Mounted, Simhost, until
from tests.mount.test_main_job import sh
from vidfs.hosts import HOSTS

DIALECTS = sorted(HOSTS)
FILES = 60

pytestmark = pytest.mark.skipif(not shutil.which("getfattr"), reason="needs Debian's attr")


def getfattr(where: Path, *args: str) -> dict[str, dict[str, str]]:
    """All attributes of all files that the words name, as `getfattr` shows them."""
    said = subprocess.run(
        ["getfattr", "-d", "-m", "-", *args],
        cwd=where, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert said.stderr == ""
    found = {}
    for block in filter(None, said.stdout.split("\n\n")):
        title, *lines = block.splitlines()
        pairs = (line.split("=", 1) for line in lines)
        found[title.removeprefix("# file: ")] = {
            name.removeprefix("user.vidfs."): value.strip('"') for name, value in pairs
        }
    return found


def setfattr(path: Path, name: str, value: str) -> None:
    subprocess.run(
        ["setfattr", "-n", f"user.vidfs.{name}", "-v", value, str(path)], check=True, timeout=60
    )


def get(path: Path, name: str) -> str:
    return os.getxattr(path, f"user.vidfs.{name}").decode()


def refuses(number: int, path: Path, name: str, value: str | None, flags: int = 0) -> None:
    """Setting it (None: removing it) must fail with *number*."""
    with pytest.raises(OSError) as caught:
        if value is None:
            os.removexattr(path, f"user.vidfs.{name}")
        else:
            os.setxattr(path, f"user.vidfs.{name}", value.encode(), flags)
    assert caught.value.errno == number, (name, value, caught.value)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_all_attributes_of_a_folder_take_no_call_per_file(
    simhost: Simhost, mounted: Mounted, dialect: str
) -> None:
    simhost.set(clock_offset_s=7200)
    for number in range(FILES):
        simhost.add_file(dialect, f"film {number:02}.mp4", b"x" * (number + 1), "F")
    with mounted(dialect) as mount:
        folder = mount.path / "F"
        names = sorted(os.listdir(folder))
        for name in names:
            os.stat(folder / name)
        simhost.reset_calls(dialect)
        found = getfattr(folder, *names)
        assert sum(simhost.calls(dialect).values()) <= 3, simhost.calls(dialect)
        assert sorted(found) == names
        can = HOSTS[dialect].capabilities
        wanted = {"code", "folder_id", "link", "uploaded", "upload"}
        wanted |= {"sha1"} if can.listing_hash else set()
        if can.edit_fields or dialect == "doodstream":
            wanted |= {"embed", "thumbnail", "length_s", "views", "can_play", "public"}
        if can.edit_fields:
            wanted |= {"adult", "premium_only", "category"}
        for file in simhost.tree(dialect)["files"]:
            attributes = found[file["title"]]
            assert attributes.keys() >= wanted, wanted - attributes.keys()
            assert attributes["code"] == file["code"]
            uploaded = datetime.fromisoformat(attributes["uploaded"])
            assert uploaded.utcoffset() == timedelta(0)
            assert abs(uploaded.timestamp() - file["uploaded"]) < 3
            assert abs(os.stat(folder / file["title"]).st_mtime - file["uploaded"]) < 3
        [folder_id] = {attributes["folder_id"] for attributes in found.values()}
        assert get(folder, "folder_id") == folder_id
        getfattr(mount.path, ".")
        if can.read_content:
            assert get(folder / names[7], "download").startswith("http")
        if can.thumbnails:
            assert get(folder / names[7], "thumbnail").startswith("http")
        if can.encodings:
            due = {"transcode_at": time.time() + 60}
            code = get(folder / names[7], "code")
            simhost.request("PATCH", f"{dialect}/files/{code}", due)
            assert get(folder / names[7], "encoding")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_the_host_can_edit_is_set_and_removed(
    simhost: Simhost, mounted: Mounted, dialect: str
) -> None:
    code = simhost.add_file(dialect, "a.mp4", b"film")
    simhost.add_file(dialect, "b.mp4", b"film")
    can = HOSTS[dialect].capabilities
    with mounted(dialect) as mount:
        path = mount.path / "a.mp4"
        values = {"public": "0", "adult": "1", "tags": "family, 2024", "category": "5",
                  "description": "two\nlines: ümläut 👩‍👧"}  # fmt: skip
        for name, value in values.items():
            if name not in can.edit_fields:
                refuses(errno.EOPNOTSUPP, path, name, value)
                continue
            setfattr(path, name, value)
            assert get(path, name) == value
            [file] = [f for f in simhost.tree(dialect)["files"] if f["code"] == code]
            assert str(file.get(name, value)) in (value, str(value == "1"))
        if can.edit_fields:
            refuses(errno.EINVAL, path, "public", "maybe")
            refuses(errno.EINVAL, path, "category", "comedy")
            refuses(errno.EEXIST, path, "tags", "other", os.XATTR_CREATE)
            refuses(errno.EPERM, path, "public", None)
            for name in ("tags", "description"):
                os.removexattr(path, f"user.vidfs.{name}")
                refuses(errno.ENODATA, path, name, None)
                refuses(errno.ENODATA, path, name, "new", os.XATTR_REPLACE)
                assert f"user.vidfs.{name}" not in os.listxattr(path)
        refuses(errno.EPERM, path, "code", "other")
        refuses(errno.EINVAL, path, "nonsense", "x")
        refuses(errno.EINVAL, path, "title", " ")
        os.setxattr(path, "user.vidfs.code", code.encode())  # what it is already
        with pytest.raises(OSError, match="not supported"):
            os.setxattr(path, "user.other", b"x")
        refuses(errno.ENODATA, path, "nonsense", None)
        # The title, and the name after it.
        setfattr(path, "title", "A new / title.mp4")
        until(lambda: sorted(os.listdir(mount.path)) == ["A new ／ title.mp4", "b.mp4"], "renamed")
        until(lambda: not path.exists(), "the old name gone")
        path = mount.path / "A new ／ title.mp4"
        assert get(path, "code") == code
        assert simhost.files(dialect)["A new / title.mp4"]["code"] == code
        setfattr(path, "title", "b.mp4")
        assert sorted(os.listdir(mount.path)) == [f"b [{code}].mp4", "b.mp4"]
        refuses(errno.EPERM, mount.path, "title", "x")
        if can.create_folder:
            (mount.path / "F").mkdir()
            setfattr(mount.path / "F", "title", "G")
            assert sorted(os.listdir(mount.path)) == ["G", f"b [{code}].mp4", "b.mp4"]
            refuses(errno.EOPNOTSUPP, mount.path / "G", "tags", "x")


def test_a_copy_with_attributes_keeps_its_own_title(simhost: Simhost, mounted: Mounted) -> None:
    with mounted("xvs") as mount:
        source, target = mount.path / "a.mp4", mount.path / "b.mp4"
        source.write_bytes(b"film")
        mount.wait()
        for _ in range(2):  # the second time *target* is at the host
            shutil.copy2(source, target)
            mount.wait()
            sh("cp", "-a", source, target)
            mount.wait()
            assert sorted(os.listdir(mount.path)) == ["a.mp4", "b.mp4"]
    assert sorted(simhost.files("xvs")) == ["a.mp4", "b.mp4"]
