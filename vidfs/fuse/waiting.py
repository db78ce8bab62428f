"""Waiting for the kernel's next request without ever being stuck in its place.

The kernel may take back what made its descriptor readable: word that somebody was interrupted
by a signal goes when we answer that somebody first, a request goes when who made it is killed.
pyfuse3 reads blockingly; were nothing there by then, the whole daemon, uploads and control
socket too, would stand still until the next request (seen: interrupted `mkdir`s, one in 30).
So whether there is something is asked once more, right before it reads.
"""

from __future__ import annotations

import select
from types import SimpleNamespace

import pyfuse3
import trio


async def wait_for_request(fd: int) -> None:
    """Return when *fd* is readable at the moment of returning (or broken: reading tells)."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        await trio.lowlevel.wait_readable(fd)
        if poll.poll(0):
            return


def install() -> None:
    """Have pyfuse3 wait so, by the name under which it finds trio (it is made to be given
    another one: `pyfuse3.asyncio`)."""
    lowlevel = SimpleNamespace(**{**vars(trio.lowlevel), "wait_readable": wait_for_request})
    pyfuse3.trio = SimpleNamespace(**{**vars(trio), "lowlevel": lowlevel})  # type: ignore[attr-defined]
