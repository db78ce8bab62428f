"""`vidfs retry`."""

from __future__ import annotations

import click

from vidfs.cli.session import Session
from vidfs.control import ask


@click.command(short_help="Queue parked uploads once more.")
@click.argument("paths", metavar="[PATH]…", nargs=-1, type=click.Path())
@click.pass_obj
def retry(session: Session, paths: tuple[str, ...]) -> None:
    """Queue parked uploads of the PATHs (none: of all mounts) once more.

    \b
    vidfs retry
    vidfs retry /mnt/films/film.mp4
    """
    retried = 0
    for served, insides in session.find_targets(paths):
        chosen: list[str | None] = [*insides] or [None]
        for inside in chosen:
            retried += ask(served.state_dir, "retry", path=inside)["retried"]
    click.echo(f"uploads queued again: {retried}")
