"""`vidfs status`."""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from vidfs.app.mount_status import SILENT, find_statuses, status_of_silent
from vidfs.app.mounts import find_daemons
from vidfs.cli.completion import complete_mount
from vidfs.cli.session import Session, is_terminal
from vidfs.cli.text import echo_json, format_bytes, format_duration, format_table, shorten
from vidfs.control import Message
from vidfs.fuse.mountinfo import load_kernel_mounts

MOUNT_KEYS = (
    *("account", "source", "mountpoint", "pid", "pending", "parked", "uploads"),
    *("api_calls", "cache_bytes"),
)
UPLOAD_KEYS = ("path", "state", "sent_bytes", "size_bytes", "attempts", "reason")
WATCH_PERIOD_S = 1.0
LOCAL_SHOWN_MAX = 3
_COLUMNS = ("STATE", "SENT", "SIZE", "SPEED", "LEFT", "TRIES", "PATH", "REASON")
_DISPENSABLE = ("TRIES", "SIZE", "SPEED", "LEFT")  # in this order, where there is no room
_PATH_COLUMNS = 24  # that a path wants at least
_ORDER = {state: rank for rank, state in enumerate(("sending", "confirming", "parked", "queued"))}


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
    if watch and not as_json and is_terminal():
        _watch_full_screen(session, paths)
    while True:
        mounts = _find_mounts(session, paths)
        if as_json:
            echo_json({"mounts": [to_json(mount) for mount in mounts]})
        else:
            width = shutil.get_terminal_size().columns if is_terminal() else None
            text = "\n\n".join(to_text(mount, width) for mount in mounts)
            click.echo(text or "no vidfs mounts")
        if not watch:
            return
        time.sleep(WATCH_PERIOD_S)


def _watch_full_screen(session: Session, paths: tuple[str, ...]) -> NoReturn:
    """Until Ctrl-C, on a screen of its own: what was there before comes back."""
    from rich.live import Live
    from rich.text import Text

    with Live(screen=True, auto_refresh=False) as live:
        while True:
            size = live.console.size
            mounts = _find_mounts(session, paths)
            text = to_screen(mounts, size.width, size.height)
            shown = Text(text or "no vidfs mounts", no_wrap=True, overflow="crop")
            live.update(shown, refresh=True)
            time.sleep(WATCH_PERIOD_S)


