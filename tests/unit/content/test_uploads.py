"""The upload queue: exactly once, whatever happens in between."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from tests.unit.fakes import FakeHost, clock, raising, run, settle
from vidfs.content import spool as spool_module
from vidfs.content.spool import Sealed, Spool
from vidfs.content.upload_target import UploadPlan
from vidfs.content.uploads import OUTCOME_GRACE_S, SEAT_S, UploadQueue
from vidfs.errors import (
    AccessDeniedError,
    HostServerError,
    HostUnreachableError,
    OutcomeUnknownError,
    QuotaError,
    SpoolDamagedError,
    SpoolFullError,
    UploadNodeError,
    UploadRefusedError,
)
from vidfs.hosts.api import RemoteFile, UploadOptions
from vidfs.tree.journal import SqlJournal
from vidfs.tree.names import loose_title
from vidfs.tree.store import Store
from vidfs.types import FileCode, FolderId, Inode, Job, JobState

CONTENT = b"some film" * 100
INODE = Inode(7)


class InlineSpool(Spool):
    """Seals without a thread: threads and a jumping clock don't mix."""

    before_seal: Callable[[], Awaitable[None]] | None = None
    after_seal: Callable[[], Awaitable[None]] | None = None

    async def seal(self, job_id: int) -> Sealed:
        if self.before_seal is not None:
            await self.before_seal()
        try:
            sealed = spool_module._seal(self.path_of(job_id), False, None, threading.Event())
        except FileNotFoundError:
            raise SpoolDamagedError("missing") from None
        if self.after_seal is not None:
            await self.after_seal()
        return sealed


class FakeTarget:
    """The layer above: one folder, titles by inode."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.titles: dict[int, str] = {}
        self.plans = 0
        self.recorded: dict[int, FileCode] = {}
        self.confirmed: list[int] = []
        self.finished_jobs: list[int] = []
        self.discarded: list[FileCode] = []
        self.before_confirm: list[Callable[[], Awaitable[None]]] = []

    async def complete(self, job: Job) -> None:
        await trio.lowlevel.checkpoint()

    def place(self, job: Job) -> tuple[FolderId, str]:
        assert job.inode is not None
        return FolderId("0"), self.titles.get(job.inode, f"film {job.inode}.mp4")

    async def plan(self, job: Job) -> UploadPlan:
        await trio.lowlevel.checkpoint()
        self.plans += 1
        folder, title = self.place(job)
        return UploadPlan(folder=folder, title=title, options=UploadOptions())

    async def find_same(self, job: Job) -> RemoteFile | None:
        return None

    async def find_twin(self, job: Job) -> RemoteFile | None:
        return None

    def owns(self, code: FileCode) -> bool:
        return code in self.recorded.values()

    def record_code(self, job: Job) -> None:
        if job.inode is not None:
            assert job.code is not None
            self.recorded[job.inode] = job.code

    async def confirm(self, job: Job) -> None:
        await trio.lowlevel.checkpoint()
        if self.before_confirm:
            await self.before_confirm.pop(0)()
        self.confirmed.append(job.id)
        for code in job.obsolete:
            if code != job.code:
                await self.discard(code, "")
        job.obsolete.clear()

    def finished(self, job: Job) -> None:
        self.finished_jobs.append(job.id)

    async def discard(self, code: FileCode, title: str) -> None:
        self.discarded.append(code)
        await self.host.delete_file(code)

    def loose_title(self, title: str) -> str:
        return loose_title(title)


class Bench:
    """A queue on a fake host, that can be restarted as after SIGKILL."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "catalogue.sqlite"
        self.host = FakeHost()
        self.target = FakeTarget(self.host)
        self.spool = InlineSpool(tmp_path / "spool")
        self.open()

    def open(self, workers_max: int = 4) -> None:
        """As after a restart: what is known is in the journal."""
        self.store = Store(self.path)
        self.journal = SqlJournal(self.store)
        self.queue = UploadQueue(
            host=self.host,
            journal=self.journal,
            spool=self.spool,
            target=self.target,
            jobs=self.journal.load(),
            workers_max=workers_max,
            clock=clock,
        )

    def restart(self) -> None:
        self.store.close()
        self.open()

    def write(self, content: bytes = CONTENT, inode: Inode = INODE) -> Job:
        job = self.journal.create(inode, JobState.WRITING)
        self.spool.path_of(job.id).write_bytes(content)
        job.size_bytes = len(content)
        self.queue.add(job)
        return job

    def rewrite(self, job: Job, content: bytes) -> None:
        """As the layer above does it."""
        self.queue.reopen(job)
        self.spool.path_of(job.id).write_bytes(content)
        job.size_bytes = len(content)

    def rows(self) -> list[Job]:
        """What the journal has on disk."""
        store = Store(self.path)
        try:
            return list(SqlJournal(store).load())
        finally:
            store.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.queue.run)
            yield
            nursery.cancel_scope.cancel()

    async def until_idle(self) -> None:
        await self.queue.wait_until(lambda: not any(job.pending for job in self.queue.jobs))
        await settle()

    def contents(self) -> list[bytes]:
        return sorted(stored.content for stored in self.host.stored.values())


