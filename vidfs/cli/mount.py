"""`vidfs mount`."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from vidfs.app import daemon, logs
from vidfs.app.keys import fetch_key, forget_keys_in_environ
from vidfs.app.mounts import release_stuck_mount, resolve
from vidfs.cli.completion import complete_account
from vidfs.cli.exit_codes import ExitCode, WaitTimeoutError, exit_code_for
from vidfs.cli.session import Session
from vidfs.config import (
    MountOptions,
    create_state_dir,
    find_directories,
    parse_mount_options,
    parse_source,
)
from vidfs.errors import AlreadyMountedError, MountPointError, VidfsError

if TYPE_CHECKING:
    from vidfs.app.serve import MountPlan

MOUNT_DEADLINE_S = 150.0
_DETAILS_CHARS_MAX = 30_000

_log = logging.getLogger(__name__)


@click.command(short_help="Mount an account on a directory.")
@click.option("-f", "--foreground", is_flag=True, help="Stay here and log to the terminal.")
@click.option(
    "-o",
    "options",
    metavar="OPT,…",
    multiple=True,
    help="Mount options: ro, allow_other, allow_root, uid=, gid=, umask=, upload=background|close, "
    "uploads=N, bwlimit=, dir_ttl=, dir_stale=, sizes=content|uploaded, cache_size=, "
    "cache_dir=, state_dir=, delete=auto|deny, scratch=, other_files=reject|local|upload, "
    "api_rate=, api_parallel=, thumbnails, log_file=, config=, debug.",
)
@click.argument("source", metavar="SOURCE", shell_complete=complete_account)
@click.argument("directory", metavar="DIR", type=click.Path())
@click.pass_obj
def mount(
    session: Session, foreground: bool, options: tuple[str, ...], source: str, directory: str
) -> int:
    """Mount SOURCE, an ACCOUNT or ACCOUNT:/folder, on the empty directory DIR.

    Returns when the mount is usable; then it goes on in the background.

    \b
    vidfs mount films ~/films
    vidfs mount -o ro,cache_size=20G films:/Old /mnt/old
    vidfs mount -f demo /tmp/demo
    """
    return run_mount(
        session, source, directory, parse_mount_options(options), foreground=foreground
    )


def run_mount(
    session: Session, source: str, directory: str, options: MountOptions, *, foreground: bool
) -> int:
    """Mount in the foreground or in a daemon; the exit code. Errors: VidfsError."""
    from vidfs.app.serve import MountPlan

    if options.config_file:
        session.config_file = options.config_file
    wanted = parse_source(source)
    account = session.config.get_account(wanted.account)
    umask = os.umask(0o077)
    os.umask(umask)
    key = None if account.is_demo else fetch_key(account, session.environ)
    if key is not None:
        session.redactor.add(key)
    directories = find_directories(session.environ, options)
    release_stuck_mount(directories.state_dir(account.name))  # or to look at DIR may hang
    plan = MountPlan(
        account=account,
        key=key,
        source=wanted,
        mountpoint=resolve(directory),
        options=options,
        directories=directories,
        umask=umask,
    )
    create_state_dir(plan.state_dir)
    forget_keys_in_environ()
    if foreground:
        logs.set_up_logging(session.redactor, log_file=None, rotate=False, debug=options.debug)
        _serve(session, plan, on_ready=_log_note)
        return ExitCode.DONE
    return _serve_in_background(session, plan)


def _serve_in_background(session: Session, plan: MountPlan) -> int:
    def run(pipe: daemon.ReadyPipe) -> int:
        try:
            logs.set_up_logging(
                session.redactor,
                log_file=plan.log_file,
                rotate=plan.options.log_file is None,
                debug=plan.options.debug,
            )
            daemon.send_stderr_to(plan.log_file)
            _serve(session, plan, lambda note: pipe.tell(daemon.Outcome(ready=True, note=note)))
        except Exception as error:
            outcome = _to_outcome(session, plan, error)
            pipe.tell(outcome)
            return outcome.exit_code
        # goes nowhere if the mount was ready before
        pipe.tell(daemon.Outcome(error="stopped before it was mounted", exit_code=1))
        return ExitCode.DONE

    try:
        outcome = daemon.daemonise(run, timeout_s=MOUNT_DEADLINE_S)
    except daemon.StartTimeoutError as error:
        raise WaitTimeoutError(str(error)) from None
    if outcome.details and session.debug:
        sys.stderr.write(outcome.details)
    if outcome.note or outcome.error:
        session.say(outcome.note or outcome.error)
    return ExitCode.DONE if outcome.ready else outcome.exit_code


def _to_outcome(session: Session, plan: MountPlan, error: Exception) -> daemon.Outcome:
    details = session.redactor.clean(traceback.format_exc())
    if isinstance(error, AlreadyMountedError | MountPointError):
        text = str(error)  # not for the log, which is that of the mount that runs
    elif isinstance(error, VidfsError):
        _log.error("%s", error)
        text = str(error)
    elif isinstance(error, OSError):
        _log.error("%s", error)
        place = f"{error.filename}: " if error.filename else ""
        text = f"{place}{error.strerror or error}"
    else:
        _log.error("%s", details)
        text = f"internal error: {type(error).__name__} (see {plan.log_file})"
    return daemon.Outcome(
        error=session.redactor.clean(text),
        details=details[-_DETAILS_CHARS_MAX:],
        exit_code=exit_code_for(error),
    )


def _serve(session: Session, plan: MountPlan, on_ready: Callable[[str], None]) -> None:
    from vidfs.app.serve import serve_mount

    daemon.forbid_core_dumps()
    daemon.show_stacks_on_request()
    os.umask(0o077)
    serve_mount(plan, on_ready=on_ready, redactor=session.redactor, environ=dict(os.environ))


def _log_note(note: str) -> None:
    if note:
        _log.warning("%s", note)
