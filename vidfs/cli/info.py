"""`vidfs info`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vidfs.cli.completion import complete_account
from vidfs.cli.output import Output, ask_account, find_place, format_size, json_option, to_plain
from vidfs.cli.session import Session

if TYPE_CHECKING:
    from vidfs.app.remote import RemoteAccount
    from vidfs.hosts.api import AccountInfo


@click.command()
@json_option
@click.argument("account", shell_complete=complete_account)
@click.pass_obj
def info(session: Session, as_json: bool, account: str) -> None:
    """Show what the host says of ACCOUNT: owner, quota, balance.

    \b
    vidfs info films
    """
    place = find_place(session, account)

    async def ask(remote: RemoteAccount) -> tuple[str, AccountInfo]:
        return remote.host.name, await remote.host.account_info()

    host, found = ask_account(session, place, ask)
    output = Output(session)
    if as_json:
        output.json({"account": place.account, "host": host, "info": to_plain(found)})
        return
    output.line(f"{place.account} on {host}")
    output.pairs(describe_account(found))


def describe_account(info: AccountInfo) -> list[tuple[str, str]]:
    """Name and value of all that is known, quota first."""
    said_left = any("storage_left" in name for name in info.extra)
    left = format_size(info.storage_left_bytes) or ("no limit" if said_left else "not said")
    shown = {
        "login": info.login,
        "email": info.email,
        "premium until": info.premium_until,
        "storage used": format_size(info.storage_used_bytes) or "not said",
        "storage left": left,
    }
    covered = {"login", "extid", "apiid", "email", "premium_expire", "premim_expire"}
    covered |= {"storage_used", "storage_left"}
    rest = {n.replace("_", " "): v for n, v in info.extra.items() if n not in covered}
    return [*shown.items(), *rest.items()]