def state_of(job: Job) -> JobState:
    """Its state now: a type checker believes that nobody else changes it."""
    return job.state


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# ------------------------------------------------------------------------------ plain sailing


def test_a_closed_file_is_sent_once_and_its_row_goes(bench: Bench) -> None:
    async def main() -> None:
        async with bench.running():
            job = bench.write()
            bench.queue.seal(job)
            await bench.until_idle()
            assert state_of(job) is JobState.DONE
            assert job.sha1 is not None

    run(main)
    assert bench.contents() == [CONTENT]
    assert bench.host.calls["upload"] == 1
    assert bench.target.finished_jobs
    assert bench.rows() == []


async def _second() -> None:
    await trio.sleep(1)


def test_no_more_uploads_run_at_once_than_allowed(bench: Bench) -> None:
    async def main() -> None:
        bench.store.close()
        bench.open(workers_max=3)
        async with bench.running():
            for inode in range(10, 22):
                bench.host.on("upload", _second)
                bench.queue.seal(bench.write(inode=Inode(inode)))
            await bench.until_idle()

    run(main)
    assert len(bench.contents()) == 12
    assert bench.host.max_uploads_at_once == 3


def test_a_server_that_never_answers_keeps_no_other_upload_waiting(bench: Bench) -> None:
    async def main() -> None:
        bench.store.close()
        bench.open(workers_max=2)
        async with bench.running():
            bench.host.on("upload", trio.sleep_forever)
            stuck = bench.write(inode=Inode(9))
            bench.queue.seal(stuck)
            await bench.queue.wait_until(lambda: state_of(stuck) is JobState.SENDING)
            others = [bench.write(inode=Inode(inode)) for inode in range(10, 14)]
            for job in others:
                bench.queue.seal(job)
            await bench.queue.wait_until(lambda: not any(job.pending for job in others))
            assert state_of(stuck) is JobState.SENDING

    run(main)
    assert len(bench.contents()) == 4


def test_servers_that_never_answer_hold_the_queue_for_seconds_only(bench: Bench) -> None:
    """Each got all of its file; how many may be waited for is bounded."""

    async def main() -> None:
        bench.store.close()
        bench.open(workers_max=2)
        async with bench.running():
            for inode in range(10, 30):
                bench.host.on("store", trio.sleep_forever)
                bench.queue.seal(bench.write(inode=Inode(inode)))
            late = bench.write(inode=Inode(40))
            bench.queue.seal(late)
            await trio.sleep(SEAT_S - 1)
            assert bench.host.max_uploads_at_once == 2
            await trio.sleep(20 * SEAT_S)
            assert bench.host.max_uploads_at_once == 2 + 2 * 4
            assert state_of(late) is JobState.QUEUED

    run(main)


def test_a_server_that_thinks_for_long_lets_the_next_file_go(bench: Bench) -> None:
    async def main() -> None:
        bench.store.close()
        bench.open(workers_max=1)
        async with bench.running():
            answers = trio.Event()
            bench.host.on("store", answers.wait)
            slow, other = bench.write(), bench.write(inode=Inode(10))
            bench.queue.seal(slow)
            await bench.queue.wait_until(lambda: slow.body_out)
            bench.queue.seal(other)
            await bench.queue.wait_until(lambda: not other.pending)
            assert state_of(slow) is JobState.SENDING
            assert "answer" in slow.shown_reason
            answers.set()
            await bench.until_idle()

    run(main)
    assert bench.host.calls["upload"] == len(bench.contents()) == 2


# ------------------------------------------------------------------------------ bad outcomes


