"""A host that is stopped: what was known stays, what needs it fails soon and plainly, and all of
it recovers when the host is back."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mount.mounting import Mounted, Program, Simhost, until

FILM, OTHER = b"some film " * 100, b"another film"
SOON_S = 12.0  # with what a busy machine adds
AT_ONCE_S = 3.0


@contextmanager
def within(timeout_s: float, what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    took_s = time.monotonic() - started
    assert took_s < timeout_s, f"{what} took {took_s:.1f} s"


def refused(step: Callable[[], object], *, timeout_s: float) -> int | None:
    """The errno of *step*, which must fail in time."""
    with within(timeout_s, "a refusal"), pytest.raises(OSError, match=r".") as caught:
        step()
    return caught.value.errno


def walk(top: Path) -> dict[str, int]:
    """Every path below *top* with its size (0 for a folder), as `ls -lR` would show it."""
    return {
        str(path.relative_to(top)): path.stat().st_size if path.is_file() else 0
        for path in sorted(top.rglob("*"))
    }


@pytest.mark.parametrize("account", ["xvs", "vipstream"])
def test_a_stopped_host_leaves_what_was_known_and_is_taken_up_again(
    account: str, simhost: Simhost, mounted: Mounted
) -> None:
    simhost.add_file(account, "a.mp4", FILM, folder="Films/Old")
    simhost.add_file(account, "b.mp4", OTHER)
    with mounted(account, dir_ttl=0, dir_stale=0.5) as mount:
        path = mount.path
        known = walk(path)
        assert set(known) == {"Films", "Films/Old", "Films/Old/a.mp4", "b.mp4"}
        simhost.stop()
        time.sleep(1.0)  # until every listing is too old to be shown unasked
        with within(SOON_S, "the first ls"):
            assert walk(path) == known
        with within(AT_ONCE_S, "the next ls"):
            assert walk(path) == known
        assert "is shown as last known" in mount.log()
        assert not (path / "absent.mp4").exists()

        # Everything that needs the host is refused at once by now, and nothing has happened.
        for step in (
            lambda: (path / "New").mkdir(),
            lambda: (path / "b.mp4").rename(path / "c.mp4"),
            lambda: (path / "b.mp4").unlink(),
            lambda: (path / "Films" / "Old").rmdir(),
        ):
            assert refused(step, timeout_s=AT_ONCE_S) in (errno.EIO, errno.EPERM)
        expected = errno.EOPNOTSUPP if account == "vipstream" else errno.EIO
        assert refused((path / "b.mp4").read_bytes, timeout_s=20) == expected
        assert "does not answer" in mount.program.ok("status", str(path))
        with within(AT_ONCE_S, "df"):
            os.statvfs(path)
        (path / "new.mp4").write_bytes(FILM)  # waits for the host, but nobody waits for it
        assert (path / "new.mp4").read_bytes() == FILM
        assert walk(path) == known | {"new.mp4": len(FILM)}

        simhost.start()
        simhost.add_file(account, "theirs.mp4", OTHER)
        until(lambda: (path / "theirs.mp4") in path.iterdir(), "what came meanwhile")
        mount.wait()
        assert simhost.body(account, "new.mp4") == FILM
        if account == "xvs":
            assert (path / "b.mp4").read_bytes() == OTHER
        (path / "b.mp4").rename(path / "c.mp4")
        assert {"c.mp4", "new.mp4", "theirs.mp4", "Films"} == set(os.listdir(path))


def test_a_mount_from_the_catalogue_says_so_and_recovers(
    vidfs: Program, simhost: Simhost, mounted: Mounted
) -> None:
    simhost.add_file("xvs", "a.mp4", FILM, folder="Films")
    with mounted("xvs") as mount:
        known = walk(mount.path)
    simhost.stop()
    done = vidfs.run("mount", "-o", "dir_ttl=1", "xvs", str(mount.path))
    try:
        assert done.returncode == 0
        assert "mounted from the catalogue" in done.stderr
        assert walk(mount.path) == known
        assert "mounted from the catalogue" in mount.log()
        assert "mounted from the catalogue" in vidfs.ok("status", str(mount.path))
        simhost.start()
        simhost.add_file("xvs", "b.mp4", OTHER, folder="Films")
        until(lambda: os.listdir(mount.path / "Films") == ["a.mp4", "b.mp4"], "the new file")
        assert (mount.path / "Films" / "a.mp4").read_bytes() == FILM
        until(lambda: "catalogue" not in vidfs.ok("status", str(mount.path)), "the note's end")
    finally:
        vidfs.take_away(mount)
