"""Rounds of operations, kills and faults on one mount, and the checks after them."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soak.operations import FOLDERS, NAMES, TOOL_S, Dice, Operation, ToolFailedError
from soak.shadow import (
    Content,
    DivergenceError,
    Tree,
    check_cut_off,
    differences,
    is_scratch,
    load_tree,
    make_alike,
)
from tests.mount.mounting import Mount, Program, Simhost
from vidfs.app.mounts import find_lock_holder, release_stuck_mount, wait_until_gone
from vidfs.control import ask

QUEUE_S = 120.0
_ABILITIES = frozenset({errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.EMEDIUMTYPE})
_ABILITY_WORDS = ("Operation not permitted", "Operation not supported", "Wrong medium type")
_LAG_MS = 150
_ENDS = {
    "killed": 58,
    "killed idle": 14,
    "killed twice": 6,
    "killed starting": 4,
    "stopped": 5,
    "unmounted": 5,
    "unmounted, cache lost": 5,
    "none": 6,
}
_OPTIONS = {
    "": 5,
    ",uploads=1": 1,
    ",api_parallel=1": 1,
    ",sizes=uploaded": 1,
    ",upload=close": 1,
    ",dir_ttl=200ms,dir_stale=1s": 4,  # much is listed again while it changes
}
_FAULTS = (("drop-before",), ("drop-after",), ("html", "cut", "truncate", "http=502"))
_NAMES_ELSEWHERE = (*NAMES, "elsewhere.mp4", "elsewhere too.mp4", "else – 映画.mkv", "el.se.avi")
_TRASH = ("vidfs trash", "vidfs-trash~")
_NO_MP4 = ("doodstream", "pstream")  # leave it out of titles (API_FACTS §1.3, §3.4)


@dataclass
class Score:
    operations: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    cut_off: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    checks: int = 0
    faults: int = 0

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {end}" for end, count in self.ends.most_common())
        refused = ", ".join(f"{count} {error}" for error, count in self.refused.most_common())
        return (
            f"{self.operations} operations, {self.cut_off} of them cut off; ends: {ends};"
            f" refused: {refused or 'none'}; {self.faults} faults;"
            f" {self.checks} comparisons with the host"
        )


class Killer:
    """SIGKILL for *mount*'s daemon after a while, from a thread, wherever its user is then."""

    def __init__(self, mount: Mount, after_s: float) -> None:
        self._pid, self._state_dir = mount.pid, mount.state_dir
        self._over = threading.Event()
        self.fired = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(after_s,), daemon=True)
        self._thread.start()

    def _run(self, after_s: float) -> None:
        if not self._over.wait(after_s):
            os.kill(self._pid, signal.SIGKILL)
            self.fired.set()
            # It may leave a thread in the kernel that waits for who waits for it: the next mount
            # or umount ends that, but the operation under way has to end first.
            if not wait_until_gone(self._state_dir, self._pid, timeout_s=5):
                release_stuck_mount(self._state_dir)

    def wait(self) -> None:
        self._thread.join()


