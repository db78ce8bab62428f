"""A request that the kernel takes back is not waited for in its `read`."""

from __future__ import annotations

import os

import pyfuse3
import pytest
import trio
import trio.testing

from tests.unit.fakes import run
from vidfs.fuse import waiting


def test_what_is_gone_when_it_is_to_be_read_is_waited_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    readable = trio.lowlevel.wait_readable
    gone: list[bytes] = []

    async def main() -> None:
        async def wait_and_lose(fd: int) -> None:
            await readable(fd)
            if not gone:
                gone.append(os.read(fd, 1))

        monkeypatch.setattr(trio.lowlevel, "wait_readable", wait_and_lose)
        os.write(writing, b"1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiting.wait_for_request, reading)
            await trio.testing.wait_all_tasks_blocked()
            assert gone == [b"1"]
            assert len(nursery.child_tasks) == 1, "nothing is there to be read"
            os.write(writing, b"2")
        assert os.read(reading, 1) == b"2"

    try:
        run(main)
    finally:
        os.close(reading)
        os.close(writing)


def test_pyfuse3_waits_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyfuse3, "trio", trio)
    waiting.install()
    assert pyfuse3.trio.lowlevel.wait_readable is waiting.wait_for_request  # type: ignore[attr-defined]
    assert pyfuse3.trio.open_nursery is trio.open_nursery  # type: ignore[attr-defined]
