"""What is measured: one function per row of the table, registered by its number.

Rules of the comparison: both mounts in one run, one after the other, never at once; the same tree
and the same bytes from the same server; both told to keep what they know for an hour; each cold
measurement begins with empty caches of the mount and an empty page cache. Medians throughout.
"""

from __future__ import annotations

import random
import shutil
import statistics
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from . import fio
from .measure import (
    drop_page_cache,
    find_files,
    median_of,
    pread_once,
    read_through,
    resident_bytes,
    run,
    seconds,
    speed,
    stopwatch,
    write_random,
)
from .systems import Index, Mount, Rclone, SimHost, Vidfs
from .table import Line

DIALECT = "fruithosted"  # one call lists a folder whole, as one page of an HTTP index does
LATENCY_MS = 50
LITTLE_LATENCY_MS = 5
PARALLEL_CALLS = 16
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    folders: int = 1000
    files_per_folder: int = 50
    wide_folder: int = 100_000
    big_bytes: int = 1 << 30
    random_reads: int = 40
    small_files: int = 500
    huge_folders: int = 20_000
    repeats: int = 3


QUICK = Sizes(
    folders=200,
    wide_folder=10_000,
    big_bytes=256 * MIB,
    random_reads=15,
    small_files=100,
    huge_folders=1_000,
    repeats=1,
)


@dataclass(frozen=True, slots=True)
class Read:
    """Medians of reading the big file from end to end."""

    cold_s: float
    cpu_s: float
    again_s: float | None = None


@dataclass
class Bench:
    work: Path
    sizes: Sizes
    say: Callable[[str], None]
    _places: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    def place(self, name: str) -> Path:
        """A fresh directory."""
        path = self.work / f"{next(self._places)}-{name}"
        path.mkdir()
        return path

    @contextmanager
    def tree(
        self, folders: int, files: int, *, latency_ms: float
    ) -> Iterator[tuple[SimHost, Index]]:
        """A host with so many folders side by side, so many files in each, and an index of it."""
        root = self.place("host")
        with SimHost(root) as host:
            populate(host, folders, files, fanout=folders)
            index = folders_of(host)
        with SimHost(root, latency_ms=latency_ms) as host:
            work = self.place("index")
            with Index(work, index, latency_ms=latency_ms) as server:
                yield host, server
        shutil.rmtree(root)

    @contextmanager
    def big_file(self, latency_ms: float) -> Iterator[tuple[SimHost, Index, str]]:
        """One big file at the host, an index that leads to it, and its plain link."""
        root = self.place("host")
        name = "Big.mp4"
        with SimHost(root, latency_ms=latency_ms) as host:
            host.admin(
                *("POST", f"{DIALECT}/files"), folder="", title=name, formula=self.sizes.big_bytes
            )
            (code,) = (file["code"] for file in files_of(host))
            link = host.link(code)
            folders = {"": {name: self.sizes.big_bytes}}
            with Index(self.place("index"), folders, links={name: link}) as index:
                yield host, index, link
        shutil.rmtree(root)

    @cached_property
    def big_reads(self) -> Mapping[str, Read]:
        """Rows 4 and 5 are two views of the same measurement."""
        with self.big_file(0) as (host, index, link):
            repeats = self.sizes.repeats
            copy = self.place("curl") / "Big.mp4"
            reads = {
                "curl": Read(median_of(repeats, lambda: download_with_curl(link, copy)), 0.0),
                "null": Read(
                    median_of(repeats, lambda: download_with_curl(link, "/dev/null")), 0.0
                ),
            }
            copy.unlink()
            mounts: dict[str, Mount] = {
                "off": Rclone(self.place("rclone-off"), index.url, "--vfs-cache-mode", "off"),
                "full": Rclone(self.place("rclone-full"), index.url, "--vfs-cache-mode", "full"),
                "vidfs": Vidfs(self.place("vidfs"), host, dialect=DIALECT),
            }
            turns: dict[str, list[Read]] = {name: [] for name in mounts}
            for turn in range(repeats):  # in turns, so that all meet the same disturbances
                for name, mount in mounts.items():
                    self.say(f"reading {self.sizes.big_bytes // MIB} MiB: {name}, {turn + 1}")
                    turns[name].append(read_big(mount, self.sizes.big_bytes))
                    mount.cold()
            reads |= {name: median_read(found) for name, found in turns.items()}
            return reads


