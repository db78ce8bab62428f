"""What a directory holds, and whether what is seen after a crash is allowed."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from soak.operations import Operation


class DivergenceError(Exception):
    """The mount or the host is not what the plain directory says it must be."""


class Content(NamedTuple):
    """A file; *sha1* is empty where its bytes can't be read and aren't known otherwise."""

    size: int
    sha1: str

    def __str__(self) -> str:
        return f"{self.size} bytes, sha1 {self.sha1[:8] or 'unread'}"


Tree = dict[str, Content | None]
"""By path; None is a folder."""


def load_tree(root: Path) -> Tree:
    """All of *root*, read byte for byte where it can be read."""
    tree: Tree = {}
    for folder, folders, files in os.walk(root, onerror=_raise):
        for name in folders:
            tree[os.path.relpath(f"{folder}/{name}", root)] = None
        for name in files:
            path = Path(folder) / name
            tree[str(path.relative_to(root))] = _load_content(path)
    return tree


def _raise(error: OSError) -> None:
    raise error


def _load_content(path: Path) -> Content:
    size = path.stat().st_size
    try:
        data = path.read_bytes()
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return Content(size, "")
        raise
    if len(data) != size:
        raise DivergenceError(f"{path.name} has {size} bytes by stat and {len(data)} by reading")
    return Content(size, hashlib.sha1(data, usedforsecurity=False).hexdigest())


def is_same(one: Content | None, other: Content | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.size == other.size and ("" in (one.sha1, other.sha1) or one.sha1 == other.sha1)


def differences(expected: Mapping[str, Content | None], seen: Mapping[str, Content | None]) -> str:
    """What is not as expected, a line each; empty if all is."""
    lines = []
    for path in sorted({*expected, *seen}):
        if path not in seen:
            lines.append(f"  missing: {path} ({expected[path] or 'a folder'})")
        elif path not in expected:
            lines.append(f"  too much: {path} ({seen[path] or 'a folder'})")
        elif not is_same(expected[path], seen[path]):
            lines.append(f"  differs: {path} has {seen[path]} instead of {expected[path]}")
    return "\n".join(lines)


def check_cut_off(
    operation: Operation, closed: Collection[str], before: Tree, after: Tree, seen: Tree
) -> None:
    """Whether *seen* is what *operation* may leave that was cut off between *before* and *after*.

    Every path is as it was before, or as it would be after. Besides:
    - a file that was being written, and whose close hadn't returned (*closed*), may be partly
      written, and a scratch name may be left;
    - what was being moved must be in one of both places.
    Errors: DivergenceError.
    """
    lines = []
    for path in sorted({*before, *after, *seen}):
        if path in closed:
            allowed = [after]
        elif is_scratch(path) or (path in operation.writes and seen.get(path) is not None):
            continue
        elif path not in seen and path in operation.removed_first:
            allowed = [before, after, {}]
        else:
            allowed = [before, after]
        if not any(_is_as_in(path, tree, seen) for tree in allowed):
            lines.append(
                f"  {path}: {_text(path, seen)}; before: {_text(path, before)};"
                f" after: {_text(path, after)}{' (closed)' if path in closed else ''}"
            )
    for source, target in operation.moves:
        content = before.get(source)
        places = [seen[path] for path in (source, target) if path in seen]
        if content is not None and not any(is_same(content, place) for place in places):
            lines.append(f"  {source}: neither there nor at {target}")
        elif (
            (source in seen, target in seen) == (True, False)
            and target in before
            and target not in operation.removed_first
        ):
            lines.append(f"  {target}: gone, although nothing took its place")
    if lines:
        raise DivergenceError(f"{operation.text} was cut off and left\n" + "\n".join(lines))


def _is_as_in(path: str, tree: Tree, seen: Tree) -> bool:
    if path not in tree or path not in seen:
        return path not in tree and path not in seen
    return is_same(tree[path], seen[path])


def _text(path: str, tree: Tree) -> str:
    return str(tree[path] or "a folder") if path in tree else "nothing"


def is_scratch(path: str) -> bool:
    return os.path.basename(path).startswith(".")


def make_alike(plain: Path, mount: Path, before: Path, seen: Tree) -> None:
    """Make *plain* hold what is *seen* on *mount*. What can't be read there is taken from
    *plain* or *before*, whichever has it."""
    have = load_tree(plain)
    for path in sorted(have, reverse=True):
        if path not in seen or (have[path] is None) != (seen[path] is None):
            _remove(plain / path)
    for path, content in sorted(seen.items()):
        if content is None:
            (plain / path).mkdir(exist_ok=True)
        elif path not in have or have[path] != content:
            _take(path, content, plain, mount, before)


def _take(path: str, content: Content, plain: Path, mount: Path, before: Path) -> None:
    if (before / path).is_file() and is_same(_load_content(before / path), content):
        shutil.copyfile(before / path, plain / path)
    elif _load_content(mount / path).sha1:
        shutil.copyfile(mount / path, plain / path)
    else:
        raise DivergenceError(f"{path} can't be read and has {content}, which was never written")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
