"""What is done to the mount and to the plain directory beside it, in the same way.

An `Operation` is decided before it is carried out (names, bytes, all of it), so that it does the
same in both places. It also says what may be seen of it if it is cut off.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

FOLDERS = ("Films", "Series", "Clips", "Series/One")
NAMES = ("a.mp4", "b.mp4", "c film.mkv", "Ünï – 映画.mp4", "e_e.e.webm", "f.avi")
TOOL_S = 60.0
_CHUNK = 20_000


class ToolFailedError(OSError):
    """A program said no. `strerror` is what it said."""


@dataclass
class Operation:
    text: str
    apply: Callable[[Path], object]
    writes: tuple[str, ...] = ()
    """May be half written where it was cut off: their close is not known to have returned."""
    moves: tuple[tuple[str, str], ...] = ()
    """Must be at one of both places, whatever happened."""
    removed_first: tuple[str, ...] = ()
    """A program removes them itself before it writes them."""
    closed: set[str] = field(default_factory=set)
    """Their close returned: from then on nothing of them may be lost."""


class Dice:
    """Draws operations that fit what is there."""

    def __init__(self, seed: object, sources: Path, *, folders: bool) -> None:
        self._random = random.Random(f"{seed}")
        self._sources = sources  # of `rsync` and `cp` from outside
        self._folders = folders  # the host can make them
        self._count = 0

    def draw(self, plain: Path) -> Operation:
        """The next operation, given what *plain* holds."""
        files = sorted(str(p.relative_to(plain)) for p in plain.rglob("*") if p.is_file())
        folders = sorted(str(p.relative_to(plain)) for p in plain.rglob("*") if p.is_dir())
        self._count += 1
        kinds: list[tuple[float, Callable[[list[str], list[str]], Operation | None]]] = [
            (5, self._write),
            (3, self._rewrite),
            (2, self._change),
            (2, self._truncate),
            (2, self._copy_inside),
            (2, self._copy_in),
            (5, self._move),
            (3, self._remove),
            (2, self._rsync),
            (2, self._save_as_editors_do),
            (2, self._rename_while_open),
            (1, self._unlink_while_open),
            (1, self._mkdir),
            (1, self._rmdir),
            (0.7, self._move_folder),
            (0.5, self._remove_tree),
        ]
        while True:
            [(_, kind)] = self._random.choices(kinds, [weight for weight, _ in kinds])
            if (operation := kind(files, folders)) is not None:
                operation.text = f"#{self._count} {operation.text}"
                return operation

    # --- what is drawn from ------------------------------------------------------------------

    def _bytes(self) -> bytes:
        size = self._random.choice((1, 300, 5_000, 40_000, 150_000))
        size += self._random.randrange(size)
        return self._random.randbytes(size)

    def _new_path(self, folders: list[str]) -> str:
        folder = self._random.choice([".", *folders])
        return os.path.normpath(f"{folder}/{self._random.choice(NAMES)}")

    # --- files ---------------------------------------------------------------------------------

    def _write(self, files: list[str], folders: list[str]) -> Operation:
        return _writing("write", self._new_path(folders), self._bytes())

    def _rewrite(self, files: list[str], folders: list[str]) -> Operation | None:
        if not files:
            return None
        return _writing("rewrite", self._random.choice(files), self._bytes())

    def _change(self, files: list[str], folders: list[str]) -> Operation | None:
        """Append to a file, or write into its middle."""
        if not files:
            return None
        path, data = self._random.choice(files), self._bytes()[:30_000]
        flag = self._random.choice((os.O_APPEND, 0))
        at = self._random.randrange(60_000)
        operation = Operation(f"change {path} {len(data)} {flag} {at}", _nothing, (path,))

        def apply(root: Path) -> None:
            fd = os.open(root / path, os.O_RDWR | flag)
            try:
                if flag:
                    os.write(fd, data)
                else:
                    os.pwrite(fd, data, at)
            finally:
                os.close(fd)
            operation.closed.add(path)

        operation.apply = apply
        return operation

    def _truncate(self, files: list[str], folders: list[str]) -> Operation | None:
        if not files:
            return None
        path, size = self._random.choice(files), self._random.choice((0, 1, 700, 20_000, 99_999))
        return Operation(f"truncate {path} {size}", lambda root: os.truncate(root / path, size))

    def _copy_inside(self, files: list[str], folders: list[str]) -> Operation | None:
        if not files:
            return None
        source, target = self._random.choice(files), self._new_path(folders)
        if source == target:
            return None
        return Operation(
            f"cp {source} {target}",
            lambda root: _run("cp", "-p", root / source, root / target),
            (target,),
        )

    def _copy_in(self, files: list[str], folders: list[str]) -> Operation:
        target, source = self._new_path(folders), self._sources / f"copied-{self._count}.mp4"
        source.write_bytes(self._bytes())
        return Operation(
            f"cp FILE {target}", lambda root: _run("cp", source, root / target), (target,)
        )

    def _move(self, files: list[str], folders: list[str]) -> Operation | None:
        if not files:
            return None
        source = self._random.choice(files)
        target = self._random.choice(files) if self._random.random() < 0.3 else None
        target = target or self._new_path(folders)
        if source == target:
            return None
        return Operation(
            f"mv {source} {target}",
            lambda root: _run("mv", "-f", root / source, root / target),
            (target,),
            ((source, target),),
            () if self._can_move(source, target) else (target,),
        )

    def _can_move(self, source: str, target: str) -> bool:
        """Whether `mv` needn't copy."""
        return self._folders or os.path.dirname(source) == os.path.dirname(target)

    def _remove(self, files: list[str], folders: list[str]) -> Operation | None:
        if len(files) < 4:
            return None
        path = self._random.choice(files)
        return Operation(f"rm {path}", lambda root: (root / path).unlink())

    def _rsync(self, files: list[str], folders: list[str]) -> Operation:
        """Some files come from outside, with their times; a second run has nothing to do."""
        source = self._sources / f"rsync-{self._count}"
        source.mkdir()
        for name in self._random.sample(NAMES, self._random.randint(2, 4)):
            (source / name).write_bytes(self._bytes())
            at = 1_600_000_000 + self._random.randrange(10**8)
            os.utime(source / name, (at, at))
        folder = self._random.choice([".", *folders])
        delete = ["--delete", "--exclude=*/"] if self._random.random() < 0.2 else []

        def apply(root: Path) -> None:
            _run("rsync", "-rt", *delete, f"{source}/", f"{root / folder}/")
            again = _run("rsync", "-rtni", f"{source}/", f"{root / folder}/")
            # The folder's own time changes while its files come.
            lines = [line for line in again.splitlines() if not line.endswith(" ./")]
            if lines:
                raise AssertionError(f"a second rsync has something to do: {lines}")

        return Operation(f"rsync {source.name} {folder} {' '.join(delete)}", apply)

    def _save_as_editors_do(self, files: list[str], folders: list[str]) -> Operation | None:
        if not files:
            return None
        path, data = self._random.choice(files), self._bytes()
        operation = Operation(f"save {path} {len(data)}", _nothing)

        def apply(root: Path) -> None:
            scratch = root / path
            scratch = scratch.with_name(f".{scratch.name}.tmp")
            _write_slowly(scratch, data)
            scratch.rename(root / path)

        operation.apply = apply
        return operation

    def _rename_while_open(self, files: list[str], folders: list[str]) -> Operation | None:
        old, new, data = self._new_path(folders), self._new_path(folders), self._bytes()
        if old == new or old in files:
            return None
        operation = Operation(f"rename open {old} {new} {len(data)}", _nothing, (old, new))

        def apply(root: Path) -> None:
            with (root / old).open("wb", buffering=0) as file:
                file.write(data[:_CHUNK])
                try:
                    (root / old).rename(root / new)
                finally:
                    file.write(data[_CHUNK:])
            operation.closed.add(new)

        operation.apply = apply
        return operation

    def _unlink_while_open(self, files: list[str], folders: list[str]) -> Operation | None:
        path, data = self._new_path(folders), self._bytes()
        if path in files:
            return None

        def apply(root: Path) -> None:
            with (root / path).open("w+b", buffering=0) as file:
                file.write(data)
                (root / path).unlink()
                file.seek(0)
                assert file.read(len(data)) == data, "an unlinked open file reads otherwise"

        return Operation(f"unlink open {path} {len(data)}", apply, (path,))

    # --- folders -------------------------------------------------------------------------------

    def _mkdir(self, files: list[str], folders: list[str]) -> Operation | None:
        if not self._folders:
            return None
        parent = self._random.choice([".", *folders])
        path = os.path.normpath(f"{parent}/folder {self._random.randrange(4)}")
        return Operation(f"mkdir {path}", lambda root: (root / path).mkdir())

    def _rmdir(self, files: list[str], folders: list[str]) -> Operation | None:
        if not folders or not self._folders:
            return None
        path = self._random.choice(folders)
        return Operation(f"rmdir {path}", lambda root: (root / path).rmdir())

    def _move_folder(self, files: list[str], folders: list[str]) -> Operation | None:
        if not folders or not self._folders:
            return None
        source = self._random.choice(folders)
        parent = self._random.choice([".", *folders])
        target = os.path.normpath(f"{parent}/moved {self._random.randrange(3)}")
        inside = [path for path in files if path.startswith(f"{source}/")]
        return Operation(
            f"mv {source} {target}",
            lambda root: (root / source).rename(root / target),
            moves=tuple((path, target + path.removeprefix(source)) for path in inside),
        )

    def _remove_tree(self, files: list[str], folders: list[str]) -> Operation | None:
        if len(folders) < 3 or not self._folders:
            return None
        path = self._random.choice(folders)
        return Operation(f"rm -r {path}", lambda root: _run("rm", "-r", root / path))


def _writing(word: str, path: str, data: bytes) -> Operation:
    operation = Operation(f"{word} {path} {len(data)}", _nothing, (path,))

    def apply(root: Path) -> None:
        _write_slowly(root / path, data)
        operation.closed.add(path)

    operation.apply = apply
    return operation


def _write_slowly(path: Path, data: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        for piece in _pieces(data):
            file.write(piece)


def _pieces(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), _CHUNK):
        yield data[at : at + _CHUNK]


def _nothing(root: Path) -> None:
    """Replaced at once."""


def _run(*words: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=TOOL_S,
        check=False,
        env=os.environ | {"LC_ALL": "C.UTF-8"},
    )
    if done.returncode:
        raise ToolFailedError(done.returncode, done.stderr.strip() or "no reason given")
    return done.stdout
