"""The repository speaks of itself alone, and its scripts say what they do."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# In brackets one letter each, so that this file doesn't find itself.
MACHINE_PATHS = re.compile(
    r"(?<![\w.])/(?:wor[k]|roo[t]|far[m]|Users|home/(?!user\b|you\b|me\b)\w+|tmp/w)/\S"
)
REGISTRY_HOSTS = re.compile(
    r"pyp[i]\.org|pythonhoste[d]\.org|registry\.npmj[s]\.|de[b]\.debian\.org|security\.debia[n]\.org"
    r"|proxy\.golan[g]\.org|crates\.i[o]\b|--index-ur[l]|--extra-index-ur[l]|PIP_INDEX_UR[L]",
    re.IGNORECASE,
)
LEFTOVERS = re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X])\b|<{7} |^>{7} ", re.MULTILINE)


def repository_files() -> list[Path]:
    """What is, or is about to be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=False,
        capture_output=True,
    )
    if listed.returncode == 0:
        paths = [ROOT / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    else:  # unpacked from an archive
        paths = [
            path
            for path in ROOT.rglob("*")
            if not any(
                part.startswith(".") and part != ".ci" for part in path.parts[len(ROOT.parts) :]
            )
        ]
    return sorted(path for path in paths if path.is_file() and not path.is_symlink())


FILES = repository_files()


def texts() -> list[tuple[str, str]]:
    found = []
    for path in FILES:
        try:
            found.append((str(path.relative_to(ROOT)), path.read_text()))
        except UnicodeDecodeError:
            continue  # a picture, a recorded answer
    return found


TEXTS = texts()

SCRIPTS = [
    path
    for path in FILES
    if path.parent in (ROOT / "scripts", ROOT / ".ci") and path.read_bytes().startswith(b"#!")
]


def header_of(script: Path) -> str:
    """The comment that a script begins with."""
    lines = script.read_text().splitlines()[1:]
    end = next(
        (number for number, line in enumerate(lines) if not line.startswith("#")), len(lines)
    )
    return "\n".join(line.removeprefix("#").strip() for line in lines[:end])


@pytest.mark.parametrize(
    "pattern",
    [MACHINE_PATHS, REGISTRY_HOSTS, LEFTOVERS],
    ids=["paths of one machine", "registry hosts", "leftovers"],
)
def test_no_file_holds(pattern: re.Pattern[str]) -> None:
    found = [
        f"{name}:{text[: match.start()].count(chr(10)) + 1}: {match[0]!r}"
        for name, text in TEXTS
        for match in pattern.finditer(text)
    ]
    assert not found, "\n".join(found)


def test_the_patterns_find_what_they_are_for() -> None:
    assert MACHINE_PATHS.search("see /" + "work/main")
    assert MACHINE_PATHS.search("'/" + "root/.config'")
    assert not MACHINE_PATHS.search("the folder Films/home/")
    assert REGISTRY_HOSTS.search("https://" + "pypi" + ".org/simple")
    assert LEFTOVERS.search("# TO" + "DO: later")


def test_files_were_read() -> None:
    names = {name for name, _ in TEXTS}
    assert {"pyproject.toml", "vidfs/errors.py", "scripts/test"} <= names


def test_files_are_small_and_whole() -> None:
    for path in FILES:
        data = path.read_bytes()
        assert len(data) < 1 << 20, f"{path}: nothing this big belongs in the repository"
        assert not data or data.endswith(b"\n") or b"\0" in data, (
            f"{path}: the last line has no end"
        )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_runs(script: Path) -> None:
    assert os.access(script, os.X_OK), f"chmod +x {script}"
    first = script.read_text().splitlines()[0]
    if "bash" in first:
        subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_says_what_it_does_and_how_long_it_takes(script: Path) -> None:
    header = header_of(script)
    assert len(header) > 60, "the header says too little"
    assert re.search(r"\b(second|minute|hour)s?\b", header), "the header says no time"


def test_scripts_named_in_the_readme_exist() -> None:
    named = set(re.findall(r"\bscripts/[\w-]+\b", (ROOT / "README.md").read_text()))
    there = {str(script.relative_to(ROOT)) for script in SCRIPTS}
    assert named <= there
    assert {"scripts/test", "scripts/demo", "scripts/bench"} <= named


def test_ci_runs_what_a_person_runs() -> None:
    commands = [
        line
        for line in (ROOT / ".ci/run").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert len(commands) == 1
    assert re.fullmatch(r'exec "\$\(dirname "\$0"\)/\.\./scripts/test"', commands[0])