def test_an_unknown_outcome_that_was_stored_is_adopted(bench: Bench) -> None:
    bench.host.on("upload", raising(OutcomeUnknownError("no answer")), when="after")

    async def main() -> None:
        async with bench.running():
            bench.queue.seal(bench.write())
            await bench.until_idle()

    run(main)
    assert bench.contents() == [CONTENT]
    assert bench.host.calls["upload"] == 1
    assert list(bench.target.recorded.values()) == list(bench.host.stored)


def test_an_unknown_outcome_that_shows_late_is_adopted(bench: Bench) -> None:
    bench.host.on("upload", raising(OutcomeUnknownError("no answer")), when="after")

    async def main() -> None:
        bench.host.lists = lambda file: trio.current_time() > OUTCOME_GRACE_S * 0.8
        async with bench.running():
            bench.queue.seal(bench.write())
            await bench.until_idle()

    run(main)
    assert bench.host.calls["upload"] == 1
    assert bench.contents() == [CONTENT]


def test_an_unknown_outcome_keeps_no_other_upload_waiting(bench: Bench) -> None:
    bench.open(workers_max=1)
    bench.host.on("store", raising(OutcomeUnknownError("no answer")))

    async def main() -> None:
        async with bench.running():
            bench.queue.seal(bench.write())
            await bench.queue.wait_until(lambda: bench.host.calls["upload"] == 1)
            bench.queue.seal(bench.write(b"other", inode=Inode(8)))
            await bench.queue.wait_until(lambda: Inode(8) in bench.target.recorded)
            assert trio.current_time() < OUTCOME_GRACE_S / 3
            await bench.until_idle()

    run(main)
    assert bench.contents() == sorted([CONTENT, b"other"])


def test_who_waits_for_anothers_outcome_asks_the_host_for_nothing(bench: Bench) -> None:
    bench.target.titles = {INODE: "a.mp4", Inode(8): "a.mp4"}
    bench.host.on("store", raising(OutcomeUnknownError("no answer")))

    async def main() -> None:
        async with bench.running():
            bench.queue.seal(bench.write())
            await bench.queue.wait_until(lambda: bench.host.calls["upload"] == 1)
            other = bench.write(b"other", inode=Inode(8))
            bench.queue.seal(other)
            await trio.sleep(OUTCOME_GRACE_S / 2)
            assert other.shown_reason.startswith("waits for another upload of this name")
            assert (bench.target.plans, bench.host.calls["upload"]) == (1, 1)
            await bench.until_idle()

    run(main)
    assert bench.contents() == sorted([CONTENT, b"other"])


def test_a_parked_unknown_outcome_keeps_no_upload_of_its_name_waiting(bench: Bench) -> None:
    bench.target.titles = {INODE: "a.mp4", Inode(8): "a.mp4"}
    bench.host.on("store", raising(OutcomeUnknownError("no answer")))
    bench.host.on("list_folder", raising(AccessDeniedError("not ours")))

    async def main() -> None:
        async with bench.running():
            first = bench.write()
            bench.queue.seal(first)
            await bench.queue.wait_until(lambda: first.state is JobState.PARKED)
            bench.queue.seal(bench.write(b"other", inode=Inode(8)))
            with trio.fail_after(60):
                await bench.until_idle()
            assert bench.contents() == [b"other"]
            bench.queue.retry(first)
            await bench.until_idle()

    run(main)
    assert bench.contents() == sorted([CONTENT, b"other"])


def test_an_unknown_outcome_that_was_not_stored_is_sent_again_once(bench: Bench) -> None:
    bench.host.on("store", raising(OutcomeUnknownError("no answer")))

    async def main() -> None:
        async with bench.running():
            bench.queue.seal(bench.write())
            await bench.until_idle()
            assert trio.current_time() >= OUTCOME_GRACE_S

    run(main)
    assert bench.host.calls["upload"] == 2
    assert bench.contents() == [CONTENT]


def test_the_host_is_asked_again_when_it_fails_to_say(bench: Bench) -> None:
    bench.host.on("upload", raising(OutcomeUnknownError("no answer")), when="after")
    bench.host.on("list_folder", *[raising(HostUnreachableError("down"))] * 4)

    async def main() -> None:
        async with bench.running():
            bench.queue.seal(bench.write())
            await bench.until_idle()

    run(main)
    assert bench.host.calls["upload"] == 1
    assert bench.contents() == [CONTENT]


