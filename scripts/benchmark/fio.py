"""Rows 4 to 6 once more with fio, whose jobs others can repeat."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .measure import drop_page_cache, run, speed, stopwatch
from .systems import Mount
from .table import Line

MIB = 1 << 20
RANDOM_BYTES = 64 << 10
JOBS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Bytes per second of the sequential job, reads per second of the random one."""

    cold_bytes_s: float
    again_bytes_s: float
    random_s: float
    random_again_s: float


def fio(path: Path, *flags: str) -> Mapping[str, float]:
    """What fio says of one job of reads on *path*."""
    said = run(
        *("fio", "--name=read", f"--filename={path}", "--readonly", "--allow_file_create=0"),
        *("--ioengine=psync", "--invalidate=0", "--thread", "--group_reporting"),
        *("--output-format=json", *flags),
    )
    (job,) = json.loads(said[said.index("{") :])["jobs"]
    if job["error"]:
        raise RuntimeError(f"fio: error {job['error']}")
    found: dict[str, float] = job["read"]
    return found


def sequential(path: Path) -> float:
    drop_page_cache()
    return fio(path, "--rw=read", "--bs=1m")["bw_bytes"]


def at_random(path: Path, reads: int) -> float:
    drop_page_cache()
    places = ("--rw=randread", f"--bs={RANDOM_BYTES}", "--norandommap", "--randseed=6")
    return fio(path, *places, f"--numjobs={JOBS}", f"--number_ios={reads}")["iops"]


def measure_sequential(mount: Mount, path: Path) -> tuple[float, float]:
    """Cold, and again from what the mount's cache kept."""
    mount.cold()
    with mount.mount():
        return sequential(path), sequential(path)


def measure_random(mount: Mount, path: Path, reads: int) -> tuple[float, float]:
    mount.cold()
    with mount.mount():
        with path.open("rb") as file:
            file.read(1)  # the link is known
        return at_random(path, reads), at_random(path, reads)


def curl_at_random(link: str, size_bytes: int, reads: int) -> float:
    chance = random.Random(6)
    starts = [chance.randrange(size_bytes - RANDOM_BYTES) for _ in range(JOBS * reads)]

    def fetch(start: int) -> None:
        part = f"{start}-{start + RANDOM_BYTES - 1}"
        run("curl", "-sSf", "-r", part, "-o", "/dev/null", link)

    with stopwatch() as watch, ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(fetch, starts))
    return len(starts) / watch.wall_s


def lines(found: Mapping[str, Found], curl_s: float, latency_ms: int) -> list[Line]:
    ours, full, off = found["vidfs"], found["full"], found["off"]
    work = f"fio: {JOBS} × 64 KiB at random, {latency_ms} ms"
    table = [
        (4, "fio: 1 MiB in sequence, cold", "cold_bytes_s", full, "cache full", 1.5),
        (4, "fio: 1 MiB in sequence, cold", "cold_bytes_s", off, "cache off", 1.0),
        (5, "fio: the same again, page cache dropped", "again_bytes_s", full, "cache full", 1.5),
        (6, work, "random_s", full, "cache full", None),
        (6, work, "random_s", off, "cache off", None),
        (6, "… the same places again", "random_again_s", full, "cache full", None),
    ]
    made = [
        Line(
            row=row,
            work=work,
            vidfs=show(field, getattr(ours, field)),
            other=f"rclone {name} {show(field, getattr(theirs, field))}",
            ratio=getattr(ours, field) / getattr(theirs, field),
            at_least=bar,
        )
        for row, work, field, theirs, name, bar in table
    ]
    curl = Line(
        row=6,
        work=work,
        vidfs=show("random_s", ours.random_s),
        other=f"curl -r, {JOBS} at once {show('random_s', curl_s)}",
        ratio=ours.random_s / curl_s,
    )
    return [*made, curl]


def show(field: str, value: float) -> str:
    return speed(round(value), 1.0) if field.endswith("bytes_s") else f"{value:.0f} reads/s"
