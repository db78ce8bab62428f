"""What the shell offers for the arguments: accounts, mounts, files. Never asks a host."""

from __future__ import annotations

from contextlib import suppress

import click
from click.shell_completion import CompletionItem

from vidfs.app.mounts import FS_TYPE
from vidfs.cli.session import Session
from vidfs.errors import VidfsError
from vidfs.fuse.mountinfo import load_kernel_mounts


def complete_account(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    session = ctx.find_object(Session) or Session()
    session.config_file = ctx.find_root().params.get("config_file")
    with suppress(VidfsError):  # an unsound configuration offers nothing
        names = sorted(session.config.names())
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return []


def complete_path(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """An account, else a file (which in a mount is the same thing)."""
    found = [] if "/" in incomplete else complete_account(ctx, param, incomplete)
    return found or [CompletionItem(incomplete, type="file")]


def complete_mount(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Where a vidfs is mounted, else any directory."""
    mounts = [mount.mountpoint for mount in load_kernel_mounts() if mount.fs_type == FS_TYPE]
    found = [CompletionItem(path) for path in mounts if path.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="dir")]
