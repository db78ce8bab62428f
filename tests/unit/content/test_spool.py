"""The spool: files on the local disk that wait for the host."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidfs.content import running_hash
from vidfs.content.spool import Sealed, Spool
from vidfs.errors import FileTooBigError, SpoolDamagedError, SpoolError
from vidfs.types import FILE_BYTES_MAX, FileCode


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def test_bytes_stay_over_a_reopening(spool: Spool) -> None:
    file = spool.create(1)
    file.write(0, b"some")
    file.write(10, b"more")
    assert file.size_bytes == 14
    file.close()
    assert spool.open(1).read(0, 100) == b"some" + bytes(6) + b"more"


def test_a_number_is_never_used_for_two_files(spool: Spool) -> None:
    spool.create(1)
    with pytest.raises(SpoolError):
        spool.create(1)


def test_a_resting_file_has_no_descriptor_and_wakes_by_itself(spool: Spool) -> None:
    before = len(os.listdir("/proc/self/fd"))
    file = spool.create(1)
    file.write(0, b"film")
    file.rest()
    assert len(os.listdir("/proc/self/fd")) == before
    assert file.size_bytes == 4
    assert file.read(0, 10) == b"film"
    file.rest()
    file.write(4, b"more")
    file.truncate(6)
    file.rest()
    trio.run(file.sync)
    assert file.read(0, 10) == b"filmmo"


def test_a_woken_file_outlives_its_name(spool: Spool) -> None:
    file = spool.create(1)
    file.write(0, b"film")
    file.rest()
    file.wake()
    spool.remove(1)
    assert file.read(0, 10) == b"film"
    file.rest()
    with pytest.raises(SpoolDamagedError):
        file.read(0, 10)


def test_sealing_tells_size_and_hashes(spool: Spool, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    spool.create(1).write(0, content)

    async def main() -> None:
        sealed = await Spool(tmp_path / "spool", sha256=True).seal(1)
        assert sealed.size_bytes == len(content)
        assert sealed.sha1 == hashlib.sha1(content).hexdigest()  # noqa: S324 - what hosts use
        assert sealed.sha256 == hashlib.sha256(content).hexdigest()
        assert (await spool.seal(1)).sha256 is None
        with pytest.raises(SpoolDamagedError):
            await spool.seal(2)

    trio.run(main)


def test_sizes_beyond_the_limit_are_refused_at_once(spool: Spool) -> None:
    file = spool.create(1)
    with pytest.raises(FileTooBigError):
        file.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(FileTooBigError):
        file.write(FILE_BYTES_MAX, b"x")
    assert file.size_bytes == 0


def test_of_what_no_row_stands_for_only_bytes_are_kept(spool: Spool) -> None:
    for number in (1, 2, 3):
        spool.create(number)
    spool.create_patch(7, FileCode("c7"), 1000).fill(0, b"half")
    spool.path_of(4).write_bytes(b"film")
    lost = spool.path_of(4).parent / "lost"
    assert spool.sweep({2}) == (4, [lost / "4"])
    assert spool.open(2).size_bytes == 0
    for number in (1, 4):
        with pytest.raises(SpoolDamagedError):
            spool.open(number)
    spool.path_of(4).write_bytes(b"another")
    assert spool.sweep({2}) == (0, [lost / "4.1"])
    assert spool.sweep({2}) == (0, [])
    assert {path.name: path.read_bytes() for path in lost.iterdir()} == {
        "4": b"film",
        "4.1": b"another",
    }


def test_syncing_a_file_syncs_its_name(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    file = spool.create(1)
    synced = set()

    def fsync(fd: int) -> None:
        synced.add(Path(f"/proc/self/fd/{fd}").readlink())

    monkeypatch.setattr(os, "fsync", fsync)
    trio.run(file.sync)
    assert synced == {spool.path_of(1), spool.path_of(1).parent}


MIB = 1 << 20


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_hash, "_STEP_BYTES", 1)


def _settle_hashing(spool: Spool) -> None:
    step = spool._running[1]._step
    if step is not None:
        step.result()


def _seal_and_count(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> tuple[Sealed, int]:
    """What sealing job 1 comes to, and how many bytes it had to read for it."""
    read_bytes = 0
    plain = os.preadv

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        nonlocal read_bytes
        count = plain(fd, buffers, offset)
        read_bytes += count
        return count

    _settle_hashing(spool)
    monkeypatch.setattr(os, "preadv", preadv)
    return trio.run(spool.seal, 1), read_bytes


@pytest.mark.usefixtures("small_steps")
def test_a_file_written_in_order_was_hashed_when_it_is_closed(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(4 * MIB)
    file = spool.create(1)
    for start in range(0, len(content), MIB):
        file.write(start, content[start : start + MIB])
        _settle_hashing(spool)
    sealed, read_bytes = _seal_and_count(spool, monkeypatch)
    assert sealed.sha1 == hashlib.sha1(content).hexdigest()  # noqa: S324 - what hosts use
    assert read_bytes == MIB  # the last part: what is hashed was followed by more


@pytest.mark.usefixtures("small_steps")
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["append", "write", "truncate"]), st.integers(0, 5000)),
        max_size=30,
    )
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_was_written_the_hash_is_that_of_the_file(
    tmp_path: Path, steps: list[tuple[str, int]]
) -> None:
    with TemporaryDirectory(dir=tmp_path) as directory:
        spool = Spool(Path(directory), sha256=True)
        file = spool.create(1)
        for number, (step, value) in enumerate(steps):
            if step == "truncate":
                file.truncate(value % (file.size_bytes + 2))
            else:
                offset = file.size_bytes if step == "append" else value
                file.write(offset, bytes([number]) * (value + 1))
            if value % 2:
                _settle_hashing(spool)
        sealed = trio.run(spool.seal, 1)
        content = spool.path_of(1).read_bytes()
    assert sealed.size_bytes == len(content)
    assert sealed.sha1 == hashlib.sha1(content).hexdigest()  # noqa: S324 - what hosts use
    assert sealed.sha256 == hashlib.sha256(content).hexdigest()


def test_sealing_that_is_cancelled_gives_its_thread_back(spool: Spool) -> None:
    """Each of these would be hashed for an hour, and all but four of them wait for a thread."""
    for number in range(12):
        spool.create(number).truncate(4 << 40)
    spool.create(99).write(0, b"film")

    async def main() -> None:
        everybodys = trio.to_thread.current_default_thread_limiter()
        with trio.fail_after(20):
            for number in range(12):
                with trio.move_on_after(0.05):
                    await spool.seal(number)
                assert everybodys.borrowed_tokens == 0
            assert (await spool.seal(99)).size_bytes == 4

    trio.run(main)


def test_a_spool_that_was_removed_under_us_is_no_missing_file(spool: Spool) -> None:
    spool.path_of(1).parent.rmdir()
    with pytest.raises(SpoolDamagedError):
        spool.create(1)
