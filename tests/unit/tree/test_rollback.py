"""Memory and catalogue say the same: after a step that the disk refuses, and where a listing was
quicker than the host's answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.unit.fakes import run
from tests.unit.tree.test_tree import Bench
from vidfs.errors import NotFoundError, SpoolError, SpoolFullError
from vidfs.tree.node import Node, state_of
from vidfs.tree.store import Store, _Connection
from vidfs.types import FolderId, Inode, NodeKind


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_a_listing_made_of_our_move_before_the_answer_came_is_the_node_we_moved(
    bench: Bench,
) -> None:
    """The node left with a listing of its old folder, another came with one of the new."""
    host = bench.host
    films = host.add_folder("Films")
    code = host.add("a.mp4", folder=films)
    host.add("b.mp4")

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            folder = bench.child("Films")
            await tree.refresh(folder)
            node = bench.child("a.mp4", folder)
            host.change(code, title="c.mp4", folder=host.root)
            await trio.sleep(1.0)
            await tree.refresh(folder)
            await tree.refresh(tree.root)
            other = bench.child("c.mp4")
            assert other is not node
            tree.move(node, tree.root, "c.mp4", title="c.mp4")
            for _ in range(2):
                assert bench.child("c.mp4") is node
                assert (node.linked, other.linked) == (True, False)
                assert tree.find_by_remote(NodeKind.FILE, code) is node
                assert bench.names() == ["Films", "b.mp4", "c.mp4"]
                await bench.look()
        async with bench.open():
            assert bench.child("c.mp4").inode == node.inode

    run(main)


def _fail_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    execute = _Connection.execute

    def full(self: _Connection, sql: str, *args: object) -> object:
        if sql == "COMMIT":
            raise SpoolFullError("full")
        return execute(self, sql, *args)

    monkeypatch.setattr(_Connection, "execute", full)


def _broken(*_: object) -> None:
    raise SpoolError("broken")


def _state(bench: Bench, folders: list[Node]) -> list[object]:
    """All that memory says of *folders* and of what is in them."""
    return [
        (state_of(folder), bench.tree.listed_at(folder), state_of(node), id(node))
        for folder in folders
        for _, node in sorted(bench.tree.entries(folder).items())
    ]


def test_a_listing_that_the_disk_does_not_take_has_not_happened(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = bench.host
    lost, other = host.add_folder("lost"), host.add_folder("other")
    inner = host.add_folder("inner", lost)
    host.add("child.mp4", folder=lost)
    host.add("deep.mp4", folder=inner)
    gone, renamed, moved = host.add("gone.mp4"), host.add("a.mp4"), host.add("m.mp4", folder=other)
    swapped = [host.add("1.mp4"), host.add("2.mp4")]

    async def main() -> None:
        async with bench.open() as tree:
            await bench.look()
            folders = [tree.root, bench.child("lost"), bench.child("other")]
            for folder in folders[1:]:
                await tree.refresh(folder)
            folders.append(bench.child("inner", folders[1]))
            await tree.refresh(folders[3])
            held = [node for folder in folders for node in tree.entries(folder).values()]
            before = _state(bench, folders)

            host._delete_below(lost)
            del host.stored[gone]
            host.change(renamed, title="z.mp4", size_bytes=7)
            host.change(moved, folder=host.root)
            host.change(swapped[0], title="2.mp4")
            host.change(swapped[1], title="1.mp4")
            host.add("new.mp4")
            notes = len(bench.notes.entries)
            for error in (SpoolFullError, SpoolError):
                with monkeypatch.context() as patch, pytest.raises(error):
                    if error is SpoolFullError:
                        _fail_commits(patch)
                    else:  # earlier, half-way
                        patch.setattr(Store, "save_nodes", _broken)
                    await bench.look()
                assert _state(bench, folders) == before
                assert len(bench.notes.entries) == notes
                assert all(tree.get(node.inode) is node for node in held)
                with pytest.raises(NotFoundError):
                    tree.get(Inode(max(node.inode for node in held) + 1))
            made = tree.add_file(tree.root, "made here.mp4")
            bench.pinned.add(made.inode)
            assert made.inode not in {node.inode for node in held}
            await bench.look()
            expected = ["1.mp4", "2.mp4", "m.mp4", "made here.mp4", "new.mp4", "other", "z.mp4"]
            assert bench.names() == expected
            assert bench.names(folders[2]) == []
            numbers = {name: node.inode for name, node in tree.entries(tree.root).items()}
            assert numbers["new.mp4"] not in {made.inode, *(node.inode for node in held)}
            assert {node.name for node in held if not node.linked} == {
                "gone.mp4", "lost", "inner", "child.mp4", "deep.mp4",
            }  # fmt: skip
        async with bench.open() as tree:
            assert {name: n.inode for name, n in tree.entries(tree.root).items()} == numbers

    run(main)


def test_a_folder_that_could_not_be_written_down_is_not_taken_for_listed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with bench.open() as tree:
            await bench.look()
            with monkeypatch.context() as patch, pytest.raises(SpoolFullError):
                _fail_commits(patch)
                tree.add_folder(tree.root, "made", FolderId("f100"))
            films = bench.host.add_folder("Films")
            bench.host.add("a.mp4", folder=films)
            await bench.look()
            folder = bench.child("Films")
            await tree.ensure_fresh(folder)
            assert bench.names(folder) == ["a.mp4"]

    run(main)
