"""A key is seen nowhere: a real mount, everything that goes wrong, and then a search for it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.mount.mounting import Mount, Program, Simhost, processes_with, until, write_config

FILM = bytes(range(256)) * 64
FAULTS = (
    *("xvs:folder/list:http=500:times=1", "xvs:file/list:html:times=1"),
    *("xvs:upload/server:http=500:times=1", "xvs:upload:drop-after:times=1"),
    *("xvs:file/info:truncate:times=1", "xvs:file/direct_link:cut:times=1"),
    *("xvs:download:http=500:times=1", "xvs:account/info:status=403"),
)


def files_with(words: list[str], *roots: Path) -> list[Path]:
    return [
        path
        for root in roots
        for path in root.rglob("*")
        if path.is_file() and any(word.encode() in path.read_bytes() for word in words)
    ]


def test_nothing_shows_a_key_whatever_goes_wrong(
    vidfs: Program, simhost: Simhost, tmp_path: Path
) -> None:
    accounts = simhost.accounts()
    key = accounts["xvs"].pop("key")
    write_config(vidfs.config_file, {"xvs": accounts["xvs"]})
    simhost.add_file("xvs", "there.mp4", FILM)
    point = tmp_path / "point"
    point.mkdir()
    mount = Mount(point, "xvs", vidfs)
    done = vidfs.run("mount", "-o", "debug,api_rate=1000", "xvs", str(point), VIDFS_XVS_KEY=key)
    assert done.returncode == 0, done.stderr
    try:
        assert os.listdir(point) == ["there.mp4"]
        simhost.fault(*FAULTS)
        (point / "a.mp4").write_bytes(FILM)
        with suppress(OSError):
            (point / "there.mp4").read_bytes()
        for words in (
            ("wait", "--timeout", "1", str(point)),
            ("refresh", str(point)),
            ("status", "--json", str(point)),
            ("--debug", "show", str(point / "there.mp4")),
        ):
            vidfs.run(*words)
        assert vidfs.run("--debug", "account", "test", "xvs", VIDFS_XVS_KEY=key).returncode == 4
        assert vidfs.run("--debug", "show", "xvs:/no", VIDFS_XVS_KEY=key).returncode == 9
        os.kill(mount.pid, signal.SIGUSR1)
        until(lambda: "most recent call first" in mount.log(), "the stacks in the log")
        limits = Path(f"/proc/{mount.pid}/limits").read_text()
        [core] = [line.split() for line in limits.splitlines() if line.startswith("Max core")]
        assert core[4:6] == ["0", "0"]
        assert processes_with([key]) == []
    finally:
        vidfs.take_away(mount)
    places = [vidfs.state_root, vidfs.root / "cache"]
    assert files_with([key], *places) == []
    assert key not in "".join(vidfs.outputs)
    assert "Traceback" in "".join(vidfs.outputs)  # such was searched, too
