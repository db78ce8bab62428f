"""Numbers and tables for people."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from vidfs.tree.names import name_of


def format_bytes(count: int) -> str:
    """ "1.2 GiB"; exact below 1 KiB."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def format_table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """Left-aligned columns, two blanks apart, whole values even where lines get long."""
    table = [header, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def format_duration(seconds: float) -> str:
    """ "42 s", "3 min", "1 h 05", "2 d"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02}" if hours < 48 else f"{hours // 24} d"


def shorten(text: str, width: int) -> str:
    """*text* in so many columns of a terminal, its middle left out where it is longer."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    keep = max(width - 1, 0)
    head = tail = ""
    for left, right in zip(text, reversed(text), strict=True):
        if cell_len(tail + right + head) > keep:
            break
        tail = right + tail
        if cell_len(tail + head + left) > keep:
            break
        head += left
    return f"{head}…{tail}" if width > 0 else ""


def echo_json(value: object) -> None:
    # A path that was typed may be no UTF-8; JSON has to be.
    text = json.dumps(value, ensure_ascii=False, indent=2)
    click.echo(name_of(text.encode("utf-8", "surrogateescape")))
