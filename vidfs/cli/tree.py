"""`vidfs tree`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from vidfs.cli.completion import complete_path
from vidfs.cli.output import (
    Output,
    ask_account,
    entry_to_json,
    find_place,
    json_option,
    spinner,
)
from vidfs.cli.session import Session

if TYPE_CHECKING:
    from vidfs.app.remote import Entry, RemoteAccount

Tree = Mapping[str, "Sequence[Entry]"]
"""What each folder holds, by folder id."""


@click.command()
@click.option("-L", "--depth", metavar="N", type=click.IntRange(1), help="No deeper than N levels.")
@click.option("-d", "--folders", is_flag=True, help="Folders only.")
@json_option
@click.argument("path", metavar="PATH", shell_complete=complete_path)
@click.pass_obj
def tree(session: Session, depth: int | None, folders: bool, as_json: bool, path: str) -> None:
    """Show all folders and files below PATH, listed in parallel.

    \b
    vidfs tree films:/Series
    vidfs tree -d -L 2 films:
    """
    place = find_place(session, path)

    async def ask(remote: RemoteAccount) -> tuple[Entry, Tree]:
        top = await remote.find_folder(place)
        with spinner("listing") as note:
            found = await remote.walk(
                top, depth=depth, on_listed=lambda count: note(f"{count} folders")
            )
        return top, {str(folder): entries for folder, entries in found.items()}

    top, found = ask_account(session, place, ask)
    if folders:
        found = {key: [e for e in entries if e.file is None] for key, entries in found.items()}
    output = Output(session)
    if as_json:
        output.json({"path": top.path, "entries": _to_json(top, found, set())})
        return
    output.line(top.path, "blue")
    counts = {"folders": 0, "files": 0}
    for guide, entry in _lines(top, found):
        counts["folders" if entry.file is None else "files"] += 1
        name = entry.name if entry.file is not None else output.styled(entry.name + "/", "blue")
        output.raw_line(
            output.styled(guide, "dim") + (name if entry.file is None else output.clean(name))
        )
    shown = [("folder", counts["folders"])]
    shown += [] if folders else [("file", counts["files"])]
    output.line("")
    output.line(", ".join(f"{n} {what}{'' if n == 1 else 's'}" for what, n in shown), "dim")


def _lines(top: Entry, tree: Tree) -> Iterator[tuple[str, Entry]]:
    """Each entry with what is drawn before it; depth first, without recursion."""
    seen = {str(top.folder)}
    waiting = [("", iter(_marked(tree.get(str(top.folder), ()))))]
    while waiting:
        guide, rest = waiting[-1]
        entry, is_last = next(rest, (None, False))
        if entry is None:
            waiting.pop()
            continue
        yield guide + ("└── " if is_last else "├── "), entry
        if entry.file is None and str(entry.folder) not in seen:
            seen.add(str(entry.folder))
            below = iter(_marked(tree.get(str(entry.folder), ())))
            waiting.append((guide + ("    " if is_last else "│   "), below))


def _marked(entries: Sequence[Entry]) -> Iterator[tuple[Entry | None, bool]]:
    for count, entry in enumerate(entries, 1):
        yield entry, count == len(entries)


def _to_json(folder: Entry, tree: Tree, seen: set[str]) -> list[dict[str, Any]]:
    if str(folder.folder) in seen:
        return []
    seen.add(str(folder.folder))
    return [
        entry_to_json(entry)
        | ({"entries": _to_json(entry, tree, seen)} if entry.file is None else {})
        for entry in tree.get(str(folder.folder), ())
    ]
