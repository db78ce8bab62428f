"""`vidfs encodings`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from vidfs.cli.completion import complete_path
from vidfs.cli.output import (
    Column,
    Output,
    ask_account,
    find_place,
    format_share,
    json_option,
    to_plain,
)
from vidfs.cli.session import Session

if TYPE_CHECKING:
    from vidfs.app.remote import RemoteAccount
    from vidfs.hosts.extras import Encoding

COLUMNS = (
    Column("STATUS"),
    Column("DONE", right=True),
    Column("QUALITY"),
    Column("CODE", style="dim"),
    Column("NAME"),
    Column("TRIES", right=True),
    Column("UPDATED", style="dim"),
)


@click.command()
@json_option
@click.argument("path", metavar="ACCOUNT|PATH", shell_complete=complete_path)
@click.pass_obj
def encodings(session: Session, as_json: bool, path: str) -> None:
    """Show what the host is converting: of a whole account, a folder or a file.

    \b
    vidfs encodings films
    vidfs encodings films:/Series/pilot.mp4
    """
    from vidfs.app.encodings import list_encodings

    place = find_place(session, path)

    async def ask(remote: RemoteAccount) -> tuple[str, Sequence[Encoding]]:
        return remote.host.name, await list_encodings(remote, place)

    host, found = ask_account(session, place, ask)
    output = Output(session)
    if as_json:
        rows = [to_plain(one) for one in found]
        output.json({"account": place.account, "host": host, "encodings": rows})
        return
    output.table(COLUMNS, [_to_row(one) for one in found], empty="nothing is being converted")


def _to_row(one: Encoding) -> list[str]:
    return [
        one.status,
        format_share(one.progress),
        one.quality,
        str(one.code),
        one.name,
        "" if one.retries is None else str(one.retries),
        one.updated,
    ]
