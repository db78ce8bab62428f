"""Changing a film that is at the host: its other bytes are fetched when they are needed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import trio

from tests.unit.fakes import raising
from tests.unit.volume.test_volume import Rig, run
from vidfs.errors import (
    AccessDeniedError,
    ContentAbilityError,
    HostNotFoundError,
    HostServerError,
    SpoolDamagedError,
    VidfsError,
)
from vidfs.fuse.errnos import errno_for
from vidfs.types import ROOT_INODE, FileCode, Job, JobState
from vidfs.volume import Volume

OLD = bytes((i * 7 + i // 251) % 255 + 1 for i in range(3_000_000))  # no byte of it is 0


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.host.add("a.mp4", OLD)
    return rig


def job_of(volume: Volume) -> Job:
    [job] = volume.writeback.queue.jobs
    return job


async def change(rig: Rig, offset: int, data: bytes, flags: int = os.O_RDWR) -> int:
    fh = await rig.open_file("a.mp4", flags)
    await rig.volume.files.write(fh, offset, data)
    return fh


def test_appending_asks_the_host_for_nothing_until_it_is_closed(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            fh = await change(rig, 0, b"MORE", os.O_WRONLY | os.O_APPEND)
            assert rig.host.calls["open_link"] == 0
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            assert attr.size_bytes == len(OLD) + 4
            await rig.close(fh)
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": OLD + b"MORE"}


def test_a_reader_sees_what_was_written_and_the_rest_from_the_host(rig: Rig) -> None:
    new = OLD[:700_000] + b"NEW" + OLD[700_003:]

    async def main() -> None:
        async with rig.open() as volume:
            fh = await change(rig, 700_000, b"NEW")
            read = volume.files.read
            assert await read(fh, 699_990, 30) == new[699_990:700_020]
            assert await read(fh, 0, 1 << 22) == new
            # Changed while the host is asked: what was written last counts.
            reader = await rig.open_file("a.mp4", os.O_RDONLY)
            gate = trio.Event()
            rig.host.on("open_stream", gate.wait)
            volume._cache.forget(FileCode("c1"))
            async with trio.open_nursery() as nursery:

                async def look() -> None:
                    assert await read(reader, 2_000_000, 4) == b"last"[:2]

                nursery.start_soon(look)
                await rig.until(lambda: rig.host.calls["open_stream"] >= 1)
                await volume.files.write(fh, 2_000_000, b"last")
                await volume.set_size((await volume.lookup(ROOT_INODE, "a.mp4")).inode, 2_000_002)  # type: ignore[union-attr]
                gate.set()
            volume.files.release(reader)
            await rig.close(fh)
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": new[:2_000_000] + b"la"}


@pytest.mark.parametrize("size", [1, 1_000_000, 4_000_000])
def test_truncating_fetches_only_what_is_left(rig: Rig, size: int) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            await volume.set_size(attr.inode, size)
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": OLD[:size] + bytes(max(0, size - len(OLD)))}
    # … and what a reader is kept ahead of.
    assert sum(stream.given_bytes for stream in rig.host.streams) < size + 1_500_000


def test_a_rest_that_cannot_be_fetched_parks_the_file_and_retry_sends_it(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            fh = await change(rig, 5, b"NEW")
            rig.host.on("open_link", raising(AccessDeniedError("not ours")))
            await rig.close(fh)
            assert await volume.wait_uploads() == 1
            assert "not ours" in job_of(volume).reason
            assert rig.host.calls["upload"] == 0
            assert volume.retry() == 1
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": OLD[:5] + b"NEW" + OLD[8:]}


def test_a_rest_whose_download_fails_for_a_while_is_tried_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidfs.content.reader._READ_DEADLINE_S", 0.05)

    async def main() -> None:
        async with rig.open() as volume:
            fh = await change(rig, 5, b"NEW")
            rig.host.on("open_stream", raising(HostServerError("500")))
            await rig.close(fh)
            await rig.until(lambda: "500" in job_of(volume).reason)
            assert job_of(volume).state is JobState.SEALED
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": OLD[:5] + b"NEW" + OLD[8:]}


@pytest.mark.parametrize("flushed", [False, True])
def test_a_change_that_was_cut_off_survives_with_the_knowledge_of_what_is_missing(
    rig: Rig, flushed: bool
) -> None:
    async def main() -> None:
        async with rig.open(gentle=False) as volume:
            fh = await change(rig, 5, b"NEW")
            await volume.files.read(fh, 1_000_000, 10)
            await volume.files.write(fh, 2_500_000, b"TOO")
            if flushed:
                await volume.files.flush(fh)
        async with rig.open() as volume:
            assert await rig.read("a.mp4") == expected[: 1 << 20]
            if not flushed:
                assert job_of(volume).state is JobState.PARKED
                assert volume.retry() == 1
            assert await volume.wait_uploads() == 0

    expected = OLD[:5] + b"NEW" + OLD[8:2_500_000] + b"TOO" + OLD[2_500_003:]
    run(main)
    assert rig.at_host() == {"a.mp4": expected}


def test_killed_while_the_rest_is_fetched_it_is_fetched_on(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open(gentle=False) as volume:
            fh = await change(rig, 5, b"NEW")
            rig.host.stream_options = {"cut_after_bytes": 2_000_000}
            gate = trio.Event()
            await rig.close(fh)
            await rig.until(lambda: len(rig.host.streams) == 1)
            rig.host.on("open_stream", gate.wait)
            await rig.until(lambda: rig.host.calls["open_stream"] == 2)
            assert job_of(volume).state is JobState.SEALED
            assert "fetching" in volume.status().uploads[0].reason
        rig.host.stream_options = {}
        async with rig.open() as volume:
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": OLD[:5] + b"NEW" + OLD[8:]}


def test_other_content_at_the_host_is_never_mixed_with_a_change(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            fh = await change(rig, 5, b"NEW")
            rig.host.stored[FileCode("c1")].content = b"other" * 100
            with pytest.raises(SpoolDamagedError) as caught:
                await volume.files.read(fh, 100, 10)
            assert errno_for(caught.value) == errno.EIO
            await rig.close(fh)
            assert await volume.wait_uploads() == 1
            assert "not the same" in job_of(volume).reason

    run(main)
    assert rig.at_host() == {"a.mp4": b"other" * 100}


def test_a_change_that_never_came_leaves_the_film_at_the_host(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "full")

    def refuse(fd: int, data: bytes, offset: int) -> int:
        raise full

    async def main() -> None:
        async with rig.open() as volume:
            with monkeypatch.context() as patch:
                patch.setattr(os, "pwrite", refuse)
                fh = await rig.open_file("a.mp4", os.O_RDWR)
                with pytest.raises(VidfsError):
                    await volume.files.write(fh, 0, b"NEW")
            await rig.close(fh)
            assert len(volume.writeback.queue.jobs) == 0
            assert not list((rig.tmp_path / "state" / "spool").iterdir())
            assert await rig.read("a.mp4") == OLD[: 1 << 20]
        async with rig.open(gentle=False) as volume:
            node = volume.tree.find_child(volume.tree.root, "a.mp4")
            assert node is not None
            volume.writeback.create_patch(node)
        async with rig.open() as volume:
            assert len(volume.writeback.queue.jobs) == 0
            assert not list((rig.tmp_path / "state" / "spool").iterdir())

    run(main)
    assert rig.at_host() == {"a.mp4": OLD}


def test_a_film_that_is_gone_from_the_host_parks_its_change(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            fh = await change(rig, 5, b"NEW")
            rig.host.on("open_link", *[raising(HostNotFoundError("no such file"))] * 2)
            await rig.close(fh)
            assert await volume.wait_uploads() == 1
            assert "no such file" in job_of(volume).reason
            kept = rig.tmp_path / "state" / "spool" / f"{job_of(volume).id}.sparse"
            assert kept.read_bytes()[5:8] == b"NEW"

    run(main)


def test_two_may_fetch_the_rest_at_once(rig: Rig) -> None:
    """One that was called off while it waited for the disk goes on to its end."""

    async def main() -> None:
        async with rig.open(uploads_max=1) as volume:
            fh = await change(rig, 5, b"NEW")
            [local] = volume.writeback.locals
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(volume.writeback.complete, local.job)
            await volume.files.write(fh, 1, b"O")
            assert local.file.patch is None
            await rig.close(fh)
            assert await volume.wait_uploads() == 0
            other = await rig.open_file("a.mp4", os.O_RDWR)
            await volume.files.write(other, 9, b"!")
            [local] = volume.writeback.locals
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(volume.writeback.fetch_rest, local)
            await rig.close(other)
            assert await volume.wait_uploads() == 0

    run(main)
    new = OLD[:1] + b"O" + OLD[2:5] + b"NEW" + OLD[8:9] + b"!" + OLD[10:]
    assert rig.at_host() == {"a.mp4": new}


def test_where_the_host_cannot_be_read_all_of_it_comes_from_the_cache_at_once(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("b.mp4", OLD)
            assert await volume.wait_uploads() == 0
            volume._host.capabilities = rig.host.capabilities = type(rig.host)(  # type: ignore[misc]
                read_content=False
            ).capabilities
            fh = await rig.open_file("b.mp4", os.O_RDWR)
            await volume.files.write(fh, 5, b"NEW")
            [local] = volume.writeback.locals
            assert local.file.patch is None
            await rig.close(fh)
            assert await volume.wait_uploads() == 0
            with pytest.raises(ContentAbilityError):
                await rig.open_file("a.mp4", os.O_RDWR)

    run(main)
    assert rig.at_host()["b.mp4"] == OLD[:5] + b"NEW" + OLD[8:]
