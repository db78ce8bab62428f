"""Hosts and what they can do, as a table of the README, from their records alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from vidfs.hosts import HOSTS, HostRecord
from vidfs.hosts.api import Capabilities
from vidfs.hosts.xvs_records import XvsDialect

README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- made by scripts/host-table from the hosts' records -->"
END = "<!-- end of the table -->"
YES, NO, OPTIONAL = "yes", "–", " ¹"

Cell = Callable[[Capabilities], str]


def able(name: str) -> Cell:
    return lambda can: YES if getattr(can, name) else NO


def _sizes(can: Capabilities) -> str:
    told = [
        ("listing", can.listing_sizes),
        ("file/info", can.info_sizes and not can.listing_sizes and not can.read_content),
        ("link", can.read_content and not can.listing_sizes),
    ]
    return next((where for where, is_there in told if is_there), "uploads")


def _moves(can: Capabilities) -> str:
    return YES if can.move_file else "copies"


def _moves_folders(can: Capabilities) -> str:
    if can.move_folder:
        return YES
    return "file by file" if can.move_file and can.create_folder else "copies"


def _deletes(name: str) -> Cell:
    return lambda can: YES if getattr(can, name) else "trash"


def _urls(can: Capabilities) -> str:
    if not can.remote_upload:
        return NO
    return "yes, progress" if can.remote_upload_status else YES


ROWS: tuple[tuple[str, Cell, tuple[str, ...]], ...] = (
    ("reading", able("read_content"), ("read_content",)),
    ("files it takes", lambda can: "any" if can.stores_any_file else "video", ()),
    ("sizes from", _sizes, ()),
    ("making folders", able("create_folder"), ()),
    ("names of folders", able("list_folders"), ("list_folders",)),
    ("renaming files, folders", able("rename_folder"), ()),
    ("moving files", _moves, ("move_file",)),
    ("moving folders", _moves_folders, ("move_file",)),
    ("deleting files", _deletes("delete_file"), ("delete_file",)),
    ("deleting folders", _deletes("delete_folder"), ("delete_folder",)),
    ("hash sent along", lambda can: can.upload_hash or NO, ()),
    ("new files in one call", able("list_new_files"), ()),
    ("quota", able("quota"), ()),
    ("editing flags, tags …", able("edit_fields"), ()),
    ("`clone`", able("clone"), ()),
    ("`remote`", _urls, ("remote_upload_status",)),
    ("`search`", able("search"), ()),
    ("`stats`", able("stats"), ()),
    ("`encodings`", able("encodings"), ()),
    ("`convert`", able("convert"), ()),
    ("`deleted`", able("deleted_list"), ()),
    ("`dmca`", able("dmca_list"), ()),
    ("`thumbnail`", able("thumbnails"), ()),
)
"""Heading, what a cell says, and the abilities that a missing module would take away."""


def _optional(record: HostRecord) -> set[str]:
    """Abilities that depend on the installation."""
    dialect = record.dialect
    if not isinstance(dialect, XvsDialect):
        return set()
    return {name for lost in dialect.optional_calls.values() for name in lost}


def render() -> str:
    hosts = list(HOSTS.values())
    lines = ["| | " + " | ".join(f"`{host.name}`" for host in hosts) + " |"]
    lines.append("|---|" + "---|" * len(hosts))
    for heading, cell, names in ROWS:
        cells = [
            cell(host.capabilities) + (OPTIONAL if _optional(host) & set(names) else "")
            for host in hosts
        ]
        lines.append(f"| {heading} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def replaced(readme: str) -> str:
    """*readme* with the table between its marks. Errors: ValueError if a mark is missing."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks {BEGIN if not begin else END}")
    return f"{before}{BEGIN}\n\n{render()}\n\n{END}{after}"


def main(arguments: list[str]) -> int:
    if arguments in (["--write"], ["--check"]):
        readme = README.read_text()
        made = replaced(readme)
        if arguments == ["--check"]:
            if made != readme:
                print("README.md has another table: scripts/host-table --write", file=sys.stderr)
            return int(made != readme)
        README.write_text(made)
        return 0
    if arguments:
        print("usage: scripts/host-table [--write|--check]", file=sys.stderr)
        return 2
    print(render())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
