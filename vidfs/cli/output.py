"""What the commands that ask a host have in common: arguments, tables, JSON, progress.

Everything a host said goes through `Output`: keys are taken out, and control characters are
shown as their pictures, so that no title can play tricks on a terminal.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vidfs.cli.session import Session, is_terminal
from vidfs.cli.text import echo_json, format_bytes, format_table

if TYPE_CHECKING:
    from vidfs.app.places import Place
    from vidfs.app.remote import Entry, RemoteAccount

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

NAME_WIDTH = 36
"""Of a name beside its progress bar."""

_PICTURES = (
    {code: 0x2400 + code for code in range(0x20)}
    | {0x7F: 0x2421}
    | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
)


def json_option(command: Command) -> Command:
    """`--json`, the same for every command that lists something."""
    return click.option("--json", "as_json", is_flag=True, help="For programs; the keys stay.")(
        command
    )


def find_places(session: Session, texts: Sequence[str]) -> list[Place]:
    from vidfs.app.places import parse_place

    return [parse_place(text, session.config.names()) for text in texts]


def find_place(session: Session, text: str) -> Place:
    [place] = find_places(session, [text])
    return place


def ask_account(session: Session, place: Place, body: Callable[[RemoteAccount], Awaitable[T]]) -> T:
    """Run *body* with the open account of *place*."""
    from vidfs.app.remote import Surroundings, run_with_account

    around = Surroundings(
        config=session.config,
        directories=session.directories,
        environ=session.environ,
        redactor=session.redactor,
    )
    return run_with_account(around, place, body)


def ask_accounts(
    session: Session,
    places: Sequence[Place],
    body: Callable[[RemoteAccount, Sequence[Place]], Awaitable[T]],
) -> list[T]:
    """Run *body* once per account with the places in it; accounts in order of appearance."""
    groups: dict[tuple[str, object], list[Place]] = {}
    for place in places:
        groups.setdefault((place.account, place.state_dir), []).append(place)
    results = []
    for group in groups.values():

        async def ask_one(remote: RemoteAccount, group: Sequence[Place] = group) -> T:
            return await body(remote, group)

        results.append(ask_account(session, group[0], ask_one))
    return results


def clean_text(session: Session, text: str) -> str:
    return session.redactor.clean(text).translate(_PICTURES)


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    right: bool = False
    style: str = ""


class Output:
    """stdout for people and for programs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._is_terminal = sys.stdout.isatty()

    def json(self, value: object) -> None:
        echo_json(self._without_keys(value))

    def _without_keys(self, value: object) -> object:
        if isinstance(value, str):
            return self._session.redactor.clean(value)
        if isinstance(value, Mapping):
            return {str(name): self._without_keys(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._without_keys(item) for item in value]
        return value

    def clean(self, text: str) -> str:
        return clean_text(self._session, text)

    def line(self, text: str, style: str = "") -> None:
        """One line, in colour where a person looks. *style*: as click's, "blue" or "dim"."""
        text = self.clean(text)
        if self._is_terminal and style:
            text = _styled(text, style)
        click.echo(text)

    def note(self, text: str) -> None:
        """Something beside the result, for a person at a terminal only."""
        if self._is_terminal:
            self.line(text, "dim")

    def styled(self, text: str, style: str) -> str:
        """A part of a line for `raw_line`."""
        text = self.clean(text)
        return _styled(text, style) if self._is_terminal and style else text

    def raw_line(self, text: str) -> None:
        click.echo(text)

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """A name and a value per line; those without a value are left out."""
        shown = [(name, self.clean(value)) for name, value in pairs if value]
        width = max((len(name) for name, _ in shown), default=0) + 2
        for name, value in shown:
            label = name.ljust(width)
            self.raw_line(f"  {_styled(label, 'dim') if self._is_terminal else label}{value}")

    def table(
        self, columns: Sequence[Column], rows: Sequence[Sequence[str]], empty: str = "nothing"
    ) -> None:
        """Whole values, plain, in a pipe; on a terminal folded to its width. None: *empty*."""
        rows = [[self.clean(cell) for cell in row] for row in rows]
        used = [i for i in range(len(columns)) if any(row[i] for row in rows)]
        if not rows:
            if self._is_terminal:
                click.echo(_styled(empty, "dim"))
            return
        columns = [columns[i] for i in used]
        rows = [[row[i] for i in used] for row in rows]
        if self._is_terminal:
            self._rich_table(columns, rows)
            return
        widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
        padded = [
            [
                cell.rjust(width) if column.right else cell
                for cell, width, column in zip(row, widths, columns, strict=True)
            ]
            for row in rows
        ]
        click.echo(format_table(padded, [column.title for column in columns]))

    def _rich_table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
        for column in columns:
            table.add_column(
                column.title,
                justify="right" if column.right else "left",
                style=column.style,
                overflow="fold",
                no_wrap=column.right,
            )
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console(highlight=False).print(table)


def _styled(text: str, style: str) -> str:
    if style == "dim":
        return click.style(text, dim=True)
    return click.style(text, fg=style, bold=style == "blue")


# --------------------------------------------------------------------------------- values


def format_time(at: float | None) -> str:
    """Local time to the minute; "" for none."""
    return "" if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def format_size(size_bytes: int | None) -> str:
    return "" if size_bytes is None else format_bytes(size_bytes)


def format_length(length_s: float | None) -> str:
    """ "1:02:03" or "4:05"; "" for none."""
    if not length_s:
        return ""
    minutes, seconds = divmod(round(length_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def format_share(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def format_flag(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def to_plain(value: Any) -> dict[str, Any]:
    """A dataclass of `vidfs.hosts` for JSON, member by member."""
    return {
        member.name: _plain(getattr(value, member.name)) for member in dataclasses.fields(value)
    }


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return list(value)
    return value


def entry_to_json(entry: Entry) -> dict[str, Any]:
    """The keys that programs may rely on, the same for files and folders."""
    file = entry.file
    return {
        "path": entry.path,
        "name": entry.name,
        "kind": "folder" if file is None else "file",
        "code": None if file is None else str(file.code),
        "folder_id": str(entry.folder),
        "title": entry.title,
        "size_bytes": None if file is None else file.size_bytes,
        "uploaded_at": None if file is None else file.uploaded_at,
        "length_s": None if file is None else file.length_s,
        "can_play": None if file is None else file.can_play,
        "readable": True if file is None else file.readable,
        "status": "" if file is None else file.status,
        "sha1": None if file is None else file.sha1,
        "attributes": {} if file is None else dict(file.extra),
    }


# ------------------------------------------------------------------------------- progress


@contextmanager
def spinner(what: str) -> Iterator[Callable[[str], None]]:
    """Something that turns while *what* is done; yields a way to say how far. Terminals only."""
    if not is_terminal():
        yield lambda note: None
        return
    from rich.console import Console

    with Console(stderr=True).status(what) as status:
        yield lambda note: status.update(f"{what}: {note}")


@contextmanager
def bars() -> Iterator[Callable[[str, float | None, str], None]]:
    """Progress bars on a terminal: yields `show(name, share, state)`; a share of None pulses."""
    if not is_terminal():
        yield lambda name, share, state: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed
    from rich.table import Column as RichColumn

    short = RichColumn(no_wrap=True, overflow="ellipsis", max_width=NAME_WIDTH)
    with Progress(
        TextColumn("{task.fields[name]}", markup=False, table_column=short),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        Elapsed(),
        TextColumn("{task.fields[state]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        tasks: dict[str, TaskID] = {}

        def show(name: str, share: float | None, state: str) -> None:
            name, state = name.translate(_PICTURES), state.translate(_PICTURES)
            if name not in tasks:
                tasks[name] = progress.add_task("", name=name, state=state, total=None)
            total = None if share is None else 100
            progress.update(
                tasks[name], total=total, completed=100 * (share or 0), name=name, state=state
            )

        yield show
