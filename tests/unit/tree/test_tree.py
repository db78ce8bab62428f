"""Listings merged into the tree: what the host changed, and never against what we changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.unit.fakes import FakeHost, Notes, clock, raising, run, settle
from vidfs.errors import (
    HostNotFoundError,
    HostServerError,
    NotFoundError,
    UnreadableAnswerError,
)
from vidfs.tree.merge import SETTLE_S
from vidfs.tree.node import Node
from vidfs.tree.store import Store
from vidfs.tree.tree import Tree, TreeSettings
from vidfs.tree.walk import Walker
from vidfs.types import FileCode, NodeKind


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "catalogue.sqlite"
        self.host = FakeHost()
        self.notes = Notes()
        self.in_flight: set[str] = set()
        self.pinned: set[int] = set()
        self.tree: Tree

    @asynccontextmanager
    async def open(self, **settings: Any) -> AsyncIterator[Tree]:
        store = Store(self.path)
        self.tree = Tree(
            store,
            self.host,
            TreeSettings(**settings),
            listener=self.notes,
            is_in_flight=lambda file: file.title in self.in_flight,
            is_pinned=lambda node: node.inode in self.pinned,
            holds_original=lambda node: False,
            clock=clock,
        )
        async with trio.open_nursery() as nursery:
            self.tree.start(nursery)
            yield self.tree
            nursery.cancel_scope.cancel()
        store.close()

    def names(self, folder: Node | None = None) -> list[str]:
        return sorted(self.tree.entries(folder or self.tree.root))

    def child(self, name: str, folder: Node | None = None) -> Node:
        node = self.tree.find_child(folder or self.tree.root, name)
        assert node is not None, f"no {name}"
        return node

    async def look(self, after_s: float = 1.0) -> None:
        """A listing that the host took after everything so far."""
        await trio.sleep(after_s)
        await self.tree.refresh_newest(self.tree.root)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# ------------------------------------------------------------------------------ the host's side


def test_new_gone_renamed_and_moved_entries(bench: Bench) -> None:
    host = bench.host
    films = host.add_folder("Films")
    a, b, c = host.add("a.mp4"), host.add("b.mp4"), host.add("c.mp4", folder=films)

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            folder = bench.child("Films")
            await tree.refresh(folder)
            assert bench.names() == ["Films", "a.mp4", "b.mp4"]
            inodes = {code: tree.find_by_remote(NodeKind.FILE, code) for code in (a, b, c)}
            del host.stored[b]
            host.change(a, title="z.mp4")
            host.change(c, folder=host.root)
            host.add("new.mp4")
            await bench.look()
            assert bench.names() == ["Films", "c.mp4", "new.mp4", "z.mp4"]
            assert bench.child("z.mp4") is inodes[a]
            assert bench.child("c.mp4") is inodes[c]
            assert bench.names(folder) == []
            assert (1, "b.mp4") in [note[:2] for note in bench.notes.entries]
            assert (1, "a.mp4") in [note[:2] for note in bench.notes.entries]
            assert (folder.inode, "c.mp4") in [note[:2] for note in bench.notes.entries]
            await tree.refresh(folder)
            assert bench.names() == ["Films", "c.mp4", "new.mp4", "z.mp4"]

    run(main)


def test_names_and_numbers_stay_over_a_restart(bench: Bench) -> None:
    for _ in range(3):
        bench.host.add("a.mp4")

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            before = {node.remote: (name, node.inode) for name, node in
                      tree.entries(tree.root).items()}  # fmt: skip
        async with bench.open() as tree:
            assert {n.remote: (name, n.inode) for name, n in tree.entries(tree.root).items()} == (
                before
            )
            await bench.look()
            assert {n.remote: (name, n.inode) for name, n in tree.entries(tree.root).items()} == (
                before
            )

    run(main)


def test_files_of_subfolders_that_a_root_listing_mixes_in_are_left_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = bench.host.add_folder("Films")
    bench.host.add("a.mp4")
    inside = bench.host.add("inside.mp4", folder=films)
    plain = bench.host.list_folder

    async def mixed(folder: Any) -> Any:
        listing = await plain(folder)
        files = [*listing.files, bench.host.stored[inside].file]
        object.__setattr__(listing, "files", files)
        return listing

    monkeypatch.setattr(bench.host, "list_folder", mixed)

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            assert bench.names() == ["Films", "a.mp4"]

    run(main)


def test_a_folder_that_the_host_lost_leaves_with_all_below(bench: Bench) -> None:
    films = bench.host.add_folder("Films")
    old = bench.host.add_folder("Old", films)
    bench.host.add("a.mp4", folder=old)

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            folder = bench.child("Films")
            await tree.refresh(folder)
            deeper = bench.child("Old", folder)
            await tree.refresh(deeper)
            file = bench.child("a.mp4", deeper)
            del bench.host.folders[films]
            with pytest.raises(NotFoundError):
                await tree.refresh(folder)
            assert bench.names() == []
            assert not file.linked
            with pytest.raises(NotFoundError):
                tree.get_folder(deeper.inode)

    run(main)


def test_the_root_is_never_dropped(bench: Bench) -> None:
    bench.host.add("a.mp4")

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            bench.host.on("list_folder", raising(HostNotFoundError("what root?")))
            with pytest.raises(NotFoundError):
                await bench.look()
            assert bench.names() == ["a.mp4"]

    run(main)


# ------------------------------------------------------------------------------ our side


def test_a_listing_asked_for_before_our_change_changes_nothing_of_it(bench: Bench) -> None:
    bench.host.add("gone.mp4")
    renamed = bench.host.add("old.mp4")

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            late = trio.Event()
            bench.host.on("list_folder", late.wait, when="after")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tree.refresh, tree.root)
                await settle()
                tree.remove(bench.child("gone.mp4"))
                tree.move(bench.child("old.mp4"), tree.root, "new.mp4", title="new.mp4")
                made = tree.add_file(tree.root, "made.mp4")
                tree.record_uploaded(
                    made, FileCode("made"), title="made.mp4", size_bytes=5, sha1=None
                )
                tree.add_folder(tree.root, "Films", bench.host.add_folder("Films"))
                late.set()
            assert bench.names() == ["Films", "made.mp4", "new.mp4"]
            assert bench.child("new.mp4").remote == renamed

    run(main)


@pytest.mark.parametrize("lag_s", [1.0, SETTLE_S * 0.9])
def test_listings_that_lag_behind_our_change_change_nothing_of_it(
    bench: Bench, lag_s: float
) -> None:
    gone = bench.host.add("gone.mp4")
    old = bench.host.add("old.mp4")

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            tree.remove(bench.child("gone.mp4"))
            tree.move(bench.child("old.mp4"), tree.root, "new.mp4", title="new.mp4")
            made = tree.add_file(tree.root, "made.mp4")
            tree.record_uploaded(made, FileCode("m"), title="made.mp4", size_bytes=5, sha1=None)
            await bench.look(lag_s)  # the host still shows gone.mp4 and old.mp4, not made.mp4
            assert bench.names() == ["made.mp4", "new.mp4"]
            del bench.host.stored[gone]
            bench.host.change(old, title="new.mp4")
            await bench.look()
            assert bench.names() == ["made.mp4", "new.mp4"]

    run(main)


def test_after_a_while_the_host_is_believed_again(bench: Bench) -> None:
    bench.host.add("gone.mp4")
    bench.host.add("old.mp4")

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            tree.remove(bench.child("gone.mp4"))
            tree.move(bench.child("old.mp4"), tree.root, "new.mp4", title="new.mp4")
            made = tree.add_file(tree.root, "made.mp4")
            tree.record_uploaded(made, FileCode("m"), title="made.mp4", size_bytes=5, sha1=None)
            await bench.look(SETTLE_S + 1)
            assert bench.names() == ["gone.mp4", "old.mp4"]

    run(main)


def test_a_title_that_the_host_tidied_does_not_change_the_name_given(bench: Bench) -> None:
    code = bench.host.add("some film")

    async def main() -> None:
        async with bench.open() as tree:
            made = tree.add_file(tree.root, "some.film.mp4")
            tree.record_uploaded(made, code, title="some.film.mp4", size_bytes=1, sha1=None)
            await bench.look()
            assert bench.names() == ["some.film.mp4"]
            await bench.look(SETTLE_S + 1)
            assert bench.names() == ["some.film.mp4"]
            bench.host.change(code, title="renamed there")
            await bench.look()
            assert bench.names() == ["renamed there.mp4"]

    run(main)


def test_an_upload_without_answer_is_no_news(bench: Bench) -> None:
    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            mine = tree.add_file(tree.root, "a.mp4")
            bench.in_flight.add("a.mp4")
            code = bench.host.add("a.mp4")
            await bench.look()
            assert bench.names() == ["a.mp4"]
            assert bench.child("a.mp4") is mine
            bench.in_flight.clear()
            tree.record_uploaded(mine, code, title="a.mp4", size_bytes=1, sha1=None)
            await bench.look()
            assert bench.names() == ["a.mp4"]

    run(main)


def test_an_upload_that_a_listing_saw_first_is_one_entry(bench: Bench) -> None:
    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            mine = tree.add_file(tree.root, "a.mp4")
            code = bench.host.add("a.mp4")
            await bench.look()
            assert len(bench.names()) == 2
            tree.record_uploaded(mine, code, title="a.mp4", size_bytes=1, sha1=None)
            assert bench.names() == ["a.mp4"]
            assert bench.child("a.mp4") is mine
        async with bench.open():
            assert bench.names() == ["a.mp4"]

    run(main)


def test_what_has_bytes_only_here_is_never_dropped(bench: Bench) -> None:
    code = bench.host.add("a.mp4")

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            bench.pinned.add(bench.child("a.mp4").inode)
            del bench.host.stored[code]
            await bench.look(SETTLE_S * 2)
            assert bench.names() == ["a.mp4"]
            bench.pinned.clear()
            await bench.look()
            assert bench.names() == []

    run(main)


def test_what_is_set_here_is_kept_where_listings_do_not_tell_it(bench: Bench) -> None:
    code = bench.host.add("a.mp4", extra={"views": "1", "tags": "x"})

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            tree.set_extra(bench.child("a.mp4"), "description", "about")
            bench.host.change(code, extra={"views": "2", "tags": ""})
            await bench.look()
            extra = tree.load_extra(bench.child("a.mp4"))
            assert extra == {"views": "2", "description": "about"}

    run(main)


# ------------------------------------------------------------------------------ freshness


def test_a_fresh_listing_is_not_asked_for_again_and_a_stale_one_is(bench: Bench) -> None:
    async def main() -> None:
        async with bench.open(dir_ttl_s=60, dir_stale_s=600) as tree:
            await tree.ensure_fresh(tree.root)
            await trio.sleep(59)
            await tree.ensure_fresh(tree.root)
            assert bench.host.calls["list_folder"] == 1
            bench.host.add("a.mp4")
            await trio.sleep(2)
            await tree.ensure_fresh(tree.root)  # served as it is, refreshed behind it
            assert bench.names() == []
            await trio.sleep(1)
            assert bench.names() == ["a.mp4"]
            bench.host.add("b.mp4")
            await trio.sleep(601)
            await tree.ensure_fresh(tree.root)
            assert bench.names() == ["a.mp4", "b.mp4"]

    run(main)


def test_what_was_shown_is_refreshed_once_nobody_looks_and_after_a_second_anyway(
    bench: Bench,
) -> None:
    async def main() -> None:
        async with bench.open(dir_ttl_s=60, dir_stale_s=600) as tree:

            async def look(times: int) -> int:
                for _ in range(times):
                    await tree.ensure_fresh(tree.root)
                    await trio.sleep(0.05)
                return bench.host.calls["list_folder"]

            assert await look(1) == 1
            await trio.sleep(61)
            assert await look(10) == 1
            await trio.sleep(0.2)
            assert await look(1) == 2
            await trio.sleep(61)
            assert await look(25) == 3

    run(main)


def test_that_a_name_is_free_is_only_said_of_a_fresh_listing(bench: Bench) -> None:
    async def main() -> None:
        async with bench.open(dir_ttl_s=60, dir_stale_s=600) as tree:
            await tree.ensure_fresh(tree.root)
            bench.host.add("a.mp4")
            assert await tree.look(tree.root, "a.mp4") is None
            await trio.sleep(61)
            assert await tree.look(tree.root, ".hidden") is None
            assert bench.host.calls["list_folder"] == 1
            assert await tree.look(tree.root, "a.mp4") is not None

    run(main)


def test_a_given_name_outlives_what_a_conversion_makes_of_the_title(bench: Bench) -> None:
    async def main() -> None:
        async with bench.open(dir_ttl_s=1, dir_stale_s=1) as tree:
            code = bench.host.add("a.mp4")
            await tree.ensure_fresh(tree.root)
            node = tree.find_child(tree.root, "a.mp4")
            assert node is not None
            tree.move(node, tree.root, "b.mp4", title="b.mp4")
            for title, name in (("b.mp4", "b.mp4"), ("b.mp4.mp4", "b.mp4"), ("c.mp4", "c.mp4")):
                await trio.sleep(700)
                bench.host.change(code, title=title)
                await tree.refresh(tree.root)
                assert bench.names() == [name]

    run(main)


def test_many_who_want_a_listing_share_one(bench: Bench) -> None:
    bench.host.on("list_folder", lambda: trio.sleep(1))  # noqa: ASYNC105 - a step, not a call

    async def main() -> None:
        async with bench.open() as tree, trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(tree.ensure_fresh, tree.root)

    run(main)
    assert bench.host.calls["list_folder"] == 1


def test_an_unreachable_host_leaves_the_last_known_listing(bench: Bench) -> None:
    bench.host.add("a.mp4")

    async def main() -> None:
        async with bench.open() as tree:
            bench.host.on("list_folder", raising(HostServerError("500")))
            with pytest.raises(HostServerError):
                await tree.ensure_fresh(tree.root)
            await tree.ensure_fresh(tree.root)
            await trio.sleep(3600)
            bench.host.on("list_folder", raising(HostServerError("500")))
            await tree.ensure_fresh(tree.root)
            assert bench.names() == ["a.mp4"]

    run(main)


def test_a_host_that_answers_nothing_is_waited_for_once(bench: Bench) -> None:
    bench.host.add_folder("Films")
    gate = trio.Event()

    async def shown_after_s(tree: Tree, folder: Node) -> float:
        started = trio.current_time()
        await tree.ensure_fresh(folder)
        return trio.current_time() - started

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            films = bench.child("Films")
            await tree.refresh(films)
            await trio.sleep(3600)
            bench.host.on("list_folder", gate.wait, gate.wait)
            assert 5 < await shown_after_s(tree, tree.root) < 15
            assert tree.is_late
            assert await shown_after_s(tree, tree.root) == 0
            assert await shown_after_s(tree, films) == 0
            assert list(bench.names()) == ["Films"]
            bench.host.add("a.mp4")
            gate.set()
            await trio.sleep(5)
            assert sorted(bench.names()) == ["Films", "a.mp4"], "the answer came behind"
            assert not bench.tree.is_late

    run(main)


def test_an_unforeseen_answer_breaks_one_listing_and_nothing_else(bench: Bench) -> None:
    async def main() -> None:
        async with bench.open() as tree:
            bench.host.on("list_folder", raising(KeyError("surprise")))
            with pytest.raises(UnreadableAnswerError):
                await tree.refresh(tree.root)
            await tree.refresh(tree.root)

    run(main)


# ------------------------------------------------------------------------------ walking


@pytest.mark.parametrize("parallel", [1, 4])
def test_folders_are_listed_ahead_of_a_walk_and_only_then(bench: Bench, parallel: int) -> None:
    host = bench.host
    tops = [host.add_folder(f"top {number}") for number in range(10)]
    for top in tops:
        for number in range(3):
            host.add_folder(f"deep {number}", top)

    async def main() -> None:
        async with bench.open() as tree, trio.open_nursery() as nursery:
            walker = Walker(tree, parallel=parallel, clock=trio.current_time)
            walker.start(nursery)
            await tree.refresh(tree.root)
            walker.listed(tree.root)
            await trio.sleep(1)
            assert host.calls["list_folder"] == 1, "one listing is no walk"
            first = bench.child("top 0")
            await tree.refresh(first)
            walker.listed(first)
            await trio.sleep(1)
            assert host.calls["list_folder"] == 1 + 10 + 30
            walker.listed(bench.child("top 1"))
            await trio.sleep(1)
            assert host.calls["list_folder"] == 41, "nothing twice"

    run(main)


def test_a_walk_goes_on_past_a_folder_that_fails(bench: Bench) -> None:
    for number in range(5):
        bench.host.add_folder(f"top {number}")

    async def main() -> None:
        async with bench.open() as tree, trio.open_nursery() as nursery:
            walker = Walker(tree, parallel=2, clock=trio.current_time)
            walker.start(nursery)
            await tree.refresh(tree.root)
            walker.listed(tree.root)
            first = bench.child("top 0")
            await tree.refresh(first)
            bench.host.on("list_folder", *[raising(HostServerError("500"))] * 2)
            walker.listed(first)
            await trio.sleep(1)
            listed = [n for n in tree.entries(tree.root).values() if tree.listed_at(n)]
            assert len(listed) == 3

    run(main)


def test_a_mixed_up_name_is_told_to_the_kernel(bench: Bench) -> None:
    async def main() -> None:
        async with bench.open() as tree:
            bench.host.add("a.mp4")
            await tree.refresh(tree.root)
            theirs = bench.child("a.mp4")
            mine = tree.add_file(tree.root, "a.mp4")
            assert bench.child("a.mp4") is mine
            assert theirs.name == f"a [{theirs.remote}].mp4"
            assert bench.child(theirs.name) is theirs

    run(main)


# ------------------------------------------------------------------------------ moves and loops


@pytest.mark.parametrize("what", ["file", "its folder"])
def test_what_is_moved_elsewhere_keeps_what_only_we_know_of_it(bench: Bench, what: str) -> None:
    """Its old place is seen to be empty before its new one is looked at."""
    host = bench.host
    a, b = host.add_folder("A"), host.add_folder("B")
    inner = host.add_folder("Inner", a)
    code = host.add("film.mp4", folder=inner)
    host.change(code, size_bytes=None)

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            for path in (("A",), ("A", "Inner"), ("B",)):
                folder = tree.root
                for name in path:
                    folder = bench.child(name, folder)
                await tree.refresh(folder)
            film = tree.find_by_remote(NodeKind.FILE, code)
            assert film is not None
            tree.record_uploaded(film, code, title="film.mp4", size_bytes=4711, sha1="ab" * 20)
            tree.set_mtime(film, 5_000_000_000)
            await trio.sleep(SETTLE_S + 1)
            if what == "file":
                host.change(code, folder=b)
            else:
                host.folders[inner] = replace(host.folders[inner], parent=b)
            source, target = bench.child("A"), bench.child("B")
            await tree.refresh(bench.child("Inner", source) if what == "file" else source)
            assert tree.find_by_remote(NodeKind.FILE, code) is None
            await tree.refresh(target)
            if what == "its folder":
                target = bench.child("Inner", target)
                await tree.refresh(target)
            film = bench.child("film.mp4", target)
            assert (film.size_bytes, film.mtime_ns, film.sha1) == (4711, 5_000_000_000, "ab" * 20)

    run(main)


def test_a_move_that_only_we_know_of_is_not_undone_however_long_it_takes(bench: Bench) -> None:
    """The host has the old bytes in the old place until the upload is over."""
    films, more = bench.host.add_folder("Films"), bench.host.add_folder("More")
    bench.host.add("a.mp4", folder=films)

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            source, target = bench.child("Films"), bench.child("More")
            await tree.refresh(source)
            node = bench.child("a.mp4", source)
            tree.move(node, target, "b.mp4", title=None)
            await trio.sleep(1)
            await tree.refresh(source)  # not pinned: what was moved just now is ours
            assert (bench.names(source), bench.names(target)) == ([], ["b.mp4"])
            bench.pinned.add(node.inode)
            await trio.sleep(2 * SETTLE_S)
            bench.host.change(FileCode(node.remote or ""), title="host.mp4", size_bytes=77)
            for folder in (source, target):
                await tree.refresh(folder)
            assert (bench.names(source), bench.names(target)) == ([], ["b.mp4"])
            assert (node.inode, True) not in bench.notes.nodes

    run(main)
    assert more


def test_folders_that_changed_places_elsewhere_make_no_loop(bench: Bench) -> None:
    host = bench.host
    a = host.add_folder("A")
    b = host.add_folder("B", a)
    host.add("in-a.mp4", folder=a)
    host.add("in-b.mp4", folder=b)

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            outer = bench.child("A")
            await tree.refresh(outer)
            inner = bench.child("B", outer)
            await tree.refresh(inner)
            host.folders[b] = replace(host.folders[b], parent=host.root)
            host.folders[a] = replace(host.folders[a], parent=b)
            await tree.refresh(inner)
            assert list(tree.ancestors(inner)) == [outer, tree.root]
            assert tree.path_of(inner) == "/A/B"
            await bench.look()
            assert bench.names() == ["B"]
            assert bench.child("B") is inner
            assert inner.linked
            assert bench.names(inner) == ["in-b.mp4"]
            await tree.refresh(inner)
            assert bench.names(inner) == ["A", "in-b.mp4"]
            moved = bench.child("A", inner)
            await tree.refresh(moved)
            assert bench.names(moved) == ["in-a.mp4"]
            assert tree.path_of(bench.child("in-a.mp4", moved)) == "/B/A/in-a.mp4"

    run(main)


def test_a_loop_in_a_catalogue_of_before_hangs_nobody(bench: Bench) -> None:
    a = bench.host.add_folder("A")
    bench.host.add_folder("B", a)

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            outer = bench.child("A")
            await tree.refresh(outer)
            inner = bench.child("B", outer)
            outer.parent = inner.inode
            tree.save(outer)
            assert outer in list(tree.ancestors(inner))
            assert tree.path_of(inner)
            tree.record_lost(inner)
            assert not inner.linked

    run(main)


def test_what_the_host_lost_leaves_unless_it_is_ours(bench: Bench) -> None:
    for title in ("a.mp4", "b.mp4", "c.mp4"):
        bench.host.add(title)

    async def main() -> None:
        async with bench.open() as tree:
            await tree.refresh(tree.root)
            lost, pinned, fresh = (bench.child(f"{name}.mp4") for name in "abc")
            bench.pinned.add(pinned.inode)
            tree.record_title(fresh, "new.mp4")
            for node in (lost, pinned, fresh):
                tree.record_lost(node)
            assert bench.names() == ["b.mp4", "c.mp4"]
            assert bench.notes.entries == [(1, "a.mp4", lost.inode)]
            assert tree.find_by_remote(NodeKind.FILE, lost.remote or "") is None

    run(main)
