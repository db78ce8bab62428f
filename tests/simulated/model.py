"""A mount compared with a plain model while everything happens to it.

The model is a dictionary of paths. Programs change names and contents through the volume, others
change the account behind its back, listings lag, uploads are under way, the volume is closed or
killed and opened again, and listings are asked for in the middle of it all. At any moment what
was done through the volume must show, and nothing that was undone through it; once all is quiet
the volume, the account and a second volume without memory hold exactly what the model holds.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import trio
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.mount.mounting import Simhost
from tests.simulated.loop import Loop, Step
from tests.simulated.paths import is_below, is_scratch, join, split
from tests.simulated.rig import DEFAULTS, Rig
from vidfs.errors import (
    AbilityError,
    ContentAbilityError,
    ExistsError,
    InvalidArgumentError,
    NotEmptyError,
    NotFoundError,
    VidfsError,
)
from vidfs.types import ROOT_INODE, Inode, NodeKind

NAMES = ["a.mp4", "b.mp4", "é & ü.mp4", ".s.mp4"]
FOLDERS = ["A", "B"]
LAGS_MS = [0, 0, 150, 10_000_000]  # the last one: until it is taken back
DIALECTS = ["vipstream", "xvs", "doodstream", "fruithosted", "pstream", "streamtape"]
ONLY_VIDEO = frozenset({"doodstream", "vipstream", "xvs", "pstream"})
MOVES_BY_FILE = frozenset({"doodstream", "pstream", "streamtape"})

DICE = st.randoms(use_true_random=True)
"""What is drawn must not hang on how things went: hypothesis would take that for a flaw."""


STEPS: list[str] = []
"""What was done so far in the example under way, for whoever looks at a failure."""


def note(*words: object) -> None:
    STEPS.append(" ".join(map(str, words)))


class MountModel(RuleBasedStateMachine):
    """Give it `host` and `dialect` in a subclass."""

    host: ClassVar[Simhost]
    dialect: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        STEPS.clear()
        self.files: dict[str, bytes] = {}  # what must be there in the end, by path
        self.folders: set[str] = {""}
        self.blurred: set[str] = set()  # changed by others: the volume may have seen it or not
        self.moved: dict[str, str] = {}  # where others took what was at a path; "" if removed
        self.doubtful: set[str] = set()  # changed from both sides: there or not in the end
        self.ours: set[str] = set()  # changed here, and in no listing yet that must be up to date
        self.open_files: dict[str, int] = {}
        self.lag_ms = 0
        self.count = 0
        self.scratch = tempfile.TemporaryDirectory(prefix="vidfs-model-")
        self.loop = Loop()
        self.is_open = False

    # --- opening and closing -----------------------------------------------------------

    @initialize(dice=DICE)
    def start(self, dice: random.Random) -> None:
        self.host.clear_faults()
        self.host.set(**DEFAULTS)
        self.host.request("DELETE", f"{self.dialect}/tree")
        for path in ("F", "F/G"):
            self.host.request("POST", f"{self.dialect}/folders", path=path)
            self.folders.add(path)
        self.rig = self._new_rig()
        self._open(dice)

    def _new_rig(self) -> Rig:
        directory = Path(tempfile.mkdtemp(dir=self.scratch.name))
        return Rig(self.host, self.dialect, directory)

    def _open(self, dice: random.Random) -> None:
        dir_ttl_s, dir_stale_s = dice.choice([(60.0, 600.0), (0.0, 600.0), (0.0, 0.0)])
        note("open, dir_ttl", dir_ttl_s, "dir_stale", dir_stale_s)
        self._hold(self.rig, dir_ttl_s=dir_ttl_s, dir_stale_s=dir_stale_s)

    def _hold(self, rig: Rig, **settings: float) -> None:
        self._let_go, self._gone = trio.Event(), trio.Event()

        async def hold(task_status: trio.TaskStatus[None]) -> None:
            with suppress(trio.Cancelled):
                async with rig.open(**settings):
                    task_status.started()
                    await self._let_go.wait()
            self._gone.set()

        self.loop.run(lambda: self.loop.nursery.start(hold))
        self.is_open = True

    def _close(self, *, killed: bool = False) -> None:
        note("kill" if killed else "close")

        async def close() -> None:
            for fh in self.open_files.values():
                await self.rig.close(fh)
            if killed:
                self.rig.kill()
            self._let_go.set()
            await self._gone.wait()

        self.is_open = False
        self.loop.run(close)
        self.open_files.clear()

    def teardown(self) -> None:
        failure = sys.exc_info()[1]
        try:
            if self.is_open and failure is None:
                self._finish()
        except BaseException as error:
            failure = error
            raise
        finally:
            if isinstance(failure, Exception):
                failure.add_note("\n  ".join([f"steps on {self.dialect}:", *STEPS]))
                self.failed(failure)
            with suppress(Exception):
                if self.is_open:
                    self._close()
            self.loop.stop()
            self.scratch.cleanup()

    def failed(self, failure: BaseException) -> None:
        """Told of a difference, before hypothesis tries whether it comes again."""

    # --- helpers -----------------------------------------------------------------------

    def _content(self, dice: random.Random | None = None, path: str = "") -> bytes:
        """New bytes or, with *dice*, often those that *path* or another file has already."""
        chance = dice.random() if dice is not None else 1.0
        if chance < 0.25 and path in self.files:
            return self.files[path]
        if dice is not None and chance < 0.4 and self.files:
            return self.files[dice.choice(sorted(self.files))]
        self.count += 1
        return b"content %d " % self.count * (1 + self.count % 3)

    def _do(self, step: Step) -> VidfsError | None:
        async def attempt() -> VidfsError | None:
            try:
                await step()
            except VidfsError as error:
                return error
            return None

        error: VidfsError | None = self.loop.run(attempt)
        return error

    async def _inode(self, folder: str) -> Inode:
        inode = ROOT_INODE
        for name in filter(None, folder.split("/")):
            attr = await self.rig.volume.lookup(inode, name)
            if attr is None:
                raise NotFoundError(f"no {folder}")
            inode = attr.inode
        return inode

    def _draw(self, dice: random.Random, paths: set[str]) -> str | None:
        if not paths:
            return None
        return dice.choice(sorted(paths))

    def _sharp(self, path: str) -> bool:
        """Whether the volume must know how things stand at *path* and on the way to it."""
        parts = path.split("/")
        return not any("/".join(parts[:n]) in self.blurred for n in range(1, len(parts) + 1))

    def _certain(self) -> set[str]:
        """Files that must be there for the volume."""
        return {path for path in self.files if self._sharp(path)} - self.doubtful

    def _sharp_folders(self) -> set[str]:
        return {folder for folder in self.folders if self._sharp(folder)}

    def _has_blurred_below(self, folder: str) -> bool:
        return any(is_below(path, folder) for path in self.blurred | set(self.moved))

    def _inside(self, folder: str) -> set[str]:
        everything = set(self.files) | self.folders - {""}
        return {split(path)[1] for path in everything if split(path)[0] == folder}

    def _forget(self, path: str) -> None:
        """What others did to *path* no longer matters, except where they took it."""
        self.blurred.discard(path)
        elsewhere = self.moved.pop(path, "")
        while elsewhere in self.moved:  # and on from there
            elsewhere = self.moved[elsewhere]
        if elsewhere and elsewhere in self.files:
            self.doubtful.add(elsewhere)

    def _racing(self, folder: str, step: Step, racing: bool) -> Step:
        """*step* in the middle of listings, if so."""
        if not racing:
            return step

        async def look() -> None:
            with suppress(VidfsError):
                await self.rig.volume.refresh("/" + folder)

        async def both() -> None:
            error = None
            async with trio.open_nursery() as nursery:
                nursery.start_soon(look)
                with suppress(VidfsError):
                    nursery.start_soon(self.rig.volume.ensure_listed, await self._inode(folder))
                try:
                    await step()
                except VidfsError as raised:
                    error = raised
            if error is not None:
                raise error

        return both

    # --- programs ------------------------------------------------------------------------

    @rule(dice=DICE, name=st.sampled_from(NAMES), racing=st.booleans())
    def write(self, dice: random.Random, name: str, racing: bool) -> None:
        folder = self._draw(dice, self._sharp_folders())
        assert folder is not None
        path = join(folder, name)
        content = self._content(dice, path)
        if path in self.open_files:
            return

        async def step() -> None:
            await self.rig.write(name, content, await self._inode(folder))

        note("write", path, content, "racing" * racing)
        error = self._do(self._racing(folder, step, racing))
        assert error is None, error
        self._forget(path)
        self.doubtful.discard(path)
        self.files[path] = content
        self.ours.add(path)

    @rule(dice=DICE, name=st.sampled_from(NAMES))
    def start_writing(self, dice: random.Random, name: str) -> None:
        folder = self._draw(dice, self._sharp_folders())
        assert folder is not None
        path = join(folder, name)
        content = self._content(dice, path)
        if path in self.open_files or len(self.open_files) > 1:
            return

        async def step() -> None:
            fh, _ = await self.rig.start_writing(name, content, await self._inode(folder))
            self.open_files[path] = fh

        note("start writing", path, content)
        error = self._do(step)
        assert error is None, error
        self._forget(path)
        self.doubtful.discard(path)
        self.files[path] = content
        self.ours.add(path)

    @rule(dice=DICE)
    def end_writing(self, dice: random.Random) -> None:
        path = self._draw(dice, set(self.open_files))
        if path is None:
            return
        note("end writing", path)
        fh = self.open_files.pop(path)
        assert self._do(lambda: self.rig.close(fh)) is None

    @rule(dice=DICE)
    def change_bytes(self, dice: random.Random) -> None:
        path = self._draw(dice, self._certain() - set(self.open_files))
        if path is None:
            return
        folder, name = split(path)

        async def step() -> None:
            attr = await self.rig.volume.lookup(await self._inode(folder), name)
            assert attr is not None, path
            fh = await self.rig.volume.open(attr.inode, os.O_RDWR)
            await self.rig.volume.files.write(fh, 0, b"X")
            await self.rig.close(fh)

        error = self._do(step)
        note("change bytes", path, repr(error))
        if error is None:
            self.files[path] = b"X" + self.files[path][1:]
            self.ours.add(path)
        assert error is None or isinstance(error, ContentAbilityError), error

    @rule(dice=DICE, name=st.sampled_from(FOLDERS), racing=st.booleans())
    def make_folder(self, dice: random.Random, name: str, racing: bool) -> None:
        parent = self._draw(dice, self._sharp_folders())
        assert parent is not None
        path = join(parent, name)
        if not self._sharp(path) or path.count("/") > 3:
            return

        async def step() -> None:
            await self.rig.volume.make_folder(await self._inode(parent), name)

        error = self._do(self._racing(parent, step, racing))
        note("mkdir", path, "racing" * racing, repr(error))
        if path in self.folders:
            assert isinstance(error, ExistsError), error
        elif not isinstance(error, AbilityError):
            assert error is None, error
            self.folders.add(path)
            self.ours.add(path)

    @rule(dice=DICE, racing=st.booleans())
    def unlink(self, dice: random.Random, racing: bool) -> None:
        known = {p for p in set(self.files) | set(self.moved) if self._sharp(split(p)[0])}
        path = self._draw(dice, known - set(self.open_files) - self.doubtful)
        if path is None:
            return
        folder, name = split(path)

        async def step() -> None:
            await self.rig.unlink(name, await self._inode(folder))

        error = self._do(self._racing(folder, step, racing))
        note("unlink", path, "racing" * racing, repr(error))
        if path in self.blurred:
            assert error is None or isinstance(error, NotFoundError), error
            if error is None:
                self._forget(path)
                self.files.pop(path, None)
            return
        assert error is None, (path, error)
        del self.files[path]

    @rule(dice=DICE)
    def remove_folder(self, dice: random.Random) -> None:
        folder = self._draw(dice, self._sharp_folders() - {""})
        if folder is None or (self.lag_ms and self._has_blurred_below(folder)):
            return
        parent, name = split(folder)

        async def step() -> None:
            await self.rig.volume.remove_folder(await self._inode(parent), name)

        error = self._do(step)
        note("rmdir", folder, repr(error))
        inside = {join(folder, name) for name in self._inside(folder)}
        if inside - self.doubtful:
            assert isinstance(error, NotEmptyError | AbilityError), error
        elif inside and isinstance(error, NotEmptyError):
            pass  # what may be in it is
        elif not isinstance(error, AbilityError):
            assert error is None, (folder, error)
            self.folders.discard(folder)
            for path in inside:
                del self.files[path]
                self.doubtful.discard(path)
            for path in [p for p in self.blurred | set(self.moved) if is_below(p, folder)]:
                self._forget(path)

    @rule(dice=DICE, name=st.sampled_from(NAMES), racing=st.booleans())
    def rename_file(self, dice: random.Random, name: str, racing: bool) -> None:
        old = self._draw(dice, self._certain())
        target = self._draw(dice, self._sharp_folders())
        if old is None or target is None:
            return
        new = join(target, name)
        if not self._sharp(new) or new in self.open_files or new == old:
            return
        if is_scratch(new):  # an upload under way may go on under the name before
            if old in self.open_files:
                return
            self._settle()

        async def step() -> None:
            folders = await self._inode(split(old)[0]), await self._inode(target)
            await self.rig.rename(split(old)[1], name, *folders)

        error = self._do(self._racing(target, step, racing))
        note("rename", old, new, "racing" * racing, repr(error))
        assert error is None or isinstance(error, AbilityError), (old, new, error)
        if error is None:
            self.files[new] = self.files.pop(old)
            self.doubtful.discard(new)
            self.ours.add(new)
            if old in self.open_files:
                self.open_files[new] = self.open_files.pop(old)

    @rule(dice=DICE, name=st.sampled_from(FOLDERS), racing=st.booleans())
    def rename_folder(self, dice: random.Random, name: str, racing: bool) -> None:
        old = self._draw(dice, self._sharp_folders() - {""})
        target = self._draw(dice, self._sharp_folders())
        if old is None or target is None:
            return
        new = join(target, name)
        if any(self._has_blurred_below(folder) for folder in (old, new)):
            return
        if self.lag_ms > 1000 and self.dialect in MOVES_BY_FILE:
            return  # it would wait for a listing that says that all has followed

        async def step() -> None:
            folders = await self._inode(split(old)[0]), await self._inode(target)
            await self.rig.rename(split(old)[1], name, *folders)

        error = self._do(self._racing(target, step, racing))
        note("rename folder", old, new, "racing" * racing, repr(error))
        if new == old:
            assert error is None, error
        elif is_below(target, old):
            assert isinstance(error, InvalidArgumentError | NotEmptyError), (old, new, error)
        elif new in self.folders and self._inside(new):
            assert isinstance(error, NotEmptyError), (old, new, error)
        elif not isinstance(error, AbilityError):
            assert error is None, (old, new, error)
            self._move_below(old, new)
            self.ours.add(new)

    def _move_below(self, old: str, new: str) -> list[tuple[str, str]]:
        """*old* is *new* now. What was where of files, and is where now."""

        def renamed(path: str) -> str:
            return new + path[len(old) :] if is_below(path, old) else path

        pairs = [(path, renamed(path)) for path in self.files if is_below(path, old)]
        self.folders = {renamed(folder) for folder in self.folders}
        self.files = {renamed(path): content for path, content in self.files.items()}
        self.doubtful = {renamed(path) for path in self.doubtful}
        self.ours = {renamed(path) for path in self.ours}
        self.open_files = {renamed(path): fh for path, fh in self.open_files.items()}
        return pairs

    @rule(dice=DICE)
    def read(self, dice: random.Random) -> None:
        path = self._draw(dice, self._certain())
        if path is None:
            return
        folder, name = split(path)
        found = []

        async def step() -> None:
            found.append(await self.rig.read(name, await self._inode(folder)))

        error = self._do(step)
        note("read", path, repr(error))
        if not isinstance(error, ContentAbilityError):
            assert error is None, (path, error)
            assert found == [self.files[path]], path

    # --- others, behind the volume's back ---------------------------------------------------

    def _settle(self) -> None:
        """All that was closed is at the host."""

        note("settle")

        error = self._do(lambda: self.rig.settle())
        assert error is None, error

    def _quiet_files(self) -> set[str]:
        """Files that the host has for certain, as they are, and of which the volume knows that
        it has: what others do to them is not taken for a listing that lags."""
        self._settle()
        if self.ours and not self.lag_ms:
            self.refresh_all()
        unfit = self.doubtful | self.ours
        found = {p for p in self.files if self._sharp(split(p)[0]) and p not in unfit}
        return {p for p in found - set(self.open_files) if not is_scratch(p)}

    def _code(self, path: str) -> str:
        code: str = self._at_host()[0][path]["code"]
        return code

    def _unused_name(self) -> str:
        self.count += 1
        return f"h{self.count}"

    @rule(dice=DICE, extension=st.sampled_from(["", ".mp4"]))
    def others_add(self, dice: random.Random, extension: str) -> None:
        self._settle()  # folders too that move file by file
        folder = self._draw(dice, self._sharp_folders())
        assert folder is not None
        title, content = self._unused_name() + extension, self._content()
        note("others: add", folder, title, content)
        self.host.add_file(self.dialect, title, content, folder=folder)
        path = join(folder, self._shown(title))
        self.files[path] = content
        self.blurred.add(path)

    @rule(dice=DICE)
    def others_delete(self, dice: random.Random) -> None:
        path = self._draw(dice, self._quiet_files())
        if path is None:
            return
        note("others: delete", path)
        self.host.request("DELETE", f"{self.dialect}/files/{self._code(path)}")
        del self.files[path]
        self.blurred.add(path)
        self.moved[path] = ""

    @rule(dice=DICE, moves=st.booleans())
    def others_rename(self, dice: random.Random, moves: bool) -> None:
        path = self._draw(dice, self._quiet_files())
        if path is None:
            return
        title, folder = self._unused_name() + ".mp4", split(path)[0]
        changes = {"title": title}
        if moves:
            chosen = self._draw(dice, self._sharp_folders())
            assert chosen is not None
            folder = changes["folder"] = chosen
        note("others: rename", path, changes)
        self.host.request("PATCH", f"{self.dialect}/files/{self._code(path)}", changes)
        new = join(folder, title)
        self.files[new] = self.files.pop(path)
        self.moved[path] = new
        self.blurred |= {path, new}

    @rule(dice=DICE)
    def others_make_folder(self, dice: random.Random) -> None:
        self._settle()  # folders too that move file by file
        parent = self._draw(dice, self._sharp_folders())
        assert parent is not None
        path = join(parent, self._unused_name())
        note("others: mkdir", path)
        self.host.request("POST", f"{self.dialect}/folders", path=path)
        self.folders.add(path)
        self.blurred.add(path)

    @rule(dice=DICE, moves=st.booleans())
    def others_rename_folder(self, dice: random.Random, moves: bool) -> None:
        self._quiet_files()
        old = self._draw(dice, self._sharp_folders() - {""})
        if old is None or self._has_blurred_below(old) or self._has_local_below(old):
            return
        parent = split(old)[0]
        changes = {"name": self._unused_name()}
        if moves:
            fit = {f for f in self._sharp_folders() if not is_below(f, old)}
            chosen = self._draw(dice, fit)
            assert chosen is not None
            parent = changes["parent"] = chosen
        note("others: rename folder", old, changes)
        self.host.request("PATCH", f"{self.dialect}/folders", changes, path=old)
        new = join(parent, changes["name"])
        self._move_below(old, new)
        self.blurred |= {old, new}

    def _has_local_below(self, folder: str) -> bool:
        paths = {*self.open_files, *(p for p in self.files if is_scratch(p))}
        return any(is_below(path, folder) for path in paths | self.doubtful | self.ours)

    # --- time and the machine -----------------------------------------------------------------

    @rule(dice=DICE)
    def let_uploads_end(self, dice: random.Random) -> None:
        self._settle()

    @rule(lag_ms=st.sampled_from(LAGS_MS))
    def let_listings_lag(self, lag_ms: int) -> None:
        note("lag", lag_ms)
        self.lag_ms = lag_ms
        self.host.set(listing_lag_ms=lag_ms)

    @rule(latency_ms=st.sampled_from([0, 3, 20]))
    def let_the_host_take_its_time(self, latency_ms: int) -> None:
        note("latency", latency_ms)
        self.host.set(latency_ms=latency_ms)

    @rule(dice=DICE)
    def refresh(self, dice: random.Random) -> None:
        folder = self._draw(dice, self._sharp_folders())
        note("refresh", folder)
        error = self._do(lambda: self.rig.volume.refresh(f"/{folder}"))
        assert error is None, error

    @rule()
    def refresh_all(self) -> None:
        """Nothing that others did stays unseen."""
        self.let_listings_lag(0)
        self._settle()
        self._look_everywhere()
        self.blurred.clear()
        self.moved.clear()
        self.ours = set(self.open_files)

    def _look_everywhere(self) -> None:
        note("refresh everything")

        async def look(folder: Inode, path: str) -> None:
            await self.rig.volume.refresh(path)
            for name, attr in list(self.rig.volume.list_folder(folder)):
                if attr.kind is NodeKind.FOLDER:
                    with suppress(NotFoundError):  # moved meanwhile
                        await look(attr.inode, f"{path}/{name}")

        for _ in range(2):  # what was moved may be met before the place where it is now
            error = self._do(lambda: look(ROOT_INODE, ""))
            assert error is None, error

    @rule(dice=DICE, killed=st.booleans())
    def restart(self, dice: random.Random, killed: bool) -> None:
        if self.lag_ms:
            self._settle()  # what a lost answer left can't be found in a listing of before
        self._close(killed=killed)
        self._open(dice)

    # --- comparing ------------------------------------------------------------------------------

    @invariant()
    def shows_what_was_done_through_it(self) -> None:
        if not self.is_open:
            return
        for folder in self._sharp_folders():
            shown = self._names(folder)
            inside = self._inside(folder)
            for name in inside - shown:
                path = join(folder, name)
                assert path in self.blurred or path in self.doubtful, f"{path} is missing"
            for name in shown - inside:
                path = join(folder, name)
                assert path in self.blurred or path in self.doubtful, f"{path} came back"

    def _names(self, folder: str) -> set[str]:
        async def names() -> set[str]:
            return set(await self.rig.names(await self._inode(folder)))

        found: set[str] = self.loop.run(names)
        return found

    def _shown(self, title: str) -> str:
        known = title.endswith(".mp4") or self.dialect not in ONLY_VIDEO
        return title if known else title + ".mp4"

    def _at_host(self) -> tuple[dict[str, dict[str, Any]], set[str]]:
        """Files by the path they are to be shown under, and folders; the trash left out."""
        answer = self.host.tree(self.dialect)
        files: dict[str, dict[str, Any]] = {}
        for file in answer["files"]:
            if file["title"].startswith("vidfs-trash~") or "vidfs trash" in file["folder_path"]:
                continue
            path = join(file["folder_path"], self._shown(file["title"]))
            assert path not in files, f"{path} is there twice"
            files[path] = file
        folders = {folder["path"] for folder in answer["folders"]} | {""}
        return files, {f for f in folders if "vidfs trash" not in f and "vidfs-trash~" not in f}

    def _finish(self) -> None:
        """Once all is quiet, everybody has the same."""
        note("finish")
        self.host.set(listing_lag_ms=0, latency_ms=0)
        self.lag_ms = 0
        for path in list(self.open_files):
            fh = self.open_files.pop(path)
            assert self._do(lambda fh=fh: self.rig.close(fh)) is None  # type: ignore[misc]
        self._settle()
        files, folders = self._at_host()
        must = {p for p in self.files if not is_scratch(p)} - self.doubtful
        there = {p for p in files if not is_scratch(p)}
        self._same("files at the host", there - self.doubtful, must)
        self._same("folders at the host", folders, self.folders)
        bodies = self.host.root / self.dialect / "files"
        for path in must:
            assert (bodies / files[path]["code"]).read_bytes() == self.files[path], path
        local = {p for p in self.files if is_scratch(p)}
        self._look_everywhere()
        self._compare(there | local)
        # Long after, listings are believed as they are.
        with (
            mock.patch("vidfs.tree.merge.SETTLE_S", 0.0),
            mock.patch("vidfs.tree.tree.SETTLE_S", 0.0),
        ):
            self._look_everywhere()
            self._compare(there | local)
        self._close()
        self.rig = self._new_rig()
        self._hold(self.rig)
        self._compare(set(files))  # the host's scratch names too, but none of those kept here
        self._close()

    def _compare(self, files: set[str]) -> None:
        found_files: set[str] = set()
        found_folders = {""}

        async def walk(folder: Inode, path: str) -> None:
            await self.rig.volume.ensure_listed(folder)
            for name, attr in list(self.rig.volume.list_folder(folder)):
                inner = join(path, name)
                if attr.kind is NodeKind.FOLDER:
                    found_folders.add(inner)
                    await walk(attr.inode, inner)
                else:
                    found_files.add(inner)

        error = self._do(lambda: walk(ROOT_INODE, ""))
        assert error is None, error
        self._same("files shown", found_files, files)
        self._same("folders shown", found_folders, self.folders)

    def _same(self, what: str, found: set[str], expected: set[str]) -> None:
        more, missing = sorted(found - expected), sorted(expected - found)
        assert not more and not missing, f"{what}: {more} more than expected, {missing} missing"
