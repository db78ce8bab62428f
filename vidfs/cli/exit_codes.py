"""The exit codes of `vidfs`: one table, which the README quotes."""

from __future__ import annotations

from enum import IntEnum

from vidfs.errors import (
    AbilityError,
    AccessDeniedError,
    AlreadyMountedError,
    CallMissingError,
    HostNotFoundError,
    MountPointError,
    NotFoundError,
    NotMountedError,
    OutcomeUnknownError,
    TransientHostError,
    UsageError,
    VidfsError,
)


class WaitTimeoutError(VidfsError):
    """What was waited for didn't come in time."""


class ExitCode(IntEnum):
    """What `vidfs` ends with. `meaning` is the README's text."""

    meaning: str

    DONE = 0, "done"
    FAILED = 1, "failed; also: uploads are parked"
    USAGE = 2, "wrong usage: command line, mount option, configuration or account name"
    NOT_MOUNTED = 3, "no vidfs mount there"
    REFUSED = 4, "the host refuses the account: wrong key, suspended, not ours"
    UNREACHABLE = 5, "the host can't be reached or gives no usable answer"
    TIMED_OUT = 6, "timed out"
    IN_USE = 7, "the account or the mount point is already mounted"
    MOUNT_POINT = 8, "the mount point is missing, not a directory or not empty"
    NOT_FOUND = 9, "no such file or folder at the host"
    UNABLE = 10, "this host cannot do that"
    INTERRUPTED = 130, "interrupted (Ctrl-C)"

    def __new__(cls, code: int, meaning: str) -> ExitCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member


_BY_CLASS: dict[type[BaseException], ExitCode] = {
    VidfsError: ExitCode.FAILED,
    UsageError: ExitCode.USAGE,
    NotMountedError: ExitCode.NOT_MOUNTED,
    AccessDeniedError: ExitCode.REFUSED,
    TransientHostError: ExitCode.UNREACHABLE,
    OutcomeUnknownError: ExitCode.UNREACHABLE,
    WaitTimeoutError: ExitCode.TIMED_OUT,
    AlreadyMountedError: ExitCode.IN_USE,
    MountPointError: ExitCode.MOUNT_POINT,
    NotFoundError: ExitCode.NOT_FOUND,
    HostNotFoundError: ExitCode.NOT_FOUND,
    AbilityError: ExitCode.UNABLE,
    CallMissingError: ExitCode.UNABLE,
    KeyboardInterrupt: ExitCode.INTERRUPTED,
}


def exit_code_for(error: BaseException) -> ExitCode:
    """By the nearest class in the table; anything unforeseen has failed."""
    for cls in type(error).__mro__:
        if cls in _BY_CLASS:
            return _BY_CLASS[cls]
    return ExitCode.FAILED
