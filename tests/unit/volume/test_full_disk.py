"""A state disk that is full when names change: nothing is half done."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.unit.fakes import raising
from tests.unit.volume.test_volume import NEW, Rig, held, run
from vidfs.errors import HostUnreachableError, NoAttributeError, SpoolFullError
from vidfs.tree.store import _Connection
from vidfs.types import ROOT_INODE


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


class Disk:
    """From when it is `full`, no transaction can be committed while *path* takes room."""

    full = False
    refused = 0

    def __init__(self, path: Path | None) -> None:
        self.path = path


@pytest.fixture
def disk(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(None)
    execute = _Connection.execute

    def commit_if_there_is_room(self: _Connection, sql: str, *args: object) -> object:
        if sql == "COMMIT" and disk.full and (disk.path is None or disk.path.exists()):
            disk.refused += 1
            raise SpoolFullError("full")
        return execute(self, sql, *args)

    monkeypatch.setattr(_Connection, "execute", commit_if_there_is_room)
    return disk


def test_a_file_that_cannot_be_removed_is_still_there_and_still_goes_up(
    rig: Rig, disk: Disk
) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            gate = trio.Event()
            rig.host.on("upload", held(gate))
            await rig.write("a.mp4", b"film")
            await rig.until(lambda: rig.host.calls["upload"] == 1)
            disk.full = True
            with pytest.raises(SpoolFullError):
                await volume.unlink(ROOT_INODE, "a.mp4")
            disk.full = False
            assert disk.refused == 2  # without and with its reserve
            assert await rig.names() == ["a.mp4"]
            assert await rig.read("a.mp4") == b"film"
            gate.set()
            await volume.wait_uploads()
            assert rig.host.calls["upload"] == 1
        async with rig.open():
            assert await rig.names() == ["a.mp4"]
            assert rig.at_host() == {"a.mp4": b"film"}

    run(main)


@pytest.mark.parametrize("queued", [True, False])
def test_a_truncation_that_fails_keeps_the_file_on_its_way(
    rig: Rig, queued: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A film of which a part is at the host waits for a person: which part may not be known."""

    def full(size_bytes: int) -> None:
        raise SpoolFullError("full")

    async def main() -> None:
        rig.host.on("upload", raising(HostUnreachableError("away")))
        if not queued:
            rig.host.add("a.mp4", b"film")
        async with rig.open() as volume:
            if queued:
                await rig.write("a.mp4", b"film")
            await volume.ensure_listed(ROOT_INODE)
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            node = volume.tree.get(attr.inode)
            if not queued:
                await volume.files.truncate(node, 3)
            local = volume.writeback.find(attr.inode)
            assert local is not None
            with monkeypatch.context() as patched:
                patched.setattr(local.file, "truncate", full)
                with pytest.raises(SpoolFullError):
                    await volume.files.truncate(node, 2)
            assert await volume.wait_uploads() == (0 if queued else 1)
            if not queued:
                volume.retry()
                assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": b"film" if queued else b"fil"}


def test_a_known_folder_is_listed_although_what_the_host_says_of_it_cannot_be_kept(
    rig: Rig, disk: Disk
) -> None:
    async def main() -> None:
        async with rig.open(dir_ttl_s=0, dir_stale_s=0) as volume:
            await rig.write("a.mp4", b"film")
            await volume.wait_uploads()
            disk.full = True
            assert await rig.names() == ["a.mp4"]
            assert disk.refused
            disk.full = False
            assert await rig.names() == ["a.mp4"]

    run(main)


def test_a_film_is_read_although_what_the_host_says_of_it_cannot_be_kept(
    rig: Rig, disk: Disk
) -> None:
    rig.host.says_sizes = False
    rig.host.add("a.mp4", b"film")

    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            disk.full = True
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            assert attr.size_bytes == len(b"film")
            assert await rig.read("a.mp4") == b"film"
            with pytest.raises(NoAttributeError):  # and not "no space left"
                await volume.load_attribute(attr.inode, "user.vidfs.status")
            disk.full = False

    run(main)
    assert disk.refused


