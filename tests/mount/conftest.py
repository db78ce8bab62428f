"""Fixtures for real mounts of simulated accounts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.mounting import Mounted, Program, Simhost, why_no_mounts


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_no_mounts()
    if reason:
        here = Path(__file__).parent
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def simhost(tmp_path: Path) -> Iterator[Simhost]:
    """A simulated host of this test's own; its accounts are named like the dialects."""
    host = Simhost(tmp_path / "host")
    yield host
    host.stop()


@pytest.fixture
def vidfs(simhost: Simhost, tmp_path: Path) -> Iterator[Program]:
    """The program, configured for `simhost`. No key of it may show anywhere."""
    program = Program(tmp_path, simhost.config_file)
    yield program
    said = "".join(program.outputs) + program.logs()
    for secret in simhost.secrets():
        assert secret not in said, "a key was shown"


@pytest.fixture
def mounted(vidfs: Program) -> Mounted:
    """`with mounted("xvs", upload="close") as mount:`"""
    return vidfs.mounted
