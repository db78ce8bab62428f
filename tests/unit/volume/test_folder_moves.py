"""Moving folders on a host that can only move files: killed, refused, in the middle of things."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.unit.fakes import FakeHost, raising
from tests.unit.volume.test_volume import Rig, held, run
from vidfs.errors import (
    AccessDeniedError,
    BadRequestError,
    HostServerError,
    HostUnreachableError,
    MoveAbilityError,
    NotEmptyError,
    NotFoundError,
)
from vidfs.tree.store import Store
from vidfs.types import ROOT_INODE, FolderId, Inode, NodeKind

BEFORE = ["/M/", "/M/a/", "/M/a/s/", "/M/a/s/t/", "/M/a/s/t/w.mp4", "/M/a/s/z.mp4",
          "/M/a/x.mp4", "/M/a/y.mp4", "/M/b/"]  # fmt: skip
AFTER = ["/M/", "/M/b/", "/M/b/a/", "/M/b/a/s/", "/M/b/a/s/t/", "/M/b/a/s/t/w.mp4",
         "/M/b/a/s/z.mp4", "/M/b/a/x.mp4", "/M/b/a/y.mp4"]  # fmt: skip


class MortalHost(FakeHost):
    """The daemon dies right after the *dies_after*-th call has done its work."""

    steps = 0
    dies_after = 0

    def __init__(self, **abilities: Any) -> None:
        super().__init__(move_folder=False, **abilities)
        self.died = trio.Event()

    async def _end(self, call: str) -> None:
        await super()._end(call)
        self.steps += 1
        if self.steps == self.dies_after:
            self.died.set()
            await trio.sleep_forever()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidfs.volume.moves._PAUSE_S", 0.01)
    monkeypatch.setattr("vidfs.volume.moves.ANSWER_S", 0.2)


def fill(host: FakeHost) -> None:
    films = host.add_folder("M")
    a = host.add_folder("a", films)
    host.add_folder("b", films)
    s = host.add_folder("s", a)
    t = host.add_folder("t", s)
    for title, folder in (("x.mp4", a), ("y.mp4", a), ("z.mp4", s), ("w.mp4", t)):
        host.add(title, title.encode(), folder)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.host = MortalHost()
    rig.host.clock = time.time
    fill(rig.host)
    return rig


async def inode(rig: Rig, path: str) -> Inode:
    found = ROOT_INODE
    for name in filter(None, path.split("/")):
        attr = await rig.volume.lookup(found, name)
        if attr is None:
            raise NotFoundError(path)
        found = attr.inode
    return found


async def shown(rig: Rig, top: str = "/") -> list[str]:
    """All paths below *top*, folders with a slash at the end, as the mount shows them."""
    paths = []
    for name in await rig.names(await inode(rig, top)):
        attr = await rig.volume.lookup(await inode(rig, top), name)
        assert attr is not None
        if attr.kind is NodeKind.FOLDER:
            paths += [f"{top}{name}/", *await shown(rig, f"{top}{name}/")]
        else:
            paths.append(top + name)
    return sorted(paths)


async def move(rig: Rig, old: str, new: str) -> None:
    (old_parent, old_name), (new_parent, new_name) = os.path.split(old), os.path.split(new)
    await rig.volume.rename(
        await inode(rig, old_parent), old_name, await inode(rig, new_parent), new_name, replace=True
    )


def test_a_folder_moves_with_all_that_is_in_it(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            number = await inode(rig, "/M/a/s/t/w.mp4")
            await move(rig, "/M/a", "/M/b/a")
            assert await shown(rig) == AFTER
            await volume.wait_uploads()
            assert rig.host.paths() == AFTER
            await volume.refresh("/M/b/a")
            assert await shown(rig) == AFTER
            assert await inode(rig, "/M/b/a/s/t/w.mp4") == number
        assert left(rig) == []

    run(main)


def left(rig: Rig) -> Sequence[object]:
    store = Store(rig.tmp_path / "state" / "catalogue.sqlite")
    try:
        return store.load_moves()
    finally:
        store.close()


def test_the_new_state_is_seen_while_files_follow(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            first = trio.Event()
            rig.host.on("edit_file", held(first), held(first))
            await shown(rig)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(move, rig, "/M/a", "/M/b/new")
                await rig.until(lambda: rig.host.calls["edit_file"] > 0)
                wanted = [p.replace("/b/a/", "/b/new/") for p in AFTER]
                assert await shown(rig) == wanted
                await volume.refresh("/M/b/new")
                await volume.refresh("/M")
                assert await shown(rig) == wanted
                assert volume.pending == 1
                first.set()
            await volume.wait_uploads()
            assert rig.host.paths() == wanted

    run(main)


def test_a_move_is_finished_wherever_the_daemon_was_killed(tmp_path: Path) -> None:
    """Once for every call of the host: killed when it has done its work, unheard."""
    for step in range(1, 100):
        rig = Rig(tmp_path / str(step))
        rig.tmp_path.mkdir()
        host = rig.host = MortalHost()
        host.clock = time.time
        fill(host)
        completed = _killed_at(rig, host, step)
        if completed:
            break
    assert step > 10


def _killed_at(rig: Rig, host: MortalHost, step: int) -> bool:
    """True: the move was over before its *step*-th call."""
    completed = False

    async def first() -> None:
        nonlocal completed

        async def mover() -> None:
            nonlocal completed
            await move(rig, "/M/a", "/M/b/a")
            await rig.volume.wait_uploads()
            completed = True
            host.died.set()

        async with rig.open(gentle=False):
            assert await shown(rig) == BEFORE
            host.steps, host.dies_after = 0, step
            async with trio.open_nursery() as nursery:
                nursery.start_soon(mover)
                await host.died.wait()
                nursery.cancel_scope.cancel()

    async def second() -> None:
        host.dies_after = 0
        async with rig.open() as volume:
            assert await shown(rig) in (BEFORE, AFTER), step
            await volume.wait_uploads()
            assert host.paths() == AFTER, step
            assert await shown(rig) == AFTER, step
            await volume.refresh("/M/b/a")
            assert await shown(rig) == AFTER, step

    run(first)
    run(second)
    assert left(rig) == []
    return completed


def test_a_folder_that_cannot_be_made_leaves_all_as_it_was(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open():
            rig.host.on("create_folder", raising(AccessDeniedError("no")))
            with pytest.raises(AccessDeniedError):
                await move(rig, "/M/a", "/M/b/a")
            assert await shown(rig) == BEFORE == rig.host.paths()

    run(main)
    assert left(rig) == []


def test_a_file_that_the_host_refuses_to_move_stays_and_both_are_shown(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            rig.host.on("edit_file", raising(AccessDeniedError("no")))
            with pytest.raises(AccessDeniedError):
                await move(rig, "/M/a", "/M/b/a")
            await volume.wait_uploads()
            at_host = rig.host.paths()
            assert len([p for p in at_host if p.endswith(".mp4")]) == 4
            assert [p for p in at_host if p in ("/M/a/x.mp4", "/M/a/y.mp4")]
            assert await shown(rig) == at_host
            # Once the host has changed its mind, the rest can follow.
            for name in [p.removeprefix("/M/a/") for p in at_host if p.startswith("/M/a/")]:
                if name.endswith(".mp4"):
                    await move(rig, f"/M/a/{name}", f"/M/b/a/{name}")
            await volume.remove_folder(await inode(rig, "/M"), "a")
            assert [p for p in rig.host.paths() if p.startswith("/M/a/")] == []

    run(main)


def test_nothing_is_left_of_a_move_that_the_host_refuses_altogether(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await shown(rig)
            rig.host.on("edit_file", *[raising(BadRequestError("no"))] * 10)
            with pytest.raises(BadRequestError):
                await move(rig, "/M/a/s", "/M/s")
            await volume.wait_uploads()
            assert rig.host.paths() == BEFORE
            assert await shown(rig) == BEFORE

    run(main)


def test_a_host_that_is_away_is_waited_for(rig: Rig) -> None:

    async def main() -> None:
        async with rig.open() as volume:
            rig.host.on("edit_file", *[raising(HostUnreachableError("away"))] * 5)
            rig.host.on("delete_folder", raising(HostServerError("busy")))
            await move(rig, "/M/a", "/M/b/a")
            await volume.wait_uploads()
            assert rig.host.paths() == AFTER == await shown(rig)

    run(main)


def test_what_somebody_adds_to_the_old_folder_follows(rig: Rig) -> None:
    """A folder with something in it is never removed: hosts delete what is inside."""

    async def main() -> None:
        async with rig.open() as volume:
            old = FolderId("f2")
            assert rig.host.folders[old].name == "a"

            async def add() -> None:
                rig.host.add("late.mp4", b"late", old)
                late = rig.host.add_folder("late", old)
                rig.host.add("inside.mp4", b"inside", late)

            rig.host.on("edit_file", add)
            await move(rig, "/M/a", "/M/b/a")
            await volume.wait_uploads()
            more = ["/M/b/a/late/", "/M/b/a/late.mp4", "/M/b/a/late/inside.mp4"]
            assert rig.host.paths() == sorted([*AFTER, *more])
            assert await shown(rig) == sorted([*AFTER, *more])

    run(main)


def test_what_is_done_inside_meanwhile_holds(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await shown(rig)
            gate = trio.Event()
            rig.host.on("edit_file", *[held(gate)] * 2)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(move, rig, "/M/a", "/M/b/a")
                await rig.until(lambda: rig.host.calls["edit_file"] == 2)
                inner = await inode(rig, "/M/b/a/s")
                await volume.unlink(inner, "z.mp4")
                await move(rig, "/M/b/a/s/t/w.mp4", "/M/w2.mp4")
                await volume.make_folder(inner, "made")
                await rig.write("new.mp4", b"new", parent=inner)
                await move(rig, "/M/b/a", "/M/c")
                gate.set()
            await volume.wait_uploads()
            wanted = ["/M/", "/M/b/", "/M/c/", "/M/c/s/", "/M/c/s/made/", "/M/c/s/new.mp4",
                      "/M/c/s/t/", "/M/c/x.mp4", "/M/c/y.mp4", "/M/w2.mp4"]  # fmt: skip
            assert rig.host.paths() == wanted
            assert await shown(rig) == wanted

    run(main)


@pytest.mark.parametrize("phase", ["upload", "store", "file_info"])
def test_an_upload_that_is_under_way_comes_along(rig: Rig, phase: str) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            gate = trio.Event()
            rig.host.on(phase, held(gate))
            await rig.write("up.mp4", b"film", parent=await inode(rig, "/M/a"))
            await rig.write(".scratch", b"here", parent=await inode(rig, "/M/a"))
            await rig.until(lambda: not rig.host.before.get(phase))
            await move(rig, "/M/a", "/M/b/a")
            assert "/M/b/a/up.mp4" in await shown(rig)
            gate.set()
            await volume.wait_uploads()
            assert rig.host.paths() == sorted([*AFTER, "/M/b/a/up.mp4"])
            await volume.refresh("/M/b/a")
            assert await shown(rig) == sorted([*AFTER, "/M/b/a/.scratch", "/M/b/a/up.mp4"])
            assert rig.host.calls["upload"] == 1

    run(main)


def test_a_listing_that_lags_hides_and_revives_nothing(rig: Rig) -> None:
    host = rig.host

    async def main() -> None:
        async with rig.open() as volume:
            await shown(rig)
            late = {code for code, s in host.stored.items() if s.file.title == "x.mp4"}
            host.lists = lambda file: file.code not in late or file.folder == FolderId("f2")
            await move(rig, "/M/a", "/M/b/a")
            await volume.wait_uploads()
            await volume.refresh("/M/b/a")
            assert await shown(rig) == AFTER
            assert host.paths() == AFTER

    run(main)


def test_a_folder_takes_the_place_of_an_empty_one_only(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await volume.make_folder(await inode(rig, "/M/b"), "a")
            with pytest.raises(NotEmptyError):
                await move(rig, "/M/b", "/M/a")
            await move(rig, "/M/a", "/M/b/a")
            await volume.wait_uploads()
            assert rig.host.paths() == AFTER == await shown(rig)

    run(main)


def test_a_moved_folder_can_be_removed_at_once(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await move(rig, "/M/a/s/t", "/M/t")
            top = await inode(rig, "/M")
            with pytest.raises(NotEmptyError):
                await volume.remove_folder(top, "t")
            await volume.unlink(await inode(rig, "/M/t"), "w.mp4")
            await volume.remove_folder(top, "t")
            await volume.wait_uploads()
            gone = {"/M/a/s/t/", "/M/a/s/t/w.mp4"}
            assert rig.host.paths() == [p for p in BEFORE if p not in gone] == await shown(rig)

    run(main)


@pytest.mark.parametrize("missing", ["move_file", "create_folder", "list_folders"])
def test_where_it_cannot_be_done_mv_is_told_to_copy(rig: Rig, missing: str) -> None:
    rig.host = FakeHost(move_folder=False, **{missing: False})
    fill(rig.host)

    async def main() -> None:
        async with rig.open():
            with pytest.raises(MoveAbilityError):
                await move(rig, "/M/a", "/M/b/a")
            assert rig.host.paths() == BEFORE

    run(main)


def test_a_host_that_cannot_delete_hides_the_emptied_folder(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.host = FakeHost(move_folder=False, delete_folder=False, delete_file=False)
    fill(rig.host)

    async def main() -> None:
        async with rig.open() as volume:
            await move(rig, "/M/a", "/M/b/a")
            await volume.wait_uploads()
            await volume.refresh("/M")
            assert await shown(rig) == AFTER
            names = sorted(f.name for f in rig.host.folders.values())
            assert names == ["M", "a", "b", "s", "t",
                             "vidfs-trash~moved~a", "vidfs-trash~moved~s", "vidfs-trash~moved~t",
                             ]  # fmt: skip

    run(main)
    assert left(rig) == []
