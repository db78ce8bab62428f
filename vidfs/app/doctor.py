"""What keeps mounts from working, looked for before a person has to: `vidfs doctor`.

Each check stands alone, has a deadline and never raises: what goes wrong in it is a finding.
Nothing is changed.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import trio

from vidfs.app.accounts import open_catalogue
from vidfs.app.mounts import FS_TYPE, find_conditions, find_lock_holder, find_mount_of, resolve
from vidfs.app.places import Place
from vidfs.app.remote import RemoteAccount, Surroundings, run_with_account
from vidfs.config import DEMO_ACCOUNT, Account, Config, config_path, load_config
from vidfs.control import ask
from vidfs.errors import (
    AccessDeniedError,
    ConfigError,
    HostTimeoutError,
    TransientHostError,
    UsageError,
    VidfsError,
)
from vidfs.fuse.mountinfo import load_kernel_mounts
from vidfs.tree.journal import SqlJournal
from vidfs.types import JobState

DEADLINE_S = 25.0
"""For all checks, which run at once."""
HOST_DEADLINE_S = 15.0

FREE_BYTES_MIN = 1 << 30
CLOCK_OFF_S_MAX = 60.0
_QUARTER_S = 900.0
_ZONE_S_MAX = 14 * 3600.0

_WAITING = (JobState.SEALED, JobState.QUEUED, JobState.SENDING, JobState.CONFIRMING)

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """*state* "note": worth knowing, and nothing to worry about."""

    check: str
    state: State
    text: str
    advice: str = ""  # what to do about it


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where this machine keeps what FUSE needs."""

    fuse_device: Path = Path("/dev/fuse")
    fuse_conf: Path = Path("/etc/fuse.conf")
    helpers: tuple[Path, ...] = (Path("/sbin/mount.vidfs"), Path("/usr/sbin/mount.vidfs"))
    is_root: bool = os.geteuid() == 0


Check = Callable[[], Iterable[Finding]]


def examine(
    around: Surroundings,
    accounts: Sequence[str],
    *,
    machine: Machine | None = None,
    deadline_s: float = DEADLINE_S,
) -> list[Finding]:
    """Everything that was found, in a fixed order.

    *accounts*: those whose host is asked; none: all that are configured (the demo account only
    by its name). Errors: ConfigError for a name that doesn't exist.
    """
    machine = machine or Machine()
    config = around.config
    names = accounts or sorted(config.names() - {DEMO_ACCOUNT})
    for name in accounts:
        if name not in config.names():
            config.get_account(name)
    checks: list[tuple[str, Check]] = [
        ("/dev/fuse", lambda: check_device(machine)),
        ("fusermount3", lambda: check_fusermount(machine)),
        ("allow_other", lambda: check_allow_other(machine)),
        ("mount(8)", lambda: check_helper(machine)),
        ("configuration", lambda: check_config_file(config.path)),
        ("mounts", check_mounts),
        ("disks", lambda: check_disks(around)),
        ("state", lambda: check_leftovers(around)),
    ]
    checks += [(f"account {name}", _account_check(around, name)) for name in names]
    return run_checks(checks, deadline_s)


def load_config_or_finding(
    flag: str | None, environ: dict[str, str]
) -> tuple[Config, list[Finding]]:
    """The configuration; where it can't be used at all, an empty one and why."""
    path = config_path(flag, environ)
    try:
        return load_config(path, must_exist=bool(flag or environ.get("VIDFS_CONFIG"))), []
    except UsageError as error:
        found = Finding(check="configuration", state="problem", text=str(error))
        return Config(path=path, accounts={}), [found]


def run_checks(checks: Sequence[tuple[str, Check]], deadline_s: float) -> list[Finding]:
    """All at once; one that doesn't end in time is a problem by itself."""
    found: dict[int, list[Finding]] = {}

    def run(number: int, name: str, check: Check) -> None:
        try:
            results = list(check())
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            if isinstance(error, VidfsError | OSError):
                text = str(error)
            results = [Finding(check=name, state="problem", text=text)]
        found[number] = [replace(one, check=one.check or name) for one in results]

    threads = []
    for number, (name, check) in enumerate(checks):
        thread = threading.Thread(target=run, args=(number, name, check), daemon=True)
        thread.start()
        threads.append(thread)
    deadline = time.monotonic() + deadline_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"no answer within {deadline_s:.0f} s"
    return [
        one
        for number, (name, _) in enumerate(checks)
        for one in found.get(number, [Finding(check=name, state="problem", text=late)])
    ]


