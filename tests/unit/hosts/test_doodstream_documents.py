"""The samples of the DoodStream page (S0), decoded; calls named by API_FACTS §1.1.

Mended: the closing quote of `premim_expire` in account/info is missing on the page; the sample of
folder/list on today's page has commas after last members (API_FACTS §1.4). Addresses and e-mail
that the page leaves blank are filled in where something depends on them.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from tests.unit.hosts.canned import answer, run, xvs
from vidfs.errors import (
    AbilityError,
    ContentAbilityError,
    HostServerError,
    MoveAbilityError,
    RateLimitedError,
)
from vidfs.hosts.api import DownloadLink
from vidfs.hosts.envelope import open_envelope
from vidfs.hosts.xvs_rows import parse_upload
from vidfs.types import FileCode, FolderId

HEAD = '{ "msg": "OK", "server_time": "2001-09-09 01:46:40", "status": 200, "result": '
"""The samples' own server times replaced by the moment at which the tests pretend to be."""

DONE = HEAD + '"true" }'
CODE = FileCode("xxx")
MISSING = '{"msg":"Invalid operation","server_time":"2001-09-09 01:46:40","status":400}'


def dood(answers: dict[str, str]) -> Any:
    return xvs("doodstream", answers)


def test_account_info() -> None:
    host, _ = dood({"account/info": HEAD + """{ "email": "", "balance": "0.00000",
        "storage_used" :"24186265", "storage_left": 128824832615,
        "premim_expire": "2025-10-24 21:00:00" } }"""})  # fmt: skip
    info = run(host.account_info)
    assert (info.storage_used_bytes, info.storage_left_bytes) == (24186265, 128824832615)
    assert info.premium_until == "2025-10-24 21:00:00"


def test_account_stats_with_dates() -> None:
    host, transport = dood({"account/stats": HEAD + """[ { "profit_views": "0.00000",
        "downloads": "0", "views": "0", "day": "2017-08-11", "profit_total": "0.00000" },
        { "profit_views": "0.00000", "downloads": "0", "views": "0", "day": "2017-08-12",
        "profit_total": "0.00000" } ] }"""})  # fmt: skip
    days = run(lambda: host.account_stats(from_date="2017-08-11", to_date="2017-08-12"))
    assert [day.day for day in days] == ["2017-08-11", "2017-08-12"]
    assert transport.asked[0][1] == {"from_date": "2017-08-11", "to_date": "2017-08-12"}
    other, _ = xvs("vipstream", {})
    with pytest.raises(AbilityError, match="vipstream"):
        run(lambda: other.account_stats(from_date="2017-08-11"))


def test_dmca_list() -> None:
    host, transport = dood({"dmca/list": HEAD + """[ { "reported_on": "2001-09-09 01:00:00",
        "protected_download": "yyy", "protected_embed": "zzz", "file_code": "xxx",
        "fld_id": "0", "disabled_on": "2001-09-09 01:30:00" } ] }"""})  # fmt: skip
    (file,) = run(host.list_dmca)
    assert (file.code, file.delete_at, file.delete_in_s) == ("xxx", 1e9 - 1000, None)
    assert file.extra["protected_embed"] == "zzz"
    assert [asked["page"] for _, asked in transport.asked] == ["1", "2"]
    assert len(run(lambda: host.list_dmca(1_000_000))) == 1
    assert run(lambda: host.list_dmca(24)) == []  # by the clock of this machine


def test_upload_server_left_blank_on_the_page() -> None:
    host, _ = dood({"upload/server": HEAD + '"https://tr1128ve.example.com/upload/01" }'})
    assert run(host.fetch_upload_server) == "https://tr1128ve.example.com/upload/01"


def test_upload_reply() -> None:
    receipt = parse_upload(answer(HEAD + """[ { "download_url": "", "single_img": "",
        "status": 200, "filecode": "xxx", "splash_img": "", "canplay": 1, "size": "123456",
        "length": "123456", "uploaded": "2017-08-11 04:30:07", "protected_embed": "",
        "protected_dl": "", "title": "test_file" } ] }""", "upload"), True)  # fmt: skip
    assert (receipt.code, receipt.title, receipt.size_bytes) == ("xxx", "test_file", 123456)


