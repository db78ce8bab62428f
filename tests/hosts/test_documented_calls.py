"""Each call of the documents, made by our client: every parameter arrives at the host."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.conftest import Door, clean_door
from tests.hosts.documented_calls import CALLS, Stage
from tests.hosts.simhost_process import SimHost
from vidfs.hosts import HOSTS
from vidfs.hosts.api import VideoHost
from vidfs.types import FileCode, FolderId

CASES = [(dialect, call) for dialect, calls in CALLS.items() for call in calls]


@pytest.fixture
def door(sim_process: SimHost, dialect: str) -> Iterator[Door]:
    yield from clean_door(sim_process, dialect)


@pytest.mark.parametrize(("dialect", "call"), CASES)
def test_every_parameter_arrives(door: Door, dialect: str, call: str, film: Path) -> None:
    use = CALLS[dialect][call]
    stage = Stage(
        file=FileCode(door.add("First film.mp4", b"0123456789")),
        other=FileCode(door.add("Second film.mp4", b"9876543210")),
        folder=FolderId(door.add_folder("Films")),
        film=film,
    )

    async def body(host: VideoHost) -> None:
        assert hasattr(host, use.method)
        for act in use.acts:
            await act(host, stage)

    host = door.run(body)
    assert host.calls[call] >= 1
    seen: dict[str, set[str]] = defaultdict(set)
    for made in door.sim.sim("GET", f"{dialect}/queries"):
        if made["call"] == call:
            for name, values in made["params"].items():
                seen[name].update(values)
    assert set(use.params) <= seen.keys()
    assert all(value for name in use.params for value in seen[name]), "an empty parameter"
    known = {*use.params, "key", "login", "***"}
    if call == "upload":
        known.add("file")
    assert seen.keys() <= known, "a parameter that no document has"


def test_every_dialect_is_here() -> None:
    assert CALLS.keys() == HOSTS.keys()
