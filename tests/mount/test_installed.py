"""From the built wheel to the first film at the host, as a person types it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.mount.mounting import Simhost
from tests.mount.terminal import Terminal
from tests.tools.packages import build, install_environ, run_install

FILM = bytes(range(256)) * 2048


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Where the wheel was installed."""
    done = run_install(
        *("--prefix", tmp_path / "usr", "--sbin", tmp_path / "sbin"),
        *("--wheel", build("wheel", tmp_path / "dist")),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path / "usr"


def test_add_mount_copy_status_umount(prefix: Path, simhost: Simhost, tmp_path: Path) -> None:
    account = simhost.accounts()["xvs"]
    home = tmp_path / "home"
    (home / "films").mkdir(parents=True)
    (home / "film.mp4").write_bytes(FILM)
    environ = install_environ() | {
        "HOME": str(home),
        "PATH": f"{prefix}/bin:{os.environ['PATH']}",
        "PS1": "$ ",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        environ.pop(name, None)
    code = "import vidfs; print(vidfs.__file__)"
    where = subprocess.run(
        [prefix / "lib/vidfs/bin/python", "-P", "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert where.stdout.startswith(str(prefix)), "another vidfs is tested"

    with Terminal(["bash", "--norc", "--noprofile", "-i"], environ) as shell:

        def run(line: str) -> str:
            """What a command shows; it must succeed."""
            shell.type(f"{line}; echo exit=$?")
            shown = shell.expect("\nexit=")
            assert shell.expect("\n").strip() == "0", shell.transcript
            return shown

        try:
            shell.expect("$ ")
            run("cd")
            shell.type("vidfs account add films --host xvs")
            shell.expect("Address of its API (https://…/api): ")
            shell.type(account["base_url"])
            shell.expect("API key (not shown): ")
            shell.type(account["key"])
            shell.expect("the host accepts the key")
            run("vidfs mount films films")
            assert "fuse.vidfs" in run("grep films /proc/mounts")
            simhost.fault("xvs:upload/server:http=503")
            run("cp film.mp4 films/")
            assert "film.mp4" in run("vidfs status")
            simhost.clear_faults()
            run("vidfs umount films")
            assert "no vidfs mount there" in run("! vidfs status films")
        finally:
            subprocess.run(
                [prefix / "bin/vidfs", "umount", "--now", home / "films"],
                env=environ,
                check=False,
                capture_output=True,
                timeout=60,
            )
    assert account["key"] not in shell.transcript
    assert simhost.body("xvs", "film.mp4") == FILM
    assert (home / ".config/vidfs/config.toml").stat().st_mode & 0o777 == 0o600
