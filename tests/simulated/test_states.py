"""Whatever is done to a file in whatever state of its upload: the host ends with what was
closed last, under the name it has, once."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.simulated.model import DIALECTS
from tests.simulated.rig import Rig, run
from vidfs.types import ROOT_INODE, JobState

OPENLOAD = ("fruithosted", "pstream", "streamtape")

OLD, FILM, NEWER = b"an older film", b"some film" * 1000, b"newer"

STATES = [
    JobState.SEALED,
    JobState.QUEUED,
    JobState.SENDING,
    JobState.CONFIRMING,
    JobState.PARKED,
    JobState.DONE,
]


@pytest.fixture(params=STATES)
def state(request: pytest.FixtureRequest) -> JobState:
    state: JobState = request.param
    return state


@pytest.fixture(params=["new", "replacing"])
def replaces(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "replacing")


@asynccontextmanager
async def film_in(rig: Rig, state: JobState) -> AsyncIterator[None]:
    """`a.mp4` closed with FILM, its job in *state*; at the end of the block it may go on."""
    server = "file/ul" if rig.dialect in OPENLOAD else "upload/server"
    if state is JobState.QUEUED:
        rig.fault(server, "status=500")
    elif state is JobState.SENDING:
        rig.fault("upload", "slow=200")
    elif state is JobState.CONFIRMING:
        rig.fault("file/info", "slow=200")
    elif state is JobState.PARKED:
        rig.fault("upload", "refuse=unallowed extension")
    await rig.write("a.mp4", FILM)
    if state is JobState.DONE:
        await rig.settle()
    else:
        await rig.until_state(state)
    yield
    rig.host.clear_faults()


def prepare(rig: Rig, replaces: bool) -> None:
    if replaces:
        rig.host.add_file(rig.dialect, "a.mp4", OLD)


def assert_sent_once(rig: Rig, state: JobState) -> None:
    """But for the attempt that was refused."""
    assert rig.uploads() == (2 if state is JobState.PARKED else 1)


def test_it_is_renamed(rig: Rig, state: JobState, replaces: bool) -> None:
    prepare(rig, replaces)

    async def main() -> None:
        async with rig.open():
            async with film_in(rig, state):
                await rig.rename("a.mp4", "b.mp4")
                assert await rig.read("b.mp4") == FILM
            await rig.settle()
            await rig.volume.refresh("")
            assert await rig.names() == ["b.mp4"]

    run(main)
    assert rig.at_host() == {"b.mp4": FILM}
    assert_sent_once(rig, state)


def test_it_is_removed(rig: Rig, state: JobState, replaces: bool) -> None:
    prepare(rig, replaces)

    async def main() -> None:
        async with rig.open() as volume:
            async with film_in(rig, state):
                await rig.unlink("a.mp4")
            await rig.settle()
            await rig.volume.refresh("")
            assert await rig.names() == []
            assert volume.status().uploads == []

    run(main)
    assert rig.at_host() == {}


def test_it_is_written_again(rig: Rig, state: JobState, replaces: bool) -> None:
    prepare(rig, replaces)

    async def main() -> None:
        async with rig.open():
            async with film_in(rig, state):
                await rig.write("a.mp4", NEWER)
            await rig.settle()
            await rig.volume.refresh("")
            assert await rig.names() == ["a.mp4"]
            assert await rig.read("a.mp4") == NEWER

    run(main)
    assert rig.at_host() == {"a.mp4": NEWER}


def test_another_takes_its_place(rig: Rig, state: JobState, replaces: bool) -> None:
    prepare(rig, replaces)

    async def main() -> None:
        async with rig.open():
            async with film_in(rig, state):
                await rig.write(".a.mp4.Xy12", NEWER)
                await rig.rename(".a.mp4.Xy12", "a.mp4")
                assert await rig.read("a.mp4") == NEWER
            await rig.settle()
            await rig.volume.refresh("")
            assert await rig.names() == ["a.mp4"]

    run(main)
    assert rig.at_host() == {"a.mp4": NEWER}


def test_it_takes_the_place_of_another(rig: Rig, state: JobState) -> None:
    rig.host.add_file(rig.dialect, "b.mp4", OLD)

    async def main() -> None:
        async with rig.open():
            async with film_in(rig, state):
                await rig.rename("a.mp4", "b.mp4")
            await rig.settle()
            await rig.volume.refresh("")
            assert await rig.names() == ["b.mp4"]

    run(main)
    assert rig.at_host() == {"b.mp4": FILM}
    assert_sent_once(rig, state)


@pytest.mark.parametrize("dialect", DIALECTS, indirect=True)
def test_the_daemon_is_killed(rig: Rig, state: JobState, replaces: bool) -> None:
    prepare(rig, replaces)

    async def main() -> None:
        async with rig.open(), film_in(rig, state):
            rig.kill()
        rig.host.clear_faults()
        async with rig.open() as volume:
            assert await rig.read("a.mp4") == FILM
            await rig.settle()
            await volume.refresh("")
            assert await rig.names() == ["a.mp4"]

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}


def test_it_is_emptied_and_filled_again(rig: Rig, state: JobState) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            async with film_in(rig, state):
                attr = await volume.lookup(ROOT_INODE, "a.mp4")
                assert attr is not None
                await volume.set_size(attr.inode, 0)
                assert await rig.read("a.mp4") == b""
            await rig.settle()
            fh = await volume.open(attr.inode, os.O_WRONLY)
            await volume.files.write(fh, 0, NEWER)
            await rig.close(fh)
            await rig.settle()

    run(main)
    assert rig.at_host() == {"a.mp4": NEWER}


def test_it_is_moved_to_another_folder(rig: Rig, state: JobState) -> None:
    if not rig.can_move:
        pytest.skip("this host can't move files")

    async def main() -> None:
        async with rig.open() as volume:
            films = (await volume.make_folder(ROOT_INODE, "Films")).inode
            async with film_in(rig, state):
                await rig.rename("a.mp4", "b.mp4", new_parent=films)
            await rig.settle()
            await rig.volume.refresh("")
            await rig.volume.refresh("Films/")
            assert await rig.names() == ["Films"]
            assert await rig.names(films) == ["b.mp4"]

    run(main)
    assert rig.at_host() == {"Films/b.mp4": FILM}
    assert_sent_once(rig, state)


@pytest.mark.parametrize("dialect", ["doodstream", "pstream", "streamtape"], indirect=True)
def test_the_daemon_is_killed_between_the_two_calls_of_a_move(rig: Rig, state: JobState) -> None:
    """One for the folder, one for the title: listings show what lies between them. The next
    daemon is killed at the same place."""

    def asked() -> int:
        return rig.host.calls(rig.dialect).get("file/rename", 0)

    async def until_cut(before: int) -> None:
        """Until the host was asked for the title, if the upload didn't bring it, and died."""
        await rig.until(lambda: asked() > before or "Films/b.mp4" in rig.at_host())
        await rig.volume.refresh("")
        await rig.volume.refresh("Films/")
        rig.kill()

    async def main() -> None:
        async with rig.open() as volume, trio.open_nursery() as nursery:
            films = (await volume.make_folder(ROOT_INODE, "Films")).inode
            async with film_in(rig, state):
                if state is JobState.DONE:
                    await volume.refresh("")  # from now on listings are believed
                else:
                    await rig.rename("a.mp4", "b.mp4", new_parent=films)
            before = asked()
            rig.fault("file/rename", "hang")
            if state is JobState.DONE:
                nursery.start_soon(rig.rename, "a.mp4", "b.mp4", ROOT_INODE, films)
            await until_cut(before)
            nursery.cancel_scope.cancel()
        before = asked()
        async with rig.open():
            await until_cut(before)
        rig.host.clear_faults()
        async with rig.open() as volume:
            assert await rig.read("b.mp4", films) == FILM
            await rig.settle()
            await volume.refresh("")
            await volume.refresh("Films/")
            assert await rig.names() == ["Films"]
            assert await rig.names(films) == ["b.mp4"]

    run(main)
    assert rig.at_host() == {"Films/b.mp4": FILM}
    assert_sent_once(rig, state)
