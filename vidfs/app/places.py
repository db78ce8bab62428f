"""Where an argument of a command points: `ACCOUNT:/path`, or a path inside a mount.

Only looks at configuration, mount table and extended attributes; asks no host.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from vidfs.app.mounts import CONTROL_XATTR, FS_TYPE, find_mount_of, is_dead, resolve
from vidfs.config import parse_source
from vidfs.errors import NotMountedError, UsageError
from vidfs.fuse.mountinfo import load_kernel_mounts
from vidfs.tree.names import name_of

XATTR_PREFIX = "user.vidfs."

_ACCOUNT_PATH = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):(/.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """What a mount says of a path of its own."""

    is_folder: bool
    attributes: Mapping[str, str]  # user.vidfs.*, without that prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Somewhere in an account; whether anything is there is another question."""

    text: str  # what the user may write for it, with no slash at its end but the root's
    account: str
    parts: tuple[str, ...] = ()  # names below the account's root
    state_dir: Path | None = None  # of the mount it lies in; None: the account's own
    is_mount: bool = False
    mounted: Mounted | None = None  # None: not in a mount, or nothing is there

    @property
    def name(self) -> str:
        return self.parts[-1] if self.parts else ""

    def parent(self) -> Place:
        """The folder it lies in. The root has none: UsageError."""
        if not self.parts:
            raise UsageError(f"{self.text}: is the root of an account")
        if self.is_mount:
            return _parse_mounted(str(Path(self.text).parent))
        folder = "/".join(self.parts[:-1])
        return Place(text=f"{self.account}:/{folder}", account=self.account, parts=self.parts[:-1])


def parse_place(text: str, accounts: Collection[str]) -> Place:
    """What *text* means; *accounts* are those of the configuration.

    A bare account name is its root. Errors: UsageError, NotMountedError.
    """
    match = _ACCOUNT_PATH.fullmatch(text)
    if match and (match[1] in accounts or not os.path.lexists(text)):
        source = parse_source(text)
        return Place(
            text=f"{source.account}:/{source.folder}",
            account=match[1],
            parts=_to_parts(source.folder),
        )
    if text in accounts:
        return Place(text=f"{text}:/", account=text)
    if "/" not in text and not os.path.lexists(text):
        known = ", ".join(sorted(accounts))
        raise UsageError(f"{text}: no account is called so (accounts: {known})")
    return _parse_mounted(text)


def _parse_mounted(text: str) -> Place:
    path = resolve(text)
    mount = find_mount_of(path, load_kernel_mounts())
    if mount is None or mount.fs_type != FS_TYPE:
        raise UsageError(f"{text}: neither ACCOUNT:/path nor a path in a vidfs mount")
    try:
        state_dir = Path(os.fsdecode(os.getxattr(mount.mountpoint, CONTROL_XATTR)))
    except OSError:
        reason = "the daemon of this mount has died" if is_dead(mount.mountpoint) else "not yours"
        raise NotMountedError(f"{mount.mountpoint}: {reason}") from None
    source = parse_source(mount.source)
    inside = path[len(mount.mountpoint.rstrip("/")) :]
    return Place(
        text=path,
        account=source.account,
        parts=_to_parts(source.folder, inside),
        state_dir=state_dir,
        is_mount=True,
        mounted=_load_mounted(path),
    )


def _to_parts(*paths: str) -> tuple[str, ...]:
    parts = [name_of(os.fsencode(part)) for path in paths for part in path.split("/")]
    return tuple(filter(None, parts))


def _load_mounted(path: str) -> Mounted | None:
    try:
        mode = os.lstat(path).st_mode
        names = os.listxattr(path)
        attributes = {
            name.removeprefix(XATTR_PREFIX): os.fsdecode(os.getxattr(path, name))
            for name in names
            if name.startswith(XATTR_PREFIX)
        }
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Mounted(is_folder=stat.S_ISDIR(mode), attributes=attributes)
