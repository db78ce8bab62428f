"""What a user of the mount is promised, under bad luck."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.unit.fakes import FakeHost, raising, settle
from tests.unit.volume.test_volume import NEW, Rig, run
from vidfs.content import uploads
from vidfs.errors import (
    BadRequestError,
    HostServerError,
    NamespaceAbilityError,
    NotEmptyError,
    OutcomeUnknownError,
    SpoolFullError,
)
from vidfs.hosts.api import RemoteFile
from vidfs.types import ROOT_INODE, JobState
from vidfs.volume import confirming


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_removing_a_file_whose_replacement_arrives_meanwhile_removes_both(rig: Rig) -> None:
    rig.host.add("a.mp4", b"old")

    async def main() -> None:
        async with rig.open() as volume:
            gate = trio.Event()
            rig.host.on("upload", gate.wait)
            await rig.write("a.mp4", b"newer bytes")
            await rig.until_state("a.mp4", JobState.SENDING)

            async def arrive() -> None:
                gate.set()
                await rig.until(lambda: not volume.pending)

            rig.host.on("delete_file", arrive)
            await volume.unlink(ROOT_INODE, "a.mp4")
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {}


def test_a_new_upload_is_removed_after_the_host_has_put_it_right(rig: Rig) -> None:
    """A call that is cut off may still be done by the host, after what comes next."""
    rig.host = FakeHost(upload_into_folder=False)
    rig.host.add_folder("Films")

    async def main() -> None:
        async with rig.open() as volume:
            films = await volume.lookup(ROOT_INODE, "Films")
            assert films is not None
            gate = trio.Event()
            rig.host.on("edit_file", gate.wait)
            await rig.write("a.mp4", b"film", parent=films.inode)
            await rig.until(lambda: rig.host.calls["edit_file"] == 1)
            await volume.unlink(films.inode, "a.mp4")
            await settle()
            assert rig.host.calls["delete_file"] == 0
            gate.set()
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {}


def test_a_film_whose_folder_is_removed_elsewhere_is_parked_at_once(rig: Rig) -> None:
    rig.host = FakeHost(upload_into_folder=False)
    folder = rig.host.add_folder("Films")

    async def removed() -> None:
        del rig.host.folders[folder]

    async def main() -> None:
        async with rig.open() as volume:
            films = await volume.lookup(ROOT_INODE, "Films")
            assert films is not None
            rig.host.on("edit_file", removed)
            await rig.write("a.mp4", b"film", parent=films.inode)
            with trio.fail_after(30):
                assert await volume.wait_uploads() == 1

    run(main)


def test_a_folder_that_the_host_ignored_is_mended_where_files_do_not_tell_theirs(rig: Rig) -> None:
    rig.host.says_folder = False
    folder = rig.host.add_folder("Films")

    async def to_root() -> None:
        for code in rig.host.stored:
            rig.host.change(code, folder=rig.host.root)

    async def main() -> None:
        async with rig.open() as volume:
            films = await volume.lookup(ROOT_INODE, "Films")
            assert films is not None
            rig.host.on("upload", to_root, when="after")
            await rig.write("a.mp4", b"film", parent=films.inode)
            assert await volume.wait_uploads() == 0
            assert rig.host.titles(folder) == ["a.mp4"]
            await rig.write("b.mp4", b"film b", parent=films.inode)
            assert await volume.wait_uploads() == 0
            lists = rig.host.calls["list_folder"]
            for name in ("c.mp4", "d.mp4"):  # it heeds folders, as was seen
                await rig.write(name, name.encode(), parent=films.inode)
            assert await volume.wait_uploads() == 0
            assert rig.host.calls["list_folder"] == lists

    run(main)
    assert rig.host.titles(folder) == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]


@pytest.mark.parametrize("title", ["a film.mkv", "a film"])
def test_a_title_that_others_gave_outlives_what_the_host_makes_of_it(rig: Rig, title: str) -> None:
    """As doodstream does, which leaves an extension out."""
    rig.host.add(title, b"old")

    async def strip() -> None:
        rig.host.change(list(rig.host.stored)[-1], title="a film")
        raise OutcomeUnknownError("lost")

    async def main() -> None:
        async with rig.open() as volume:
            [name] = await rig.names()
            rig.host.on("upload", strip, when="after")
            await rig.write(name, b"new bytes")
            assert await volume.wait_uploads() == 0
            assert await rig.names() == [name]

    run(main)
    assert rig.at_host() == {title: b"new bytes"}


def test_a_code_that_comes_while_removing_waits_its_turn_leaves_nothing(rig: Rig) -> None:
    rig.host.add("a.mp4", b"old")

    async def main() -> None:
        async with rig.open() as volume:
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            node = volume.tree.get(attr.inode)
            answer, confirm = trio.Event(), trio.Event()
            rig.host.on("upload", answer.wait)
            rig.host.on("file_info", trio.lowlevel.checkpoint, confirm.wait)
            await rig.write("a.mp4", b"newer bytes")
            await rig.until_state("a.mp4", JobState.SENDING)
            async with trio.open_nursery() as nursery:
                async with volume._changes._locked(node):
                    nursery.start_soon(volume.unlink, ROOT_INODE, "a.mp4")
                    await settle()
                    answer.set()
                    await rig.until_state("a.mp4", JobState.CONFIRMING)
                confirm.set()
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {}


def test_renaming_over_a_file_is_refused_as_a_whole_where_deleting_is(rig: Rig) -> None:
    rig.host.add("a.mp4", b"a")
    rig.host.add("b.mp4", b"b")

    async def main() -> None:
        async with rig.open(delete_deny=True) as volume:
            await rig.names()
            with pytest.raises(NamespaceAbilityError):
                await volume.rename(ROOT_INODE, "a.mp4", ROOT_INODE, "b.mp4", replace=True)

    run(main)
    assert rig.host.titles() == ["a.mp4", "b.mp4"]


def test_renaming_over_a_file_that_cannot_be_removed_at_once_is_finished_behind(rig: Rig) -> None:
    rig.host.add("a.mp4", b"a")
    rig.host.add("b.mp4", b"b")

    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            rig.host.on("delete_file", raising(HostServerError("500")))
            await volume.rename(ROOT_INODE, "a.mp4", ROOT_INODE, "b.mp4", replace=True)
            assert await rig.names() == ["b.mp4"]
            await volume.wait_uploads()

    run(main)
    assert rig.at_host() == {"b.mp4": b"a"}


def test_what_was_closed_is_waited_for_before_the_kernel_says_it_was_the_last(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            fh, _ = await volume.create(ROOT_INODE, "a.mp4", NEW)
            await volume.files.write(fh, 0, b"film")
            await volume.files.flush(fh)
            assert volume.pending == 1
            waited = trio.Event()

            async def wait() -> None:
                await volume.wait_uploads()
                waited.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert not waited.is_set()
                volume.files.release(fh)

    run(main)
    assert rig.at_host() == {"a.mp4": b"film"}


def test_after_the_mount_is_gone_what_was_closed_goes_up_and_what_was_not_stays(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            closed, _ = await volume.create(ROOT_INODE, "closed.mp4", NEW)
            await volume.files.write(closed, 0, b"film")
            await volume.files.flush(closed)
            cut, _ = await volume.create(ROOT_INODE, "cut.mp4", NEW)
            await volume.files.write(cut, 0, b"fi")
            volume.files.release_all()
            await volume.wait_uploads()

    run(main)
    assert rig.at_host() == {"closed.mp4": b"film"}


def test_a_copy_that_the_disk_cut_short_does_not_replace_the_film(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.host.add("a.mp4", b"the whole old film")

    def full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def main() -> None:
        async with rig.open() as volume:
            fh = await rig.open_file("a.mp4", os.O_WRONLY | os.O_TRUNC)
            await volume.files.write(fh, 0, b"hal")
            with monkeypatch.context() as patch:
                patch.setattr(os, "pwrite", full)
                with pytest.raises(SpoolFullError):
                    await volume.files.write(fh, 3, b"f the film")
            await rig.close(fh)
            assert await volume.wait_uploads() == 1
            [upload] = volume.status().uploads
            assert (upload.state, upload.reason) == (
                "parked",
                "the disk was full while it was written",
            )
            assert await rig.read("a.mp4") == b"hal"
            await rig.write("a.mp4", b"the whole new film")
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": b"the whole new film"}


def test_a_size_that_is_already_there_is_no_change(rig: Rig) -> None:
    rig.host.add("a.mp4", b"x" * 5000)

    async def main() -> None:
        async with rig.open() as volume:
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            await volume.set_size(attr.inode, 5000)
            await volume.wait_uploads()

    run(main)
    assert rig.host.calls["upload"] == 0


def test_a_folder_that_others_emptied_can_be_removed(rig: Rig) -> None:
    folder = rig.host.add_folder("F")
    code = rig.host.add("a.mp4", b"x", folder)

    async def main() -> None:
        async with rig.open() as volume:
            attr = await volume.lookup(ROOT_INODE, "F")
            assert attr is not None
            assert await rig.names(attr.inode) == ["a.mp4"]
            del rig.host.stored[code]
            await volume.remove_folder(ROOT_INODE, "F")
            assert await rig.names() == []

    run(main)


@pytest.mark.parametrize("into_folder", [False, True])
def test_moved_on_while_it_is_put_in_its_place_it_gets_to_the_last_one(
    rig: Rig, into_folder: bool
) -> None:
    """Also where files don't tell their folder."""
    rig.host = FakeHost(upload_into_folder=into_folder)
    rig.host.says_folder = False

    async def main() -> None:
        async with rig.open() as volume:
            folders = [ROOT_INODE, (await volume.make_folder(ROOT_INODE, "F")).inode]
            first, second = reversed(folders) if not into_folder else folders
            if into_folder:  # it is sent to the second, and moved to the first meanwhile
                go_on = trio.Event()
                rig.host.on("upload", go_on.wait)
                await rig.write("a.mp4", b"film", parent=second)
                await rig.until(lambda: rig.host.calls["upload"] == 1)
                await volume.rename(second, "a.mp4", first, "a.mp4", replace=True)
                go_on.set()

            async def move_back() -> None:
                await volume.rename(first, "a.mp4", second, "a.mp4", replace=True)

            rig.host.on("edit_file", move_back, when="after")
            if not into_folder:
                await rig.write("a.mp4", b"film", parent=first)
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.host.paths() == (["/F/", "/F/a.mp4"] if into_folder else ["/F/", "/a.mp4"])


