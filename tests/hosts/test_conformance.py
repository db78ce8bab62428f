"""What every host does for the rest of vidfs, dialect by dialect, on the simulated host.

Tests skip by declared capability only.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
import trio

from tests.hosts.conftest import Door
from vidfs.errors import (
    AbilityError,
    CaptchaError,
    ContentAbilityError,
    HostError,
    HostNotFoundError,
    HostServerError,
    InsecureUrlError,
    LegalBlockError,
    MoveAbilityError,
    NamespaceAbilityError,
    OutcomeUnknownError,
    PermanentHostError,
    RateLimitedError,
    TransientHostError,
    UnreadableAnswerError,
    UploadRefusedError,
    WrongKeyError,
)
from vidfs.hosts import HOSTS, lag, pacing
from vidfs.hosts.api import Capabilities, UploadBody, UploadOptions, UploadReceipt, VideoHost
from vidfs.types import FileCode, FolderId, Secret

PLAIN = UploadOptions()


def needs(door: Door, **abilities: object) -> Capabilities:
    capabilities = HOSTS[door.dialect].capabilities
    for name, value in abilities.items():
        if getattr(capabilities, name) != value:
            pytest.skip(f"{door.dialect}: {name} is {getattr(capabilities, name)}")
    return capabilities


def body_of(path: Path) -> UploadBody:
    content = path.read_bytes()
    return UploadBody(
        path=path,
        size_bytes=len(content),
        sha1=hashlib.sha1(content).hexdigest(),  # noqa: S324
        sha256=hashlib.sha256(content).hexdigest(),
    )


async def upload(
    host: VideoHost, film: Path, title: str = "A film.mp4", folder: FolderId | None = None
) -> UploadReceipt:
    folder = host.root if folder is None else folder
    return await host.upload(body_of(film), folder=folder, title=title, options=PLAIN)


async def read(host: VideoHost, code: FileCode, start: int = 0, stop: int | None = None) -> bytes:
    link = await host.open_link(code)
    async with host.open_stream(link, start, stop) as stream:
        content = b"".join([bytes(chunk) async for chunk in stream])
        return content[start - stream.start_byte :]


# --- account ---


def test_a_probe_finds_what_the_record_declares_and_changes_nothing(door: Door) -> None:
    door.add_folder("Kept/Inner")
    code = door.add("Kept too.mp4", folder="Kept")

    async def body(host: VideoHost) -> None:
        assert await host.probe() == HOSTS[door.dialect].capabilities

    door.run(body)
    tree = door.sim.sim("GET", f"{door.dialect}/tree")
    assert [f["code"] for f in tree["files"]] == [code]
    assert len(tree["folders"]) == 2


def test_account_info_tells_the_quota_where_the_host_has_one(door: Door) -> None:
    capabilities = HOSTS[door.dialect].capabilities

    async def body(host: VideoHost) -> None:
        info = await host.account_info()
        assert "@" in info.email
        assert (info.storage_used_bytes is not None) == capabilities.quota

    door.run(body)


@pytest.mark.parametrize("http_status", [False, True])
def test_a_wrong_key_is_told_from_every_other_refusal(door: Door, http_status: bool) -> None:
    door.sim.set(http_status=http_status)

    async def body(host: VideoHost) -> None:
        with pytest.raises(WrongKeyError):
            await host.account_info()

    door.run(body, key=Secret("wrongwrongwrong1"))


# --- listings ---


def test_a_listing_has_folders_and_files_with_what_the_host_tells(door: Door) -> None:
    capabilities = HOSTS[door.dialect].capabilities
    folder = FolderId(door.add_folder("Series"))
    inner = door.add_folder("Series/Season 1")
    code = door.add("Pilot.mp4", b"12345", "Series")
    elsewhere = door.add("Root.mp4")

    async def body(host: VideoHost) -> None:
        before = time.time()
        listing = await host.list_folder(folder)
        assert before <= listing.requested_at <= time.time()
        assert [(f.folder, f.name, f.parent) for f in listing.folders] == [
            (inner, "Season 1", folder)
        ]
        (file,) = listing.files
        assert (file.code, file.folder) == (code, folder)
        assert file.title.startswith("Pilot")
        assert file.size_bytes == (5 if capabilities.listing_sizes else None)
        assert (file.sha1 is not None) == (capabilities.listing_hash == "sha1")
        root = await host.list_folder(host.root)
        assert [f.name for f in root.folders] == ["Series"]
        assert [f.code for f in root.files] == [elsewhere]

    door.run(body)


def test_upload_times_are_ours_whatever_the_hosts_clock_says(door: Door) -> None:
    door.sim.set(clock_offset_s=-18_000)
    door.add("Now.mp4")

    async def body(host: VideoHost) -> None:
        (file,) = (await host.list_folder(host.root)).files
        assert file.uploaded_at is not None
        assert abs(file.uploaded_at - time.time()) < 5
        again = (await host.list_folder(host.root)).files[0]
        assert again.uploaded_at == file.uploaded_at

    door.run(body)


def test_an_empty_folder_is_an_empty_listing(door: Door) -> None:
    folder = FolderId(door.add_folder("Empty"))

    async def body(host: VideoHost) -> None:
        listing = await host.list_folder(folder)
        assert (list(listing.folders), list(listing.files)) == ([], [])

    door.run(body)


def test_an_unknown_folder_is_not_found(door: Door) -> None:
    async def body(host: VideoHost) -> None:
        with pytest.raises(HostNotFoundError):
            await host.list_folder(FolderId("987654"))

    door.run(body)


def test_a_large_folder_comes_whole_in_one_call_and_a_check(door: Door) -> None:
    door.sim.sim("POST", f"{door.dialect}/populate", None, folders=1, files=1200)

    async def body(host: VideoHost) -> None:
        (folder,) = (await host.list_folder(host.root)).folders
        for _ in range(3):
            listing = await host.list_folder(folder.folder)
            assert len({f.code for f in listing.files}) == 1200
        assert sum(host.calls.values()) <= 5

    door.run(body)


def test_many_folders_cost_a_call_each_and_one_check(xvs_door: Door) -> None:
    door = xvs_door
    door.sim.sim("POST", "xvs/populate", None, folders=60, files=3000)
    door.sim.set(latency_ms=5)

    async def body(host: VideoHost) -> None:
        folders = (await host.list_folder(host.root)).folders
        async with trio.open_nursery() as nursery:
            for folder in folders:
                nursery.start_soon(host.list_folder, folder.folder)
        assert host.calls == {"folder/list": 61, "file/list": 1}

    door.run(body)


def test_titles_and_names_survive_the_way(door: Door) -> None:
    name = "Ünïcode & <tags> + 100% #1 / ?=;  'x'"
    folder = FolderId(door.add_folder("plain"))

    async def body(host: VideoHost) -> None:
        await host.edit_folder(folder, name=name)
        assert (await host.list_folder(host.root)).folders[0].name == name

    door.run(body)


# --- files ---


def test_file_info_answers_any_number_of_codes_and_leaves_out_the_unknown(door: Door) -> None:
    capabilities = HOSTS[door.dialect].capabilities
    door.sim.sim("POST", f"{door.dialect}/populate", None, folders=1, files=120)
    codes = [FileCode(f["code"]) for f in door.sim.files(door.dialect)]
    unknown = FileCode("zzzzzzzzzzzz")

    async def body(host: VideoHost) -> None:
        found = await host.file_info([*codes, unknown, *codes[:3]])
        assert set(found) == set(codes)
        if capabilities.info_sizes and door.dialect != "xvs":
            assert all(f.size_bytes is not None for f in found.values())
        assert host.calls["file/info"] == 3
        assert await host.file_info([unknown]) == {}
        assert await host.file_info([]) == {}

    door.run(body)


def test_the_size_of_a_file_is_found_where_anything_tells_it(door: Door) -> None:
    capabilities = HOSTS[door.dialect].capabilities
    code = FileCode(door.add("Sized.mp4", b"s" * 4321))
    empty = FileCode(door.add("Empty.mp4", b""))
    tells = capabilities.info_sizes or capabilities.read_content

    async def body(host: VideoHost) -> None:
        assert await host.find_size(code) == (4321 if tells else None)
        if capabilities.read_content:  # elsewhere 0 may stand for "not known"
            assert await host.find_size(empty) == 0

    door.run(body)


def test_title_and_folder_of_a_file_change(door: Door) -> None:
    capabilities = HOSTS[door.dialect].capabilities
    code = FileCode(door.add("Old.mp4"))
    folder = FolderId(door.add_folder("Target"))

    async def body(host: VideoHost) -> None:
        if not capabilities.move_file:
            with pytest.raises(MoveAbilityError):
                await host.edit_file(code, folder=folder)
            await host.edit_file(code, title="New & ü.mp4")
            listing = await host.list_folder(host.root)
        else:
            await host.edit_file(code, title="New & ü.mp4", folder=folder)
            assert (await host.list_folder(host.root)).files == []
            listing = await host.list_folder(folder)
        assert [f.title.removesuffix(".mp4") for f in listing.files] == ["New & ü"]
        if capabilities.move_file:
            await host.edit_file(code, folder=host.root)
            assert len((await host.list_folder(host.root)).files) == 1

    door.run(body)


def test_fields_change_where_the_host_has_them(door: Door) -> None:
    capabilities = HOSTS[door.dialect].capabilities
    code = FileCode(door.add("Tagged.mp4"))

    async def body(host: VideoHost) -> None:
        if not capabilities.edit_fields:
            with pytest.raises(AbilityError):
                await host.edit_file(code, fields={"tags": "a"})
            return
        await host.edit_file(code, fields={"tags": "one, two", "public": "0", "adult": "1"})
        extra = (await host.file_info([code]))[code].extra
        assert (extra["tags"], extra["public"], extra["adult"]) == ("one, two", "0", "1")

    door.run(body)


def test_a_file_is_deleted_where_the_host_can(door: Door) -> None:
    code = FileCode(door.add("Gone.mp4"))
    able = HOSTS[door.dialect].capabilities.delete_file

    async def body(host: VideoHost) -> None:
        if not able:
            with pytest.raises(NamespaceAbilityError):
                await host.delete_file(code)
            return
        await host.delete_file(code)
        await host.delete_file(code)  # as after an answer that was lost
        assert (await host.list_folder(host.root)).files == []

    door.run(body)


# --- folders ---


def test_folders_are_created_renamed_moved_and_deleted(door: Door) -> None:
    able = HOSTS[door.dialect].capabilities

    async def body(host: VideoHost) -> None:
        if not able.create_folder:
            with pytest.raises(NamespaceAbilityError):
                await host.create_folder(host.root, "New")
            return
        outer = await host.create_folder(host.root, "Outer ü")
        inner = await host.create_folder(outer, "Inner")
        assert [f.folder for f in (await host.list_folder(outer)).folders] == [inner]
        await host.edit_folder(inner, name="Renamed")
        assert [f.name for f in (await host.list_folder(outer)).folders] == ["Renamed"]
        if able.move_folder:
            await host.edit_folder(inner, parent=host.root)
            assert len((await host.list_folder(host.root)).folders) == 2
        else:
            with pytest.raises(MoveAbilityError):
                await host.edit_folder(inner, parent=host.root)
        if able.delete_folder:
            await host.delete_folder(inner)
            await host.delete_folder(outer)
            assert (await host.list_folder(host.root)).folders == []
        else:
            with pytest.raises(NamespaceAbilityError):
                await host.delete_folder(inner)

    door.run(body)


@pytest.mark.parametrize("action", ["drop-before", "drop-after", "html", "truncate", "http=502"])
def test_a_folder_is_created_once_whatever_becomes_of_the_answer(
    door: Door, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(door, create_folder=True)
    monkeypatch.setattr(lag, "LOOK_PAUSES_S", (0.0, 0.05))
    is_xvs = HOSTS[door.dialect].family == "xvs"
    call = "folder/create" if is_xvs else "file/createfolder"
    door.fault(call, f"{action}:times=1")

    async def body(host: VideoHost) -> None:
        created = await host.create_folder(host.root, "Once")
        assert [f.folder for f in (await host.list_folder(host.root)).folders] == [created]

    door.run(body)


def test_a_folder_that_listings_show_later_is_not_created_again(door: Door) -> None:
    needs(door, create_folder=True)
    is_xvs = HOSTS[door.dialect].family == "xvs"

    async def body(host: VideoHost) -> None:
        await host.list_folder(host.root)
        door.sim.set(listing_lag_ms=500)
        door.fault("folder/create" if is_xvs else "file/createfolder", "drop-after:times=1")
        created = await host.create_folder(host.root, "Once")
        door.sim.set(listing_lag_ms=0)
        assert [f.folder for f in (await host.list_folder(host.root)).folders] == [created]

    try:
        door.run(body)
    finally:
        door.sim.set(listing_lag_ms=0)


# --- uploads ---


def test_an_upload_lands_under_its_title_in_its_folder(door: Door, film: Path) -> None:
    """Where the upload itself can't bring it there, a change right after it does."""
    able = HOSTS[door.dialect].capabilities
    folder = FolderId(door.add_folder("Up"))
    seen: list[int] = []

    async def body(host: VideoHost) -> None:
        sent = body_of(film)
        receipt = await host.upload(
            UploadBody(
                path=film,
                size_bytes=sent.size_bytes,
                sha1=sent.sha1,
                sha256=sent.sha256,
                on_progress=seen.append,
            ),
            folder=folder,
            title="Tïtle & co.mp4",
            options=PLAIN,
        )
        if not (able.upload_into_folder and able.upload_title):
            (landed,) = (await host.list_folder(host.root)).files
            assert landed.code == receipt.code
            await host.edit_file(receipt.code, title="Tïtle & co", folder=folder)
        (file,) = (await host.list_folder(folder)).files
        assert file.code == receipt.code
        assert file.title.removesuffix(".mp4") == "Tïtle & co"

    door.run(body)
    (stored,) = (door.sim.root / door.dialect / "files").glob("*")
    assert stored.read_bytes() == film.read_bytes()
    assert seen == sorted(seen)
    assert seen[-1] == 300_000