def test_a_host_that_was_gone_for_long_is_met_soon_after_it_is_back(bench: Bench) -> None:
    async def gone() -> None:
        if trio.current_time() < 3600:
            raise HostUnreachableError("no connection")

    bench.host.on("upload", *[gone] * 1000)

    async def main() -> None:
        async with bench.running():
            bench.queue.seal(bench.write())
            await bench.until_idle()
            assert 3600 <= trio.current_time() < 3630

    run(main)
    assert bench.host.calls["upload"] < 500
    assert bench.contents() == [CONTENT]


def test_a_file_that_somebody_had_there_before_is_not_adopted(bench: Bench) -> None:
    bench.host.on("store", raising(OutcomeUnknownError("no answer")))

    async def main() -> None:
        old = bench.host.add("film 7.mp4", b"older", uploaded_at=clock() - 3600)
        async with bench.running():
            bench.queue.seal(bench.write())
            await bench.until_idle()
        assert bench.target.recorded[INODE] != old

    run(main)
    assert bench.contents() == sorted([b"older", CONTENT])


def test_a_file_that_is_known_already_is_not_adopted(bench: Bench) -> None:
    bench.host.on("store", raising(OutcomeUnknownError("no answer")))

    async def main() -> None:
        bench.target.recorded[1] = bench.host.add("film 7.mp4", b"mine", uploaded_at=clock() + 1)
        async with bench.running():
            bench.queue.seal(bench.write())
            await bench.until_idle()

    run(main)
    assert bench.contents() == sorted([b"mine", CONTENT])


def test_a_neighbour_whose_title_differs_in_its_ending_is_not_adopted(bench: Bench) -> None:
    """Hosts drop endings, so titles are compared loosely; but not at the cost of another's."""
    other = Inode(8)
    bench.target.titles = {INODE: "film.mkv", other: "film.mp4"}
    answered = trio.Event()

    async def main() -> None:
        async with bench.running():
            bench.host.on("store", raising(OutcomeUnknownError("no answer")))
            lost = bench.write(b"lost on the way")
            bench.queue.seal(lost)
            await settle()
            bench.host.on("upload", answered.wait, when="after")
            bench.queue.seal(bench.write(b"arrived", other))
            await trio.sleep(OUTCOME_GRACE_S / 2)
            answered.set()
            await bench.until_idle()

    run(main)
    contents = {inode: bench.host.stored[c].content for inode, c in bench.target.recorded.items()}
    assert contents == {INODE: b"lost on the way", other: b"arrived"}


def test_a_failing_server_is_tried_again_with_a_fresh_attempt(bench: Bench) -> None:
    bench.host.on("upload", *[raising(UploadNodeError("HTML"))] * 3)

    async def main() -> None:
        async with bench.running():
            job = bench.write()
            bench.queue.seal(job)
            await bench.until_idle()
            assert job.attempts == 4

    run(main)
    assert bench.contents() == [CONTENT]
    assert bench.host.calls["list_folder"] == 0, "nothing was stored, so nothing is searched"


@pytest.mark.parametrize("error", [UploadRefusedError("unallowed extension"), QuotaError("full")])
def test_a_refusal_parks_and_retry_sends_again(bench: Bench, error: Exception) -> None:
    bench.host.on("upload", raising(error))

    async def main() -> None:
        async with bench.running():
            job = bench.write()
            bench.queue.seal(job)
            await bench.until_idle()
            assert state_of(job) is JobState.PARKED
            assert job.reason == str(error)
            [row] = bench.rows()
            assert (row.state, row.reason) == (JobState.PARKED, str(error))
            assert bench.contents() == []
            bench.queue.retry(job)
            await bench.until_idle()
            assert state_of(job) is JobState.DONE

    run(main)
    assert bench.contents() == [CONTENT]


def test_a_confirmation_that_fails_is_repeated_without_another_upload(bench: Bench) -> None:
    bench.target.before_confirm = [raising(HostServerError("500"))] * 2

    async def main() -> None:
        async with bench.running():
            bench.queue.seal(bench.write())
            await bench.until_idle()

    run(main)
    assert bench.host.calls["upload"] == 1
    assert bench.target.confirmed
    assert bench.rows() == []


def test_an_unforeseen_error_parks_and_the_queue_goes_on(bench: Bench) -> None:
    bench.host.on("upload", raising(KeyError("surprise")))

    async def main() -> None:
        async with bench.running():
            broken = bench.write(inode=Inode(1))
            bench.queue.seal(broken)
            await bench.until_idle()
            assert broken.state is JobState.PARKED
            bench.queue.seal(bench.write(inode=Inode(2)))
            await bench.until_idle()

    run(main)
    assert bench.contents() == [CONTENT]


