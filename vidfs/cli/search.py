"""`vidfs search`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from vidfs.cli.completion import complete_account
from vidfs.cli.ls import COLUMNS, to_row
from vidfs.cli.output import (
    Column,
    Output,
    ask_account,
    entry_to_json,
    find_place,
    json_option,
)
from vidfs.cli.session import Session
from vidfs.errors import AbilityError, UsageError

if TYPE_CHECKING:
    from vidfs.app.remote import Entry, RemoteAccount
    from vidfs.hosts.api import RemoteFile


@click.command()
@click.option("--public/--private", default=None, help="Only files that are so.")
@click.option("--adult/--safe", default=None, help="Only files that are so.")
@click.option("--since", metavar="WHEN", help='Uploaded after "2026-07-21 05:07:10" or in N min.')
@json_option
@click.argument("account", metavar="ACCOUNT[:/FOLDER]", shell_complete=complete_account)
@click.argument("text", metavar="[TEXT]", default="")
@click.pass_obj
def search(
    session: Session,
    public: bool | None,
    adult: bool | None,
    since: str | None,
    as_json: bool,
    account: str,
    text: str,
) -> None:
    """Find files by a part of their title, in the host's own search.

    \b
    vidfs search films "big buck"
    vidfs search films:/Series --private --since 60
    """
    place = find_place(session, account)
    filters = {"public": public, "adult": adult, "created": since}
    given = {name: value for name, value in filters.items() if value is not None}
    if not text and not given:
        raise UsageError("what for: give a TEXT or a filter")

    async def ask(remote: RemoteAccount) -> tuple[str, list[Entry]]:
        inside = await remote.find_folder(place)
        found = await _search(remote, inside, text, given)
        return remote.host.name, remote.place_files(found, inside)

    host, entries = ask_account(session, place, ask)
    output = Output(session)
    if as_json:
        rows = [entry_to_json(entry) | {"path": entry.path or None} for entry in entries]
        output.json({"account": place.account, "host": host, "entries": rows})
        return
    rows_shown = [[*to_row(entry)[1:], _to_folder(entry)] for entry in entries]
    output.table([*COLUMNS[1:], Column("FOLDER")], rows_shown, empty="nothing found")


def _to_folder(entry: Entry) -> str:
    """Its path, where it is known, else the host's number of it."""
    return "/" + "/".join(entry.parts[:-1]) if entry.path else f"[{entry.folder}]"


async def _search(
    remote: RemoteAccount, inside: Entry, text: str, filters: dict[str, Any]
) -> Sequence[RemoteFile]:
    able = remote.host.capabilities.search
    if not inside.parts and not filters:
        extras = remote.extras(able, "search_files", "search")
        return await extras.search_files(text)
    extras = remote.extras(able, "list_files", "search a folder or by filters")
    wanted = filters | ({"title": text} if text else {})
    if inside.parts:
        wanted["folder"] = inside.folder
    fields = getattr(remote.dialect, "list_fields", {})
    if not wanted.keys() <= fields.keys():
        raise AbilityError(f"{remote.host.name} can't search a folder or by filters")
    return await extras.list_files(**wanted)
