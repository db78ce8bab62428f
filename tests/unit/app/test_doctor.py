"""Each trouble, made on purpose, is found and comes with advice; a sound machine has none."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from vidfs.app import doctor
from vidfs.app.doctor import Finding, Machine, examine, load_config_or_finding, run_checks
from vidfs.app.logs import Redactor
from vidfs.app.remote import Surroundings
from vidfs.config import find_directories
from vidfs.errors import ConfigError
from vidfs.tree.journal import SqlJournal
from vidfs.tree.store import Store
from vidfs.types import JobState


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """All is well with it."""
    device, conf, helper = (tmp_path / name for name in ("fuse", "fuse.conf", "mount.vidfs"))
    for path in (device, helper):
        path.touch()
    conf.write_text("#user_allow_other\nuser_allow_other\n")
    return Machine(fuse_device=device, fuse_conf=conf, helpers=(helper,), is_root=False)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "VIDFS_CONFIG": str(tmp_path / "c.toml"),
        "VIDFS_STATE_DIR": str(tmp_path / "state"),
        "VIDFS_CACHE_DIR": str(tmp_path / "cache"),
    }


def around(environ: Mapping[str, str], text: str = "", mode: int = 0o600) -> Surroundings:
    path = Path(environ["VIDFS_CONFIG"])
    path.write_text(text)
    path.chmod(mode)
    config, found = load_config_or_finding(None, dict(environ))
    assert not found
    return Surroundings(
        config=config,
        directories=find_directories(environ),
        environ=environ,
        redactor=Redactor(),
    )


def troubles(findings: Iterable[Finding]) -> list[str]:
    """What isn't well; other tests' mounts on this machine are no business of this one's."""
    found = [one for one in findings if one.state != "ok" and one.check != "mounts"]
    assert all(one.advice for one in found if one.state == "problem")
    return [f"{one.state}: {one.text}" for one in found]


def test_a_sound_machine_has_no_trouble(machine: Machine, environ: dict[str, str]) -> None:
    found = examine(around(environ), (), machine=machine)
    # scratch directories may lie in memory
    assert [one for one in troubles(found) if "in memory" not in one] == []
    assert {"/dev/fuse", "fusermount3", "allow_other", "mount(8)", "disks", "state"} <= {
        one.check for one in found
    }


def test_what_fuse_needs_is_missed(
    machine: Machine, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.fuse_device.unlink()
    machine.helpers[0].unlink()
    machine.fuse_conf.write_text("#user_allow_other\n")
    monkeypatch.setenv("PATH", "/nonexistent")
    text = "\n".join(troubles(examine(around(environ), (), machine=machine)))
    assert f"problem: {machine.fuse_device} doesn't exist" in text
    assert "problem: fusermount3 is not installed" in text
    assert "note: users may not use the mount options allow_other" in text
    assert "note: mount -t vidfs and /etc/fstab don't work" in text


def test_a_fusermount_without_its_bit(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "fusermount3"
    program.touch()
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    [found] = doctor.check_fusermount(machine)
    assert "isn't set-user-id root" in found.text
    program.chmod(0o4755)
    [found] = doctor.check_fusermount(machine)
    assert found.state == "ok"


def test_a_device_that_is_closed(machine: Machine) -> None:
    machine.fuse_device.unlink()
    machine.fuse_device.mkdir()  # opening it for writing fails, for root too
    [found] = doctor.check_device(machine)
    assert "can't be opened: Is a directory" in found.text


def test_a_configuration_that_others_can_change(
    machine: Machine, environ: dict[str, str], tmp_path: Path
) -> None:
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(0o777)
    environ["VIDFS_CONFIG"] = str(place / "c.toml")
    text = "\n".join(troubles(examine(around(environ, "", 0o666), (), machine=machine)))
    assert f"problem: others can change {place}/c.toml" in text
    assert f"problem: others can change {place}" in text.splitlines()


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ('[accounts.films]\nkey = "abcdefgh"\nhost = "xvs"\n', 0o644, "is open to others"),
        ("[accounts.films", 0o600, "Expected ']'"),
        (None, 0, "there is no such configuration file"),
    ],
)
def test_a_configuration_that_is_of_no_use(
    text: str | None, mode: int, words: str, environ: dict[str, str], machine: Machine
) -> None:
    path = Path(environ["VIDFS_CONFIG"])
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    config, [found] = load_config_or_finding(None, environ)
    assert found.state == "problem"
    assert words in found.text
    assert "abcdefgh" not in found.text
    surroundings = Surroundings(
        config=config,
        directories=find_directories(environ),
        environ=environ,
        redactor=Redactor(),
    )
    assert examine(surroundings, (), machine=machine), "the rest is examined all the same"