def test_an_unforeseen_error_while_sealing_parks_and_the_queue_goes_on(bench: Bench) -> None:
    async def main() -> None:
        async with bench.running():
            bench.spool.before_seal = raising(KeyError("surprise"))
            broken = bench.write(inode=Inode(1))
            bench.queue.seal(broken)
            await bench.until_idle()
            assert broken.state is JobState.PARKED
            bench.spool.before_seal = None
            bench.queue.retry(broken)
            await bench.until_idle()

    run(main)
    assert bench.contents() == [CONTENT]


@pytest.mark.parametrize("first", range(8))
def test_a_full_disk_stops_nothing_for_good(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """The journal can't be written for a while, from its *first* write on."""
    writes = iter(range(1000))
    save = bench.journal.save

    def save_if_there_is_room(job: Job, *, durable: bool = False) -> None:
        if first <= next(writes) < first + 6:
            bench.target.recorded.pop(job.inode or 0, None)  # the whole step is undone
            raise SpoolFullError("the disk of the catalogue is full")
        save(job, durable=durable)

    async def main() -> None:
        async with bench.running():
            jobs = [bench.write(inode=Inode(inode)) for inode in (1, 2)]
            monkeypatch.setattr(bench.journal, "save", save_if_there_is_room)
            for job in jobs:
                bench.queue.seal(job)
            await trio.sleep(600)
            for job in jobs:
                if job.state is JobState.PARKED:
                    pytest.fail(job.reason)
            await bench.until_idle()

    run(main)
    assert bench.contents() == [CONTENT, CONTENT]
    assert bench.host.calls["upload"] == 2
    assert bench.rows() == []


class Full:
    """A journal on a disk that is full for a while."""

    def __init__(self, journal: SqlJournal) -> None:
        self.journal = journal
        self.is_full = True

    def __getattr__(self, name: str) -> object:
        if self.is_full:
            raise SpoolFullError("the disk of the catalogue is full")
        return getattr(self.journal, name)


def test_a_row_that_could_not_be_written_is_written_later(bench: Bench) -> None:
    full = Full(bench.journal)

    async def main() -> None:
        async with bench.running():
            job = bench.write()
            bench.queue._journal = full  # type: ignore[assignment]
            bench.queue.hold(job, JobState.PARKED, "because")
            await trio.sleep(700)
            assert [row.state for row in bench.rows()] == [JobState.WRITING]
            full.is_full = False
            await trio.sleep(400)
            assert [(row.state, row.reason) for row in bench.rows()] == [
                (JobState.PARKED, "because")
            ]

    run(main)


def test_an_upload_whose_row_cannot_be_removed_at_once_still_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = bench.journal.drop
    refusals = iter([True, True])

    def drop_if_there_is_room(job: Job) -> None:
        if next(refusals, False):
            raise SpoolFullError("the disk of the catalogue is full")
        drop(job)

    async def main() -> None:
        async with bench.running():
            monkeypatch.setattr(bench.journal, "drop", drop_if_there_is_room)
            bench.queue.seal(bench.write())
            await bench.until_idle()

    run(main)
    assert len(bench.target.finished_jobs) == 1
    assert bench.contents() == [CONTENT]
    assert bench.rows() == []


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.PARKED])
def test_bytes_must_not_change_while_their_row_says_that_they_are_whole(
    bench: Bench, state: JobState
) -> None:
    full = Full(bench.journal)

    async def main() -> None:
        job = bench.write()
        bench.queue.hold(job, state, "because")
        bench.queue._journal = full  # type: ignore[assignment]
        with pytest.raises(SpoolFullError):
            bench.queue.reopen(job)
        assert job.state is (JobState.SEALED if state is JobState.QUEUED else state)
        full.is_full = False
        bench.queue.reopen(job)
        [row] = bench.rows()
        assert (row.state, row.clean) == (JobState.WRITING, False)

    run(main)


def test_what_is_too_large_for_the_host_is_not_hashed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.host.capabilities = replace(bench.host.capabilities, upload_bytes_max=len(CONTENT))
    bench.spool.before_seal = raising(KeyError("hashed"))

    async def main() -> None:
        async with bench.running():
            job = bench.write(CONTENT + b"!")
            bench.queue.seal(job)
            await bench.until_idle()
            assert state_of(job) is JobState.PARKED
            assert str(len(CONTENT)) in job.reason
            bench.spool.before_seal = None
            bench.queue.seal(bench.write(inode=Inode(8)))
            await bench.until_idle()

    run(main)
    assert bench.contents() == [CONTENT]


