"""The file system on a host in memory: what happens while something else is under way."""

from __future__ import annotations

import errno
import os
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tests.unit.fakes import FakeHost, raising
from vidfs.errors import (
    AccessDeniedError,
    BadRequestError,
    ExistsError,
    FileTooBigError,
    HostError,
    HostServerError,
    OutcomeUnknownError,
    QuotaError,
    RateLimitedError,
    StaleError,
    UploadNodeError,
    UploadRefusedError,
    VidfsError,
    WrongKeyError,
)
from vidfs.fuse.errnos import errno_for
from vidfs.hosts.api import UploadOptions
from vidfs.types import ROOT_INODE, Inode, JobState
from vidfs.volume import Attr, Volume, VolumeSettings, writeback

DEADLINE_S = 30.0
NEW = os.O_CREAT | os.O_RDWR


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(DEADLINE_S):
            await main()

    trio.run(bounded)


class Rig:
    """A volume on a fake host, opened as often as a test likes on the same directories."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.host = FakeHost()
        self.host.clock = time.time
        self.volume: Volume

    @asynccontextmanager
    async def open(self, *, gentle: bool = True, **settings: Any) -> AsyncIterator[Volume]:
        """*gentle*: closed at the end; else abandoned as SIGKILL would."""
        state, cache = self.tmp_path / "state", self.tmp_path / "cache"
        state.mkdir(exist_ok=True)
        self.volume = Volume(
            host=self.host, settings=VolumeSettings(**settings), state_dir=state, cache_dir=cache
        )
        async with trio.open_nursery() as nursery:
            await self.volume.start(nursery)
            yield self.volume
            if not gentle:
                # What a killed process leaves: nothing more is written.
                self.volume.writeback.queue._journal = Dead()  # type: ignore[assignment]
            nursery.cancel_scope.cancel()
        await self.volume.aclose()

    async def write(
        self, name: str, content: bytes, flags: int = os.O_TRUNC, parent: Inode = ROOT_INODE
    ) -> Attr:
        fh, attr = await self.volume.create(parent, name, NEW | flags)
        if content:
            await self.volume.files.write(fh, 0, content)
        await self.close(fh)
        return attr

    async def close(self, fh: int) -> None:
        await self.volume.files.flush(fh)
        self.volume.files.release(fh)

    async def open_file(self, name: str, flags: int, parent: Inode = ROOT_INODE) -> int:
        attr = await self.volume.lookup(parent, name)
        assert attr is not None
        return await self.volume.open(attr.inode, flags)

    async def read(self, name: str, parent: Inode = ROOT_INODE) -> bytes:
        fh = await self.open_file(name, os.O_RDONLY, parent)
        try:
            return await self.volume.files.read(fh, 0, 1 << 20)
        finally:
            self.volume.files.release(fh)

    async def names(self, parent: Inode = ROOT_INODE) -> list[str]:
        await self.volume.ensure_listed(parent)
        return sorted(name for name, _ in self.volume.list_folder(parent))

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - of things that nobody announces
            await trio.sleep(0.002)

    async def until_state(self, name: str, state: JobState) -> None:
        attr = await self.volume.lookup(ROOT_INODE, name)
        assert attr is not None
        local = self.volume.writeback.find(attr.inode)
        assert local is not None
        job = local.job
        await self.until(lambda: job.state is state)

    def at_host(self) -> dict[str, bytes]:
        """Fails where two files bear one title."""
        found = {s.file.title: s.content for s in self.host.stored.values()}
        assert len(found) == len(self.host.stored), self.host.titles()
        return found


class Dead:
    """A journal that nothing reaches any more."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def held(event: trio.Event) -> Callable[[], Awaitable[None]]:
    return event.wait


# ------------------------------------------------------------------------------ plain


