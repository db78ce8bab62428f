"""`vidfs refresh`."""

from __future__ import annotations

import click

from vidfs.cli.session import Session
from vidfs.control import ask

ANSWER_DEADLINE_S = 300.0


@click.command(short_help="Look at the host for changes now.")
@click.argument("paths", metavar="[PATH]…", nargs=-1, type=click.Path())
@click.pass_obj
def refresh(session: Session, paths: tuple[str, ...]) -> None:
    """Look at the host now for what changed in the PATHs (none: in all mounts).

    \b
    vidfs refresh /mnt/films/New
    """
    for served, insides in session.find_targets(paths):
        for inside in insides or ["/"]:
            ask(served.state_dir, "refresh", path=inside, timeout_s=ANSWER_DEADLINE_S)