def test_an_upload_brings_its_options_along(door: Door, film: Path) -> None:
    capabilities = HOSTS[door.dialect].capabilities
    options = UploadOptions(public=False, adult=True, category="3", tags=["a", "b c"])

    async def body(host: VideoHost) -> None:
        receipt = await host.upload(
            body_of(film), folder=host.root, title="Film.mp4", options=options
        )
        extra = (await host.file_info([receipt.code]))[receipt.code].extra
        if capabilities.edit_fields:
            assert (extra["public"], extra["adult"], extra["category"]) == ("0", "1", "3")
            assert extra["tags"] == "a, b c"

    door.run(body)


def test_a_wrong_hash_is_refused(door: Door, film: Path) -> None:
    if HOSTS[door.dialect].capabilities.upload_hash is None:
        pytest.skip(f"{door.dialect} checks no hash")

    async def body(host: VideoHost) -> None:
        spoilt = UploadBody(path=film, size_bytes=300_000, sha1="0" * 40, sha256="0" * 64)
        with pytest.raises(UploadRefusedError):
            await host.upload(spoilt, folder=host.root, title="F.mp4", options=PLAIN)
        assert (await host.list_folder(host.root)).files == []

    door.run(body)


@pytest.mark.parametrize(
    ("action", "expected", "stored"),
    [
        ("drop-before", TransientHostError, False),
        ("drop-at=100000", TransientHostError, False),
        ("drop-after", OutcomeUnknownError, True),
        ("truncate", OutcomeUnknownError, True),
        ("html", OutcomeUnknownError, True),
        ("http=502", OutcomeUnknownError, False),
        ("undef", UploadRefusedError, False),
        ("refuse=unallowed extension", PermanentHostError, False),
    ],
)
def test_an_upload_that_fails_says_what_may_have_become_of_it(
    door: Door, film: Path, action: str, expected: type[HostError], stored: bool
) -> None:
    door.fault("upload", f"{action}:times=1")

    async def body(host: VideoHost) -> None:
        with pytest.raises((expected, OutcomeUnknownError)) as caught:
            await upload(host, film)
        # An answer may be missed after the body left whole: unknown is then honest, too.
        if action not in ("drop-before", "drop-at=100000"):
            assert isinstance(caught.value, expected)
        assert len((await host.list_folder(host.root)).files) == int(stored)
        assert host.calls["upload"] == 1
        await upload(host, film)

    door.run(body)


