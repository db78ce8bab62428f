"""When the kernel is told of names that changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pyfuse3
import pytest
import trio

from tests.unit.fakes import run, settle
from vidfs.fuse import notify
from vidfs.fuse.notify import KernelNotifier
from vidfs.types import Inode

T = TypeVar("T")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    told: list[tuple[int, str]] = []
    monkeypatch.setattr(notify, "_tell_entry", lambda parent, name: told.append((parent, name)))

    async def run_at_once(function: Callable[[T], None], argument: T) -> None:
        function(argument)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_at_once)
    return told


@pytest.mark.parametrize("serves_any", [False, True])
def test_a_folder_that_is_asked_about_is_told_of_when_the_request_is_over(
    told: list[tuple[int, str]], serves_any: bool
) -> None:
    async def main() -> None:
        notifier = KernelNotifier()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(notifier.run)
            with notifier.serving_any() if serves_any else notifier.serving(5):
                with notifier.serving(5):
                    notifier.entry_changed(Inode(5), "a", None)
                notifier.entry_changed(Inode(7), "b", None)
                await settle()
                assert told == ([] if serves_any else [(7, "b")])
                notifier.entry_changed(Inode(5), "a", Inode(9))
            await settle()
            assert sorted(told) == [(5, "a"), (7, "b")]
            notifier.entry_changed(Inode(5), "c", None)
            await settle()
            assert told[-1] == (5, "c")
            nursery.cancel_scope.cancel()

    run(main)


def test_other_bytes_are_not_dropped_by_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel would have us wait for reads under way, also when we are killed: whoever opens
    the file next has it drop them."""
    told: list[bool] = []
    monkeypatch.setattr(
        pyfuse3, "invalidate_inode", lambda inode, attr_only=False: told.append(attr_only)
    )
    notifier = KernelNotifier()
    notifier.node_changed(Inode(5), content=True)
    notifier.node_changed(Inode(7), content=False)
    notify._tell_all(notifier._changed)
    assert told == [True, True]
