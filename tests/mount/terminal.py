"""A person at a terminal: a program on a pseudo-terminal, what it shows, what is typed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07")


class Terminal:
    """Runs *command* on a terminal of 80 columns, until the block ends."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            command,
            env={**environ, "TERM": "dumb"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # the program's own terminal: passwords are asked for on /dev/tty
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.transcript = ""
        self._seen = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def expect(self, text: str, timeout_s: float = 60.0) -> str:
        """What is shown until *text* comes, it included; continues after the last time."""
        deadline = time.monotonic() + timeout_s
        while (found := self.transcript.find(text, self._seen)) < 0:
            assert self._read(deadline), f"{text!r} never came:\n{self.transcript}"
        start, self._seen = self._seen, found + len(text)
        return self.transcript[start : self._seen]

    def type(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\n")

    def finish(self, timeout_s: float = 60.0) -> int:
        """The exit code, when the program has ended and all was read."""
        deadline = time.monotonic() + timeout_s
        while self._read(deadline):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, deadline: float) -> bool:
        """False: the program has closed the terminal, or time is up."""
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([self._master], [], [], left_s)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the other end any more
            return False
        text = self.transcript + data.decode(errors="replace")
        self.transcript = _ESCAPES.sub("", text).replace("\r", "")
        return bool(data)
