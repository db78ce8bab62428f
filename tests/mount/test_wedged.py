"""Mounts whose daemon takes requests and never answers: nobody else waits for them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.mounting import Mounted, Program

_WEDGED = """
import sys, pyfuse3, trio
class Operations(pyfuse3.Operations):
    async def getattr(self, inode, ctx):
        attr = pyfuse3.EntryAttributes()
        attr.st_ino, attr.st_mode, attr.st_nlink = inode, 0o40755, 1
        attr.attr_timeout = attr.entry_timeout = 3600
        return attr
    async def statfs(self, ctx):
        return pyfuse3.StatvfsData()
    async def opendir(self, inode, ctx):
        await trio.sleep_forever()
    async def getxattr(self, inode, name, ctx):
        await trio.sleep_forever()
options = {"fsname=wedged", "subtype=vidfs"}
pyfuse3.init(Operations(), sys.argv[1], options)
print("mounted", flush=True)
trio.run(pyfuse3.main)
"""


@pytest.fixture
def wedged(tmp_path: Path) -> Iterator[Path]:
    """A mount that looks like ours and answers what the kernel knows already."""
    path = tmp_path / "wedged"
    path.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", _WEDGED, str(path)], stdout=subprocess.PIPE, text=True
    ) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == "mounted\n"
        yield path
        daemon.kill()
    subprocess.run(["fusermount3", "-uz", str(path)], check=False)


def test_commands_dont_wait_for_a_mount_that_hangs(
    vidfs: Program, mounted: Mounted, wedged: Path
) -> None:
    with mounted("xvs") as mount:
        (mount.path / "a.mp4").write_bytes(b"a film")
        mount.wait()
        started = time.monotonic()
        assert f"xvs on {mount.path}, pid {mount.pid}\n" in vidfs.ok("status")
        assert "no vidfs mount there" in vidfs.fails("wait", "nosuch", code=3)
        assert time.monotonic() - started < 10
        mount.unmount()
    started = time.monotonic()
    assert "its daemon runs elsewhere" in vidfs.fails("wait", str(wedged), code=3)
    assert "its daemon runs elsewhere" in vidfs.fails("umount", str(wedged), code=3)
    checks = json.loads(vidfs.run("doctor", "--json").stdout)["checks"]
    [found] = [one for one in checks if str(wedged) in one["text"]]
    assert "doesn't answer" in found["text"]
    assert time.monotonic() - started < 60