def _ok(text: str) -> Finding:
    return Finding(check="", state="ok", text=text)


def _note(text: str, advice: str = "") -> Finding:
    return Finding(check="", state="note", text=text, advice=advice)


def _problem(text: str, advice: str = "") -> Finding:
    return Finding(check="", state="problem", text=text, advice=advice)


# --------------------------------------------------------------------------- the machine


def check_device(machine: Machine) -> Iterator[Finding]:
    device = machine.fuse_device
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        yield _problem(
            f"{device} doesn't exist",
            "load the kernel module (modprobe fuse), or give the container the device",
        )
    except OSError as error:
        yield _problem(
            f"{device} can't be opened: {error.strerror}",
            f"chmod 666 {device}, or become a member of its group",
        )
    else:
        yield _ok(f"{device} can be opened")


def check_fusermount(machine: Machine) -> Iterator[Finding]:
    program = shutil.which("fusermount3")
    if program is None:
        yield _problem("fusermount3 is not installed", "install the package fuse3")
    elif not machine.is_root and not Path(program).stat().st_mode & 0o4000:
        yield _problem(
            f"{program} isn't set-user-id root: users can't mount",
            f"chmod u+s {program}, or install the package fuse3 again",
        )
    else:
        yield _ok(program)


def check_allow_other(machine: Machine) -> Iterator[Finding]:
    if machine.is_root:
        yield _ok("root may always use allow_other and allow_root")
        return
    try:
        lines = machine.fuse_conf.read_text().splitlines()
    except OSError:
        lines = []
    if "user_allow_other" in (line.strip() for line in lines):
        yield _ok("users may use allow_other and allow_root")
    else:
        yield _note(
            "users may not use the mount options allow_other and allow_root",
            f"if you need them: put the line user_allow_other into {machine.fuse_conf}",
        )


def check_helper(machine: Machine) -> Iterator[Finding]:
    there = [helper for helper in machine.helpers if helper.exists()]
    if there:
        yield _ok(f"mount -t vidfs and /etc/fstab work ({there[0]})")
    else:
        yield _note(
            "mount -t vidfs and /etc/fstab don't work: mount(8) finds no mount.vidfs",
            "if you need them: run scripts/install as root",
        )


# ------------------------------------------------------------------- configuration, disks


def check_config_file(path: Path) -> Iterator[Finding]:
    if not path.exists():
        yield _note(f"{path} doesn't exist yet", "vidfs account add NAME")
        return
    yield _ok(str(path))
    for one in (path, path.parent):
        status = one.stat()
        if status.st_uid not in (os.geteuid(), 0):
            yield _problem(f"{one} belongs to another user, who can change it", f"chown it: {one}")
        # in a directory with the sticky bit others can't replace it
        if status.st_mode & 0o022 and not status.st_mode & 0o1000:
            yield _problem(f"others can change {one}", f"chmod go-w {one}")


def check_disks(around: Surroundings) -> Iterator[Finding]:
    """Of the spool and of the cache: room, and whether it outlives the machine's end."""
    roots = {"spool": around.directories.state_root, "cache": around.directories.cache_root}
    for what, root in roots.items():
        place = root
        while not place.exists():
            place = place.parent
        if not os.access(place, os.W_OK | os.X_OK):
            yield _problem(f"the {what}: {place} can't be written to", f"chown or chmod {place}")
        usage = shutil.disk_usage(place)
        free = f"{usage.free / (1 << 30):.1f} GiB free"
        if usage.free < FREE_BYTES_MIN:
            advice = "make room: writing into a mount needs it"
            if what == "cache":
                advice = "make room, or give a place on another disk with cache_dir="
            yield _problem(f"the disk of the {what} ({root}) is nearly full: {free}", advice)
        else:
            yield _ok(f"the {what} ({root}): {free}")
        mount = find_mount_of(resolve(str(place)), load_kernel_mounts())
        if what == "spool" and mount is not None and mount.fs_type in ("tmpfs", "ramfs"):
            yield _note(
                f"the spool ({root}) is in memory: what waits there is lost with the machine",
                "give a place on a disk with state_dir= or VIDFS_STATE_DIR",
            )


# ----------------------------------------------------------------------- mounts, leftovers


