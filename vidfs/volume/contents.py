"""Whose bytes the kernel may hold of a file: never old ones and new ones for one descriptor.

The kernel keeps pages by inode, whichever descriptor brought them, and gives them to all. So once
the host has other content, every descriptor from before is of the old, if but one byte of that
ever reached the kernel; and as long as such a one is open, later ones go past the kernel's cache.
"""

from __future__ import annotations

from dataclasses import dataclass

from cachetools import LRUCache

from vidfs.tree.node import Node
from vidfs.types import Inode

_CONTENTS_MAX = 50_000


@dataclass(slots=True, eq=False)
class Content:
    """The bytes of one file at the host, until they are replaced there."""

    code: str | None  # None: so far they are here only
    job_id: int | None = None  # they were made here
    is_given: bool = False  # the kernel has got some of them
    is_old: bool = False

    @property
    def is_stale(self) -> bool:
        return self.is_old and self.is_given


class Contents:
    def __init__(self) -> None:
        self._now: LRUCache[Inode, Content] = LRUCache(_CONTENTS_MAX)
        self._outdated: set[Inode] = set()  # of which the kernel may hold older pages

    def get(self, node: Node, *, is_here: bool) -> Content:
        """What *node* holds now. *is_here*: it has bytes that aren't (known to be) at the host."""
        content: Content | None = self._now.get(node.inode)
        if content is not None and content.code is None and not is_here:
            content.code = node.remote
        if content is None or content.code not in (None, node.remote):
            content = self._now[node.inode] = Content(node.remote)
        return content

    def note_local(self, node: Node, job_id: int) -> Content:
        """*node* has bytes that were made here, by the job *job_id*: what the kernel has is of
        them, whichever of their descriptors it got them from."""
        content: Content | None = self._now.get(node.inode)
        if content is None or content.job_id != job_id:
            content = Content(None, job_id=job_id, is_given=True)
            self._now[node.inode] = content
        return content

    def replace(self, inode: Inode) -> None:
        """The host has other bytes for *inode*."""
        content = self._now.pop(inode, None)
        if content is not None:
            content.is_old = True
        self._outdated.add(inode)

    def written_past(self, inode: Inode) -> None:
        """*inode*'s bytes change past the kernel, which may come to hold some of them (a private
        mapping keeps what it shows)."""
        self._outdated.add(inode)

    def is_outdated(self, inode: Inode) -> bool:
        return inode in self._outdated

    def dropped(self, inode: Inode) -> None:
        """The kernel is told to drop what it holds."""
        self._outdated.discard(inode)
