"""Values that every layer may use. No behaviour beyond arithmetic on themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NewType

Inode = NewType("Inode", int)
"""The kernel's number for a node. The root is 1. A number is never given twice."""

FolderId = NewType("FolderId", str)
"""A host's identifier of a folder; text even where the host sends digits."""

FileCode = NewType("FileCode", str)
"""A host's identifier of a file's content."""

ROOT_INODE = Inode(1)

NAME_BYTES_MAX = 255
"""Longest name in bytes of UTF-8, as `statfs` says (`f_namemax`)."""

FILE_BYTES_MAX = 8 << 40
"""Largest file, 8 TiB: beyond it every call answers EFBIG at once."""


class NodeKind(IntEnum):
    FOLDER = 0
    FILE = 1


class JobState(StrEnum):
    """How far the bytes of a closed file have come on their way to the host."""

    WRITING = "writing"  # a writer has it open, or died with it open
    LOCAL = "local"  # closed, but not to be sent: an empty file or a scratch name
    SEALED = "sealed"  # closed; bytes being synced and hashed
    QUEUED = "queued"  # on disk for certain, waiting for a worker
    SENDING = "sending"  # an attempt is under way, or was when the daemon died
    CONFIRMING = "confirming"  # the host gave a code; title and folder being verified
    DONE = "done"  # at the host
    CHANGING = "changing"  # no upload: the host is being asked to remove or rename the file
    PARKED = "parked"  # needs a person: the reason stands beside it


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """One file with bytes in the spool, on its way to the host: a row of the journal.

    The columns are explained in the schema (`tree/store.py`). Row and object change together:
    whoever changes one saves it through the journal in the same step.
    """

    id: int
    inode: Inode | None
    state: JobState
    clean: bool = True
    size_bytes: int = 0
    sha1: str | None = None
    sha256: str | None = None
    attempts: int = 0
    reason: str = ""
    not_before: float = 0.0
    sent_folder: FolderId | None = None
    sent_title: str | None = None
    sent_at: float | None = None
    code: FileCode | None = None
    obsolete: list[FileCode] = field(default_factory=list)
    successor: int | None = None
    fields: dict[str, str] = field(default_factory=dict)
    cloned: bool = False
    # Not in the journal: progress of the attempt under way.
    sent_bytes: int = 0
    body_out: bool = False  # all of it left, or nobody knows: the host may have it
    attempt_at: float = 0.0
    searched_since: float = 0.0  # what became of the attempt, Unix seconds; 0: not yet
    failures: int = 0  # transient ones in a row
    trouble: Exception | None = None  # what the last attempt met; None: nothing since it went well
    trouble_since: float = 0.0  # Unix seconds
    must_upload: bool = False  # no copy at the host will do: it refused, or has something else
    source: Job | None = None  # whose bytes at the host are to be copied, once they are there
    rival: Job | None = None  # what became of which is to be known before this is copied
    is_placed: bool = False  # it was moved to `sent_folder` after it had been sent
    copies_damaged: int = 0  # at the host, one after the other

    @property
    def pending(self) -> bool:
        """Will go on by itself until it is at the host."""
        return self.state in _PENDING

    @property
    def is_due(self) -> bool:
        """Closed, and on its way: what `wait` waits for.

        A file whose descriptors were closed is due although the kernel hasn't said yet that
        the last one was: it says so when it likes.
        """
        if self.state is JobState.WRITING:
            return self.clean and self.size_bytes > 0
        return self.pending

    @property
    def needs_older(self) -> bool:
        """These bytes are to replace others at the host, which has none of the file yet."""
        is_file = self.inode is not None and self.state is not JobState.LOCAL
        return is_file and not self.obsolete

    @property
    def shown_reason(self) -> str:
        """Why it isn't further, for people."""
        if not self.reason and self.body_out and self.outcome_unknown:
            return "all of it is sent: the host's answer is due"
        return self.reason

    @property
    def is_kept(self) -> bool:
        """The host had a file of these bytes: nothing was sent."""
        return self.code is not None and self.sent_at is None

    @property
    def outcome_unknown(self) -> bool:
        """An attempt left that was never answered: the host is asked before another."""
        return self.sent_at is not None and self.code is None


_PENDING = frozenset(
    {
        JobState.WRITING,
        JobState.SEALED,
        JobState.QUEUED,
        JobState.SENDING,
        JobState.CONFIRMING,
    }
)


class Secret:
    """A value that must not be seen. `repr`, `str` and pickling never show it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself: only for the request that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled")
