"""What mounts are doing: as their daemons say, else as it is written down on disk.

A daemon that holds its lock is always shown: one that hangs, starts or ends can't be asked, but
its queue is in the journal.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from vidfs.app.mounts import Served, find_daemon_info, find_lock_holder
from vidfs.control import Message, ask
from vidfs.errors import MountError, NotMountedError
from vidfs.fuse.mountinfo import KernelMount

SILENT = "its daemon doesn't answer"
"""The phase of a daemon that can't be asked."""

_ANSWER_S = 3.0  # that a daemon may take
_PAUSE_S = 0.05  # until one whose socket isn't there is tried again
_ASKED_MAX = 32  # at once

_UNKNOWN: Message = {
    "pending": None,
    "parked": None,
    "uploads": [],
    "api_calls": {},
    "cache_bytes": None,
}


def find_statuses(served: Sequence[Served]) -> list[Message]:
    """Of these daemons, asked all at once. Those that have just ended are left out."""
    if not served:
        return []
    with ThreadPoolExecutor(min(len(served), _ASKED_MAX)) as threads:
        return [found for found in threads.map(_find_status, served) if found is not None]


def status_of_silent(mount: KernelMount) -> Message:
    """What the kernel knows of a mount whose daemon doesn't even say where its state is."""
    where = {"source": mount.source, "mountpoint": mount.mountpoint, "pid": None}
    return {"account": mount.account, **where, "phase": SILENT, **_UNKNOWN}


def _find_status(served: Served) -> Message | None:
    """None: it ended in this moment."""
    deadline = time.monotonic() + _ANSWER_S
    while True:
        try:
            status = ask(served.state_dir, "status", timeout_s=_ANSWER_S)
        except NotMountedError:  # it opens its socket after it has the lock, and closes it before
            if find_lock_holder(served.state_dir) is None:
                return None
            if time.monotonic() < deadline:
                time.sleep(_PAUSE_S)
                continue
        except MountError:
            if find_lock_holder(served.state_dir) is None:
                return None
        else:
            if status["phase"] in ("starting", "stopping") and not status["uploads"]:
                return {**status, **_read_queue(served.state_dir)}  # it has none in hand (yet)
            return status
        info = find_daemon_info(served.state_dir) or served.info
        pid = find_lock_holder(served.state_dir) or info.pid
        where = {"source": info.source, "mountpoint": info.mountpoint, "pid": pid}
        told = {"account": served.account, **where, "phase": SILENT, **_UNKNOWN}
        return told | _read_queue(served.state_dir)


def _read_queue(state_dir: Path) -> dict[str, Any]:
    from vidfs.app.queue_on_disk import read_queue  # rarely needed, and not quickly imported

    return read_queue(state_dir)
