"""`vidfs ls`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import click

from vidfs.cli.completion import complete_path
from vidfs.cli.output import (
    Column,
    Output,
    ask_accounts,
    entry_to_json,
    find_places,
    format_length,
    format_size,
    format_time,
    json_option,
    spinner,
)
from vidfs.cli.session import Session

if TYPE_CHECKING:
    from vidfs.app.places import Place
    from vidfs.app.remote import Entry, RemoteAccount

COLUMNS = (
    Column("SIZE", right=True),
    Column("LENGTH", right=True),
    Column("UPLOADED", style="dim"),
    Column("CODE", style="dim"),
    Column("NAME"),
)

Section: TypeAlias = "tuple[Entry, list[Entry]]"
"""A folder (or file) that was asked for, or lies below one, and what it holds."""


@click.command()
@click.option("-l", "--long", is_flag=True, help="Sizes, lengths, dates and codes, too.")
@click.option("-R", "--recursive", is_flag=True, help="Everything below.")
@json_option
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, shell_complete=complete_path)
@click.pass_obj
def ls(
    session: Session, long: bool, recursive: bool, as_json: bool, paths: tuple[str, ...]
) -> None:
    """List folders at the host, under the names that a mount shows.

    A PATH is ACCOUNT:/folder, or lies in a mount.

    \b
    vidfs ls -l films:/Series
    vidfs ls -R --json films:
    """

    async def ask(remote: RemoteAccount, places: Sequence[Place]) -> list[Section]:
        with spinner("listing") as note:
            found: list[Section] = []
            for place in places:
                entry = await remote.find(place)
                found += await _list(remote, entry, recursive, note)
            if long or as_json:
                found = await _with_sizes(remote, found)
            return found

    parts = ask_accounts(session, find_places(session, paths), ask)
    sections = [section for part in parts for section in part]
    output = Output(session)
    if as_json:
        entries = [entry for _, held in sections for entry in held]
        output.json({"entries": [entry_to_json(entry) for entry in entries]})
        return
    for count, (top, held) in enumerate(sections):
        if len(sections) > 1 and top.file is None:
            output.line(f"{top.path}:", "blue")
        _show(output, held, long)
        if count + 1 < len(sections):
            output.line("")


async def _list(
    remote: RemoteAccount, entry: Entry, recursive: bool, note: Callable[[str], None]
) -> list[Section]:
    from vidfs.app.remote import flatten

    if entry.file is not None:
        return [(entry, [entry])]
    if not recursive:
        return [(entry, await remote.list_entries(entry))]
    tree = await remote.walk(entry, on_listed=lambda count: note(f"{count} folders"))
    below = [one for one in flatten(entry, tree) if one.file is None]
    return [(folder, tree[folder.folder]) for folder in (entry, *below) if folder.folder in tree]


async def _with_sizes(remote: RemoteAccount, sections: list[Section]) -> list[Section]:
    filled = iter(await remote.fill_sizes([entry for _, held in sections for entry in held]))
    return [(top, [next(filled) for _ in held]) for top, held in sections]


def _show(output: Output, entries: Sequence[Entry], long: bool) -> None:
    if long:
        output.table(COLUMNS, [to_row(entry) for entry in entries])
        return
    for entry in entries:
        if entry.file is None:
            output.line(entry.name + "/", "blue")
        else:
            output.line(entry.name)


def to_row(entry: Entry) -> list[str]:
    file = entry.file
    if file is None:
        return ["-", "", "", str(entry.folder), entry.name + "/"]
    blocked = "" if file.readable else f"  ({file.status or 'blocked'})"
    return [
        format_size(file.size_bytes) or "?",
        format_length(file.length_s),
        format_time(file.uploaded_at),
        str(file.code),
        entry.name + blocked,
    ]
