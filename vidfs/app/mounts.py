"""Who serves which mount: the kernel's mount table, the account lock, the state file.

A daemon owns its account's state directory as long as it holds the lock there; the kernel
drops the lock with the process, however it ends, so the lock is the truth and
`daemon.json` beside it only tells details.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from vidfs.config import Directories, create_private_dir
from vidfs.errors import (
    AlreadyMountedError,
    MountError,
    MountPointError,
    NotMountedError,
    UsageError,
    VidfsError,
)
from vidfs.fuse.mountinfo import KernelMount, load_kernel_mounts

FS_TYPE = "fuse.vidfs"
CONTROL_XATTR = "user.vidfs.control"
"""On a mount's root: the path of the state directory that serves it."""

_ELSEWHERE = ".elsewhere"
"""Among the accounts' state directories: links to those of `state_dir=`."""

_STALE_LAYERS_MAX = 10
_ANSWER_S = 3.0  # that a daemon may take to answer what it knows without asking a host
_READ_S = 0.2  # for what a child said already

Condition = Literal["alive", "dead", "silent"]


# -------------------------------------------------------------------------- mount table


def find_mount_of(path: str, mounts: Sequence[KernelMount]) -> KernelMount | None:
    """The mount that *path* (absolute, resolved) lies in: the deepest, of equals the last."""
    best: KernelMount | None = None
    for mount in mounts:
        root = mount.mountpoint.rstrip("/") + "/"
        inside = path == mount.mountpoint or path.startswith(root)
        if inside and (best is None or len(mount.mountpoint) >= len(best.mountpoint)):
            best = mount
    return best


def resolve(path: str) -> str:
    """*path* absolute and without links, touching nothing below a dead mount.

    Errors: UsageError for the empty one, which would be the working directory.
    """
    if not path:
        raise UsageError("an empty path leads nowhere")
    return os.path.realpath(Path(path).absolute())


_OPEN = """
import errno, os, sys
try:
    os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
except OSError as error:
    if error.errno in (errno.ENOTCONN, errno.ECONNABORTED):
        sys.stdout.write("dead")
"""


def is_dead(mountpoint: str) -> bool:
    """Whether a mount's daemon is gone ("Transport endpoint is not connected")."""
    return find_conditions([mountpoint])[mountpoint] == "dead"


def find_conditions(mountpoints: Iterable[str]) -> dict[str, Condition]:
    """Of the daemons of these mounts. "silent": no answer within seconds.

    Opening the folder always asks the daemon; `stat` may be answered from the kernel's cache.
    """
    wanted = list(mountpoints)
    answers = _ask_in_children(_OPEN, wanted)
    told: dict[bytes | None, Condition] = {None: "silent", b"dead": "dead"}
    return {one: told.get(answers.get(one), "alive") for one in wanted}


