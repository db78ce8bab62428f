"""`vidfs simhost`: the simulated host's own program, flags and all."""

from __future__ import annotations

import runpy
import sys

import click


@click.command(
    short_help="Run the simulated host.",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def simhost(args: tuple[str, ...]) -> None:
    """Run the simulated host: every API of vidfs on this machine alone.

    \b
    vidfs simhost --root /tmp/hosts --port 8080 --write-config /tmp/vidfs.toml
    """
    sys.argv = ["vidfs simhost", *args]
    # by name: the simulated host shares no code with the rest and is a program of its own
    runpy.run_module("vidfs.simhost", run_name="__main__")