def test_clone_into_a_folder_then_rename() -> None:
    cloned = HEAD + """{ "embed_url": "", "download_url": "", "protected_download": "",
        "protected_embed": "", "filecode": "xxx" } }"""  # fmt: skip
    info = HEAD + '[{"status":200, "filecode":"xxx", "title":"test_file"}]}'
    host, transport = dood({"file/clone": cloned, "file/info": info, "file/rename": DONE})
    code = run(lambda: host.clone_file(FileCode("zzz"), title="Copy", folder=FolderId("7")))
    assert code == "xxx"
    assert transport.asked == [
        ("file/clone", {"file_code": "zzz", "fld_id": "7"}),
        ("file/info", {"file_code": "xxx"}),
        ("file/rename", {"file_code": "xxx", "title": "Copy"}),
    ]


def test_upload_by_url() -> None:
    host, transport = dood({"upload/url": """{ "msg": "OK", "server_time": "2001-09-09 01:46:40",
        "new_title": "", "status": 200, "total_slots": "100",
        "result": { "filecode": "98zukoh5jqiw" }, "used_slots": "0" }"""})  # fmt: skip
    added = run(lambda: host.add_remote_upload("http://x/y", title="T", folder=FolderId("7")))
    assert (added.code, added.job) == ("98zukoh5jqiw", "98zukoh5jqiw")
    assert transport.asked[0][1] == {"url": "http://x/y", "fld_id": "7", "new_title": "T"}


REMOTE = """[ { "bytes_total": "200", "created": "2017-08-11 04:30:07", "remote_url": "",
    "status": "working", "file_code": "98zukoh5jqiw", "bytes_downloaded": "50",
    "folder_id": "0" } ] }"""
SLOTS = """{ "msg": "OK", "server_time": "2001-09-09 01:46:40", "status": 200,
    "total_slots": "100", "used_slots": "10" }"""
ACTED = '{ "msg": "Errors restarted", "server_time": "2001-09-09 01:46:40", "status": 200 }'


def test_remote_uploads_their_slots_and_actions() -> None:
    """S0 has no byte counts but 0; 50 of 200 stand here for some that are under way."""
    host, transport = dood({
        "urlupload/list": HEAD + REMOTE, "urlupload/status": HEAD + REMOTE,
        "urlupload/slots": SLOTS, "urlupload/actions": ACTED,
    })  # fmt: skip
    found = run(host.list_remote_uploads)
    assert found.requests_available == 90
    assert (found.uploads[0].job, found.uploads[0].progress) == ("98zukoh5jqiw", 0.25)
    assert run(lambda: host.list_remote_uploads("98zukoh5jqiw")).uploads[0].total_bytes == 200
    assert run(host.count_remote_slots) == (100, 10)
    transport.asked.clear()
    run(host.retry_remote_uploads)
    run(host.clear_remote_errors)
    run(host.cancel_remote_uploads)
    run(lambda: host.cancel_remote_uploads(["a", "b"]))
    assert transport.asked == [
        ("urlupload/actions", {"restart_errors": "1"}),
        ("urlupload/actions", {"clear_errors": "1"}),
        ("urlupload/actions", {"clear_all": "1"}),
        ("urlupload/actions", {"delete_code": "a"}),
        ("urlupload/actions", {"delete_code": "b"}),
    ]


def test_folders_are_created_and_renamed_but_not_moved() -> None:
    host, transport = dood({
        "folder/create": HEAD + '{ "fld_id": "1234567" } }', "folder/rename": DONE,
    })  # fmt: skip
    assert run(lambda: host.create_folder(host.root, "New")) == "1234567"
    run(lambda: host.edit_folder(FolderId("1234567"), name="Newer"))
    assert transport.asked == [
        ("folder/create", {"name": "New", "parent_id": "0"}),
        ("folder/rename", {"fld_id": "1234567", "name": "Newer"}),
    ]
    with pytest.raises(MoveAbilityError):
        run(lambda: host.edit_folder(FolderId("1"), parent=FolderId("2")))
    with pytest.raises(AbilityError):
        run(lambda: host.create_folder(host.root, "New", "described"))


