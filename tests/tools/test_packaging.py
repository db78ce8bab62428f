"""What comes with the program: packages, manual pages, completions, unit, install script."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.tools.packages import ROOT, build, run_install
from vidfs.config import parse_mount_options, parse_source

sys.path.insert(0, str(ROOT / "scripts"))

from manual.pages import MAN, make_pages

SHARE = ROOT / "share"
UNIT = SHARE / "systemd/user/vidfs@.service"


def need(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"no {program} here")
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


# ------------------------------------------------------------------------------- packages


def test_the_wheel_carries_all_that_comes_with_the_program(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    data = {name.partition(".data/data/")[2] for name in names}
    assert {str(path.relative_to(ROOT)) for path in SHARE.rglob("*") if path.is_file()} <= data
    assert "vidfs/py.typed" in names
    assert not [name for name in names if name.startswith("tests/") or "__pycache__" in name]
    [entry_points] = [name for name in names if name.endswith("entry_points.txt")]
    text = zipfile.ZipFile(wheel).read(entry_points).decode()
    assert "vidfs = vidfs.cli:main" in text
    assert "mount.vidfs = vidfs.cli:mount_helper" in text


def test_the_source_package_can_build_and_test_itself(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "scripts/install", "scripts/test"} <= names
    assert {"share/man/man1/vidfs.1", "tests/mount/mounting.py", "vidfs/cli/__init__.py"} <= names
    assert not [name for name in names if "cache" in name.split("/")[0] or "__pycache__" in name]


# ------------------------------------------------------------------ pages and completions


@pytest.mark.parametrize("name", make_pages())
def test_the_manual_pages_are_what_the_program_says(name: str) -> None:
    assert (MAN / name).read_text() == make_pages()[name], "out of date: run scripts/man"


@pytest.mark.parametrize("name", make_pages())
def test_the_manual_pages_are_sound_roff(name: str) -> None:
    shown = subprocess.run(
        [need("groff"), "-man", "-Tutf8", "-Kutf8", "-ww", "-b", str(MAN / name)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert shown.stderr == ""
    assert "EXIT STATUS" in re.sub(".\b|\x1b\\[[0-9;]*m", "", shown.stdout)


@pytest.fixture
def shell_environ(tmp_path: Path) -> dict[str, str]:
    """`vidfs` is found, and has one account."""
    program = tmp_path / "bin/vidfs"
    program.parent.mkdir()
    start = "from vidfs.cli import main; main()"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{start}' \"$@\"\n")
    program.chmod(0o755)
    config = tmp_path / "c.toml"
    config.write_text('[accounts.films]\nhost = "vipstream"\n')
    return os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "VIDFS_CONFIG": str(config),
        "HOME": str(tmp_path),
    }


COMPLETED = {"vidfs um": ["umount"], "vidfs mount fi": ["films"], "vidfs status --w": ["--watch"]}


@pytest.mark.parametrize("line", COMPLETED)
def test_bash_completes(line: str, shell_environ: dict[str, str]) -> None:
    words = line.split()
    show = "printf '%s\\n' \"${COMPREPLY[@]}\""
    script = (
        f"source '{SHARE}/bash-completion/completions/vidfs'; COMP_WORDS=({line}); "
        f"COMP_CWORD={len(words) - 1}; _vidfs_completion vidfs; {show}"
    )
    assert complete(["bash", "-c", script], shell_environ) == COMPLETED[line]


@pytest.mark.parametrize("line", COMPLETED)
def test_fish_completes(line: str, shell_environ: dict[str, str]) -> None:
    script = f"source '{SHARE}/fish/vendor_completions.d/vidfs.fish'; complete -C '{line}'"
    found = complete([need("fish"), "--no-config", "-c", script], shell_environ)
    assert [row.partition("\t")[0] for row in found] == COMPLETED[line]


def test_zsh_completes(shell_environ: dict[str, str]) -> None:
    """What its own function would offer, with stand-ins for what only a terminal has."""
    script = (
        "compdef() { }; compadd() { print -l -- ${completions[@]} }; "
        "words=(vidfs mount fi); CURRENT=3; zmodload zsh/parameter; "
        f"source '{SHARE}/zsh/site-functions/_vidfs'"
    )
    assert complete([need("zsh"), "-f", "-c", script], shell_environ) == COMPLETED["vidfs mount fi"]


def complete(command: list[str], environ: dict[str, str]) -> list[str]:
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.splitlines()


# -------------------------------------------------------------------------- unit and fstab


def test_the_unit_is_sound(tmp_path: Path) -> None:
    program = need("systemd-analyze")
    (tmp_path / "run").mkdir(mode=0o700)
    instance = tmp_path / "vidfs@films.service"
    shutil.copy(UNIT, instance)
    done = subprocess.run(
        [program, "verify", "--user", str(instance)],
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "MANPATH": str(MAN)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_lines_for_fstab_are_understood() -> None:
    lines = (SHARE / "doc/vidfs/fstab.example").read_text().splitlines()
    entries = [line.split() for line in lines if line and not line.startswith("#")]
    assert len(entries) >= 3
    for source, directory, kind, options, *numbers in entries:
        parse_source(source)
        parse_mount_options([options])
        assert (directory[0], kind, numbers) == ("/", "vidfs", ["0", "0"])


# ------------------------------------------------------------------------ scripts/install


def test_install_twice_and_take_it_away(wheel: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "usr"
    args = ("--prefix", prefix, "--sbin", tmp_path / "sbin", "--wheel", wheel)
    for _ in range(2):
        done = run_install(*args)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"installed vidfs 0.1.0: {prefix}/bin/vidfs" in done.stdout
    assert (tmp_path / "sbin/mount.vidfs").resolve().is_relative_to(prefix)
    for path in SHARE.rglob("*"):
        if path.is_file():
            assert (prefix / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    (prefix / "share/man/man1/other.1").write_text("not ours")
    done = run_install("--prefix", prefix, "--uninstall")
    assert done.returncode == 0, done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [
        prefix / "share/man/man1/other.1"
    ]
    again = run_install("--prefix", prefix, "--uninstall")
    assert (again.returncode, again.stdout) == (1, "")
    assert "nothing is installed" in again.stderr


def test_install_leaves_what_others_put_there(wheel: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "bin/vidfs"
    theirs.parent.mkdir()
    theirs.write_text("theirs")
    done = run_install("--prefix", tmp_path, "--sbin", tmp_path / "sbin", "--wheel", wheel)
    assert done.returncode == 1
    assert f"{theirs} is there already" in done.stderr
    assert theirs.read_text() == "theirs"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--colour",), "unknown option --colour"),
        (("--prefix",), "--prefix needs a value"),
        (("--wheel", "/nonexistent.whl"), "no such wheel: /nonexistent.whl"),
    ],
)
def test_install_names_wrong_words(args: tuple[str, ...], words: str) -> None:
    done = run_install(*args)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) <= 2
