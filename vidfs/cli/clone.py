"""`vidfs clone`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vidfs.cli.completion import complete_path
from vidfs.cli.output import Output, ask_account, find_place
from vidfs.cli.session import Session
from vidfs.errors import UsageError
from vidfs.types import FileCode

if TYPE_CHECKING:
    from vidfs.app.remote import RemoteAccount


@click.command()
@click.option("--title", metavar="TEXT", help="Its name at the host.")
@click.option("--code", "is_code", is_flag=True, help="SRC is a file code, anybody's.")
@click.argument("source", metavar="SRC", shell_complete=complete_path)
@click.argument("target", metavar="DST", shell_complete=complete_path)
@click.pass_obj
def clone(session: Session, title: str | None, is_code: bool, source: str, target: str) -> None:
    """Make a second file with the same content, without a download or an upload.

    DST is a folder, or a new file's path in one, of the same account.

    \b
    vidfs clone films:/a.mp4 films:/Best
    vidfs clone films:/a.mp4 "films:/Best/The very best.mp4"
    """
    into = find_place(session, target)
    place = None if is_code else find_place(session, source)
    if place is not None and place.account != into.account:
        raise UsageError(f"{source} and {target} are of different accounts")

    async def copy(remote: RemoteAccount) -> tuple[str, str]:
        extras = remote.extras(remote.host.capabilities.clone, "clone_file", "clone files")
        folder, name = await remote.find_target(into)
        code = FileCode(source) if place is None else (await remote.find(place)).code
        made = await extras.clone_file(code, title=title or name, folder=folder.folder)
        remote.note_change(folder.parts)
        return str(made), folder.path

    code, folder_path = ask_account(session, into, copy)
    Output(session).line(f"{code} is in {folder_path}")
