"""What a start makes of what the last one left: cut off, torn, without a catalogue."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from tests.unit.fakes import raising
from tests.unit.volume.test_volume import NEW, Rig, run
from vidfs.errors import HostServerError, SpoolFullError
from vidfs.tree.journal import SqlJournal
from vidfs.tree.merge import SETTLE_S
from vidfs.tree.store import Store
from vidfs.types import ROOT_INODE, Job, JobState, NodeKind
from vidfs.volume import Volume


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def states(volume: Volume) -> list[JobState]:
    return [job.state for job in volume.writeback.queue.jobs]


async def write_open(rig: Rig, name: str, *parts: bytes, flushed: bool = False) -> None:
    """Write, and leave it open; *flushed*: after every part but the last a descriptor closes."""
    fh, _ = await rig.volume.create(ROOT_INODE, name, NEW)
    offset = 0
    for number, part in enumerate(parts):
        if number:
            await rig.volume.files.flush(fh)
        await rig.volume.files.write(fh, offset, part)
        offset += len(part)
    if flushed:
        await rig.volume.files.flush(fh)


def in_catalogue(rig: Rig, change: Callable[[Store], None]) -> None:
    store = Store(rig.tmp_path / "state" / "catalogue.sqlite")
    change(store)
    store.close()


def cut_power(rig: Rig) -> None:
    """As if the machine had gone down under the daemon, not stopped it."""
    in_catalogue(rig, lambda store: SqlJournal(store).save_boot("an earlier boot"))


def spool_of(rig: Rig) -> Path:
    return rig.tmp_path / "state" / "spool"


# ------------------------------------------------------------------------------ cut off


def test_a_file_cut_off_while_rewritten_is_sent_by_retry(rig: Rig) -> None:
    """Its size was written down at an earlier close; the old bytes go when it is there."""
    rig.host.add("a.mp4", b"old")

    async def one() -> None:
        async with rig.open(gentle=False):
            await write_open(rig, "a.mp4", b"one", b"more")

    async def two() -> None:
        async with rig.open() as volume:
            assert states(volume) == [JobState.PARKED]
            assert volume.retry() == 1
            assert await volume.wait_uploads() == 0

    run(one)
    [stored] = rig.host.stored.values()
    assert stored.content == b"old"
    run(two)
    assert rig.at_host() == {"a.mp4": b"onemore"}


@pytest.mark.parametrize("before", [True, False])
def test_a_truncation_that_was_cut_off_is_done_or_not(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    async def one() -> None:
        async with rig.open(gentle=False) as volume:
            await rig.write("a.mp4", b"whole")
            await rig.until(lambda: not states(volume))
            node = volume.tree.find_child(volume.tree.root, "a.mp4")
            assert node is not None
            step = "content.spool.SpoolFile.truncate" if before else "tree.tree.Tree.set_mtime"
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(f"vidfs.{step}", die)
                await volume.set_size(node.inode, 2)

    async def two() -> None:
        async with rig.open() as volume:
            await rig.until(lambda: not states(volume))
            assert await rig.read("a.mp4") == (b"whole" if before else b"wh")
            assert len(rig.at_host()) == 1

    run(one)
    run(two)


def test_a_scratch_file_that_was_cut_off_needs_nobody(rig: Rig) -> None:
    async def one() -> None:
        async with rig.open(gentle=False):
            await write_open(rig, ".a.mp4.XyZ", b"half")

    async def two() -> None:
        async with rig.open() as volume:
            assert await volume.wait_uploads() == 0
            assert states(volume) == [JobState.LOCAL]

    run(one)
    run(two)


@pytest.mark.parametrize("name", ["a.part", "a.mp4"])
def test_half_a_file_is_not_sent_for_its_new_name(rig: Rig, name: str) -> None:
    async def one() -> None:
        async with rig.open(gentle=False):
            await write_open(rig, name, b"half")

    async def two() -> None:
        async with rig.open() as volume:
            await volume.rename(ROOT_INODE, name, ROOT_INODE, "b.mp4", replace=True)
            assert await volume.wait_uploads() == 1
            [upload] = volume.status().uploads
            assert "interrupted" in upload.reason
            await volume.rename(ROOT_INODE, "b.mp4", ROOT_INODE, "b.part", replace=True)
            assert states(volume) == [JobState.LOCAL]
        async with rig.open() as volume:
            await volume.rename(ROOT_INODE, "b.part", ROOT_INODE, "c.mp4", replace=True)
            assert await volume.wait_uploads() == 1
            assert rig.at_host() == {}
            assert volume.retry() == 1
            assert await volume.wait_uploads() == 0

    run(one)
    run(two)
    assert rig.at_host() == {"c.mp4": b"half"}


def test_a_rewrite_makes_a_file_whole_that_was_cut_off(rig: Rig) -> None:
    async def one() -> None:
        async with rig.open(gentle=False):
            await write_open(rig, "a.part", b"half")

    async def two() -> None:
        async with rig.open() as volume:
            await rig.write("a.part", b"whole film")
            await volume.rename(ROOT_INODE, "a.part", ROOT_INODE, "a.mp4", replace=True)
            assert await volume.wait_uploads() == 0

    run(one)
    run(two)
    assert rig.at_host() == {"a.mp4": b"whole film"}


# ------------------------------------------------------------------------------ power cuts


@pytest.mark.parametrize("power_cut", [True, False])
def test_bytes_that_may_be_torn_wait_for_a_person(rig: Rig, power_cut: bool) -> None:
    async def one() -> None:
        async with rig.open(gentle=False):
            await write_open(rig, "a.mp4", b"film", flushed=True)

    async def two() -> None:
        async with rig.open() as volume:
            assert await volume.wait_uploads() == power_cut
            if power_cut:
                assert rig.at_host() == {}
                [upload] = volume.status().uploads
                assert upload.reason.startswith("the machine went down")
                assert volume.retry() == 1
                assert await volume.wait_uploads() == 0

    run(one)
    if power_cut:
        cut_power(rig)
    run(two)
    assert rig.at_host() == {"a.mp4": b"film"}


@pytest.mark.parametrize("torn", [True, False])
def test_what_waits_in_the_queue_is_hashed_again_after_a_power_cut(rig: Rig, torn: bool) -> None:
    async def one() -> None:
        rig.host.on("upload", raising(HostServerError("busy")))
        async with rig.open(gentle=False) as volume:
            await rig.write("a.mp4", b"film")
            await rig.until(lambda: rig.host.calls["upload"] == 1)
            await rig.until(lambda: states(volume) == [JobState.QUEUED])

    async def two() -> None:
        async with rig.open() as volume:
            assert await volume.wait_uploads() == torn
            if torn:
                volume.retry()
                assert await volume.wait_uploads() == 1

    run(one)
    [path] = spool_of(rig).iterdir()
    if torn:
        path.write_bytes(b"\0" * 4)
    cut_power(rig)
    run(two)
    assert rig.at_host() == ({} if torn else {"a.mp4": b"film"})


def test_a_queued_file_is_open_again_on_disk_before_its_bytes_change(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut may leave other bytes under a row that says: send them."""

    async def main() -> None:
        rig.host.on("upload", raising(HostServerError("busy")))
        async with rig.open() as volume:
            attr = await rig.write("a.mp4", b"film")
            await rig.until_state("a.mp4", JobState.QUEUED)
            local = volume.writeback.find(attr.inode)
            assert local is not None
            saved: list[bool] = []
            save, write = volume.writeback._journal.save, local.file.write

            def note(job: Job, *, durable: bool = False) -> None:
                save(job, durable=durable)
                saved.append(durable and job.state is JobState.WRITING)

            def check(offset: int, data: bytes) -> int:
                assert any(saved)
                return write(offset, data)

            monkeypatch.setattr(volume.writeback._journal, "save", note)
            monkeypatch.setattr(local.file, "write", check)
            fh = await rig.open_file("a.mp4", os.O_WRONLY)
            await volume.files.write(fh, 0, b"FILM")
            await rig.close(fh)
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": b"FILM"}