ROW = """{ "download_url": "https://dood.example/d/xxx",
    "single_img": "https://img.example/xxx.jpg", "file_code": "xxx", "canplay": 1,
    "length": "1234", "views": "1", "uploaded": "2001-09-09 00:46:40", "public": "1",
    "fld_id": "0", "title": "test_file" }"""
PAGE = f'{{ "total_pages": 1, "files": [ {ROW} ], "results_total": "1", "results": 1 }} }}'


def test_file_list() -> None:
    host, transport = dood({"file/list": HEAD + PAGE})
    (file,) = run(lambda: host.list_files(folder=FolderId("0"), created="60"))
    assert (file.code, file.title, file.size_bytes) == ("xxx", "test_file", None)
    assert (file.uploaded_at, file.length_s, file.can_play) == (1e9 - 3600, 1234.0, True)
    assert file.extra["link"] == "https://dood.example/d/xxx", "a page, not the film"
    assert "download" not in file.extra
    assert file.extra["embed"] == "https://dood.example/e/xxx"
    assert transport.asked[0][1] == {
        "fld_id": "0", "created": "60", "per_page": "200", "page": "1",
    }  # fmt: skip
    with pytest.raises(AbilityError):
        run(lambda: host.list_files(adult=True))


def test_folder_list() -> None:
    """Not in S0. Source: API_FACTS §1.2 (folders with name, code, fld_id; files as file/list)."""
    result = f'{{ "folders": [{{"name": "A", "code": "c", "fld_id": "9"}}], "files": [{ROW}] }} }}'
    host, transport = dood({"folder/list": HEAD + result})
    listing = run(lambda: host.list_folder(host.root))
    assert [(f.folder, f.name) for f in listing.folders] == [("9", "A")]
    assert [f.code for f in listing.files] == ["xxx"]
    assert listing.folders_complete
    run(lambda: host.list_subfolders(FolderId("9")))
    assert transport.asked == [
        ("folder/list", {"fld_id": "0"}),
        ("folder/list", {"fld_id": "9", "only_folders": "1"}),
    ]


def test_without_folder_list_folders_are_the_numbers_in_files() -> None:
    rows = ROW + "," + ROW.replace("xxx", "yyy").replace('"fld_id": "0"', '"fld_id": "9"')
    page = f'{{ "total_pages": 1, "files": [ {rows} ], "results_total": "2", "results": 2 }} }}'
    host, transport = dood({"folder/list": MISSING, "file/list": HEAD + page})
    root = run(lambda: host.list_folder(host.root))
    assert [(f.folder, f.name) for f in root.folders] == [("9", "")]
    assert [f.code for f in root.files] == ["xxx"]
    assert not root.folders_complete and not host.capabilities.list_folders
    inner = run(lambda: host.list_folder(FolderId("9")))
    assert (list(inner.folders), [f.code for f in inner.files]) == ([], ["yyy"])
    assert [(call, asked.get("fld_id")) for call, asked in transport.asked] == [
        ("folder/list", "0"), ("file/list", None), ("file/list", "9"),
    ]  # fmt: skip


def test_file_check() -> None:
    host, _ = dood({"file/check": HEAD + '[ { "status": "Active", "filecode": "xxx" } ] }'})
    assert run(lambda: host.check_files([CODE])) == {CODE: "Active"}


INFO = """[ { "single_img": "", "status": 200, "filecode": "xxx", "splash_img": "",
    "canplay": 1, "size": "123456", "views": "0", "length": "123456",
    "uploaded": "2017-08-11 04:30:07", "last_view": "", "protected_embed": "/e/yyy",
    "protected_dl": "/d/zzz", "title": "test_file" } ] }"""


def test_file_info_has_the_size() -> None:
    host, _ = dood({"file/info": HEAD + INFO})
    file = run(lambda: host.file_info([CODE]))[CODE]
    assert (file.size_bytes, file.title, file.folder) == (123456, "test_file", None)
    assert not {"link", "embed", "download"} & file.extra.keys(), "without a host: no address"
    assert run(lambda: host.find_size(CODE)) == 123456


