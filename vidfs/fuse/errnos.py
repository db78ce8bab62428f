"""Errors to errno: the one table, and the boundary no exception crosses.

An exception other than `FUSEError` that leaves a handler ends pyfuse3's main loop and the
mount with it. `answers_errno` stands around every handler and lets nothing else out.
"""

from __future__ import annotations

import errno
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

import pyfuse3
import trio

from vidfs import errors

log = logging.getLogger(__name__)

ERRNOS: dict[type[BaseException], int] = {
    errors.VidfsError: errno.EIO,
    errors.UsageError: errno.EINVAL,
    errors.ConfigError: errno.EINVAL,
    errors.MountError: errno.EIO,
    errors.NotMountedError: errno.ENOTCONN,
    # names and files
    errors.NodeError: errno.EIO,
    errors.NotFoundError: errno.ENOENT,
    errors.StaleError: errno.ESTALE,
    errors.ExistsError: errno.EEXIST,
    errors.NotEmptyError: errno.ENOTEMPTY,
    errors.IsFolderError: errno.EISDIR,
    errors.NotFolderError: errno.ENOTDIR,
    errors.NameTooLongError: errno.ENAMETOOLONG,
    errors.InvalidArgumentError: errno.EINVAL,
    errors.FileTooBigError: errno.EFBIG,
    errors.ReadOnlyError: errno.EROFS,
    errors.BadHandleError: errno.EBADF,
    errors.NoAttributeError: errno.ENODATA,
    errors.BusyError: errno.EBUSY,
    # abilities
    errors.AbilityError: errno.EPERM,
    errors.NamespaceAbilityError: errno.EPERM,
    errors.MoveAbilityError: errno.EXDEV,
    errors.ContentAbilityError: errno.EOPNOTSUPP,
    errors.MediaTypeError: errno.EMEDIUMTYPE,
    # the local disk
    errors.SpoolError: errno.EIO,
    errors.SpoolFullError: errno.ENOSPC,
    errors.SpoolDamagedError: errno.EIO,
    # the host
    errors.HostError: errno.EIO,
    errors.TransientHostError: errno.EIO,
    errors.HostUnreachableError: errno.EIO,
    errors.HostTimeoutError: errno.ETIMEDOUT,
    errors.HostServerError: errno.EIO,
    errors.UnreadableAnswerError: errno.EIO,
    errors.RateLimitedError: errno.EAGAIN,
    errors.UploadNodeError: errno.EIO,
    errors.ContentChangedError: errno.EIO,
    errors.OutcomeUnknownError: errno.EIO,
    errors.PermanentHostError: errno.EIO,
    errors.HostNotFoundError: errno.ENOENT,
    errors.AccessDeniedError: errno.EACCES,
    errors.WrongKeyError: errno.EACCES,
    errors.CaptchaError: errno.EACCES,
    errors.LegalBlockError: errno.EACCES,
    errors.QuotaError: errno.EDQUOT,
    errors.BadRequestError: errno.EINVAL,
    errors.CallMissingError: errno.EPERM,
    errors.InsecureUrlError: errno.EACCES,
    errors.UploadRefusedError: errno.EIO,
    errors.UploadLostError: errno.EIO,
    # not ours
    trio.TooSlowError: errno.ETIMEDOUT,
    MemoryError: errno.ENOMEM,
}

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


def errno_for(error: BaseException) -> int:
    """The errno of *error*, by its class and its classes' bases; EIO for what is unforeseen.

    Of a group, the first error that has one.
    """
    if isinstance(error, BaseExceptionGroup):
        return min((errno_for(inner) for inner in error.exceptions), key=lambda n: n == errno.EIO)
    if isinstance(error, pyfuse3.FUSEError):
        return error.errno
    for base in type(error).__mro__:
        if base in ERRNOS:
            return ERRNOS[base]
    if isinstance(error, OSError) and error.errno:
        return error.errno
    return errno.EIO


def answers_errno(
    handler: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Let only `FUSEError` out of *handler*: every request gets an answer.

    Also when it is cancelled, with the main loop that took it: a request without an answer holds
    its folder in the kernel, and whoever waits for that folder. The next checkpoint of the task
    tells it again that it is cancelled.
    """

    @functools.wraps(handler)
    async def guarded(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if getattr(self, "is_stopping", False):
            raise pyfuse3.FUSEError(errno.ENOTCONN)
        try:
            return await handler(self, *args, **kwargs)
        except pyfuse3.FUSEError:
            raise
        except (errors.VidfsError, trio.TooSlowError) as error:
            number = errno_for(error)
            # The host's errors are told elsewhere; those of the local disk are told here alone.
            is_disk = isinstance(error, errors.SpoolError) and number == errno.EIO
            level = logging.WARNING if is_disk else logging.DEBUG
            log.log(level, "%s: %s", handler.__name__, error)
            raise pyfuse3.FUSEError(number) from None
        except trio.Cancelled:
            raise pyfuse3.FUSEError(errno.ENOTCONN) from None
        except Exception as error:
            number = errno_for(error)
            if number == errno.EIO:
                log.exception("%s met an unforeseen error", handler.__name__)
            raise pyfuse3.FUSEError(number) from None

    guarded.__answers_errno__ = True  # type: ignore[attr-defined]
    return guarded
