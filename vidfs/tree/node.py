"""What an inode number stands for."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from enum import IntEnum
from operator import attrgetter

from vidfs.types import Inode, NodeKind

_CLOCK_REALTIME_COARSE = 5  # Linux; Python's `time` has no name for it


def file_time_ns() -> int:
    """Now, as file systems see it: the kernel's last tick. A finer clock would make a file newer
    than one that is touched after it."""
    return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)


class SizeSource(IntEnum):
    """Where a size is from; a later one wins over an earlier one."""

    UNKNOWN = 0
    UPLOADED = 1  # what this machine sent under that code
    HOST = 2  # what the host says, in a listing or asked for


@dataclass(slots=True, weakref_slot=True, eq=False, kw_only=True)
class Node:
    """A file or folder of the account, as the catalogue has it.

    There is at most one object per inode number at any time (`Tree` sees to it), so layers
    may hold on to it and compare with `is`. Only `Tree` changes it.
    """

    inode: Inode
    parent: Inode  # the root is its own parent
    name: str  # as shown, unique in its folder
    kind: NodeKind
    remote: str | None  # folder id or file code; None: not at the host (yet)
    title: str  # as the host has it, or as it was sent
    given: str | None  # name given through this mount
    size_bytes: int | None
    size_source: SizeSource
    mtime_ns: int | None  # set through this mount; None: the host's time counts
    uploaded_at: float | None  # Unix seconds
    sha1: str | None
    readable: bool  # False: blocked or broken at the host
    unsettled_since: float | None  # our newest change that no listing has confirmed yet
    stale_title: str | None  # the title before that change: a lagging listing may show it
    linked: bool = True  # False: removed from the tree, but somebody still holds it

    @property
    def is_folder(self) -> bool:
        return self.kind is NodeKind.FOLDER


_FIELDS = tuple(field.name for field in fields(Node))
state_of = attrgetter(*_FIELDS)
"""All that a node is now, for `restore`."""


def restore(node: Node, state: tuple[object, ...]) -> None:
    for name, value in zip(_FIELDS, state, strict=True):
        setattr(node, name, value)
