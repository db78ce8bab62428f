"""The command line of `scripts/bench`."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from .measure import run
from .rows import QUICK, ROWS, Bench, Sizes
from .table import Line, markdown_table, plain_table

HELP = """rows:
  1, 2  find over many folders with 50 ms a call: cold, warm, after a remount
  3     one folder of very many files: ls -l, find -size
  4, 5  sequential read of a big file: cold, and again from the cache
  6     open and 64 KiB at a random place with 50 ms of latency; 4 to 6 once more with fio
  7     cp of a big file into the mount, and its upload
  8     rsync of many small files with 50 ms a call
  9     a million files: time to mount, memory

The exit status is 0 when everything could be measured, whether or not a target was met."""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure vidfs beside rclone mount.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = sorted(number for numbers in ROWS for number in numbers)
    parser.add_argument("rows", nargs="*", type=int, metavar="ROW", help="all if none is given")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer turns")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    arguments = parser.parse_args()
    for row in arguments.rows:
        if row not in known:
            parser.error(f"no row {row}: there are {', '.join(map(str, known))}")
    arguments.rows = set(arguments.rows or known)
    return arguments


def say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


def main() -> int:
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is unwound
    # /var/tmp: big files, on a disk also where /tmp is memory
    work = Path(tempfile.mkdtemp(prefix="vidfs-bench.", dir="/var/tmp"))
    lines: list[Line] = []
    failed = False
    try:
        bench = Bench(work, QUICK if arguments.quick else Sizes(), say)
        for numbers, row in ROWS.items():
            if not arguments.rows.isdisjoint(numbers):
                try:
                    lines += row(bench)
                except (RuntimeError, OSError) as error:
                    say(f"row {numbers[0]} could not be measured: {error}")
                    failed = True
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(work, ignore_errors=True)
    version = run("rclone", "version").splitlines()[0]
    lines = sorted(
        (line for line in lines if line.row in arguments.rows), key=lambda line: line.row
    )
    print(f"vidfs beside {version}" + (", quick" if arguments.quick else ""))
    print()
    print(markdown_table(lines) if arguments.markdown else plain_table(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