# --- content ---


def test_any_range_of_a_file_is_read(door: Door, film: Path) -> None:
    content = film.read_bytes()
    code = FileCode(door.add("Film.mp4", content))
    able = HOSTS[door.dialect].capabilities.read_content

    async def body(host: VideoHost) -> None:
        if not able:
            with pytest.raises(ContentAbilityError):
                await host.open_link(code)
            return
        assert await read(host, code) == content
        assert await read(host, code, 1000, 2000) == content[1000:2000]
        assert await read(host, code, 299_999) == content[-1:]
        link = await host.open_link(code)
        async with host.open_stream(link, 10, 20) as stream:
            assert (stream.start_byte, stream.total_bytes) == (10, 300_000)

    door.run(body)


def test_a_server_that_ignores_ranges_says_where_it_starts(door: Door, film: Path) -> None:
    needs(door, read_content=True)
    content = film.read_bytes()
    code = FileCode(door.add("Film.mp4", content))
    door.fault("download", "ignore-range")

    async def body(host: VideoHost) -> None:
        link = await host.open_link(code)
        async with host.open_stream(link, 1000, 2000) as stream:
            assert (stream.start_byte, stream.total_bytes) == (0, 300_000)
            assert b"".join([bytes(chunk) async for chunk in stream]) == content[:2000]

    door.run(body)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("drop-at=50000", UnreadableAnswerError),
        ("http=502", HostServerError),
        ("html", PermanentHostError),
        ("expire", PermanentHostError),
        ("status=509", RateLimitedError),
        ("status=451", LegalBlockError),
    ],
)
def test_a_download_that_fails_says_how(
    door: Door, film: Path, action: str, expected: type[HostError]
) -> None:
    needs(door, read_content=True)
    code = FileCode(door.add("Film.mp4", film.read_bytes()))
    door.fault("download", f"{action}:times=1")

    async def body(host: VideoHost) -> None:
        with pytest.raises(expected):
            await read(host, code)
        assert await read(host, code) == film.read_bytes()

    door.run(body)


