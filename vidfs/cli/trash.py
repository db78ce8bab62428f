"""`vidfs trash …`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from vidfs.cli.completion import complete_account
from vidfs.cli.exit_codes import ExitCode
from vidfs.cli.output import (
    Column,
    Output,
    ask_account,
    find_place,
    format_size,
    format_time,
    json_option,
    spinner,
)
from vidfs.cli.session import Session
from vidfs.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from vidfs.app.remote import RemoteAccount
    from vidfs.app.trash import Restored, TrashEntry

COLUMNS = (
    Column("DELETED"),
    Column("SIZE", right=True),
    Column("CODE", style="dim"),
    Column("WAS"),
)


@click.group()
def trash() -> None:
    """What was deleted on hosts that can't delete.

    \b
    vidfs trash list films
    vidfs trash restore films pilot.mp4
    """


@trash.command("list")
@json_option
@click.argument("account", shell_complete=complete_account)
@click.pass_obj
def list_(session: Session, as_json: bool, account: str) -> None:
    """List what lies in the trash of ACCOUNT, and where it was.

    \b
    vidfs trash list films
    """
    place = find_place(session, account)
    found = ask_account(session, place, _list)
    output = Output(session)
    if as_json:
        output.json({"account": place.account, "entries": [_to_json(item) for item in found]})
        return
    output.table(COLUMNS, [_to_row(item) for item in found], empty="the trash is empty")


@trash.command()
@click.option("--all", "everything", is_flag=True, help="All of it.")
@click.argument("account", shell_complete=complete_account)
@click.argument("names", metavar="[NAME|CODE]…", nargs=-1)
@click.pass_obj
def restore(session: Session, everything: bool, account: str, names: tuple[str, ...]) -> None:
    """Bring things back to where they were.

    A folder comes back with all that was removed from it; one that is gone for good is made anew.

    \b
    vidfs trash restore films pilot.mp4
    vidfs trash restore films "/Series/Season 1"
    vidfs trash restore films --all
    """
    if everything == bool(names):
        raise UsageError("what: NAMEs (or codes) or --all?")
    place = find_place(session, account)

    async def ask(remote: RemoteAccount) -> list[Restored]:
        from vidfs.app.trash import restore as restore_items

        items = await _list(remote)
        return await restore_items(remote, _choose(items, names), items)

    output = Output(session)
    for one in ask_account(session, place, ask):
        note = " (where it was isn't there or known)" if one.is_elsewhere else ""
        renamed = f" as {one.name}" if one.name != one.item.name else ""
        output.line(f"{one.item.name} is in {place.account}:{one.path}{renamed}{note}")


@trash.command()
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@click.argument("account", shell_complete=complete_account)
@click.argument("names", metavar="[NAME|CODE]…", nargs=-1)
@click.pass_obj
def empty(session: Session, yes: bool, account: str, names: tuple[str, ...]) -> int:
    """Delete for good what lies in the trash, where the host can.

    \b
    vidfs trash empty films
    """
    place = find_place(session, account)
    output = Output(session)

    async def ask(remote: RemoteAccount) -> tuple[int, int, str]:
        from vidfs.app.trash import empty as empty_items

        chosen = _choose(await _list(remote), names)
        if chosen and remote.host.capabilities.delete_file:
            _confirm(len(chosen), yes)
        deleted, left = await empty_items(remote, chosen)
        return len(deleted), len(left), remote.host.name

    deleted, left, host = ask_account(session, place, ask)
    output.line(f"{deleted} deleted")
    if left:
        session.say(f"{host} can't delete the other {left}")
    return ExitCode.UNABLE if left else ExitCode.DONE


def _confirm(count: int, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("to delete for good without being asked, give --yes")
    click.confirm(f"Delete {count} for good?", abort=True, err=True)


async def _list(remote: RemoteAccount) -> list[TrashEntry]:
    from vidfs.app.trash import list_trash

    with spinner("listing"):
        items = await list_trash(remote)
        filled = await remote.fill_sizes([item.entry for item in items])
    return [replace(item, entry=entry) for item, entry in zip(items, filled, strict=True)]


def _choose(items: Sequence[TrashEntry], names: Sequence[str]) -> list[TrashEntry]:
    """Errors: NotFoundError; UsageError where a name means several."""
    from vidfs.app.trash import choose, choose_below

    if not names:
        return list(items)
    chosen: dict[object, TrashEntry] = {}
    for name in names:
        found = choose(items, name)
        if not found and (below := choose_below(items, name)):
            chosen.update((item.key, item) for item in below)
            continue
        if not found:
            raise NotFoundError(f"{name}: not in the trash")
        if len(found) > 1:
            codes = ", ".join(item.key[1] for item in found)
            raise UsageError(f"{name}: there are several; give one of the codes {codes}")
        chosen[found[0].key] = found[0]
    return list(chosen.values())


def _to_row(item: TrashEntry) -> list[str]:
    where = f"{item.folder_path.rstrip('/')}/" if item.folder_path else ""
    slash = "/" if item.entry.file is None else ""
    return [
        format_time(item.deleted_at) or "?",
        format_size(item.entry.size_bytes) or "-",
        item.key[1],
        f"{where}{item.name}{slash}",
    ]


def _to_json(item: TrashEntry) -> dict[str, Any]:
    file = item.entry.file
    return {
        "name": item.name,
        "title": item.title,
        "kind": "folder" if file is None else "file",
        "code": None if file is None else str(file.code),
        "folder_id": str(item.entry.folder) if file is None else None,
        "was_in": item.folder_path or None,
        "was_in_folder_id": None if item.folder is None else str(item.folder),
        "deleted_at": item.deleted_at,
        "size_bytes": item.entry.size_bytes,
    }
