"""The scripts do what they say: the demo from end to end, and the bench's own arithmetic."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from benchmark.index_server import Index  # noqa: E402
from benchmark.table import Line, markdown_table, plain_table  # noqa: E402
from foreign.__main__ import UNEXPLAINED, reason_of  # noqa: E402
from foreign.suites import FAILED, Outcome  # noqa: E402


def missing_for_the_demo() -> str:
    """Why the demo can't run here; empty if it can. It would install what it misses."""
    programs = ["fusermount3", "rsync", "ffprobe", "getfattr"]
    missing = [name for name in programs if shutil.which(name) is None]
    if not (ROOT / ".venv/recipe").exists():
        missing.append(".venv")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        missing.append("/dev/fuse")
    return ", ".join(missing)


def run_demo() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts/demo"],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.skipif(bool(missing_for_the_demo()), reason=f"missing: {missing_for_the_demo()}")
def test_demo_works_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = run_demo()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().splitlines()[-1].startswith("demo: all worked")
    assert "\x1b" not in done.stdout, "colours without a terminal"
    assert not list(tmp_path.glob("vidfs-demo.*"))
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert not [
        process
        for process in Path("/proc").glob("[0-9]*/environ")
        if f"={tmp_path}/vidfs-demo".encode() in read_or_nothing(process)
    ]


def read_or_nothing(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it ended, or isn't ours


@pytest.mark.skipif(bool(missing_for_the_demo()), reason=f"missing: {missing_for_the_demo()}")
def test_demo_names_the_step_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `rsync` that copies nothing: found out by the listing of what should be there."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    broken = tmp_path / "lib.sh"
    broken.write_text("rsync() { return 23; }\nexport -f rsync\n")
    monkeypatch.setenv("BASH_ENV", str(broken))
    done = run_demo()
    assert done.returncode == 1
    assert "demo: FAILED: rsync -a videos/ films/Clips/ (exit status 23)" in done.stderr
    assert not list(tmp_path.glob("vidfs-demo.*"))


# --- the soak and the foreign suites -----------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "module", "words"),
    [
        ("soak-crash", "soak", ["--host", "--seed", "--check-every"]),
        ("foreign-tests", "foreign", ["pyfilesystem, fsspec, fio", "--mount", "--with-rclone"]),
    ],
)
def test_long_runs_say_what_they_do(script: str, module: str, words: list[str]) -> None:
    environ = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    assert all(word in done.stdout for word in words)
    text = (ROOT / "scripts" / script).read_text()
    assert f"python -m {module} " in text
    subprocess.run(["bash", "-n", ROOT / "scripts" / script], check=True)


def test_every_failure_of_a_foreign_test_has_a_reason_or_is_told() -> None:
    links = Outcome(
        "test_posix.T.test_link", FAILED, "PermissionError: Operation not permitted: 'a' -> 'b'"
    )
    new = Outcome("test_os.T.test_new", FAILED, "AssertionError: 1 != 2")
    assert reason_of(links, set()) == "no host keeps hard or symbolic links"
    assert reason_of(new, set()) == UNEXPLAINED
    assert reason_of(new, {new.name}) == "fails in a plain directory as well"


# --- the bench ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "met"),
    [
        ({"ratio": 1.5, "at_least": 1.5}, True),
        ({"ratio": 1.49, "at_least": 1.5}, False),
        ({"ratio": 1.0, "at_most": 1.0}, True),
        ({"ratio": 1.01, "at_most": 1.0}, False),
        ({"ratio": 7.0}, None),
        ({}, None),
    ],
)
def test_a_target_is_met_or_missed(bounds: dict[str, Any], met: bool | None) -> None:
    assert Line(row=1, work="w", vidfs="1 s", other="", **bounds).met is met


def test_both_tables_hold_every_line() -> None:
    lines = [
        Line(row=4, work="read", vidfs="2 s", other="curl 1 s", ratio=0.5, at_least=0.75),
        Line(row=6, work="seek", vidfs="60 ms", other="", ratio=0.9, at_most=1),
    ]
    for text in (plain_table(lines), markdown_table(lines)):
        heading, _, first, second = text.splitlines()
        assert "compared with" in heading
        assert re.search(r"read .*0\.50 × .*≥ 0\.75 × .*MISSED", first)
        assert re.search(r"seek .*0\.90 × .*≤ 1 × .*met", second)


def ask(index: Index, method: str, path: str) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read from a request")

    asyncio.run(index({"type": "http", "method": method, "path": path}, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def test_index_answers_as_rclone_reads_it() -> None:
    tree = {
        "folders": {"": {"a b.mp4": 7}, "Old & new": {"x.mp4": 9}},
        "links": {"a b.mp4": "http://127.0.0.1:1/there"},
    }
    index = Index(tree, latency_s=0)
    _, _, page = ask(index, "GET", "/")
    assert re.findall(rb'href="([^"]*)"', page) == [b"Old%20%26%20new/", b"a%20b.mp4"]
    status, headers, body = ask(index, "HEAD", "/Old%20%26%20new/x.mp4")
    assert (status, headers[b"content-length"], body) == (200, b"9", b"")
    status, headers, _ = ask(index, "GET", "/a%20b.mp4")
    assert (status, headers[b"location"]) == (302, b"http://127.0.0.1:1/there")
    assert ask(index, "GET", "/nothing.mp4")[0] == 404