def test_a_folder_that_was_waited_for_is_looked_at_again(rig: Rig) -> None:
    """Another machine may have put a film into it meanwhile, which would go with it."""

    async def main() -> None:
        go_on = trio.Event()
        rig.host.on("upload", go_on.wait)
        async with rig.open() as volume:
            folder = await volume.make_folder(ROOT_INODE, "F")
            await rig.write("a.mp4", b"film", parent=folder.inode)
            await rig.until(lambda: rig.host.calls["upload"] == 1)
            await volume.rename(folder.inode, "a.mp4", ROOT_INODE, "a.mp4", replace=True)

            async def remove() -> None:
                with pytest.raises(NotEmptyError):
                    await volume.remove_folder(ROOT_INODE, "F")

            async with trio.open_nursery() as nursery:
                looks = rig.host.calls["list_folder"]
                nursery.start_soon(remove)
                await rig.until(lambda: rig.host.calls["list_folder"] > looks)
                await trio.testing.wait_all_tasks_blocked()
                rig.host.add("b.mp4", b"another", next(iter(rig.host.folders)))
                go_on.set()
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": b"film", "b.mp4": b"another"}


def test_a_host_that_lags_behind_its_own_deletions_is_asked_again(rig: Rig) -> None:
    rig.host.add_folder("F")
    rig.host.on("delete_folder", raising(BadRequestError("Folder is not empty")))

    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            await volume.remove_folder(ROOT_INODE, "F")
            assert await rig.names() == []

    run(main)


