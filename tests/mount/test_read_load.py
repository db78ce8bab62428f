"""Many readers, much trouble, and daemons that die: never a wrong byte, never a hang.

Short here; `scripts/soak-read` runs the same at full length.
"""

from __future__ import annotations

import os
import random
import resource
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.mount.mounting import Mounted, Program, Simhost
from vidfs.content.chunks import CHUNK_BYTES, chunk_count, chunk_start, chunk_stop
from vidfs.simhost.bodies import FormulaBody

FULL = bool(os.environ.get("VIDFS_SOAK"))
READERS = 16
MIB = 1 << 20
SEED = int(os.environ.get("VIDFS_SEED", "4711"))
HANG_S = 150.0 if FULL else 45.0  # three requests of the kernel, each with time-outs

TROUBLE = (
    "download:drop-at=200000:every=3",
    "download:slow=30:every=4",
    "download:drop-before:every=5",
    "download:truncate:every=7",
    "download:expire:every=11",
    "download:status=404:every=13",
    "download:status=410:every=17",
    "download:http=500:every=19",
    "download:bandwidth:every=23",
    "download:too-many:every=29",
    "download:html:every=31",
)
MORE_TROUBLE = {
    "fruithosted": (f"file/dlticket:wait=1:every={7 if FULL else 40}", "file/dl:http=502:every=9"),
    "streamtape": (
        f"file/dlticket:wait=1:every={7 if FULL else 40}",
        "file/dl:string-status:every=2",
    ),
    "xvs": ("file/direct_link:http=502:every=9", "file/direct_link:slow=200:every=5"),
}


class Film:
    """A file of the simulated host that takes no disk, and what must be read from it."""

    def __init__(self, simhost: Simhost, account: str, size_bytes: int, title: str) -> None:
        self.size_bytes = size_bytes
        query = {"folder": "", "title": title, "formula": size_bytes, "seed": SEED}
        self.code: str = simhost.request("POST", f"{account}/files", **query)["code"]

    def read(self, offset: int, size: int) -> bytes:
        body, parts = FormulaBody(SEED, self.size_bytes), []
        while size > 0 and (part := body.read(offset, size)):
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)


def read_anywhere(path: Path, film: Film, seed: int, goes_on: Callable[[int], bool]) -> float:
    """Reads of all kinds, each compared. Returns how long the longest took."""
    chance, longest_s, turn = random.Random(seed), 0.0, 0
    with path.open("rb", buffering=0) as file:
        while goes_on(turn):
            offset = chance.randrange(film.size_bytes)
            for size in chance.choice(([1], [4096], [300_000], [131_072] * 6, [2 * MIB + 1])):
                started = time.monotonic()
                found = os.pread(file.fileno(), size, offset)
                longest_s = max(longest_s, time.monotonic() - started)
                expected = film.read(offset, size)
                assert found == expected[: len(found)], f"wrong bytes at {offset}, {size} of them"
                short = len(expected) - len(found)
                assert not short or FULL, f"{short} bytes less at {offset}"
                offset += len(found)
            turn += 1
    return longest_s


def in_parallel(work: Callable[[int], float]) -> list[float]:
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(work, range(READERS)))


@pytest.mark.parametrize("account", ["fruithosted", "xvs", "streamtape"])
def test_no_trouble_of_the_host_gives_a_wrong_byte_or_a_hang(
    simhost: Simhost, mounted: Mounted, account: str
) -> None:
    film = Film(simhost, account, 2048 * MIB, "film.mp4")
    simhost.set(ticket_wait_s=int(FULL), link_ttl_s=4)
    simhost.fault(*(f"{account}:{rule}" for rule in TROUBLE + MORE_TROUBLE[account]))
    if FULL:
        simhost.fault(f"{account}:download:hang:every=97")
    turns, seconds = (10**9, 60) if FULL else (1, 4)
    ends_at = time.monotonic() + seconds
    with mounted(account, cache_size="256M") as mount:
        path = mount.path / "film.mp4"
        longest_s = in_parallel(
            lambda number: read_anywhere(
                path, film, SEED + number, lambda turn: turn < turns and time.monotonic() < ends_at
            )
        )
        assert max(longest_s) < HANG_S
    rules = simhost.request("GET", "fault")
    quiet = [rule["rule"] for rule in rules if not rule["fired"]]
    assert not quiet or not FULL


