"""`vidfs stats`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from vidfs.cli.completion import complete_account
from vidfs.cli.output import Column, Output, ask_account, find_place, json_option, to_plain
from vidfs.cli.session import Session
from vidfs.errors import AbilityError

if TYPE_CHECKING:
    from vidfs.app.remote import RemoteAccount
    from vidfs.hosts.extras import StatsDay

_ALWAYS = ("views", "downloads", "profit_total")


@click.command()
@click.option("--last", metavar="DAYS", type=click.IntRange(1), help="So many days (7).")
@click.option("--from", "from_date", metavar="DATE", help="From this day on (YYYY-MM-DD).")
@click.option("--to", "to_date", metavar="DATE", help="Up to this day.")
@json_option
@click.argument("account", shell_complete=complete_account)
@click.pass_obj
def stats(
    session: Session,
    last: int | None,
    from_date: str | None,
    to_date: str | None,
    as_json: bool,
    account: str,
) -> None:
    """Show views, downloads and profit of ACCOUNT per day.

    \b
    vidfs stats films --last 30
    """
    place = find_place(session, account)

    async def ask(remote: RemoteAccount) -> tuple[str, Sequence[StatsDay]]:
        can = remote.host.capabilities
        extras = remote.extras(can.stats, "account_stats", "tell statistics")
        dates = {"from_date": from_date, "to_date": to_date}
        wanted = {name: date for name, date in dates.items() if date}
        taken = remote.accepted("account_stats", **wanted)
        if taken != wanted:
            raise AbilityError(f"{remote.host.name} can't tell statistics between two dates")
        return remote.host.name, await extras.account_stats(last, **taken)

    host, days = ask_account(session, place, ask)
    output = Output(session)
    if as_json:
        output.json(
            {"account": place.account, "host": host, "days": [to_plain(day) for day in days]}
        )
        return
    names = _shown_values(days)
    columns = [
        Column("DAY"),
        *(Column(name.replace("_", " ").upper(), right=True) for name in names),
    ]
    output.table(
        columns, [[day.day, *(day.values.get(name, "") for name in names)] for day in days]
    )


def _shown_values(days: Sequence[StatsDay]) -> list[str]:
    """The usual three, and whatever isn't 0 on every day: hosts have a dozen of them."""
    names = dict.fromkeys(name for day in days for name in day.values)
    return [
        name
        for name in names
        if name in _ALWAYS or any(day.values.get(name, "").strip("0.") for day in days)
    ]
