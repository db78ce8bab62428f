"""`vidfs account add|list|remove|test`."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from vidfs.app.keys import fetch_key, find_key_source, without_keys
from vidfs.app.mounts import find_lock_holder
from vidfs.cli import account_changes
from vidfs.cli.completion import complete_account
from vidfs.cli.session import Session
from vidfs.cli.text import echo_json, format_bytes, format_table
from vidfs.config import (
    MountOptions,
)
from vidfs.errors import HostTimeoutError

if TYPE_CHECKING:
    from vidfs.hosts.api import AccountInfo, Capabilities

TEST_DEADLINE_S = 20.0


@click.group(short_help="List or test the configured accounts.")
def account() -> None:
    """Add, list, test or remove accounts.

    \b
    vidfs account add films --host vipstream
    vidfs account test films
    """


account.add_command(account_changes.add)
account.add_command(account_changes.remove)


@account.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs; the keys stay.")
@click.pass_obj
def list_accounts(session: Session, as_json: bool) -> None:
    """List all accounts: host, where the key comes from, whether it is mounted.

    \b
    vidfs account list --json
    """
    rows = []
    for name, one in sorted(session.config.accounts.items()):
        holder = find_lock_holder(session.directories.state_dir(name))
        rows.append(
            {
                "account": name,
                "host": one.host,
                "base_url": one.base_url,
                "key_from": find_key_source(one, session.environ),
                "in_use": holder is not None,
                "problem": None,
            }
        )
    for name, error in session.config.broken.items():
        rows.append({**dict.fromkeys(rows[0]), "account": name, "problem": str(error)})
    if as_json:
        echo_json({"accounts": rows})
        return
    table = [[_to_cell(value) for value in row.values()] for row in rows]
    header = ["ACCOUNT", "HOST", "ADDRESS", "KEY FROM", "IN USE", "PROBLEM"]
    if not session.config.broken:
        header, table = header[:-1], [row[:-1] for row in table]
    click.echo(format_table(table, header))


@account.command("test")
@click.option("--json", "as_json", is_flag=True, help="For programs; the keys stay.")
@click.argument("name", metavar="ACCOUNT", shell_complete=complete_account)
@click.pass_obj
def test(session: Session, as_json: bool, name: str) -> None:
    """Ask the host who ACCOUNT is, and show what host and key can do.

    \b
    vidfs account test films
    """
    import trio

    from vidfs.app.accounts import ask_abilities, naming_account, open_account
    from vidfs.app.demo import embedded_host

    chosen = session.config.get_account(name)
    state_dir = session.directories.state_dir(name)
    with ExitStack() as stack:
        if chosen.is_demo:
            environ = without_keys(session.environ)
            chosen = stack.enter_context(embedded_host(chosen, state_dir, environ, owner=False))
            assert chosen.key is not None
            key = chosen.key
        else:
            key = fetch_key(chosen, session.environ)
        session.redactor.add(key)

        async def ask() -> tuple[AccountInfo, Capabilities, float]:
            host = await open_account(chosen, key, MountOptions())
            try:
                with naming_account(chosen), trio.move_on_after(TEST_DEADLINE_S):
                    info = await host.account_info()
                    return info, await ask_abilities(host, state_dir), host.clock_offset_s
                raise HostTimeoutError(f"{host.name} didn't answer in {TEST_DEADLINE_S:.0f} s")
            finally:
                with trio.CancelScope(shield=True):
                    await host.aclose()

        info, capabilities, clock_offset_s = trio.run(ask)
    if as_json:
        about = {"account": name, "host": chosen.host, "clock_offset_s": clock_offset_s}
        echo_json({**about, **_to_json(info, capabilities)})
        return
    click.echo(f"{name} on {chosen.host}: the host accepts the key")
    clock = ("its clock", f"{clock_offset_s / 3600:+.2f} h from ours (UTC)")
    rows = [*_describe_info(info), clock, *_describe_capabilities(capabilities)]
    click.echo("\n".join(f"  {what:<24}{value}" for what, value in rows))


def _to_cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _to_json(info: AccountInfo, capabilities: Capabilities) -> dict[str, Any]:
    able = dataclasses.asdict(capabilities)
    for name, value in able.items():
        if isinstance(value, frozenset):
            able[name] = sorted(value)
    about = dataclasses.asdict(info)
    return {"info": {**about, "extra": dict(info.extra)}, "capabilities": able}


def _describe_info(info: AccountInfo) -> list[tuple[str, str]]:
    used, left = info.storage_used_bytes, info.storage_left_bytes
    described = {
        "login": info.login,
        "email": info.email,
        "premium until": info.premium_until,
        "storage used": "" if used is None else format_bytes(used),
        "storage left": "unlimited, or not said" if left is None else format_bytes(left),
    }
    told = {*described.values(), str(used), str(left)}
    more = {what.replace("_", " "): value for what, value in info.extra.items()}
    described |= {what: value for what, value in more.items() if value not in told}
    return [(what, value) for what, value in described.items() if value]


def _describe_capabilities(capabilities: Capabilities) -> list[tuple[str, str]]:
    return [
        (field.name.replace("_", " "), _describe(getattr(capabilities, field.name)))
        for field in dataclasses.fields(capabilities)
    ]


def _describe(value: object) -> str:
    if isinstance(value, frozenset):
        return " ".join(sorted(value)) or "none"
    if value is None:
        return "-"
    return _to_cell(value)
