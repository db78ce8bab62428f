"""Bytes that the account has already are not sent again: the host makes a copy."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trio

from tests.unit.fakes import FakeHost, raising
from tests.unit.volume.test_volume import Rig, run
from vidfs.content import uploads
from vidfs.errors import (
    BadRequestError,
    HostServerError,
    OutcomeUnknownError,
    RateLimitedError,
    UploadRefusedError,
)
from vidfs.hosts.api import UploadOptions
from vidfs.types import ROOT_INODE, JobState

FILM = b"film" * 1000
SETS = [frozenset({"title", "folder"}), frozenset({"title"}), frozenset({"folder"}), frozenset()]


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(uploads, "OUTCOME_GRACE_S", 0.3)
    monkeypatch.setattr(uploads, "ANSWER_GRACE_S", 0.3)
    rig = Rig(tmp_path)
    rig.host = FakeHost(clone=True, clone_sets=SETS[0])
    rig.host.clock = time.time
    return rig


async def send_first(rig: Rig) -> None:
    await rig.write("a.mp4", FILM)
    assert await rig.volume.wait_uploads() == 0
    assert rig.host.calls["upload"] == 1


@pytest.mark.parametrize("sets", SETS, ids=lambda sets: "+".join(sorted(sets)) or "nothing")
def test_a_copy_of_what_was_uploaded_is_made_by_the_host(rig: Rig, sets: frozenset[str]) -> None:
    rig.host.capabilities = FakeHost(clone=True, clone_sets=sets).capabilities
    where: list[str] = []

    async def main() -> None:
        options = UploadOptions(public=True, tags=("a", "b"))
        async with rig.open(upload_options=options) as volume:
            folder = await volume.make_folder(ROOT_INODE, "Films")
            await send_first(rig)
            await rig.write("b.mp4", FILM, parent=folder.inode)
            assert await volume.wait_uploads() == 0
            where.extend(rig.host.titles(next(iter(rig.host.folders))))
            await volume.refresh("/Films")
            assert await rig.names(folder.inode) == ["b.mp4"]
            assert await rig.read("b.mp4", folder.inode) == FILM

    run(main)
    assert rig.host.calls["upload"] == rig.host.calls["begin_clone"] == 1
    assert where == ["b.mp4"]
    assert rig.at_host() == {"a.mp4": FILM, "b.mp4": FILM}
    [clone] = [s.file for s in rig.host.stored.values() if s.file.title == "b.mp4"]
    assert clone.extra == {"public": "1", "tags": "a, b"}


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.SENDING, JobState.CONFIRMING])
def test_a_copy_of_what_is_on_its_way_is_made_once_that_is_there(rig: Rig, state: JobState) -> None:
    async def main() -> None:
        go_on = trio.Event()
        async with rig.open(uploads_max=2) as volume:
            if state is JobState.QUEUED:
                rig.host.on("upload", go_on.wait, go_on.wait)
                await rig.write("1.mp4", b"one")
                await rig.write("2.mp4", b"two")
                await rig.until(lambda: rig.host.calls["upload"] == 2)
            elif state is JobState.SENDING:
                rig.host.on("upload", go_on.wait)
            else:
                rig.host.on("file_info", go_on.wait)
            await rig.write("a.mp4", FILM)
            await rig.until_state("a.mp4", state)
            await rig.write("b.mp4", FILM)
            if state is not JobState.CONFIRMING:  # then it has not to wait
                await rig.until_state("b.mp4", JobState.QUEUED)
            go_on.set()
            assert await volume.wait_uploads() == 0

    run(main)
    others = {"1.mp4": b"one", "2.mp4": b"two"} if state is JobState.QUEUED else {}
    assert rig.at_host() == {"a.mp4": FILM, "b.mp4": FILM} | others
    assert (rig.host.calls["upload"], rig.host.calls["begin_clone"]) == (1 + len(others), 1)


def test_many_copies_wait_for_one_upload_and_not_for_each_other(rig: Rig) -> None:
    async def main() -> None:
        go_on, all_there = trio.Event(), trio.Event()
        copying = 0

        async def copy() -> None:
            nonlocal copying
            copying += 1
            if copying == 3:
                all_there.set()
            await all_there.wait()

        async with rig.open() as volume:
            rig.host.on("upload", go_on.wait)
            rig.host.on("begin_clone", copy, copy, copy)
            await rig.write("a.mp4", FILM)
            await rig.until_state("a.mp4", JobState.SENDING)
            for name in "bcd":
                await rig.write(f"{name}.mp4", FILM)
                await rig.until_state(f"{name}.mp4", JobState.QUEUED)
            jobs = volume.writeback.queue.jobs
            await rig.until(lambda: sum("same bytes" in job.shown_reason for job in jobs) == 3)
            go_on.set()
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {f"{name}.mp4": FILM for name in "abcd"}
    assert rig.host.calls["upload"] == 1


def test_a_copy_that_might_be_taken_for_an_upload_under_way_asks_for_nothing_meanwhile(
    rig: Rig,
) -> None:
    """The host names a copy as its source, until it is renamed: that is what the upload is called,
    however long it takes."""
    rig.host.capabilities = FakeHost(clone=True, clone_sets=frozenset({"folder"})).capabilities

    async def main() -> None:
        go_on = trio.Event()
        async with rig.open() as volume:
            folder = await volume.make_folder(ROOT_INODE, "Films")
            await send_first(rig)
            rig.host.on("upload", go_on.wait)
            await rig.write("a.mp4", b"another", parent=folder.inode)
            await rig.until(lambda: rig.host.calls["upload"] == 2)
            await rig.write("b.mp4", FILM, parent=folder.inode)
            jobs = volume.writeback.queue.jobs
            await rig.until(lambda: any("of this name" in job.shown_reason for job in jobs))
            before = rig.host.calls.copy()
            await trio.sleep(4 * uploads.RIVAL_PAUSE_S)  # nothing is what is to happen
            assert rig.host.calls == before
            go_on.set()
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.host.paths() == ["/Films/", "/Films/a.mp4", "/Films/b.mp4", "/a.mp4"]
    assert rig.host.calls["begin_clone"] == 1


def test_what_was_sent_itself_waits_for_no_other_any_more(rig: Rig) -> None:
    """That one may wait for it by then: until it is known what became of it."""

    async def main() -> None:
        fail, lose = trio.Event(), trio.Event()

        async def failing() -> None:
            await fail.wait()
            raise HostServerError("502", retry_after_s=1000.0)

        async def lost() -> None:
            await lose.wait()
            raise OutcomeUnknownError("lost")

        rig.host.on("upload", failing, lost)
        async with rig.open() as volume:
            await rig.write("a.mp4", FILM)
            await rig.until_state("a.mp4", JobState.SENDING)
            await rig.write("b.mp4", FILM)
            jobs = volume.writeback.queue.jobs
            await rig.until(lambda: any("same bytes" in job.shown_reason for job in jobs))
            fail.set()
            await rig.until_state("b.mp4", JobState.SENDING)
            await volume.rename(ROOT_INODE, "b.mp4", ROOT_INODE, "c.mp4", replace=True)
            await volume.rename(ROOT_INODE, "a.mp4", ROOT_INODE, "b.mp4", replace=True)
            volume.retry()
            lose.set()
            with trio.fail_after(10):
                assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"b.mp4": FILM, "c.mp4": FILM}


@pytest.mark.parametrize("how", ["removed", "written again"])
def test_a_copy_of_what_is_no_longer_sent_is_sent_itself(rig: Rig, how: str) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            rig.host.on("upload", trio.sleep_forever)
            await rig.write("a.mp4", FILM)
            await rig.until_state("a.mp4", JobState.SENDING)
            await rig.write("b.mp4", FILM)
            jobs = volume.writeback.queue.jobs
            await rig.until(lambda: any("same bytes" in job.shown_reason for job in jobs))
            if how == "removed":
                await volume.unlink(ROOT_INODE, "a.mp4")
            else:
                await rig.write("a.mp4", b"other")
            assert await volume.wait_uploads() == 0

    run(main)
    others = {"a.mp4": b"other"} if how == "written again" else {}
    assert rig.at_host() == {"b.mp4": FILM} | others


def test_a_copy_of_what_the_host_refuses_is_sent_itself(rig: Rig) -> None:
    async def main() -> None:
        go_on = trio.Event()

        async def refuse() -> None:
            await go_on.wait()
            raise UploadRefusedError("not that name")

        rig.host.on("upload", refuse)
        async with rig.open() as volume:
            await rig.write("a.mp4", FILM)
            await rig.until_state("a.mp4", JobState.SENDING)
            await rig.write("b.mp4", FILM)
            await rig.until_state("b.mp4", JobState.QUEUED)
            go_on.set()
            assert await volume.wait_uploads() == 1

    run(main)
    assert rig.at_host() == {"b.mp4": FILM}


def test_other_bytes_are_sent(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await send_first(rig)
            await rig.write("b.mp4", FILM[:-1] + b"!")
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.host.calls["upload"] == 2
    assert rig.host.calls["begin_clone"] == 0


@pytest.mark.parametrize("sets", SETS, ids=lambda sets: "+".join(sorted(sets)) or "nothing")
@pytest.mark.parametrize("done", [False, True])
def test_a_copy_whose_answer_is_lost_is_not_made_twice(
    rig: Rig, sets: frozenset[str], done: bool
) -> None:
    rig.host.capabilities = FakeHost(clone=True, clone_sets=sets).capabilities
    lost = raising(OutcomeUnknownError("lost"))
    rig.host.on("begin_clone", lost, when="after" if done else "before")

    async def main() -> None:
        async with rig.open() as volume:
            await send_first(rig)
            await rig.write("b.mp4", FILM)
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": FILM, "b.mp4": FILM}
    assert rig.host.calls["begin_clone"] == (1 if done else 2)
    assert rig.host.calls["upload"] == 1


def test_killed_while_the_host_copies_it_is_found_there(rig: Rig) -> None:

    async def main() -> None:
        async with rig.open(gentle=False) as volume:
            await send_first(rig)
            made, never = trio.Event(), trio.Event()

            async def hang() -> None:
                made.set()
                await never.wait()

            rig.host.on("begin_clone", hang, when="after")
            await rig.write("b.mp4", FILM)
            await made.wait()
            assert volume.pending == 1
        async with rig.open() as volume:
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": FILM, "b.mp4": FILM}
    assert rig.host.calls["begin_clone"] == rig.host.calls["upload"] == 1


def test_killed_before_a_copy_has_its_settings_it_gets_them_after_the_restart(rig: Rig) -> None:
    options = UploadOptions(public=True, tags=("a", "b"))

    async def main() -> None:
        async with rig.open(gentle=False, upload_options=options):
            await send_first(rig)
            asked = trio.Event()

            async def hang() -> None:
                asked.set()
                await trio.sleep_forever()

            rig.host.on("edit_file", hang)
            await rig.write("b.mp4", FILM)
            await asked.wait()
        async with rig.open() as volume:  # configured otherwise by now: that is for new files
            assert await volume.wait_uploads() == 0

    run(main)
    [clone] = [s.file for s in rig.host.stored.values() if s.file.title == "b.mp4"]
    assert clone.extra == {"public": "1", "tags": "a, b"}


def test_settings_that_the_host_ignores_at_an_upload_are_set_afterwards(rig: Rig) -> None:
    async def ignore() -> None:
        for code in rig.host.stored:
            rig.host.change(code, extra={"public": "0", "adult": "0"})

    rig.host.on("upload", ignore, when="after")

    async def main() -> None:
        async with rig.open(upload_options=UploadOptions(public=True, tags=("a",))):
            await send_first(rig)

    run(main)
    [stored] = rig.host.stored.values()
    # What it doesn't tell (the tags) is taken as heard.
    assert stored.file.extra == {"public": "1", "adult": "0"}
    assert rig.host.calls["edit_file"] == 1


def damage(rig: Rig, times: int) -> None:
    """Let the host's copy of the next *times* uploads have other bytes than were sent."""

    async def flip() -> None:
        code = list(rig.host.stored)[-1]
        rig.host.change(code, sha1="0" * 40)

    rig.host.on("upload", *[flip] * times, when="after")


