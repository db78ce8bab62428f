"""A host with the older calls of DoodStream's page alone: folders without names, no moving."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from tests.unit.fakes import FakeHost, raising
from tests.unit.volume.test_volume import Rig, run
from vidfs.errors import OutcomeUnknownError
from vidfs.hosts.api import Capabilities, Listing, RemoteFolder
from vidfs.tree.merge import TRASH_META, TRASH_PREFIX
from vidfs.types import ROOT_INODE, FolderId, Inode, NodeKind
from vidfs.volume import Volume


class SeedHost(FakeHost):
    """Tells of folders only what files say: their numbers."""

    def __init__(self) -> None:
        super().__init__(
            list_folders=False,
            move_file=False,
            move_folder=False,
            delete_file=False,
            delete_folder=False,
            upload_into_folder=False,
            clone=True,
            edit_fields=frozenset(),
        )

    async def list_folder(self, folder: FolderId) -> Listing:
        requested_at = self.clock()
        await self._begin("list_folder")
        files = [stored.file for stored in self.stored.values()]
        named = {f.folder: None for f in files if f.folder not in (None, self.root)}
        folders: Sequence[RemoteFolder] = ()
        if folder == self.root:
            folders = [RemoteFolder(folder=found, name="") for found in named if found]
        return Listing(
            folder=folder,
            folders=folders,
            files=[file for file in files if file.folder == folder],
            requested_at=requested_at,
            folders_complete=False,
        )


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.host = SeedHost()
    rig.host.clock = time.time
    return rig


def entries(volume: Volume, parent: Inode = ROOT_INODE) -> list[str]:
    return sorted(volume.tree.entries(volume.tree.get(parent)))


def test_a_folder_made_here_keeps_its_name_and_place(rig: Rig) -> None:
    host = rig.host

    async def main() -> None:
        async with rig.open() as volume:
            outer = await volume.make_folder(ROOT_INODE, "Outer")
            inner = await volume.make_folder(outer.inode, "Inner")
            folder = volume.tree.get(inner.inode).remote
            host.add("a.mp4", folder=FolderId(folder or ""))
            for path in ("/", "/Outer", "/Outer/Inner"):
                await volume.refresh(path)
            assert entries(volume) == ["Outer"]
            assert entries(volume, outer.inode) == ["Inner"]
            assert entries(volume, inner.inode) == ["a.mp4"]
        async with rig.open() as volume:
            await volume.refresh("/")
            assert entries(volume) == ["Outer"]
            assert entries(volume, outer.inode) == ["Inner"]

    run(main)


def test_a_folder_made_elsewhere_is_shown_by_its_number_until_it_is_named(rig: Rig) -> None:
    host = rig.host
    made = host.add_folder("nobody can read this")
    host.add("a.mp4", folder=made)

    async def main() -> None:
        async with rig.open() as volume:
            await volume.refresh("/")
            assert entries(volume) == [f"untitled [{made}]"]
            await volume.rename(
                ROOT_INODE, f"untitled [{made}]", ROOT_INODE, "Films", replace=False
            )
            await volume.refresh("/")
            assert entries(volume) == ["Films"]
            assert host.folders[made].name == "Films"

    run(main)


def test_the_trash_folder_is_not_shown(rig: Rig) -> None:
    made = rig.host.add_folder("vidfs trash")
    rig.host.add("a.mp4", folder=made)

    async def main() -> None:
        async with rig.open() as volume:
            volume.tree.save_meta(TRASH_META, made)
            node = volume.tree.find_by_remote(NodeKind.FOLDER, made)
            if node is not None:
                volume.tree.remove(node)
            await volume.refresh("/")
            assert entries(volume) == []

    run(main)


def test_an_upload_gets_into_a_folder_by_a_clone(rig: Rig) -> None:
    host = rig.host

    async def main() -> None:
        async with rig.open() as volume:
            folder = await volume.make_folder(ROOT_INODE, "Films")
            await rig.write("a.mp4", b"film", parent=folder.inode)
            assert await volume.wait_uploads() == 0
            at = FolderId(volume.tree.get(folder.inode).remote or "")
            assert host.titles(at) == ["a.mp4"]
            assert host.titles() == [TRASH_PREFIX + "a.mp4"]
            await volume.refresh("/")
            await volume.refresh("/Films")
            assert entries(volume) == ["Films"]
            assert entries(volume, folder.inode) == ["a.mp4"]

    run(main)


def test_a_clone_whose_answer_is_lost_is_not_made_twice(rig: Rig) -> None:
    host = rig.host
    host.on("clone_file", raising(OutcomeUnknownError("lost")), when="after")

    async def main() -> None:
        async with rig.open() as volume:
            folder = await volume.make_folder(ROOT_INODE, "Films")
            await rig.write("a.mp4", b"film", parent=folder.inode)
            assert await volume.wait_uploads() == 0
            at = FolderId(volume.tree.get(folder.inode).remote or "")
            assert host.titles(at) == ["a.mp4"]
            assert host.calls["clone_file"] == 1

    run(main)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rewrite_while_the_clone_is_made_leaves_the_new_bytes_only(rig: Rig, when: str) -> None:
    host = rig.host

    async def main() -> None:
        async with rig.open() as volume:
            folder = await volume.make_folder(ROOT_INODE, "Films")
            asked, go = trio.Event(), trio.Event()

            async def hold() -> None:
                asked.set()
                await go.wait()

            host.on("clone_file", hold, when=when)
            await rig.write("a.mp4", b"film", parent=folder.inode)
            await asked.wait()
            await rig.write("a.mp4", b"newer", parent=folder.inode)
            go.set()
            assert await volume.wait_uploads() == 0
            at = FolderId(volume.tree.get(folder.inode).remote or "")
            kept = [s for s in host.stored.values() if not s.file.title.startswith(TRASH_PREFIX)]
            assert [(s.file.folder, s.content) for s in kept] == [(at, b"newer")]
            await volume.refresh("/Films")
            assert entries(volume, folder.inode) == ["a.mp4"]
            assert not list(volume.writeback.queue.jobs)

    run(main)


# --- abilities are remembered ---


class NarrowHost(FakeHost):
    """Its installation lacks what its record declares."""

    async def probe(self) -> Capabilities:
        await super().probe()
        self.capabilities = replace(self.capabilities, delete_folder=False)
        return self.capabilities


def start(tmp_path: Path, host: FakeHost) -> None:
    rig = Rig(tmp_path)
    rig.host = host

    async def main() -> None:
        async with rig.open():
            pass

    run(main)


def test_what_a_probe_found_is_remembered_per_account(tmp_path: Path) -> None:
    first, second = NarrowHost(), NarrowHost()
    start(tmp_path, first)
    start(tmp_path, second)
    assert (first.calls["probe"], second.calls["probe"]) == (1, 0)
    assert not second.capabilities.delete_folder


def test_another_record_is_asked_again(tmp_path: Path) -> None:
    start(tmp_path, NarrowHost())
    changed = NarrowHost(clone=True)
    start(tmp_path, changed)
    assert changed.calls["probe"] == 1


def test_an_account_test_asks_again_and_is_relied_on(tmp_path: Path) -> None:
    from vidfs.app.accounts import ask_abilities, recall_abilities

    start(tmp_path, NarrowHost())
    mended = FakeHost()
    assert trio.run(ask_abilities, mended, tmp_path / "state").delete_folder
    assert mended.calls["probe"] == 1
    after = FakeHost()
    start(tmp_path, after)
    assert after.calls["probe"] == 0 and after.capabilities.delete_folder
    told = FakeHost()
    assert recall_abilities(told, tmp_path / "state")
    assert not recall_abilities(FakeHost(), tmp_path / "nothing")
    assert trio.run(ask_abilities, FakeHost(), tmp_path / "nothing").delete_folder
    assert not (tmp_path / "nothing").exists()
