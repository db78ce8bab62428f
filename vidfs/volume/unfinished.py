"""Removals and renames that the host is being asked for, and those that it was when a daemon died.

What the host made of them nobody knows. Each was noted in the journal before the host was asked;
the next start takes the note up:

- a file's removal or rename is finished: here at once, at the host by the queue. Both can be
  repeated, so it doesn't matter how far they had come;
- of folders the host is asked again before anybody is shown them, and what it says counts. A
  second folder of one name, or the removal of what was put into one since, would be worse.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from vidfs.errors import NotFoundError, SpoolError
from vidfs.tree.journal import SqlJournal
from vidfs.tree.node import Node
from vidfs.tree.tree import Tree
from vidfs.types import FileCode, FolderId, Inode, Job, JobState, NodeKind
from vidfs.volume.trash import Trash
from vidfs.volume.writeback import Writeback

log = logging.getLogger(__name__)


class Unfinished:
    def __init__(self, tree: Tree, journal: SqlJournal, writeback: Writeback, trash: Trash) -> None:
        self._tree = tree
        self._journal = journal
        self._writeback = writeback
        self._trash = trash
        self._changing: set[Inode] = set()

    def is_changing(self, node: Node) -> bool:
        """Whether the host is being asked to give *node* another name or place, or to remove that
        file: a listing that no longer shows it where it was may be of that, and doesn't take it
        from the tree, with all that its note stands for."""
        return node.inode in self._changing

    @contextmanager
    def noted(
        self, node: Node, *, target: Node | None = None, name: str = "", removes: bool = False
    ) -> Iterator[None]:
        """While the host is asked to remove *node*, or to make it *name* in *target*, and until
        the tree says so, too. For a new folder, *node* is the one that it is to be in.

        Errors: SpoolFullError, before the host is asked: it must not do what can't be written
        down here. Only a removal (*removes*) is done all the same: it may be what helps.
        """
        try:
            job = self._note(node, target, name)
        except SpoolError as error:
            if not removes:
                raise
            log.info("a change of %s is not noted: %s", node.name, error)
            yield
            return
        if target is not None or not node.is_folder:
            self._changing.add(node.inode)
        try:
            yield
        except Exception:
            self._journal.drop(job)
            if target is not None:  # half of it may be done, and was not shown
                for folder in (self._tree.get(node.parent), target):
                    self._tree.refresh_soon(folder)
            raise
        finally:
            self._changing.discard(node.inode)
        # Not if we are being stopped: the host may do it yet.
        self._journal.drop(job)

    def _note(self, node: Node, target: Node | None, name: str) -> Job:
        with self._journal.transaction():
            job = self._journal.create(node.inode, JobState.CHANGING)
            if not node.is_folder and node.remote is not None:
                job.code = FileCode(node.remote)
            if target is not None:
                job.sent_folder, job.sent_title = FolderId(target.remote or ""), name
            self._journal.save(job)
        return job

    def resume(self) -> None:
        """Take up what the last daemon left."""
        for job in self._journal.load_changing():
            try:
                with self._journal.transaction():
                    if not self._take_up(job):
                        self._journal.drop(job)
            except Exception:
                log.exception("an interrupted change can't be finished")
                self._journal.drop(job)

    def _take_up(self, job: Job) -> bool:
        """True: the queue has the row now."""
        assert job.inode is not None
        try:
            node = self._tree.get(job.inode)
        except NotFoundError:
            return False  # done, but for the note
        target = self._find_target(job)
        if node.is_folder:
            self._tree.doubt(node)
            if target is not None:
                self._tree.doubt(target)
        elif node.remote is None or node.remote != job.code:
            pass  # another file's by now
        elif job.sent_folder is None:
            log.info("the removal of %s, which was interrupted, is finished", node.name)
            self._trash.note(node)
            self._writeback.removed(node, deleted=None)
        elif target is not None:
            return self._finish_rename(job, node, target, job.sent_title or node.name)
        return False

    def _find_target(self, job: Job) -> Node | None:
        if job.sent_folder is None:
            return None
        return self._tree.find_by_remote(NodeKind.FOLDER, job.sent_folder)

    def _finish_rename(self, job: Job, node: Node, target: Node, name: str) -> bool:
        victim = self._tree.find_child(target, name)
        if victim is not None and victim.is_folder:
            return False
        log.info("the renaming of %s to %s, which was interrupted, is finished", node.name, name)
        if victim is not None and victim is not node:
            job.obsolete = self._writeback.displace(victim)
        if victim is not node:
            self._tree.move(node, target, name, title=None)
        job.state, job.sent_folder, job.sent_title = JobState.CONFIRMING, None, None
        self._journal.save(job)
        self._writeback.queue.add(job)
        return True
