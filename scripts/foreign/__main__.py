"""`scripts/foreign-tests`: see there."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from foreign import places
from foreign.places import Place
from foreign.suites import FAILED, PASSED, SKIPPED, SUITES, Outcome, Tools, unittests

REASONS = (
    (
        r"test_hardlink|Operation not permitted: .* -> ",
        "no host keeps hard or symbolic links",
    ),
    (
        r"TestWhich|MakedirTests\.test_mode|test_mkdir_parents|test_(open|touch)_mode"
        r"|test_permissions_after|^access\n",
        "mode bits are accepted, not kept",
    ),
    (r"Operation not permitted|^GeneratorExit", "fruithosted can't make folders"),
    (r"test_udp_reconnection", "no matter of files: the machine's network"),
)
UNEXPLAINED = "NOT EXPLAINED"


@dataclass(frozen=True)
class Score:
    suite: str
    place: Place
    outcomes: Sequence[Outcome]
    seconds: float

    def row(self) -> tuple[str, ...]:
        count = Counter(outcome.result for outcome in self.outcomes)
        counts = (str(count[result]) for result in (PASSED, FAILED, SKIPPED))
        return (self.suite, self.place.name, *counts, f"{self.seconds:.0f} s")

    def failures(self, plain: set[str]) -> dict[str, list[str]]:
        """Names by reason. *plain*: those that fail in a plain directory as well."""
        found: dict[str, list[str]] = defaultdict(list)
        for outcome in self.outcomes:
            if outcome.result == FAILED:
                reason = reason_of(outcome, plain)
                if reason == UNEXPLAINED and not self.place.is_ours:
                    reason = error_of(outcome)
                found[reason].append(outcome.name)
        return found


def reason_of(outcome: Outcome, plain: set[str]) -> str:
    if outcome.name in plain:
        return "fails in a plain directory as well"
    text = f"{outcome.name}\n{outcome.message}"
    return next(
        (why for pattern, why in REASONS if re.search(pattern, text, re.MULTILINE)), UNEXPLAINED
    )


def error_of(outcome: Outcome) -> str:
    """The failure in its own words, without the paths in it."""
    lines = re.findall(r"^(?:E +)?([\w.]+(?:Error|Exception)\b.*)", outcome.message, re.MULTILINE)
    return re.sub(r": b?['\"].*", "", lines[-1])[:80] if lines else UNEXPLAINED


def main() -> int:
    arguments = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # no mount stays behind
    tools = Tools(Path(arguments.foreign_python), Path(arguments.cpython), arguments.seconds)
    scores: list[Score] = []
    unexplained = 0
    with tempfile.TemporaryDirectory(prefix="vidfs-foreign-") as temp:
        root = Path(temp)
        with places.plain(root / "disk") as disk:
            for where in _places(arguments, root):
                with where as place:
                    for name in arguments.suites or SUITES:
                        score = _run(name, place, tools)
                        if score is None:
                            continue
                        scores.append(score)
                        unexplained += _tell(score, _fails_on_disk(score, disk, tools))
                    print(place.health(), flush=True)
    print("\n" + _table(scores, markdown=arguments.markdown))
    _compare(scores)
    if unexplained:
        print(f"\n{unexplained} failures on mounts of vidfs are not explained")
    return 1 if unexplained else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="foreign-tests",
        description="Suites that others wrote, on mounts of simulated hosts; every failure is"
        " named with its reason. Exit status 1: one on a mount of vidfs has none.",
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument(
        "--mount",
        action="append",
        metavar="PLACE",
        help="a dialect, `rclone` or a directory (xvs, fruithosted)",
    )
    parser.add_argument("--with-rclone", action="store_true", help="rclone mount beside them")
    parser.add_argument("--seconds", type=int, default=3, help="for each of stress-ng (3)")
    parser.add_argument("--markdown", action="store_true", help="the table for the README")
    parser.add_argument("--foreign-python", default=sys.executable, help=argparse.SUPPRESS)
    parser.add_argument("--cpython", default="/usr/bin/python3", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for name in arguments.suites:
        if name not in SUITES:
            parser.error(f"no suite {name}: there are {', '.join(SUITES)}")
    return arguments


def _places(arguments: argparse.Namespace, root: Path) -> list[AbstractContextManager[Place]]:
    names = arguments.mount or ["xvs", "fruithosted"]
    if arguments.with_rclone:
        names = [*names, "rclone"]
    return [_place(name, root) for name in dict.fromkeys(names)]


def _place(name: str, root: Path) -> AbstractContextManager[Place]:
    if "/" in name:
        return places.directory(Path(name))
    return places.rclone(root / name) if name == "rclone" else places.vidfs(root / name, name)


def _run(name: str, place: Place, tools: Tools) -> Score | None:
    started = time.monotonic()
    outcomes = list(SUITES[name](place, tools))
    if not outcomes:
        print(f"{name} on {place.name}: not run, this host can't make folders", flush=True)
        return None
    return Score(name, place, outcomes, time.monotonic() - started)


def _fails_on_disk(score: Score, disk: Place, tools: Tools) -> set[str]:
    """Which of CPython's tests that failed do so on this machine's disk, too."""
    failed = {o.name for o in score.outcomes if o.result == FAILED}
    if score.suite != "cpython" or not failed:
        return set()
    names = sorted({name.split(" ")[0] for name in failed})
    return {o.name for o in unittests(disk, tools, names) if o.result == FAILED}


def _tell(score: Score, plain: set[str]) -> int:
    """Print a score. Returns how many failures are ours and have no reason."""
    print("  ".join(score.row()), flush=True)
    failures = score.failures(plain)
    for reason, names in failures.items():
        print(f"  {len(names)} × {reason}: {', '.join(names)}")
    if not score.place.is_ours:
        return 0
    for outcome in score.outcomes:
        if outcome.name in failures.get(UNEXPLAINED, ()) and outcome.result == FAILED:
            print(f"--- {outcome.name}\n{outcome.message[-3000:]}")
    return len(failures.get(UNEXPLAINED, ()))


def _compare(scores: Sequence[Score]) -> None:
    """What passes somewhere else and not on a mount of vidfs, by reason."""
    for other in (score for score in scores if not score.place.is_ours):
        passed = {o.name for o in other.outcomes if o.result == PASSED}
        for ours in scores:
            if not ours.place.is_ours or ours.suite != other.suite:
                continue
            print(f"\n{ours.suite}, passed on {other.place.name} alone, not on {ours.place.name}:")
            behind = {
                reason: [name for name in names if name in passed]
                for reason, names in ours.failures(set()).items()
            }
            for reason, names in behind.items():
                if names:
                    print(f"  {len(names)} × {reason}: {', '.join(names)}")
            if not any(behind.values()):
                print("  nothing")


def _table(scores: Sequence[Score], *, markdown: bool) -> str:
    heading = ("suite", "mount", PASSED, FAILED, SKIPPED, "time")
    rows = [heading, *(score.row() for score in scores)]
    if markdown:
        rows.insert(1, ("---",) * len(heading))
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


if __name__ == "__main__":
    sys.exit(main())
