"""The samples of the vipstream page (S1), decoded, and other shapes that were seen.

Every sample of S1 is JSON as it stands; addresses that the page hides are filled in.
"""

from __future__ import annotations

import json

import pytest

from tests.unit.hosts.canned import answer, run, xvs
from vidfs.errors import (
    ContentAbilityError,
    HostError,
    OutcomeUnknownError,
    QuotaError,
    UploadNodeError,
    UploadRefusedError,
)
from vidfs.hosts.api import UploadOptions, UploadReceipt
from vidfs.hosts.transport import Transport
from vidfs.hosts.xvs import XvsClient
from vidfs.hosts.xvs_records import VIPSTREAM, XVS
from vidfs.hosts.xvs_rows import parse_upload, parse_versions, render_options
from vidfs.types import FileCode, FolderId, Secret

HEAD = '{"msg":"OK","server_time":"2001-09-09 01:46:40","status":200,"result":'
"""The samples' own server times replaced by the moment at which the tests pretend to be."""

DONE = HEAD + '"true"}'
CODE = FileCode("fb5asfuj2snh")


def test_account_info() -> None:
    host, _ = xvs("vipstream", {"account/info": HEAD + """{
        "files_total":"31", "storage_left":1288483337, "login":"megauploader21",
        "email": "someone@example.com", "premium_expire":"2022-10-15 04:46:59",
        "balance":"108.00000", "premium":1, "storage_used":"685101"}}"""})  # fmt: skip
    info = run(host.account_info)
    assert (info.login, info.email) == ("megauploader21", "someone@example.com")
    assert (info.storage_used_bytes, info.storage_left_bytes) == (685101, 1288483337)
    assert info.premium_until == "2022-10-15 04:46:59"
    assert info.extra["files_total"] == "31"


@pytest.mark.parametrize("left", ['"inf"', "-1", "null", '"-12"', "false"])
def test_no_limit_in_every_spelling(left: str) -> None:
    host, _ = xvs("vipstream", {"account/info": HEAD + f'{{"storage_left":{left}}}}}'})
    assert run(host.account_info).storage_left_bytes is None


def test_account_stats() -> None:
    host, transport = xvs("vipstream", {"account/stats": HEAD + """[{"downloads": "0",
        "profit_views": "0.00000", "views_adb": "1", "sales": "0", "profit_sales": "0.00000",
        "profit_refs": "0.00000", "profit_site": "0.00000", "views": "0", "refs": "0",
        "day": "2021-09-12", "profit_total": "0.00000", "views_prem": "0"}]}"""})  # fmt: skip
    (day,) = run(lambda: host.account_stats(14))
    assert (day.day, day.values["views_adb"], len(day.values)) == ("2021-09-12", "1", 11)
    assert transport.asked == [("account/stats", {"last": "14"})]


def test_upload_server() -> None:
    host, _ = xvs("vipstream", {"upload/server": HEAD + '"https://s1.myvideo.com/upload/01"}'})
    assert run(host.fetch_upload_server) == "https://s1.myvideo.com/upload/01"


def test_upload_by_url() -> None:
    host, transport = xvs("vipstream", {"upload/url": HEAD + '{"filecode":"fb5asfuj2snh"}}'})
    options = UploadOptions(public=True, adult=False, category="5", tags=["promo", "hq"])
    added = run(
        lambda: host.add_remote_upload("http://x/y", folder=FolderId("25"), options=options)
    )
    assert (added.code, added.job) == (CODE, CODE)
    assert transport.asked[0][1] == {
        "url": "http://x/y", "fld_id": "25", "cat_id": "5", "file_public": "1",
        "file_adult": "0", "tags": "promo, hq",
    }  # fmt: skip


INFO = """[{"file_views_full":"0", "cat_id":"3",
    "player_img":"http://img.xvs.tt/fb5asfuj2snh.jpg", "status":200,
    "file_code":"fb5asfuj2snh", "file_last_download":"2021-08-12 20:56:54", "canplay":1,
    "file_public":"1", "file_length":"60", "file_title":"big buck bunny", "file_views":"0",
    "file_created":"2021-08-102 20:51:52", "file_premium_only":"0", "file_adult":"1",
    "file_fld_id":"25", "tags":"promo, high quality"}]}"""