def test_an_upload_that_the_host_accepted_and_lost_never_costs_the_old_film(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """API_FACTS §2.4: success-looking answers for uploads that were thrown away."""
    rig.host.add("a.mp4", b"old")
    monkeypatch.setattr(confirming, "_NEW_FILE_UNKNOWN_S", 0.5)
    monkeypatch.setattr(uploads, "_RETRY_S_MAX", 0.1)
    at_second_attempt: list[dict[str, bytes]] = []

    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            known = set(rig.host.stored)

            async def lose() -> None:
                for code in set(rig.host.stored) - known:
                    del rig.host.stored[code]

            async def nothing() -> None:
                pass

            async def look() -> None:
                at_second_attempt.append(rig.at_host())

            rig.host.on("file_info", nothing, lose)  # the first is about the old film's flags
            rig.host.on("upload", nothing, look)
            await rig.write("a.mp4", b"new")
            assert await volume.wait_uploads() == 0

    run(main)
    assert at_second_attempt == [{"a.mp4": b"old"}]
    assert rig.at_host() == {"a.mp4": b"new"}


def test_two_unanswered_uploads_of_one_name_and_size_are_not_confused(rig: Rig) -> None:
    """The first's answer is lost and it shows late; the second is other bytes of the same size."""
    rig.host.says_sizes = False

    async def main() -> None:
        async with rig.open() as volume:
            gate = trio.Event()
            lost = raising(OutcomeUnknownError("lost"))
            rig.host.on("upload", lost, lost, when="after")
            rig.host.on("list_folder", *[gate.wait] * 5)
            await rig.write("a.mp4", b"first bytes")
            await rig.until(lambda: rig.host.calls["list_folder"] > 1)
            fh = await rig.open_file("a.mp4", os.O_RDWR)
            await volume.files.write(fh, 0, b"SECOND")
            await rig.close(fh)
            await rig.until_state("a.mp4", JobState.QUEUED)
            await trio.sleep(3 * uploads.RIVAL_PAUSE_S)
            assert rig.host.calls["upload"] == 1, "the first's outcome is not known yet"
            gate.set()
            assert await volume.wait_uploads() == 0

    run(main)
    assert rig.at_host() == {"a.mp4": b"SECONDbytes"}


def test_a_deleted_file_that_a_listing_still_shows_is_not_taken_for_the_new_one(rig: Rig) -> None:
    rig.host.says_sizes = False

    async def main() -> None:
        async with rig.open() as volume:
            old = rig.host.add("a.mp4", b"old")
            await volume.refresh("/")
            assert await rig.names() == ["a.mp4"]
            ghost = rig.host.stored[old]
            await volume.unlink(ROOT_INODE, "a.mp4")
            rig.host.stored[old] = ghost  # the listing lags
            assert volume.tree.has_seen(RemoteFile(code=old, title="a.mp4").code)
            assert volume.writeback.owns(old)

    run(main)