def test_bytes_that_changed_size_in_the_spool_are_never_sent(bench: Bench) -> None:
    async def main() -> None:
        job = bench.write()
        bench.spool.path_of(job.id).write_bytes(CONTENT[:5])
        async with bench.running():
            bench.queue.seal(job)
            await bench.until_idle()
            assert state_of(job) is JobState.PARKED

    run(main)
    assert bench.contents() == []


def test_bytes_missing_from_the_spool_park(bench: Bench) -> None:
    async def main() -> None:
        job = bench.write()
        bench.spool.path_of(job.id).unlink()
        async with bench.running():
            bench.queue.seal(job)
            await bench.until_idle()
            assert state_of(job) is JobState.PARKED

    run(main)
    assert bench.contents() == []


# ------------------------------------------------------------------------------ restarts


async def _stop_in(bench: Bench, state: JobState) -> None:
    """Run until the job is in *state*, then end as SIGKILL would: the journal stays as it is."""
    never = trio.Event()
    if state is JobState.SEALED:
        bench.spool.before_seal = never.wait
    elif state is JobState.QUEUED:
        bench.host.on("upload", raising(UploadNodeError("try again")))
    elif state is JobState.CONFIRMING:
        bench.target.before_confirm = [never.wait]
    job = bench.write()
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.queue.run)
        bench.queue.seal(job)
        await bench.queue.wait_until(lambda: job.state is state)
        await settle()
        copy = bench.path.with_name("killed.sqlite")
        bench.store.db.execute("VACUUM INTO ?", (str(copy),))
        nursery.cancel_scope.cancel()
    bench.store.close()
    for stale in bench.path.parent.glob("catalogue.sqlite*"):
        stale.unlink()
    copy.rename(bench.path)
    bench.spool.before_seal = None
    bench.target.before_confirm = []
    bench.open()


@pytest.mark.parametrize("state", [JobState.SEALED, JobState.QUEUED, JobState.CONFIRMING])
def test_a_restart_in_any_state_ends_with_one_copy(bench: Bench, state: JobState) -> None:
    async def main() -> None:
        await _stop_in(bench, state)
        [row] = bench.rows()
        assert row.state is state
        async with bench.running():
            await bench.until_idle()

    run(main)
    assert bench.contents() == [CONTENT]
    assert bench.rows() == []


@pytest.mark.parametrize("arrived", [True, False])
def test_a_restart_while_sending_asks_the_host_first(bench: Bench, arrived: bool) -> None:
    never = trio.Event()
    if arrived:
        bench.host.on("upload", never.wait, when="after")
    else:
        bench.host.on("upload", never.wait)

    async def main() -> None:
        await _stop_in(bench, JobState.SENDING)
        uploads = bench.host.calls["upload"]
        async with bench.running():
            await bench.until_idle()
        assert bench.host.calls["upload"] - uploads == (0 if arrived else 1)
        assert bench.host.calls["list_folder"]

    run(main)
    assert bench.contents() == [CONTENT]


def test_a_stop_before_the_body_was_out_gives_the_job_back(bench: Bench) -> None:
    never = trio.Event()
    bench.host.on("upload", never.wait)

    async def main() -> None:
        async with bench.running():
            bench.queue.seal(bench.write())
            await settle()
        [row] = bench.rows()
        assert (row.state, row.sent_at) == (JobState.QUEUED, None)

    run(main)


def test_a_stop_after_the_body_was_out_remembers_the_attempt(bench: Bench) -> None:
    never = trio.Event()
    bench.host.on("upload", never.wait, when="after")

    async def main() -> None:
        async with bench.running():
            bench.queue.seal(bench.write())
            await settle()
        [row] = bench.rows()
        assert row.outcome_unknown
        bench.restart()
        async with bench.running():
            await bench.until_idle()

    run(main)
    assert bench.contents() == [CONTENT]
    assert bench.host.calls["upload"] == 1


class KilledError(BaseException):
    """The process ended here."""


def test_code_and_row_are_written_in_one_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the two must not leave a file that is known but not its own job's."""
    bench.store.db.execute("CREATE TABLE probe (code TEXT)")

    def record_code(job: Job) -> None:
        bench.store.db.execute("INSERT INTO probe VALUES (?)", (job.code,))
        raise KilledError

    monkeypatch.setattr(bench.target, "record_code", record_code)

    async def main() -> None:
        async with bench.running():
            bench.queue.seal(bench.write())
            await trio.sleep_forever()

    with pytest.RaisesGroup(KilledError, flatten_subgroups=True):
        run(main)
    assert bench.store.db.execute("SELECT count(*) FROM probe").fetchone() == (0,)


