"""`vidfs deleted`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from vidfs.cli.completion import complete_account
from vidfs.cli.output import (
    Column,
    Output,
    ask_account,
    find_place,
    format_time,
    json_option,
    to_plain,
)
from vidfs.cli.session import Session

if TYPE_CHECKING:
    from vidfs.app.remote import RemoteAccount
    from vidfs.hosts.extras import DeletedFile

COLUMNS = (Column("DELETED"), Column("BY"), Column("CODE", style="dim"), Column("TITLE"))


@click.command()
@click.option("--last", metavar="HOURS", type=click.IntRange(1), help="Of so many hours.")
@json_option
@click.argument("account", shell_complete=complete_account)
@click.pass_obj
def deleted(session: Session, last: int | None, as_json: bool, account: str) -> None:
    """List what was deleted in ACCOUNT, and by whom.

    \b
    vidfs deleted films --last 24
    """
    place = find_place(session, account)

    async def ask(remote: RemoteAccount) -> tuple[str, Sequence[DeletedFile]]:
        able = remote.host.capabilities.deleted_list
        extras = remote.extras(able, "list_deleted", "list deleted files")
        return remote.host.name, await extras.list_deleted(last)

    host, found = ask_account(session, place, ask)
    output = Output(session)
    if as_json:
        rows = [to_plain(one) for one in found]
        output.json({"account": place.account, "host": host, "deleted": rows})
        return
    output.table(
        COLUMNS,
        [[format_time(one.deleted_at), one.deleted_by, str(one.code), one.title] for one in found],
        empty="nothing was deleted",
    )
