"""`vidfs account add|remove`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from vidfs.app.config_file import load_text, save_text, with_account, without_account
from vidfs.app.keys import has_keyring, remove_from_keyring, save_in_keyring
from vidfs.app.mounts import find_daemon_info, find_lock_holder
from vidfs.cli.completion import complete_account
from vidfs.cli.output import Output
from vidfs.cli.session import Session
from vidfs.config import (
    DEMO_ACCOUNT,
    Account,
    Config,
    check_account_name,
    check_base_url,
    check_key,
    config_path,
    sort_accounts,
)
from vidfs.errors import (
    AlreadyMountedError,
    ConfigError,
    TransientHostError,
    UsageError,
    WrongKeyError,
)
from vidfs.types import Secret

if TYPE_CHECKING:
    from vidfs.app.remote import RemoteAccount
    from vidfs.hosts import HostRecord


TRIES = 3
"""So often a person may type a key that the host refuses."""


@click.command()
@click.option("--host", help="Which kind (see the README's table of hosts).")
@click.option("--base-url", metavar="URL", help="Of the API, where it isn't the usual one.")
@click.option("--login", help="API login (OpenLoad family).")
@click.option("--key-command", metavar="CMD", help="Prints the key when it is needed.")
@click.option(
    "--keyring/--no-keyring",
    "in_keyring",
    default=None,
    help="Where the key goes; else the configuration (default: if there is one).",
)
@click.option("--no-check", is_flag=True, help="Don't ask the host whether it takes the key.")
@click.argument("name", required=False)
@click.pass_obj
def add(
    session: Session,
    host: str | None,
    base_url: str | None,
    login: str | None,
    key_command: str | None,
    in_keyring: bool | None,
    no_check: bool,
    name: str | None,
) -> None:
    """Add an account. What isn't given is asked for; the key may come from a pipe.

    \b
    vidfs account add
    vidfs account add films --host vipstream
    pass show films | vidfs account add films --host vipstream
    """
    if key_command and in_keyring:
        raise UsageError("--key-command or --keyring, not both")
    in_steps = host is None
    path = config_path(session.config_file, session.environ)
    text = load_text(path)
    if name is None:
        name = _ask_in_steps("Name of the account", lambda answer: _check_name(text, answer))
    _check_name(text, name)
    record = _choose_host(host)
    base_url = _choose_base_url(record, base_url, in_steps=in_steps)
    if record.needs_login and not login:
        login = _ask("API login", hide=False)
    settings = {"host": record.name, "base_url": base_url, "login": login}
    settings["key_command"] = key_command
    given = {setting: value for setting, value in settings.items() if value}
    changed = with_account(text, name, given)
    account = sort_accounts(changed.encode(), str(path))[0][name]
    key = None if key_command else _ask_key()
    if not no_check:
        key = _check_key(session, account, key)
    in_keyring = key is not None and _save_key(session, name, key, in_keyring, in_steps=in_steps)
    if key is not None and not in_keyring:
        changed = with_account(text, name, {**given, "key": key.reveal()})
    save_text(path, changed)
    taken = "" if no_check else ": the host accepts the key"
    kept = ", which is in the keyring" if in_keyring else ""
    output = Output(session)
    output.line(f"account {name} is in {path}{taken}{kept}")
    output.note(f"next: vidfs mount {name} DIR")


def _check_name(text: str, name: str) -> str:
    """*name*, if a new account may be called so. Errors: UsageError."""
    if name == DEMO_ACCOUNT:
        raise UsageError("the account demo is built in")
    check_account_name(name)
    with_account(text, name, {"host": "xvs"})
    return name


def _choose_host(given: str | None) -> HostRecord:
    from vidfs.hosts import HOSTS

    kinds = ", ".join(HOSTS)
    if given is None:
        if not sys.stdin.isatty():
            raise UsageError(f"--host is needed: one of {kinds}")
        given = click.prompt("Host", type=click.Choice(list(HOSTS)), err=True)
    if given not in HOSTS:
        raise UsageError(f"no host {given!r}: one of {kinds}")
    return HOSTS[given]


def _choose_base_url(record: HostRecord, given: str | None, *, in_steps: bool) -> str | None:
    """The API's address; None: the usual one. Errors: UsageError."""
    if given:
        return check_base_url(given, "--base-url")
    if record.api_url is None and not sys.stdin.isatty():
        raise UsageError(f"--base-url is needed: {record.name} runs on many sites")
    if record.api_url is not None and not in_steps:
        return None
    url = _ask_in_steps(
        "Address of its API (https://…/api)" if record.api_url is None else "Address of its API",
        lambda answer: check_base_url(answer, "the address"),
        default=record.api_url,
    )
    return None if url == record.api_url else url


def _ask_in_steps(what: str, check: Callable[[str], str], default: str | None = None) -> str:
    """Asks again until *check* likes the answer. Errors: UsageError without a terminal."""
    if not sys.stdin.isatty():
        raise UsageError(f"{what} is missing (see vidfs account add --help)")

    def convert(answer: str) -> str:
        try:
            return check(answer.strip())
        except UsageError as error:
            raise click.UsageError(str(error)) from None

    return str(click.prompt(what, default=default, value_proc=convert, err=True))


def _ask(what: str, *, hide: bool) -> str:
    """From the terminal, else a line of stdin. Errors: UsageError."""
    if sys.stdin.isatty():
        question = f"{what} (not shown)" if hide else what
        answer = str(click.prompt(question, hide_input=hide, err=True))
    else:
        answer = sys.stdin.readline()
    answer = answer.strip()
    if not answer:
        raise UsageError(f"no {what} was given (on stdin, or at a terminal)")
    return answer


def _ask_key() -> Secret:
    return check_key(_ask("API key", hide=True), "the API key")


def _check_key(session: Session, account: Account, key: Secret | None) -> Secret | None:
    """Ask the host whether it takes *key*, None: that of the account's key_command.

    A person may try again. Returns the key that it takes. Errors: HostError.
    """
    for left in reversed(range(TRIES)):
        if key is not None:
            session.redactor.add(key)
        try:
            _ask_host(session, account, key)
        except WrongKeyError as error:
            if key is None or not left or not sys.stdin.isatty():
                raise
            session.say(f"{error}: try again")
            key = _ask_key()
        else:
            break
    return key


def _save_key(
    session: Session, name: str, key: Secret, wanted: bool | None, *, in_steps: bool
) -> bool:
    """Put the key into the keyring where that is *wanted* (None: where there is one).

    False: it belongs into the configuration. Errors: ConfigError if it was wanted in so many
    words, and isn't possible.
    """
    if wanted is None:
        question = "Keep the key in the keyring (else in the configuration file)?"
        if not has_keyring() or (in_steps and not click.confirm(question, default=True, err=True)):
            return False
    elif not wanted:
        return False
    try:
        save_in_keyring(name, key)
    except ConfigError as error:
        if wanted:
            raise
        session.say(f"{error}: it goes into the configuration file")
        return False
    return True


def _ask_host(session: Session, account: Account, key: Secret | None) -> None:
    from vidfs.app.places import Place
    from vidfs.app.remote import Surroundings, run_with_account

    path = config_path(session.config_file, session.environ)
    environ = dict(session.environ)
    if key is not None:
        environ[account.key_variable] = key.reveal()
    around = Surroundings(
        config=Config(path=path, accounts={account.name: account}),
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
