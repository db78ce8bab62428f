"""What the upload queue asks of the layers around it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from vidfs.hosts.api import RemoteFile, UploadOptions
from vidfs.types import FileCode, FolderId, Job, JobState


class Journal(Protocol):
    """Where jobs are remembered (`tree/journal.py`)."""

    def create(self, inode: None, state: JobState) -> Job: ...
    def save(self, job: Job, *, durable: bool = False) -> None: ...
    def drop(self, job: Job) -> None: ...
    def durable(self) -> AbstractContextManager[None]:
        """All that is written inside is one step, and on disk at its end."""

    def after_commit(self, step: Callable[[], None]) -> None:
        """Do *step* once the open transaction is over, at once if none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPlan:
    folder: FolderId
    title: str
    options: UploadOptions


class UploadTarget(Protocol):
    """What the queue asks of the layer above."""

    async def complete(self, job: Job) -> None:
        """Fetch those of *job*'s bytes that are still at the host.

        Errors: VidfsError; what was fetched until then stays. Transient ones: call again.
        """

    def place(self, job: Job) -> tuple[FolderId, str]:
        """The folder and title that *job*'s bytes would be sent under now."""

    async def plan(self, job: Job) -> UploadPlan:
        """Where *job*'s bytes belong now. Errors: VidfsError parks the job."""

    async def find_same(self, job: Job) -> RemoteFile | None:
        """That of `job.obsolete`, as the host has it now, which was made of the very bytes that
        are to replace it. Errors: HostError."""

    async def find_twin(self, job: Job) -> RemoteFile | None:
        """A file of the account that was made of *job*'s bytes, as the host has it now.

        None: there is none, or the host can't clone. Errors: HostError.
        """

    def owns(self, code: FileCode) -> bool:
        """Whether *code* stands for a file that is known already."""

    def record_code(self, job: Job) -> None:
        """`job.code` was just learnt: tie it to the file, in the transaction of the caller."""

    async def confirm(self, job: Job) -> None:
        """Verify and mend what the host made of the upload, remove what it replaces.

        May be called again after an error: every step can be repeated.
        """

    def finished(self, job: Job) -> None:
        """*job* is done: let go of its bytes."""

    async def discard(self, code: FileCode, title: str) -> None:
        """Remove a copy that nobody wants any more."""

    def loose_title(self, title: str) -> str:
        """*title* without what hosts change in titles, for comparing."""
