"""`vidfs dmca`."""

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
from vidfs.errors import AbilityError

if TYPE_CHECKING:
    from vidfs.app.remote import RemoteAccount
    from vidfs.hosts.extras import DmcaFile

COLUMNS = (
    Column("GOES"),
    Column("IN", right=True),
    Column("CODE", style="dim"),
    Column("PATH"),
)


@click.command()
@click.option("--last", metavar="HOURS", type=click.IntRange(1), help="Reported so recently.")
@json_option
@click.argument("account", shell_complete=complete_account)
@click.pass_obj
def dmca(session: Session, last: int | None, as_json: bool, account: str) -> None:
    """List files of ACCOUNT that a rights holder reported, and when they go.

    \b
    vidfs dmca films
    """
    place = find_place(session, account)

    async def ask(remote: RemoteAccount) -> tuple[str, Sequence[tuple[DmcaFile, str]]]:
        from vidfs.types import NodeKind

        able = remote.host.capabilities.dmca_list
        extras = remote.extras(able, "list_dmca", "list reported files")
        if last is not None and "last" not in getattr(remote.dialect, "dmca_fields", ()):
            raise AbilityError(f"{remote.host.name} can't list reported files by time")
        found = await extras.list_dmca(last)
        paths = [remote.names.find_parts(NodeKind.FILE, str(one.code)) for one in found]
        return remote.host.name, [
            (one, "" if parts is None else "/" + "/".join(parts))
            for one, parts in zip(found, paths, strict=True)
        ]

    host, found = ask_account(session, place, ask)
    output = Output(session)
    if as_json:
        rows = [{**to_plain(one), "path": path or None} for one, path in found]
        output.json({"account": place.account, "host": host, "dmca": rows})
        return
    rows_shown = [
        [format_time(one.delete_at), _to_span(one.delete_in_s), str(one.code), path]
        for one, path in found
    ]
    output.table(COLUMNS, rows_shown, empty="nothing was reported")


def _to_span(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{max(0, round(seconds / 60))} min"
