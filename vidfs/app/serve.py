"""The mount itself, from the account's lock to the last upload.

Phases: `starting` (lock held, host being asked) → `mounted` → `draining` (unmounted, uploads
go on) → gone; `stopping` from anywhere, on SIGTERM, SIGINT or a command. Another mount of the
account is refused but while draining: then it takes the queue over.
"""

from __future__ import annotations

import dataclasses
import fcntl
import gc
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import trio

from vidfs.app import logs
from vidfs.app.accounts import naming_account, open_account
from vidfs.app.demo import embedded_host
from vidfs.app.mounts import (
    AccountLock,
    DaemonInfo,
    check_mountpoint,
    clear_dead_mounts,
    daemon_info,
    find_daemon_info,
    find_lock_holder,
    found_elsewhere,
    is_dead,
    unmount,
)
from vidfs.app.service import ServiceManager, without_manager
from vidfs.config import (
    Account,
    Directories,
    MountOptions,
    Source,
    create_private_dir,
    create_state_dir,
    find_directories,
    find_thumbnail_dir,
)
from vidfs.control import ControlServer, Message, Send, ask, to_leaf
from vidfs.errors import (
    AlreadyMountedError,
    HostTimeoutError,
    HostUnreachableError,
    MountError,
    UsageError,
)
from vidfs.fuse.mountinfo import load_kernel_mounts
from vidfs.hosts.api import UploadOptions, VideoHost
from vidfs.types import Secret

if TYPE_CHECKING:
    from vidfs.volume import Volume, VolumeSettings

START_DEADLINE_S = 60.0
REFRESH_DEADLINE_S = 20.0
HANDOVER_DEADLINE_S = 30.0
CLOSE_DEADLINE_S = 10.0
STOP_DEADLINE_S = 20
"""After SIGTERM the process ends by then, whatever hangs."""
PROGRESS_PERIOD_S = 0.2
SERVICE_STATUS_PERIOD_S = 5.0

