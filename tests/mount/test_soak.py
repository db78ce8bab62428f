"""A few rounds of `scripts/soak-crash`, which takes hundreds."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from soak.rounds import Soak

ROUNDS = 5


def test_what_a_plain_directory_holds_is_what_the_host_holds(tmp_path: Path) -> None:
    """Six seconds: changes on a mount whose daemon is killed, whose host drops answers."""
    soak = Soak(tmp_path / "soak", "xvs", 8, faults=[["drop-after"], ["html"]])
    with soak.running():
        try:
            for number in range(ROUNDS):
                soak.round(number)
            soak.check()
        except BaseException:
            print(soak.diagnosis())
            raise
    assert soak.score.operations >= ROUNDS
