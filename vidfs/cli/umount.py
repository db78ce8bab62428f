"""`vidfs umount`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from vidfs.app.mounts import (
    FS_TYPE,
    Served,
    clear_dead_mounts,
    find_lock_holder,
    find_mount_of,
    get_served,
    is_dead,
    release_stuck_mount,
    resolve,
    unmount,
    wait_until_gone,
)
from vidfs.cli.completion import complete_mount
from vidfs.cli.exit_codes import ExitCode
from vidfs.cli.progress import wait_for_uploads
from vidfs.cli.session import Session
from vidfs.cli.status import describe_local
from vidfs.control import ask
from vidfs.errors import MountError, NotMountedError
from vidfs.fuse.mountinfo import load_kernel_mounts


@click.command(short_help="Finish the uploads, then unmount.")
@click.option("--now", is_flag=True, help="Leave pending uploads to the next mount.")
@click.argument("directory", metavar="DIR", type=click.Path(), shell_complete=complete_mount)
@click.pass_obj
def umount(session: Session, now: bool, directory: str) -> int:
    """Finish the uploads of the mount on DIR, then unmount it.

    Exit code 1 says that uploads are parked: they stay in the queue, and `vidfs status`
    shows why after the next mount.

    \b
    vidfs umount ~/films
    vidfs umount --now ~/films
    """
    for mount in load_kernel_mounts():
        if mount.mountpoint == str(Path(directory).absolute()) and mount.fs_type == FS_TYPE:
            release_stuck_mount(session.directories.state_dir(mount.account))
    try:
        served, _ = get_served(directory, session.directories)
    except NotMountedError:
        if _clear_dead(directory):
            return ExitCode.DONE
        raise
    parked = 0 if now else wait_for_uploads(served)
    here = _describe_local(served)
    if _is_in_mount_table(served):
        unmount(served.info.mountpoint)
    if now:
        with suppress(MountError):  # it may have had nothing to do and gone by itself
            ask(served.state_dir, "umount", timeout_s=30)
    elif find_lock_holder(served.state_dir) == served.info.pid:
        with suppress(MountError):  # files closed since are its last work
            parked = wait_for_uploads(served)
    wait_until_gone(served.state_dir, served.info.pid)
    if here:
        session.say(here)
    if parked:
        session.say(f"unmounted, but not everything is at the host: uploads parked: {parked}")
        return ExitCode.FAILED
    return ExitCode.DONE


def _describe_local(served: Served) -> str:
    with suppress(MountError):
        return describe_local(ask(served.state_dir, "status", timeout_s=5))
    return ""


def _is_in_mount_table(served: Served) -> bool:
    return any(
        (mount.mountpoint, mount.source) == (served.info.mountpoint, served.info.source)
        for mount in load_kernel_mounts()
    )


def _clear_dead(directory: str) -> bool:
    mount = find_mount_of(resolve(directory), load_kernel_mounts())
    if mount is None or mount.fs_type != FS_TYPE or not is_dead(mount.mountpoint):
        return False
    return clear_dead_mounts(mount.mountpoint) > 0
