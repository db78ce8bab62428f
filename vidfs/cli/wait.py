"""`vidfs wait`."""

from __future__ import annotations

import time

import click

from vidfs.cli.exit_codes import ExitCode
from vidfs.cli.progress import wait_for_uploads
from vidfs.cli.session import Session
from vidfs.config import parse_duration


@click.command(short_help="Wait until the uploads are done.")
@click.option("--timeout", metavar="S", help="Give up after S seconds (or 10m, 2h): exit code 6.")
@click.argument("paths", metavar="[PATH]…", nargs=-1, type=click.Path())
@click.pass_obj
def wait(session: Session, timeout: str | None, paths: tuple[str, ...]) -> int:
    """Wait until the uploads of the PATHs (none: of all mounts) are at the host.

    Exit code 1 says that one of them is parked: `vidfs status` shows why.

    \b
    cp film.mp4 /mnt/films/ && vidfs wait /mnt/films/film.mp4
    vidfs wait --timeout 30m
    """
    deadline = None if timeout is None else time.monotonic() + parse_duration(timeout)
    parked = 0
    for served, inside in session.find_targets(paths):
        parked += wait_for_uploads(served, inside, deadline=deadline)
    if parked:
        session.say(f"uploads parked: {parked} (vidfs status shows why)")
    return ExitCode.FAILED if parked else ExitCode.DONE
