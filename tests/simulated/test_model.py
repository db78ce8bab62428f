"""The model-based comparison, briefly; `scripts/soak-tree` goes on for as long as wanted."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.mount.mounting import Simhost
from tests.simulated.model import DIALECTS, MountModel


@pytest.mark.parametrize("dialect", DIALECTS, indirect=True)
def test_a_mount_is_what_a_plain_model_says(dialect: str, host_process: Simhost) -> None:
    class Model(MountModel):
        host = host_process

    Model.dialect = dialect
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