def test_a_file_that_cannot_be_replaced_leaves_both_as_they_were(rig: Rig, disk: Disk) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            rig.host.on("upload", *[raising(HostUnreachableError("away"))] * 2)
            await rig.write("a.mp4", b"old")
            await rig.write("b.mp4", b"new one")
            disk.full = True
            with pytest.raises(SpoolFullError):
                await volume.rename(ROOT_INODE, "b.mp4", ROOT_INODE, "a.mp4", replace=True)
            disk.full = False
            assert await rig.names() == ["a.mp4", "b.mp4"]
            assert (await rig.read("a.mp4"), await rig.read("b.mp4")) == (b"old", b"new one")
            volume.retry()
            await volume.wait_uploads()
            assert rig.at_host() == {"a.mp4": b"old", "b.mp4": b"new one"}
            await volume.rename(ROOT_INODE, "b.mp4", ROOT_INODE, "a.mp4", replace=True)
            await volume.wait_uploads()
        async with rig.open():
            assert await rig.names() == ["a.mp4"]
            assert rig.at_host() == {"a.mp4": b"new one"}

    run(main)


def test_a_reserve_lets_a_file_be_removed_from_a_full_disk(rig: Rig, disk: Disk) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            disk.path = rig.tmp_path / "state" / "catalogue.sqlite-reserve"
            rig.host.on("upload", raising(HostUnreachableError("away")))
            await rig.write("a.mp4", b"film")
            disk.full = True
            await volume.unlink(ROOT_INODE, "a.mp4")
            disk.full = False
            assert disk.refused == 1
            assert disk.path.exists()  # there is room for another
            assert await rig.names() == []
            await volume.wait_uploads()
            assert rig.at_host() == {}

    run(main)


@pytest.fixture
def small(rig: Rig) -> Iterator[Path]:
    """The state directory on a real disk of 8 MiB."""
    state = rig.tmp_path / "state"
    state.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(state)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield state
    subprocess.run(["umount", "-l", str(state)], check=True)


def test_rm_works_on_a_disk_that_is_really_full(rig: Rig, small: Path) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            rig.host.on("upload", *[raising(HostUnreachableError("away"))] * 20)
            for number in range(3):
                await rig.write(f"{number}.mp4", os.urandom(1 << 20))
            fh, _ = await volume.create(ROOT_INODE, "big.mp4", NEW)
            with pytest.raises(SpoolFullError):
                for block in range(64):
                    await volume.files.write(fh, block << 17, os.urandom(1 << 17))
            fill = (small / "fill").open("wb", buffering=0)
            with pytest.raises(OSError, match="No space"):
                while True:
                    fill.write(bytes(512))
            fill.close()
            volume.files.release(fh)
            await volume.unlink(ROOT_INODE, "big.mp4")
            await volume.unlink(ROOT_INODE, "0.mp4")
            await rig.write("3.mp4", b"there is room again")
            assert await rig.names() == ["1.mp4", "2.mp4", "3.mp4"]

    run(main)


def test_a_listing_that_cannot_be_kept_takes_nothing_from_those_who_have_it_open(
    rig: Rig, disk: Disk
) -> None:
    films = rig.host.add_folder("Films")
    inside = rig.host.add("a.mp4", b"film", films)
    gone = rig.host.add("gone.mp4", b"gone")

    async def main() -> None:
        async with rig.open(dir_ttl_s=0, dir_stale_s=0) as volume:
            folder, left = [await volume.lookup(ROOT_INODE, n) for n in ("Films", "gone.mp4")]
            assert folder is not None
            assert left is not None
            fh = await rig.open_file("a.mp4", os.O_RDONLY, folder.inode)
            rig.host.change(inside, folder=rig.host.root)
            rig.host.folders.clear()
            del rig.host.stored[gone]
            disk.full = True
            assert await rig.names() == ["Films", "gone.mp4"]
            assert disk.refused
            again = await volume.lookup(folder.inode, "a.mp4")
            assert again is not None
            for inode in (left.inode, again.inode):  # neither is stale
                volume.files.release(await volume.open(inode, os.O_RDONLY))
            assert await volume.files.read(fh, 0, 9) == b"film"
            disk.full = False
            assert await rig.names() == ["a.mp4"]
            moved = await volume.lookup(ROOT_INODE, "a.mp4")
            assert moved is not None
            assert moved.inode == again.inode
            assert await volume.files.read(fh, 0, 9) == b"film"
            volume.files.release(fh)

    run(main)
