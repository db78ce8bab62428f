"""`vidfs account add|remove`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from vidfs.app.config_file import load_text, save_text, with_account, without_account
from vidfs.app.keys import remove_from_keyring, save_in_keyring
from vidfs.app.mounts import find_daemon_info, find_lock_holder
from vidfs.cli.completion import complete_account
from vidfs.cli.output import Output
from vidfs.cli.session import Session
from vidfs.config import (
    DEMO_ACCOUNT,
    Account,
    Config,
    check_base_url,
    config_path,
    sort_accounts,
)
from vidfs.errors import AlreadyMountedError, TransientHostError, UsageError
from vidfs.types import Secret

if TYPE_CHECKING:
    from vidfs.app.remote import RemoteAccount


@click.command()
@click.option("--host", required=True, help="Which kind (see the README's table of hosts).")
@click.option("--base-url", metavar="URL", help="Of the API, where it isn't the usual one.")
@click.option("--login", help="API login (OpenLoad family).")
@click.option("--key-command", metavar="CMD", help="Prints the key when it is needed.")
@click.option("--keyring", "in_keyring", is_flag=True, help="The key goes into the keyring.")
@click.option("--no-check", is_flag=True, help="Don't ask the host whether it takes the key.")
@click.argument("name")
@click.pass_obj
def add(
    session: Session,
    host: str,
    base_url: str | None,
    login: str | None,
    key_command: str | None,
    in_keyring: bool,
    no_check: bool,
    name: str,
) -> None:
    """Add an account to the configuration. The key is asked for, or read from stdin.

    \b
    vidfs account add films --host vipstream
    pass show films | vidfs account add films --host vipstream
    """
    from vidfs.hosts import HOSTS

    if host not in HOSTS:
        raise UsageError(f"no host {host!r}: one of {', '.join(sorted(HOSTS))}")
    if name == DEMO_ACCOUNT:
        raise UsageError("the account demo is built in")
    if key_command and in_keyring:
        raise UsageError("--key-command or --keyring, not both")
    record = HOSTS[host]
    if record.api_url is None and not base_url:
        raise UsageError(f"--base-url is needed: {host} runs on many sites")
    if base_url:
        base_url = check_base_url(base_url, "--base-url")
    if record.needs_login and not login:
        login = _ask("API login", hide=False)
    settings = {"host": host, "base_url": base_url, "login": login, "key_command": key_command}
    given = {setting: value for setting, value in settings.items() if value}
    path = config_path(session.config_file, session.environ)
    text = load_text(path)
    with_account(text, name, given)  # before the key is asked for
    key = None if key_command else Secret(_ask("API key", hide=True))
    if key is not None:
        session.redactor.add(key)
        if not in_keyring:
            given["key"] = key.reveal()
    changed = with_account(text, name, given)
    account = sort_accounts(changed.encode(), str(path))[0][name]
    if not no_check:
        _check_key(session, account, key)
    if in_keyring and key is not None:
        save_in_keyring(name, key)
    save_text(path, changed)
    taken = "" if no_check else ": the host accepts the key"
    Output(session).line(f"account {name} is in {path}{taken}")


def _ask(what: str, *, hide: bool) -> str:
    """From the terminal, else a line of stdin. Errors: UsageError."""
    if sys.stdin.isatty():
        answer = str(click.prompt(what, hide_input=hide, err=True))
    else:
        answer = sys.stdin.readline()
    answer = answer.strip()
    if not answer:
        raise UsageError(f"no {what} was given (on stdin, or at a terminal)")
    return answer


def _check_key(session: Session, account: Account, key: Secret | None) -> None:
    from vidfs.app.places import Place
    from vidfs.app.remote import Surroundings, run_with_account

    environ = dict(session.environ)
    if key is not None:
        environ[account.key_variable] = key.reveal()
    around = Surroundings(
        config=Config(path=session.config.path, accounts={account.name: account}),
        directories=session.directories,
        environ=environ,
        redactor=session.redactor,
    )

    async def ask(remote: RemoteAccount) -> None:
        await remote.host.account_info()

    try:
        run_with_account(around, Place(text=account.name, account=account.name), ask)
    except TransientHostError as error:
        raise type(error)(f"{error}; nothing was saved (--no-check saves it unasked)") from None


@click.command()
@click.argument("name", shell_complete=complete_account)
@click.pass_obj
def remove(session: Session, name: str) -> None:
    """Take an account out of the configuration. What it keeps on this disk stays.

    \b
    vidfs account remove films
    """
    if name == DEMO_ACCOUNT:
        raise UsageError("the account demo is built in")
    path = config_path(session.config_file, session.environ)
    changed = without_account(load_text(path), name)
    state_dir = session.directories.state_dir(name)
    if find_lock_holder(state_dir) is not None:
        info = find_daemon_info(state_dir)
        where = f" on {info.mountpoint}" if info else ""
        raise AlreadyMountedError(f"account {name} is mounted{where}: unmount it first")
    save_text(path, changed)
    remove_from_keyring(name)
    kept = f"; what was kept of it is in {state_dir}" if os.path.lexists(state_dir) else ""
    Output(session).line(f"account {name} is out of {path}{kept}")