def test_a_ticket_is_waited_for(fruithosted_door: Door) -> None:
    door = fruithosted_door
    door.sim.set(ticket_wait_s=1.0)
    code = FileCode(door.add("Film.mp4", b"0123456789"))

    async def body(host: VideoHost) -> None:
        started = trio.current_time()
        assert await read(host, code) == b"0123456789"
        assert trio.current_time() - started >= 1.0
        door.sim.set(ticket_wait_s=30.0)
        with trio.fail_after(1.5), pytest.raises(RateLimitedError):
            await host.open_link(code)

    door.run(body)


@pytest.mark.parametrize(
    ("call", "action", "expected"),
    [
        ("file/dl", "captcha", CaptchaError),
        ("file/dlticket", "status=451", LegalBlockError),
        ("file/dlticket", "bandwidth", RateLimitedError),
    ],
)
def test_what_stands_between_us_and_a_link_is_named(
    fruithosted_door: Door, call: str, action: str, expected: type[HostError]
) -> None:
    code = FileCode(fruithosted_door.add("Film.mp4"))
    fruithosted_door.fault(call, action)

    async def body(host: VideoHost) -> None:
        with trio.fail_after(2.5), pytest.raises(expected):
            await host.open_link(code)

    fruithosted_door.run(body)


def test_new_files_are_listed_over_the_whole_account(door: Door) -> None:
    able = HOSTS[door.dialect].capabilities.list_new_files
    door.add_folder("Deep/Deeper")
    code = door.add("New.mp4", folder="Deep/Deeper")

    async def body(host: VideoHost) -> None:
        if not able:
            with pytest.raises(AbilityError):
                await host.list_new_files(time.time() - 60)
            return
        assert [f.code for f in await host.list_new_files(time.time() - 60)] == [code]
        assert await host.list_new_files(time.time() + 600) == []

    door.run(body)


