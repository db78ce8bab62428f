"""Where the suites run: mounts of ours, one of rclone's, and a plain directory to compare with."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.mount.mounting import Program, Simhost


@dataclass(frozen=True)
class Place:
    name: str
    path: Path  # suites work below it
    makes_folders: bool
    settle: Callable[[], None]  # what was written is at the host, and nothing of it cached here
    health: Callable[[], str]  # of whoever serves it; raises if it is in trouble
    is_ours: bool = False


def nothing() -> None:
    """A plain directory has nothing to settle."""


@contextmanager
def plain(root: Path) -> Iterator[Place]:
    path = root / "plain"
    path.mkdir(parents=True)
    yield Place("plain", path, True, nothing, lambda: "")


@contextmanager
def vidfs(root: Path, dialect: str) -> Iterator[Place]:
    root.mkdir(parents=True)
    simhost = Simhost(root / "host", "--accept-any")
    program = Program(root, simhost.config_file)
    try:
        simhost.request("POST", f"{dialect}/folders", path="work")
        with program.mounted(dialect, other_files="upload") as mount:

            def settle() -> None:
                mount.wait()
                drop_page_cache()

            def health() -> str:
                os.statvfs(mount.path)
                status = Path(f"/proc/{mount.pid}/status").read_text()
                peak_kib = int(status.split("VmHWM:")[1].split()[0])
                troubles = mount.log().count(" ERROR ")
                return f"daemon: at most {peak_kib >> 10} MiB resident, {troubles} errors logged"

            yield Place(
                f"vidfs {dialect}",
                mount.path / "work",
                dialect != "fruithosted",
                settle,
                health,
                is_ours=True,
            )
    finally:
        simhost.stop()


@contextmanager
def rclone(root: Path) -> Iterator[Place]:
    """`rclone mount` of a local directory, with what serves it best: all modes of opening
    (`full`), and no file that was just closed held back, which `truncate` would answer with EIO."""
    remote, path = root / "remote", root / "mnt"
    for folder in (remote, path):
        folder.mkdir(parents=True)
    process = subprocess.Popen(
        [
            *("rclone", "mount", str(remote), str(path), "--log-file", str(root / "rclone.log")),
            *("--vfs-cache-mode", "full", "--vfs-write-back", "0s"),
            *("--config", str(root / "rclone.conf"), "--cache-dir", str(root / "cache")),
        ]
    )
    try:
        deadline = time.monotonic() + 30
        while not path.is_mount():
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError("rclone doesn't mount")
            time.sleep(0.05)
        (path / "work").mkdir()
        yield Place("rclone", path / "work", True, drop_page_cache, lambda: "")
    finally:
        subprocess.run(["fusermount3", "-uz", path], check=False)
        process.terminate()
        process.wait(30)


@contextmanager
def directory(path: Path) -> Iterator[Place]:
    """Any other, with whatever is mounted there; left as it was."""
    work = path / "foreign-tests"
    try:
        work.mkdir()
    except PermissionError:
        yield Place(str(path), path, False, drop_page_cache, lambda: "")
        return
    try:
        yield Place(str(path), work, True, drop_page_cache, lambda: "")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def drop_page_cache() -> None:
    os.sync()
    if os.geteuid() == 0:
        Path("/proc/sys/vm/drop_caches").write_text("1")


@contextmanager
def emptied(place: Place) -> Iterator[Path]:
    """A directory for one suite; what that leaves is removed."""
    folder = place.path
    if place.makes_folders:
        folder = place.path / uuid.uuid4().hex  # whatever the last one left behind
        folder.mkdir()
    try:
        yield folder
    finally:
        for left in folder.iterdir():
            with suppress(OSError):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        if place.makes_folders:
            shutil.rmtree(folder, ignore_errors=True)
