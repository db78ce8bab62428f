"""Waiting for uploads, with progress bars on a terminal and silence everywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from vidfs.app.mounts import Served, find_lock_holder
from vidfs.cli.exit_codes import WaitTimeoutError
from vidfs.cli.session import is_terminal
from vidfs.cli.text import format_bytes, format_duration, shorten
from vidfs.control import Message, ask_lines
from vidfs.errors import MountError, NotMountedError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SILENCE_MAX_S = 60.0
_WIDE_COLUMNS = 72  # of a terminal that has room for bars and times
_WIDE_USED = 16 + 4 + 20 + 3
_NARROW_USED = 4 + 11 + 2


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
    """A bar for each upload under way, and one for all, with speed and time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._sizes: dict[str, int] = {}  # of every upload that was ever shown
        self._all = progress.add_task("", name="all", total=1)

    def show(self, uploads: Iterable[Message]) -> None:
        under_way, sent, left = set(), 0, 0
        for upload in uploads:
            path, state = str(upload["path"]), str(upload["state"])
            if state == "parked":
                self._sizes.pop(path, None)
                continue
            left += 1
            size = self._sizes[path] = int(upload.get("size_bytes") or 0)
            sent += int(upload.get("sent_bytes") or 0) - size
            if state in ("sending", "confirming"):
                under_way.add(path)
                self._show_one(path, upload)
        for path in set(self._tasks) - under_way:
            self._progress.remove_task(self._tasks.pop(path))
        total = sum(self._sizes.values())
        name = f"all ({left} to go)"
        self._progress.update(self._all, name=name, total=total, completed=total + sent)

    def _show_one(self, path: str, upload: Message) -> None:
        if path not in self._tasks:
            self._tasks[path] = self._progress.add_task("", name=path)
        sent, size = upload.get("sent_bytes", 0), upload.get("size_bytes")
        self._progress.update(self._tasks[path], completed=sent, total=size)


def _open_display() -> AbstractContextManager[_Display]:
    if not is_terminal():
        return nullcontext(_NoDisplay())
    return _open_bars()


def _open_bars() -> AbstractContextManager[_Display]:
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, Progress, Task, TaskProgressColumn, TextColumn
    from rich.text import Text

    console = Console(stderr=True)
    is_wide = console.width >= _WIDE_COLUMNS

    class Name(TextColumn):
        def render(self, task: Task) -> Text:
            used = _WIDE_USED if is_wide else _NARROW_USED
            return Text(shorten(task.fields["name"], console.width - used), no_wrap=True)

    class Speed(TextColumn):
        def render(self, task: Task) -> Text:
            text = f"{format_bytes(int(task.speed))}/s" if task.speed else ""
            left = task.time_remaining
            if is_wide:
                text = f"{text:<12}" + (format_duration(left) if text and left else "")
            return Text(text.ljust(20 if is_wide else 11), no_wrap=True)

    bar = [BarColumn(bar_width=16)] if is_wide else []

    @contextmanager
    def opened() -> Iterator[_Display]:
        columns = (Name(""), *bar, TaskProgressColumn(show_speed=False), Speed(""))
        with Progress(*columns, console=console, transient=True) as progress:
            yield _Bars(progress)

    return opened()