def test_a_server_without_ranges_and_sizes_is_read_by_many(
    simhost: Simhost, mounted: Mounted
) -> None:
    film = Film(simhost, "xvs", 512 * MIB if FULL else 16 * MIB, "film.mp4")
    simhost.fault("xvs:download:ignore-range", "xvs:download:drop-at=9000000:every=3")
    with mounted("xvs") as mount:
        path = mount.path / "film.mp4"
        in_parallel(lambda seed: read_anywhere(path, film, seed, lambda turn: turn < 2))


def check_cache(directory: Path, film: Film) -> int:
    """Compare every chunk that is marked, without the program's help. Returns how many."""
    [map_file] = directory.rglob(f"{film.code}.map")
    chunks = chunk_count(film.size_bytes)
    marks = map_file.read_bytes()[-chunks:]
    with map_file.with_suffix(".data").open("rb") as data:
        for chunk in range(chunks):
            if marks[chunk]:
                start, stop = chunk_start(chunk), chunk_stop(chunk, film.size_bytes)
                found = os.pread(data.fileno(), stop - start, start)
                assert found == film.read(start, stop - start), f"chunk {chunk} is wrong"
    return marks.count(1)


def test_kills_while_many_read_leave_only_right_bytes(
    simhost: Simhost, mounted: Mounted, vidfs: Program
) -> None:
    film = Film(simhost, "xvs", 2048 * MIB if FULL else 96 * MIB, "film.mp4")
    chance = random.Random(SEED)
    found = 0
    for round_ in range(20 if FULL else 4):
        # With little room chunks leave the cache, too, while it is killed.
        room = "24M" if round_ % 2 else "1G"
        with mounted("xvs", cache_size=room) as mount, ThreadPoolExecutor(READERS) as pool:
            path = mount.path / "film.mp4"
            ended = threading.Event()

            def read(seed: int, path: Path = path, ended: threading.Event = ended) -> None:
                with suppress(OSError):  # the mount dies under it
                    read_anywhere(path, film, seed, lambda turn: not ended.is_set())

            readers = [pool.submit(read, 100 * round_ + n) for n in range(READERS)]
            time.sleep(chance.uniform(0.1, 3.0 if FULL else 0.8))
            mount.kill()
            ended.set()
            for reader in readers:
                reader.result()
        found += check_cache(vidfs.root / "cache", film)
        with mounted("xvs", cache_size="1G") as mount:
            read_anywhere(mount.path / "film.mp4", film, round_, lambda turn: turn < 5)
    assert found, "nothing was ever cached"


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no such process")


def test_a_hundred_open_files_take_little_memory(simhost: Simhost, mounted: Mounted) -> None:
    files = 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    film = Film(simhost, "xvs", 64 * MIB if FULL else 6 * MIB, "0.mp4")
    for number in range(1, files):
        Film(simhost, "xvs", film.size_bytes, f"{number}.mp4")
    with mounted("xvs") as mount:
        assert len(list(mount.path.iterdir())) == files
        pid, peak = mount.pid, [0]
        before = resident_bytes(pid)

        def read(number: int) -> None:
            with (mount.path / f"{number}.mp4").open("rb", buffering=0) as file:
                for offset in range(0, film.size_bytes, MIB):
                    assert file.read(MIB) == film.read(offset, MIB)
                    peak[0] = max(peak[0], resident_bytes(pid))

        with ThreadPoolExecutor(files) as pool:
            list(pool.map(read, range(files)))
        assert peak[0] - before < 48 * MIB, f"{(peak[0] - before) // MIB} MiB more"


@pytest.mark.parametrize("files", [1, 8])
def test_the_cache_keeps_its_bound_however_many_read(
    simhost: Simhost, mounted: Mounted, vidfs: Program, files: int
) -> None:
    bound = 16 * MIB
    film = Film(simhost, "xvs", 24 * MIB, "0.mp4")
    for number in range(1, files):
        Film(simhost, "xvs", film.size_bytes, f"{number}.mp4")
    most = [0]

    def read(path: Path) -> None:
        with path.open("rb", buffering=0) as file:
            for offset in range(0, film.size_bytes, MIB):
                assert file.read(MIB) == film.read(offset, MIB)
                most[0] = max(most[0], held_bytes(vidfs.root / "cache"))

    with mounted("xvs", cache_size=bound) as mount, ThreadPoolExecutor(files) as pool:
        list(pool.map(read, mount.path.iterdir()))
    assert most[0] <= bound + files * CHUNK_BYTES, f"{(most[0] - bound) // CHUNK_BYTES} chunks more"


def held_bytes(directory: Path) -> int:
    """What the cache takes of the disk."""
    total = 0
    for file in directory.rglob("*.data"):
        with suppress(FileNotFoundError):
            total += file.stat().st_blocks * 512
    return total
