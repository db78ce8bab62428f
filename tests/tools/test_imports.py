"""Imports inside vidfs point one way, and each outside library has its one place.

The rules are the tables below; the rest reads every import statement of the package, those
inside functions and under TYPE_CHECKING as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "vidfs"

# A layer may import those below it. Parts of one layer don't import each other, except in the
# lowest, which is read from right to left.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("app", "control"),
    ("fuse",),
    ("volume",),
    ("tree", "content"),
    ("hosts",),
    ("config", "errors", "types"),
)
SIDEWAYS = {
    ("app", "control"),  # the daemon's end of the control socket
    ("config", "errors"),
    ("config", "types"),
    ("errors", "types"),
}

# The simulated host shares no misreading of a document with the clients: it stands alone.
# `vidfs simhost` starts it, and nothing else knows it.
ALONE = "simhost"
ALONE_IS_IMPORTED_BY = ("vidfs.cli",)

# Between the layers, only these modules are meant for those above.
FRONT_DOORS = {
    "hosts": ("vidfs.hosts.api", {"tree", "content", "volume", "fuse"}),
}

# Who may import what from outside; simhost has its own.
PLACES = {
    "pyfuse3": ("vidfs.fuse",),
    "httpx": ("vidfs.hosts.transport",),
    "sqlite3": ("vidfs.tree.store", "vidfs.tree.journal", "vidfs.tree.salvage"),
    "click": ("vidfs.cli",),
    "rich": ("vidfs.cli",),
    "PIL": ("vidfs.content.thumbnails",),
    "keyring": ("vidfs.app.keys",),
    "platformdirs": ("vidfs.config",),
    "starlette": (),
    "uvicorn": (),
    "uvloop": (),
    "httptools": (),
}


@dataclass(frozen=True, slots=True)
class Import:
    importer: str  # dotted, as in vidfs.tree.store
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def dotted_name(path: Path, package: Path = PACKAGE) -> str:
    parts = (package.name, *path.relative_to(package).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(importer: str, source: str, *, is_package: bool = False) -> Iterator[Import]:
    """Every import of one module. `from a import b` counts as `a.b`: b may be a module."""
    home = importer.split(".") if is_package else importer.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(importer, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                yield Import(importer, f"{module}.{alias.name}", node.lineno)


def all_imports(package: Path = PACKAGE) -> Iterator[Import]:
    for path in sorted(package.rglob("*.py")):
        name = dotted_name(path, package)
        yield from imports_of(name, path.read_text(), is_package=path.stem == "__init__")


def is_within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def part_of(module: str) -> str:
    """`tree` of vidfs.tree.store; empty for the package itself and for what is outside."""
    head, _, rest = module.partition(".")
    return rest.partition(".")[0] if head == "vidfs" else ""


def rank_of(part: str) -> int | None:
    return next((rank for rank, parts in enumerate(LAYERS) if part in parts), None)


def violation_of(found: Import) -> str | None:
    """Which rule *found* breaks, in words; None if none."""
    upper, lower = part_of(found.importer), part_of(found.imported)
    if upper == ALONE:
        inside = found.imported.startswith("vidfs.") and lower != ALONE
        return f"{ALONE} stands alone" if inside else None
    if lower:
        return _inside_violation(found, upper, lower)
    for library, places in PLACES.items():
        if is_within(found.imported, (library,)) and not is_within(found.importer, places):
            return f"{library} belongs in {' and '.join(places) or ALONE}"
    return None


def _inside_violation(found: Import, upper: str, lower: str) -> str | None:
    if lower == ALONE:
        if is_within(found.importer, ALONE_IS_IMPORTED_BY):
            return None
        return f"only {', '.join(ALONE_IS_IMPORTED_BY)} may know {ALONE}"
    upper_rank, lower_rank = rank_of(upper), rank_of(lower)
    if upper in ("", "__main__") or upper == lower or lower.startswith("__"):
        return None
    if upper_rank is None or lower_rank is None:
        return f"{upper if upper_rank is None else lower} has no place in LAYERS"
    if lower_rank < upper_rank:
        return f"{upper} lies below {lower}"
    if lower_rank == upper_rank and (upper, lower) not in SIDEWAYS:
        return f"{upper} and {lower} don't know each other"
    door, outsiders = FRONT_DOORS.get(lower, ("", set()))
    if upper in outsiders and not is_within(found.imported, (door,)):
        return f"{upper} sees {lower} through {door} only"
    return None


def test_imports_keep_the_rules() -> None:
    found = list(all_imports())
    broken = [f"{one}: {reason}" for one in found if (reason := violation_of(one))]
    assert not broken, "\n".join(broken)
    assert len(found) > 20, "the package was not read"


def test_every_part_has_a_place() -> None:
    parts = {
        path.stem if path.is_file() else path.name
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
    }
    known = {part for layer in LAYERS for part in layer} | {ALONE, "__init__", "__main__"}
    assert parts <= known


@pytest.mark.parametrize(
    ("importer", "statement"),
    [
        ("vidfs.tree.store", "from vidfs.content import spool"),
        ("vidfs.tree.store", "from ..content.spool import Spool"),
        ("vidfs.tree.store", "from .. import content"),
        ("vidfs.content.reader", "import vidfs.tree.names"),
        ("vidfs.hosts.xvs", "from ..volume import Volume"),
        ("vidfs.hosts.xvs", "import httpx"),
        ("vidfs.hosts.xvs", "from httpx import AsyncClient"),
        ("vidfs.volume.read", "import pyfuse3"),
        ("vidfs.volume.read", "def f():\n    import sqlite3"),
        ("vidfs.volume.read", "if TYPE_CHECKING:\n    from ..fuse.session import run_fuse"),
        ("vidfs.volume.read", "from ..hosts.xvs import XvsClient"),
        ("vidfs.errors", "from .config import Config"),
        ("vidfs.types", "from . import errors"),
        ("vidfs.simhost.xvs", "from ..errors import HostError"),
        ("vidfs.app.serve", "from ..simhost import app"),
        ("vidfs.tree.new", "from ..nowhere import thing"),
    ],
)
def test_a_violation_is_seen(importer: str, statement: str) -> None:
    assert any(violation_of(found) for found in imports_of(importer, statement))


@pytest.mark.parametrize(
    ("importer", "statement"),
    [
        ("vidfs.cli.mount", "import click\nfrom ..app import serve"),
        ("vidfs.cli.simhost", "from ..simhost import main"),
        ("vidfs.volume.read", "from ..tree.store import Store\nfrom ..content import spool"),
        ("vidfs.volume.read", "from ..hosts.api import VideoHost\nimport trio"),
        ("vidfs.hosts.transport", "import httpx\nfrom ..errors import HostError"),
        ("vidfs.tree.journal", "import sqlite3\nfrom .store import Store"),
        ("vidfs.fuse.operations", "import pyfuse3\nfrom .. import __version__"),
        ("vidfs.simhost.store", "import sqlite3\nfrom . import bodies"),
    ],
)
def test_what_is_allowed_passes(importer: str, statement: str) -> None:
    assert not [found for found in imports_of(importer, statement) if violation_of(found)]
