"""Volumes on a simulated host, without a kernel: one host process for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mount.mounting import Simhost
from tests.simulated.rig import DEFAULTS, Rig


@pytest.fixture(scope="session")
def host_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simhost]:
    host = Simhost(tmp_path_factory.mktemp("simulated") / "host")
    yield host
    host.stop()


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost answer is looked for only so long: the host here is quick."""
    monkeypatch.setattr("vidfs.content.uploads.OUTCOME_GRACE_S", 0.5)


@pytest.fixture(params=["vipstream", "xvs", "fruithosted"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rig(
    dialect: str, host_process: Simhost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """An empty account on a host without faults, and directories to open volumes on."""
    host_process.clear_faults()
    host_process.set(**DEFAULTS)
    host_process.request("DELETE", f"{dialect}/tree")
    host_process.reset_calls(dialect)
    yield Rig(host_process, dialect, tmp_path_factory.mktemp("volume"))
    host_process.clear_faults()
