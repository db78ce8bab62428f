"""Changes that the host is being asked for: the daemon dies, or listings overtake the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from tests.unit.volume.test_volume import Rig, run
from vidfs.errors import BadRequestError, HostNotFoundError, SpoolFullError
from vidfs.tree.journal import SqlJournal
from vidfs.tree.store import Store
from vidfs.types import ROOT_INODE, FileCode, FolderId, Inode
from vidfs.volume import Volume

Change = Callable[[Volume], Awaitable[object]]
WHEN = ("before", "after")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def died_during(rig: Rig, call: str, when: str, change: Change, *, seen: bool = False) -> None:
    """*change*, and the end of the daemon *before* or *after* the host did its work. *seen*:
    the root was listed just before that end."""
    reached = trio.Event()

    async def hang() -> None:
        if seen:
            await rig.volume.refresh("")
        reached.set()
        await trio.sleep_forever()

    async def main() -> None:
        async with rig.open(gentle=False) as volume, trio.open_nursery() as nursery:
            await rig.names()
            rig.host.on(call, hang, when=when)
            nursery.start_soon(change, volume)
            await reached.wait()
            nursery.cancel_scope.cancel()

    run(main)


def next_start(rig: Rig) -> list[str]:
    """The names in the root once the queue is empty; nothing may be left to do or be noted."""
    names: list[str] = []

    async def main() -> None:
        async with rig.open() as volume:
            before = await rig.names()
            assert await volume.wait_uploads() == 0
            names.extend(await rig.names())
            assert names == before, "shown at once as it will be"
            assert volume.writeback._journal.load_changing() == []

    run(main)
    return names


@pytest.mark.parametrize("when", WHEN)
def test_a_removal_is_finished(rig: Rig, when: str) -> None:
    rig.host.add("a.mp4")
    rig.host.add("b.mp4")
    died_during(rig, "delete_file", when, lambda volume: volume.unlink(ROOT_INODE, "a.mp4"))
    assert next_start(rig) == ["b.mp4"]
    assert list(rig.at_host()) == ["b.mp4"]


@pytest.mark.parametrize("seen", [False, True])
def test_what_a_finished_removal_put_into_the_trash_can_be_restored(rig: Rig, seen: bool) -> None:
    """*seen*: a listing shows that the file is gone before the daemon dies."""
    rig.host.capabilities = replace(rig.host.capabilities, delete_file=False)
    code = rig.host.add("a.mp4")
    died_during(
        rig, "edit_file", "after", lambda volume: volume.unlink(ROOT_INODE, "a.mp4"), seen=seen
    )
    assert next_start(rig) == []
    store = Store(rig.tmp_path / "state" / "catalogue.sqlite")
    [trashed] = store.load_trash()
    store.close()
    assert (trashed.remote, trashed.name, trashed.path) == (code, "a.mp4", "/")


@pytest.mark.parametrize("when", WHEN)
def test_a_file_that_was_just_uploaded_is_removed_with_what_its_rewrite_left(
    rig: Rig, when: str
) -> None:
    """No listing has shown it yet, so none would take it out of the tree."""

    async def upload() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", b"one")
            await volume.wait_uploads()
            await rig.write("a.mp4", b"")  # its older bytes stay at the host until it has new ones

    run(upload)
    died_during(rig, "delete_file", when, lambda volume: volume.unlink(ROOT_INODE, "a.mp4"))
    assert next_start(rig) == []
    assert rig.at_host() == {}


@pytest.mark.parametrize("when", WHEN)
def test_a_rename_over_another_file_is_finished(rig: Rig, when: str) -> None:
    rig.host.add("a.mp4", b"new")
    rig.host.add("b.mp4", b"old")
    died_during(rig, "edit_file", when, lambda v: rename(v, "a.mp4", "b.mp4"))
    assert next_start(rig) == ["b.mp4"]
    assert rig.at_host() == {"b.mp4": b"new"}


def test_half_of_a_move_is_finished(rig: Rig) -> None:
    """Some hosts take a call for the folder and another for the title."""
    folder = rig.host.add_folder("Films")
    rig.host.add("b.mp4", b"other", folder)
    code = rig.host.add("b.mp4", b"film")

    async def move(volume: Volume) -> None:
        films = await volume.lookup(ROOT_INODE, "Films")
        assert films is not None
        await volume.rename(ROOT_INODE, "b.mp4", films.inode, "c.mp4", replace=True)

    died_during(rig, "edit_file", "before", move)
    rig.host.change(code, folder=folder)
    assert next_start(rig) == ["Films"]
    assert rig.host.titles(folder) == ["b.mp4", "c.mp4"]
    assert rig.host.stored[code].file.title == "c.mp4"


def test_a_file_that_is_rewritten_meanwhile_replaces_what_the_rename_did(rig: Rig) -> None:
    rig.host.add("a.mp4", b"new")
    rig.host.add("b.mp4", b"old")
    died_during(rig, "edit_file", "before", lambda v: rename(v, "a.mp4", "b.mp4"))

    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("b.mp4", b"newest")
            assert await volume.wait_uploads() == 0

    run(main)
    assert next_start(rig) == ["b.mp4"]
    assert rig.at_host() == {"b.mp4": b"newest"}


def test_a_rename_that_the_host_refused_leaves_no_note(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", b"x")
            await volume.wait_uploads()
            rig.host.stored.clear()
            with pytest.raises(HostNotFoundError):
                await rename(volume, "a.mp4", "b.mp4")
            assert volume.writeback._journal.load_changing() == []

    run(main)


@pytest.mark.parametrize("when", WHEN)
def test_a_folder_being_made_is_not_made_twice(rig: Rig, when: str) -> None:
    died_during(rig, "create_folder", when, lambda volume: volume.make_folder(ROOT_INODE, "Films"))

    async def main() -> None:
        async with rig.open() as volume:
            if await volume.lookup(ROOT_INODE, "Films") is None:
                await volume.make_folder(ROOT_INODE, "Films")

    run(main)
    assert [folder.name for folder in rig.host.folders.values()] == ["Films"]


@pytest.mark.parametrize("when", WHEN)
def test_of_a_folder_being_removed_the_host_says_whether_it_is_there(rig: Rig, when: str) -> None:
    async def make() -> None:
        async with rig.open() as volume:
            await volume.make_folder(ROOT_INODE, "Films")

    run(make)
    died_during(
        rig, "delete_folder", when, lambda volume: volume.remove_folder(ROOT_INODE, "Films")
    )
    assert next_start(rig) == [folder.name for folder in rig.host.folders.values()]


@pytest.mark.parametrize("when", WHEN)
def test_of_a_folder_being_renamed_the_host_says_its_name(rig: Rig, when: str) -> None:
    async def make() -> None:
        async with rig.open() as volume:
            await volume.make_folder(ROOT_INODE, "Films")

    run(make)
    died_during(rig, "edit_folder", when, lambda v: rename(v, "Films", "Movies"))
    assert next_start(rig) == [folder.name for folder in rig.host.folders.values()]


@pytest.mark.parametrize(
    ("call", "change"),
    [
        ("edit_file", lambda volume: rename(volume, "a.mp4", "b.mp4")),
        ("edit_folder", lambda volume: rename(volume, "A", "B")),
        ("create_folder", lambda volume: volume.make_folder(ROOT_INODE, "C")),
    ],
)
def test_what_a_full_disk_cannot_note_is_not_asked_of_the_host(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, call: str, change: Change
) -> None:
    def full(*_: object) -> None:
        raise SpoolFullError("the disk of the catalogue is full")

    rig.host.add("a.mp4")

    async def main() -> None:
        async with rig.open() as volume:
            await volume.make_folder(ROOT_INODE, "A")
            before, asked = await rig.names(), rig.host.calls[call]
            with monkeypatch.context() as patch:
                patch.setattr(SqlJournal, "create", full)
                with pytest.raises(SpoolFullError):
                    await change(volume)
                await volume.unlink(ROOT_INODE, "a.mp4")  # may be what helps
            assert rig.host.calls[call] == asked
            assert await rig.names() == [name for name in before if name != "a.mp4"]

    run(main)


async def rename(volume: Volume, old: str, new: str) -> None:
    await volume.rename(ROOT_INODE, old, ROOT_INODE, new, replace=True)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_move_whose_answer_is_late_is_not_taken_for_a_loss(rig: Rig, kind: str) -> None:
    """The host has done it, and listings of both folders come before its answer."""
    films = rig.host.add_folder("Films")
    if kind == "file":
        rig.host.add("a.mp4", b"film", films)
    else:
        rig.host.add_folder("a.mp4", films)

    async def main() -> None:
        async with rig.open(dir_ttl_s=0, dir_stale_s=0) as volume:
            [attr] = [await volume.lookup(ROOT_INODE, "Films")]
            assert attr is not None
            before = await volume.lookup(attr.inode, "a.mp4")
            assert before is not None

            async def meanwhile() -> None:
                for path in ("Films", ""):
                    await volume.refresh(path)
                assert volume.tree.get(before.inode).linked

            rig.host.on(f"edit_{kind}", meanwhile, when="after")
            await volume.rename(attr.inode, "a.mp4", ROOT_INODE, "b.mp4", replace=True)
            for _ in range(2):
                after = await volume.lookup(ROOT_INODE, "b.mp4")
                assert after is not None
                assert after.inode == before.inode
                assert await rig.names() == ["Films", "b.mp4"]
                assert await rig.names(attr.inode) == []

    run(main)


async def move_by_half(
    rig: Rig, old: str, new: str, between: Callable[[], Awaitable[None]]
) -> tuple[Inode, Inode]:
    """Move *old* to *new* in `Films`, on a host that takes a call for the folder and another
    for the title; *between* them. Returns the inodes of the folder and of what was to move."""
    films, moved = [await rig.volume.lookup(ROOT_INODE, name) for name in ("Films", old)]
    assert films is not None and moved is not None
    await rig.names(films.inode)
    node, target = [rig.volume.tree.get(attr.inode) for attr in (moved, films)]

    async def first() -> None:
        code, folder = node.remote or "", FolderId(target.remote or "")
        if node.is_folder:
            found = rig.host.folders[FolderId(code)]
            rig.host.folders[FolderId(code)] = replace(found, parent=folder)
        else:
            rig.host.change(FileCode(code), folder=folder)
        await between()

    rig.host.on("edit_folder" if node.is_folder else "edit_file", first)
    with suppress(BadRequestError):
        await rig.volume.rename(ROOT_INODE, old, films.inode, new, replace=True)
    return films.inode, node.inode


@pytest.mark.parametrize("listed", [("",), ("", "Films/"), ("Films/", "")])
@pytest.mark.parametrize(("old", "new"), [("a.mp4", "b.mp4"), ("A", "B")])
def test_listings_in_the_midst_of_a_move_leave_it_the_same_entry(
    rig: Rig, old: str, new: str, listed: tuple[str, ...]
) -> None:
    rig.host.add_folder("Films")
    rig.host.add("a.mp4")
    rig.host.add("c.mp4", b"x", rig.host.add_folder("A"))

    async def look() -> None:
        for path in listed:
            await rig.volume.refresh(path)

    async def main() -> None:
        async with rig.open() as volume:
            before = await rig.names()
            shelf = await volume.lookup(ROOT_INODE, "A")
            assert shelf is not None and await rig.names(shelf.inode) == ["c.mp4"]
            films, moved = await move_by_half(rig, old, new, look)
            assert await rig.names() == [name for name in before if name != old]
            assert await rig.names(films) == [new]
        async with rig.open() as volume:
            attr = await volume.lookup(films, new)
            assert attr is not None and attr.inode == moved
            assert await rig.names(shelf.inode) == ["c.mp4"]

    run(main)


def test_of_a_move_that_the_host_refuses_in_its_midst_the_half_is_shown(rig: Rig) -> None:
    rig.host.add_folder("Films")
    rig.host.add("a.mp4")

    async def look_and_refuse() -> None:
        await rig.volume.refresh("")
        await rig.volume.refresh("Films/")
        raise BadRequestError("no such title")

    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            films, _ = await move_by_half(rig, "a.mp4", "b.mp4", look_and_refuse)
            while await rig.names(films) != ["a.mp4"]:  # noqa: ASYNC110 - the host, asked behind
                await trio.sleep(0.01)
            await rig.until(lambda: volume.tree.find_child(volume.tree.root, "a.mp4") is None)
            assert volume.writeback._journal.load_changing() == []

    run(main)
