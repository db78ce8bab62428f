"""The upload queue: what was closed reaches the host exactly once, or waits in plain sight.

Owns the states of jobs from `sealed` on. What a job's bytes are called, where they go and what
they replace is asked of the `UploadTarget` at the moment it matters, never stored ahead.

Exactly once: before an attempt starts, the journal says on disk where and under which title
bytes may turn up. From then on, until the host has given a code or plainly refused, the
outcome is unknown, and nothing is sent again before the host's folder was searched for a file
that is nobody else's. Only an attempt whose body never left whole is known to have failed.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import trio

from vidfs.content.matching import Matcher
from vidfs.content.spool import Spool, spool_errors
from vidfs.content.throttle import Throttle
from vidfs.content.upload_target import Journal, UploadPlan, UploadTarget
from vidfs.errors import (
    HostNotFoundError,
    HostUnreachableError,
    OutcomeUnknownError,
    SpoolDamagedError,
    SpoolError,
    SpoolFullError,
    TransientHostError,
    UploadDamagedError,
    UploadLostError,
    UploadRefusedError,
    VidfsError,
)
from vidfs.hosts.api import RemoteFile, UploadBody, UploadReceipt, VideoHost
from vidfs.types import FileCode, FolderId, Inode, Job, JobState

log = logging.getLogger(__name__)

OUTCOME_GRACE_S = 15.0
"""How long after a lost answer the host may still come up with the file."""

ANSWER_GRACE_S = 15.0
"""How long the answer to an upload that was withdrawn meanwhile is waited for. It says for certain
what became of it, which a listing may not."""

SEAT_S = 10.0
"""So long a server may think about what it got whole before the next file is begun to be sent."""

T = TypeVar("T")

RIVAL_PAUSE_S = 0.2
"""How often a job asks whether the outcome that it waits for is known."""

_CALL_DEADLINE_S = 120.0  # listing, verifying: each step beside the upload itself
_RETRY_S_MAX = 300.0
_RETRY_UNREACHABLE_S_MAX = 20.0
_UNANSWERED_MAX = 4  # for each worker: uploads that have lost their seat
_FULL_DISK_PAUSE_S = 10.0
_FULL_DISK_PAUSE_S_MAX = 300.0
_DRIVEN = frozenset(  # states that the queue takes further by itself
    {JobState.SEALED, JobState.QUEUED, JobState.SENDING, JobState.CONFIRMING}
)


class UploadQueue:
    def __init__(
        self,
        *,
        host: VideoHost,
        journal: Journal,
        spool: Spool,
        target: UploadTarget,
        jobs: Collection[Job],
        workers_max: int,
        bwlimit_bytes_s: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._host = host
        self._journal = journal
        self._spool = spool
        self._target = target
        self._jobs = {job.id: job for job in jobs}
        self._matcher = Matcher(host, target, self._jobs, clock)
        for job in jobs:
            job.body_out = job.outcome_unknown  # how much left before we died is not known
        self._workers_max = workers_max
        self._throttle = Throttle(bwlimit_bytes_s) if bwlimit_bytes_s else None
        self._clock = clock
        self._running: dict[int, trio.CancelScope] = {}
        # Uploads under way, and until when each has a seat, Unix seconds: inf while it sends.
        self._awaiting: dict[trio.CancelScope, float] = {}
        self._heirs: dict[trio.CancelScope, Job] = {}  # who gets the answer of a withdrawn one
        self._sealing: dict[int, trio.CancelScope] = {}
        self._lagging: dict[int, Job] = {}  # rows that are older than their jobs
        self._save_at = math.inf  # when they are written next, Unix seconds
        self._save_pause_s = _FULL_DISK_PAUSE_S
        self._wake = trio.Event()
        self._nursery: trio.Nursery | None = None

    # --- for the layer above ------------------------------------------------------------

    @property
    def jobs(self) -> Collection[Job]:
        return self._jobs.values()

    def find(self, job_id: int) -> Job | None:
        return self._jobs.get(job_id)

    def jobs_of(self, inode: Inode) -> Sequence[Job]:
        """The jobs that are about *inode*'s bytes: one, but for what a crash left."""
        return [job for job in self._jobs.values() if job.inode == inode]

    def add(self, job: Job) -> None:
        """A new row of the journal."""
        self._jobs[job.id] = job

    def seal(self, job: Job) -> None:
        """*job*'s file was closed: sync it, hash it, send it. Checkpoint: none.

        Goes on although the row can't be written; that is tried again until it is.
        """
        job.state, job.clean = JobState.SEALED, True
        job.reason, job.not_before, job.trouble = "", 0.0, None
        with self._row_may_lag(job):
            self._journal.save(job)
        self._start_sealing(job)
        self._notify()

    def hold(self, job: Job, state: JobState, reason: str = "") -> None:
        """Keep *job* here in *state*: local, or parked."""
        job.state, job.reason = state, reason
        with self._row_may_lag(job):
            self._journal.save(job)
        self._notify()

    def reopen(self, job: Job, *, clean: bool = False) -> None:
        """*job*'s bytes are about to change; *clean*: in one step, before and after which they
        are whole. Errors: SpoolError: then they mustn't.

        A row that still said "closed" would let half a file be sent after a restart; one that
        may be sent as it is, after a power cut.
        """
        was_sealed = job.state not in (JobState.WRITING, JobState.LOCAL, JobState.SEALED)
        before = job.state, job.reason, job.clean
        if job.state is not JobState.WRITING:
            self.withdraw(job)
        job.state, job.reason, job.clean = JobState.WRITING, "", clean
        job.sha1 = job.sha256 = None
        try:
            self._journal.save(job, durable=was_sealed)
        except SpoolError:
            job.state, job.reason, job.clean = before
            if job.state in _DRIVEN:
                self.seal(job)  # as it was
            raise
        self._lagging.pop(job.id, None)
        self._notify()

    def withdraw(self, job: Job) -> None:
        """Stop sending *job*: its bytes are about to change or to go.

        Where an attempt may have reached the host all the same, a row of its own goes on to
        find out, so that no second copy stays there.
        """
        ghost = self._create_ghost(job)
        self._stop(job, ghost)
        if job.code is not None:
            job.obsolete.append(job.code)
            job.code = None
        job.sent_folder = job.sent_title = job.sent_at = None
        job.sent_bytes, job.body_out = 0, False
        self._notify()

    def end(self, job: Job) -> list[FileCode]:
        """*job* is no longer wanted: it goes, here once the open transaction is committed.

        Returns the codes that it would have removed, or has just made, at the host.
        """
        ghost = self._create_ghost(job)
        self._journal.drop(job)
        self._journal.after_commit(lambda: self._ended(job, ghost))
        return [*job.obsolete, *([job.code] if job.code is not None else [])]

    def _ended(self, job: Job, ghost: Job | None) -> None:
        self._stop(job, ghost)
        self._jobs.pop(job.id, None)
        self._lagging.pop(job.id, None)
        self._notify()

    def _create_ghost(self, job: Job) -> Job | None:
        """A row of its own for an attempt of *job* that may have reached the host."""
        if not (job.outcome_unknown and job.body_out):
            return None
        ghost = self._journal.create(None, JobState.SENDING)
        for name in ("size_bytes", "sha1", "sha256", "sent_folder", "sent_title", "sent_at"):
            setattr(ghost, name, getattr(job, name))
        ghost.successor, ghost.body_out = job.id, True
        self._journal.save(ghost)
        return ghost

    def _stop(self, job: Job, ghost: Job | None) -> None:
        if (scope := self._sealing.pop(job.id, None)) is not None:
            scope.cancel()
        scope = self._running.pop(job.id, None)
        if scope is not None and ghost is not None and scope in self._awaiting:
            # The host has it all: its answer says for certain what became of it.
            scope.deadline = trio.current_time() + ANSWER_GRACE_S
            self._running[ghost.id], self._heirs[scope] = scope, ghost
        elif scope is not None:
            scope.cancel()
        if ghost is not None:
            self._jobs[ghost.id] = ghost

    def drop(self, job: Job) -> None:
        """*job* is no longer wanted; `withdraw` it first."""
        self._journal.drop(job)
        self._jobs.pop(job.id, None)
        self._lagging.pop(job.id, None)
        self._notify()

    def clean_up(self, code: FileCode, title: str) -> None:
        """Remove a copy that nobody wants any more, as often as it takes. Checkpoint: none."""
        job = self._journal.create(None, JobState.CONFIRMING)
        job.code, job.sent_title = code, title
        self._journal.save(job)
        self._journal.after_commit(lambda: self._added(job))

    def _added(self, job: Job) -> None:
        self.add(job)
        self._notify()

    def retry(self, job: Job) -> None:
        """Try a parked or waiting *job* again now."""
        job.not_before, job.reason, job.trouble = 0.0, "", None
        if job.state is not JobState.PARKED:
            self.hold(job, job.state)
        elif job.code is not None:
            self.hold(job, JobState.CONFIRMING)
        elif job.outcome_unknown:
            self.hold(job, JobState.SENDING)
        else:
            self.seal(job)

    def is_ours(self, file: RemoteFile) -> bool:
        """Whether *file*, new in a listing, may be an upload of ours whose answer is due."""
        return any(
            job.outcome_unknown and self._matcher.may_be(job, file)
            for job in self._jobs.values()
            if file.folder is None or file.folder == job.sent_folder
        )

    def is_superseded(self, code: FileCode) -> bool:
        """Whether *code* only waits for its removal at the host."""
        return any(
            code in job.obsolete or (job.inode is None and job.code == code)
            for job in self._jobs.values()
        )

    def is_bound_for(self, folder: FolderId) -> bool:
        """Whether a file may turn up in *folder* that is wanted, perhaps elsewhere by now."""
        return any(
            job.inode is not None and job.pending and job.sent_folder == folder
            for job in self._jobs.values()
        )

    async def finish_call(self, call: Callable[[], Awaitable[None]]) -> None:
        """Await *call*, which goes on if the job that it is for is withdrawn meanwhile.

        A call that was cut off may still be done by the host, and after what comes next.
        """
        outcome: list[Exception] = []
        over = trio.Event()

        async def attempt() -> None:
            try:
                with trio.fail_after(_CALL_DEADLINE_S):
                    await call()
            except Exception as error:
                outcome.append(error)
            finally:
                over.set()

        assert self._nursery is not None
        self._nursery.start_soon(attempt, name="finish a call")
        await over.wait()
        if outcome:
            raise outcome[0]

    async def wait_until(self, done: Callable[[], bool]) -> None:
        """Return when *done*() is true; it is asked whenever a job changes."""
        while not done():
            await self._wake.wait()

    # --- running ------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send what is queued until cancelled; a cancelled job is queued again, never lost."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                while True:
                    wake = self._wake
                    next_at = self._start_ready()
                    with trio.move_on_after(max(0.0, next_at - self._clock())):
                        await wake.wait()
        finally:
            self._nursery = None

    def _notify(self) -> None:
        self._wake.set()
        self._wake = trio.Event()

    def _start_ready(self) -> float:
        """Start what may start. Returns when to look again, Unix seconds."""
        assert self._nursery is not None
        now = self._clock()
        self._save_lagging(now)
        next_at = min(now + 3600.0, self._save_at)
        next_at = min([next_at, *(until for until in self._awaiting.values() if until > now)])
        for job in self._jobs.values():
            if job.id in self._running or job.id in self._sealing or job.state not in _DRIVEN:
                continue
            if job.not_before > now:
                next_at = min(next_at, job.not_before)
            elif job.state is JobState.SEALED:
                self._start_sealing(job)
            elif self._matcher.must_wait(job):
                pass  # the other's end is announced
            elif self._has_seat(now):
                job.source = job.rival = None
                scope = trio.CancelScope()
                self._running[job.id] = scope
                self._nursery.start_soon(self._work, job, scope, name=f"upload {job.id}")
        return next_at

    def _has_seat(self, now: float) -> bool:
        """Whether one more worker may begin: those don't count whose server doesn't answer."""
        unanswered = sum(until <= now for until in self._awaiting.values())
        unanswered = min(unanswered, _UNANSWERED_MAX * self._workers_max)
        return len(self._running) - unanswered < self._workers_max

    def _start_sealing(self, job: Job) -> None:
        if self._nursery is not None:
            if (old := self._sealing.pop(job.id, None)) is not None:
                old.cancel()
            scope = self._sealing[job.id] = trio.CancelScope()
            self._nursery.start_soon(self._seal, job, scope, name=f"seal {job.id}")

    async def _seal(self, job: Job, scope: trio.CancelScope) -> None:
        try:
            with scope:
                self._check_size(job)
                await _step(scope, self._target.complete(job))
                sealed = await _step(scope, self._spool.seal(job.id))
                is_torn = bool(job.size_bytes) and sealed.size_bytes != job.size_bytes
                if is_torn or job.sha1 not in (None, sealed.sha1):
                    raise SpoolDamagedError("the spool holds other bytes than were closed")
                job.size_bytes = sealed.size_bytes
                job.sha1, job.sha256 = sealed.sha1, sealed.sha256
                job.state = JobState.QUEUED
                try:
                    self._journal.save(job, durable=True)
                except SpoolError:
                    job.state = JobState.SEALED
                    raise
        except Exception as error:
            self._failed(job, error)
        finally:
            if self._sealing.get(job.id) is scope:
                del self._sealing[job.id]
            self._notify()

    def _check_size(self, job: Job) -> None:
        """Errors: UploadRefusedError, before a file is hashed that is too large anyway."""
        bytes_max = self._host.capabilities.upload_bytes_max
        if bytes_max is not None and job.size_bytes > bytes_max:
            raise UploadRefusedError(f"larger than the {bytes_max} bytes that the host takes")

    async def _work(self, job: Job, scope: trio.CancelScope) -> None:
        try:
            with scope:
                await self._advance(job, scope)
        except Exception as error:
            self._failed(self._heirs.get(scope, job), error)
        finally:
            job = self._heirs.pop(scope, job)
            if self._running.get(job.id) is scope:
                del self._running[job.id]
                if job.state is JobState.SENDING and not job.body_out:
                    # Stopped before the body was out: nothing can be at the host.
                    self._give_back(job)
            self._notify()

    def _failed(self, job: Job, error: Exception) -> None:
        """Decide what *error* means for *job*."""
        if job.trouble is None:
            job.trouble_since = self._clock()
        job.trouble = error
        with self._row_may_lag(job):
            if isinstance(error, TransientHostError | SpoolFullError):
                self._postpone(job, error)
            elif isinstance(error, OutcomeUnknownError):
                # Stays in `sending`: the host is asked first.
                job.reason, job.not_before, job.body_out = str(error), 0.0, True
                self._journal.save(job)
            elif isinstance(error, trio.TooSlowError):
                self._postpone(job, TransientHostError("the host didn't answer in time"))
            elif isinstance(error, VidfsError):
                log.warning("upload %d is parked: %s", job.id, error)
                self.hold(job, JobState.PARKED, str(error))
            else:
                log.error("upload %d met an unforeseen error", job.id, exc_info=error)
                self.hold(job, JobState.PARKED, "an unforeseen error, see the log")
        error.__traceback__ = None  # with all that its frames hold, as long as the job waits

    @contextmanager
    def _row_may_lag(self, job: Job) -> Iterator[None]:
        """Go on with *job* although its row can't be written: the disk is full.

        The row then tells of an earlier step, from which a restart loses nothing either. It
        is written as soon as that can be done.
        """
        try:
            yield
        except SpoolError as error:
            log.warning("upload %d: %s", job.id, error)
            now = self._clock()
            job.not_before = max(job.not_before, now + _FULL_DISK_PAUSE_S)
            self._lagging[job.id] = job
            self._save_at = min(self._save_at, now + self._save_pause_s)

    def _save_lagging(self, now: float) -> None:
        """Write the rows that couldn't be written, if it is time for that."""
        if now < self._save_at:
            return
        try:
            while self._lagging:
                job_id, job = next(iter(self._lagging.items()))
                self._journal.save(job)
                del self._lagging[job_id]
        except SpoolError as error:
            log.info("%d rows of the journal still can't be written: %s", len(self._lagging), error)
            self._save_pause_s = min(2 * self._save_pause_s, _FULL_DISK_PAUSE_S_MAX)
            self._save_at = now + self._save_pause_s
        else:
            self._save_at, self._save_pause_s = math.inf, _FULL_DISK_PAUSE_S

    def _give_back(self, job: Job) -> None:
        """No attempt is under way any more, for certain."""
        job.state = JobState.QUEUED
        job.sent_folder = job.sent_title = job.sent_at = None
        with self._row_may_lag(job):
            self._journal.save(job)

    def _postpone(self, job: Job, error: TransientHostError | SpoolFullError) -> None:
        """Try again later; what is known of an attempt under way stays known."""
        job.failures += 1
        is_gone = isinstance(error, HostUnreachableError)  # asking is no burden to it then
        retry_s_max = _RETRY_UNREACHABLE_S_MAX if is_gone else _RETRY_S_MAX
        backoff_s = min(retry_s_max, 0.5 * 2.0 ** min(job.failures, 12))
        asked_s = error.retry_after_s if isinstance(error, TransientHostError) else None
        delay_s = max(backoff_s * random.uniform(0.5, 1.0), asked_s or 0.0)
        job.reason, job.not_before = str(error), self._clock() + delay_s
        self._journal.save(job)
        log.info("upload %d again in %.0f s: %s", job.id, delay_s, error)

    async def _advance(self, job: Job, scope: trio.CancelScope) -> None:
        """Take *job* as far as it goes."""
        if job.outcome_unknown:
            found = await _step(scope, self._search(job))
            if found is not None:
                log.info("upload %d was found at the host as %s", job.id, found.code)
                job.sent_title = found.title
                self._learn(job, found.code)
            elif job.outcome_unknown:
                return  # looked for again, but by no worker that waits for that
        if job.inode is None:
            await self._settle_ghost(job)
            return
        if job.code is None:
            await self._keep_same(job, scope)
        if job.code is None and not await self._send(job, scope):
            return
        try:
            await _step(scope, self._target.confirm(job), _CALL_DEADLINE_S)
        except UploadLostError as error:
            self._send_anew(job, error)
            return
        # The row first: bytes without a row are only set aside by the next start, a row
        # without bytes would be taken for a loss.
        self.drop(job)
        job.state = JobState.DONE
        self._target.finished(job)

    async def _keep_same(self, job: Job, scope: trio.CancelScope) -> None:
        """A file that was written anew with the bytes that it had stays as it is at the host."""
        if job.must_upload or not job.obsolete:
            return
        same = await _step(scope, self._target.find_same(job), _CALL_DEADLINE_S)
        if same is None:
            return
        obsolete = list(job.obsolete)
        job.obsolete.remove(same.code)
        job.sent_folder, job.sent_title = same.folder, same.title
        job.fields, job.cloned = {}, False
        try:
            self._learn(job, same.code)
        except SpoolError:
            job.obsolete[:] = obsolete
            raise
        log.info("upload %d: the host has these bytes already, as %s", job.id, same.code)

    async def _send(self, job: Job, scope: trio.CancelScope) -> bool:
        """One attempt. False: it isn't *job*'s turn yet."""
        folder, title = self._matcher.foresee(*self._target.place(job), None)
        if self._matcher.find_rival(job, folder, title) is not None:
            return self._wait_for(job, "another upload of this name, whose outcome isn't known")
        twin = None
        if not job.must_upload:
            twin = await _step(scope, self._target.find_twin(job), _CALL_DEADLINE_S)
            if twin is None and (source := self._matcher.find_source(job)) is not None:
                job.source = source
                return self._wait_for(job, "another upload of the same bytes, to be copied")
        plan = await _step(scope, self._target.plan(job), _CALL_DEADLINE_S)
        folder, title = self._matcher.foresee(plan.folder, plan.title, twin)
        job.rival = self._matcher.find_rival(job, folder, title)
        if job.rival is not None:
            return self._wait_for(job, "another upload of this name, whose outcome isn't known")
        path = self._spool.path_of(job.id)
        with spool_errors():
            size_bytes = path.stat().st_size
        if size_bytes != job.size_bytes:
            raise SpoolDamagedError("its bytes in the spool are not those that were closed")
        job.state, job.attempts, job.reason = JobState.SENDING, job.attempts + 1, ""
        job.sent_folder, job.sent_title = folder, title
        job.sent_at = job.attempt_at = self._clock()
        job.sent_bytes, job.body_out, job.searched_since = 0, twin is not None, 0.0
        job.fields, job.cloned = plan.options.to_fields(), twin is not None
        self._journal.save(job, durable=True)
        self._notify()
        attempt = self._upload(job, plan, scope) if twin is None else self._clone(job, plan, twin)
        self._awaiting[scope] = math.inf
        try:
            receipt = await _step(scope, attempt)
        except OutcomeUnknownError:
            raise
        except VidfsError as error:
            heir = self._heirs.get(scope, job)
            self._give_back(heir)  # plainly refused, or never left whole
            if heir is not job:
                return False
            if twin is None or isinstance(error, TransientHostError):
                raise
            log.info("upload %d: no copy is made at the host: %s", job.id, error)
            job.must_upload = True
            return False
        finally:
            self._awaiting.pop(scope, None)
        heir = self._heirs.get(scope, job)
        if receipt.title is not None:
            heir.sent_title = receipt.title
        self._learn(heir, receipt.code)
        return heir is job

    def _wait_for(self, job: Job, what: str) -> bool:
        """*job* looks again soon."""
        job.reason, job.not_before = f"waits for {what}", self._clock() + RIVAL_PAUSE_S
        return False

    async def _upload(self, job: Job, plan: UploadPlan, scope: trio.CancelScope) -> UploadReceipt:
        body = UploadBody(
            path=self._spool.path_of(job.id),
            size_bytes=job.size_bytes,
            sha1=job.sha1,
            sha256=job.sha256,
            on_progress=lambda sent_bytes: self._progressed(job, scope, sent_bytes),
            throttle=self._throttle.wait if self._throttle else None,
        )
        return await self._host.upload(
            body, folder=plan.folder, title=plan.title, options=plan.options
        )

    async def _clone(self, job: Job, plan: UploadPlan, twin: RemoteFile) -> UploadReceipt:
        """Instead of sending bytes that the account has: the rest is `confirm`'s to mend."""
        with trio.fail_after(_CALL_DEADLINE_S):
            code = await self._host.begin_clone(twin.code, title=plan.title, folder=plan.folder)
        job.sent_bytes = job.size_bytes
        log.info("upload %d: the host made it of %s", job.id, twin.code)
        return UploadReceipt(code=code)

    def _send_anew(self, job: Job, error: UploadLostError) -> None:
        """What the host accepted isn't there, or isn't that. Should it turn up, or as soon as
        a good copy is there, it goes."""
        assert job.code is not None
        log.warning("upload %d is sent again: %s", job.id, error)
        job.must_upload = job.is_kept or isinstance(error, UploadDamagedError)
        job.obsolete.append(job.code)
        job.code = None
        job.reason = str(error)
        self._give_back(job)
        if isinstance(error, UploadDamagedError):
            job.copies_damaged += 1
            if job.copies_damaged > 1:  # no chance: a person should know
                self.hold(job, JobState.PARKED, str(error))

    def _progressed(self, job: Job, scope: trio.CancelScope, sent_bytes: int) -> None:
        if self._running.get(job.id) is scope:
            job.sent_bytes = sent_bytes
            job.body_out = sent_bytes >= job.size_bytes
        if sent_bytes >= job.size_bytes and self._awaiting.get(scope) == math.inf:
            self._awaiting[scope] = self._clock() + SEAT_S
            self._notify()

    def _learn(self, job: Job, code: FileCode) -> None:
        job.code, job.state, job.reason = code, JobState.CONFIRMING, ""
        job.failures, job.trouble = 0, None
        try:
            with self._journal.durable():
                self._target.record_code(job)
                self._journal.save(job)
        except SpoolError:
            # Not written down, so not known: the host will be asked.
            job.code, job.state, job.body_out = None, JobState.SENDING, True
            raise
        self._notify()

    async def _settle_ghost(self, job: Job) -> None:
        """What became of an upload that nobody wants any more is known: remove what arrived."""
        successor = self._jobs.get(job.successor or 0)
        if job.code is None or (successor is not None and job.code in successor.obsolete):
            pass
        elif successor is not None and successor.needs_older:
            # Kept until the newer bytes are there, so that the host is never without any.
            successor.obsolete.append(job.code)
            self._journal.save(successor)
        else:
            with trio.fail_after(_CALL_DEADLINE_S):
                await self._target.discard(job.code, job.sent_title or "")
        self.drop(job)

    # --- asking the host ------------------------------------------------------------------

    async def _search(self, job: Job) -> RemoteFile | None:
        """The file that the unanswered attempt of *job* left at the host, if it is there now.

        If not, `not_before` says when to look again, or the attempt is given up.
        """
        assert job.sent_at is not None
        asked_since = max(job.sent_at, job.attempt_at)
        job.searched_since = job.searched_since or self._clock()
        with trio.fail_after(_CALL_DEADLINE_S):
            files = await self._list_sent(job)
        matches = [file for file in files if self._matcher.may_be(job, file)]
        if matches:
            return max(matches, key=lambda file: self._matcher.likeness(job, file))
        now = self._clock()
        waited_s = now - job.searched_since
        if waited_s > OUTCOME_GRACE_S or now - asked_since > 20 * OUTCOME_GRACE_S:
            self._give_back(job)
        else:
            job.not_before = now + max(0.5, waited_s)
        return None

    async def find_copy(self, job: Job, folder: FolderId) -> FileCode | None:
        """A file in *folder*, nobody's yet, that looks like what *job* sent. Errors: HostError."""
        files = (await self._host.list_folder(folder)).files
        return next((file.code for file in files if self._matcher.may_be(job, file)), None)

    async def _list_sent(self, job: Job) -> Sequence[RemoteFile]:
        assert job.sent_folder is not None
        try:
            return (await self._host.list_folder(job.sent_folder)).files
        except HostNotFoundError:
            return ()


async def _step(scope: trio.CancelScope, call: Awaitable[T], deadline_s: float = math.inf) -> T:
    """What *call* comes to, within *deadline_s*.

    Ends here if *scope* was cancelled in the very step in which the answer came: from then on
    the job is not ours to change.
    """
    try:
        with trio.fail_after(deadline_s):
            return await call
    finally:
        if scope.cancel_called:
            await trio.lowlevel.checkpoint()
