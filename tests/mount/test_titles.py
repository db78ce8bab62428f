"""A tree of odd titles on every host: what `find` shows is what the rules of names make of the
host's own list, worked out here once more, and by other code than the program's."""

from __future__ import annotations

import difflib
import html
import random
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.mount.mounting import Mounted, Simhost

TITLES = 5000
FOLDERS = 40
VIDEO = "mp4 mkv avi mov webm MP4 ts mpeg".split()
KNOWN = {extension.lower() for extension in VIDEO}
ONLY_VIDEO = frozenset({"doodstream", "vipstream", "xvs", "pstream"})
DIALECTS = [
    *("vipstream", "xvs", "doodstream", "doodstream without folder/list"),
    *("fruithosted", "pstream", "streamtape"),
]
PIECES = [
    *("film", "Film", "the", "Ünïcödé", "映画", "🎬", "é", "e\u0301", "ﷺ", "\u202e", "\u00a0"),
    *(" ", "  ", ".", "..", "...", "-", "_", "~", "'", '"', "\\", "*", "?", "|", ":", "<b>", "%2F"),
    *("/", "//", "\n", "\t", "\r", "\0", "\x1b", "\x7f", "\u0085", "\u2028", "[x]", "#1", "+", "&"),
    *("&amp;", "&lt;", "&#47;", "&#x2f;", "&sol;", "&quot;", "&nbsp;", "&eacute;", "&amp;amp;"),
]
WHOLE = [
    "",
    ".",
    "..",
    "/",
    " ",
    "&",
    ".mp4",
    ".hidden",
    "mp4",
    "a",
    "a.mp4",
    "a.MKV",
    "con",
    "-rf",
]
LONG = [
    "x" * 300,
    "映" * 100,
    "🎬" * 70 + ".mkv",
    "y" * 251 + ".mp4",
    "z" * 252,
    "é" * 126 + ".avi",
]


def title(dice: random.Random) -> str:
    kind = dice.random()
    if kind < 0.15:
        return dice.choice(WHOLE)
    if kind < 0.25:
        return dice.choice(LONG) + dice.choice(["", "1", ".mp4"])
    text = "".join(dice.choices(PIECES, k=dice.randint(1, 5)))
    if dice.random() < 0.3:
        text += chr(dice.choice([dice.randint(0xA1, 0xD7FF), dice.randint(0x10000, 0x1FFFF)]))
    return text + dice.choice(["", "", *("." + extension for extension in VIDEO), ".txt"])


