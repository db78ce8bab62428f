"""One simulated host for all tests here, empty and fault-free at the start of each.

At the end of a run the conformance suite's checks are counted, dialect by dialect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio

from tests.hosts.simhost_process import SimHost, running
from vidfs.hosts import HOSTS, open_host, transport
from vidfs.hosts.api import VideoHost
from vidfs.types import Secret

TEST_DEADLINE_S = 60.0

DEFAULTS: dict[str, object] = {
    "latency_ms": 0.0,
    "rate_limit": 0.0,
    "rate_limit_http": False,
    "retry_after_s": 1,
    "http_status": False,
    "string_status": False,
    "clock_offset_s": 10_800,
    "ticket_wait_s": 0.0,
    "captcha": False,
    "html_entities": False,
    "root_mix": False,
    "files_as_list": False,
    "info_sizes": False,
    "normalise_titles": False,
    "info_batch_max": 50,
    "page_max": 0,
    "without": "",
}

FILM = bytes((i * i >> 8 ^ i * 7 ^ i >> 16) & 255 for i in range(300_000))

_outcomes: dict[str, Counter[str]] = {}
"""Checks of the conformance suite by dialect: passed, failed, skipped."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    dialect = dict(report.user_properties).get("dialect")
    is_over = report.when == "call" or report.outcome != "passed"
    if isinstance(dialect, str) and is_over and "test_conformance" in report.nodeid:
        _outcomes.setdefault(dialect, Counter())[report.outcome] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _outcomes:
        return
    terminalreporter.section("conformance suite")
    for dialect, counted in sorted(_outcomes.items()):
        run = counted["passed"] + counted["failed"]
        terminalreporter.write_line(
            f"{dialect:<12} {run:>4} checks run, {counted['failed']} failed,"
            f" {counted['skipped']} skipped (not able)"
        )


@pytest.fixture(scope="session")
def sim_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimHost]:
    with running(tmp_path_factory.mktemp("simhost")) as host:
        yield host


class Door:
    """A dialect of the simulated host: our client on one side, its back on the other."""

    def __init__(self, sim: SimHost, dialect: str) -> None:
        self.sim = sim
        self.dialect = dialect
        self.account = sim.accounts[dialect]

    def open(self, **options: object) -> VideoHost:
        given: dict[str, object] = {
            "key": Secret(self.account["key"]),
            "login": Secret(self.account["login"]),
            "base_url": self.account["base_url"],
        }
        return open_host(self.dialect, **(given | options))  # type: ignore[arg-type]

    def run(self, body: Callable[[VideoHost], Awaitable[None]], **options: object) -> VideoHost:
        """*body* with a client of ours, within a deadline."""

        async def main() -> VideoHost:
            host = self.open(**options)
            try:
                with trio.fail_after(TEST_DEADLINE_S):
                    await body(host)
            finally:
                await host.aclose()
            return host

        return trio.run(main)

    def add(self, title: str, content: bytes = b"x", folder: str = "") -> str:
        return self.sim.add(self.dialect, title, content, folder)

    def add_folder(self, path: str) -> str:
        answer = self.sim.sim("POST", f"{self.dialect}/folders", None, path=path)
        return str(answer["folder_id"])

    def fault(self, call: str, action: str) -> None:
        self.sim.fault(f"{self.dialect}:{call}:{action}")

    def calls(self) -> dict[str, int]:
        counted: dict[str, int] = self.sim.sim("GET", f"{self.dialect}/calls")
        return counted


@pytest.fixture(params=sorted(HOSTS))
def door(request: pytest.FixtureRequest, sim_process: SimHost) -> Iterator[Door]:
    """Every dialect in turn."""
    yield from _counted_door(request, sim_process, request.param)


@pytest.fixture
def xvs_door(request: pytest.FixtureRequest, sim_process: SimHost) -> Iterator[Door]:
    yield from _counted_door(request, sim_process, "xvs")


@pytest.fixture
def doodstream_door(request: pytest.FixtureRequest, sim_process: SimHost) -> Iterator[Door]:
    yield from _counted_door(request, sim_process, "doodstream")


@pytest.fixture
def fruithosted_door(request: pytest.FixtureRequest, sim_process: SimHost) -> Iterator[Door]:
    yield from _counted_door(request, sim_process, "fruithosted")


def _counted_door(request: pytest.FixtureRequest, sim: SimHost, dialect: str) -> Iterator[Door]:
    request.node.user_properties.append(("dialect", dialect))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport, "BACKOFF_FIRST_S", 0.02)  # pauses are test_transport's affair
        yield from clean_door(sim, dialect)


def clean_door(sim: SimHost, dialect: str) -> Iterator[Door]:
    sim.set(**DEFAULTS)
    sim.sim("DELETE", "fault")
    sim.sim("DELETE", f"{dialect}/tree")
    sim.sim("DELETE", f"{dialect}/calls")
    sim.sim("DELETE", f"{dialect}/queries")
    yield Door(sim, dialect)
    sim.sim("DELETE", "fault")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A file of 300 kB that no two places of which look the same."""
    path = tmp_path / "film.mp4"
    path.write_bytes(FILM)
    return path
