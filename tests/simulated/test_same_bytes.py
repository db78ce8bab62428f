"""A file that is written anew with the bytes that it has stays what it is at the host."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable

import pytest

from tests.simulated.model import DIALECTS
from tests.simulated.rig import Rig, run
from vidfs.types import ROOT_INODE, JobState

FILM = b"some film" * 1000
OTHER = b"other film" * 900
MTIME_NS = 1_500_000_000 * 10**9

ALL = pytest.mark.parametrize("dialect", DIALECTS, indirect=True)

Rewrite = Callable[[Rig], Awaitable[None]]


async def open_again(rig: Rig) -> int:
    attr = await rig.volume.lookup(ROOT_INODE, "a.mp4")
    assert attr is not None
    fh = await rig.volume.open(attr.inode, os.O_WRONLY | os.O_TRUNC)
    await rig.volume.files.write(fh, 0, FILM)
    return fh


async def truncate_and_write(rig: Rig) -> None:
    """As `cp` does."""
    await rig.close(await open_again(rig))


async def rename_over(rig: Rig) -> None:
    """As rsync does."""
    await rig.write(".a.mp4.Xy12", FILM)
    await rig.rename(".a.mp4.Xy12", "a.mp4")


REWRITES = pytest.mark.parametrize("rewrite", [truncate_and_write, rename_over])


async def set_mtime(rig: Rig) -> None:
    attr = await rig.volume.lookup(ROOT_INODE, "a.mp4")
    assert attr is not None
    rig.volume.set_times(attr.inode, mtime_ns=MTIME_NS, atime_ns=None)


def row(rig: Rig) -> dict[str, object]:
    """What the host has of the only file there is, trash included."""
    [file] = rig.host.tree(rig.dialect)["files"]
    return {name: value for name, value in file.items() if name != "views"}


@REWRITES
def test_what_is_so_new_that_only_listings_show_it_is_not_sent_again(
    rig: Rig, rewrite: Rewrite
) -> None:
    rig.host.set(new_file_404_ms=60_000.0)

    async def main() -> None:
        async with rig.open():
            await rig.write("a.mp4", FILM)
            await rig.settle()
            before = row(rig)
            await rewrite(rig)
            await rig.settle()
            assert row(rig) == before

    run(main)
    assert rig.uploads() == 1


@ALL
@REWRITES
def test_nothing_is_sent_and_nothing_changes(rig: Rig, rewrite: Rewrite) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", FILM)
            await rig.settle()
            before = row(rig)
            rig.host.reset_calls(rig.dialect)
            await rewrite(rig)
            await set_mtime(rig)
            await rig.settle()
            assert row(rig) == before
            calls = rig.host.calls(rig.dialect)
            assert calls == {"file/info": 2}, calls
            await volume.refresh("")
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            assert (attr.mtime_ns, attr.size_bytes) == (MTIME_NS, len(FILM))
            assert await rig.read("a.mp4") == FILM
            assert await volume.load_attribute(attr.inode, "user.vidfs.code") == before["code"]
            # And from here on it is a file as any other.
            await rig.write("a.mp4", OTHER)
            await rig.settle()
            await rig.rename("a.mp4", "b.mp4")
            await volume.refresh("")
            assert await rig.names() == ["b.mp4"]

    run(main)
    assert rig.at_host() == {"b.mp4": OTHER}


@REWRITES
@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.CONFIRMING])
def test_killed_in_between_it_stays_all_the_same(
    rig: Rig, rewrite: Rewrite, state: JobState
) -> None:
    before = {}

    async def main() -> None:
        async with rig.open():
            await rig.write("a.mp4", FILM)
            await rig.settle()
            before.update(row(rig))
            rig.fault("file/info", f"hang:after={int(state is JobState.CONFIRMING)}")
            await rewrite(rig)
            await rig.until_state(state)
            if state is JobState.QUEUED:
                await rig.until(lambda: rig.host.calls(rig.dialect)["file/info"] > 1)
            rig.kill()
        rig.host.clear_faults()
        async with rig.open() as volume:
            assert await rig.read("a.mp4") == FILM
            await rig.settle()
            await volume.refresh("")
            assert await rig.names() == ["a.mp4"]

    run(main)
    assert row(rig) == before
    assert rig.uploads() == 1


@REWRITES
@pytest.mark.parametrize("dialect", ["xvs", "fruithosted", "streamtape"], indirect=True)
def test_a_film_that_the_host_converted_is_not_sent_again(rig: Rig, rewrite: Rewrite) -> None:
    rig.host.set(transcode=True, transcode_delay_s=0.0)

    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", FILM)
            await rig.settle()
            sha1 = hashlib.sha1(FILM, usedforsecurity=False).hexdigest()
            await rig.until(lambda: row(rig)["sha1"] != sha1)
            await volume.refresh("")
            before = row(rig)
            await rewrite(rig)
            await rig.settle()
            after = row(rig)
            assert (after["code"], after["sha1"]) == (before["code"], before["sha1"])

    run(main)
    assert rig.uploads() == 1


@REWRITES
@pytest.mark.parametrize("dialect", ["fruithosted", "pstream"], indirect=True)
def test_bytes_that_the_listing_tells_the_hash_of_are_not_sent(rig: Rig, rewrite: Rewrite) -> None:
    rig.host.add_file(rig.dialect, "a.mp4", FILM)
    before = row(rig)

    async def main() -> None:
        async with rig.open():
            await rig.names()
            await rewrite(rig)
            await rig.settle()

    run(main)
    assert row(rig) == before
    assert rig.uploads() == 0


@REWRITES
def test_what_is_gone_from_the_host_is_sent(rig: Rig, rewrite: Rewrite) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", FILM)
            await rig.settle()
            code = row(rig)["code"]
            rig.host.request("DELETE", f"{rig.dialect}/files/{code}")
            await rewrite(rig)
            await rig.settle()
            await volume.refresh("")
            assert await rig.names() == ["a.mp4"]

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}
    assert rig.uploads() == 2


@REWRITES
def test_renamed_meanwhile_it_gets_its_new_name(rig: Rig, rewrite: Rewrite) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", FILM)
            await rig.settle()
            code = row(rig)["code"]
            rig.fault("file/info", "slow=200")
            await rewrite(rig)
            await rig.rename("a.mp4", "b.mp4")
            await rig.settle()
            await volume.refresh("")
            assert await rig.names() == ["b.mp4"]
            assert row(rig)["code"] == code

    run(main)
    assert rig.at_host() == {"b.mp4": FILM}
    assert rig.uploads() == 1


@pytest.mark.parametrize(
    "dialect", [name for name in DIALECTS if name != "fruithosted"], indirect=True
)
@pytest.mark.parametrize("killed", [False, True])
def test_moved_meanwhile_it_gets_to_its_new_place(rig: Rig, killed: bool) -> None:
    async def main() -> None:
        code = ""
        async with rig.open() as volume:
            films = (await volume.make_folder(ROOT_INODE, "Films")).inode
            await rig.write("a.mp4", FILM)
            await rig.settle()
            code = str(row(rig)["code"])
            fh = await open_again(rig)
            await rig.rename("a.mp4", "a.mp4", new_parent=films)
            if killed:
                rig.fault("file/info", "hang")
            await rig.close(fh)
            if killed:
                await rig.until_state(JobState.QUEUED)
                rig.kill()
            else:
                await rig.settle()
        rig.host.clear_faults()
        async with rig.open():
            await rig.settle()
        assert row(rig)["code"] == code

    run(main)
    assert rig.at_host() == {"Films/a.mp4": FILM}
    assert rig.uploads() == 1


def test_back_to_the_old_bytes_while_others_are_sent_leaves_the_old_file(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", FILM)
            await rig.settle()
            code = row(rig)["code"]
            rig.fault("upload", "slow=200:times=1")
            await rig.write("a.mp4", OTHER)
            await rig.until_state(JobState.SENDING)
            await rig.until(lambda: rig.uploads() == 2)
            await rig.write("a.mp4", FILM)
            await rig.settle()
            await volume.refresh("")
            assert await rig.names() == ["a.mp4"]
            [file] = [f for f in rig.host.tree(rig.dialect)["files"] if f["code"] == code]
            assert rig.at_host() == {"a.mp4": FILM}, file

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}
