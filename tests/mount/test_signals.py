"""Programs that get signals while a mount works for them."""

from __future__ import annotations

import os
import random
import signal
import time

from tests.mount.mounting import Mounted, Simhost
from vidfs.control import ask


def test_an_interrupted_request_leaves_the_daemon_serving(
    simhost: Simhost, mounted: Mounted
) -> None:
    """A signal that arrives as the answer leaves is taken back by the kernel: whoever then reads
    its word of it without looking stands still until the next request."""
    simhost.set(latency_ms=5)
    handler = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        with mounted("xvs") as mount:
            deadline = time.monotonic() + 4
            number = 0
            while time.monotonic() < deadline:
                number += 1
                first_s = 0.004 + 0.005 * random.random()
                signal.setitimer(signal.ITIMER_REAL, first_s, 0.0003)
                os.mkdir(mount.path / f"{number}")
                signal.setitimer(signal.ITIMER_REAL, 0)
                ask(mount.state_dir, "status", timeout_s=5)  # fails if nobody answers
            assert number > 20
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
