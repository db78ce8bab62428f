"""The upload journal on disk, in the same file as the catalogue.

One file for both, so that "this code now belongs to that node, and its job is done" is one
transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress

from vidfs.errors import SpoolError
from vidfs.tree.store import Store
from vidfs.types import FileCode, Inode, Job, JobState, NodeKind

_COLUMNS = (
    "inode, state, clean, size, sha1, sha256, attempts, reason, not_before, sent_folder,"
    " sent_title, sent_at, code, obsolete, successor, fields, cloned"
)
_BOOT = "boot"
_MARKS = ",".join("?" * 17)
_ASSIGNMENTS = ", ".join(f"{name.strip()}=?" for name in _COLUMNS.split(","))


class SqlJournal:
    """Rows of table `job`. Same thread and same atomicity as `Store`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, inode: Inode | None, state: JobState) -> Job:
        job = Job(id=0, inode=inode, state=state)
        cursor = self._store.db.execute(
            f"INSERT INTO job ({_COLUMNS}) VALUES ({_MARKS})", _to_row(job)
        )
        assert cursor.lastrowid is not None
        job.id = cursor.lastrowid
        return job

    def save(self, job: Job, *, durable: bool = False) -> None:
        """Write the row. *durable*: it, and all before it, is on disk on return."""
        context = self._store.durable() if durable else self._store.transaction()
        with context:
            self._store.db.execute(
                f"UPDATE job SET {_ASSIGNMENTS} WHERE id=?", (*_to_row(job), job.id)
            )

    def transaction(self) -> AbstractContextManager[None]:
        """All that is written inside, to the tree too, is one step."""
        return self._store.transaction()

    def after_commit(self, step: Callable[[], None]) -> None:
        """Do *step* once the open transaction is over, at once if none is."""
        self._store.after_commit(step)

    def freeing(self, work: Callable[[], None]) -> None:
        """*work* in one transaction, which makes room; it goes on a full disk, too."""
        self._store.freeing(work)

    def durable(self) -> AbstractContextManager[None]:
        """All that is written inside, to the tree too, is one step and on disk at its end."""
        return self._store.durable()

    def drop(self, job: Job) -> None:
        self._store.db.execute("DELETE FROM job WHERE id=?", (job.id,))

    def save_made_of(self, inode: Inode, code: FileCode, sha1: str) -> None:
        """*inode*'s file at the host, or the one that it is to replace there, is *code*, and was
        made of bytes with this hash."""
        self._store.db.execute("UPDATE node SET made_of=? WHERE inode=?", (f"{code} {sha1}", inode))

    def find_made_of(self, inode: Inode) -> tuple[FileCode, str] | None:
        """What `save_made_of` was told last."""
        row = self._store.db.execute("SELECT made_of FROM node WHERE inode=?", (inode,)).fetchone()
        if row is None or row[0] is None:
            return None
        code, _, sha1 = row[0].rpartition(" ")
        return FileCode(code), sha1

    def drop_hollow(self) -> None:
        """Remove files from the tree that neither the host nor a row has bytes of: they were
        being made when the daemon died."""
        with suppress(SpoolError):
            self._store.db.execute(
                "DELETE FROM node WHERE kind=? AND remote IS NULL AND NOT EXISTS"
                " (SELECT 1 FROM job WHERE job.inode=node.inode)",
                (NodeKind.FILE,),
            )

    def find_boot(self) -> str | None:
        """What `save_boot` was told last, None if never."""
        return self._store.find_meta(_BOOT)

    def save_boot(self, boot_id: str) -> None:
        """Which start of the machine the spool is in use in; "" if in none. On disk on return."""
        with self._store.durable():
            self._store.save_meta(_BOOT, boot_id)

    def load(self) -> Sequence[Job]:
        """All uploads, oldest first."""
        return self._load("state<>?")

    def load_changing(self) -> Sequence[Job]:
        """What the host was being asked to change, oldest first (`volume/unfinished.py`)."""
        return self._load("state=?")

    def _load(self, condition: str) -> Sequence[Job]:
        rows = self._store.db.execute(
            f"SELECT id, {_COLUMNS} FROM job WHERE {condition} ORDER BY id",
            (JobState.CHANGING.value,),
        )
        return [_to_job(row) for row in rows]


def _to_row(job: Job) -> tuple[object, ...]:
    return (
        job.inode, job.state.value, int(job.clean), job.size_bytes, job.sha1, job.sha256,
        job.attempts, job.reason, job.not_before, job.sent_folder, job.sent_title, job.sent_at,
        job.code, json.dumps(job.obsolete), job.successor,
        json.dumps(job.fields), int(job.cloned),
    )  # fmt: skip


def _to_job(row: Sequence[object]) -> Job:
    (id_, inode, state, clean, size, sha1, sha256, attempts, reason, not_before, sent_folder,
     sent_title, sent_at, code, obsolete, successor, fields, cloned) = row  # fmt: skip
    return Job(
        id=id_, inode=inode, state=JobState(state), clean=bool(clean),  # type: ignore[arg-type]
        size_bytes=size, sha1=sha1, sha256=sha256, attempts=attempts,  # type: ignore[arg-type]
        reason=reason, not_before=not_before, sent_folder=sent_folder,  # type: ignore[arg-type]
        sent_title=sent_title, sent_at=sent_at, code=code,  # type: ignore[arg-type]
        obsolete=json.loads(str(obsolete)), successor=successor,  # type: ignore[arg-type]
        fields=json.loads(str(fields)), cloned=bool(cloned),
    )  # fmt: skip
