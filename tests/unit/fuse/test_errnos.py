"""The boundary: nothing but FUSEError and trio's cancellation leaves a handler."""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable

import pyfuse3
import pytest
import trio

from vidfs import errors
from vidfs.fuse.errnos import answers_errno, errno_for


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (errors.NotFoundError("x"), errno.ENOENT),
        (errors.HostNotFoundError("x"), errno.ENOENT),
        (errors.WrongKeyError("x"), errno.EACCES),
        (errors.LegalBlockError("x"), errno.EACCES),
        (errors.CaptchaError("x"), errno.EACCES),
        (errors.QuotaError("x"), errno.EDQUOT),
        (errors.SpoolFullError("x"), errno.ENOSPC),
        (errors.NamespaceAbilityError("x"), errno.EPERM),
        (errors.MoveAbilityError("x"), errno.EXDEV),
        (errors.ContentAbilityError("x"), errno.EOPNOTSUPP),
        (errors.MediaTypeError("x"), errno.EMEDIUMTYPE),
        (errors.BadRequestError("x"), errno.EINVAL),
        (errors.RateLimitedError("x"), errno.EAGAIN),
        (errors.HostServerError("x"), errno.EIO),
        (errors.UnreadableAnswerError("x"), errno.EIO),
        (errors.HostTimeoutError("x"), errno.ETIMEDOUT),
        (trio.TooSlowError(), errno.ETIMEDOUT),
        (errors.NameTooLongError("x"), errno.ENAMETOOLONG),
        (errors.FileTooBigError("x"), errno.EFBIG),
        (pyfuse3.FUSEError(errno.ENOSYS), errno.ENOSYS),
        (OSError(errno.ENOSPC, "full"), errno.ENOSPC),
        (KeyError("x"), errno.EIO),
    ],
)
def test_each_error_has_its_errno(error: Exception, number: int) -> None:
    assert errno_for(error) == number


def test_a_class_without_an_entry_gets_its_base_class_errno() -> None:
    class OddError(errors.QuotaError):
        pass

    assert errno_for(OddError("x")) == errno.EDQUOT


def test_of_a_group_the_telling_error_counts() -> None:
    group = ExceptionGroup("g", [KeyError("x"), ExceptionGroup("h", [errors.QuotaError("x")])])
    assert errno_for(group) == errno.EDQUOT


class Handlers:
    is_stopping = False

    def __init__(self, body: Callable[[], Awaitable[int]]) -> None:
        self.body = body

    @answers_errno
    async def handler(self) -> int:
        return await self.body()


async def _in_a_nursery(error: Exception) -> int:
    async def fail() -> None:
        raise error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail)
        nursery.start_soon(trio.sleep_forever)
    return 0


@pytest.mark.parametrize("inside_a_nursery", [False, True])
@pytest.mark.parametrize(
    ("error", "number"),
    [
        (errors.QuotaError("x"), errno.EDQUOT),
        (pyfuse3.FUSEError(errno.EACCES), errno.EACCES),
        (trio.TooSlowError(), errno.ETIMEDOUT),
        (ZeroDivisionError("x"), errno.EIO),
    ],
)
def test_only_fuse_errors_leave_a_handler(
    error: Exception, number: int, inside_a_nursery: bool
) -> None:
    async def body() -> int:
        if inside_a_nursery:
            return await _in_a_nursery(error)
        raise error

    async def main() -> None:
        with pytest.raises(pyfuse3.FUSEError) as caught:
            await Handlers(body).handler()
        assert caught.value.errno == number

    trio.run(main)


def test_an_answer_passes() -> None:
    async def body() -> int:
        return 42

    assert trio.run(Handlers(body).handler) == 42


def test_a_request_that_is_cancelled_is_answered() -> None:
    async def main() -> None:
        with trio.move_on_after(0) as scope:
            with pytest.raises(pyfuse3.FUSEError) as raised:
                await Handlers(trio.sleep_forever).handler()
            assert raised.value.errno == errno.ENOTCONN
            await trio.sleep_forever()  # the loop that took it: it is told once more
        assert scope.cancelled_caught

    trio.run(main)


def test_a_session_that_ends_refuses_every_request() -> None:
    handlers = Handlers(trio.sleep_forever)
    handlers.is_stopping = True
    with pytest.raises(pyfuse3.FUSEError) as raised:
        trio.run(handlers.handler)
    assert raised.value.errno == errno.ENOTCONN


def test_what_is_unforeseen_is_logged_and_what_is_foreseen_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def surprise() -> int:
        raise KeyError("x")

    async def refuse() -> int:
        raise errors.HostServerError("500")

    async def main() -> None:
        for body in (surprise, refuse):
            with pytest.raises(pyfuse3.FUSEError):
                await Handlers(body).handler()

    with caplog.at_level(logging.WARNING):
        trio.run(main)
    [record] = caplog.records
    assert record.exc_info is not None
