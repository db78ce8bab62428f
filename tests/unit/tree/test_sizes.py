"""Sizes that listings leave out are asked for in few calls, and errors reach who asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.unit.fakes import FakeHost, Notes, clock, raising, run, settle
from vidfs.errors import HostServerError
from vidfs.tree.node import Node
from vidfs.tree.sizes import SizeFinder
from vidfs.tree.store import Store
from vidfs.tree.tree import Tree, TreeSettings
from vidfs.types import ROOT_INODE


class Bench:
    """Files 0.mp4, 1.mp4 … of 100, 101 … bytes, in a listing that tells no sizes."""

    def __init__(self, path: Path, files: int, **abilities: Any) -> None:
        self.host = FakeHost(**abilities)
        self.host.says_sizes = False
        self.codes = [self.host.add(f"{n}.mp4", bytes(100 + n)) for n in range(files)]
        self.store = Store(path)
        self.found: list[int] = []
        self.tree: Tree
        self.sizes: SizeFinder

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.tree = Tree(
            self.store, self.host, TreeSettings(), listener=Notes(),
            is_in_flight=lambda file: False, is_pinned=lambda node: False,
            holds_original=lambda node: False, clock=clock,
        )  # fmt: skip
        self.sizes = SizeFinder(
            self.tree,
            self.host,
            is_known=lambda node: node.size_bytes is not None,
            on_found=lambda inode, changed: self.found.append(inode),
        )
        async with trio.open_nursery() as nursery:
            self.tree.start(nursery)
            self.sizes.start(nursery)
            await self.tree.refresh(self.tree.root)
            yield
            nursery.cancel_scope.cancel()

    def node(self, number: int) -> Node:
        node = self.tree.find_child(self.tree.root, f"{number}.mp4")
        assert node is not None
        return node


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.sqlite"


def test_a_folder_costs_one_call_for_each_batch(path: Path) -> None:
    bench = Bench(path, 120, info_batch_max=50)

    async def main() -> None:
        async with bench.running():
            for number in range(120):
                await bench.sizes.ensure(bench.node(number))
            assert [bench.node(n).size_bytes for n in range(120)] == list(range(100, 220))

    run(main)
    assert bench.host.calls["file_info"] == 3
    assert bench.host.calls["find_size"] == 0
    assert len(bench.found) == 120


def test_single_calls_run_ahead_in_a_growing_window(path: Path) -> None:
    bench = Bench(path, 100, info_sizes=False)

    async def main() -> None:
        async with bench.running():
            assert await bench.sizes.ensure(bench.node(0)) == 100
            await settle()
            assert bench.host.calls["find_size"] <= 4, "one file is no folder"
            for number in range(100):
                assert await bench.sizes.ensure(bench.node(number)) == 100 + number

    run(main)
    assert bench.host.calls["find_size"] == 100


def test_a_batch_that_fails_is_made_up_for_by_a_single_call(path: Path) -> None:
    bench = Bench(path, 3)
    bench.host.on("file_info", raising(HostServerError("500")))

    async def main() -> None:
        async with bench.running():
            assert await bench.sizes.ensure(bench.node(1)) == 101

    run(main)


def test_a_host_that_does_not_answer_is_an_error_and_no_size(path: Path) -> None:
    bench = Bench(path, 1)
    bench.host.on("file_info", raising(HostServerError("500")))
    bench.host.on("find_size", raising(HostServerError("500")))

    async def main() -> None:
        async with bench.running():
            with pytest.raises(HostServerError):
                await bench.sizes.ensure(bench.node(0))
            assert bench.node(0).size_bytes is None
            assert await bench.sizes.ensure(bench.node(0)) == 100

    run(main)


def test_a_folder_is_not_waited_for_file_by_file(path: Path) -> None:
    bench = Bench(path, 3)
    never = trio.Event()

    async def main() -> None:
        async with bench.running():
            bench.host.on("file_info", never.wait)
            bench.host.on("find_size", never.wait)
            with pytest.raises(trio.TooSlowError):
                await bench.sizes.ensure(bench.node(0))
            started = trio.current_time()
            for number in (1, 2):
                with pytest.raises(trio.TooSlowError):
                    await bench.sizes.ensure(bench.node(number))
            assert trio.current_time() == started
            await trio.sleep(20)
            assert await bench.sizes.ensure(bench.node(1)) == 101, "never asked again"
            assert await bench.sizes.ensure(bench.node(2)) == 102

    run(main)


def test_a_host_that_hangs_is_waited_for_only_so_long(path: Path) -> None:
    bench = Bench(path, 1)
    never = trio.Event()
    bench.host.on("file_info", never.wait)
    bench.host.on("find_size", never.wait)

    async def main() -> None:
        async with bench.running():
            started = trio.current_time()
            with pytest.raises(trio.TooSlowError):
                await bench.sizes.ensure(bench.node(0))
            assert trio.current_time() - started <= 61

    run(main)


@pytest.mark.parametrize("abilities", [{}, {"info_sizes": False}])
def test_an_unforeseen_error_ends_nothing_but_the_question(
    path: Path, abilities: dict[str, Any]
) -> None:
    bench = Bench(path, 1, **abilities)
    for call in ("file_info", "find_size"):
        bench.host.on(call, raising(KeyError("surprise")))

    async def main() -> None:
        async with bench.running():
            if abilities:
                assert await bench.sizes.ensure(bench.node(0)) == 100
            else:
                with pytest.raises(KeyError):
                    await bench.sizes.ensure(bench.node(0))
            await settle()

    run(main)


def test_sizes_are_kept_for_good(path: Path) -> None:
    bench = Bench(path, 1)

    async def main() -> None:
        async with bench.running():
            await bench.sizes.ensure(bench.node(0))
            await bench.tree.refresh_newest(bench.tree.root)
            assert bench.node(0).size_bytes == 100
        bench.store.close()

    run(main)
    found = Store(path).load_children(ROOT_INODE)
    assert [node.size_bytes for node in found] == [100]