class Soak:
    """One account under fire. Enter it, then run `round` as often as wanted, then `check`."""

    def __init__(
        self,
        root: Path,
        dialect: str,
        seed: int,
        *,
        faults: Sequence[Sequence[str]] = _FAULTS,
    ) -> None:
        """*faults*: one of each group in most rounds. After one that left the work undone an
        upload is only sent again when the host has had time to come up with it, which takes
        15 s."""
        self._root = root
        self._dialect = dialect
        self._faults = faults
        self._random = random.Random(f"{seed} {dialect}")
        self.score = Score()
        self.plain = root / "plain"
        self._before = root / "before"
        sources = root / "sources"
        for folder in (self.plain, sources, root / "program"):
            folder.mkdir(parents=True)
        self._simhost = Simhost(root / "host")
        self._program = Program(root / "program", self._simhost.config_file)
        self._mount = Mount(root / "program" / "mnt", dialect, self._program)
        self._mount.path.mkdir()
        self._makes_folders = dialect != "fruithosted"
        self._dice = Dice(f"{seed} {dialect} dice", sources, folders=self._makes_folders)
        self._recent: deque[str] = deque(maxlen=60)
        self._lag_s = 0.0
        self._added_elsewhere: set[str] = set()
        self._host_lock = threading.Lock()  # who has it may count on the host, or take it away
        self._outages = random.Random(f"{seed} {dialect} outages")

    @contextmanager
    def running(self) -> Iterator[Soak]:
        try:
            for folder in FOLDERS:
                (self.plain / folder).mkdir(parents=True)
                self._simhost.request("POST", f"{self._dialect}/folders", path=folder)
            if self._random.random() < 0.3:
                self._lag_s = 2 * _LAG_MS / 1000
                self._set_lag()
                time.sleep(self._lag_s)
            self._start()
            yield self
        finally:
            self._program.take_away(self._mount)
            self._simhost.stop()

    def _set_lag(self) -> None:
        if self._lag_s:
            self._simhost.set(listing_lag_ms=_LAG_MS)

    # --- one round -------------------------------------------------------------------------------

    def round(self, number: int) -> None:
        """Errors: DivergenceError."""
        self._note(f"--- round {number}")
        self._set_faults()
        end = self._random.choices(
            tuple(_ENDS),
            tuple(_ENDS.values()),
        )[0]
        self.score.ends[end] += 1
        after_s = self._random.uniform(0.0, 0.6)
        killer = Killer(self._mount, after_s) if end.startswith("killed") else None
        cut_off = None
        with self._company():
            for _ in range(self._random.randint(2, 9)):
                if end != "killed idle" and killer is not None and killer.fired.is_set():
                    break
                cut_off = self._operate(killer)
                if cut_off is not None:
                    break
        self._end(end, killer)
        if cut_off is not None:
            self.score.cut_off += 1
            self._settle(*cut_off)
        else:
            self._compare_mount()

    @contextmanager
    def _company(self) -> Iterator[None]:
        """Somebody else may be reading all of the mount, or the host may go away for a while."""
        what = self._random.choices(
            (None, self._look_around, self._take_the_host_away), (65, 25, 10)
        )[0]
        over = threading.Event()
        thread = threading.Thread(target=what or over.wait, args=(over,) if what else ())
        if what:
            self._note(what.__name__)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _look_around(self, over: threading.Event) -> None:
        while not over.wait(0.01):
            with suppress(OSError, DivergenceError):  # the daemon's end; a file that changes
                load_tree(self._mount.path)

    def _take_the_host_away(self, over: threading.Event) -> None:
        over.wait(self._outages.uniform(0.0, 0.3))
        with self._host_lock:
            self._simhost.stop()
            over.wait(self._outages.uniform(0.0, 1.0))
            self._simhost.start()
            self._set_lag()

    def _set_faults(self) -> None:
        self._clear_faults()
        rules: list[str] = []
        if self._random.random() < 0.6:
            # The host's dice fall alike every time, so that it matters after how many calls.
            for group in self._faults:
                action = self._random.choice(group)
                call = self._random.choice(("*", "upload"))
                often, after = self._random.choice((0.05, 0.2)), self._random.randrange(8)
                rules.append(f"{self._dialect}:{call}:{action}:p={often}:after={after}")
        if self._random.random() < 0.4:
            rules.append(f"{self._dialect}:upload:slow={self._random.choice((50, 300))}")
        self._note(f"faults: {rules}")
        self._simhost.fault(*rules)

    def _clear_faults(self) -> None:
        fired = self._simhost.request("GET", "fault")
        self.score.faults += sum(rule["fired"] for rule in fired if "slow" not in rule["rule"])
        self._simhost.clear_faults()

    def _operate(self, killer: Killer | None) -> tuple[Operation, set[str], Tree, Tree] | None:
        """One operation on both. Returns what is to be settled if it was cut off."""
        operation = self._dice.draw(self.plain)
        self._note(operation.text)
        self.score.operations += 1
        before = self._keep_before()
        error = _attempt(operation, self._mount.path)
        closed = set(operation.closed)
        is_cut_off = error is not None and _was_killed(error, killer)
        if isinstance(error, AssertionError) and not is_cut_off:
            raise DivergenceError(f"{operation.text}: {error}") from error
        plain_error = _attempt(operation, self.plain)
        after = load_tree(self.plain)
        if is_cut_off:
            self._note(f"  cut off: {error}")
            return operation, closed, before, after
        if error is None and plain_error is not None:
            raise DivergenceError(f"{operation.text}: a plain directory says: {plain_error}")
        if error is not None and plain_error is None:
            self._check_refusal(operation, error)
            try:
                seen = self._load_mount()
                check_cut_off(operation, closed, before, after, seen)
                make_alike(self.plain, self._mount.path, self._before, seen)
            except OSError as now:
                if not _was_killed(now, killer):
                    raise
                return operation, closed, before, after
        return None

    def _check_refusal(self, operation: Operation, error: BaseException) -> None:
        """The mount may refuse what a host can't do, and nothing else."""
        self._note(f"  refused: {error}")
        text = str(error)
        known = isinstance(error, OSError) and error.errno in _ABILITIES
        if isinstance(error, ToolFailedError):
            known = any(word in text for word in _ABILITY_WORDS)
        if not known:
            raise DivergenceError(f"{operation.text} failed: {error}")
        self.score.refused[
            errno.errorcode.get(error.errno or 0, "?")
            if isinstance(error, OSError) and not isinstance(error, ToolFailedError)
            else text.rpartition(": ")[2]
        ] += 1

    def _keep_before(self) -> Tree:
        shutil.rmtree(self._before, ignore_errors=True)
        shutil.copytree(self.plain, self._before)
        return load_tree(self.plain)

    # --- ends and starts -------------------------------------------------------------------------

    def _end(self, end: str, killer: Killer | None) -> None:
        pid = self._mount.pid if killer is None else 0
        if killer is not None:
            killer.wait()
            if end == "killed starting":
                self._kill_while_starting()
            self._start()
            if end == "killed twice":
                Killer(self._mount, self._random.uniform(0.0, 0.3)).wait()
                self._start()
        elif end == "stopped":
            os.kill(pid, signal.SIGTERM)
            if not wait_until_gone(self._mount.state_dir, pid, timeout_s=20):
                raise DivergenceError("the daemon doesn't stop within 20 s of SIGTERM")
            self._start()
        elif end == "unmounted":
            subprocess.run(["fusermount3", "-u", self._mount.path], check=True)
            self._start()
        elif end == "unmounted, cache lost":
            done = self._program.run("umount", "--now", str(self._mount.path))
            if done.returncode:
                raise DivergenceError(f"vidfs umount: {done.stderr}")
            shutil.rmtree(self._program.root / "cache")
            self._start()

    def _start(self) -> None:
        holder = find_lock_holder(self._mount.state_dir)
        if holder and not self._mount.is_mounted():
            pass  # goes on without its mount: it is taken over
        elif holder:
            wait_until_gone(self._mount.state_dir, holder, timeout_s=10)
        done = self._program.run(*self._draw_mount())
        if done.returncode:
            raise DivergenceError(f"vidfs mount: {done.stderr}")

    def _draw_mount(self) -> tuple[str, ...]:
        more = self._random.choices(tuple(_OPTIONS), tuple(_OPTIONS.values()))[0]
        self._note(f"  mount {more}")
        options = f"debug,other_files=upload{more}"
        return "mount", "-o", options, self._dialect, str(self._mount.path)

    def _kill_while_starting(self) -> None:
        mounting = self._program.start(*self._draw_mount())
        while not (holder := find_lock_holder(self._mount.state_dir)):
            if mounting.poll() is not None:
                raise DivergenceError(f"vidfs mount: {mounting.communicate()[1]}")
            time.sleep(0.005)
        time.sleep(self._random.uniform(0.0, 0.5))
        self._kill(holder)  # `vidfs mount` itself, or already the daemon
        mounting.communicate(timeout=TOOL_S)
        if holder := find_lock_holder(self._mount.state_dir):
            self._kill(holder)

    def _kill(self, holder: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(holder, signal.SIGKILL)
        if not wait_until_gone(self._mount.state_dir, holder, timeout_s=10):
            raise DivergenceError(f"{holder} isn't gone 10 s after SIGKILL")

    # --- looking ---------------------------------------------------------------------------------

    def _settle(self, operation: Operation, closed: set[str], before: Tree, after: Tree) -> None:
        """See what became of an operation that was cut off, and go on from there."""
        self._clear_faults()
        self._refresh_all({*before, *after})
        seen = self._load_mount()
        check_cut_off(operation, closed, before, after, seen)
        make_alike(self.plain, self._mount.path, self._before, seen)
        half_written = {*operation.writes} - closed
        for path in [path for path in seen if is_scratch(path)]:
            self._note(f"  rm {path}")
            (self._mount.path / path).unlink()
            (self.plain / path).unlink()
        for path in self._parked():
            if path not in half_written:
                raise DivergenceError(f"{path} is parked after {operation.text} was cut off")
            self._resolve(path)
        self._compare_mount()

    def _resolve(self, path: str) -> None:
        """End a half written file as a person would."""
        way = self._random.choice(("retry", "rm", "rewrite"))
        self._note(f"  {way} {path}")
        if way == "retry":
            self._ask("retry", path=f"/{path}")
            return
        for root in (self._mount.path, self.plain):
            if way == "rm":
                (root / path).unlink()
            else:
                (root / path).write_bytes(b"written anew")

    def _refresh_all(self, paths: set[str]) -> None:
        time.sleep(self._lag_s)  # a host that lags shows an operation of just now no earlier
        self._ask("refresh", path="/")
        for path in sorted({*paths, *map(os.path.dirname, paths)} - {""}):
            if (self._mount.path / path).is_dir():
                self._ask("refresh", path=f"/{path}")

    def _load_mount(self) -> Tree:
        """What can't be read is what the host has for the code that the file shows."""
        tree = load_tree(self._mount.path)
        unread = [path for path, content in tree.items() if content and not content.sha1]
        if not unread:
            return tree
        with self._host_lock:
            at_host = {file["code"]: file for file in self._simhost.tree(self._dialect)["files"]}
        for path in unread:
            code = os.getxattr(self._mount.path / path, "user.vidfs.code").decode()
            size, file = (self._mount.path / path).stat().st_size, at_host.get(code)
            if size == 0 and file and code in self._added_elsewhere:
                size = file["size"]  # where the host doesn't tell, nobody knows it here
            tree[path] = Content(size, file["sha1"] if file else "")
        return tree

    def _compare_mount(self) -> None:
        if text := differences(load_tree(self.plain), self._load_mount()):
            raise DivergenceError(f"the mount is not what it must be:\n{text}")
        if parked := self._parked():
            raise DivergenceError(f"parked: {parked}")

    def _parked(self) -> dict[str, str]:
        return {
            upload["path"].lstrip("/"): upload["reason"]
            for upload in self._status()["uploads"]
            if upload["state"] == "parked"
        }

    def _status(self) -> Mapping[str, Any]:
        return self._ask("status")

    def _ask(self, cmd: str, **args: str) -> Mapping[str, Any]:
        return ask(self._mount.state_dir, cmd, timeout_s=QUEUE_S, **args)

    def check(self) -> None:
        """Wait for the queue; then the host must hold what the plain directory holds."""
        self.score.checks += 1
        if self._random.random() < 0.5:
            self._clear_faults()
        self._name_scratch_files()
        self._fill_empty_files()
        done = self._program.run("wait", "--timeout", f"{QUEUE_S:.0f}", str(self._mount.path))
        if done.returncode:
            raise DivergenceError(f"vidfs wait: {done.stderr or done.stdout}")
        self._clear_faults()
        self._compare_mount()
        plain = load_tree(self.plain)
        if text := self._host_differences(plain):
            raise DivergenceError(f"the host is not what it must be:\n{text}")
        self._change_elsewhere()

    def _change_elsewhere(self) -> None:
        """Another machine changes the account; the mount must follow. First it sees what it did
        itself: until then a listing without that lags behind."""
        self._refresh_all(set(load_tree(self.plain)))
        for _ in range(self._random.randint(0, 3)):
            files = {
                file["path"]: file["code"] for file in self._simhost.tree(self._dialect)["files"]
            }
            change = self._random.choice(
                (self._add_elsewhere, self._move_elsewhere, self._remove_elsewhere,
                 self._move_folder_elsewhere)
            )  # fmt: skip
            change({path: files[path] for path in sorted(files) if _is_shown(path)})
        time.sleep(self._lag_s)
        self._refresh_all(set(load_tree(self.plain)))
        self._compare_mount()

    def _draw_free(self) -> str:
        """A path at which there is nothing."""
        folders = ["", *(path for path, content in load_tree(self.plain).items() if not content)]
        while True:
            path = os.path.join(self._random.choice(folders), self._random.choice(_NAMES_ELSEWHERE))
            if not (self.plain / path).exists():
                return path

    def _title(self, path: str) -> str:
        return os.path.basename(path).removesuffix(".mp4" if self._dialect in _NO_MP4 else "")

    def _find_shown(self, path: str) -> Path:
        """The file in the plain directory that is at *path* of the host."""
        shown = self.plain / path
        return shown if shown.exists() else self.plain / f"{path}.mp4"

    def _add_elsewhere(self, files: Mapping[str, str]) -> None:
        path, content = self._draw_free(), self._random.randbytes(self._random.randint(1, 90_000))
        self._note(f"  elsewhere: add {path}")
        (self.plain / path).write_bytes(content)
        self._added_elsewhere.add(
            self._simhost.add_file(self._dialect, self._title(path), content, os.path.dirname(path))
        )

    def _move_elsewhere(self, files: Mapping[str, str]) -> None:
        if not files:
            return
        source, target = self._random.choice(list(files)), self._draw_free()
        self._note(f"  elsewhere: mv {source} {target}")
        self._find_shown(source).rename(self.plain / target)
        change = {"title": self._title(target), "folder": os.path.dirname(target)}
        body = json.dumps(change).encode("utf-8")
        self._simhost.request("PATCH", f"{self._dialect}/files/{files[source]}", body)

    def _remove_elsewhere(self, files: Mapping[str, str]) -> None:
        if len(files) < 4:
            return
        path = self._random.choice(list(files))
        self._note(f"  elsewhere: rm {path}")
        self._find_shown(path).unlink()
        self._simhost.request("DELETE", f"{self._dialect}/files/{files[path]}")

    def _move_folder_elsewhere(self, files: Mapping[str, str]) -> None:
        folders = [path for path, content in load_tree(self.plain).items() if not content]
        name = f"elsewhere {self._random.randrange(3)}"
        if not folders:
            return
        source = self._random.choice(sorted(folders))
        if (target := self.plain / os.path.dirname(source) / name).exists():
            return
        self._note(f"  elsewhere: mv {source} {name}")
        (self.plain / source).rename(target)
        body = json.dumps({"name": name}).encode("utf-8")
        self._simhost.request("PATCH", f"{self._dialect}/folders", body, path=source)

    def _name_scratch_files(self) -> None:
        """What has a scratch name stays here, until it has a real one."""
        for path in [path for path in load_tree(self.plain) if is_scratch(path)]:
            folder, name = os.path.split(path)
            real = os.path.join(folder, name.lstrip("."))
            self._note(f"  mv {path} {real}")
            for root in (self._mount.path, self.plain):
                (root / path).rename(root / real)

    def _fill_empty_files(self) -> None:
        """An empty file stays here, and what it was before it was emptied at the host. Once it has
        bytes again, nothing older may be left there."""
        for path, content in load_tree(self.plain).items():
            if content is not None and content.size == 0:
                self._note(f"  fill {path}")
                for root in (self._mount.path, self.plain):
                    (root / path).write_bytes(b"no longer empty")

    def _host_differences(self, plain: Tree) -> str:
        tree = self._simhost.tree(self._dialect)
        ending = ".mp4" if self._dialect in _NO_MP4 else ""
        plain = {path.removesuffix(ending): content for path, content in plain.items()}
        seen: Tree = {}
        twice = []
        for folder in tree["folders"]:
            if _is_shown(folder["path"]):
                twice += [folder["path"]] * (folder["path"] in seen)
                seen[folder["path"]] = None
        for file in tree["files"]:
            if _is_shown(path := file["path"].removesuffix(ending)):
                twice += [path] * (path in seen)
                seen[path] = Content(file["size"], file["sha1"])
        lines = [f"  twice: {path}" for path in twice]
        return "\n".join(filter(None, [*lines, differences(plain, seen)]))

    # --- diagnosis -------------------------------------------------------------------------------

    def _note(self, line: str) -> None:
        self._recent.append(f"{time.strftime('%H:%M:%S')} {line}")

    def diagnosis(self) -> str:
        """What happened last, what the queue holds, and where all of it is kept."""
        log = self._mount.log().splitlines()[-60:]
        try:
            uploads = [str(upload) for upload in self._status()["uploads"]]
        except Exception as error:
            uploads = [f"no status: {error}"]
        return "\n".join(
            ["the last operations:", *self._recent, "uploads:", *uploads, "the log:", *log,
             f"all of it is kept in {self._root}"]
        )  # fmt: skip


def _is_shown(path: str) -> bool:
    """Whether anybody sees what is at *path* of the host. What lies in a folder that was removed
    while it was on its way there ("?/") nobody does."""
    return not path.startswith("?/") and not any(
        part.startswith(_TRASH) for part in path.split("/")
    )


def _attempt(operation: Operation, root: Path) -> Exception | None:
    try:
        operation.apply(root)
    except (OSError, AssertionError) as error:
        return error
    return None


def _was_killed(error: Exception, killer: Killer | None) -> bool:
    """Whether *error* is that of a daemon that died under the operation."""
    if killer is None:
        return False
    is_sign = isinstance(error, OSError) and (
        error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
        or "endpoint is not connected" in str(error)
        or "connection abort" in str(error)
        or "SIGBUS" in str(error)
    )
    return killer.fired.wait(5.0 if is_sign else 0.0)
