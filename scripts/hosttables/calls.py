"""The calls of the hosts' documents, and the client's method for each."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.hosts.documented_calls import CALLS
from vidfs.hosts import HOSTS
from vidfs.hosts.openload import OpenloadClient
from vidfs.hosts.xvs import XvsClient

EVERYWHERE = frozenset({"key", "login"})

ADDRESS = re.compile(r"https://[\w.]+(?:/api|/v1)?/([a-z]+/[a-z]+)(?:\?(\S*))?$", re.MULTILINE)
PARAMETER = re.compile(r"(?:^|&)([\w\[\]]+)=")
ROW = re.compile(r"^([a-z]\w*) \| \S{2}", re.MULTILINE)
"""The first cell of a row that is one line; rows are broken within other cells, too."""

CONTRADICTIONS = {
    ("pstream", "file/converts", "id"): "the page's table calls it `file`",
    ("pstream", "remotedl/add", "headers"): "the page's address calls it `headers[]`",
}
"""What one page names twice: sent under the other name."""


def find_missing_methods() -> list[str]:
    """Calls whose method isn't there."""
    clients = {"xvs": XvsClient, "openload": OpenloadClient}
    return [
        f"{dialect}: {call}: no method {use.method}"
        for dialect, calls in CALLS.items()
        for call, use in calls.items()
        if not hasattr(clients[HOSTS[dialect].family], use.method)
    ]


def read_page(text: str) -> Mapping[str, set[str]]:
    """Call → parameters, from the addresses of a page and the tables below them."""
    found: dict[str, set[str]] = {}
    starts = list(ADDRESS.finditer(text))
    for number, start in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        params = found.setdefault(start[1], set())
        params.update(PARAMETER.findall(start[2] or ""))
        params.update(_table(text[start.end() : end]))
    upload = re.search(r"^Upload File to Server\n(.*?)^Minimal", text, re.MULTILINE | re.DOTALL)
    if upload:
        found["upload"] = _table(upload[1]) - EVERYWHERE
    return {call: params - EVERYWHERE for call, params in found.items()}


def _table(text: str) -> set[str]:
    """The first cells of the table that follows an address, up to the sample of its answer."""
    table = re.split(r"^(?:RESPONSE|200 \(OK\)|\{)", text, maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.split(r"^.*Required \|$", table, maxsplit=1, flags=re.MULTILINE)
    if len(rows) < 2:
        return set()
    lines = rows[1].strip().splitlines()
    if lines and lines[0] == "---|---|---|---|":
        return {match[1] for match in ROW.finditer("\n".join(lines[1:]))}
    return {line.removesuffix(" |") for line in _cells(lines)}


def _cells(lines: list[str]) -> Iterator[str]:
    """The first of each five cells, one a line; the last may be an empty one."""
    for start in range(0, len(lines) - 4, 5):
        if not all(line.endswith("|") for line in lines[start : start + 5]):
            return
        yield lines[start]


def find_unknown(dialect: str, page: Mapping[str, set[str]]) -> list[str]:
    """What *page* has and our table hasn't."""
    missing = []
    for call, params in page.items():
        use = CALLS[dialect].get(call)
        if use is None:
            missing.append(f"{dialect}: {call}: in the document only")
            continue
        for name in sorted(params - set(use.params)):
            if (dialect, call, name) not in CONTRADICTIONS:
                missing.append(f"{dialect}: {call}: parameter {name} in the document only")
    return missing


def main(arguments: list[str]) -> int:
    missing = find_missing_methods()
    for dialect, calls in CALLS.items():
        for call, use in calls.items():
            print(f"{dialect:<12} {call:<22} {use.method + '()':<26} {' '.join(use.params)}")
    for argument in arguments:
        dialect, _, path = argument.partition("=")
        if dialect not in CALLS or not path:
            print(f"usage: scripts/host-calls [{'|'.join(CALLS)}=FILE]…", file=sys.stderr)
            return 2
        page = read_page(Path(path).read_text())
        missing += find_unknown(dialect, page)
        print(f"{dialect}: {len(page)} calls in {path}", file=sys.stderr)
    counted = sum(len(calls) for calls in CALLS.values())
    print(f"{counted} calls of {len(CALLS)} hosts, {len(missing)} missing", file=sys.stderr)
    for line in missing:
        print(line, file=sys.stderr)
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
