"""Who may enter a mount, see and change what is in it: checked as a second user."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.mount.mounting import Mounted, Program, Simhost

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
# the program may lie where nobody may not look; it doesn't mount with this
READS_ALL = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root can be a second user (with setpriv)",
)


class NobodysProgram(Program):
    def command(self, *args: str, function: str = "main") -> list[str]:
        return [*AS_NOBODY, *READS_ALL, *super().command(*args, function=function)]


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A directory that everybody may enter."""
    path = Path(mkdtemp(prefix="vidfs-users-"))
    path.chmod(0o755)
    (path / "mnt").mkdir()
    yield path
    shutil.rmtree(path)


def nobody(script: str, where: Path) -> tuple[bool, str]:
    """Whether a shell command of the other user's in *where* succeeds, and what it says."""
    done = subprocess.run(
        [*AS_NOBODY, "sh", "-c", f'cd "$1" && {script}', "sh", str(where)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def test_others_may_not_enter(simhost: Simhost, mounted: Mounted, open_dir: Path) -> None:
    simhost.add_file("xvs", "a.mp4", b"film")
    with mounted("xvs", where=open_dir / "mnt") as mount:
        assert mount.path.joinpath("a.mp4").read_bytes() == b"film"
        may, said = nobody("stat mnt", open_dir)
        assert not may
        assert "Permission denied" in said


def test_with_allow_other_they_may_read_and_not_write(
    simhost: Simhost, mounted: Mounted, open_dir: Path
) -> None:
    simhost.add_file("xvs", "a.mp4", b"film")
    with mounted("xvs", where=open_dir / "mnt", allow_other=True, umask="022") as mount:
        assert nobody("cat a.mp4", mount.path) == (True, "film")
        assert nobody("stat -c '%A %u' a.mp4", mount.path) == (True, "-rw-r--r-- 0")
        for change in (
            *("echo x > b.mp4", "echo x > a.mp4", "mkdir d", "rm -f a.mp4", "mv a.mp4 b.mp4"),
            "setfattr -n user.vidfs.public -v 0 a.mp4",
        ):
            assert not nobody(change, mount.path)[0], change
        assert {path.name for path in mount.path.iterdir()} == {"a.mp4"}


def test_the_owner_that_was_named_may_write(
    simhost: Simhost, mounted: Mounted, open_dir: Path
) -> None:
    owner = {"uid": NOBODY, "gid": NOBODY, "umask": "027"}
    with mounted("xvs", where=open_dir / "mnt", allow_other=True, **owner) as mount:
        assert nobody("echo x > b.mp4 && mkdir d && stat -c '%A %u %g' b.mp4 d", mount.path) == (
            True,
            f"-rw-r----- {NOBODY} {NOBODY}\ndrwxr-x--- {NOBODY} {NOBODY}",
        )
        mount.wait()
    assert set(simhost.files("xvs")) == {"b.mp4"}


def test_the_umask_keeps_others_out(simhost: Simhost, mounted: Mounted, open_dir: Path) -> None:
    simhost.add_file("xvs", "a.mp4", b"film")
    with mounted("xvs", where=open_dir / "mnt", allow_other=True, umask="077") as mount:
        assert not nobody("ls", mount.path)[0]
        assert not nobody("cat a.mp4", mount.path)[0]


def test_allow_root_lets_nobody_else_in(simhost: Simhost, mounted: Mounted, open_dir: Path) -> None:
    simhost.add_file("xvs", "a.mp4", b"film")
    with mounted("xvs", where=open_dir / "mnt", allow_root=True, umask="022") as mount:
        assert (mount.path / "a.mp4").read_bytes() == b"film"
        for script in ("ls", "cat a.mp4", "echo x > b.mp4"):
            assert not nobody(script, mount.path)[0], script


@pytest.fixture
def nobodys(simhost: Simhost, open_dir: Path) -> NobodysProgram:
    config = open_dir / "config.toml"
    config.write_bytes(simhost.config_file.read_bytes())
    config.chmod(0o600)
    for path in (open_dir, config, open_dir / "mnt"):
        os.chown(path, NOBODY, NOBODY)
    return NobodysProgram(open_dir, config)


def test_a_user_mounts_for_himself_alone(simhost: Simhost, nobodys: NobodysProgram) -> None:
    simhost.add_file("xvs", "a.mp4", b"film")
    with nobodys.mounted("xvs", where=nobodys.root / "mnt", umask="022") as mount:
        assert nobody("cat a.mp4; echo x > b.mp4", mount.path) == (True, "film")
        mount.wait()
        with pytest.raises(PermissionError):  # not even root
            mount.path.joinpath("a.mp4").read_bytes()
        assert os.stat(nobodys.state_root / "xvs").st_uid == NOBODY
        nobodys.ok("umount", str(mount.path))
    assert set(simhost.files("xvs")) == {"a.mp4", "b.mp4"}


def test_why_a_user_may_not_mount_is_said(nobodys: NobodysProgram) -> None:
    conf = Path("/etc/fuse.conf")
    if conf.exists() and "\nuser_allow_other" in conf.read_text():
        pytest.skip("/etc/fuse.conf lets users do so")
    point = nobodys.root / "mnt"
    for option in ("allow_other", "allow_root"):
        line = nobodys.fails("mount", "-o", option, "xvs", str(point), code=1)
        assert "only allowed if 'user_allow_other' is set in /etc/fuse.conf" in line
    os.chown(point, 0, 0)
    line = nobodys.fails("mount", "xvs", str(point), code=1)
    assert "no write access to mountpoint" in line
