"""One file on a real mount against a shadow, at random: as fsx does, with uploads in between.

`VIDFS_FSX_STEPS=20000 VIDFS_FSX_SEED=7 pytest tests/mount/test_fsx.py` runs longer, or again.
"""

from __future__ import annotations

import mmap
import os
import random
import shutil
from pathlib import Path

import pytest

from tests.mount.mounting import Mount, Mounted, Simhost

STEPS = int(os.environ.get("VIDFS_FSX_STEPS", "250"))
SEED = int(os.environ.get("VIDFS_FSX_SEED", "0"))
SIZE_MAX = 600_000  # three chunks of the cache, and pages enough
NAME = "a film.mp4"


class Fsx:
    """The file, what it must hold, and one step after the other."""

    def __init__(self, mount: Mount, randomness: random.Random) -> None:
        self.mount = mount
        self.path = mount.path / NAME
        self.random = randomness
        self.shadow = bytearray()
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT)
        self.said: list[str] = []

    def step(self) -> None:
        steps = {
            self.write: 30, self.read: 30, self.truncate: 6, self.append: 8, self.map: 8,
            self.reopen: 8, self.second: 4, self.upload: 3, self.upload_and_forget: 3,
        }  # fmt: skip
        [step] = self.random.choices(list(steps), list(steps.values()))
        self.said.append(step.__name__)
        step()
        assert os.fstat(self.fd).st_size == len(self.shadow)

    def data(self) -> bytes:
        return self.random.randbytes(self.random.choice([1, 100, 4096, 70_000]))

    def put(self, offset: int, data: bytes) -> None:
        if offset > len(self.shadow):
            self.shadow.extend(bytes(offset - len(self.shadow)))
        self.shadow[offset : offset + len(data)] = data

    def write(self) -> None:
        offset, data = self.random.randrange(SIZE_MAX), self.data()
        assert os.pwrite(self.fd, data, offset) == len(data)
        self.put(offset, data)

    def read(self) -> None:
        offset, size = self.random.randrange(SIZE_MAX), self.random.choice([1, 5000, 200_000])
        assert os.pread(self.fd, size, offset) == self.shadow[offset : offset + size], self.said

    def truncate(self) -> None:
        size = self.random.randrange(1, SIZE_MAX)
        os.ftruncate(self.fd, size)
        self.shadow = self.shadow[:size] + bytes(max(0, size - len(self.shadow)))

    def append(self) -> None:
        data = self.data()
        with self.path.open("ab", buffering=0) as file:
            assert file.write(data) == len(data)
        self.shadow += data

    def map(self) -> None:
        if len(self.shadow) < 2:
            return
        start = self.random.randrange(len(self.shadow) - 1)
        data = self.data()[: len(self.shadow) - start]
        with mmap.mmap(self.fd, len(self.shadow)) as mapped:
            mapped[start : start + len(data)] = data
            mapped.flush()
        self.put(start, data)

    def second(self) -> None:
        """Another descriptor, a copy of the first, and what one wrote the other reads."""
        copy, other = os.dup(self.fd), os.open(self.path, os.O_RDONLY)
        data = self.data()
        assert os.pwrite(copy, data, 10) == len(data)
        self.put(10, data)
        assert os.pread(other, len(data), 10) == data
        os.close(copy)
        os.close(other)

    def reopen(self) -> None:
        os.close(self.fd)
        self.fd = os.open(self.path, os.O_RDWR)

    def upload(self) -> None:
        os.close(self.fd)
        self.mount.wait()
        self.fd = os.open(self.path, os.O_RDWR)

    def upload_and_forget(self) -> None:
        """From here on the bytes are the host's alone."""
        os.close(self.fd)
        self.mount.wait()
        for file in (self.mount.program.root / "cache").glob("*/*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        self.fd = os.open(self.path, os.O_RDWR)
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.parametrize("account", ["fruithosted", "xvs"])
def test_a_file_holds_what_was_written_whatever_happens_to_it(
    account: str, simhost: Simhost, mounted: Mounted, tmp_path: Path
) -> None:
    with mounted(account) as mount:
        fsx = Fsx(mount, random.Random(f"{account} {SEED}"))
        for _ in range(STEPS):
            fsx.step()
        os.close(fsx.fd)
        mount.wait()
        assert fsx.path.read_bytes() == fsx.shadow
        kept = [path for path in simhost.files(account) if not path.startswith("vidfs-trash~")]
        assert kept == [NAME]
        assert simhost.body(account, NAME) == fsx.shadow