def populate(host: SimHost, folders: int, files_per_folder: int, *, fanout: int) -> None:
    """Quick to make: the bytes of these files are a formula."""
    files = folders * files_per_folder
    query = {"folders": folders, "files": files, "size": MIB, "fanout": fanout}
    host.admin("POST", f"{DIALECT}/populate", **query)


def files_of(host: SimHost) -> list[dict[str, Any]]:
    answer = host.admin("GET", f"{DIALECT}/tree")
    return list(answer["files"])


def folders_of(host: SimHost) -> dict[str, dict[str, int]]:
    tree = host.admin("GET", f"{DIALECT}/tree")
    folders: dict[str, dict[str, int]] = {"": {}}
    folders |= {folder["path"]: {} for folder in tree["folders"]}
    for file in tree["files"]:
        folders[file["folder_path"]][file["title"]] = file["size"]
    return folders


def download_with_curl(link: str, target: Path | str) -> float:
    run("sync")
    with stopwatch() as watch:
        run("curl", "-sSf", "-o", target, link)
    return watch.wall_s


def read_big(mount: Mount, size_bytes: int) -> Read:
    """A cold read of the mount's only file, then one of what its cache kept."""
    path = mount.mountpoint / "Big.mp4"
    mount.cold()
    drop_page_cache()
    with mount.mount() as process:
        with stopwatch(process.pid) as cold:
            check_count(read_through(path), size_bytes)
        drop_page_cache()
        with stopwatch() as again:
            check_count(read_through(path), size_bytes)
    return Read(cold.wall_s, cold.cpu_s, again.wall_s)


def median_read(reads: Sequence[Read]) -> Read:
    return Read(
        statistics.median(read.cold_s for read in reads),
        statistics.median(read.cpu_s for read in reads),
        statistics.median(read.again_s or 0.0 for read in reads),
    )


def check_count(found: int, expected: int) -> None:
    if found != expected:
        raise RuntimeError(f"expected {expected}, found {found}")


def walk(mount: Mount, files: int, *tests: str) -> float:
    with stopwatch() as watch:
        check_count(find_files(mount.mountpoint, *tests), files)
    return watch.wall_s


# --- the rows -------------------------------------------------------------------------------


def cold_and_warm_walks(bench: Bench) -> tuple[dict[str, float], dict[str, float], int]:
    """Seconds per way to mount: cold, and warm (vidfs: after a remount); and the host calls that
    vidfs made before the first entry after its remount."""
    sizes = bench.sizes
    files = sizes.folders * sizes.files_per_folder
    cold: dict[str, float] = {}
    warm: dict[str, float] = {}
    with bench.tree(sizes.folders, sizes.files_per_folder, latency_ms=LATENCY_MS) as (host, index):
        refresh = ("--vfs-refresh", "--checkers", str(PARALLEL_CALLS))
        parallel = f"api_parallel={PARALLEL_CALLS}"
        mounts: dict[str, Mount] = {
            "rclone": Rclone(bench.place("rclone"), index.url, "--http-no-head"),
            "refresh": Rclone(bench.place("refresh"), index.url, "--http-no-head", *refresh),
            "vidfs": Vidfs(bench.place("vidfs"), host, dialect=DIALECT),
            "parallel": Vidfs(bench.place("parallel"), host, parallel, dialect=DIALECT),
        }
        for name, mount in mounts.items():
            bench.say(f"walking {sizes.folders} folders: {name}")
            with mount.mount():
                cold[name] = walk(mount, files)
                warm[name] = median_of(3, lambda mount=mount: walk(mount, files))  # type: ignore[misc]
        remounted = mounts["vidfs"]
        host.admin("DELETE", f"{DIALECT}/calls")
        with remounted.mount():
            next(remounted.mountpoint.iterdir())
            calls = sum(host.calls(DIALECT).values())
            warm["remount"] = walk(remounted, files)
    return cold, warm, calls