def check_mounts() -> Iterator[Finding]:
    mounts = [mount for mount in load_kernel_mounts() if mount.fs_type == FS_TYPE]
    if not mounts:
        yield _ok("nothing is mounted")
    for mountpoint, condition in find_conditions(mount.mountpoint for mount in mounts).items():
        if condition == "dead":
            yield _problem(
                f"{mountpoint}: the daemon of this mount has died",
                f"vidfs umount {mountpoint} takes it away; mounted again, its uploads go on",
            )
        elif condition == "silent":
            yield _problem(
                f"{mountpoint}: the daemon of this mount doesn't answer",
                f"wait, or end that process, then vidfs umount {mountpoint}",
            )
        else:
            yield _ok(f"{mountpoint}: mounted")


def check_leftovers(around: Surroundings) -> Iterator[Finding]:
    """Files that wait for a daemon that doesn't run, accounts that are gone, lost bytes."""
    root = around.directories.state_root
    states = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    found = False
    for state_dir in states:
        for one in _check_state_dir(state_dir, around):
            found = True
            yield one
    if not found:
        yield _ok("nothing was left behind")


def _check_state_dir(state_dir: Path, around: Surroundings) -> Iterator[Finding]:
    name = state_dir.name
    lost = state_dir / "spool/lost"
    if lost.is_dir() and any(lost.iterdir()):
        yield _problem(
            f"{name}: files whose upload nobody knows any more",
            f"look at them in {lost}, then move or remove them",
        )
    if find_lock_holder(state_dir) is not None:
        yield from _check_daemon(name, state_dir)
        return
    states = _count_jobs(state_dir)
    waiting, parked = sum(states[one] for one in _WAITING), states[JobState.PARKED]
    if name not in around.config.names() and name != DEMO_ACCOUNT:
        left = f", and {waiting + parked} files that were not uploaded" if waiting + parked else ""
        yield Finding(
            check="",
            state="problem" if left else "note",
            text=f"{state_dir} is of an account that isn't configured{left}",
            advice=f"add the account again, or remove {state_dir}",
        )
    elif waiting:
        yield _problem(
            f"{waiting} uploads of {name} wait, and no daemon sends them",
            f"mount {name}: they go on by themselves",
        )
    if parked and name in around.config.names():
        yield _problem(
            f"{parked} uploads of {name} are parked", f"mount {name}; vidfs status shows why"
        )


def _count_jobs(state_dir: Path) -> Counter[JobState]:
    with open_catalogue(state_dir, read_only=True) as store:
        return Counter(job.state for job in SqlJournal(store).load()) if store else Counter()


def _check_daemon(name: str, state_dir: Path) -> Iterator[Finding]:
    status = ask(state_dir, "status", timeout_s=8)
    if status.get("parked"):
        yield _problem(
            f"{status['parked']} uploads of {name} are parked",
            "vidfs status shows why; vidfs retry sends them again, rm gives them up",
        )


# ------------------------------------------------------------------------------- accounts


def _account_check(around: Surroundings, name: str) -> Check:
    def check() -> Iterator[Finding]:
        try:
            account = around.config.get_account(name)
        except ConfigError as error:
            yield _problem(str(error), f"mend it in {around.config.path}")
            return
        yield from _check_host(around, account)

    return check


def _check_host(around: Surroundings, account: Account) -> Iterator[Finding]:
    async def ask_host(remote: RemoteAccount) -> float:
        with trio.move_on_after(HOST_DEADLINE_S):
            await remote.host.account_info()
            return remote.host.clock_offset_s
        where = f" ({account.base_url})" if account.base_url else ""
        raise HostTimeoutError(f"{account.host}{where} gave no answer in {HOST_DEADLINE_S:.0f} s")

    try:
        offset_s = run_with_account(around, Place(text="", account=account.name), ask_host)
    except ConfigError as error:
        yield _problem(str(error), "vidfs account add asks for what is needed")
    except AccessDeniedError as error:
        yield _problem(str(error), "get a new key from the host's settings page")
    except TransientHostError as error:
        yield _problem(str(error), "look at the network, the host's site, and base_url")
    else:
        yield _ok(f"{account.host} answers and accepts the key")
        yield from check_clock(offset_s)


def check_clock(offset_s: float) -> Iterator[Finding]:
    """*offset_s*: the host's clock before ours. A time zone explains whole quarters of an hour."""
    odd_s = abs(offset_s - round(offset_s / _QUARTER_S) * _QUARTER_S)
    if abs(offset_s) <= _ZONE_S_MAX + CLOCK_OFF_S_MAX and odd_s <= CLOCK_OFF_S_MAX:
        return
    hours = f"{offset_s / 3600:+.2f} h"
    yield _problem(
        f"the host's clock is {hours} from this one: more than a time zone explains",
        "set this machine's clock (timedatectl set-ntp true)",
    )
