"""mount(8), umount(8) and /etc/fstab with the type vidfs, as on a machine where it is installed.

In a mount namespace of the test's own, where /sbin holds the helper alone and /etc/fstab is the
test's: nothing of the machine is changed, and nobody else sees the mounts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.mount.mounting import ROOT, Simhost, until
from vidfs.app.mounts import find_lock_holder, wait_until_gone
from vidfs.control import ask

FILM = b"film" * 5000
USER = 65534
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")


class Machine:
    """One where vidfs is installed; commands run in it with an empty environment, as at boot."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.point = root / "point"
        self.fstab = root / "fstab"
        self.states = [root / "state", root / "user-state"]
        for path in (self.point, *self.states, root / "sbin"):
            path.mkdir()
        self._write_helper()
        self.fstab.write_text("")
        self._namespace = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sleep", "infinity"]
        )
        own = os.readlink("/proc/self/ns/mnt")
        pid = self._namespace.pid
        until(lambda: os.readlink(f"/proc/{pid}/ns/mnt") != own, "a mount namespace")
        for source, target in ((root / "sbin", "/sbin"), (self.fstab, "/etc/fstab")):
            done = self.run("mount", "--bind", str(source), os.path.realpath(target))
            assert done.returncode == 0, done.stderr

    def _write_helper(self) -> None:
        self.helper = self.root / "sbin/mount.vidfs"
        start = "from vidfs.cli import mount_helper; mount_helper()"
        path = f"{ROOT}:{sysconfig.get_path('platlib')}"
        self.helper.write_text(
            "#!/bin/sh\n"
            f"export PYTHONPATH={path}\n"
            # another user may not get at the one and has the other
            f"for python in {sys.executable} /usr/bin/python3; do\n"
            "  $python -c 'import pyfuse3' 2>/dev/null && break\n"
            "done\n"
            f"exec $python -c '{start}' \"$@\"\n"
        )
        self.helper.chmod(0o755)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/usr/bin/nsenter", f"--target={self._namespace.pid}", "--mount", *command],
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ok(self, *command: str) -> str:
        done = self.run(*command)
        assert (done.returncode, done.stderr) == (0, ""), (command, done, self.logs())
        return done.stdout

    def has_mount(self) -> bool:
        return self.run("findmnt", str(self.point)).returncode == 0

    def options(self, name: str = "state", **more: str) -> str:
        words = {
            "config": str(self.root / "config.toml"),
            "state_dir": str(self.root / name),
            "cache_dir": str(self.root / name / "cache"),
            **more,
        }
        return ",".join(f"{word}={value}" for word, value in words.items())

    def logs(self) -> str:
        return "".join(path.read_text() for path in self.root.glob("*state/*/vidfs.log"))

    def wait_until_finished(self, state: str = "state") -> None:
        """Until the daemon has ended by itself."""
        state_dir = self.root / state / "films"
        until(lambda: find_lock_holder(state_dir) is None, "the daemon's end")

    def close(self) -> None:
        for state in self.states:
            state_dir = state / "films"
            holder = find_lock_holder(state_dir)
            if holder:
                os.kill(holder, 15)
                wait_until_gone(state_dir, holder, timeout_s=25)
        self._namespace.kill()
        self._namespace.wait()


def why_not() -> str:
    if os.geteuid() != 0:
        return "only root can make a machine of its own"
    for program in ("unshare", "nsenter", "setpriv", "findmnt"):
        if shutil.which(program) is None:
            return f"no {program} here"
    if not Path("/etc/fstab").exists():
        return "no /etc/fstab here"
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "no namespaces here"


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture
def machine(simhost: Simhost) -> Iterator[Machine]:
    """With one account `films`."""
    # not below tmp_path, which other users can't enter
    with tempfile.TemporaryDirectory(prefix="vidfs-mount8-") as place:
        root = Path(place)
        root.chmod(0o755)
        one = Machine(root)
        try:
            write_account(root / "config.toml", simhost)
            yield one
        finally:
            one.close()


def write_account(path: Path, simhost: Simhost) -> None:
    account = simhost.accounts()["xvs"]
    lines = [f'{name} = "{account[name]}"' for name in ("host", "base_url", "key")]
    path.write_text("\n".join(["[accounts.films]", *lines]) + "\n")
    path.chmod(0o600)


