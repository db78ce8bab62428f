"""What every command gets: the configuration, the environment, and how errors are shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from vidfs.app.logs import Redactor
from vidfs.app.mounts import Served, find_served, get_served
from vidfs.config import Config, Directories, config_path, find_directories, load_config
from vidfs.fuse.mountinfo import load_kernel_mounts


@dataclass(kw_only=True)
class Session:
    """One run of the command. The configuration is read when first asked for."""

    config_file: str | None = None
    debug: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    redactor: Redactor = field(default_factory=Redactor)

    @cached_property
    def config(self) -> Config:
        path = config_path(self.config_file, self.environ)
        named = bool(self.config_file or self.environ.get("VIDFS_CONFIG"))
        return load_config(path, must_exist=named)

    @property
    def directories(self) -> Directories:
        return find_directories(self.environ)

    def find_targets(self, paths: tuple[str, ...]) -> list[tuple[Served, list[str]]]:
        """The daemons behind *paths* with the paths inside their mounts; none given: all.

        Errors: NotMountedError.
        """
        if not paths:
            served = find_served(self.directories, load_kernel_mounts())
            return [(one, []) for one in served]
        targets: dict[int, tuple[Served, list[str]]] = {}
        for path in paths:
            one, inside = get_served(path, self.directories)
            targets.setdefault(one.info.pid, (one, []))[1].append(inside)
        return list(targets.values())

    def say(self, line: str) -> None:
        """One line on stderr, without any key."""
        text = self.redactor.clean(" ".join(line.split("\n")))
        print(f"vidfs: {text}", file=sys.stderr)


def is_terminal() -> bool:
    """Whether progress may be shown: a pipe on either side gets none."""
    return sys.stdout.isatty() and sys.stderr.isatty()
