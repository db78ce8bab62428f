"""Waiting for uploads, with progress bars on a terminal and silence everywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from vidfs.app.mounts import Served, find_lock_holder
from vidfs.cli.exit_codes import WaitTimeoutError
from vidfs.cli.session import is_terminal
from vidfs.control import Message, ask_lines
from vidfs.errors import MountError, NotMountedError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SILENCE_MAX_S = 60.0


class _Display(Protocol):
    def show(self, uploads: Iterable[Message]) -> None: ...


def wait_for_uploads(
    served: Served, paths: Sequence[str] = (), *, deadline: float | None = None
) -> int:
    """Follow the uploads of *paths* (none: all) until they are done; how many are parked.

    *deadline* is a `time.monotonic()`. A daemon that finished and left counts as done.
    Errors: WaitTimeoutError; MountError where the daemon stopped before it was done.
    """
    with _open_display() as display:
        try:
            last: Message = {}
            for last in _ask_until(served, paths, deadline):
                display.show(last.get("uploads", ()))
            return int(last.get("parked", 0))
        except NotMountedError:
            if find_lock_holder(served.state_dir) == served.info.pid:
                raise MountError(f"the daemon of {served.account} doesn't answer") from None
            return 0


def _ask_until(served: Served, paths: Sequence[str], deadline: float | None) -> Iterator[Message]:
    for line in ask_lines(served.state_dir, "wait", timeout_s=SILENCE_MAX_S, paths=list(paths)):
        yield line
        if not line.get("end") and deadline is not None and time.monotonic() > deadline:
            raise WaitTimeoutError(
                f"{served.info.mountpoint}: timed out, uploads pending: {line.get('pending', 0)}"
            )


class _NoDisplay:
    def show(self, uploads: Iterable[Message]) -> None:
        pass


class _Bars:
    """A bar per upload under way, with speed and time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def show(self, uploads: Iterable[Message]) -> None:
        seen = set()
        for upload in uploads:
            path, state = str(upload["path"]), str(upload["state"])
            seen.add(path)
            if path not in self._tasks:
                self._tasks[path] = self._progress.add_task("", name=path, state=state)
            self._progress.update(
                self._tasks[path],
                completed=upload.get("sent_bytes", 0),
                total=upload.get("size_bytes"),
                state=state,
            )
        for path in set(self._tasks) - seen:
            self._progress.remove_task(self._tasks.pop(path))


def _open_display() -> AbstractContextManager[_Display]:
    if not is_terminal():
        return nullcontext(_NoDisplay())
    return _open_bars()


def _open_bars() -> AbstractContextManager[_Display]:
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    @contextmanager
    def opened() -> Iterator[_Display]:
        with Progress(
            TextColumn("{task.fields[state]:<10}"),
            TextColumn("{task.fields[name]}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as progress:
            yield _Bars(progress)

    return opened()
