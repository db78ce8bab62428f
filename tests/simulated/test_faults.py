"""Hosts and networks misbehave: closed files arrive all the same, once, or are parked."""

from __future__ import annotations

import errno
import os

import pytest
import trio

from tests.simulated.model import DIALECTS
from tests.simulated.rig import Rig, run
from vidfs.errors import NotEmptyError, UploadRefusedError, VidfsError
from vidfs.fuse.errnos import errno_for
from vidfs.types import ROOT_INODE, JobState

FILM = b"some film" * 50_000

CALLS = """file/list folder/list file/listfolder upload/server file/ul file/info file/edit
file/rename account/info"""

SERVER = "upload/server"

PASSING = [
    "drop-before:times=1",
    "drop-after:times=1",
    "drop-at=100000:times=1",
    "http=500:times=2",
    "status=500:times=1",
    "html:times=1",
    "plain:times=1",
    "cut:times=1",
    "truncate:times=1",
    "slow=300",
    "too-many:times=1",
    "string-status",
]


@pytest.mark.parametrize("action", PASSING)
def test_an_upload_that_meets_trouble_arrives_once(rig: Rig, action: str) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            rig.fault("upload", action)
            await rig.write("a.mp4", FILM)
            assert await volume.wait_uploads() == 0, volume.status()
            await volume.refresh("")
            assert await rig.names() == ["a.mp4"]

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}


@pytest.mark.parametrize("dialect", DIALECTS, indirect=True)
@pytest.mark.parametrize("action", ["html", "drop-after", "http=502"])
def test_what_a_node_makes_of_its_answer_is_asked_of_the_host(rig: Rig, action: str) -> None:
    """It has done its work all the same, but for the last: then it is sent once more."""

    async def main() -> None:
        async with rig.open(upload_on_close=True) as volume:
            rig.fault("upload", f"{action}:times=1")
            await rig.write("a.mp4", FILM)
            await rig.write("b.mp4", FILM[1:])
            assert volume.status().uploads == []

    run(main)
    assert rig.at_host() == {"a.mp4": FILM, "b.mp4": FILM[1:]}
    calls = rig.host.calls(rig.dialect)
    assert calls["upload"] == (3 if action == "http=502" else 2)
    assert calls.get("file/ul", 0) + calls.get("upload/server", 0) == calls["upload"]
    titles = {file["title"] for file in rig.host.tree(rig.dialect)["files"]}
    assert titles in ({"a", "b"}, {"a.mp4", "b.mp4"}), "found or answered: one title"


REFUSALS = [
    ("upload", "undef", errno.EIO, ""),
    ("upload", "refuse=unallowed extension", errno.EMEDIUMTYPE, "unallowed extension"),
    ("upload", "refuse=quota reached", errno.EDQUOT, "quota reached"),
    ("upload", "refuse=sha1 mismatch", errno.EIO, "sha1 mismatch"),
    ("server", "status=403", errno.EACCES, ""),
]


@pytest.mark.parametrize("dialect", DIALECTS, indirect=True)
@pytest.mark.parametrize(("call", "action", "number", "reason"), REFUSALS)
def test_a_refusal_is_told_parks_and_keeps_the_bytes(
    rig: Rig, call: str, action: str, number: int, reason: str
) -> None:
    if call == "server":
        call = "file/ul" if rig.dialect in ("fruithosted", "pstream", "streamtape") else SERVER

    async def main() -> None:
        async with rig.open(upload_on_close=True) as volume:
            await rig.write("first.mp4", b"one that is taken")
            rig.fault(call, f"{action}:times=1")
            fh, _ = await rig.start_writing("a.mp4", FILM)
            with pytest.raises(VidfsError) as caught:
                await volume.files.flush(fh)
            volume.files.release(fh)
            assert errno_for(caught.value) == number
            [upload] = volume.status().uploads
            assert (upload.path, upload.state) == ("/a.mp4", "parked")
            assert upload.reason
            assert reason in upload.reason
            assert await rig.read("a.mp4") == FILM
            assert len(rig.at_host()) == 1
        async with rig.open() as volume:
            assert volume.status().parked == 1
            assert await rig.read("a.mp4") == FILM
            assert volume.retry() == 1
            await rig.settle()

    run(main)
    assert sorted(rig.at_host().values()) == sorted([FILM, b"one that is taken"])


@pytest.mark.parametrize("action", ["drop-before", "drop-after", "http=500", "html", "cut"])
def test_trouble_with_every_second_call_is_overcome(rig: Rig, action: str) -> None:
    """Listings, upload servers, verifications: each call fails every other time."""

    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            for call in CALLS.split():
                rig.fault(call, f"{action}:every=2")
            for number in range(3):
                await rig.write(f"{number}.mp4", FILM[number:])
            assert await volume.wait_uploads() == 0, volume.status()
            rig.host.clear_faults()
            await volume.refresh("")
            assert await rig.names() == ["0.mp4", "1.mp4", "2.mp4"]

    run(main)
    assert rig.at_host() == {f"{number}.mp4": FILM[number:] for number in range(3)}