# ------------------------------------------------------------------------------ withdrawing


def _reseal(bench: Bench, job: Job, content: bytes) -> None:
    bench.rewrite(job, content)
    bench.queue.seal(job)


@pytest.mark.parametrize(
    "state", [JobState.SEALED, JobState.QUEUED, JobState.SENDING, JobState.CONFIRMING]
)
def test_a_rewrite_in_any_state_leaves_the_new_bytes_only(bench: Bench, state: JobState) -> None:
    never = trio.Event()
    if state is JobState.SEALED:
        bench.spool.before_seal = never.wait
    elif state is JobState.QUEUED:
        bench.host.on("upload", raising(UploadNodeError("try again")))
    elif state is JobState.SENDING:
        bench.host.on("upload", never.wait)
    else:
        bench.target.before_confirm = [never.wait]

    async def main() -> None:
        async with bench.running():
            job = bench.write()
            bench.queue.seal(job)
            await settle()
            assert state_of(job) is state
            bench.rewrite(job, b"newer")
            bench.spool.before_seal = None
            await trio.sleep(30)
            assert state_of(job) is JobState.WRITING, "nobody sends what is being written"
            bench.queue.seal(job)
            await bench.until_idle()
            assert state_of(job) is JobState.DONE

    run(main)
    assert bench.contents() == [b"newer"]
    assert bench.rows() == []


@pytest.mark.parametrize("arrives", [True, False])
def test_a_rewrite_after_the_body_went_out_leaves_one_copy(bench: Bench, arrives: bool) -> None:
    never = trio.Event()
    if arrives:
        bench.host.on("upload", never.wait, when="after")
    else:
        bench.host.on("store", never.wait)

    async def main() -> None:
        async with bench.running():
            job = bench.write()
            bench.queue.seal(job)
            await settle()
            _reseal(bench, job, b"newer")
            await bench.until_idle()

    run(main)
    assert bench.contents() == [b"newer"]
    assert bench.rows() == []


@pytest.mark.parametrize("arrives", [True, False])
def test_a_dropped_upload_whose_body_went_out_leaves_nothing(bench: Bench, arrives: bool) -> None:
    never = trio.Event()
    if arrives:
        bench.host.on("upload", never.wait, when="after")
    else:
        bench.host.on("store", never.wait)

    async def main() -> None:
        async with bench.running():
            job = bench.write()
            bench.queue.seal(job)
            await settle()
            bench.queue.withdraw(job)
            bench.queue.drop(job)
            await bench.until_idle()
        assert bench.rows() == []

    run(main)
    assert bench.contents() == []
    assert len(bench.target.discarded) == arrives


@pytest.mark.parametrize("outcome", ["stored", "refused", "lost"])
def test_the_answer_to_a_withdrawn_upload_is_worth_more_than_a_listing(
    bench: Bench, outcome: str
) -> None:
    """Listings that lag say nothing of it for longer than anybody would search."""
    answered = trio.Event()

    async def answer() -> None:
        await answered.wait()
        if outcome != "stored":
            raise {"refused": UploadRefusedError, "lost": OutcomeUnknownError}[outcome]("no")

    if outcome == "refused":
        bench.host.on("store", answer)
    else:
        bench.host.on("upload", answer, when="after")
    bench.host.lists = lambda file: outcome == "lost"

    async def main() -> None:
        async with bench.running():
            job = bench.write()
            bench.queue.seal(job)
            await settle()
            bench.rewrite(job, b"newer")
            bench.queue.seal(job)
            await trio.sleep(5)
            assert bench.host.calls["upload"] == 1, "not beside one whose outcome is unknown"
            answered.set()
            await bench.until_idle()
            assert bench.host.calls["upload"] == 2
        assert bench.rows() == []

    run(main)
    assert bench.contents() == [b"newer"]


def test_the_search_for_a_dropped_upload_survives_a_restart(bench: Bench) -> None:
    never = trio.Event()
    bench.host.on("upload", never.wait, when="after")

    async def main() -> None:
        async with bench.running():
            job = bench.write()
            bench.queue.seal(job)
            await settle()
            bench.queue.withdraw(job)
            bench.queue.drop(job)
        bench.restart()
        async with bench.running():
            await bench.until_idle()

    run(main)
    assert bench.contents() == []
    assert bench.rows() == []


