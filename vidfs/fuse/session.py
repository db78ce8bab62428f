"""One kernel mount, from `mount` to `umount`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

import pyfuse3
import trio

from vidfs.errors import MountError
from vidfs.fuse import waiting
from vidfs.fuse.mountinfo import load_kernel_mounts
from vidfs.fuse.notify import KernelNotifier
from vidfs.fuse.operations import Operations
from vidfs.volume import NoListener, Volume

_REQUESTS_MAX = 1000
"""Requests served at once: many may wait for a slow host without freezing the rest."""

_TELLING_S = 5.0  # that the end waits for news to be told to the kernel

_READ_AHEAD_KIB = 1024
"""Measured on 1 GiB from the chunk cache (2 cores, noise of a third). The daemon: 1 MiB 17 to 20
ticks of processor time, 2 to 8 MiB the same. `direct_io`: the same in reads of 1 MiB; but then
each small read is a request and a second reader finds nothing in memory, so it stays off.
`notify_store`: 512 MiB pushed and read 0.31 s, asked for and read 0.13 to 0.20 s: off, too.
"""

log = logging.getLogger(__name__)


async def _enlarge_read_ahead(mountpoint: str, begun: trio.Event) -> None:
    """Let the kernel ask for 1 MiB at once where we may (root): an eighth of the requests.

    *begun*: the kernel has greeted us; before that it sets its own.

    The mount's device is read from the kernel's table: `stat` would be a request to ourselves,
    and a thread that waits for one keeps a killed daemon's mount hanging.
    """
    await begun.wait()
    with suppress(OSError):
        devices = [one.device for one in load_kernel_mounts() if one.mountpoint == mountpoint]
        if devices:
            bdi = Path(f"/sys/class/bdi/{devices[-1]}/read_ahead_kb")
            bdi.write_text(str(_READ_AHEAD_KIB))


@contextmanager
def _stderr_kept() -> Iterator[Callable[[], str]]:
    """What is written to stderr in the block, by fusermount3 too; it is passed on at the end."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)

        def said() -> str:
            kept.seek(0)
            return kept.read().decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(stderr, 2)
            with suppress(OSError):
                os.write(stderr, said().encode())
            os.close(stderr)


def _find_reason(said: str) -> str:
    """Why fusermount3 or libfuse refused, "" if they didn't say: both write it to stderr only."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for prefix in ("fusermount3: ", "fuse: "):
        for line in reversed(lines):
            if line.startswith(prefix):
                return line.removeprefix(prefix)
    return ""


async def _refuse_until_told(notifier: KernelNotifier) -> None:
    """Answer what still comes, until no thread of ours waits in the kernel for such an answer.

    The process could not end else, nor could who asked: the thread keeps the connection open.
    """
    with trio.CancelScope(shield=True, deadline=trio.current_time() + _TELLING_S):
        async with trio.open_nursery() as nursery:
            # one task, which never finds itself one too many
            nursery.start_soon(pyfuse3.main, _REQUESTS_MAX, 1)
            await notifier.finish()
            nursery.cancel_scope.cancel()


async def run_fuse(
    volume: Volume, mountpoint: str, options: set[str], *, on_mounted: Callable[[], None]
) -> None:
    """Mount *volume* on *mountpoint* and serve it until it is unmounted or we are cancelled.

    *on_mounted* is called when the mount is usable. Cancelled, it unmounts before it returns.
    Errors: MountError when the kernel or fusermount3 refuses.
    """
    notifier = KernelNotifier()
    operations = Operations(volume, notifier)
    words = {"default_permissions", *options}
    waiting.install()
    with _stderr_kept() as said:
        try:
            pyfuse3.init(operations, mountpoint, words)
        except RuntimeError as error:
            reason = _find_reason(said()) or str(error)
            raise MountError(f"can't mount on {mountpoint}: {reason}") from None
    volume.listener = notifier
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(notifier.run)
            nursery.start_soon(_enlarge_read_ahead, mountpoint, operations.begun)
            on_mounted()
            try:
                await pyfuse3.main(max_tasks=_REQUESTS_MAX)
            finally:
                nursery.cancel_scope.cancel()
                operations.is_stopping = True
                await _refuse_until_told(notifier)
    finally:
        # After an unmount from outside this only frees what the session held.
        pyfuse3.close(unmount=True)
        volume.listener = NoListener()
        volume.files.release_all()
        log.info("unmounted from %s", mountpoint)