def test_close_waits_for_the_host_and_reports_its_refusal(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open(upload_on_close=True):
            await rig.write("a.mp4", FILM)
            assert rig.at_host() == {"a.mp4": FILM}
            rig.fault("upload", "refuse=not like this")
            fh, _ = await rig.start_writing("b.mp4", b"another " + FILM)
            with pytest.raises(UploadRefusedError):
                await rig.volume.files.flush(fh)
            rig.volume.files.release(fh)

    run(main)


def test_nodes_that_take_all_and_never_answer_do_not_hold_the_queue(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidfs.content.uploads.SEAT_S", 0.3)

    async def main() -> None:
        async with rig.open(uploads_max=2) as volume:
            rig.fault("upload", "hang:times=2")
            for number in range(5):
                await rig.write(f"{number}.mp4", FILM[number:])
            await volume.writeback.queue.wait_until(lambda: volume.pending == 2)
            assert [upload.state for upload in volume.status().uploads] == ["sending"] * 2
            rig.kill()
        async with rig.open() as volume:
            await rig.settle()

    run(main)
    assert rig.at_host() == {f"{number}.mp4": FILM[number:] for number in range(5)}
    assert rig.uploads() == 7


def test_a_host_that_goes_away_is_waited_for(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open() as volume:
            await rig.names()
            rig.host.stop()
            try:
                await rig.write("a.mp4", FILM)
                assert await rig.read("a.mp4") == FILM
                assert await rig.names() == ["a.mp4"]
            finally:
                rig.host.start()
            volume.retry()
            await rig.settle()

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}


def test_a_listing_that_lags_neither_hides_nor_revives_what_we_changed(rig: Rig) -> None:
    rig.host.add_file(rig.dialect, "gone.mp4", b"gone")
    rig.host.add_file(rig.dialect, "old.mp4", b"renamed")

    async def main() -> None:
        async with rig.open() as volume:
            assert await rig.names() == ["gone.mp4", "old.mp4"]
            rig.host.set(listing_lag_ms=60_000)
            await rig.unlink("gone.mp4")
            await rig.rename("old.mp4", "new.mp4")
            await rig.write("made.mp4", FILM)
            await rig.settle()
            for _ in range(3):
                await volume.refresh("")
                assert await rig.names() == ["made.mp4", "new.mp4"]
        async with rig.open() as volume:
            await volume.refresh("")
            assert await rig.names() == ["made.mp4", "new.mp4"]
            rig.host.set(listing_lag_ms=0)
            await volume.refresh("")
            assert await rig.names() == ["made.mp4", "new.mp4"]

    run(main)
    assert rig.at_host() == {"made.mp4": FILM, "new.mp4": b"renamed"}


def test_a_lost_answer_and_a_lagging_listing_together_make_no_second_copy(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidfs.content.uploads.OUTCOME_GRACE_S", 4.0)

    async def main() -> None:
        async with rig.open():
            rig.host.set(listing_lag_ms=1500)
            rig.fault("upload", "drop-after:times=1")
            await rig.write("a.mp4", FILM)
            await rig.settle()

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}
    assert rig.uploads() == 1


def test_a_new_file_unknown_to_the_host_for_a_while_is_verified_later(rig: Rig) -> None:
    rig.host.set(new_file_404_ms=1500)

    async def main() -> None:
        async with rig.open() as volume:
            await rig.write("a.mp4", FILM)
            assert await volume.wait_uploads() == 0, volume.status()

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}


@pytest.mark.parametrize("dialect", ["xvs", "fruithosted"], indirect=True)
@pytest.mark.parametrize(
    "action", ["drop-at=200000:times=2", "http=500:times=2", "ignore-range", "slow=20",
               "drop-before:times=2"]
)  # fmt: skip
def test_a_download_that_meets_trouble_is_read_right(rig: Rig, action: str) -> None:
    content = os.urandom(900_000)
    rig.host.add_file(rig.dialect, "a.mp4", content)

    async def main() -> None:
        async with rig.open():
            rig.fault("download", action)
            assert await rig.read("a.mp4") == content

    run(main)


@pytest.mark.parametrize("dialect", ["xvs", "fruithosted"], indirect=True)
def test_a_link_that_expires_between_two_reads_is_renewed_once(rig: Rig) -> None:
    content = os.urandom(40 << 20)
    rig.host.add_file(rig.dialect, "a.mp4", content)
    call = "file/direct_link" if rig.dialect == "xvs" else "file/dl"

    async def main() -> None:
        async with rig.open() as volume:
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            fh = await volume.open(attr.inode, os.O_RDONLY)
            assert await volume.files.read(fh, 0, 1000) == content[:1000]
            rig.host.request("DELETE", f"{rig.dialect}/links")
            rig.host.reset_calls(rig.dialect)
            for at in range(20 << 20, 21 << 20, 100_000):
                assert await volume.files.read(fh, at, 1000) == content[at : at + 1000]
            assert rig.host.calls(rig.dialect)[call] == 1
            await rig.close(fh)

    run(main)


@pytest.mark.parametrize("dialect", ["xvs", "fruithosted"], indirect=True)
def test_bytes_that_cannot_be_had_are_an_error_and_no_bytes(rig: Rig) -> None:
    rig.host.add_file(rig.dialect, "a.mp4", FILM)

    async def main() -> None:
        async with rig.open() as volume:
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            rig.fault("download", "status=404")
            with pytest.raises(VidfsError):
                await rig.read("a.mp4")
            rig.host.clear_faults()
            assert await rig.read("a.mp4") == FILM

    run(main)


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_kills_in_a_row_end_with_one_copy(rig: Rig, place: int) -> None:
    """Killed while sending, then while looking for the copy, then while verifying."""

    async def main() -> None:
        rig.fault("upload", "slow=300")
        async with rig.open():
            await rig.write("a.mp4", FILM)
            await rig.until_state(JobState.SENDING)
            rig.kill()
        for _ in range(place):
            rig.fault("*", "slow=100")
            async with rig.open():
                rig.kill()
        rig.host.clear_faults()
        async with rig.open():
            await rig.settle()

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}


