"""A mount's life, from lock to last upload, over a volume and a kernel that are stand-ins.

`serve_mount` runs in a daemon process of its own; the tests talk to it as commands do.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from vidfs.app.daemon import Outcome, ReadyPipe, daemonise
from vidfs.app.logs import Redactor, set_up_logging
from vidfs.app.mounts import find_daemon_info, find_lock_holder, wait_until_gone
from vidfs.app.serve import MountPlan, Parts, serve_mount, to_fuse_options
from vidfs.config import Account, Directories, parse_mount_options, parse_source
from vidfs.control import SOCKET_NAME, ask, ask_lines
from vidfs.errors import AlreadyMountedError, MountError, VidfsError, WrongKeyError
from vidfs.types import Secret

KEY = "abcdefgh12345678zyxw"


@dataclass
class FakeStatus:
    pending: int
    parked: int = 0
    uploads: list[dict[str, Any]] = field(default_factory=list)
    api_calls: dict[str, int] = field(default_factory=dict)
    cache_bytes: int = 0


class FakeHost:
    name = "pretend"

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


class FakeVolume:
    """Its queue is as long as the file `pending` in the state directory says."""

    start_error: VidfsError | None = None

    def __init__(self, *, host: Any, settings: Any, state_dir: Path, cache_dir: Path) -> None:
        self._queue = state_dir / "pending"
        self.settings = settings
        self.note = ""

    @property
    def pending(self) -> int:
        return int(self._queue.read_text()) if self._queue.exists() else 0

    async def start(self, nursery: trio.Nursery) -> None:
        if self.start_error:
            raise self.start_error
        nursery.start_soon(trio.sleep_forever)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    def status(self) -> FakeStatus:
        return FakeStatus(self.pending)

    async def wait_uploads(self, paths: Sequence[str] = ()) -> int:
        while self.pending:  # noqa: ASYNC110  (the test writes the file from its own process)
            await trio.sleep(0.01)
        return 2 if "/parked" in paths else 0

    async def refresh(self, path: str) -> None:
        self._queue.with_name("refreshed").write_text(path)

    def retry(self, path: str | None) -> int:
        return 3 if path is None else 1


async def run_fake_fuse(
    volume: Any, mountpoint: str, options: set[str], *, on_mounted: Callable[[], None]
) -> None:
    """Mounted until the file `unmount` appears beside the mount point."""
    on_mounted()
    while not Path(mountpoint + ".unmount").exists():  # noqa: ASYNC110  (as above)
        await trio.sleep(0.01)


async def open_fake_host(account: Account, key: Secret, options: Any) -> Any:
    assert key.reveal() == KEY
    return FakeHost()


class World:
    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path
        self.directories = Directories(state_root=tmp_path / "s", cache_root=tmp_path / "c")
        self.state_dir = tmp_path / "s/films"
        self.pids: list[int] = []

    def plan(self, where: str = "m", source: str = "films", options: str = "") -> MountPlan:
        (self.root / where).mkdir(exist_ok=True)
        return MountPlan(
            account=Account(name="films", host="xvs"),
            key=Secret(KEY),
            source=parse_source(source),
            mountpoint=str(self.root / where),
            options=parse_mount_options([options]),
            directories=self.directories,
            umask=0o022,
        )

    def mount(self, where: str = "m", start_error: VidfsError | None = None) -> Outcome:
        plan = self.plan(where)

        def run(pipe: ReadyPipe) -> int:
            FakeVolume.start_error = start_error
            redactor = Redactor()
            log_file = self.root / "log"
            set_up_logging(redactor, log_file=log_file, rotate=False, debug=False)
            parts: Any = Parts(
                open_host=open_fake_host,
                make_volume=FakeVolume,  # type: ignore[arg-type]
                run_fuse=run_fake_fuse,
            )
            try:
                serve_mount(
                    plan,
                    on_ready=lambda note: pipe.tell(Outcome(ready=True)),
                    redactor=redactor,
                    environ=os.environ,
                    parts=parts,
                )
            except VidfsError as error:
                pipe.tell(Outcome(error=f"{type(error).__name__}: {error}", exit_code=1))
                return 1
            return 0

        outcome = daemonise(run, timeout_s=20)
        info = find_daemon_info(self.state_dir)
        if info:
            self.pids.append(info.pid)
        return outcome

    def unmount(self, where: str = "m") -> None:
        (self.root / f"{where}.unmount").touch()

    def set_pending(self, count: int) -> None:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        fresh = self.state_dir / "pending.new"
        fresh.write_text(str(count))
        fresh.replace(self.state_dir / "pending")

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, (self.root / "log").read_text()
            time.sleep(0.01)

    def gone(self) -> bool:
        return wait_until_gone(self.state_dir, self.pids[-1], timeout_s=10)

    def log(self) -> str:
        return (self.root / "log").read_text()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("vidfs.app.serve.to_volume_settings", lambda plan: plan)
    world = World(tmp_path)
    yield world
    for pid in world.pids:
        if find_lock_holder(world.state_dir) == pid:
            os.kill(pid, signal.SIGKILL)


def test_status_tells_who_and_what(world: World) -> None:
    world.set_pending(3)
    assert world.mount().ready
    status = ask(world.state_dir, "status")
    assert status["account"] == status["source"] == "films"
    assert status["mountpoint"] == str(world.root / "m")
    assert status["pid"] == find_lock_holder(world.state_dir)
    assert (status["phase"], status["pending"]) == ("mounted", 3)


def test_an_unmounted_daemon_goes_on_until_the_queue_is_empty(world: World) -> None:
    world.set_pending(1)
    world.mount()
    world.unmount()
    world.until(lambda: ask(world.state_dir, "status")["phase"] == "draining")
    assert find_daemon_info(world.state_dir) is not None
    world.set_pending(0)
    assert world.gone()
    assert find_daemon_info(world.state_dir) is None
    assert not (world.state_dir / SOCKET_NAME).exists()
    assert "unmounted; going on with the queue, uploads pending: 1" in world.log()


def test_a_second_mount_is_refused_and_names_the_first(world: World) -> None:
    world.mount()
    outcome = world.mount("other")
    assert outcome.error.startswith("AlreadyMountedError: account films is already mounted")
    assert str(world.root / "m") in outcome.error
    assert f"pid {world.pids[0]}" in outcome.error
    with pytest.raises(AlreadyMountedError):
        ask(world.state_dir, "handover")
    assert ask(world.state_dir, "status")["phase"] == "mounted"


def test_the_next_mount_takes_the_queue_over(world: World) -> None:
    world.set_pending(2)
    world.mount()
    world.unmount()
    world.until(lambda: ask(world.state_dir, "status")["phase"] == "draining")
    assert world.mount("other").ready
    status = ask(world.state_dir, "status")
    assert status["pid"] != world.pids[0]
    assert (status["mountpoint"], status["pending"]) == (str(world.root / "other"), 2)
    assert "left in the queue for the next mount: 2" in world.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_within_seconds_and_says_what_is_left(
    world: World, number: signal.Signals
) -> None:
    world.set_pending(5)
    world.mount()
    started = time.monotonic()
    os.kill(world.pids[0], number)
    assert world.gone()
    assert time.monotonic() - started < 5
    assert world.log().count("left in the queue for the next mount: 5") == 1


def test_sighup_looks_at_the_host(world: World) -> None:
    world.mount()
    os.kill(world.pids[0], signal.SIGHUP)
    world.until((world.state_dir / "refreshed").exists)
    assert ask(world.state_dir, "status")["phase"] == "mounted"


def test_waiting_shows_progress_and_ends_with_the_parked(world: World) -> None:
    world.set_pending(1)
    world.mount()
    lines = ask_lines(world.state_dir, "wait", paths=["/parked"])
    assert next(lines)["pending"] == 1
    world.set_pending(0)
    assert list(lines)[-1] == {"parked": 2, "end": True}


def test_waiting_ends_properly_when_the_daemon_leaves_with_the_last_upload(world: World) -> None:
    world.set_pending(1)
    world.mount()
    lines = ask_lines(world.state_dir, "wait")
    assert next(lines)["pending"] == 1
    world.unmount()
    world.until(lambda: ask(world.state_dir, "status")["phase"] == "draining")
    world.set_pending(0)
    assert list(lines)[-1] == {"parked": 0, "end": True}
    assert world.gone()


def test_waiting_is_told_when_the_daemon_stops_early(world: World) -> None:
    world.set_pending(1)
    world.mount()
    lines = ask_lines(world.state_dir, "wait")
    next(lines)
    ask(world.state_dir, "umount")
    with pytest.raises(MountError):
        list(lines)
    assert world.gone()


def test_retry_and_refresh_reach_the_volume(world: World) -> None:
    world.mount()
    assert ask(world.state_dir, "retry", path=None)["retried"] == 3
    assert ask(world.state_dir, "retry", path="/a")["retried"] == 1
    ask(world.state_dir, "refresh", path="/Films")
    assert (world.state_dir / "refreshed").read_text() == "/Films"


def test_a_refused_key_is_the_outcome_and_leaves_nothing(world: World) -> None:
    outcome = world.mount(start_error=WrongKeyError("Wrong auth"))
    assert outcome.error == "WrongKeyError: account films: the host refuses the key: Wrong auth"
    world.until(lambda: find_lock_holder(world.state_dir) is None)
    assert not (world.state_dir / SOCKET_NAME).exists()
    assert find_daemon_info(world.state_dir) is None
    assert world.mount().ready


def test_a_killed_daemon_doesnt_stand_in_the_way(world: World) -> None:
    world.mount()
    os.kill(world.pids[0], signal.SIGKILL)
    assert world.gone()
    assert world.mount().ready


def test_fuse_options_name_source_and_type(world: World) -> None:
    plan = world.plan(source="films:/a,b\\c", options="ro,allow_other,noexec")
    assert to_fuse_options(plan) == {
        "fsname=films:/a\\,b\\\\c",
        "subtype=vidfs",
        "ro",
        "allow_other",
        "noexec",
    }
