"""Clocks and meters: wall time, processor time, memory, and the page cache out of the way."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 1 << 20
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Stopwatch:
    wall_s: float = 0.0
    cpu_s: float = 0.0


@contextmanager
def stopwatch(pid: int | None = None) -> Iterator[Stopwatch]:
    """Wall time of the block, and the processor time that *pid* and its children took in it."""
    watch = Stopwatch()
    cpu_before = cpu_s(pid) if pid else 0.0
    began = time.perf_counter()
    yield watch
    watch.wall_s = time.perf_counter() - began
    watch.cpu_s = (cpu_s(pid) if pid else 0.0) - cpu_before


def median_of(times: int, work: Callable[[], float]) -> float:
    return statistics.median(work() for _ in range(times))


def process_tree(pid: int) -> Iterable[int]:
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def cpu_s(pid: int) -> float:
    """User and system time so far of *pid*, its living children and those it waited for."""
    total = 0
    for member in process_tree(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))
    return total / TICKS_PER_S


def resident_bytes(pid: int) -> int:
    total = 0
    for member in process_tree(pid):
        for line in Path(f"/proc/{member}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) << 10
    return total


def drop_page_cache() -> None:
    """Write out what is dirty, then make the kernel forget file contents and attributes.

    Errors: PermissionError unless root.
    """
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def read_through(path: Path) -> int:
    """Read *path* from beginning to end; how many bytes came."""
    buffer = bytearray(BLOCK_BYTES)
    total = 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total += count
    return total


def pread_once(path: Path, offset: int, size_bytes: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, size_bytes, offset)
    finally:
        os.close(descriptor)


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        command, check=False, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        tail = done.stderr.strip()[-2000:]
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {tail}")
    return done.stdout


def find_files(top: Path, *tests: str) -> int:
    """How many files `find` prints below *top*."""
    return run("find", top, "-type", "f", *tests).count("\n")


def write_random(path: Path, size_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = random.Random(size_bytes)
    with path.open("wb") as file:
        left = size_bytes
        while left > 0:
            left -= file.write(chance.randbytes(min(left, BLOCK_BYTES)))


def seconds(value: float) -> str:
    if value < 0.1:
        return f"{value * 1000:.1f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def speed(size_bytes: int, wall_s: float) -> str:
    return f"{size_bytes / wall_s / (1 << 20):.0f} MiB/s"