def row_1_and_2(bench: Bench) -> list[Line]:
    cold, warm, calls = cold_and_warm_walks(bench)
    n = bench.sizes.folders
    what = f"cold find, {n} folders × {bench.sizes.files_per_folder}, {LATENCY_MS} ms a call"
    return [
        Line(
            row=1,
            work=what,
            vidfs=seconds(cold["vidfs"]),
            other=f"rclone {seconds(cold['rclone'])}",
            ratio=cold["rclone"] / cold["vidfs"],
            at_least=10,
        ),
        Line(
            row=1,
            work=f"… {PARALLEL_CALLS} calls at once",
            vidfs=seconds(cold["parallel"]),
            other=f"rclone --vfs-refresh {seconds(cold['refresh'])}",
            ratio=cold["refresh"] / cold["parallel"],
            at_least=1,
        ),
        Line(
            row=2,
            work="find again",
            vidfs=seconds(warm["vidfs"]),
            other=f"rclone {seconds(warm['rclone'])}",
            ratio=warm["rclone"] / warm["vidfs"],
        ),
        Line(
            row=2,
            work="find after a remount",
            vidfs=seconds(warm["remount"]),
            other=f"rclone, not remounted {seconds(warm['rclone'])}",
            ratio=warm["rclone"] / warm["remount"],
            at_least=1,
        ),
        Line(
            row=2,
            work="host calls before the first entry after a remount",
            vidfs=str(calls),
            other="",
            ratio=calls,
            at_most=0,
            unit="",
        ),
    ]


def row_3(bench: Bench) -> list[Line]:
    """Little latency: rclone asks for every size by itself, which would take it ten minutes."""
    files = bench.sizes.wide_folder

    def listing(mount: Mount) -> float:
        with stopwatch() as watch:
            found = run("ls", "-l", next(mount.mountpoint.iterdir())).count("\n") - 1
        check_count(found, files)
        return watch.wall_s

    times: dict[str, tuple[float, float, float]] = {}
    with bench.tree(1, files, latency_ms=LITTLE_LATENCY_MS) as (host, index):
        for mount in (
            Rclone(bench.place("rclone"), index.url),
            Vidfs(bench.place("vidfs"), host, dialect=DIALECT),
        ):
            bench.say(f"a folder of {files} files: {type(mount).__name__.lower()}")
            with mount.mount():
                first = listing(mount)
                again = median_of(3, lambda mount=mount: listing(mount))  # type: ignore[misc]
                sized = median_of(3, lambda mount=mount: walk(mount, files, "-size", "+0"))  # type: ignore[misc]
            times[type(mount).__name__] = (first, again, sized)
    works = (
        f"first ls -l of {files} files, {LITTLE_LATENCY_MS} ms",
        "ls -l again",
        "find -size again",
    )
    return [
        Line(
            row=3,
            work=work,
            vidfs=seconds(ours),
            other=f"rclone {seconds(theirs)}",
            ratio=theirs / ours,
            at_least=bar,
        )
        for work, ours, theirs, bar in zip(
            works, times["Vidfs"], times["Rclone"], (10, 2, 2), strict=True
        )
    ]


def row_4(bench: Bench) -> list[Line]:
    size = bench.sizes.big_bytes
    reads = bench.big_reads
    ours = reads["vidfs"]
    lines = [
        Line(
            row=4,
            work=f"cold read of {size // MIB} MiB",
            vidfs=speed(size, ours.cold_s),
            other=f"{name} {speed(size, reads[key].cold_s)}",
            ratio=reads[key].cold_s / ours.cold_s,
            at_least=bar,
        )
        for key, name, bar in (
            ("full", "rclone cache full", 1.5),
            ("off", "rclone cache off", 1.0),
            # both mounts keep what they fetch on the disk, too
            ("curl", "curl to a file", 0.5),
            ("null", "curl to nowhere", None),
        )
    ]
    least = min(reads["full"].cpu_s, reads["off"].cpu_s)
    cpu = Line(
        row=4,
        work="… processor time of the daemon",
        vidfs=seconds(ours.cpu_s),
        other=f"rclone full {seconds(reads['full'].cpu_s)}, off {seconds(reads['off'].cpu_s)}",
        ratio=least / ours.cpu_s,
        at_least=1,
    )
    return [*lines, cpu]


def row_5(bench: Bench) -> list[Line]:
    size = bench.sizes.big_bytes
    ours, theirs = bench.big_reads["vidfs"].again_s, bench.big_reads["full"].again_s
    assert ours and theirs
    return [
        Line(
            row=5,
            work=f"the same {size // MIB} MiB again, page cache dropped",
            vidfs=speed(size, ours),
            other=f"rclone cache full {speed(size, theirs)}",
            ratio=theirs / ours,
            at_least=1.5,
        )
    ]


