"""Which file at the host may be an upload whose answer was lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vidfs.content.upload_target import UploadTarget
from vidfs.hosts.api import RemoteFile, VideoHost
from vidfs.types import FolderId, Job, JobState

CLOCK_SLACK_S = 5.0
"""A host's upload time may lie so far before our own start of the attempt."""

CONVERSION_S = 60.0
"""No host has converted a file so soon after it began to receive it (assumed)."""


class Matcher:
    def __init__(
        self,
        host: VideoHost,
        target: UploadTarget,
        jobs: Mapping[int, Job],
        clock: Callable[[], float],
    ) -> None:
        """*jobs*: all of the queue, as they are at any moment."""
        self._host = host
        self._target = target
        self._jobs = jobs
        self._clock = clock

    def may_be(self, job: Job, file: RemoteFile) -> bool:
        """Whether *file* can be what *job*'s unanswered attempt left, by all that is known."""
        assert job.sent_at is not None
        loose = self._target.loose_title
        if loose(file.title) != loose(job.sent_title or ""):
            return False
        if file.uploaded_at is not None and file.uploaded_at < job.sent_at - CLOCK_SLACK_S:
            return False
        if self._differs(job, file) and not self._may_be_converted(job, file):
            return False
        claimed = any(self._is_of(other, file, job) for other in self._jobs.values())
        return not claimed and not self._target.owns(file.code)

    def _is_of(self, other: Job, file: RemoteFile, job: Job) -> bool:
        """Whether *file*, which might be *job*'s, is rather *other*'s."""
        bears_its_title = (
            other.outcome_unknown
            and (other.sent_folder, other.sent_title) == (job.sent_folder, file.title)
            and job.sent_title != file.title
        )
        return other.code == file.code or bears_its_title

    def _differs(self, job: Job, file: RemoteFile) -> bool:
        sizes_differ = file.size_bytes is not None and file.size_bytes != job.size_bytes
        hashes_differ = file.sha1 is not None and job.sha1 is not None and file.sha1 != job.sha1
        return sizes_differ or hashes_differ

    def _may_be_converted(self, job: Job, file: RemoteFile) -> bool:
        """Whether *file* may have been ours once: conversion changes bytes and, often, title."""
        if self._host.capabilities.keeps_content:
            return False
        age_s = self._clock() - (job.sent_at or 0.0)
        return file.title != job.sent_title or age_s > CONVERSION_S

    def likeness(self, job: Job, file: RemoteFile) -> tuple[bool, bool, float]:
        return (
            file.sha1 is not None and file.sha1 == job.sha1,
            file.title == job.sent_title,
            -(file.uploaded_at or 0.0),  # the first of equals: a later one is another's
        )

    def foresee(
        self, folder: FolderId, title: str, twin: RemoteFile | None
    ) -> tuple[FolderId, str]:
        """Under which folder and title an attempt turns up at the host that is to bring a file
        there: its bytes, or a copy of *twin*."""
        can = self._host.capabilities
        if twin is None:
            return folder if can.upload_into_folder else self._host.root, title
        return (
            folder if "folder" in can.clone_sets else self._host.root,
            title if "title" in can.clone_sets else twin.title,
        )

    def find_source(self, job: Job) -> Job | None:
        """An older job that is about to bring *job*'s very bytes to a host that can copy."""
        if not self._host.capabilities.clone:
            return None
        return next((other for other in self._jobs.values() if self.is_source(other, job)), None)

    def is_source(self, other: Job, job: Job) -> bool:
        """Whether *other* is such a one, and getting on."""
        return (
            other.id < job.id
            and self._jobs.get(other.id) is other
            and (other.sha1, other.size_bytes) == (job.sha1, job.size_bytes)
            and other.state in (JobState.QUEUED, JobState.SENDING, JobState.CONFIRMING)
            and other.inode is not None
            and other.trouble is None
        )

    def must_wait(self, job: Job) -> bool:
        """Whether *job* has to wait for the other one still that it waits for."""
        source, rival = job.source, job.rival
        return (source is not None and self.is_source(source, job)) or (
            rival is not None and self._jobs.get(rival.id) is rival and _may_turn_up(rival)
        )

    def find_rival(self, job: Job, folder: FolderId, title: str) -> Job | None:
        """Another attempt that may still turn up where, and as what, *job*'s would.

        Two files of one title and size whose answers are both lost can't be told apart where
        the host tells no hash: each would be taken for the other. So the second isn't sent
        before the first's outcome is known, or waits for a person.
        """
        loose = self._target.loose_title
        rivals = (
            other
            for other in self._jobs.values()
            if other is not job
            and _may_turn_up(other)
            and other.sent_folder == folder
            and loose(other.sent_title or "") == loose(title)
        )
        return next(rivals, None)


def _may_turn_up(job: Job) -> bool:
    return job.outcome_unknown and job.state is not JobState.PARKED
