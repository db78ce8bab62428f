"""`vidfs status`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import click

from vidfs.app.mounts import Served
from vidfs.cli.completion import complete_mount
from vidfs.cli.session import Session
from vidfs.cli.text import echo_json, format_bytes, format_table
from vidfs.control import Message, ask
from vidfs.errors import MountError

MOUNT_KEYS = (
    *("account", "source", "mountpoint", "pid", "pending", "parked", "uploads"),
    *("api_calls", "cache_bytes"),
)
UPLOAD_KEYS = ("path", "state", "sent_bytes", "size_bytes", "attempts", "reason")
WATCH_PERIOD_S = 1.0
LOCAL_SHOWN_MAX = 3


@click.command(short_help="Show mounts and their uploads.")
@click.option("--json", "as_json", is_flag=True, help="For programs; the keys stay.")
@click.option("--watch", is_flag=True, help="Show it anew every second until Ctrl-C.")
@click.argument(
    "directory",
    metavar="[DIR]",
    required=False,
    type=click.Path(),
    shell_complete=complete_mount,
)
@click.pass_obj
def status(session: Session, as_json: bool, watch: bool, directory: str | None) -> None:
    """Show mounts, their queue with its progress, the cache and the API calls made.

    A mount that was unmounted while uploads were pending stays here until they are done.

    \b
    vidfs status
    vidfs status --json ~/films
    """
    paths = (directory,) if directory else ()
    for targets in _repeat(session, paths) if watch else [session.find_targets(paths)]:
        mounts = [found for served, _ in targets if (found := _find_status(served))]
        if as_json:
            echo_json({"mounts": [to_json(mount) for mount in mounts]})
        else:
            if watch and sys.stdout.isatty():
                click.clear()
            click.echo("\n\n".join(to_text(mount) for mount in mounts) or "no vidfs mounts")


def _repeat(session: Session, paths: tuple[str, ...]) -> Iterator[list[tuple[Served, list[str]]]]:
    while True:
        yield session.find_targets(paths)
        time.sleep(WATCH_PERIOD_S)


def _find_status(served: Served) -> Message | None:
    with suppress(MountError):  # it ended in this moment
        return ask(served.state_dir, "status")
    return None


def to_json(mount: Message) -> dict[str, Any]:
    """The keys that programs may rely on, and no others."""
    kept = {key: mount[key] for key in MOUNT_KEYS}
    kept["uploads"] = [{key: upload.get(key) for key in UPLOAD_KEYS} for upload in mount["uploads"]]
    return kept


def to_text(mount: Message) -> str:
    """A mount for people."""
    where = f"{mount['source']} on {mount['mountpoint']}"
    if mount.get("phase") == "draining":
        where += " (unmounted, finishing uploads)"
    elif mount.get("phase") != "mounted":
        where += f" ({mount.get('phase')})"
    calls = sum(mount["api_calls"].values())
    lines = [
        f"{where}, pid {mount['pid']}",
        f"  uploads: {mount['pending']} pending, {mount['parked']} parked; "
        f"cache: {format_bytes(mount['cache_bytes'])}; API calls: {calls}",
    ]
    if here := describe_local(mount):
        lines.append(f"  {here}")
    rows = [_to_row(upload) for upload in mount["uploads"]]
    if rows:
        table = format_table(rows, ("STATE", "SENT", "SIZE", "TRIES", "PATH", "REASON"))
        lines += ["  " + line for line in table.splitlines()]
    return "\n".join(lines)


def describe_local(mount: Message) -> str:
    """Which files stay on this machine, and why; "" if none does."""
    names = mount.get("local_files") or []
    if not names:
        return ""
    shown = ", ".join(names[:LOCAL_SHOWN_MAX]) + (" …" if len(names) > LOCAL_SHOWN_MAX else "")
    return f"only on this machine, by their names (see scratch=): {len(names)}: {shown}"


def _to_row(upload: Message) -> tuple[str, ...]:
    size, sent = upload.get("size_bytes") or 0, upload.get("sent_bytes") or 0
    return (
        str(upload["state"]),
        f"{100 * sent // size} %" if size else "",
        format_bytes(size),
        str(upload.get("attempts", "")),
        str(upload["path"]),
        str(upload.get("reason") or ""),
    )