def test_file_info_with_a_date_that_is_none() -> None:
    host, _ = xvs("vipstream", {"file/info": HEAD + INFO})
    file = run(lambda: host.file_info([CODE]))[CODE]
    assert (file.title, file.folder, file.length_s) == ("big buck bunny", "25", 60.0)
    assert (file.uploaded_at, file.can_play, file.size_bytes) == (None, True, None)
    assert file.extra == {
        "thumbnail": "http://img.xvs.tt/fb5asfuj2snh.jpg", "views": "0", "public": "1",
        "uploaded": "2021-08-102 20:51:52", "adult": "1", "premium_only": "0", "category": "3",
        "tags": "promo, high quality", "views_full": "0", "last_download": "2021-08-12 20:56:54",
    }  # fmt: skip


def test_unknown_files_in_a_good_answer_are_left_out() -> None:
    items = INFO[:-2] + ',{"status":404,"filecode":"zzz"}]}'
    host, _ = xvs("vipstream", {"file/info": HEAD + items})
    assert set(run(lambda: host.file_info([CODE, FileCode("zzz")]))) == {CODE}


@pytest.mark.parametrize("size", ['"size":"77"', '"file_size":77', '"file_sizes":[{"size":"77"}]'])
def test_sizes_where_a_site_tells_them(size: str) -> None:
    """One site answers a bare object. Source: API_FACTS §2.3."""
    body = HEAD + '{"file_code":"fb5asfuj2snh","status":"200",' + size + "}}"
    host, _ = xvs("xvs", {"file/info": body})
    assert run(lambda: host.file_info([CODE]))[CODE].size_bytes == 77
    assert host.capabilities.info_sizes


def test_a_site_without_sizes_is_found_out() -> None:
    host, _ = xvs("xvs", {"file/info": HEAD + INFO})
    run(lambda: host.file_info([CODE]))
    assert not host.capabilities.info_sizes


@pytest.mark.parametrize("refusal", ["Invalid operation", "This function not allowed in API"])
def test_sizes_come_from_the_link_where_file_info_is_off(refusal: str) -> None:
    link = {"versions": [{"url": "https://s1.example/o", "name": "o", "size": "77"}]}
    host, _ = xvs(
        "xvs",
        {
            "file/info": json.dumps({"status": 403, "msg": refusal}),
            "file/direct_link": HEAD + json.dumps(link) + "}",
        },
    )
    assert run(lambda: host.file_info([CODE])) == {}
    assert not host.capabilities.info_sizes
    assert run(lambda: host.find_size(CODE)) == 77


def test_file_edit_is_one_call() -> None:
    host, transport = xvs("vipstream", {"file/edit": DONE})
    run(
        lambda: host.edit_file(
            CODE, title="The 100", folder=FolderId("25"), fields={"tags": "a", "adult": "0"}
        )
    )
    assert transport.asked == [
        (
            "file/edit",
            {
                "file_code": CODE, "tags": "a", "file_adult": "0", "file_title": "The 100",
                "file_fld_id": "25",
            },
        )
    ]  # fmt: skip


ROW = """{"thumbnail":"http://img.xvs.tt/fb5asfuj2snh_t.jpg",
    "link":"http://xvs.tt/fb5asfuj2snh.html", "file_code":"fb5asfuj2snh", "canplay":1,
    "length":"60", "views":"0", "uploaded":"2001-09-09 00:46:40", "public":"0", "fld_id":"0",
    "title":"Test 123"}"""


def test_file_list_reads_as_many_pages_as_there_are() -> None:
    """S1's sample: nine results on nine pages of one. Here every page has the same file."""
    host, transport = xvs(
        "vipstream",
        {"file/list": HEAD + f'{{"files":[{ROW}],"results_total":1,"pages":9,"results":1}}}}'},
    )
    (file,) = run(lambda: host.search_files("Test"))
    assert file.title == "Test 123"
    assert sorted(int(asked["page"]) for _, asked in transport.asked) == list(range(1, 10))
    assert {asked["title"] for _, asked in transport.asked} == {"Test"}


