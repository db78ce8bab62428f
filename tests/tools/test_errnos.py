"""Every error has its errno, and no handler can let one escape into the kernel's library."""

from __future__ import annotations

import errno
import inspect
from collections.abc import Iterator

import pyfuse3
import pytest

from vidfs import errors
from vidfs.fuse import operations
from vidfs.fuse.errnos import ERRNOS, errno_for

ANSWERS_NOTHING = {"init", "forget", "stacktrace"}  # the kernel takes no errno from these


def leaves(error: type[errors.VidfsError]) -> Iterator[type[errors.VidfsError]]:
    subclasses = error.__subclasses__()
    if not subclasses:
        yield error
    for subclass in subclasses:
        yield from leaves(subclass)


ALL_LEAVES = sorted(
    (leaf for leaf in leaves(errors.VidfsError) if leaf.__module__ == errors.__name__),
    key=lambda leaf: leaf.__name__,
)

OPERATIONS = [
    found
    for _, found in inspect.getmembers(operations, inspect.isclass)
    if issubclass(found, pyfuse3.Operations) and found.__module__.startswith("vidfs.fuse")
]

HANDLERS = [
    (found, name)
    for found in OPERATIONS
    for name, member in sorted(vars(found).items())
    if hasattr(pyfuse3.Operations, name)
    and inspect.isfunction(member)
    and name not in ANSWERS_NOTHING
    and inspect.iscoroutinefunction(inspect.unwrap(member))
]


@pytest.mark.parametrize("leaf", ALL_LEAVES, ids=lambda leaf: leaf.__name__)
def test_error_has_an_errno(leaf: type[errors.VidfsError]) -> None:
    in_table = [base for base in leaf.__mro__ if base in ERRNOS]
    assert in_table, f"{leaf.__name__} would be answered as an unknown error"
    assert errno_for(leaf("what happened")) == ERRNOS[in_table[0]]


def test_errnos_are_errnos() -> None:
    assert set(ERRNOS.values()) <= set(errno.errorcode)


def test_unknown_errors_are_eio() -> None:
    assert errno_for(ZeroDivisionError("a mistake of ours")) == errno.EIO


def test_a_group_is_answered_as_what_is_in_it() -> None:
    group = BaseExceptionGroup("of a nursery", [errors.NotEmptyError("folder")])
    assert errno_for(group) == errno.ENOTEMPTY


def test_there_are_operations() -> None:
    assert len(OPERATIONS) == 1
    assert {"lookup", "getattr", "readdir", "read", "write"} <= {name for _, name in HANDLERS}


@pytest.mark.parametrize(
    ("owner", "name"), HANDLERS, ids=[f"{owner.__name__}.{name}" for owner, name in HANDLERS]
)
def test_handler_answers_with_an_errno(owner: type[pyfuse3.Operations], name: str) -> None:
    handler = vars(owner)[name]
    assert getattr(handler, "__answers_errno__", False) is True, (
        f"{owner.__name__}.{name} lacks the decorator: an exception of its would end the mount"
    )