# --- faults on the way ---


@pytest.mark.parametrize(
    "action", ["drop-before", "drop-after", "http=503", "html", "plain", "truncate", "cut",
               "status=500", "too-many", "too-many-http", "string-status"]
)  # fmt: skip
def test_a_listing_survives_a_fault_unseen(
    door: Door, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "DRAIN_S", 0.02)
    monkeypatch.setattr(pacing, "RATE_FIRST", 50.0)
    door.sim.set(retry_after_s=0)
    code = door.add("There.mp4")
    door.fault("*", f"{action}:times=2")

    async def body(host: VideoHost) -> None:
        listing = await host.list_folder(host.root)
        assert [f.code for f in listing.files] == [code]

    host = door.run(body)
    assert sum(host.calls.values()) == (1 if action == "string-status" else 3)


@pytest.mark.parametrize("over_http", [False, True])
def test_a_rate_limit_is_learnt_and_never_seen(xvs_door: Door, over_http: bool) -> None:
    door = xvs_door
    door.sim.set(rate_limit=30, rate_limit_http=over_http)

    async def body(host: VideoHost) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(host.list_folder, host.root)

    started = time.monotonic()
    host = door.run(body)
    assert time.monotonic() - started < 8  # 2 at the limit itself
    assert sum(host.calls.values()) < 90


def test_a_dead_host_is_unreachable_within_the_callers_time(door: Door) -> None:
    async def body(host: VideoHost) -> None:
        with trio.fail_after(1.5), pytest.raises(TransientHostError):
            await host.list_folder(host.root)

    door.run(body, base_url="http://127.0.0.1:9/api")


