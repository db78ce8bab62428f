"""Options that describe a file: what `edit`, `remote add` and `upload` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--title", metavar="TEXT", help="Its name at the host."),
    click.option("--description", metavar="TEXT", help='"" for none.'),
    click.option("--category", metavar="ID", help="The host's number of it."),
    click.option("--tags", metavar="A,B", help='"" for none.'),
    click.option("--public/--private", default=None, help="Shown to everybody, or not."),
    click.option("--adult/--safe", default=None, help="For adults, or for all."),
)


def file_options(command: Command) -> Command:
    """title, description, category, tags, public, adult: None where not given."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def split_tags(text: str | None) -> tuple[str, ...]:
    return tuple(tag.strip() for tag in (text or "").split(",") if tag.strip())
