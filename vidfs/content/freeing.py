"""Room is given back to the disk behind everybody's back: for a gigabyte ext4 may take a second,
and the daemon would stand still for it."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

_LARGE_BYTES = 32 << 20  # what is smaller is gone at once

_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="freeing")
_under_way: dict[Future[None], int] = {}  # bytes


def unlink(path: Path, *, missing_ok: bool = False) -> None:
    """Take *path* away; its room follows. Errors: OSError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        path.unlink(missing_ok=missing_ok)
        return
    try:
        path.unlink(missing_ok=missing_ok)
    finally:
        close(fd)


def close(fd: int) -> None:
    """Close *fd*, in a thread where that ends a large file. Errors: OSError."""
    stat = os.fstat(fd)
    size_bytes = stat.st_blocks * 512
    if stat.st_nlink or size_bytes < _LARGE_BYTES:
        os.close(fd)
        return
    closing = _worker.submit(os.close, fd)
    _under_way[closing] = size_bytes
    closing.add_done_callback(lambda done: _under_way.pop(done, None))


def bytes_under_way() -> int:
    """What disks will have to spare soon."""
    return sum(list(_under_way.values()))


def wait() -> None:
    """Until the disks have it."""
    for closing in list(_under_way):
        closing.exception()
