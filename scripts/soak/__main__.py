"""`scripts/soak-crash`: see there."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

from soak.rounds import Soak
from soak.shadow import DivergenceError

DIALECTS = ("vipstream", "xvs", "fruithosted", "doodstream", "pstream", "streamtape")


def main() -> int:
    arguments = _parse()
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    dialects = arguments.host or ["vipstream", "xvs"]
    print(
        f"{arguments.rounds} rounds on {', '.join(dialects)}, seed {seed}:"
        f" about {arguments.rounds * 3 // 60 + 1} minutes",
        flush=True,
    )
    failed: list[str] = []
    threads = [
        threading.Thread(target=_run, args=(dialect, seed, arguments, failed))
        for dialect in dialects
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="soak-crash",
        description="Kill the daemon at random, again and again, while files are changed on its"
        " mount and the host drops connections; what is left must be what a plain directory has.",
    )
    parser.add_argument("rounds", nargs="?", type=int, default=200, metavar="N")
    parser.add_argument("--host", action="append", choices=DIALECTS, help="may be given again")
    parser.add_argument("--seed", type=int, help="of an earlier run: the same operations")
    parser.add_argument("--check-every", type=int, default=8, metavar="ROUNDS", help="(8)")
    parser.add_argument("--keep", action="store_true", help="leave the working directory")
    return parser.parse_args()


def _run(dialect: str, seed: int, arguments: argparse.Namespace, failed: list[str]) -> None:
    root = Path(tempfile.mkdtemp(prefix=f"vidfs-soak-{dialect}-"))
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{dialect}: {text}", flush=True)

    soak = Soak(root, dialect, seed)
    try:
        with soak.running():
            try:
                for number in range(1, arguments.rounds + 1):
                    soak.round(number)
                    if number % arguments.check_every == 0 or number == arguments.rounds:
                        soak.check()
                        say(f"round {number}: the host is right ({_per_round(started, number)})")
            except Exception as error:
                failed.append(dialect)
                detail = (
                    str(error) if isinstance(error, DivergenceError) else traceback.format_exc()
                )
                say(f"round {number}, seed {seed}: FAILED: {detail}\n{soak.diagnosis()}")
                return
        say(f"{arguments.rounds} rounds green, seed {seed}: {soak.score}")
    except Exception:
        failed.append(dialect)
        say(traceback.format_exc())
    finally:
        if dialect not in failed and not arguments.keep:
            shutil.rmtree(root, ignore_errors=True)


def _per_round(started: float, rounds: int) -> str:
    return f"{(time.monotonic() - started) / rounds:.1f} s a round"


if __name__ == "__main__":
    sys.exit(main())
