"""Names, folders, trash and abilities against the simulated host."""

from __future__ import annotations

import os

import pytest

from tests.simulated.model import DIALECTS
from tests.simulated.rig import TRASH, Rig, run
from vidfs.errors import (
    ContentAbilityError,
    ExistsError,
    IsFolderError,
    MediaTypeError,
    MoveAbilityError,
    NamespaceAbilityError,
    NameTooLongError,
    NotEmptyError,
    NotFoundError,
)
from vidfs.types import ROOT_INODE, JobState

FILM = b"some film"


# ------------------------------------------------------------------------------ local names


@pytest.mark.parametrize("scratch", [".a.mp4.Xy12", "a.mp4.part", "a.mp4~", "a.tmp"])
def test_scratch_names_stay_here_until_they_are_renamed(rig: Rig, scratch: str) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await rig.write(scratch, FILM)
            assert await volume.wait_uploads() == 0
            assert rig.at_host() == {}
            assert rig.uploads() == 0
        async with rig.open():
            assert await rig.read(scratch) == FILM, "kept over a remount"
            await rig.rename(scratch, "a.mp4")
            await rig.settle()
            assert await rig.names() == ["a.mp4"]

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}
    assert rig.uploads() == 1


def test_a_finished_file_renamed_to_a_scratch_name_while_it_waits_stays_here(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open(uploads_max=0) as volume:
            await rig.write("a.mp4", FILM)
            await rig.until_state(JobState.QUEUED)
            await rig.rename("a.mp4", ".a.mp4")
        async with rig.open() as volume:
            assert await volume.wait_uploads() == 0
            assert await rig.read(".a.mp4") == FILM

    run(main)
    assert rig.at_host() == {}


def test_empty_files_stay_here_until_they_have_bytes(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", b"")
            assert await volume.wait_uploads() == 0
            assert rig.at_host() == {}
        async with rig.open() as volume:
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            assert attr.size_bytes == 0
            fh = await volume.open(attr.inode, os.O_WRONLY)
            await volume.files.write(fh, 0, FILM)
            await rig.close(fh)
            await rig.settle()

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}


NAMES = [
    "plain.mp4",
    "Ünïcödé – 映画 🎬.mkv",
    "a & b <c> 'd' \"e\" 100% #1 + x=y?.mp4",
    "&amp; &lt;entity&gt;.mp4",
    "  blanks  .mp4",
    "dots...and_under_scores.v1.2.mp4",
    "back\\slash.mp4",
    "line\nbreak.mp4",
    "映" * 80 + ".mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_given_here_comes_back_the_same(rig: Rig, name: str) -> None:
    async def main() -> None:
        async with rig.open():
            await rig.write(name, FILM)
            await rig.settle()
            await rig.volume.refresh("")
            assert await rig.names() == [name]
        async with rig.open():
            await rig.volume.refresh("")
            assert await rig.names() == [name]
            assert await rig.read(name) == FILM
            await rig.rename(name, "b.mp4")
            await rig.rename("b.mp4", name)
            await rig.volume.refresh("")
            assert await rig.names() == [name]

    run(main)
    assert rig.uploads() == 1


def test_names_that_are_too_long_or_none_are_refused(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            with pytest.raises(NameTooLongError):
                await volume.lookup(ROOT_INODE, "x" * 256)
            with pytest.raises(NameTooLongError):
                await rig.write("映" * 85 + ".mp4", FILM)
            with pytest.raises(NamespaceAbilityError):
                await rig.write("vidfs-trash~a.mp4", FILM)

    run(main)
    assert rig.at_host() == {}


# ------------------------------------------------------------------------------ the host's side


def test_what_others_do_at_the_host_is_taken_over(rig: Rig) -> None:
    host, dialect = rig.host, rig.dialect
    code = host.add_file(dialect, "a.mp4", FILM, folder="Films")
    host.add_file(dialect, "b.mp4", b"another", folder="Films")

    async def main() -> None:
        async with rig.open() as volume:
            films = await rig.folder("Films")
            assert await rig.names(films) == ["a.mp4", "b.mp4"]
            before = await volume.lookup(films, "a.mp4")
            host.request("PATCH", f"{dialect}/files/{code}", {"title": "c.mp4"})
            host.add_file(dialect, "d.mp4", b"new", folder="Films")
            await volume.refresh("/Films/")
            assert await rig.names(films) == ["b.mp4", "c.mp4", "d.mp4"]
            after = await volume.lookup(films, "c.mp4")
            assert before is not None
            assert after is not None
            assert after.inode == before.inode, "the same file under another name"
            assert await volume.lookup(films, "a.mp4") is None
            host.request("DELETE", f"{dialect}/files/{code}")
            await volume.refresh("/Films/")
            assert await rig.names(films) == ["b.mp4", "d.mp4"]

    run(main)


def test_equal_titles_get_names_of_their_own_that_stay(rig: Rig) -> None:
    codes = [rig.host.add_file(rig.dialect, "a.mp4", bytes([n]) * 10) for n in range(3)]

    async def main() -> None:
        async with rig.open() as volume:
            names = await rig.names()
            assert len(names) == 3
            assert "a.mp4" in names
            assert all(
                name == "a.mp4" or any(name == f"a [{code}].mp4" for code in codes)
                for name in names
            )
            await volume.refresh("")
            assert await rig.names() == names
        async with rig.open() as volume:
            await volume.refresh("")
            assert await rig.names() == names

    run(main)


def test_deleting_hides_and_leaves_nothing_but_trash(rig: Rig) -> None:
    rig.host.add_file(rig.dialect, "a.mp4", FILM)
    rig.host.add_file(rig.dialect, "b.mp4", FILM)

    async def main() -> None:
        async with rig.open() as volume:
            await rig.unlink("a.mp4")
            assert await rig.names() == ["b.mp4"]
            await volume.refresh("")
            assert await rig.names() == ["b.mp4"]
            with pytest.raises(NotFoundError):
                await rig.unlink("a.mp4")
            await rig.write("a.mp4", b"another")
            await rig.settle()
            await rig.unlink("a.mp4")
        async with rig.open() as volume:
            await volume.refresh("")
            assert await rig.names() == ["b.mp4"]

    run(main)
    assert rig.at_host() == {"b.mp4": FILM}
    trash = [f["path"] for f in rig.host.tree(rig.dialect)["files"] if f["path"] != "b.mp4"]
    if rig.dialect == "xvs":
        assert trash == []
    elif rig.dialect == "vipstream":
        assert trash == ["vidfs trash/a.mp4"] * 2
    else:
        assert trash == ["vidfs-trash~a.mp4"] * 2


def test_deleting_can_be_switched_off(rig: Rig) -> None:
    rig.host.add_file(rig.dialect, "a.mp4", FILM)

    async def main() -> None:
        async with rig.open(delete_deny=True):
            with pytest.raises(NamespaceAbilityError):
                await rig.unlink("a.mp4")
            assert await rig.names() == ["a.mp4"]

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}


def test_where_deleting_is_switched_off_nothing_is_replaced_either(rig: Rig) -> None:
    code = rig.host.add_file(rig.dialect, "a.mp4", FILM)

    async def main() -> None:
        async with rig.open(delete_deny=True) as volume:
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            for flags in (
                os.O_WRONLY,
                os.O_RDWR,
                os.O_WRONLY | os.O_APPEND,
                os.O_RDWR | os.O_TRUNC,
            ):
                with pytest.raises(NamespaceAbilityError):
                    await volume.open(attr.inode, flags)
            with pytest.raises(NamespaceAbilityError):
                await volume.set_size(attr.inode, 0)
            with pytest.raises(NamespaceAbilityError):
                await volume.create(ROOT_INODE, "a.mp4", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            # What isn't at the host yet may change as it likes; it just can't replace.
            await rig.write(".new", b"one")
            await rig.write(".new", b"another")
            with pytest.raises(NamespaceAbilityError):
                await volume.rename(ROOT_INODE, ".new", ROOT_INODE, "a.mp4", replace=True)
            volume.set_times(attr.inode, mtime_ns=5, atime_ns=None)
            await volume.rename(ROOT_INODE, ".new", ROOT_INODE, "b.mp4", replace=True)
            await volume.wait_uploads()

    run(main)
    assert rig.at_host() == {"a.mp4": FILM, "b.mp4": b"another"}
    assert rig.host.files(rig.dialect)["a.mp4"]["code"] == code


@pytest.mark.parametrize("dialect", DIALECTS, indirect=True)
@pytest.mark.parametrize("renamed_over", [False, True])
def test_replacing_is_done_before_the_old_file_goes_and_keeps_what_was_set(
    rig: Rig, renamed_over: bool
) -> None:
    can_edit = rig.dialect in ("vipstream", "xvs")
    before = {"adult": 1, "public": 0, "tags": "one, two", "cat_id": 3, "descr": "about & more"}
    code = rig.host.add_file(rig.dialect, "a.mp4", b"old")
    rig.host.request("PATCH", f"{rig.dialect}/files/{code}", before)

    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            if can_edit:  # no call of these hosts tells it: what is set here is remembered
                attr = await volume.lookup(ROOT_INODE, "a.mp4")
                assert attr is not None
                await volume.set_attribute(attr.inode, "user.vidfs.description", "about & more")
            rig.fault("upload", "slow=300")
            if renamed_over:
                await rig.write(".a.mp4.Xy12", FILM)
                await rig.rename(".a.mp4.Xy12", "a.mp4")
            else:
                await rig.write("a.mp4", FILM)
            await rig.until_state(JobState.SENDING)
            assert rig.at_host() == {"a.mp4": b"old"}, "the old one goes last"
            await rig.settle()

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}
    rows = rig.host.tree(rig.dialect)["files"]
    [row] = [file for file in rows if not file["path"].startswith(TRASH)]
    assert row["code"] != code
    if can_edit:
        assert {name: str(row.get(name)) for name in before} == {
            name: str(value) for name, value in before.items()
        }


# ------------------------------------------------------------------------------ abilities


@pytest.mark.parametrize("dialect", ["doodstream", "vipstream", "xvs", "pstream"], indirect=True)
def test_only_video_goes_where_only_video_is_stored(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open():
            for name in ("a.txt", "b.srt", "c", "d.mp4.zip"):
                with pytest.raises(MediaTypeError):
                    await rig.write(name, FILM)
            await rig.write("a.MP4", FILM)
            with pytest.raises(MediaTypeError):
                await rig.rename("a.MP4", "a.txt")
            await rig.settle()
            with pytest.raises(MediaTypeError):
                await rig.rename("a.MP4", "a.txt")
            assert await rig.names() == ["a.MP4"]
        async with rig.open(other_files="local") as volume:
            await rig.write("a.txt", b"notes")
            assert await volume.wait_uploads() == 0
            assert await rig.read("a.txt") == b"notes"
        async with rig.open(other_files="local"):
            assert await rig.read("a.txt") == b"notes"

    run(main)
    assert list(rig.at_host().values()) == [FILM]


@pytest.mark.parametrize("dialect", ["fruithosted"], indirect=True)
def test_what_the_host_cannot_do_is_refused_by_its_kind(rig: Rig) -> None:
    rig.host.add_file(rig.dialect, "there.mp4", b"there", folder="Films")

    async def main() -> None:
        async with rig.open() as volume:
            films = await rig.folder("Films")
            with pytest.raises(NamespaceAbilityError):
                await volume.make_folder(ROOT_INODE, "New")
            await rig.write("a.txt", FILM)
            await rig.settle()
            with pytest.raises(MoveAbilityError):
                await rig.rename("a.txt", "a.txt", new_parent=films)
            with pytest.raises(NotEmptyError):
                await volume.remove_folder(ROOT_INODE, "Films")
            await rig.unlink("there.mp4", films)
            await volume.remove_folder(ROOT_INODE, "Films")
            assert await rig.names() == ["a.txt"]

    run(main)
    assert rig.at_host() == {"a.txt": FILM}


@pytest.mark.parametrize("dialect", ["vipstream"], indirect=True)
def test_a_host_without_downloads_is_read_only_from_here(rig: Rig) -> None:
    rig.host.add_file(rig.dialect, "theirs.mp4", FILM)

    async def main() -> None:
        async with rig.open() as volume:
            attr = await volume.lookup(ROOT_INODE, "theirs.mp4")
            assert attr is not None
            for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY):
                with pytest.raises(ContentAbilityError):
                    await volume.open(attr.inode, flags)
            await rig.write("ours.mp4", FILM)
            await rig.settle()
            assert await rig.read("ours.mp4") == FILM

    run(main)


@pytest.mark.parametrize("dialect", ["vipstream", "xvs"], indirect=True)
def test_folders_keep_to_posix(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            films = (await volume.make_folder(ROOT_INODE, "Films")).inode
            with pytest.raises(ExistsError):
                await volume.make_folder(ROOT_INODE, "Films")
            await rig.write("a.mp4", FILM, films)
            with pytest.raises(NotEmptyError):
                await volume.remove_folder(ROOT_INODE, "Films")
            with pytest.raises(IsFolderError):
                await rig.unlink("Films")
            await rig.settle()
            await volume.make_folder(ROOT_INODE, "Empty")
            rig.host.add_file(rig.dialect, "theirs.mp4", FILM, folder="Empty")
            with pytest.raises(NotEmptyError):
                await volume.remove_folder(ROOT_INODE, "Empty")
            await rig.rename("Films", "Movies")
            assert await rig.names() == ["Empty", "Movies"]
            assert await rig.names(films) == ["a.mp4"]

    run(main)
    assert rig.at_host() == {"Movies/a.mp4": FILM, "Empty/theirs.mp4": FILM}


@pytest.mark.parametrize("dialect", ["xvs"], indirect=True)
def test_sizes_that_no_listing_tells_are_asked_for_before_they_are_shown(rig: Rig) -> None:
    sizes = {f"{n}.mp4": 1000 + n for n in range(20)}
    for name, size in sizes.items():
        rig.host.add_file(rig.dialect, name, bytes(size))

    async def main() -> None:
        async with rig.open() as volume:
            for name, size in sizes.items():
                attr = await volume.lookup(ROOT_INODE, name)
                assert attr is not None
                assert attr.size_bytes == size
        rig.host.reset_calls(rig.dialect)
        async with rig.open() as volume:
            for name, size in sizes.items():
                attr = await volume.lookup(ROOT_INODE, name)
                assert attr is not None
                assert attr.size_bytes == size

    run(main)
    calls = rig.host.calls(rig.dialect)
    assert calls.get("file/direct_link", 0) <= 1, "kept for good (the probe asks once)"
