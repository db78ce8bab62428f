"""What the account has no room for is not sent: the bytes stay here, the reason is shown."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from tests.unit.volume.test_volume import Rig, run
from vidfs.errors import QuotaError
from vidfs.fuse.errnos import errno_for
from vidfs.types import JobState


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.host.info = replace(rig.host.info, storage_left_bytes=100)
    return rig


def test_a_file_larger_than_what_is_left_waits_for_room(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", b"a" * 80)
            assert await volume.wait_uploads() == 0
            asked = rig.host.calls["account_info"]
            assert asked == 1  # at the start: what is known is enough for this one
            rig.host.info = replace(rig.host.info, storage_left_bytes=20)
            await rig.write("b.mp4", b"b" * 21)
            assert await volume.wait_uploads() == 1
            [upload] = volume.status().uploads
            assert (upload.state, "quota" in upload.reason) == ("parked", True)
            assert rig.host.calls["upload"] == 1
            assert await rig.read("b.mp4") == b"b" * 21
            await rig.write("c.mp4", b"c" * 20)  # which still fits, is sent meanwhile
            assert await volume.wait_uploads() == 1
            assert rig.host.calls["upload"] == 2
            rig.host.info = replace(rig.host.info, storage_left_bytes=21)
            assert volume.retry() == 1
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": b"a" * 80, "b.mp4": b"b" * 21, "c.mp4": b"c" * 20}


def test_two_that_have_room_one_by_one_are_not_sent_at_once(rig: Rig) -> None:
    async def main() -> None:
        answer = trio.Event()
        async with rig.open() as volume:
            rig.host.on("upload", answer.wait)
            await rig.write("a.mp4", b"a" * 60)
            await rig.until_state("a.mp4", JobState.SENDING)
            await rig.write("b.mp4", b"b" * 60)
            await rig.write("c.mp4", b"c" * 30)
            await rig.until(lambda: "c.mp4" in rig.at_host())
            rig.host.info = replace(rig.host.info, storage_left_bytes=10)
            answer.set()
            await rig.until(lambda: "a.mp4" in rig.at_host())
            volume.retry()
            assert await volume.wait_uploads() == 1
            [upload] = volume.status().uploads
            assert (upload.path, "quota" in upload.reason) == ("/b.mp4", True)

    run(main)
    assert rig.at_host() == {"a.mp4": b"a" * 60, "c.mp4": b"c" * 30}
    assert rig.host.calls["upload"] == 2


def test_close_says_that_the_quota_is_used_up(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open(upload_on_close=True) as volume:
            with pytest.raises(QuotaError) as caught:
                await rig.write("a.mp4", b"a" * 101)
            assert errno_for(caught.value) == errno.EDQUOT
            [job] = volume.writeback.queue.jobs
            assert job.state is JobState.PARKED

    run(main)
    assert rig.host.calls["upload"] == 0


@pytest.mark.parametrize("left", [None, -1])
def test_what_is_not_limited_is_sent(rig: Rig, left: int | None) -> None:
    rig.host.info = replace(rig.host.info, storage_left_bytes=left)

    async def main() -> None:
        async with rig.open(upload_on_close=True):
            await rig.write("a.mp4", b"a" * 101)

    run(main)
    assert rig.host.calls["upload"] == rig.host.calls["account_info"] == 1