FOLDER = (
    HEAD
    + '{"folders":[{"name":"Breaking Bad","fld_id":"16","code":"4pwb4yvp7v"},'
    + '{"name":"Travis","fld_id":"15","code":"68dth39m76"}],"files":['
    + ROW
    + "]}}"
)


def test_folder_list() -> None:
    host, transport = xvs("vipstream", {"folder/list": FOLDER})
    listing = run(lambda: host.list_folder(host.root))
    assert [(f.folder, f.name) for f in listing.folders] == [
        ("16", "Breaking Bad"),
        ("15", "Travis"),
    ]
    (file,) = listing.files
    assert file.uploaded_at == 1e9 - 3600
    assert file.extra["embed"] == "http://xvs.tt/embed-fb5asfuj2snh.html"
    assert transport.asked == [("folder/list", {"fld_id": "0", "files": "1"})]


@pytest.mark.parametrize("result", ["[]", "{}", "null", '{"folders":null,"files":false}'])
def test_an_empty_folder_in_every_spelling(result: str) -> None:
    host, _ = xvs("vipstream", {"folder/list": HEAD + result + "}"})
    listing = run(lambda: host.list_folder(FolderId("5")))
    assert (listing.folders, listing.files) == ([], [])


def test_files_of_listed_subfolders_are_left_out() -> None:
    rows = [json.loads(ROW) | {"file_code": f"{n:012d}", "fld_id": n} for n in (0, 15, 99)]
    body = json.loads(FOLDER)
    body["result"]["files"] = rows
    host, _ = xvs("vipstream", {"folder/list": json.dumps(body)})
    root = run(lambda: host.list_folder(host.root))
    assert [f.folder for f in root.files] == ["0"]
    other = run(lambda: host.list_folder(FolderId("99")))
    assert [f.folder for f in other.files] == ["0", "99"]


def test_a_listing_that_is_cut_is_found_out_and_read_page_by_page() -> None:
    rows = [json.loads(ROW) | {"file_code": f"{n:012d}"} for n in range(130)]
    folder = json.loads(FOLDER)
    folder["result"]["files"] = rows[:100]
    pages = {"files": rows, "results_total": "130", "pages": "1", "results": 130}
    host, transport = xvs(
        "vipstream",
        {"folder/list": json.dumps(folder), "file/list": HEAD + json.dumps(pages) + "}"},
    )
    assert len(run(lambda: host.list_folder(host.root)).files) == 130
    assert len(run(lambda: host.list_folder(host.root)).files) == 130
    assert transport.calls == {"folder/list": 2, "file/list": 3}


def test_clone_then_move_where_clone_takes_no_folder() -> None:
    cloned = HEAD + '{"url":"http://xvs.tt/u405p6qz5xpi","filecode":"u405p6qz5xpi"}}'
    host, transport = xvs("vipstream", {"file/clone": cloned, "file/edit": DONE})
    code = run(lambda: host.clone_file(CODE, title="Copy", folder=FolderId("7")))
    assert code == "u405p6qz5xpi"
    assert transport.asked == [
        ("file/clone", {"file_code": CODE, "file_title": "Copy"}),
        ("file/edit", {"file_code": "u405p6qz5xpi", "file_fld_id": "7"}),
    ]


@pytest.mark.parametrize(("landed", "moves"), [("7", 0), ("0", 1)])
def test_a_clone_that_landed_elsewhere_is_moved(landed: str, moves: int) -> None:
    row = f"""[{{"status":200, "file_code":"u405p6qz5xpi", "file_fld_id":"{landed}"}}]}}"""
    answers = {
        "file/clone": HEAD + '{"filecode":"u405p6qz5xpi"}}',
        "file/info": HEAD + row,
        "file/edit": DONE,
    }
    host, transport = xvs("xvs", answers)
    run(lambda: host.clone_file(CODE, folder=FolderId("7")))
    assert transport.asked[0] == ("file/clone", {"file_code": CODE, "fld_id": "7"})
    edit = ("file/edit", {"file_code": "u405p6qz5xpi", "file_fld_id": "7"})
    assert transport.asked[2:] == [edit] * moves


