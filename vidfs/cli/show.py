"""`vidfs show`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from vidfs.cli.completion import complete_path
from vidfs.cli.output import (
    Output,
    ask_accounts,
    entry_to_json,
    find_places,
    format_flag,
    format_length,
    format_size,
    format_time,
    json_option,
)
from vidfs.cli.session import Session

if TYPE_CHECKING:
    from vidfs.app.places import Place
    from vidfs.app.remote import Entry, RemoteAccount

_FLAGS = ("public", "adult", "premium_only")
_LEFT_OUT = ("uploaded",)


@click.command()
@json_option
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, shell_complete=complete_path)
@click.pass_obj
def show(session: Session, as_json: bool, paths: tuple[str, ...]) -> None:
    """Show everything the host tells of files and folders.

    \b
    vidfs show films:/Series/pilot.mp4
    """

    async def ask(remote: RemoteAccount, places: Sequence[Place]) -> list[Entry]:
        found = [await remote.find(place) for place in places]
        return await remote.fill_sizes(await remote.describe(found))

    parts = ask_accounts(session, find_places(session, paths), ask)
    entries = [entry for part in parts for entry in part]
    output = Output(session)
    if as_json:
        output.json({"entries": [entry_to_json(entry) for entry in entries]})
        return
    for count, entry in enumerate(entries):
        if count:
            output.line("")
        output.line(entry.path, "blue" if entry.file is None else "")
        output.pairs(describe(entry))


def describe(entry: Entry) -> list[tuple[str, str]]:
    file = entry.file
    if file is None:
        return [("folder id", str(entry.folder)), ("title", entry.title)]
    size = file.size_bytes
    exact = f" ({size} bytes)" if size is not None and size >= 1024 else ""
    known = [
        ("title", entry.title),
        ("code", str(file.code)),
        ("folder id", str(entry.folder)),
        ("size", format_size(size) + exact),
        ("length", format_length(file.length_s)),
        ("uploaded", format_time(file.uploaded_at) or file.extra.get("uploaded", "")),
        ("sha1", file.sha1 or ""),
        ("playable", format_flag(file.can_play)),
        ("readable", "" if file.readable else "no"),
        ("status", file.status),
    ]
    extra = [
        (name.replace("_", " "), _to_words(name, value))
        for name, value in file.extra.items()
        if name not in _LEFT_OUT
    ]
    return known + extra


def _to_words(name: str, value: str) -> str:
    return {"0": "no", "1": "yes"}.get(value, value) if name in _FLAGS else value
