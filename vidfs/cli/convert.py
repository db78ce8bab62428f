"""`vidfs convert`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from vidfs.cli.completion import complete_path
from vidfs.cli.exit_codes import ExitCode
from vidfs.cli.output import Output, ask_accounts, bars, find_places
from vidfs.cli.session import Session

if TYPE_CHECKING:
    from vidfs.app.places import Place
    from vidfs.app.remote import Entry, RemoteAccount


@click.command()
@click.option("--wait", is_flag=True, help="Until they are converted, with progress.")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, shell_complete=complete_path)
@click.pass_obj
def convert(session: Session, wait: bool, paths: tuple[str, ...]) -> int:
    """Have the host convert files to streamable mp4, which replaces them.

    \b
    vidfs convert --wait films:/old.avi
    """
    from vidfs.app.encodings import follow_conversions, start_conversions

    async def ask(remote: RemoteAccount, places: Sequence[Place]) -> tuple[int, list[Entry]]:
        entries: list[Entry] = []
        for place in places:
            entries += await remote.list_files(await remote.find(place))
        await start_conversions(remote, entries)
        if not wait:
            return len(entries), []
        with bars() as show:
            return len(entries), await follow_conversions(remote, entries, show)

    parts = ask_accounts(session, find_places(session, paths), ask)
    failed = [entry for _, part in parts for entry in part]
    for entry in failed:
        session.say(f"{entry.path}: the host failed to convert it")
    count = sum(count for count, _ in parts) - len(failed)
    Output(session).line(f"{count} {'converted' if wait else 'are being converted'}")
    return ExitCode.FAILED if failed else ExitCode.DONE