def test_a_copy_with_another_hash_is_sent_again_and_goes(rig: Rig) -> None:
    rig.host.add("a.mp4", b"older")
    damage(rig, 1)

    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", FILM)
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.host.calls["upload"] == 2
    assert rig.at_host() == {"a.mp4": FILM}


def test_a_host_whose_copies_are_always_others_is_no_place_for_the_only_one(rig: Rig) -> None:
    older = rig.host.add("a.mp4", b"older")
    damage(rig, 3)

    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", FILM)
            assert await volume.wait_uploads() == 1
            [upload] = volume.status().uploads
            assert (upload.state, "sha1" in upload.reason) == ("parked", True)
            assert older in rig.host.stored
            assert await rig.read("a.mp4") == FILM
            assert volume.retry() == 1
            assert await volume.wait_uploads() == 1
            assert rig.host.calls["upload"] == 3
            assert volume.retry() == 1
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}


def test_rewritten_while_the_host_copies_it_leaves_one_file(rig: Rig) -> None:

    async def main() -> None:
        async with rig.open() as volume:
            await send_first(rig)
            made, never = trio.Event(), trio.Event()

            async def hang() -> None:
                made.set()
                await never.wait()

            rig.host.on("begin_clone", hang, when="after")
            await rig.write("b.mp4", FILM)
            await made.wait()
            await rig.write("b.mp4", b"newer")
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": FILM, "b.mp4": b"newer"}


@pytest.mark.parametrize(
    ("error", "uploads_made"), [(BadRequestError("no"), 2), (RateLimitedError("wait"), 1)]
)
def test_a_host_that_refuses_to_copy_gets_the_bytes(
    rig: Rig, error: Exception, uploads_made: int
) -> None:
    rig.host.on("begin_clone", raising(error))

    async def main() -> None:
        async with rig.open() as volume:
            await send_first(rig)
            await rig.write("b.mp4", FILM)
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.host.calls["upload"] == uploads_made
    assert rig.at_host() == {"a.mp4": FILM, "b.mp4": FILM}


def test_a_film_that_is_gone_from_the_host_is_no_source(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await send_first(rig)
            rig.host.stored.clear()
            await rig.write("b.mp4", FILM)
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"b.mp4": FILM}


def test_a_copy_that_takes_the_place_of_its_source_leaves_one(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await send_first(rig)
            await rig.write("b.part", FILM)
            await volume.rename(ROOT_INODE, "b.part", ROOT_INODE, "a.mp4", replace=True)
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}