def test_codes_that_an_answer_passes_over_are_asked_for_again() -> None:
    """A host that takes one code a call, which no document says of DoodStream."""
    host, transport = dood({"file/info": ""})
    codes = [FileCode(f"{n:012d}") for n in range(5)]

    async def call(base: str, name: str, params: Any, parse: Any, **more: Any) -> Any:
        first = dict(params)["file_code"].partition(",")[0]
        transport.asked.append((name, {"file_code": dict(params)["file_code"]}))
        return parse(answer(HEAD + INFO.replace("xxx", first), name))

    transport.call = call
    assert set(run(lambda: host.file_info(codes))) == set(codes)
    assert host.capabilities.info_batch_max == 1
    transport.asked.clear()
    assert len(run(lambda: host.file_info(codes))) == 5
    assert sorted(asked["file_code"] for _, asked in transport.asked) == codes


def test_file_image() -> None:
    host, _ = dood({"file/image": HEAD + """[ { "status": 200, "filecode": "xxx",
        "title": "test_file", "single_img": "https://i/s.jpg", "thumb_img": "https://i/t.jpg",
        "splash_img": "" } ] }"""})  # fmt: skip
    assert run(lambda: host.find_pictures(CODE)) == {
        "single_img": "https://i/s.jpg", "thumb_img": "https://i/t.jpg",
    }  # fmt: skip
    assert run(lambda: host.find_thumbnail(CODE)) == "https://i/s.jpg"


def test_file_rename_and_move_are_two_calls() -> None:
    host, transport = dood({"file/rename": DONE, "file/move": DONE})
    run(lambda: host.edit_file(CODE, title="New", folder=FolderId("9")))
    assert transport.asked == [
        ("file/rename", {"file_code": "xxx", "title": "New"}),
        ("file/move", {"file_code": "xxx", "fld_id": "9"}),
    ]
    with pytest.raises(AbilityError):
        run(lambda: host.edit_file(CODE, fields={"tags": "a"}))


def test_an_installation_that_cannot_move_is_found_out() -> None:
    host, _ = dood({"file/move": MISSING})
    with pytest.raises(MoveAbilityError):
        run(lambda: host.edit_file(CODE, folder=FolderId("9")))
    assert not host.capabilities.move_file


def test_search() -> None:
    """The page prints "true", which can't be right; clients read a list (API_FACTS §1.2)."""
    host, transport = dood({"search/videos": HEAD + f"[ {ROW} ] }}"})
    assert [f.code for f in run(lambda: host.search_files("test"))] == ["xxx"]
    assert transport.asked == [("search/videos", {"search_term": "test"})]
    host, _ = dood({"search/videos": DONE})
    assert run(lambda: host.search_files("test")) == []


def test_the_rate_limit_comes_with_a_word_for_a_number() -> None:
    with pytest.raises(RateLimitedError):
        open_envelope(answer('{"msg":"Too Many Requests","status":"429"}'))


# --- the call that no document promises ---


class Film:
    """What `open_stream` gives: some bytes, or an error."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def __call__(
        self, link: DownloadLink, start: int, stop: int
    ) -> AbstractAsyncContextManager[Any]:
        assert link.url == "https://cdn.example/film"

        @asynccontextmanager
        async def opened() -> Any:
            if self.error is not None:
                raise self.error

            async def chunks() -> Any:
                yield b"x"

            yield chunks()

        return opened()


@pytest.mark.parametrize(
    ("link", "error", "works"),
    [
        (HEAD + '"https://cdn.example/film" }', None, True),
        (HEAD + '{ "direct_link": "https://cdn.example/film" } }', None, True),
        (HEAD + '"https://cdn.example/film" }', HostServerError("a web page"), False),
        (HEAD + '"" }', None, False),
        (MISSING, None, False),
        ('{"msg":"This function not allowed in API","status":403}', None, False),
    ],
)  # fmt: skip
def test_a_direct_link_is_used_once_a_probe_saw_a_film(
    link: str, error: Exception | None, works: bool
) -> None:
    host, transport = dood({
        "folder/list": HEAD + '{"folders":[],"files":[]} }', "file/move": MISSING,
        "file/direct_link": link, "file/list": HEAD + PAGE,
    })  # fmt: skip
    transport.open_stream = Film(error)
    able = run(host.probe)
    assert (able.read_content, able.move_file, able.list_folders) == (works, False, True)
    if works:
        assert run(lambda: host.open_link(CODE)).url == "https://cdn.example/film"
    else:
        with pytest.raises(ContentAbilityError):
            run(lambda: host.open_link(CODE))