def test_deleted_and_dmca() -> None:
    host, transport = xvs(
        "vipstream",
        {
            "file/deleted": HEAD + """[{"file_code":"38j4wvxw164d", "deleted_by":"me",
                "deleted_ago_sec":"40", "deleted":"2001-09-09 01:46:00",
                "title":"Video 109779195"}]}""",
            "file/dmca": HEAD + """[{"file_code":"x2q5h0uhfzdu", "del_in_sec":"42097",
                "del_time":"2001-09-09 13:28:17"}]}""",
        },
    )  # fmt: skip
    (deleted,) = run(lambda: host.list_deleted(24))
    assert (deleted.code, deleted.deleted_by, deleted.deleted_at) == (
        "38j4wvxw164d",
        "me",
        1e9 - 40,
    )
    (dmca,) = run(lambda: host.list_dmca())
    assert (dmca.code, dmca.delete_in_s, dmca.delete_at) == ("x2q5h0uhfzdu", 42097, 1e9 + 42097)
    assert transport.asked == [("file/deleted", {"last": "24"}), ("file/dmca", {})]


def test_folder_create_and_edit() -> None:
    host, transport = xvs(
        "vipstream", {"folder/create": HEAD + '{"fld_id":"29"}}', "folder/edit": DONE}
    )
    assert run(lambda: host.create_folder(FolderId("0"), "New Videos")) == "29"
    run(lambda: host.edit_folder(FolderId("25"), name="Movies 2021", parent=FolderId("0")))
    assert transport.asked == [
        ("folder/create", {"name": "New Videos", "parent_id": "0"}),
        ("folder/edit", {"fld_id": "25", "name": "Movies 2021", "parent_id": "0"}),
    ]


def test_encodings() -> None:
    host, transport = xvs("vipstream", {"file/encodings": HEAD + """[
        {"link":"http://xvs.tt/fb5asfuj2snh.html","progress":15,"status":"ENCODING",
         "name":"Test video","quality":"h","code":"fb5asfuj2snh"},
        {"link":"http://xvs.tt/fb5asfuj2snh.html","progress":0,"status":"PENDING",
         "name":"Test video","quality":"l","code":"fb5asfuj2snh"}]}"""})  # fmt: skip
    first, second = run(lambda: host.list_encodings(CODE))
    assert (first.code, first.progress, first.status) == (CODE, 0.15, "ENCODING")
    assert (second.quality, second.progress) == ("l", 0.0)
    assert transport.asked == [("file/encodings", {"code": CODE})]


# --- the upload reply ---


def kept(row: str) -> str:
    return '{"msg":"OK","status":200,"files":[{' + row + "}]}"


def page(code: str, status: str) -> str:
    return f"<textarea name='fn'>{code}</textarea><textarea name='st'>{status}</textarea>"


def receipt(body: str) -> UploadReceipt:
    return parse_upload(answer(body, "upload"), True)


def test_upload_replies() -> None:
    sample = """{"msg": "OK", "status": 200, "files": [
        {"filecode": "u9150wqzvhxj", "filename": "1.avi", "status": "OK"},
        {"filecode": "gzky98gfg6hn", "filename": "2.avi", "status": "OK"}]}"""
    for body in (
        sample,
        '{"msg":"OK","status":"success","files":[{"filecode":"u9150wqzvhxj","status":"OK"}]}',
        '{"msg":"OK","status":200,"result":[{"filecode":"u9150wqzvhxj","status":200}]}',
        '{"msg":"OK","status":200,"result":{"file_code":"u9150wqzvhxj"}}',
        '[{"file_code":"u9150wqzvhxj","file_status":"OK"}]',
        "<html><textarea name='fn'>u9150wqzvhxj</textarea><textarea name='st'>OK</textarea>",
    ):
        assert receipt(body).code == "u9150wqzvhxj"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (kept('"filecode":"undef","status":"OK"'), UploadRefusedError),
        (kept('"filecode":"","status":"unallowed extension"'), UploadRefusedError),
        (kept('"filecode":"abc","status":"File is too big"'), UploadRefusedError),
        (kept('"status":"DiskFull"'), QuotaError),
        (kept('"status":"failed while requesting fs.cgi: <html>"'), UploadNodeError),
        ('{"msg":"OK","status":200,"files":[]}', UploadRefusedError),
        ('{"msg":"OK","status":200}', UploadRefusedError),
        ('{"msg":"bad title","status":400}', UploadRefusedError),
        ('{"msg":"oops","status":500}', OutcomeUnknownError),
        ("<html>502</html>", OutcomeUnknownError),
        ("", OutcomeUnknownError),
        (page("undef", "OK"), UploadRefusedError),
        (page("", "unallowed extension"), UploadRefusedError),
    ],
)  # fmt: skip
def test_upload_refusals(body: str, expected: type[HostError]) -> None:
    with pytest.raises(HostError) as caught:
        receipt(body)
    assert type(caught.value) is expected