def test_accounts_that_are_broken_or_have_no_answer(
    machine: Machine, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "HOST_DEADLINE_S", 0.5)
    surroundings = around(
        environ,
        "[accounts.a]\nhots = 1\n"
        '[accounts.b]\nhost = "xvs"\nkey_command = "exit 3"\n'
        'base_url = "http://127.0.0.1:9/api"\n'
        '[accounts.c]\nhost = "xvs"\nkey_command = "echo abcdefgh12345678"\n'
        'base_url = "http://127.0.0.1:9/api"\n',
    )
    found = {one.check: one for one in examine(surroundings, (), machine=machine)}
    assert "accounts.a.hots: unknown setting" in found["account a"].text
    assert "key_command of account b failed (exit code 3)" in found["account b"].text
    assert "account c" in found["account c"].text
    assert found["account c"].state == "problem"
    assert "account a" not in {one.check for one in examine(surroundings, ["b"], machine=machine)}
    with pytest.raises(ConfigError, match="no account 'd'"):
        examine(surroundings, ["d"], machine=machine)


def test_full_disks_and_closed_ones(
    machine: Machine, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 << 30, 99 << 30, 1 << 29))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    text = "\n".join(troubles(doctor.check_disks(around(environ))))
    assert "problem: the disk of the spool" in text
    assert "problem: the disk of the cache" in text
    assert "nearly full: 0.5 GiB free" in text
    assert "can't be written to" in text


def test_what_was_left_behind(environ: dict[str, str]) -> None:
    surroundings = around(environ, '[accounts.films]\nhost = "vipstream"\n')
    for name, states in {
        "films": [JobState.QUEUED, JobState.PARKED, JobState.LOCAL, JobState.DONE],
        "gone": [JobState.SENDING, JobState.SEALED],
        "empty": [],
    }.items():
        state_dir = surroundings.directories.state_dir(name)
        (state_dir / "spool/lost").mkdir(parents=True)
        store = Store(state_dir / "catalogue.sqlite")
        for state in states:
            SqlJournal(store).create(None, state)
        store.close()
    (surroundings.directories.state_dir("films") / "spool/lost/7").write_bytes(b"x")
    text = "\n".join(troubles(doctor.check_leftovers(surroundings)))
    assert "problem: films: files whose upload nobody knows any more" in text
    assert "problem: 1 uploads of films wait, and no daemon sends them" in text
    assert "problem: 1 uploads of films are parked" in text
    assert "gone is of an account that isn't configured, and 2 files that were not" in text
    assert "note: " in next(line for line in text.splitlines() if "/empty is" in line)


@pytest.mark.parametrize(
    ("offset_s", "sound"),
    [
        *((0.0, True), (3600.0, True), (-12600.0, True), (3 * 3600 + 40.0, True)),
        *((100.0, False), (3600 - 75.0, False), (20 * 3600.0, False), (-3e8, False)),
    ],
)
def test_clocks(offset_s: float, sound: bool) -> None:
    assert (not list(doctor.check_clock(offset_s))) == sound


def test_a_check_that_hangs_or_fails_is_a_finding() -> None:
    never = threading.Event()

    def hang() -> list[Finding]:
        never.wait()
        return []

    def fail() -> list[Finding]:
        raise PermissionError(13, "Denied", "/x")

    found = run_checks([("hanging", hang), ("failing", fail)], deadline_s=0.1)
    never.set()
    assert [(one.check, one.state) for one in found] == [
        ("hanging", "problem"),
        ("failing", "problem"),
    ]
    assert found[0].text == "no answer within 0 s"
    assert "Denied" in found[1].text