def test_plain_http_is_refused_but_for_this_machine(door: Door) -> None:
    with pytest.raises(InsecureUrlError):
        door.open(base_url="http://video.example/api")


# --- installations that lack a call ---


def without(door: Door, *calls: str) -> None:
    door.sim.set(without=",".join(f"{door.dialect}:{call}" for call in calls))


def test_modules_that_an_installation_lacks_are_found_by_a_probe(xvs_door: Door) -> None:
    without(xvs_door, "file/direct_link", "file/delete", "folder/delete", "file/url_uploads")

    async def body(host: VideoHost) -> None:
        able = await host.probe()
        assert able is host.capabilities
        assert not (able.read_content or able.delete_file or able.delete_folder)
        assert not able.remote_upload_status
        asked = dict(host.calls)
        another = xvs_door.open()
        another.restore(able)
        with pytest.raises(NamespaceAbilityError):
            await another.delete_file(FileCode("aaaaaaaaaaaa"))
        assert dict(host.calls) == asked and not another.calls
        without(xvs_door)
        assert await host.probe() == HOSTS["xvs"].capabilities

    xvs_door.run(body)


def test_without_folder_list_the_seed_documents_calls_do(doodstream_door: Door) -> None:
    door = doodstream_door
    folder = FolderId(door.add_folder("Films"))
    inside = door.add("Inside", folder="Films")
    outside = door.add("Outside")
    without(door, "folder/list", "file/move")

    async def body(host: VideoHost) -> None:
        root = await host.list_folder(host.root)
        assert [f.code for f in root.files] == [outside]
        assert [(f.folder, f.name) for f in root.folders] == [(folder, "")]
        listing = await host.list_folder(folder)
        assert [f.code for f in listing.files] == [inside]
        assert not root.folders_complete and not listing.folders_complete
        assert host.calls["folder/list"] == 1
        made = await host.create_folder(folder, "Made")
        await host.edit_folder(made, name="Renamed")
        with pytest.raises(MoveAbilityError):
            await host.edit_file(FileCode(outside), folder=folder)
        clone = await host.clone_file(FileCode(outside), title="Clone", folder=made)
        assert [(f.code, f.title) for f in (await host.list_folder(made)).files] == [
            (clone, "Clone")
        ]
        with pytest.raises(NamespaceAbilityError):
            await host.delete_file(clone)

    door.run(body)
    assert door.sim.sim("GET", "doodstream/tree")["folders"]


def test_a_folder_made_without_an_answer_is_not_made_twice_blindly(doodstream_door: Door) -> None:
    """No listing could tell whether it is there."""
    door = doodstream_door
    without(door, "folder/list")
    door.fault("folder/create", "drop-after:times=1")

    async def body(host: VideoHost) -> None:
        await host.probe()
        with pytest.raises(OutcomeUnknownError):
            await host.create_folder(host.root, "Once")
        assert host.calls["folder/create"] == 1

    door.run(body)


def test_the_hosts_clock_is_told(door: Door) -> None:
    async def body(host: VideoHost) -> None:
        await host.account_info()
        expected = 10_800 if HOSTS[door.dialect].family == "xvs" else 0
        assert host.clock_offset_s == expected

    door.run(body)


def test_a_clone_is_a_file_of_its_own_under_its_name(door: Door) -> None:
    code = FileCode(door.add("Old.mp4", b"0123456789"))
    folder = FolderId(door.add_folder("Copies"))

    async def body(host: VideoHost) -> None:
        if not HOSTS[door.dialect].capabilities.clone:
            with pytest.raises(AbilityError):
                await host.clone_file(code, folder=folder)
            return
        clone = await host.clone_file(code, title="New", folder=folder)
        assert clone != code
        (file,) = (await host.list_folder(folder)).files
        assert (file.code, file.title) == (clone, "New")

    door.run(body)


def test_codes_beyond_what_one_answer_holds_are_found_all_the_same(door: Door) -> None:
    """A host that cuts file/info shorter than anybody has said."""
    door.sim.set(info_batch_max=7)
    door.sim.sim("POST", f"{door.dialect}/populate", None, folders=1, files=40)
    codes = [FileCode(f["code"]) for f in door.sim.files(door.dialect)]

    async def body(host: VideoHost) -> None:
        assert set(await host.file_info(codes)) == set(codes)

    door.run(body)