def row_6(bench: Bench) -> list[Line]:
    """The first read makes the link known; then each read is somewhere else in the file."""
    part = 64 << 10
    medians: dict[str, float] = {}
    with bench.big_file(LATENCY_MS) as (host, index, link):
        for mount in (
            Rclone(bench.place("rclone"), index.url, "--vfs-cache-mode", "off"),
            Vidfs(bench.place("vidfs"), host, dialect=DIALECT),
        ):
            chance = random.Random(6)
            path = mount.mountpoint / "Big.mp4"
            chosen = chance.sample(range(1, bench.sizes.big_bytes // MIB), bench.sizes.random_reads)
            times = []
            with mount.mount():
                pread_once(path, 0, part)
                for place in chosen:
                    offset = place * MIB + chance.randrange(0, MIB - part)
                    with stopwatch() as watch:
                        found = pread_once(path, offset, part)
                    times.append(watch.wall_s)
                    expected = read_range(link, offset, part)
                    if found != expected:
                        raise RuntimeError(f"{mount.mountpoint}: wrong bytes at {offset}")
            medians[type(mount).__name__] = statistics.median(times)
    bar_s = 1.3 * LATENCY_MS / 1000 + 0.005
    return [
        Line(
            row=6,
            work=f"open + 64 KiB at a random place, {LATENCY_MS} ms",
            vidfs=seconds(medians["Vidfs"]),
            other=f"1.3 × latency + 5 ms = {seconds(bar_s)}; rclone {seconds(medians['Rclone'])}",
            ratio=medians["Vidfs"] / bar_s,
            at_most=1,
        )
    ]


def rows_4_to_6_with_fio(bench: Bench) -> list[Line]:
    found: dict[str, dict[str, float]] = {"off": {}, "full": {}, "vidfs": {}}
    for latency_ms in (0, LATENCY_MS):
        with bench.big_file(latency_ms) as (host, index, link):
            mounts: dict[str, Mount] = {
                "off": Rclone(bench.place("rclone-off"), index.url, "--vfs-cache-mode", "off"),
                "full": Rclone(bench.place("rclone-full"), index.url, "--vfs-cache-mode", "full"),
                "vidfs": Vidfs(bench.place("vidfs"), host, dialect=DIALECT),
            }
            for name, mount in mounts.items():
                bench.say(f"fio, {latency_ms} ms: {name}")
                path = mount.mountpoint / "Big.mp4"
                if latency_ms:
                    speeds = fio.measure_random(mount, path, bench.sizes.random_reads)
                    fields = ("random_s", "random_again_s")
                else:
                    speeds = fio.measure_sequential(mount, path)
                    fields = ("cold_bytes_s", "again_bytes_s")
                found[name] |= zip(fields, speeds, strict=True)
                mount.cold()
            if latency_ms:
                size, reads = bench.sizes.big_bytes, bench.sizes.random_reads
                curl_s = fio.curl_at_random(link, size, reads)
    by_name = {name: fio.Found(**speeds) for name, speeds in found.items()}
    return fio.lines(by_name, curl_s, LATENCY_MS)


def read_range(link: str, offset: int, size_bytes: int) -> bytes:
    request = urllib.request.Request(
        link, headers={"Range": f"bytes={offset}-{offset + size_bytes - 1}"}
    )
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


def row_7(bench: Bench) -> list[Line]:
    """What is compared goes first in turns: pages that the one gave back make the next one faster,
    by up to half a second for each GiB on a virtual machine."""
    size = bench.sizes.big_bytes
    source = bench.work / "source.mp4"
    write_random(source, size)
    times: dict[str, list[float]] = {"cp": [], "spool": [], "upload": [], "curl": []}

    def timed(what: str, *command: str | Path) -> None:
        run("sync")
        with stopwatch() as watch:
            run(*command)
        times[what].append(watch.wall_s)

    def copy_to_disk() -> None:
        plain = mount.work / "plain.mp4"
        timed("spool", "cp", source, plain)
        plain.unlink()

    def copy_in() -> None:
        timed("cp", "cp", source, mount.mountpoint / f"Film {turn}.mp4")
        with stopwatch() as watch:
            mount.wait_uploads()
        times["upload"].append(watch.wall_s)

    def send_with_curl() -> None:
        url = host.api("file/ul")["url"]
        timed("curl", "curl", "-sSf", "-o", "/dev/null", "-F", f"file1=@{source}", url)

    root = bench.place("host")
    turns = bench.sizes.repeats + bench.sizes.repeats % 2
    with SimHost(root) as host:
        mount = Vidfs(bench.place("vidfs"), host, dialect=DIALECT)
        with mount.mount():
            for turn in range(turns):
                bench.say(f"copying {size // MIB} MiB in, turn {turn + 1}")
                steps = (copy_to_disk, copy_in, send_with_curl)
                for step in steps if turn % 2 == 0 else reversed(steps):
                    step()
            check_count(len(files_of(host)), 2 * turns)
    source.unlink()
    shutil.rmtree(root)
    median = {what: statistics.median(values) for what, values in times.items()}
    return [
        Line(
            row=7,
            work=f"cp of {size // MIB} MiB into the mount",
            vidfs=speed(size, median["cp"]),
            other=f"cp to the spool's disk {speed(size, median['spool'])}",
            ratio=median["spool"] / median["cp"],
            at_least=0.7,
        ),
        Line(
            row=7,
            work="… its upload, from close to done",
            vidfs=speed(size, median["upload"]),
            other=f"curl -F {speed(size, median['curl'])}",
            ratio=median["curl"] / median["upload"],
            at_least=0.8,
        ),
    ]


def row_8(bench: Bench) -> list[Line]:
    count, workers = bench.sizes.small_files, 4
    source = bench.place("small")
    for number in range(count):
        write_random(source / f"Clip {number:04}.mp4", 4096 + number)
    root = bench.place("host")
    with SimHost(root, latency_ms=LATENCY_MS) as host:
        mount = Vidfs(bench.place("vidfs"), host, f"uploads={workers}", dialect=DIALECT)
        with mount.mount():
            host.admin("DELETE", f"{DIALECT}/calls")
            bench.say(f"rsync of {count} small files")
            with stopwatch() as watch:
                run("rsync", "-a", f"{source}/", f"{mount.mountpoint}/")
                mount.wait_uploads()
            calls = sum(host.calls(DIALECT).values())
            check_count(len(files_of(host)), count)
    shutil.rmtree(root)
    bar_s = 1.3 * calls * LATENCY_MS / 1000 / workers
    return [
        Line(
            row=8,
            work=f"rsync of {count} small files, {LATENCY_MS} ms, {calls} calls",
            vidfs=seconds(watch.wall_s),
            other=f"1.3 × calls × latency ÷ {workers} workers = {seconds(bar_s)}",
            ratio=watch.wall_s / bar_s,
            at_most=1,
        )
    ]


def row_9(bench: Bench) -> list[Line]:
    folders, per_folder = bench.sizes.huge_folders, 50
    root = bench.place("host")
    with ExitStack() as stack:
        host = stack.enter_context(SimHost(root))
        populate(host, folders, per_folder, fanout=100)
        mount = Vidfs(bench.place("vidfs"), host, dialect=DIALECT)
        bench.say(f"{folders * per_folder} files: first walk")
        with mount.mount():
            walk(mount, folders * per_folder)
        bench.say("… remounted")
        with stopwatch() as watch:
            process = stack.enter_context(mount.mount())
            next(mount.mountpoint.iterdir())
        walk(mount, folders * per_folder)
        resident = resident_bytes(process.pid) / MIB
    shutil.rmtree(root)
    return [
        Line(
            row=9,
            work=f"{folders * per_folder} files: usable after a remount",
            vidfs=seconds(watch.wall_s),
            other="",
            ratio=watch.wall_s,
            at_most=1,
            unit="s",
        ),
        Line(
            row=9,
            work="… resident memory after a walk of them all",
            vidfs=f"{resident:.0f} MiB",
            other="",
            ratio=resident,
            at_most=300,
            unit="MiB",
        ),
    ]


ROWS: dict[tuple[int, ...], Callable[[Bench], list[Line]]] = {
    (1, 2): row_1_and_2,
    (3,): row_3,
    (4,): row_4,
    (5,): row_5,
    (6,): row_6,
    (4, 5, 6): rows_4_to_6_with_fio,
    (7,): row_7,
    (8,): row_8,
    (9,): row_9,
}
