"""`mount.vidfs`: what mount(8) runs for `mount -t vidfs` and for lines of /etc/fstab."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vidfs.app.mounts import check_mountpoint, clear_dead_mounts, resolve
from vidfs.cli.mount import run_mount
from vidfs.cli.session import Session
from vidfs.config import MountOptions, parse_mount_options, parse_source
from vidfs.errors import UsageError

_USAGE = """\
Usage: mount.vidfs SOURCE DIR [-sfnv] [-o OPT,…]

Mounts SOURCE, an ACCOUNT or ACCOUNT:/folder, on DIR; called by mount(8).
  -o OPT,…  the options of `vidfs mount`
  -s        pass over unknown options
  -f        check everything, mount nothing
  -n, -v    accepted: there is no mtab to write, and nothing more to say

A line of /etc/fstab:
  films  /mnt/films  vidfs  noauto,user,_netdev,config=/etc/vidfs.toml  0  0
"""


def run(session: Session, args: Sequence[str]) -> int:
    """Mount as mount(8) asked. Errors: VidfsError."""
    words, flags, options = _parse(args)
    if "h" in flags:
        click.echo(_USAGE, nl=False)
        return 0
    if len(words) != 2:
        raise UsageError("mount.vidfs takes SOURCE and DIR (see mount.vidfs --help)")
    source, directory = words
    wanted = parse_mount_options(options, sloppy="s" in flags)
    if "f" in flags:
        _check(session, source, directory, wanted)
        return 0
    return run_mount(session, source, directory, wanted, foreground=False)


def _check(session: Session, source: str, directory: str, options: MountOptions) -> None:
    if options.config_file:
        session.config_file = options.config_file
    session.config.get_account(parse_source(source).account)
    mountpoint = resolve(directory)
    clear_dead_mounts(mountpoint)
    check_mountpoint(mountpoint)


def _parse(args: Sequence[str]) -> tuple[list[str], set[str], list[str]]:
    """Words, one-letter flags and the texts of all `-o`. Errors: UsageError."""
    words: list[str] = []
    flags: set[str] = set()
    options: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word in ("--help", "-h"):
            flags.add("h")
        elif word in ("-o", "-t", "-N"):
            if not rest:
                raise UsageError(f"{word} needs a value")
            value = rest.pop(0)
            if word == "-o":
                options.append(value)
            elif word == "-N":
                raise UsageError("-N: mounting in another namespace is not possible")
        elif word.startswith("-o"):
            options.append(word[2:])
        elif len(word) > 1 and word.startswith("-") and set(word[1:]) <= set("sfnv"):
            flags |= set(word[1:])
        elif word.startswith("-") and word != "-":
            raise UsageError(f"unknown flag {word}")
        else:
            words.append(word)
    return words, flags, options
