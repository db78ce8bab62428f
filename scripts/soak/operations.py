"""What is done to the mount and to the plain directory beside it, in the same way.

An `Operation` is decided before it is carried out (names, bytes, all of it), so that it does the
same in both places. It also says what may be seen of it if it is cut off.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

FOLDERS = ("Films", "Series", "Clips", "Series/One")
NAMES = ("a.mp4", "b.mp4", "c film.mkv", "Ünï – 映画.mp4", "e_e.e.webm", "f.avi")
TOOL_S = 60.0
_CHUNK = 20_000
_MAP = """
import mmap, os, sys
path, text, *places = sys.argv[1:]
fd = os.open(path, os.O_RDWR)
room = os.fstat(fd).st_size - len(text)
if room > 0:
    with mmap.mmap(fd, 0) as area:
        for place in places:
            at = int(float(place) * room)
            area[at : at + len(text)] = text.encode()
        area.flush()
os.close(fd)
"""


_PYTHON = (sys.executable, "-I", "-S", "-c")


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
    """They are removed before something else is put there."""
    closed: set[str] = field(default_factory=set)
    """Their close returned: from then on nothing of them may be lost."""


class Dice:
    """Draws operations that fit what is there."""

    def __init__(self, seed: object, sources: Path, *, folders: bool) -> None:
        self._random = random.Random(f"{seed}")
        self._sources = sources  # of `rsync` and `cp` from outside
        self._folders = folders  # the host can make them
        self._count = 0
        self._known: deque[bytes] = deque(maxlen=4)
        self._next: deque[Callable[[list[str], list[str]], Operation | None]] = deque()

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
            (1.5, self._write_mapped),
            (1, self._write_through_two),
            (1, self._write_and_change_at_once),
            (1, self._swap),
            (2, self._rename_while_open),
            (1, self._unlink_while_open),
            (1, self._mkdir),
            (1, self._rmdir),
            (0.7, self._move_folder),
            (0.5, self._copy_tree),
            (0.5, self._remove_tree),
        ]
        while True:
            if self._next:
                kind = self._next.popleft()
            else:
                [(_, kind)] = self._random.choices(kinds, [weight for weight, _ in kinds])
            if (operation := kind(files, folders)) is not None:
                operation.text = f"#{self._count} {operation.text}"
                return operation

    # --- what is drawn from ------------------------------------------------------------------

    def _bytes(self) -> bytes:
        """New ones, or those of a file of just now: hosts know files by their hash."""
        if self._known and self._random.random() < 0.15:
            return self._random.choice(self._known)
        size = self._random.choice((1, 300, 5_000, 40_000, 150_000))
        size += self._random.randrange(size)
        self._known.append(data := self._random.randbytes(size))
        return data

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
        size = self._random.choice((0, 1, 700, 20_000, 99_999))
        return self._truncate_one(self._random.choice(files), size, files)

    def _truncate_one(self, path: str, size: int, files: list[str]) -> Operation | None:
        if path not in files:
            return None
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
        return self._move_one(source, target or self._new_path(folders), files)

    def _move_one(self, source: str, target: str, files: list[str]) -> Operation | None:
        if source == target or source not in files:
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
        return self._remove_one(self._random.choice(files), files)

    def _remove_one(self, path: str, files: list[str]) -> Operation | None:
        if path not in files:
            return None
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
        options = [self._random.choice(("-rt", "-a"))]
        if in_place := self._random.random() < 0.3:
            options.append("--inplace")
        if self._random.random() < 0.2:
            options += ["--delete", "--exclude=*/"]

        def apply(root: Path) -> None:
            _run("rsync", *options, f"{source}/", f"{root / folder}/")
            again = _run("rsync", options[0], "-ni", f"{source}/", f"{root / folder}/")
            # The folder's own time changes while its files come.
            lines = [line for line in again.splitlines() if not line.endswith(" ./")]
            if lines:
                raise AssertionError(f"a second rsync has something to do: {lines}")

        names = [path.name for path in source.iterdir()] if in_place else []
        written = tuple(os.path.normpath(f"{folder}/{name}") for name in names)
        return Operation(f"rsync {' '.join(options)} {source.name} {folder}", apply, written)

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

    def _write_mapped(self, files: list[str], folders: list[str]) -> Operation | None:
        """Through a shared mapping, in a process of its own: one whose daemon is killed gets
        SIGBUS."""
        if not files:
            return None
        path = self._random.choice(files)
        places = [self._random.random() for _ in range(self._random.randint(1, 5))]
        text = f"{self._random.randrange(10**6):06}"
        operation = Operation(f"map {path} {text}", _nothing, (path,))

        def apply(root: Path) -> None:
            _run(*_PYTHON, _MAP, root / path, text, *map(str, places))
            operation.closed.add(path)

        operation.apply = apply
        return operation

    def _write_through_two(self, files: list[str], folders: list[str]) -> Operation | None:
        """Two descriptors, the second opened before the first is closed, and made shorter."""
        path, data = self._new_path(folders), self._bytes()
        at, end = self._random.randrange(len(data)), self._random.randrange(2 * len(data))
        operation = Operation(f"two on {path} {len(data)} {at} {end}", _nothing, (path,))

        def apply(root: Path) -> None:
            with (root / path).open("wb", buffering=0) as one:
                one.write(data[:at])
                with (root / path).open("r+b", buffering=0) as other:
                    other.seek(at)
                    other.write(data[at:])
                    one.truncate(end)
            operation.closed.add(path)

        operation.apply = apply
        return operation

    def _write_and_change_at_once(self, files: list[str], folders: list[str]) -> Operation:
        """A file that is hardly closed, and perhaps being sent, is changed: what comes next does
        that."""
        path = self._new_path(folders)
        other = self._new_path(folders)
        data = self._bytes()
        then: list[Callable[[list[str], list[str]], Operation | None]] = [
            lambda files, folders: self._remove_one(path, files),
            lambda files, folders: _writing("rewrite", path, data[::-1]),
            lambda files, folders: _writing("the same again", path, data),
            lambda files, folders: _writing("the same elsewhere", other, data),
            lambda files, folders: self._move_one(path, other, files),
            lambda files, folders: self._move_one(other, path, files),
            lambda files, folders: self._truncate_one(path, 0, files),
        ]
        self._next += self._random.sample(then, self._random.randint(1, 3))
        return _writing("write", path, data)

    def _swap(self, files: list[str], folders: list[str]) -> Operation | None:
        """Two files change places."""
        if len(files) < 2:
            return None
        one, other = self._random.sample(files, 2)
        aside = os.path.join(os.path.dirname(one), self._random.choice(("aside.mp4", ".aside.mp4")))
        self._next += [
            lambda files, folders: self._move_one(other, one, files),
            lambda files, folders: self._move_one(aside, other, files),
        ]
        return self._move_one(one, aside, files)

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
        if self._random.random() < 0.3:
            target = self._random.choice(folders)  # takes its place if it is empty
        inside = [path for path in files if path.startswith(f"{source}/")]
        return Operation(
            f"mv {source} {target}",
            lambda root: (root / source).rename(root / target),
            moves=tuple((path, target + path.removeprefix(source)) for path in inside),
            # No host replaces a folder: an empty one is removed before the other takes its place.
            removed_first=(target,) if target in folders else (),
        )

    def _copy_tree(self, files: list[str], folders: list[str]) -> Operation | None:
        if not folders or not self._folders:
            return None
        source = self._random.choice(folders)
        target = f"copied {self._random.randrange(3)}"
        if target.startswith(source):
            return None
        inside = [path for path in files if path.startswith(f"{source}/")]
        return Operation(
            f"cp -r {source} {target}",
            lambda root: _run("cp", "-rT", root / source, root / target),
            tuple(target + path.removeprefix(source) for path in inside),
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
    if done.returncode < 0:
        raise ToolFailedError(done.returncode, signal.Signals(-done.returncode).name)
    if done.returncode:
        raise ToolFailedError(done.returncode, done.stderr.strip() or "no reason given")
    return done.stdout
