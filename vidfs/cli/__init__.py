"""The command line: a module per command; errors become one line and an exit code.

Commands import what is heavy (trio, httpx, rich) when they run, so that `--help` and the
commands that only ask a daemon start at once.
"""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import click

from vidfs.cli.exit_codes import ExitCode, exit_code_for
from vidfs.cli.session import Session
from vidfs.errors import VidfsError

COMMANDS_BY_USE = {
    "Mounts": ("mount", "umount", "status", "wait", "retry", "refresh", "doctor"),
    "Accounts": ("account", "info", "stats"),
    "At the host": ("ls", "tree", "show", "link", "search", "thumbnail"),
    "Changes": ("edit", "clone", "upload", "remote", "convert", "encodings", "trash"),
    "Reports": ("deleted", "dmca"),
    "Trying out": ("simhost",),
}
COMMANDS = {
    name: f"vidfs.cli.{name}:{name}" for names in COMMANDS_BY_USE.values() for name in names
}
"""Each command's module and function; imported when the command is used."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(module), function)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise click.UsageError(f"no command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """By use, and by name only: so many don't fit on a screen with their descriptions."""
        with formatter.section("Commands (vidfs COMMAND --help explains one)"):
            formatter.write_dl([(use, " ".join(names)) for use, names in COMMANDS_BY_USE.items()])


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("vidfs")
    except PackageNotFoundError:
        number = "(not installed)"
    click.echo(f"vidfs {number}")
    ctx.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", "config_file", metavar="FILE", help="Configuration instead of the usual one."
)
@click.option("--debug", is_flag=True, help="Show a traceback with an error.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context, config_file: str | None, debug: bool) -> None:
    """A video-host account as a directory.

    \b
    vidfs mount demo /mnt/films     a simulated account to try things on
    cp film.mp4 /mnt/films/
    vidfs umount /mnt/films         waits until everything is uploaded
    """
    session: Session = ctx.obj
    session.config_file = config_file
    session.debug = debug


def main(args: Sequence[str] | None = None) -> None:
    """The program `vidfs`. Never returns."""
    words = list(sys.argv[1:] if args is None else args)
    session = Session()
    sys.exit(
        run_shielded(
            session,
            lambda: cli.main(args=words, prog_name="vidfs", obj=session, standalone_mode=False),
        )
    )


def mount_helper() -> None:
    """The program `mount.vidfs`, which mount(8) calls. Never returns."""
    from vidfs.cli.mount_helper import run

    # mount units of systemd have no HOME, and a key_command may need one
    with suppress(RuntimeError):  # a user without an entry in passwd
        os.environ.setdefault("HOME", str(Path.home()))
    session = Session()
    code = run_shielded(session, lambda: run(session, sys.argv[1:]))
    sys.exit(to_mount_exit_code(code))


def to_mount_exit_code(code: int) -> int:
    """mount(8) has a table of its own: 1 is wrong usage, 32 a mount that failed."""
    return {0: 0, int(ExitCode.USAGE): 1, int(ExitCode.INTERRUPTED): 8}.get(code, 32)


def run_shielded(session: Session, command: Callable[[], object]) -> int:
    """Run *command*; its exit code, with one line on stderr where it isn't 0."""
    try:
        code = command()
        sys.stdout.flush()
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.ClickException as error:
        return _show_usage_error(session, error)
    except (click.Abort, KeyboardInterrupt):
        session.say("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has seen enough; keep the interpreter from complaining
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except VidfsError as error:
        _show_traceback(session)
        session.say(str(error))
        return exit_code_for(error)
    except OSError as error:
        _show_traceback(session)
        place = f"{error.filename}: " if error.filename else ""
        session.say(f"{place}{error.strerror or error}")
        return ExitCode.FAILED
    except Exception as error:
        _show_traceback(session)
        session.say(f"internal error: {type(error).__name__}: {error} (--debug shows more)")
        return ExitCode.FAILED
    return code if isinstance(code, int) else ExitCode.DONE


def _show_usage_error(session: Session, error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return ExitCode.USAGE
    hint = ""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f" (see {error.ctx.command_path} --help)"
    session.say(error.format_message().rstrip(".") + hint)
    return ExitCode.USAGE if isinstance(error, click.UsageError) else ExitCode.FAILED


def _show_traceback(session: Session) -> None:
    if session.debug:
        sys.stderr.write(session.redactor.clean(traceback.format_exc()))