@pytest.mark.parametrize("dialect", ["xvs", "streamtape"], indirect=True)
def test_a_folder_goes_behind_the_uploads_that_were_on_their_way_into_it(rig: Rig) -> None:
    """Some hosts delete what is in a folder with it: a file that was moved out, too, if only its
    upload is still bound for there."""
    rig.host.request("POST", f"{rig.dialect}/folders", path="G")
    rig.fault("upload", "slow=700")

    async def main() -> None:
        async with rig.open() as volume:
            folder = await rig.folder("G")
            await rig.write("a.mp4", FILM, folder)
            while not rig.host.tree(rig.dialect)["files"]:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.02)
            await rig.rename("a.mp4", "a.mp4", folder)
            await volume.remove_folder(ROOT_INODE, "G")
            assert rig.host.tree(rig.dialect)["folders"] == []
            await rig.settle()

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}
    assert rig.uploads() == 1


@pytest.mark.parametrize("dialect", ["xvs"], indirect=True)
def test_a_folder_goes_once_it_is_known_that_an_upload_into_it_failed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes longer than a host may lag behind a deletion."""
    monkeypatch.setattr("vidfs.content.uploads.OUTCOME_GRACE_S", 1.5)
    monkeypatch.setattr("vidfs.volume.changes._EMPTYING_S", 0.1)
    rig.host.request("POST", f"{rig.dialect}/folders", path="G")
    rig.fault("upload", "hang")

    async def main() -> None:
        async with rig.open():
            await rig.write("a.mp4", FILM, await rig.folder("G"))
            await rig.until_state(JobState.SENDING)
            rig.kill()
        rig.host.clear_faults()
        async with rig.open() as volume:
            await rig.rename("a.mp4", "a.mp4", await rig.folder("G"))
            await volume.remove_folder(ROOT_INODE, "G")
            await rig.settle()

    run(main)
    assert rig.at_host() == {"a.mp4": FILM}
    assert rig.host.tree(rig.dialect)["folders"] == []


@pytest.mark.parametrize("dialect", ["xvs", "streamtape"], indirect=True)
def test_what_a_lagging_listing_still_shows_in_a_folder_is_not_in_its_way(rig: Rig) -> None:
    rig.host.request("POST", f"{rig.dialect}/folders", path="G")
    for name in ("gone.mp4", "moved.mp4"):
        rig.host.add_file(rig.dialect, name, FILM, folder="G")

    async def main() -> None:
        async with rig.open() as volume:
            folder = await rig.folder("G")
            assert await rig.names(folder) == ["gone.mp4", "moved.mp4"]
            rig.host.set(listing_lag_ms=60_000)
            await rig.unlink("gone.mp4", folder)
            with pytest.raises(NotEmptyError):
                await volume.remove_folder(ROOT_INODE, "G")
            await rig.rename("moved.mp4", "moved.mp4", folder)
            await volume.remove_folder(ROOT_INODE, "G")
            assert await rig.names() == ["moved.mp4"]

    run(main)
    assert rig.at_host() == {"moved.mp4": FILM}