def test_upload_fields_are_those_the_dialect_has() -> None:
    options = UploadOptions(
        public=False, adult=True, category="5", tags=["a", "b"], description="d"
    )
    fields = render_options(VIPSTREAM.upload_fields, options, title="T", folder="25")
    assert dict(fields) == {
        "file_title": "T", "fld_id": "25", "file_descr": "d", "cat_id": "5", "file_public": "0",
        "file_adult": "1", "tags": "a, b",
    }  # fmt: skip
    assert render_options({"title": "t"}, options) == []


# --- direct links ---


@pytest.mark.parametrize(
    "result",
    [
        {"versions": [{"url": "https://h/n", "name": "n", "size": "5"},
                      {"url": "https://h/o", "name": "o", "size": "7"}], "file_length": "60"},
        {"n": {"url": "https://h/n", "size": "5"}, "o": {"url": "https://h/o", "size": "7"}},
        {"url": "https://h/o", "size": 7},
        [{"direct_link": "https://h/o", "size": 7}],
    ],
)  # fmt: skip
def test_the_original_is_chosen(result: object) -> None:
    host, _ = xvs(
        "xvs", {"file/direct_link": HEAD + json.dumps(result) + "}", "file/info": HEAD + INFO}
    )
    link = run(lambda: host.open_link(CODE))
    assert (link.url, link.size_bytes) == ("https://h/o", 7)
    assert run(lambda: host.find_size(CODE)) == 7


def test_versions_that_are_none() -> None:
    odd: list[object] = [None, [], {}, "", "x", 5, {"versions": []}, {"versions": [{"name": "o"}]}]
    for result in odd:
        assert parse_versions(result) == []


def test_a_missing_module_narrows_the_abilities() -> None:
    missing = '{"status":400,"msg":"Invalid operation"}'
    off = '{"status":403,"msg":"This function not allowed in API"}'
    there = '{"status":404,"msg":"No file"}'
    host, transport = xvs(
        "xvs",
        {
            "file/direct_link": off,
            "file/delete": there,
            "folder/delete": missing,
            "file/url_uploads": HEAD + "[]}",
        },
    )
    able = run(host.probe)
    assert able is host.capabilities
    assert (able.read_content, able.delete_file) == (False, True)
    assert (able.delete_folder, able.remote_upload_status) == (False, True)
    assert all(len(asked) <= 1 for _, asked in transport.asked)


def test_a_module_that_goes_missing_later_is_an_inability() -> None:
    host, _ = xvs("xvs", {"file/direct_link": '{"status":400,"msg":"Invalid operation"}'})
    with pytest.raises(ContentAbilityError):
        run(lambda: host.open_link(CODE))
    assert not host.capabilities.read_content


def test_remote_uploads() -> None:
    """Source: API_FACTS §2.2."""
    host, transport = xvs("xvs", {"file/url_uploads": """{"msg":"OK","status":200,
        "requests_available":"9","result":[{"remote_url":"http://x/y","progress":"40",
        "status":"PENDING","file_code":"","fld_id":"0"}]}""",
        "file/url_actions": DONE})  # fmt: skip
    found = run(lambda: host.list_remote_uploads())
    assert found.requests_available == 9
    assert (found.uploads[0].progress, found.uploads[0].code) == (0.4, None)
    run(lambda: host.cancel_remote_uploads(["a", "b"]))
    run(host.retry_remote_uploads)
    assert transport.asked[1:] == [
        ("file/url_actions", {"delete_code": "a,b"}),
        ("file/url_actions", {"restart_errors": "1"}),
    ]


def test_a_site_needs_an_address() -> None:
    with pytest.raises(HostError):
        XvsClient(Transport(), XVS, Secret("k" * 16))