def mount_words(machine: Machine, *options: str, flags: Sequence[str] = ()) -> list[str]:
    words = ",".join([machine.options(), *options])
    return ["mount", *flags, "-t", "vidfs", "-o", words, "films", str(machine.point)]


def test_mount_write_umount_and_the_upload_is_finished(machine: Machine, simhost: Simhost) -> None:
    machine.ok(*mount_words(machine, "noatime", "_netdev", "x-systemd.automount", "nofail"))
    shown = machine.ok("findmnt", "-no", "FSTYPE,SOURCE,OPTIONS", str(machine.point))
    assert shown.split()[:2] == ["fuse.vidfs", "films"]
    assert "noatime" in shown
    simhost.fault("xvs:upload:slow=400")
    (machine.root / "film").write_bytes(FILM)
    machine.ok("cp", str(machine.root / "film"), str(machine.point / "a.mp4"))
    machine.ok("umount", str(machine.point))
    assert not machine.has_mount()
    machine.wait_until_finished()
    assert simhost.body("xvs", "a.mp4") == FILM


def test_the_flags_of_mount(machine: Machine) -> None:
    machine.ok(*mount_words(machine, flags=["--fake"]))
    assert not machine.has_mount()
    refused = machine.run(*mount_words(machine, "colour=red"))
    assert refused.returncode == 1
    assert refused.stderr == "vidfs: unknown mount option 'colour'\n"
    machine.ok(*mount_words(machine, "colour=red", flags=["-s", "-n", "-r"]))
    assert "ro" in machine.ok("findmnt", "-no", "OPTIONS", str(machine.point)).split(",")
    again = machine.run(*mount_words(machine))
    assert again.returncode == 32
    assert "already mounted" in again.stderr
    machine.ok("umount", str(machine.point))


def test_what_fails_is_said_in_one_line_with_mounts_own_codes(machine: Machine) -> None:
    done = machine.run("mount", "-t", "vidfs", "nosuch", str(machine.point))
    assert done.returncode == 1
    assert done.stderr.startswith("vidfs: no account 'nosuch'")
    words = mount_words(machine)
    done = machine.run(*words[:-1], str(machine.root / "absent"))
    assert done.returncode in (1, 32)  # mount(8) may say it first
    assert len(done.stderr.splitlines()) <= 2


def test_a_line_of_fstab(machine: Machine) -> None:
    options = machine.options() + ",_netdev,nofail,x-systemd.automount,umask=077"
    machine.fstab.write_text(f"films {machine.point} vidfs {options} 0 0\n")
    machine.ok("mount", "--all", "-O", "_netdev")
    machine.ok("mount", "--all")  # it is there, and known to be
    assert machine.ok("stat", "-c", "%a", str(machine.point)) == "700\n"
    state = ask(machine.root / "state/films", "status")
    assert (state["source"], state["mountpoint"]) == ("films", str(machine.point))
    machine.ok("umount", str(machine.point))
    machine.wait_until_finished()


def test_a_user_mounts_by_the_word_user(machine: Machine, simhost: Simhost) -> None:
    """mount(8) is set-user-id and calls the helper as that user."""
    if machine.run(*AS_USER, str(machine.helper), "--help").returncode:
        pytest.skip("another user can't run this program")
    config = machine.root / "user.toml"
    write_account(config, simhost)
    for path in (config, machine.root / "user-state", machine.point):
        os.chown(path, USER, USER)
    options = machine.options("user-state", config=str(config)) + ",noauto,user"
    machine.fstab.write_text(f"films {machine.point} vidfs {options} 0 0\n")
    machine.ok(*AS_USER, "mount", str(machine.point))
    shown = machine.ok("findmnt", "-no", "OPTIONS", str(machine.point)).strip().split(",")
    assert {"nosuid", "nodev", "noexec", f"user_id={USER}"} <= set(shown)
    machine.ok(*AS_USER, "mkdir", str(machine.point / "New"))
    assert machine.ok(*AS_USER, "stat", "-c", "%u", str(machine.point / "New")) == f"{USER}\n"
    daemon = find_lock_holder(machine.root / "user-state/films")
    environ = Path(f"/proc/{daemon}/environ")
    assert environ.stat().st_uid == 0, "the user's other processes could read its memory"
    machine.ok(*AS_USER, "umount", str(machine.point))
    assert not machine.has_mount()
    machine.wait_until_finished("user-state")
