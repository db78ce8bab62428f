"""An account's upload queue, read from its journal beside the daemon that has it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from vidfs.errors import VidfsError
from vidfs.tree.journal import SqlJournal
from vidfs.tree.store import Store
from vidfs.types import ROOT_INODE, Inode, Job, JobState

_DEPTH_MAX = 1000  # folders in each other; more are a loop


def read_queue(state_dir: Path) -> dict[str, Any]:
    """`pending`, `parked` and `uploads` by the journal on disk; {} if it can't be read."""
    path = state_dir / "catalogue.sqlite"
    try:
        if not path.exists():
            return {}
        with closing(Store(path, read_only=True)) as store:
            jobs = SqlJournal(store).load()
            shown = [job for job in jobs if job.pending or job.state is JobState.PARKED]
            return {
                "pending": sum(job.is_due for job in jobs) + len(store.load_moves()),
                "parked": sum(job.state is JobState.PARKED for job in jobs),
                "uploads": [_describe(store, job) for job in shown],
            }
    except (VidfsError, OSError):
        return {}


def _describe(store: Store, job: Job) -> dict[str, Any]:
    superseded = f"(superseded: {job.sent_title})"
    return {
        "path": superseded if job.inode is None else _path_of(store, job.inode),
        "state": job.state.value,
        "sent_bytes": job.size_bytes if job.code is not None else 0,
        "size_bytes": job.size_bytes,
        "attempts": job.attempts,
        "reason": job.reason,
    }


def _path_of(store: Store, inode: Inode) -> str:
    names: list[str] = []
    above = inode
    while above != ROOT_INODE and len(names) < _DEPTH_MAX:
        node = store.load_node(above)
        if node is None:
            return f"(inode {inode})"
        names.append(node.name)
        above = node.parent
    return "/" + "/".join(reversed(names))