def test_a_written_file_is_at_the_host_once(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", b"film")
            assert await volume.wait_uploads() == 0
            assert await rig.read("a.mp4") == b"film"

    run(main)
    assert rig.at_host() == {"a.mp4": b"film"}


def test_creating_exclusively_what_exists_is_refused(rig: Rig) -> None:
    rig.host.add("a.mp4", b"theirs")

    async def main() -> None:
        async with rig.open() as volume:
            with pytest.raises(ExistsError):
                await volume.create(ROOT_INODE, "a.mp4", NEW | os.O_EXCL)
            assert await rig.read("a.mp4") == b"theirs"

    run(main)


# ------------------------------------------------------------------------------ handles


def test_a_reader_that_outlives_an_upload_does_not_disturb_the_next_writer(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", b"first")
            reader = await rig.open_file("a.mp4", os.O_RDONLY)
            assert await volume.files.read(reader, 0, 100) == b"first"
            await volume.wait_uploads()
            writer = await rig.open_file("a.mp4", os.O_WRONLY)
            await volume.files.write(writer, 0, b"SECOND")
            assert await volume.files.read(reader, 0, 100) == b"SECOND"
            assert await rig.read("a.mp4") == b"SECOND"
            await rig.close(writer)
            await volume.wait_uploads()
            assert await volume.files.read(reader, 0, 100) == b"SECOND"
            await rig.close(reader)
            assert await rig.read("a.mp4") == b"SECOND"
            assert list((rig.tmp_path / "state" / "spool").iterdir()) == []

    run(main)
    assert rig.at_host() == {"a.mp4": b"SECOND"}


def test_a_reader_that_opened_before_the_upload_ended_reads_on(rig: Rig) -> None:
    async def main() -> None:
        sent = trio.Event()
        rig.host.on("upload", sent.wait)
        async with rig.open() as volume:
            await rig.write("a.mp4", b"film")
            reader = await rig.open_file("a.mp4", os.O_RDONLY)
            sent.set()
            await volume.wait_uploads()
            await volume.unlink(ROOT_INODE, "a.mp4")
            assert await volume.files.read(reader, 0, 100) == b"film"
            await rig.close(reader)

    run(main)


@pytest.mark.parametrize("is_replaced", [False, True])
def test_what_is_held_here_is_read_on_when_its_name_goes(rig: Rig, is_replaced: bool) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", b"film")
            await rig.write("b.mp4", b"other")
            await volume.wait_uploads()
            reader = await rig.open_file("a.mp4", os.O_RDONLY)
            if is_replaced:
                await volume.rename(ROOT_INODE, "b.mp4", ROOT_INODE, "a.mp4", replace=True)
            else:
                await volume.unlink(ROOT_INODE, "a.mp4")
            await volume.wait_uploads()
            assert await volume.files.read(reader, 0, 100) == b"film"
            await rig.close(reader)

    run(main)
    assert rig.at_host() == ({"a.mp4": b"other"} if is_replaced else {"b.mp4": b"other"})


def test_truncating_while_another_fetches_the_old_bytes_leaves_one_upload(rig: Rig) -> None:
    rig.host.add("a.mp4", b"old bytes")
    fetched = trio.Event()

    async def main() -> None:
        async with rig.open() as volume:
            patcher = await rig.open_file("a.mp4", os.O_RDWR)
            rig.host.on("open_stream", fetched.wait)

            async def patch() -> None:
                await volume.files.write(patcher, 0, b"NEW")
                await rig.close(patcher)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(patch)
                await rig.until(lambda: rig.host.calls["open_stream"] == 1)
                other = await rig.open_file("a.mp4", os.O_WRONLY | os.O_TRUNC)
                await volume.files.write(other, 0, b"whole")
                fetched.set()
            await rig.close(other)
            await volume.wait_uploads()
            assert len(volume.writeback.queue.jobs) == 0
            assert await rig.read("a.mp4") in (b"NEWle", b"whole")

    run(main)
    assert set(rig.at_host()) == {"a.mp4"}
    assert rig.at_host()["a.mp4"] in (b"NEWle", b"whole")


def test_a_file_without_bytes_anywhere_can_be_written_again(rig: Rig) -> None:
    """What a kill between making the entry and its spool file leaves."""

    async def main() -> None:
        async with rig.open() as volume:
            volume.tree.add_file(volume.tree.root, "a.mp4")
            fh = await rig.open_file("a.mp4", os.O_WRONLY)
            await volume.files.write(fh, 0, b"film")
            await rig.close(fh)
            await volume.wait_uploads()

    run(main)
    assert rig.at_host() == {"a.mp4": b"film"}


@contextmanager
def _descriptors_max(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_files_that_wait_for_the_host_need_no_descriptors(rig: Rig) -> None:
    never = trio.Event()

    async def main() -> None:
        rig.host.on("upload", *[never.wait] * 4)
        async with rig.open():
            with _descriptors_max(len(os.listdir("/proc/self/fd")) + 30):
                for number in range(200):
                    await rig.write(f"{number}.mp4", b"film")
                assert await rig.read("150.mp4") == b"film"
        rig.host.before.clear()
        with _descriptors_max(len(os.listdir("/proc/self/fd")) + 40):
            async with rig.open() as volume:
                assert await volume.wait_uploads() == 0

    run(main)
    assert len(rig.at_host()) == 200


# ------------------------------------------------------------------------------ renaming


@pytest.mark.parametrize("call", ["file_info", "edit_file", "delete_file"])
def test_a_rename_while_the_upload_is_being_verified_reaches_the_host(rig: Rig, call: str) -> None:
    """Whatever the verification is waiting for at that moment."""
    rig.host.add("a.mp4", b"old")
    go_on = trio.Event()

    async def change_title() -> None:
        """The host has the title wrong: it must be mended."""
        for stored in rig.host.stored.values():
            if stored.content == b"newer":
                rig.host.change(stored.file.code, title="odd")

    async def main() -> None:
        films = rig.host.add_folder("Films")
        async with rig.open() as volume:
            await rig.names()
            rig.host.on("upload", change_title, when="after")
            if call == "file_info":
                rig.host.on(call, _nothing)  # the first is for the options of the old file
            rig.host.on(call, go_on.wait)
            await rig.write("a.mp4", b"newer")
            await rig.until_state("a.mp4", JobState.CONFIRMING)
            await rig.until(lambda: not rig.host.before[call])
            folder = await volume.lookup(ROOT_INODE, "Films")
            assert folder is not None
            await volume.rename(ROOT_INODE, "a.mp4", folder.inode, "b.mp4", replace=True)
            go_on.set()
            await volume.wait_uploads()
            assert rig.host.titles(films) == ["b.mp4"]

    run(main)
    assert rig.at_host() == {"b.mp4": b"newer"}


async def _nothing() -> None:
    pass


def test_replacing_another_while_the_upload_is_being_verified_removes_it(rig: Rig) -> None:
    rig.host.add("a.mp4", b"old")
    rig.host.add("b.mp4", b"victim")
    go_on = trio.Event()

    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            rig.host.on("delete_file", go_on.wait)
            await rig.write("a.mp4", b"newer")
            await rig.until(lambda: rig.host.calls["delete_file"] == 1)
            await volume.rename(ROOT_INODE, "a.mp4", ROOT_INODE, "b.mp4", replace=True)
            go_on.set()
            await volume.wait_uploads()

    run(main)
    assert rig.at_host() == {"b.mp4": b"newer"}


def test_a_file_renamed_over_another_keeps_what_was_known_of_that(rig: Rig) -> None:
    """As rsync and editors replace: description, tags, category and flags are carried over."""
    rig.host.add(
        "a.mp4",
        b"old",
        extra={"description": "about", "tags": "x,y", "category": "5", "public": "0"},
    )

    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            await rig.write(".a.mp4.Xy12", b"newer")
            await volume.rename(ROOT_INODE, ".a.mp4.Xy12", ROOT_INODE, "a.mp4", replace=True)
            await volume.wait_uploads()

    run(main)
    assert rig.at_host() == {"a.mp4": b"newer"}
    [stored] = rig.host.stored.values()
    assert stored.options == UploadOptions(
        public=False, description="about", tags=["x", "y"], category="5"
    )


def test_a_name_that_appears_at_the_host_during_a_rename_is_not_lost(rig: Rig) -> None:
    rig.host.add("a.mp4", b"ours")

    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()

            async def meanwhile() -> None:
                rig.host.add("b.mp4", b"theirs")
                await volume.refresh("")

            rig.host.on("edit_file", meanwhile)
            await volume.rename(ROOT_INODE, "a.mp4", ROOT_INODE, "b.mp4", replace=True)
            await volume.refresh("")
            names = await rig.names()
            assert len(names) == 2
            assert "b.mp4" in names
            assert await rig.read("b.mp4") == b"ours"
            [other] = [name for name in names if name != "b.mp4"]
            assert await rig.read(other) == b"theirs"

    run(main)


# ------------------------------------------------------------------------------ leftovers


@pytest.fixture
def no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to an upload that was withdrawn is not waited for."""
    monkeypatch.setattr("vidfs.content.uploads.ANSWER_GRACE_S", 0.1)


@pytest.mark.usefixtures("no_answer")
def test_a_superseded_upload_that_arrived_is_never_shown(rig: Rig) -> None:
    never, second = trio.Event(), trio.Event()

    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            rig.host.on("upload", never.wait, when="after")
            await rig.write("a.mp4", b"first")
            await rig.until(lambda: len(rig.host.stored) == 1)
            rig.host.on("upload", second.wait)
            await rig.write("a.mp4", b"second")
            await rig.until(lambda: rig.host.calls["list_folder"] > 1)  # the search for it
            await rig.until(lambda: len(volume.writeback.queue.jobs) == 1)
            await volume.refresh("")
            assert await rig.names() == ["a.mp4"]
            second.set()
            await volume.wait_uploads()
            await volume.refresh("")
            assert await rig.names() == ["a.mp4"]

    run(main)
    assert rig.at_host() == {"a.mp4": b"second"}


@pytest.mark.usefixtures("no_answer")
@pytest.mark.parametrize("bytes_after", [b"", b"third"])
def test_a_superseded_upload_is_not_kept_beside_an_older_one(rig: Rig, bytes_after: bytes) -> None:
    """It may only stay where the host would have nothing of the file without it."""
    rig.host.add("a.mp4", b"first")
    never, third = trio.Event(), trio.Event()

    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            rig.host.on("upload", never.wait, when="after")
            await rig.write("a.mp4", b"second")
            await rig.until(lambda: len(rig.host.stored) == 2)
            rig.host.on("upload", third.wait)
            await rig.write("a.mp4", bytes_after)
            await rig.until(lambda: len(volume.writeback.queue.jobs) == 1)
            assert rig.at_host() == {"a.mp4": b"first"}
            third.set()
            await volume.wait_uploads()

    run(main)
    assert rig.at_host() == {"a.mp4": bytes_after or b"first"}


def test_opening_what_was_removed_since_its_lookup_has_the_kernel_look_again(rig: Rig) -> None:
    rig.host.add("a.mp4")

    async def main() -> None:
        async with rig.open() as volume:
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            await volume.unlink(ROOT_INODE, "a.mp4")
            with pytest.raises(StaleError):
                await volume.open(attr.inode, os.O_RDWR)

    run(main)


def test_bytes_only_here_survive_the_loss_of_their_folder_at_the_host(rig: Rig) -> None:
    folder = rig.host.add_folder("Films")
    never = trio.Event()

    async def main() -> None:
        async with rig.open(dir_ttl_s=0, dir_stale_s=0) as volume:
            films = await volume.lookup(ROOT_INODE, "Films")
            assert films is not None
            await rig.names(films.inode)
            rig.host.on("upload", never.wait)
            await rig.write("a.mp4", b"film", parent=films.inode)
            del rig.host.folders[folder]
            await volume.refresh("/")
            with suppress(HostError):
                await volume.refresh("/Films")
            assert await rig.names(films.inode) == ["a.mp4"]
            assert await rig.read("a.mp4", films.inode) == b"film"

    run(main)


def test_removing_a_file_whose_spooled_bytes_are_lost_ends_its_upload(rig: Rig) -> None:
    async def main() -> None:
        rig.host.on("upload", raising(UploadRefusedError("no")))
        async with rig.open() as volume:
            await rig.write("a.mp4", b"film")
            assert await volume.wait_uploads() == 1
        for file in (rig.tmp_path / "state" / "spool").iterdir():
            file.unlink()
        async with rig.open() as volume:
            [upload] = volume.status().uploads
            assert upload.state == "parked"
            await volume.unlink(ROOT_INODE, "a.mp4")
            assert volume.status().uploads == []
        async with rig.open() as volume:
            assert volume.status().uploads == []

    run(main)


@pytest.mark.usefixtures("no_answer")
def test_a_superseded_upload_that_could_not_be_removed_is_retried(rig: Rig) -> None:
    never = trio.Event()

    async def main() -> None:
        async with rig.open() as volume:
            rig.host.on("upload", never.wait, when="after")
            await rig.write("a.mp4", b"first")
            await rig.until(lambda: len(rig.host.stored) == 1)
            rig.host.on("delete_file", raising(UploadRefusedError("not now")))
            await volume.unlink(ROOT_INODE, "a.mp4")
            assert await volume.wait_uploads() == 1
            assert volume.retry() == 1
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {}


def test_a_finished_upload_whose_row_was_not_dropped_is_not_called_lost(rig: Rig) -> None:
    """A kill in the last step of all: the bytes are in the cache or gone, the row is there."""

    async def main() -> None:
        async with rig.open() as volume:
            rig.host.on("file_info", raising(UploadRefusedError("no")))
            await rig.write("a.mp4", b"film")
            assert await volume.wait_uploads() == 1  # parked while confirming
        for file in (rig.tmp_path / "state" / "spool").iterdir():
            file.unlink()
        async with rig.open() as volume:
            volume.retry()
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": b"film"}


# ------------------------------------------------------------------------------ upload=close


def test_close_reports_a_refusal_and_a_rewrite_succeeds(rig: Rig) -> None:
    async def main() -> None:
        rig.host.on("upload", raising(UploadRefusedError("no")))
        async with rig.open(upload_on_close=True) as volume:
            fh, _ = await volume.create(ROOT_INODE, "a.mp4", NEW)
            await volume.files.write(fh, 0, b"film")
            with pytest.raises(UploadRefusedError):
                await volume.files.flush(fh)
            await volume.files.write(fh, 0, b"FILM")
            await volume.files.flush(fh)
            volume.files.release(fh)
            assert volume.status().uploads == []

    run(main)
    assert rig.at_host() == {"a.mp4": b"FILM"}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AccessDeniedError("suspended"), errno.EACCES),
        (WrongKeyError("no"), errno.EACCES),
        (QuotaError("full"), errno.EDQUOT),
        (UploadRefusedError("unallowed extension"), errno.EMEDIUMTYPE),
        (UploadRefusedError("File too big"), errno.EFBIG),
        (UploadRefusedError("storage"), errno.EIO),
        (BadRequestError("no such field"), errno.EINVAL),
    ],
)
def test_close_says_why_the_host_did_not_take_it(rig: Rig, error: Exception, expected: int) -> None:
    async def main() -> None:
        rig.host.on("upload", raising(error))
        async with rig.open(upload_on_close=True) as volume:
            fh, _ = await rig.volume.create(ROOT_INODE, "a.mp4", NEW)
            await volume.files.write(fh, 0, b"film")
            with pytest.raises(VidfsError) as caught:
                await volume.files.flush(fh)
            assert errno_for(caught.value) == expected
            assert volume.status().parked == 1
            volume.files.release(fh)

    run(main)


def test_close_says_that_it_is_too_big_for_this_host(rig: Rig) -> None:
    rig.host = FakeHost(upload_bytes_max=3)

    async def main() -> None:
        async with rig.open(upload_on_close=True):
            with pytest.raises(FileTooBigError):
                await rig.write("a.mp4", b"film")

    run(main)
    assert rig.host.calls["upload"] == 0


def test_close_does_not_wait_for_a_host_that_fails_for_good(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But says so, and the upload goes on behind it."""
    monkeypatch.setattr(writeback, "PATIENCE_S", 0.2)

    async def main() -> None:
        rig.host.on("upload", raising(UploadNodeError("502")), raising(RateLimitedError("wait")))
        async with rig.open(upload_on_close=True) as volume:
            fh, _ = await volume.create(ROOT_INODE, "a.mp4", NEW)
            await volume.files.write(fh, 0, b"film")
            with pytest.raises(RateLimitedError):
                await volume.files.flush(fh)
            volume.files.release(fh)
            assert volume.pending == 1
            volume.retry()
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": b"film"}


@pytest.mark.parametrize("how", ["removed", "renamed over"])
def test_close_does_not_wait_for_a_file_that_goes_meanwhile(rig: Rig, how: str) -> None:
    async def main() -> None:
        rig.host.on("upload", trio.sleep_forever)
        async with rig.open(upload_on_close=True) as volume, trio.open_nursery() as nursery:
            await rig.write(".b.mp4", b"other")
            nursery.start_soon(rig.write, "a.mp4", b"film")
            await rig.until(lambda: rig.host.calls["upload"] == 1)
            if how == "removed":
                await volume.unlink(ROOT_INODE, "a.mp4")
            else:
                await volume.rename(ROOT_INODE, ".b.mp4", ROOT_INODE, "a.mp4", replace=True)
            await volume.wait_uploads()

    run(main)
    assert rig.at_host() == ({} if how == "removed" else {"a.mp4": b"other"})


def test_an_upload_that_failed_keeps_nothing_of_its_attempt_in_memory(rig: Rig) -> None:
    """There may be thousands that wait for a host."""

    async def main() -> None:
        rig.host.on("upload", raising(UploadNodeError("502")))
        async with rig.open() as volume:
            await rig.write("a.mp4", b"film")
            [job] = volume.writeback.queue.jobs
            await rig.until(lambda: job.trouble is not None)
            await trio.testing.wait_all_tasks_blocked()
            assert job.trouble is not None
            assert job.trouble.__traceback__ is None

    run(main)


def test_close_waits_for_an_attempt_that_gets_on_however_long_ago_one_failed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        go_on = trio.Event()
        rig.host.on("upload", raising(UploadNodeError("502")), go_on.wait)
        async with rig.open(upload_on_close=True) as volume, trio.open_nursery() as nursery:
            nursery.start_soon(rig.write, "a.mp4", b"film")
            await rig.until(lambda: rig.host.calls["upload"] == 2)
            monkeypatch.setattr(writeback, "PATIENCE_S", 0.0)
            await rig.write("b.mp4", b"other")  # whose steps wake all who wait
            go_on.set()
            await volume.wait_uploads()

    run(main)
    assert rig.at_host() == {"a.mp4": b"film", "b.mp4": b"other"}


def test_writing_on_after_a_close_that_waited_loses_nothing(rig: Rig) -> None:
    """Two descriptors of one opening: the first is closed, the second goes on."""

    async def main() -> None:
        async with rig.open(upload_on_close=True) as volume:
            fh, _ = await volume.create(ROOT_INODE, "a.mp4", NEW)
            await volume.files.write(fh, 0, b"film")
            await volume.files.flush(fh)
            await volume.files.write(fh, 4, b"more")
            await volume.files.flush(fh)
            volume.files.release(fh)
            assert await rig.read("a.mp4") == b"filmmore"
            await volume.wait_uploads()

    run(main)
    assert rig.at_host() == {"a.mp4": b"filmmore"}


# ------------------------------------------------------------------------------ removing


def test_removing_while_an_old_copy_cannot_be_removed_is_tried_again(rig: Rig) -> None:
    """A copy that is in nobody's way any more must not come back."""
    rig.host.add("a.mp4", b"old")
    go_on = trio.Event()

    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            rig.host.on("delete_file", go_on.wait)
            await rig.write("a.mp4", b"newer")
            await rig.until(lambda: rig.host.calls["delete_file"] == 1)
            rig.host.on("delete_file", _nothing, *[raising(HostServerError("500"))] * 2)
            with suppress(HostError):
                await volume.unlink(ROOT_INODE, "a.mp4")
            go_on.set()
            await volume.wait_uploads()
            await volume.refresh("")
            assert await rig.names() == []

    run(main)
    assert rig.at_host() == {}


def test_an_unlinked_file_goes_on_being_readable_and_writable(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            fh, attr = await volume.create(ROOT_INODE, "a.mp4", NEW)
            await volume.files.write(fh, 0, b"film")
            await volume.unlink(ROOT_INODE, "a.mp4")
            await volume.files.write(fh, 4, b"more")
            assert await volume.files.read(fh, 0, 100) == b"filmmore"
            assert (await volume.getattr(attr.inode)).size_bytes == 8
            await rig.write("a.mp4", b"another")
            assert await volume.files.read(fh, 0, 100) == b"filmmore"
            await rig.close(fh)
            await volume.wait_uploads()

    run(main)
    assert rig.at_host() == {"a.mp4": b"another"}


@pytest.mark.parametrize("arrived", [True, False])
def test_an_unknown_outcome_is_settled_although_the_file_is_renamed_meanwhile(
    rig: Rig, arrived: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidfs.content.uploads.OUTCOME_GRACE_S", 1.5)
    lost = raising(OutcomeUnknownError("no answer"))
    rig.host.on("upload" if arrived else "store", lost, when="after" if arrived else "before")

    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            rig.host.lists = lambda file: False
            await rig.write("a.mp4", b"film")
            await rig.until(lambda: rig.host.calls["list_folder"] >= 3)
            await volume.rename(ROOT_INODE, "a.mp4", ROOT_INODE, "b.mp4", replace=True)
            rig.host.lists = lambda file: True
            await volume.wait_uploads()
            await volume.refresh("")
            assert await rig.names() == ["b.mp4"]

    run(main)
    assert rig.at_host() == {"b.mp4": b"film"}
    assert rig.host.calls["upload"] == (1 if arrived else 2)
