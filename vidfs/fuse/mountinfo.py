"""The kernel's table of mounts. Knows no pyfuse3: commands read it, too."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KernelMount:
    mountpoint: str
    fs_type: str
    source: str
    device: str = ""  # "major:minor"; the minor number also names the FUSE connection

    @property
    def account(self) -> str:
        return self.source.partition(":")[0]


def load_kernel_mounts(path: str = "/proc/self/mountinfo") -> list[KernelMount]:
    """All mounts this process sees, in the order they were made. Asks no daemon."""
    text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    return [mount for line in text.splitlines() if (mount := parse_mountinfo_line(line))]


def parse_mountinfo_line(line: str) -> KernelMount | None:
    """One line of proc_pid_mountinfo(5); None if it isn't one."""
    before, dash, after = line.partition(" - ")
    left, right = before.split(" "), after.split(" ")
    if not dash or len(left) < 5 or len(right) < 2:
        return None
    return KernelMount(_unescape(left[4]), right[0], _unescape(right[1]), left[2])


def _unescape(text: str) -> str:
    r"""The kernel writes space, tab, newline and backslash as `\040` …, byte by byte."""
    raw = os.fsencode(text)
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), raw))
