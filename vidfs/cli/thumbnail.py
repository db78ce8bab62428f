"""`vidfs thumbnail`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidfs.cli.completion import complete_path
from vidfs.cli.output import Output, ask_account, find_place
from vidfs.cli.session import Session
from vidfs.errors import UsageError

if TYPE_CHECKING:
    from vidfs.app.remote import RemoteAccount


@click.command()
@click.option(
    "-o", "--output", "target", metavar="FILE", help='Default: NAME.jpg here; "-": stdout.'
)
@click.argument("path", metavar="PATH", shell_complete=complete_path)
@click.pass_obj
def thumbnail(session: Session, target: str | None, path: str) -> None:
    """Save the host's picture of a file.

    \b
    vidfs thumbnail films:/Series/pilot.mp4
    vidfs thumbnail -o cover.jpg ~/Films/pilot.mp4
    """
    from vidfs.app.pictures import fetch_picture

    place = find_place(session, path)
    if target == "-" and sys.stdout.isatty():
        raise UsageError("a picture is nothing for a terminal: give -o FILE")

    async def ask(remote: RemoteAccount) -> tuple[str, bytes]:
        return await fetch_picture(remote, await remote.find(place))

    name, content = ask_account(session, place, ask)
    if target == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    if target is None and Path(name).exists():
        raise UsageError(f"{name} is there already: give -o FILE")
    file = Path(target or name)
    file.write_bytes(content)
    Output(session).line(str(file))
