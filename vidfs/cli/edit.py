"""`vidfs edit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from vidfs.cli.completion import complete_path
from vidfs.cli.file_options import file_options, split_tags
from vidfs.cli.output import Output, ask_account, find_place, find_places
from vidfs.cli.session import Session
from vidfs.errors import AbilityError, UsageError
from vidfs.hosts.parallel import run_parallel

if TYPE_CHECKING:
    from vidfs.app.places import Place
    from vidfs.app.remote import Entry, RemoteAccount


@click.command()
@file_options
@click.option("--folder", metavar="FOLDER", help="Move into this folder.")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, shell_complete=complete_path)
@click.pass_obj
def edit(
    session: Session,
    title: str | None,
    description: str | None,
    category: str | None,
    tags: str | None,
    public: bool | None,
    adult: bool | None,
    folder: str | None,
    paths: tuple[str, ...],
) -> None:
    """Change what the host says of files; title, description and place of folders, too.

    \b
    vidfs edit --title Pilot --tags "new, hd" --private films:/a.mp4
    vidfs edit --folder films:/Old films:/a.mp4 films:/b.mp4
    """
    fields: dict[str, str | None] = {
        "description": description,
        "category": category,
        "tags": None if tags is None else ", ".join(split_tags(tags)),
        "public": None if public is None else str(int(public)),
        "adult": None if adult is None else str(int(adult)),
    }
    given = {name: value for name, value in fields.items() if value is not None}
    if title is None and folder is None and not given:
        raise UsageError("nothing to change: give --title, --tags, --folder or another option")
    if title is not None and len(paths) > 1:
        raise UsageError("one --title for several files would make them alike")
    places = find_places(session, paths)
    target = None if folder is None else find_place(session, folder)
    accounts = {place.account for place in [*places, *([target] if target else [])]}
    if len(accounts) > 1:
        raise UsageError(f"files of one account at a time, not of {', '.join(sorted(accounts))}")

    async def change(remote: RemoteAccount) -> list[Entry]:
        return await _change(remote, places, title, target, given)

    changed = ask_account(session, places[0], change)
    Output(session).line(f"{len(changed)} changed")


async def _change(
    remote: RemoteAccount,
    places: Sequence[Place],
    title: str | None,
    target: Place | None,
    fields: Mapping[str, str],
) -> list[Entry]:
    into = None if target is None else await remote.find_folder(target)
    entries = [await remote.find(place) for place in places]
    _check(remote, entries, title, into, fields)
    if title is not None:
        await remote.settle(entry.parts[:-1] for entry in entries)
    folder = None if into is None else into.folder
    edit_one = partial(
        remote.host.edit_file, title=title, folder=folder, fields=dict(fields) or None
    )
    await run_parallel(
        [partial(edit_one, entry.code) for entry in entries if entry.file is not None]
    )
    for entry in entries:
        if entry.file is None:
            more = {"descr": fields["description"]} if fields else {}
            await remote.host.edit_folder(entry.folder, name=title, parent=folder, **more)
        remote.note_change(entry.parts[:-1], *([into.parts] if into else []))
    return entries


def _check(
    remote: RemoteAccount,
    entries: Sequence[Entry],
    title: str | None,
    into: Entry | None,
    fields: Mapping[str, str],
) -> None:
    """Whether all of it can be done, before anything is. Errors: AbilityError, UsageError."""
    can, name = remote.host.capabilities, remote.host.name
    for entry in entries:
        if not entry.parts:
            raise UsageError(f"{entry.path}: is the root of an account")
        if entry.file is None:
            takes_description = remote.takes("edit_folder", "descr")
            able = {"description"} if takes_description else set()
            what, can_move, can_rename = "a folder", can.move_folder, can.rename_folder
            if into is not None and into.parts[: len(entry.parts)] == entry.parts:
                raise UsageError(f"{entry.path}: can't be moved into itself")
        else:
            able = set(can.edit_fields)
            what, can_move, can_rename = "a file", can.move_file, can.rename_file
        if unable := sorted(fields.keys() - able):
            raise AbilityError(f"{name} can't change the {', '.join(unable)} of {what}")
        if into is not None and not can_move:
            raise AbilityError(f"{name} can't move {what}")
        if title is not None and not can_rename:
            raise AbilityError(f"{name} can't rename {what}")