def to_screen(mounts: Sequence[Message], width: int, height: int) -> str:
    """All mounts, those with uploads or readers first; of these as many as there is room for."""
    busy = [mount for mount in mounts if mount["uploads"] or mount.get("reads")]
    idle = [mount for mount in mounts if mount not in busy]
    brief = [to_text(mount, width, 0) for mount in (*busy, *idle)]
    used = sum(text.count("\n") + 2 for text in brief)
    room = max((height - used) // max(len(busy), 1) - 2, 1)
    return "\n\n".join([*(to_text(mount, width, room) for mount in busy), *brief[len(busy) :]])


def _find_mounts(session: Session, paths: tuple[str, ...]) -> list[Message]:
    if paths:
        return find_statuses([served for served, _ in session.find_targets(paths)])
    served, silent = find_daemons(session.directories, load_kernel_mounts())
    return find_statuses(served) + [status_of_silent(mount) for mount in silent]


def to_json(mount: Message) -> dict[str, Any]:
    """The keys that programs may rely on, and no others."""
    kept = {key: mount[key] for key in MOUNT_KEYS}
    kept["uploads"] = [{key: upload.get(key) for key in UPLOAD_KEYS} for upload in mount["uploads"]]
    return kept


def to_text(mount: Message, width: int | None = None, rows_max: int | None = None) -> str:
    """A mount for people. *width*: columns of the terminal that it has to fit, *rows_max*: how
    many uploads and reads are shown; None: as many as there are, whole."""
    where = f"{mount['source']} on {mount['mountpoint']}"
    if mount.get("phase") == "draining":
        where += " (unmounted, finishing uploads)"
    elif mount.get("phase") != "mounted":
        where += f" ({mount.get('phase')})"
    if mount["pid"] is not None:
        where += f", pid {mount['pid']}"
    lines = [where]
    if mount["pending"] is not None:
        lines.append(f"  uploads: {describe_uploads(mount)}")
    if mount.get("phase") != SILENT:
        lines[-1] += (
            f"; cache: {format_bytes(mount['cache_bytes'])}; API calls: {describe_calls(mount)}"
        )
    lines += [f"  {line}" for line in (mount.get("note"), describe_local(mount)) if line]
    uploads = sorted(mount["uploads"], key=lambda upload: _ORDER.get(upload["state"], 9))
    reads = mount.get("reads") or []
    if width is not None:
        lines = [part for line in lines for part in _wrap(line, width)]
    shown = len(uploads) if rows_max is None else rows_max
    if uploads:
        lines += _to_table(uploads[:shown], width) if shown else []
        lines += _count_rest(len(uploads) - shown)
        shown = max(shown - len(uploads), 0)
    if rows_max is None:
        shown = len(reads)
    if reads and shown:
        lines += [f"  {_describe_read(read, width)}" for read in reads[:shown]]
        lines += _count_rest(len(reads) - shown)
    return "\n".join(lines)


def describe_uploads(mount: Message) -> str:
    text = f"{mount['pending']} pending, {mount['parked']} parked"
    bytes_s = sum(upload.get("bytes_s") or 0 for upload in mount["uploads"])
    left = sum(
        (upload.get("size_bytes") or 0) - (upload.get("sent_bytes") or 0)
        for upload in mount["uploads"]
        if upload["state"] != "parked"
    )
    if bytes_s:
        text += f", {format_bytes(bytes_s)}/s, {format_duration(left / bytes_s)} left"
    return text


def describe_calls(mount: Message) -> str:
    """How many, how fast, and what the host allows."""
    text = str(sum(mount["api_calls"].values()))
    pace = mount.get("pace") or {}
    if pace.get("calls_last_minute"):
        text += f", {pace['calls_last_minute']} in the last minute"
    if pace.get("limit_per_s"):
        text += f", at most {pace['limit_per_s']:.1f}/s"
    if pace.get("pause_s"):
        text += f", the host wants none for {format_duration(pace['pause_s'])}"
    return text


def describe_local(mount: Message) -> str:
    """Which files stay on this machine, and why; "" if none does."""
    names = mount.get("local_files") or []
    if not names:
        return ""
    shown = ", ".join(names[:LOCAL_SHOWN_MAX]) + (" …" if len(names) > LOCAL_SHOWN_MAX else "")
    return f"only on this machine, by their names (see scratch=): {len(names)}: {shown}"


def _describe_read(read: Message, width: int | None) -> str:
    held, size = read["held_bytes"], read["size_bytes"]
    text = f"reading  {100 * held // size if size else 100} % of {format_bytes(size)} here"
    if read.get("streams"):
        text += f", reading ahead ({read['streams']})" if read["streams"] > 1 else ", reading ahead"
    path = str(read["path"])
    if width is None:
        return f"{text}  {path}"
    return shorten(f"{text}  {shorten(path, max(width - len(text) - 4, 8))}", width - 2)


def _count_rest(count: int) -> list[str]:
    return [f"  … and {count} more"] if count > 0 else []


def _wrap(line: str, width: int) -> list[str]:
    """*line* in as many as it needs; what can't be broken is shortened."""
    parts = textwrap.wrap(line, width, subsequent_indent="    ", break_long_words=False)
    return [shorten(part, width) for part in parts]


def _to_table(uploads: Sequence[Message], width: int | None) -> list[str]:
    """A row for each; on a narrow terminal fewer columns, and the reasons below the rows."""
    names = list(_COLUMNS)
    rows = [_to_cells(upload) for upload in uploads]
    if width is None:
        table = format_table([[row[name] for name in names] for row in rows], names)
        return ["  " + line for line in table.splitlines()]
    names.remove("REASON")
    for name in (*_DISPENSABLE, ""):
        fixed = [other for other in names if other != "PATH"]
        used = sum(max(len(other), *(len(row[other]) for row in rows)) + 2 for other in fixed)
        if width - used - 2 >= _PATH_COLUMNS or not name:
            break
        names.remove(name)
    for row in rows:
        row["PATH"] = shorten(row["PATH"], max(width - used - 2, 1))
    lines = format_table([[row[name] for name in names] for row in rows], names).splitlines()
    shown = [lines[0]]
    for row, line in zip(rows, lines[1:], strict=True):
        shown.append(line)
        if row["REASON"]:
            shown.append("    " + shorten(row["REASON"], width - 6))
    return ["  " + line for line in shown]


def _to_cells(upload: Message) -> dict[str, str]:
    size, sent = upload.get("size_bytes") or 0, upload.get("sent_bytes") or 0
    bytes_s = upload.get("bytes_s") or 0
    return {
        "STATE": str(upload["state"]),
        "SENT": f"{100 * sent // size} %" if size else "",
        "SIZE": format_bytes(size),
        "SPEED": f"{format_bytes(bytes_s)}/s" if bytes_s else "",
        "LEFT": format_duration((size - sent) / bytes_s) if bytes_s else "",
        "TRIES": str(upload.get("attempts", "")),
        "PATH": str(upload["path"]),
        "REASON": str(upload.get("reason") or ""),
    }
