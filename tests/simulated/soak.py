"""`python -m tests.simulated.soak [MINUTES] [DIALECT…]`: the model-based comparison for long.

Other examples each time. The first that fails is printed step by step, and ends it with 1.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

import vidfs.content.uploads
from tests.mount.mounting import Simhost
from tests.simulated.model import DIALECTS, MountModel

SETTINGS = settings(
    max_examples=20,
    stateful_step_count=60,
    deadline=None,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    verbosity=Verbosity.quiet,
)


class Soaked(MountModel):
    def failed(self, failure: BaseException) -> None:
        traceback.print_exception(failure)
        self.host.stop()
        os._exit(1)  # hypothesis would run it again, which differs: time is part of it


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    dialects = sys.argv[2:] or DIALECTS
    vidfs.content.uploads.OUTCOME_GRACE_S = 0.5  # the host here is quick
    end, rounds = time.monotonic() + 60 * minutes, 0
    with tempfile.TemporaryDirectory(prefix="vidfs-soak-") as directory:
        host = Simhost(Path(directory) / "host")
        try:
            while time.monotonic() < end:
                dialect = dialects[rounds % len(dialects)]
                rounds += 1
                number = random.SystemRandom().randrange(1 << 32)
                model = type("Model", (Soaked,), {"host": host, "dialect": dialect})
                seed(number)(model)
                print(f"{dialect}, seed {number}", flush=True)
                run_state_machine_as_test(model, settings=SETTINGS)
        finally:
            host.stop()
    print(f"{rounds} rounds of {SETTINGS.max_examples} examples: no difference")


if __name__ == "__main__":
    main()