def test_a_row_without_file_or_attempt_is_dropped(bench: Bench) -> None:
    """A kill between making such a row and filling it."""
    bench.journal.create(None, JobState.SENDING)
    bench.restart()

    async def main() -> None:
        async with bench.running():
            await bench.until_idle()

    run(main)
    assert bench.rows() == []


def test_an_answer_that_comes_while_withdrawing_is_not_taken_for_the_new_bytes(
    bench: Bench,
) -> None:
    """The upload ends in the very step in which a writer begins."""
    answered = trio.Event()
    bench.host.on("upload", answered.wait, when="after")

    async def main() -> None:
        async with bench.running():
            job = bench.write()
            bench.queue.seal(job)
            await settle()
            answered.set()
            bench.rewrite(job, b"newer")
            await settle()
            assert state_of(job) is JobState.WRITING
            assert job.id not in bench.target.finished_jobs
            bench.queue.seal(job)
            await bench.until_idle()

    run(main)
    assert bench.contents() == [b"newer"]


def test_a_confirmation_that_ends_while_withdrawing_does_not_finish_the_job(bench: Bench) -> None:
    confirmed = trio.Event()
    bench.target.before_confirm = [confirmed.wait]

    async def main() -> None:
        async with bench.running():
            job = bench.write()
            bench.queue.seal(job)
            await settle()
            assert state_of(job) is JobState.CONFIRMING
            confirmed.set()
            bench.rewrite(job, b"newer")
            await settle()
            assert state_of(job) is JobState.WRITING
            assert bench.target.finished_jobs == []
            bench.queue.seal(job)
            await bench.until_idle()

    run(main)
    assert bench.contents() == [b"newer"]


def test_sealing_that_ends_while_withdrawing_does_not_queue_the_old_bytes(bench: Bench) -> None:
    sealed = trio.Event()
    bench.spool.after_seal = sealed.wait

    async def main() -> None:
        async with bench.running():
            job = bench.write()
            bench.queue.seal(job)
            await settle()
            sealed.set()
            bench.rewrite(job, b"newer")
            await settle()
            assert state_of(job) is JobState.WRITING
            assert bench.contents() == []
            bench.queue.seal(job)
            await bench.until_idle()

    run(main)
    assert bench.contents() == [b"newer"]


def test_a_failure_that_comes_while_withdrawing_does_not_park_the_new_bytes(bench: Bench) -> None:
    refused = trio.Event()

    async def refuse() -> None:
        await refused.wait()
        raise UploadRefusedError("no")

    bench.host.on("upload", refuse)

    async def main() -> None:
        async with bench.running():
            job = bench.write()
            bench.queue.seal(job)
            await settle()
            refused.set()
            bench.rewrite(job, b"newer")
            await settle()
            assert state_of(job) is JobState.WRITING
            bench.queue.seal(job)
            await bench.until_idle()

    run(main)
    assert bench.contents() == [b"newer"]


# ------------------------------------------------------------------------------ in flight


def test_an_upload_without_answer_is_known_as_ours(bench: Bench) -> None:
    never = trio.Event()
    bench.host.on("upload", never.wait, when="after")

    async def main() -> None:
        async with bench.running():
            bench.queue.seal(bench.write())
            await settle()
            [stored] = bench.host.stored.values()
            assert bench.queue.is_ours(stored.file)
            code = bench.host.add("another.mp4", uploaded_at=clock())
            assert not bench.queue.is_ours(bench.host.stored[code].file)

    run(main)


def test_an_upload_that_lands_in_the_root_first_is_known_as_ours_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.host = FakeHost(upload_into_folder=False)
    bench.target = FakeTarget(bench.host)
    bench.restart()
    films = bench.host.add_folder("Films")
    never = trio.Event()

    async def main() -> None:
        async def plan(job: Job) -> UploadPlan:
            return UploadPlan(folder=films, title="a.mp4", options=UploadOptions())

        bench.target.plan = plan  # type: ignore[method-assign]
        bench.host.on("upload", never.wait, when="after")
        async with bench.running():
            bench.queue.seal(bench.write())
            await settle()
            [(code, stored)] = bench.host.stored.items()
            assert stored.file.folder == bench.host.root
            assert bench.queue.is_ours(stored.file)
            bench.host.change(code, folder=films)
            assert not bench.queue.is_ours(stored.file), "it can't have got there by itself"

    run(main)