def unmount(mountpoint: str, *, lazy: bool = False) -> None:
    """fusermount3. Errors: MountError with its words."""
    try:
        done = subprocess.run(
            ["fusermount3", "-uz" if lazy else "-u", "--", mountpoint],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise MountError("fusermount3 is not installed (package fuse3)") from None
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        reason = words[-1].removeprefix("fusermount3: ") if words else "fusermount3 failed"
        if "busy" in reason:
            raise MountError(f"{mountpoint} is in use: close what works in it and try again")
        raise MountError(f"{mountpoint}: {reason}")


def clear_dead_mounts(mountpoint: str) -> int:
    """Take away what daemons that died left mounted on *mountpoint*; how many there were.

    Only mounts of our own type are touched. Errors: MountError.
    """
    cleared = 0
    while cleared < _STALE_LAYERS_MAX:
        top = [mount for mount in load_kernel_mounts() if mount.mountpoint == mountpoint]
        if not top or top[-1].fs_type != FS_TYPE or not is_dead(mountpoint):
            break
        unmount(mountpoint, lazy=True)
        cleared += 1
    return cleared


def check_mountpoint(path: str) -> None:
    """Whether a mount can be made on *path*. Errors: MountPointError, AlreadyMountedError."""
    for mount in load_kernel_mounts():
        if mount.mountpoint == path and mount.fs_type == FS_TYPE:
            raise AlreadyMountedError(f"{path}: {mount.source} is already mounted there")
    try:
        with os.scandir(path) as entries:
            if next(entries, None) is not None:
                raise MountPointError(f"{path}: the mount point is not empty")
    except FileNotFoundError:
        raise MountPointError(f"{path}: the mount point doesn't exist") from None
    except NotADirectoryError:
        raise MountPointError(f"{path}: the mount point is not a directory") from None
    except OSError as error:
        raise MountPointError(f"{path}: {error.strerror}") from None


# --------------------------------------------------------------------------------- lock

# struct flock: type, whence, start, length, pid
_FLOCK = "hhqqi"


class AccountLock:
    """The lock of one account's state directory, held until `release` or the process' end.

    A POSIX record lock: it isn't inherited by children, and the kernel tells who holds it.
    It would be lost if this process closed another descriptor of the same file, so nobody
    but this class opens it, and a process asks `find_lock_holder` only about others' locks.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "lock"
        self._fd: int | None = None

    def try_acquire(self) -> bool:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        self._fd = fd
        return True

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def find_lock_holder(state_dir: Path) -> int | None:
    """Pid of the daemon that holds *state_dir*; 0 if it is another pid namespace's."""
    try:
        fd = os.open(state_dir / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    except OSError:
        return None
    finally:
        os.close(fd)
    return None if answer[0] == fcntl.F_UNLCK else int(answer[4])


def wait_until_gone(state_dir: Path, pid: int, timeout_s: float | None = None) -> bool:
    """Wait for the daemon *pid* to leave *state_dir*. False: *timeout_s* went by first."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while find_lock_holder(state_dir) == pid:
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# --------------------------------------------------------------------------- state file


class DaemonInfo(msgspec.Struct, frozen=True):
    """`daemon.json`: what a daemon says about itself while it lives."""

    pid: int
    mountpoint: str
    source: str
    started_at: float  # Unix seconds


@contextmanager
def daemon_info(state_dir: Path, info: DaemonInfo) -> Iterator[None]:
    """`daemon.json` in *state_dir* for the time of the block. Call with the lock held."""
    path = state_dir / "daemon.json"
    fresh = state_dir / "daemon.json.new"
    fresh.write_bytes(msgspec.json.encode(info))
    fresh.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find_daemon_info(state_dir: Path) -> DaemonInfo | None:
    """What the last daemon of *state_dir* said, dead or alive; None: nothing readable."""
    try:
        return msgspec.json.decode((state_dir / "daemon.json").read_bytes(), type=DaemonInfo)
    except (OSError, msgspec.MsgspecError):
        return None


def release_stuck_mount(state_dir: Path) -> None:
    """End the connection of a daemon that was killed while a thread of its waits in the kernel.

    The thread waits for a request that nobody answers any more, and keeps the mount, the account's
    lock and everybody who asked. As root, or where fusectl is mounted; else nothing can be done.
    """
    info = find_daemon_info(state_dir)
    if info is None or not _is_stuck(info.pid):
        return
    for mount in load_kernel_mounts():
        if (mount.mountpoint, mount.fs_type) != (info.mountpoint, FS_TYPE):
            continue
        connection = mount.device.partition(":")[2]
        with suppress(OSError):
            Path(f"/sys/fs/fuse/connections/{connection}/abort").write_text("1")
        # it says that the mount is busy, and does it
        subprocess.run(["umount", "-f", info.mountpoint], capture_output=True, check=False)
    wait_until_gone(state_dir, info.pid, timeout_s=5)


def _is_stuck(pid: int) -> bool:
    """Whether it has ended but for a thread that no signal reaches."""
    try:
        is_zombie = ") Z " in Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return is_zombie and len(os.listdir(f"/proc/{pid}/task")) > 1  # noqa: PTH208
    except OSError:
        return False


# ---------------------------------------------------------------------------- discovery


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A daemon that runs: with its mount, or finishing uploads after it was unmounted."""

    account: str
    state_dir: Path
    info: DaemonInfo


def find_served(directories: Directories, mounts: Sequence[KernelMount]) -> list[Served]:
    """All daemons this user can talk to."""
    return find_daemons(directories, mounts)[0]


def find_daemons(
    directories: Directories, mounts: Sequence[KernelMount]
) -> tuple[list[Served], list[KernelMount]]:
    """All daemons this user can talk to, and those of *mounts* whose daemon didn't even say in
    time where its state is."""
    accounts = {path: path.name for path in _find_state_dirs(directories)}
    here = {served.info.mountpoint for served in _serving(accounts)}
    elsewhere = {
        mount.mountpoint: mount
        for mount in mounts
        if mount.fs_type == FS_TYPE and mount.mountpoint not in here
    }
    answers = _ask_in_children(_TELL_STATE_DIR, elsewhere)
    for mountpoint, state_dir in _to_paths(answers).items():
        accounts[state_dir] = elsewhere[mountpoint].account
    silent = [mount for mountpoint, mount in elsewhere.items() if mountpoint not in answers]
    return _serving(accounts), silent


def _serving(accounts: Mapping[Path, str]) -> list[Served]:
    """The daemons of these state directories."""
    return [
        Served(account=account, state_dir=state_dir, info=info)
        for state_dir, account in accounts.items()
        if find_lock_holder(state_dir) is not None
        and (info := find_daemon_info(state_dir)) is not None
    ]


def _find_state_dirs(directories: Directories) -> Iterator[Path]:
    """Of the accounts of *directories*, and of daemons that were told another place."""
    for place in (directories.state_root, directories.state_root / _ELSEWHERE):
        if place.is_dir():
            yield from sorted(path.resolve() for path in place.iterdir() if path.name != _ELSEWHERE)


@contextmanager
def found_elsewhere(directories: Directories, state_dir: Path) -> Iterator[None]:
    """For the time of the block the daemon of *state_dir* is found from *directories*, too:
    without its mount nothing else leads to it."""
    if state_dir.parent == directories.state_root:
        yield
        return
    name = hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:16]
    link = directories.state_root / _ELSEWHERE / name
    with suppress(OSError, VidfsError):  # where it may not be written, the mount has to do
        create_private_dir(link.parent)
        link.unlink(missing_ok=True)
        link.symlink_to(state_dir)
    try:
        yield
    finally:
        with suppress(OSError):
            link.unlink()


_TELL_STATE_DIR = f"""
import os, sys
try:
    sys.stdout.buffer.write(os.getxattr(sys.argv[1], {CONTROL_XATTR!r}))
except OSError:
    pass
"""


def _ask_state_dirs(mountpoints: Iterable[str]) -> dict[str, Path]:
    """Where the state of these mounts is. Not of those that are dead, or another user's."""
    return _to_paths(_ask_in_children(_TELL_STATE_DIR, mountpoints))


def _to_paths(answers: Mapping[str, bytes]) -> dict[str, Path]:
    return {mountpoint: Path(os.fsdecode(told)) for mountpoint, told in answers.items() if told}


def _ask_in_children(program: str, mountpoints: Iterable[str]) -> dict[str, bytes]:
    """What *program* says of each of these mounts; those that were silent too long are left out.

    Whoever asks a daemon that took the question and hangs is held by the kernel for good, even
    a thread of a process that ends. So children ask, and nobody waits for them longer than a while.
    """
    children = {
        mountpoint: subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", program, mountpoint],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for mountpoint in mountpoints
    }
    answers: dict[str, bytes] = {}
    deadline = time.monotonic() + _ANSWER_S
    for mountpoint, child in children.items():
        # those that answered while we waited for another are still to be read
        left_s = max(deadline - time.monotonic(), _READ_S)
        try:
            answers[mountpoint], _ = child.communicate(timeout=left_s)
        except subprocess.TimeoutExpired:
            child.kill()
    return answers


def get_served(target: str, directories: Directories) -> tuple[Served, str]:
    """The daemon behind *target* and the path inside its mount ("/" for the root).

    *target* is a path in a mount, the directory where a mount was whose daemon still
    uploads, or an account's name. Errors: NotMountedError.
    """
    mounts = load_kernel_mounts()
    path = resolve(target)
    mount = find_mount_of(path, mounts)
    # Others are not asked: one that hangs is nobody's trouble here.
    meant = [one for one in mounts if one is mount or one.account == target]
    served = find_served(directories, meant)
    if mount is not None and mount.fs_type == FS_TYPE:
        for one in served:
            if one.info.mountpoint == mount.mountpoint and one.info.source == mount.source:
                return one, _path_inside(path, mount.mountpoint)
        if is_dead(mount.mountpoint):
            raise NotMountedError(f"{mount.mountpoint}: the daemon of this mount has died")
        for state_dir in _ask_state_dirs([mount.mountpoint]).values():
            if not state_dir.exists():
                words = f"its state in {state_dir} was removed; fusermount3 -u ends the mount"
                raise NotMountedError(f"{mount.mountpoint}: {words}")
        raise NotMountedError(f"{mount.mountpoint}: its daemon runs elsewhere or for another user")
    for one in served:
        if find_mount_of(path, [KernelMount(one.info.mountpoint, FS_TYPE, "")]):
            return one, _path_inside(path, one.info.mountpoint)
    if "/" not in target:
        for one in served:
            if one.account == target:
                return one, "/"
    raise NotMountedError(f"{target}: no vidfs mount there")


def _path_inside(path: str, mountpoint: str) -> str:
    return "/" + path[len(mountpoint.rstrip("/")) :].strip("/")