def test_bytes_that_were_still_being_sealed_wait_for_a_person(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def one() -> None:
        async with rig.open(gentle=False) as volume:

            async def seal(*args: object, **kwargs: object) -> None:
                await trio.sleep_forever()

            with monkeypatch.context() as patched:
                patched.setattr(volume._spool, "seal", seal)
                await rig.write("a.mp4", b"film")
                await trio.lowlevel.checkpoint()
                assert states(volume) == [JobState.SEALED]

    async def two() -> None:
        async with rig.open() as volume:
            assert await volume.wait_uploads() == 1
        [path] = spool_of(rig).iterdir()
        path.write_bytes(b"fil")
        async with rig.open() as volume:
            volume.retry()
            assert await volume.wait_uploads() == 1, "cut bytes were sent"

    run(one)
    cut_power(rig)
    run(two)
    assert rig.at_host() == {}


@pytest.mark.parametrize("name", ["a.mp4", "a.mp4.part"])
def test_a_power_cut_after_a_stop_in_good_order_tears_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    synced: set[str] = set()
    fsync = os.fsync

    def note(fd: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{fd}").readlink()))
        fsync(fd)

    async def one() -> None:
        async with rig.open(gentle=False):
            await write_open(rig, name, b"film", flushed=True)
            if name.endswith(".part"):
                rig.volume.files.release_all()
                assert states(rig.volume) == [JobState.LOCAL]
            monkeypatch.setattr(os, "fsync", note)

    async def two() -> None:
        async with rig.open() as volume:
            if name != "a.mp4":
                await volume.rename(ROOT_INODE, name, ROOT_INODE, "a.mp4", replace=True)
            assert await volume.wait_uploads() == 0

    run(one)
    [path] = spool_of(rig).iterdir()
    assert str(path) in synced
    monkeypatch.setattr("vidfs.volume.writeback.load_boot_id", lambda: "a later boot")
    run(two)
    assert rig.at_host() == {"a.mp4": b"film"}


def test_what_fsync_returned_for_survives_a_power_cut(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut takes what SQLite wrote without syncing: all since the last durable step."""
    state, before = rig.tmp_path / "state", rig.tmp_path / "before"
    durable = Store.durable
    steps: list[Store] = []

    def count(self: Store) -> object:
        steps.append(self)
        return durable(self)

    async def one() -> None:
        async with rig.open(gentle=False) as volume:
            await rig.names()
            fh, _ = await volume.create(ROOT_INODE, "a.mp4", NEW)
            await volume.files.write(fh, 0, b"film")
            monkeypatch.setattr(Store, "durable", count)
            await volume.files.fsync(fh)
            assert steps, "the row isn't on disk"
            shutil.copytree(state, before)

    async def two() -> None:
        shutil.rmtree(state)
        before.rename(state)
        async with rig.open() as volume:
            assert states(volume) == [JobState.PARKED]
            assert await rig.read("a.mp4") == b"film"

    run(one)
    run(two)


# ------------------------------------------------------------------------------ lost and found


def test_a_lost_catalogue_costs_no_bytes(rig: Rig) -> None:
    async def one() -> None:
        async with rig.open(gentle=False):
            await write_open(rig, "a.mp4", b"precious")

    async def two() -> None:
        async with rig.open() as volume:
            assert "lost" in volume.note
            assert volume.status().note == volume.note
            await rig.write("b.mp4", b"film")
            assert await volume.wait_uploads() == 0
        async with rig.open() as volume:
            assert volume.note == ""

    run(one)
    for path in (rig.tmp_path / "state").glob("catalogue*"):
        path.unlink()
    run(two)
    assert [path.read_bytes() for path in (spool_of(rig) / "lost").iterdir()] == [b"precious"]
    assert rig.at_host() == {"b.mp4": b"film"}


def test_an_unlinked_open_file_leaves_no_bytes_behind(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open(gentle=False) as volume:
            fh, _ = await volume.create(ROOT_INODE, "a.mp4", NEW)
            await volume.files.write(fh, 0, b"film")
            await volume.unlink(ROOT_INODE, "a.mp4")
            assert await volume.files.read(fh, 0, 10) == b"film"
        assert list(spool_of(rig).iterdir()) == []

    run(main)


def test_old_tombstones_go_at_the_start(rig: Rig) -> None:
    now = time.time()

    def bury(store: Store) -> None:
        store.save_tombstone(NodeKind.FILE, "old", now - 2 * SETTLE_S - 10)
        store.save_tombstone(NodeKind.FILE, "new", now - SETTLE_S)

    async def main() -> None:
        async with rig.open() as volume:
            assert volume._store.find_tombstone(NodeKind.FILE, "old") is None
            assert volume._store.find_tombstone(NodeKind.FILE, "new") is not None

    (rig.tmp_path / "state").mkdir()
    in_catalogue(rig, bury)
    run(main)


# ------------------------------------------------------------------------------ a full disk


def test_a_full_catalogue_is_told_to_who_writes_and_ends_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            fh, _ = await volume.create(ROOT_INODE, "a.mp4", NEW)
            await volume.files.write(fh, 0, b"film")

            def full(*args: object, **kwargs: object) -> None:
                raise SpoolFullError("the disk of the catalogue is full")

            with monkeypatch.context() as patched:
                for name in ("save", "create", "drop"):
                    patched.setattr(volume.writeback._journal, name, full)
                with pytest.raises(SpoolFullError):
                    await volume.create(ROOT_INODE, "b.mp4", NEW)
                with pytest.raises(SpoolFullError):
                    await volume.files.flush(fh)
                volume.files.release(fh)
                await rig.until(lambda: "full" in next(iter(volume.writeback.queue.jobs)).reason)
            for job in volume.writeback.queue.jobs:
                volume.writeback.queue.retry(job)
            assert await volume.wait_uploads() == 0
            assert await rig.names() == ["a.mp4"]

    run(main)
    assert rig.at_host() == {"a.mp4": b"film"}


def test_a_file_that_was_only_named_when_the_daemon_died_is_not_there(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open(gentle=False) as volume:
            volume.tree.add_file(volume.tree.root, "a.mp4")  # and died before its row was written
        async with rig.open() as volume:
            assert await volume.lookup(ROOT_INODE, "a.mp4") is None
            await rig.write("a.mp4", b"film")
            assert await volume.wait_uploads() == 0
        assert rig.at_host() == {"a.mp4": b"film"}

    run(main)


@pytest.mark.parametrize(("old", "new"), [(".a.mp4.part", "a.mp4"), ("a.mp4", ".a.mp4.old")])
def test_a_rename_that_the_daemon_died_right_after_counts_for_the_upload(
    rig: Rig, old: str, new: str
) -> None:
    """The tree has the new name; what that means for the bytes was not written down yet."""

    async def main() -> None:
        async with rig.open(gentle=False) as volume:
            volume.writeback.queue._workers_max = 0
            await rig.write(old, b"film")
            await rig.until(lambda: states(volume)[0] is not JobState.SEALED)
            volume.writeback.renamed = lambda node: None  # type: ignore[method-assign]
            await volume.rename(ROOT_INODE, old, ROOT_INODE, new, replace=True)
        async with rig.open() as volume:
            assert await volume.wait_uploads() == 0
            assert await rig.read(new) == b"film"
        assert rig.at_host() == ({} if new.startswith(".") else {new: b"film"})

    run(main)