Phase = Literal["starting", "mounted", "draining", "stopping"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPlan:
    """Everything a mount needs to know, gathered before it goes into the background."""

    account: Account
    key: Secret | None  # None: the demo account, whose key comes with its host
    source: Source
    mountpoint: str  # absolute, resolved
    options: MountOptions
    directories: Directories
    umask: int

    @property
    def state_dir(self) -> Path:
        return self.directories.state_dir(self.account.name)

    @property
    def cache_dir(self) -> Path:
        return self.directories.cache_dir(self.account.name)

    @property
    def log_file(self) -> Path:
        return Path(self.options.log_file or self.state_dir / "vidfs.log")


class OpenHost(Protocol):
    def __call__(
        self, account: Account, key: Secret, options: MountOptions
    ) -> Awaitable[VideoHost]: ...


class RunFuse(Protocol):
    def __call__(
        self,
        volume: Volume,
        mountpoint: str,
        options: set[str],
        *,
        on_mounted: Callable[[], None],
    ) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The layers below, as this module uses them."""

    open_host: OpenHost
    make_volume: Callable[..., Volume]
    run_fuse: RunFuse


def load_parts() -> Parts:
    from vidfs.fuse.session import run_fuse
    from vidfs.volume import Volume

    return Parts(open_host=open_account, make_volume=Volume, run_fuse=run_fuse)


def to_volume_settings(plan: MountPlan) -> VolumeSettings:
    from vidfs.volume import VolumeSettings

    options, account = plan.options, plan.account
    extension = account.default_extension
    return VolumeSettings(
        read_only=options.read_only,
        upload_on_close=options.upload_on_close,
        uploads_max=options.uploads_max,
        bwlimit_bytes_s=options.bwlimit_bytes_s,
        dir_ttl_s=options.dir_ttl_s,
        dir_stale_s=options.dir_stale_s,
        sizes=options.sizes,
        cache_size_bytes=options.cache_size_bytes,
        delete_deny=options.delete_deny,
        scratch=options.scratch,
        other_files=options.other_files,
        default_extension="mp4" if extension is None else extension,
        accepted_extensions=account.accepted_extensions,
        upload_options=UploadOptions(**dataclasses.asdict(account.uploads)),
        uid=os.getuid() if options.uid is None else options.uid,
        gid=os.getgid() if options.gid is None else options.gid,
        umask=plan.umask if options.umask is None else options.umask,
        source_folder=plan.source.folder,
        mountpoint=plan.mountpoint,
        thumbnail_dir=find_thumbnail_dir() if options.thumbnails else None,
    )


def to_fuse_options(plan: MountPlan) -> set[str]:
    """libfuse's words: what `findmnt` shows, who may enter, flags for the kernel."""
    options = plan.options
    source = str(plan.source).replace("\\", "\\\\").replace(",", "\\,")
    words = {f"fsname={source}", "subtype=vidfs", *options.kernel_flags}
    if options.read_only:
        words.add("ro")
    if options.allow_other:
        words.add("allow_other")
    if options.allow_root:
        words.add("allow_root")
    return words


# ------------------------------------------------------------------------ before trio


def serve_mount(
    plan: MountPlan,
    *,
    on_ready: Callable[[str], None],
    redactor: logs.Redactor,
    environ: Mapping[str, str],
    parts: Parts | None = None,
) -> None:
    """Mount, serve, finish the uploads; returns when all that is over.

    *on_ready* is called once, with a remark or "", when the mount is usable.
    Errors: VidfsError when it never becomes so; then nothing is left mounted.
    """
    clear_dead_mounts(plan.mountpoint)
    create_state_dir(plan.state_dir)
    create_private_dir(plan.cache_dir)
    try:
        check_mountpoint(plan.mountpoint)
    except AlreadyMountedError:
        _refuse_if_mounted(plan)
        raise
    lock = _take_lock(plan)
    with ExitStack() as stack:
        stack.callback(lock.release)
        before = find_daemon_info(plan.state_dir)
        info = DaemonInfo(os.getpid(), plan.mountpoint, str(plan.source), time.time())
        stack.enter_context(daemon_info(plan.state_dir, info))
        stack.enter_context(found_elsewhere(find_directories(environ), plan.state_dir))
        if before is not None and before.mountpoint != plan.mountpoint:
            # A killed daemon's mount on another directory would answer ENOTCONN for ever.
            clear_dead_mounts(before.mountpoint)
        account, key = plan.account, plan.key
        if account.is_demo:
            account = stack.enter_context(
                embedded_host(account, plan.state_dir, without_manager(environ), owner=True)
            )
            key = account.key
        if key is None:
            raise MountError(f"account {account.name} has no key")
        redactor.add(key)
        manager = ServiceManager(environ)
        cache_dir = stack.enter_context(_own_cache(plan.cache_dir))
        daemon = _Daemon(plan, account, key, cache_dir, parts or load_parts(), on_ready, manager)
        # A walk makes objects by the hundred thousand, hardly any in cycles: looking for those
        # as often as Python does by itself took an eighth of a walk's time.
        gc.freeze()
        gc.set_threshold(100_000, 20, 50)
        try:
            trio.run(daemon.run)
        except ExceptionGroup as group:
            # nurseries wrap what ends them; for a person it is the one error inside
            raise to_leaf(group) from group
        finally:
            signal.alarm(0)


@contextmanager
def _own_cache(directory: Path) -> Iterator[Path]:
    """The cache for the time of the block: *directory*, or one below it while that is in use by a
    daemon of the same account with another state directory. Two would drop each other's chunks."""
    fd = None
    for own in chain([directory], (directory / str(number) for number in count(2))):
        create_private_dir(own)
        try:
            fd = os.open(own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            assert fd is not None
            os.close(fd)
            fd = None
            continue
        except OSError as error:  # a full disk, or one without locks
            _log.warning("%s can't be locked: %s", own, error.strerror)
        break
    try:
        yield own
    finally:
        if fd is not None:
            os.close(fd)


def _take_lock(plan: MountPlan) -> AccountLock:
    """The account's lock; from a daemon that only finishes uploads it is asked for.

    Errors: AlreadyMountedError, naming the mount that has it.
    """
    lock = AccountLock(plan.state_dir)
    deadline = time.monotonic() + HANDOVER_DEADLINE_S
    while not lock.try_acquire():
        phase = _refuse_if_mounted(plan)
        if phase == "draining":
            _log.info("taking the queue over from the unmounted daemon")
            _ask_for_handover(plan.state_dir)
        if time.monotonic() > deadline:
            pid = find_lock_holder(plan.state_dir)
            raise AlreadyMountedError(
                f"account {plan.account.name} is in use by process {pid}, which doesn't answer"
            )
        time.sleep(0.05)
    return lock


def _ask_for_handover(state_dir: Path) -> None:
    with suppress(MountError):  # it may just have finished: the lock will tell
        ask(state_dir, "handover", timeout_s=5)


def _refuse_if_mounted(plan: MountPlan) -> str:
    """The phase of the account's daemon, "" if none answers. Errors: AlreadyMountedError."""
    try:
        status = ask(plan.state_dir, "status", timeout_s=5)
    except MountError:
        return ""
    phase = str(status["phase"])
    if phase in ("starting", "mounted"):
        raise AlreadyMountedError(
            f"account {plan.account.name} is already mounted: {status['source']} "
            f"on {status['mountpoint']} (pid {status['pid']})"
        )
    return phase


# -------------------------------------------------------------------------- inside trio


class _Daemon:
    def __init__(
        self,
        plan: MountPlan,
        account: Account,
        key: Secret,
        cache_dir: Path,
        parts: Parts,
        on_ready: Callable[[str], None],
        manager: ServiceManager,
    ) -> None:
        self._manager = manager
        self._plan = plan
        self._account = account
        self._key = key
        self._cache_dir = cache_dir
        self._parts = parts
        self._on_ready = on_ready
        self._phase: Phase = "starting"
        self._work = trio.CancelScope()
        self._volume: Volume | None = None
        self._control = ControlServer(
            plan.state_dir,
            {
                "status": self._status,
                "wait": self._wait,
                "umount": self._umount,
                "handover": self._handover,
                "refresh": self._refresh,
                "retry": self._retry,
                "log-level": self._log_level,
            },
        )

    async def run(self) -> None:
        async with trio.open_nursery() as services:
            await services.start(self._watch_signals)
            await services.start(self._control.run)
            if self._manager.listens:
                services.start_soon(self._keep_manager_informed)
            with self._work:
                await self._serve()
            self._manager.tell("STOPPING=1", status="stopping")
            await self._control.finish(2.0)
            services.cancel_scope.cancel()

    async def _serve(self) -> None:
        host = await self._parts.open_host(self._account, self._key, self._plan.options)
        try:
            volume = self._parts.make_volume(
                host=host,
                settings=to_volume_settings(self._plan),
                state_dir=self._plan.state_dir,
                cache_dir=self._cache_dir,
            )
            try:
                async with trio.open_nursery() as workers:
                    await self._start_volume(volume, host.name, workers)
                    await self._mount_and_drain(volume)
                    workers.cancel_scope.cancel()
            finally:
                if self._volume is not None:
                    self._say_what_is_left(volume.pending)
                    self._volume = None
                await _close(volume.aclose)
        finally:
            await _close(host.aclose)

    async def _start_volume(self, volume: Volume, host_name: str, workers: trio.Nursery) -> None:
        with naming_account(self._account), trio.move_on_after(START_DEADLINE_S) as scope:
            await volume.start(workers)
        if scope.cancelled_caught:
            raise HostUnreachableError(f"{host_name} didn't answer within {START_DEADLINE_S:.0f} s")
        self._volume = volume

    async def _mount_and_drain(self, volume: Volume) -> None:
        mountpoint = self._plan.mountpoint
        try:
            await self._parts.run_fuse(
                volume, mountpoint, to_fuse_options(self._plan), on_mounted=self._on_mounted
            )
        finally:
            self._take_mount_away()
        self._phase = "draining"
        if volume.pending:
            _log.info("unmounted; going on with the queue, uploads pending: %d", volume.pending)
        await volume.wait_uploads()

    def _on_mounted(self) -> None:
        self._phase = "mounted"
        _log.info("mounted %s on %s", self._plan.source, self._plan.mountpoint)
        self._on_ready(self._volume.note if self._volume else "")
        self._manager.tell("READY=1", f"MAINPID={os.getpid()}", status=self._describe())

    async def _keep_manager_informed(self) -> None:
        while True:
            await trio.sleep(SERVICE_STATUS_PERIOD_S)
            self._manager.tell(status=self._describe())

    def _describe(self) -> str:
        """One line for `systemctl status`."""
        progress = self._progress()
        queue = f"uploads pending: {progress['pending']}, parked: {progress['parked']}"
        return f"{self._phase}: {self._plan.source} on {self._plan.mountpoint}; {queue}"

    def _take_mount_away(self) -> None:
        """A session that ended by an error must not leave a dead mount behind."""
        ours = (self._plan.mountpoint, str(self._plan.source))
        found = [(mount.mountpoint, mount.source) for mount in load_kernel_mounts()]
        if ours in found and is_dead(self._plan.mountpoint):
            unmount(self._plan.mountpoint, lazy=True)

    def _say_what_is_left(self, pending: int) -> None:
        if pending:
            _log.info("stopped; uploads left in the queue for the next mount: %d", pending)
        else:
            _log.info("stopped; no uploads are pending")

    async def _watch_signals(self, *, task_status: trio.TaskStatus[None]) -> None:
        watched = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        with trio.open_signal_receiver(*watched) as received:
            task_status.started()
            async for number in received:
                if number != signal.SIGHUP:
                    self._stop(signal.Signals(number).name)
                elif self._volume is not None:
                    await self._refresh_quietly(self._volume)

    async def _refresh_volume(self, volume: Volume, path: str) -> None:
        """Errors: HostTimeoutError; a person waits for this."""
        with naming_account(self._account), trio.move_on_after(REFRESH_DEADLINE_S) as scope:
            await volume.refresh(path)
        if scope.cancelled_caught:
            raise HostTimeoutError(f"the host didn't answer within {REFRESH_DEADLINE_S:.0f} s")

    async def _refresh_quietly(self, volume: Volume) -> None:
        try:
            await self._refresh_volume(volume, "/")
        except Exception as error:
            _log.warning("refresh failed: %s", to_leaf(error))

    def _stop(self, reason: str) -> None:
        if self._phase != "stopping":
            _log.info("stopping (%s)", reason)
            self._phase = "stopping"
            self._manager.tell("STOPPING=1", status=self._describe())
            # the kernel ends this process if something below doesn't let itself be cancelled
            signal.alarm(STOP_DEADLINE_S)
            self._work.cancel()

    # ------------------------------------------------------------------ control requests

    def _get_volume(self) -> Volume:
        if self._volume is None:
            raise MountError(f"the mount of {self._account.name} is {self._phase}")
        return self._volume

    async def _status(self, request: Message, send: Send) -> Message:
        return {
            "account": self._account.name,
            "source": str(self._plan.source),
            "mountpoint": self._plan.mountpoint,
            "pid": os.getpid(),
            "phase": self._phase,
            **self._progress(),
        }

    def _progress(self) -> dict[str, Any]:
        if self._volume is None:
            return {"pending": 0, "parked": 0, "uploads": [], "api_calls": {}, "cache_bytes": 0}
        return dataclasses.asdict(self._volume.status())

    async def _wait(self, request: Message, send: Send) -> Message:
        """Progress lines until the uploads (of "paths") are done; then how many are parked."""
        volume = self._get_volume()
        paths = _get_texts(request, "paths")
        parked: list[int] = []
        done = trio.Event()

        async def wait() -> None:
            parked.append(await volume.wait_uploads(paths))
            done.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            while not done.is_set() and await send(self._progress()):
                with trio.move_on_after(PROGRESS_PERIOD_S):
                    await done.wait()
            nursery.cancel_scope.cancel()
        return {"parked": sum(parked)}

    async def _umount(self, request: Message, send: Send) -> Message:
        pending = self._volume.pending if self._volume else 0
        self._stop("umount --now")
        return {"pending": pending}

    async def _handover(self, request: Message, send: Send) -> Message:
        if self._phase not in ("draining", "stopping"):
            raise AlreadyMountedError(f"still mounted on {self._plan.mountpoint}")
        self._stop("another mount takes the queue over")
        return {}

    async def _refresh(self, request: Message, send: Send) -> Message:
        await self._refresh_volume(self._get_volume(), str(request.get("path", "/")))
        return {}

    async def _retry(self, request: Message, send: Send) -> Message:
        path = request.get("path")
        return {"retried": self._get_volume().retry(None if path is None else str(path))}

    async def _log_level(self, request: Message, send: Send) -> Message:
        logs.set_log_level(str(request.get("level", "info")))
        return {}


async def _close(aclose: Callable[[], Awaitable[None]]) -> None:
    """Even when everything else is cancelled, but not for ever."""
    with trio.CancelScope(shield=True) as scope:
        scope.deadline = trio.current_time() + CLOSE_DEADLINE_S
        await aclose()


def _get_texts(request: Message, name: str) -> Sequence[str]:
    values = request.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UsageError(f"{name} must be a list of texts")
    return values
