"""Going into the background: fork twice, and tell the waiting command through a pipe.

Everything here happens before trio starts. The command that was typed waits until the daemon
says that the mount is usable or why it isn't, so its exit code can be trusted.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from vidfs.errors import VidfsError

_LINE_BYTES_MAX = 1 << 16


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the daemon tells the command that started it."""

    pid: int = 0
    ready: bool = False
    note: str = ""  # worth saying although the mount is usable
    error: str = ""
    details: str = ""  # a traceback, for --debug
    exit_code: int = 0


class StartTimeoutError(VidfsError):
    """The daemon neither mounted nor failed in time; it has been told to stop."""


class ReadyPipe:
    """The daemon's end of the pipe. Only the first outcome counts; later ones go nowhere."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def tell(self, outcome: Outcome) -> None:
        if self._fd is None:
            return
        fd = self._fd
        with contextlib.suppress(OSError):  # the command may have gone; the mount stays
            os.write(fd, msgspec.json.encode(outcome) + b"\n")
        if outcome.ready or outcome.error:
            self._fd = None
            os.close(fd)


def daemonise(run: Callable[[ReadyPipe], int], *, timeout_s: float) -> Outcome:
    """Run *run* in a daemon and return its outcome to the caller.

    *run* gets the pipe to tell through and returns the daemon's exit code; it never returns
    in the calling process. Errors: StartTimeoutError; KeyboardInterrupt is passed on to the
    daemon as SIGTERM first.
    """
    read_fd, write_fd = os.pipe()
    child = os.fork()
    if child == 0:
        _become_daemon(run, read_fd, write_fd)
    os.close(write_fd)
    os.waitpid(child, 0)
    try:
        return _read_outcome(read_fd, timeout_s)
    finally:
        os.close(read_fd)


def _become_daemon(run: Callable[[ReadyPipe], int], read_fd: int, write_fd: int) -> None:
    """In the first child. Never returns: no frame of the command may run twice."""
    exit_code = 1
    try:
        os.close(read_fd)
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        os.chdir("/")
        null_fd = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null_fd, fd)
        os.close(null_fd)
        pipe = ReadyPipe(write_fd)
        pipe.tell(Outcome(pid=os.getpid()))
        exit_code = run(pipe)
    finally:
        os._exit(exit_code)


def _read_outcome(read_fd: int, timeout_s: float) -> Outcome:
    deadline = time.monotonic() + timeout_s
    pid = 0
    received = b""
    try:
        while True:
            line, newline, rest = received.partition(b"\n")
            if newline:
                received = rest
                outcome = msgspec.json.decode(line, type=Outcome)
                if outcome.ready or outcome.error:
                    return outcome
                pid = outcome.pid
                continue
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([read_fd], [], [], left_s)[0]:
                raise StartTimeoutError(f"not mounted after {timeout_s:.0f} s; gave up")
            got = os.read(read_fd, _LINE_BYTES_MAX)
            if not got:
                return Outcome(pid=pid, error="the daemon died while mounting", exit_code=1)
            received += got
    except (KeyboardInterrupt, StartTimeoutError):
        if pid:
            os.kill(pid, signal.SIGTERM)
        raise


def send_stderr_to(log_file: Path) -> None:
    """What libraries write to stderr themselves (libfuse does) belongs to the log as well."""
    fd = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(fd, 2)
    os.close(fd)


def forbid_core_dumps() -> None:
    """A core file or another process' debugger would show the key.

    The limit alone isn't enough: a core_pattern that is a pipe doesn't obey it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pr_set_dumpable = 4
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_dumpable, 0, 0, 0, 0)


def show_stacks_on_request() -> None:
    """SIGUSR1 writes where every thread is to stderr, a crash does the same; never a value."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
