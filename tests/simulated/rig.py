"""A volume on a simulated account, driven like the kernel would."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from tests.mount.mounting import Simhost
from vidfs.hosts import open_host
from vidfs.types import ROOT_INODE, Inode, Job, JobState, Secret
from vidfs.volume import Attr, Volume, VolumeSettings

DEADLINE_S = 40.0
SETTLE_DEADLINE_S = 30.0
NEW = os.O_CREAT | os.O_RDWR
DROPS_EXTENSIONS = frozenset({"doodstream", "pstream"})
TRASH = ("vidfs-trash~", "vidfs trash/")

DEFAULTS: dict[str, object] = {
    "latency_ms": 0.0,
    "listing_lag_ms": 0.0,
    "new_file_404_ms": 0.0,
    "transcode": False,
    "root_mix": False,
    "html_entities": False,
    "info_sizes": False,
    "without": "",
}


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(DEADLINE_S):
            await main()

    trio.run(bounded)


class Rig:
    def __init__(self, host: Simhost, dialect: str, directory: Path) -> None:
        self.host = host
        self.dialect = dialect
        self.state_dir = directory / "state"
        self.cache_dir = directory / "cache"
        self.state_dir.mkdir()
        self.volume: Volume
        self._scope: trio.CancelScope
        self._kills = 0

    @property
    def can_move(self) -> bool:
        return self.dialect != "fruithosted"

    @asynccontextmanager
    async def open(self, **settings: Any) -> AsyncIterator[Volume]:
        account = self.host.accounts()[self.dialect]
        client = open_host(
            self.dialect,
            key=Secret(account["key"]),
            login=Secret(account.get("login", "")),
            base_url=account["base_url"],
        )
        self.volume = Volume(
            host=client,
            settings=VolumeSettings(**settings),
            state_dir=self.state_dir,
            cache_dir=self.cache_dir,
        )
        async with trio.open_nursery() as nursery:
            self._scope = nursery.cancel_scope
            with trio.CancelScope(shield=True):
                await self.volume.start(nursery)
                yield self.volume
            nursery.cancel_scope.cancel()
        await self.volume.aclose()
        await client.aclose()

    def kill(self) -> None:
        """End the volume as SIGKILL would: the next one is opened on what is on disk now."""
        self._kills += 1
        left = self.state_dir.with_name(f"killed-{self._kills}")
        shutil.copytree(self.state_dir, left)
        self.state_dir = left
        self._scope.cancel()

    # --- the kernel's calls --------------------------------------------------------------

    async def start_writing(
        self, name: str, content: bytes, parent: Inode = ROOT_INODE
    ) -> tuple[int, Attr]:
        fh, attr = await self.volume.create(parent, name, NEW | os.O_TRUNC)
        if content:
            await self.volume.files.write(fh, 0, content)
        return fh, attr

    async def close(self, fh: int) -> None:
        await self.volume.files.flush(fh)
        self.volume.files.release(fh)

    async def write(self, name: str, content: bytes, parent: Inode = ROOT_INODE) -> Attr:
        fh, attr = await self.start_writing(name, content, parent)
        await self.close(fh)
        return attr

    async def read(self, name: str, parent: Inode = ROOT_INODE) -> bytes:
        attr = await self.volume.lookup(parent, name)
        assert attr is not None, f"no {name}"
        fh = await self.volume.open(attr.inode, os.O_RDONLY)
        try:
            data = await self.volume.files.read(fh, 0, 1 << 20)
        finally:
            await self.close(fh)
        assert attr.size_bytes == len(data), "stat and read differ"
        return data

    async def rename(
        self, old: str, new: str, old_parent: Inode = ROOT_INODE, new_parent: Inode = ROOT_INODE
    ) -> None:
        await self.volume.rename(old_parent, old, new_parent, new, replace=True)

    async def unlink(self, name: str, parent: Inode = ROOT_INODE) -> None:
        await self.volume.unlink(parent, name)

    async def names(self, parent: Inode = ROOT_INODE) -> list[str]:
        await self.volume.ensure_listed(parent)
        return sorted(name for name, _ in self.volume.list_folder(parent))

    async def folder(self, name: str) -> Inode:
        attr = await self.volume.lookup(ROOT_INODE, name)
        assert attr is not None
        return attr.inode

    # --- waiting and looking ----------------------------------------------------------------

    def job(self) -> Job:
        [job] = self.volume.writeback.queue.jobs
        return job

    async def until(self, condition: Callable[[], bool]) -> None:
        """Until the host's back door shows it."""
        with trio.fail_after(SETTLE_DEADLINE_S):  # an open volume is shielded from `run`'s
            while not condition():  # noqa: ASYNC110 - another process: nothing to wait on
                await trio.sleep(0.01)

    async def until_state(self, state: JobState) -> None:
        await self.volume.writeback.queue.wait_until(
            lambda: any(job.state is state for job in self.volume.writeback.queue.jobs)
        )

    async def settle(self) -> None:
        """Until everything is at the host; nothing may be parked."""
        self.volume.retry()
        with trio.fail_after(SETTLE_DEADLINE_S):
            assert await self.volume.wait_uploads() == 0, self.volume.status()

    def fault(self, call: str, action: str) -> None:
        self.host.fault(f"{self.dialect}:{call}:{action}")

    def at_host(self) -> dict[str, bytes]:
        """Everything outside of the trash, as the mount shows it; a path that is there twice
        fails."""
        files = [
            file
            for file in self.host.tree(self.dialect)["files"]
            if not file["path"].startswith(TRASH)
        ]
        bodies = self.host.root / self.dialect / "files"
        found = {self._shown(file["path"]): (bodies / file["code"]).read_bytes() for file in files}
        assert len(found) == len(files), sorted(file["path"] for file in files)
        return found

    def _shown(self, path: str) -> str:
        bare = self.dialect in DROPS_EXTENSIONS and not path.endswith(".mp4")
        return path + ".mp4" if bare else path

    def uploads(self) -> int:
        return self.host.calls(self.dialect).get("upload", 0)