def odd_tree(dice: random.Random) -> dict[str, Any]:
    """Folders in each other and files in them, many of the same name."""
    folders: list[dict[str, object]] = []
    for number in range(FOLDERS):
        parent = dice.choice([None, *range(number)])
        name = dice.choice(["a", "a.mp4", "Vol. 2", title(dice), title(dice), title(dice)])
        folders.append({"name": name, "parent": parent})
    titles = [title(dice) for _ in range(TITLES // 2)]
    files = [
        {
            "title": dice.choice(titles) if dice.random() < 0.4 else title(dice),
            "size": dice.choice([0, 1, 1000]),
            "uploaded": 1_600_000_000 + dice.randint(0, 5000),
            "folder": dice.choice([None, *range(FOLDERS)]),
        }
        for _ in range(TITLES)
    ]
    return {"folders": folders, "files": files}


# ------------------------------------------------------------------ the rules, once more


def valid(text: str, code: str) -> str:
    name = ""
    for char in html.unescape(text):
        if char == "/":
            name += "\N{FULLWIDTH SOLIDUS}"
        elif ord(char) < 32:
            name += chr(0x2400 + ord(char))
        elif char == "\x7f":
            name += "\N{SYMBOL FOR DELETE}"
        else:
            name += char
    return name if name not in ("", ".", "..") else f"untitled [{code}]"


def cut(text: str, count: int) -> str:
    while len(text.encode()) > count:
        text = text[:-1]
    return text


def parts(name: str) -> tuple[str, str]:
    at = name.rfind(".")
    stem, extension = name[:at], name[at:]
    if at <= 0 or not 1 < len(extension) <= 17 or " " in extension:
        return name, ""
    return stem, extension


def marked(name: str, code: str) -> str:
    stem, extension = parts(name)
    tail = f" [{code}]{extension}"
    return cut(stem, 255 - len(tail.encode())) + tail


def shown(text: str, code: str, *, is_file: bool, only_video: bool) -> str:
    name = valid(text, code)
    if is_file and only_video and parts(name)[1].lower()[1:] not in KNOWN:
        name += ".mp4"
    return name if len(name.encode()) <= 255 else marked(name, code)


def expected(tree: dict[str, Any], *, only_video: bool, names_folders: bool) -> list[str]:
    """The paths of all files, by the README's rules of names."""
    entries: dict[str, list[tuple[tuple[object, ...], str, str, bool]]] = defaultdict(list)
    folder_ids = {folder["folder_id"] for folder in tree["folders"]}
    with_files = {file["folder_id"] for file in tree["files"]}
    for folder in tree["folders"]:
        code = str(folder["folder_id"])
        age = (0, 0, len(code), code)
        parent = folder["parent_id"] if folder["parent_id"] in folder_ids else "root"
        if names_folders:
            wish = shown(folder["name"], code, is_file=False, only_video=only_video)
        elif folder["folder_id"] in with_files:
            wish, parent = f"untitled [{code}]", "root"
        else:
            continue  # nothing tells of it
        entries[parent].append((age, wish, code, False))
    for file in tree["files"]:
        code, parent = str(file["code"]), file["folder_id"]
        age = (1, file["uploaded"], len(code), code)
        wish = shown(file["title"], code, is_file=True, only_video=only_video)
        entries[parent if parent in folder_ids else "root"].append((age, wish, code, True))

    paths: list[str] = []

    def walk(folder: str, prefix: str) -> None:
        inside = sorted(entries[folder])
        taken: dict[str, str] = {}
        for _, wish, code, _ in inside:
            taken.setdefault(wish, code)
        for _, wish, code, is_file in inside:
            name, count = wish, 1
            if taken[wish] != code:
                name = marked(wish, code)
                while taken.setdefault(name, code) != code:
                    count += 1
                    name = marked(wish, f"{code} {count}")
            if is_file:
                paths.append(prefix + name)
            else:
                walk(code, f"{prefix}{name}/")

    walk("root", "")
    return sorted(paths)


# ---------------------------------------------------------------------------------- the mount


def found(mountpoint: Path) -> list[str]:
    done = subprocess.run(
        ["find", ".", "-type", "f", "-printf", r"%P\0"],
        cwd=mountpoint,
        capture_output=True,
        check=True,
        timeout=60,
    )
    return sorted(done.stdout.decode().split("\0")[:-1])


def differences(one: list[str], other: list[str]) -> list[str]:
    """What only one of both has, twice the same included; short enough to be read."""
    return list(difflib.unified_diff(one, other, "found", "expected", n=0))[:40]


@pytest.mark.parametrize("which", DIALECTS)
def test_find_shows_the_hosts_own_list(simhost: Simhost, mounted: Mounted, which: str) -> None:
    dialect, _, missing = which.partition(" without ")
    if missing:
        simhost.set(without=f"{missing},file/move")
    simhost.request("POST", f"{dialect}/entries", odd_tree(random.Random(which)))
    paths = expected(
        simhost.tree(dialect), only_video=dialect in ONLY_VIDEO, names_folders=not missing
    )
    assert len(paths) == len(set(paths)) == TITLES
    with mounted(dialect) as mount:
        assert differences(found(mount.path), paths) == []
    with mounted(dialect) as mount:  # from the catalogue, and then listed anew
        assert differences(found(mount.path), paths) == []
        mount.program.ok("refresh", str(mount.path))
        assert differences(found(mount.path), paths) == []
