"""The samples of the Streamango (S2) and pstream (S3) pages, decoded.

Where a sample isn't JSON it is mended, and the mending is marked.
"""

from __future__ import annotations

import pytest

from tests.unit.hosts.canned import answer, openload, run
from vidfs.errors import (
    AbilityError,
    AccessDeniedError,
    BadRequestError,
    CaptchaError,
    HostError,
    OutcomeUnknownError,
    UploadNodeError,
    UploadRefusedError,
    WrongKeyError,
)
from vidfs.hosts.openload_rows import parse_upload
from vidfs.types import FileCode, FolderId

CODE = FileCode("72fA-_Lq8Ak")
SHA1 = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"


def good(result: str) -> str:
    return '{"status": 200, "msg": "OK", "result": ' + result + "}"


def test_account_info() -> None:
    host, _ = openload("fruithosted", {"account/info": good("""{"extid": "extuserid",
        "email": "someone@example.com", "signup_at": "2015-01-09 23:59:54",
        "storage_left": -1, "storage_used": "32922117680",
        "traffic": {"left": -1, "used_24h": 0}, "balance": 0}""")})  # fmt: skip
    info = run(host.account_info)
    assert (info.login, info.email) == ("extuserid", "someone@example.com")
    assert (info.storage_used_bytes, info.storage_left_bytes) == (32922117680, None)
    assert info.extra["traffic_left"] == "-1"


def test_any_refusal_of_account_info_is_a_wrong_key() -> None:
    host, _ = openload("pstream", {"account/info": '{"status":403,"msg":"no","result":null}'})
    with pytest.raises(WrongKeyError):
        run(host.account_info)


TICKET = good("""{"ticket": "72fA-_Lq8Ak~~1440353112~n~~0~nXtN3RI-nsEa28Iq",
    "captcha_url": "https://streamango.com/dlcaptcha/b92eY_nfjV4.png", "captcha_w": 140,
    "captcha_h": 70, "wait_time": 0, "valid_until": "2015-08-23 18:20:13"}""")  # S2: wait 10
DL = good(f"""{{"name": "The quick brown fox.txt", "size": 12345, "sha1": "{SHA1}",
    "content_type": "plain/text", "upload_at": "2011-01-26 13:33:37",
    "url": "https://abvzps.example.com/dl/l/4spxX_-cSO4/The+quick+brown+fox.txt",
    "token": "4spxX_-cSO4"}}""")


def test_ticket_and_link() -> None:
    host, transport = openload("fruithosted", {"file/dlticket": TICKET, "file/dl": DL})
    link = run(lambda: host.open_link(CODE))
    assert link.url.endswith("/The+quick+brown+fox.txt")
    assert link.size_bytes == 12345
    assert transport.asked[1][1] == {
        "file": CODE,
        "ticket": "72fA-_Lq8Ak~~1440353112~n~~0~nXtN3RI-nsEa28Iq",
    }


@pytest.mark.parametrize("msg", ["Captcha not solved correctly", "denied"])
def test_a_refused_link_after_a_captcha_is_a_captchas_fault(msg: str) -> None:
    refused = f'{{"status": 403, "msg": "{msg}", "result": false}}'
    host, _ = openload("fruithosted", {"file/dlticket": TICKET, "file/dl": refused})
    with pytest.raises(CaptchaError):
        run(lambda: host.open_link(CODE))
    plain = TICKET.replace('"https://streamango.com/dlcaptcha/b92eY_nfjV4.png"', "false")
    host, _ = openload("fruithosted", {"file/dlticket": plain, "file/dl": refused})
    with pytest.raises(AccessDeniedError) as caught:
        run(lambda: host.open_link(CODE))
    assert isinstance(caught.value, CaptchaError) == ("Captcha" in msg)


# Mended: a comma after the last member of each item.
INFO = good(f"""{{
    "72fA-_Lq8Ak3": {{"id": "72fA-_Lq8Ak3", "status": 200, "name": "The quick brown fox.txt",
        "size": 123456789012, "sha1": "{SHA1}", "content_type": "plain/text"}},
    "72fA-_Lq8Ak4": {{"id": "72fA-_Lq8Ak4", "status": 500, "name": "The quick brown fox.txt",
        "size": false, "sha1": "{SHA1}", "content_type": "plain/text"}},
    "72fA-_Lq8Ak5": {{"id": "72fA-_Lq8Ak5", "status": 404, "name": false, "size": false,
        "sha1": false, "content_type": false}},
    "72fA-_Lq8Ak6": {{"id": "72fA-_Lq8Ak6", "status": 451, "name": "The quick brown fox.txt",
        "size": 123456789012, "sha1": "{SHA1}", "content_type": "plain/text"}}}}""")


@pytest.mark.parametrize("name", ["fruithosted", "pstream"])
def test_file_info(name: str) -> None:
    host, transport = openload(name, {"file/info": INFO})
    codes = [FileCode(f"72fA-_Lq8Ak{n}") for n in (3, 4, 5, 6)]
    found = run(lambda: host.file_info(codes))
    assert set(found) == {codes[0], codes[1], codes[3]}
    fine, broken, blocked = (found[code] for code in (codes[0], codes[1], codes[3]))
    assert (fine.size_bytes, fine.sha1, fine.readable, fine.status) == (
        123456789012,
        SHA1,
        True,
        "",
    )
    assert (broken.size_bytes, broken.readable, broken.status) == (None, False, "500")
    assert (blocked.size_bytes, blocked.readable, blocked.status) == (123456789012, False, "451")
    assert transport.asked == [("file/info", {"file": ",".join(codes)})]


def test_upload_address() -> None:
    host, transport = openload("fruithosted", {"file/ul": good(
        '{"url": "https://13abc37.example.com/ul/fCgaPthr_ys", "valid_until": "2015-01-09"}'
    )})  # fmt: skip
    assert run(lambda: host.fetch_upload_server()).endswith("/ul/fCgaPthr_ys")
    run(lambda: host.fetch_upload_server(FolderId("1234"), SHA1, http_only=True))
    assert transport.asked == [
        ("file/ul", {}),  # the root has no number: it isn't sent
        ("file/ul", {"folder": "1234", "sha1": SHA1, "httponly": "true"}),
    ]


ADDED = good('{"id": "12", "folderid": "4248"}')


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("fruithosted", {"headers": "A: 1\nB: 2"}),
        ("pstream", {"headers[]": "B: 2"}),  # twice on the wire; a dict keeps the last
    ],
)
def test_remote_upload(name: str, sent: dict[str, str]) -> None:
    host, transport = openload(name, {"remotedl/add": ADDED})
    added = run(lambda: host.add_remote_upload("http://x/y", headers=["A: 1", "B: 2"]))
    assert (added.job, added.folder) == ("12", "4248")
    assert transport.asked == [("remotedl/add", {"url": "http://x/y"} | sent)]


def test_remote_upload_status_with_bytes() -> None:
    """Mended: S2 has bare numbers as keys and commas after the last members."""
    host, transport = openload("fruithosted", {"remotedl/status": good("""{
        "24": {"id": 24, "remoteurl": "http://proof.ovh.net/files/100Mio.dat", "status": "new",
               "bytes_loaded": null, "bytes_total": null, "folderid": "4248",
               "added": "2015-02-21 09:20:26", "last_update": "2015-02-21 09:20:26",
               "extid": false, "url": false},
        "22": {"id": 22, "remoteurl": "http://proof.ovh.net/files/1Gio.dat",
               "status": "downloading", "bytes_loaded": "823997062",
               "bytes_total": "1073741824", "folderid": "4248", "extid": false, "url": false},
        "20": {"id": 20, "remoteurl": "http://google.de/favicon.ico", "status": "finished",
               "bytes_loaded": "229", "bytes_total": "229", "folderid": "4248",
               "extid": "ANAaeBZus-Q",
               "url": "https://streamango.com/f/ANAaeBZus-Q"}}""")})  # fmt: skip
    new, running, done = run(lambda: host.list_remote_uploads(limit=100)).uploads
    assert (new.job, new.progress, new.code, new.link) == ("24", None, None, "")
    assert running.progress == pytest.approx(0.7674, abs=1e-4)
    assert (done.progress, done.code) == (1.0, "ANAaeBZus-Q")
    assert transport.asked == [("remotedl/status", {"limit": "100"})]


def test_remote_upload_status_in_percent() -> None:
    """Mended: S3 lacks a comma after progress_percent."""
    host, _ = openload("pstream", {"remotedl/status": good("""{
        "24": {"id": 24, "status": "new", "progress_percent": null, "errormsg": false},
        "22": {"id": 22, "status": "downloading", "progress_percent": "78.41"},
        "3": {"id": 3, "remoteurl": "http://127.0.0.1/", "status": "error",
              "progress_percent": "100", "folderid": "4", "errormsg": "Invalid URL",
              "extid": false, "url": false}}""")})  # fmt: skip
    new, running, failed = run(host.list_remote_uploads).uploads
    assert new.progress is None
    assert running.progress == pytest.approx(0.7841)
    assert (failed.status, failed.error) == ("error", "Invalid URL")


def test_no_remote_uploads_come_as_a_list() -> None:
    host, _ = openload("fruithosted", {"remotedl/status": good("[]")})
    assert run(host.list_remote_uploads).uploads == ()


def test_conversions_as_fractions_and_in_percent() -> None:
    row = """[{"name": "Geysir.AVI", "id": "3565411", "status": "pending",
        "last_update": "2015-08-23 19:41:40", "progress": %s, "retries": "0",
        "link": "https://streamango.com/f/f02JFG293J8/Geysir.AVI", "linkextid": "f02JFG293J8"}]"""
    host, transport = openload("fruithosted", {
        "file/runningconverts": good(row % "0.32"), "file/convert": good("true")})  # fmt: skip
    (running,) = run(lambda: host.list_encodings(folder=FolderId("5")))
    assert (running.code, running.progress, running.retries) == ("f02JFG293J8", 0.32, 0)
    run(lambda: host.convert_file(FileCode("UPPjeAk--30")))
    assert transport.asked == [
        ("file/runningconverts", {"folder": "5"}), ("file/convert", {"file": "UPPjeAk--30"}),
    ]  # fmt: skip
    other, transport = openload("pstream", {"file/converts": good(row % "57")})
    (running,) = run(lambda: other.list_encodings(FileCode("f02JFG293J8"), limit=5))
    assert running.progress == 0.57
    assert transport.asked == [("file/converts", {"limit": "5", "file": "f02JFG293J8"})]
    with pytest.raises(AbilityError):
        run(lambda: other.convert_file(CODE))


def test_splash() -> None:
    url = "https://streamango.com/splash/AYgHe95d1E4/zt8uSEmk56s.jpg"
    host, _ = openload("fruithosted", {"file/getsplash": good(f'"{url}"')})
    assert run(lambda: host.find_thumbnail(CODE)) == url


def test_listing_of_streamango() -> None:
    host, transport = openload("fruithosted", {"file/listfolder": good("""{
        "folders": [{"id": "5144", "name": ".videothumb"}, {"id": "6990", "name": "tmp"}],
        "files": [{"name": "big_buck_bunny.mp4.mp4",
            "sha1": "c6531f5ce9669d6547023d92aea4805b7c45d133", "folderid": "4258",
            "upload_at": "1419791256", "status": "active", "size": "5114011",
            "content_type": "video/mp4", "download_count": "48", "cstatus": "ok",
            "link": "https://streamango.com/f/UPPjeAk--30/big_buck_bunny.mp4.mp4",
            "linkextid": "UPPjeAk--30"}]}""")})  # fmt: skip
    listing = run(lambda: host.list_folder(host.root))
    assert [(f.folder, f.name) for f in listing.folders] == [
        ("5144", ".videothumb"),
        ("6990", "tmp"),
    ]
    (file,) = listing.files
    assert (file.code, file.size_bytes, file.uploaded_at) == ("UPPjeAk--30", 5114011, 1419791256)
    assert (file.folder, file.sha1) == (host.root, "c6531f5ce9669d6547023d92aea4805b7c45d133")
    assert file.extra["views"] == "48"
    run(lambda: host.list_folder(FolderId("5")))
    assert transport.asked == [("file/listfolder", {}), ("file/listfolder", {"folder": "5"})]


PSTREAM_ROWS = (
    """"VKrJd-A_vNmpP4L": {"name": "Big bunny buck 720p",
        "sha1": "8fd4e1c67a2d28fced849ee1bb76e7391b93eb12", "folder_id": 0,
        "upload_at": 1532854309, "status": "active", "size": 193986560,
        "content_type": "video/mp4", "cstatus": "ok",
        "link": "https://www.pstream.net/v/VKrJd-A_vNmpP4L",
        "embed_link": "https://www.pstream.net/e/VKrJd-A_vNmpP4L",
        "linkextid": "VKrJd-A_vNmpP4L"}""",
    """"C4f9cApMlcnJQ": {"name": "Big bunny buck 1080p",
        "sha1": "8fd4e1c67a2d28fced849ee1bb76e7391b93eb12", "folder_id": %d,
        "upload_at": 1532854309, "status": "suspended", "size": 354418688,
        "content_type": "video/mp4", "cstatus": "ok",
        "link": "https://www.pstream.net/v/C4f9cApMlcnJQ",
        "embed_link": "https://www.pstream.net/e/C4f9cApMlcnJQ",
        "linkextid": "C4f9cApMlcnJQ"}""",
)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("second_folder", [0, 789, 4711])
def test_listing_of_pstream(as_list: bool, second_folder: int) -> None:
    """Mended: S3 writes keyed members in square brackets; both mendings are read."""
    rows = (PSTREAM_ROWS[0], PSTREAM_ROWS[1] % second_folder)
    if as_list:
        files = "[" + ",".join(row.partition(": ")[2] for row in rows) + "]"
    else:
        files = "{" + ",".join(rows) + "}"
    folders = '[{"id": "456", "name": "My Great Folder"}, {"id": "789", "name": "Other Folder"}]'
    body = good(f'{{"folders": {folders}, "files": {files}}}')
    host, _ = openload("pstream", {"file/listfolder": body})
    files_found = list(run(lambda: host.list_folder(host.root)).files)
    assert [f.code for f in files_found[:1]] == ["VKrJd-A_vNmpP4L"]
    assert len(files_found) == (2 if second_folder == 0 else 1)
    assert files_found[0].extra["embed"] == "https://www.pstream.net/e/VKrJd-A_vNmpP4L"
    if second_folder == 0:
        assert (files_found[1].readable, files_found[1].status) == (False, "suspended")


def test_namespace_calls_of_pstream() -> None:
    done = good("true")
    host, transport = openload("pstream", {
        "file/createfolder": good('{"folderid": 35678}'), "file/renamefolder": done,
        "file/deletefolder": done, "file/rename": done, "file/move": done, "file/delete": done,
    })  # fmt: skip
    assert run(lambda: host.create_folder(host.root, "MyFolderBoi")) == "35678"
    run(lambda: host.edit_folder(FolderId("12345"), name="MyRenamedFolder"))
    run(lambda: host.delete_folder(FolderId("12345")))
    run(lambda: host.edit_file(CODE, title="My Renamed Video", folder=FolderId("15484")))
    run(lambda: host.edit_file(CODE, folder=host.root))
    run(lambda: host.delete_file(CODE))
    assert transport.asked == [
        ("file/createfolder", {"name": "MyFolderBoi"}),
        ("file/renamefolder", {"folder": "12345", "name": "MyRenamedFolder"}),
        ("file/deletefolder", {"folder": "12345"}),
        ("file/move", {"file": CODE, "folder": "15484"}),
        ("file/rename", {"file": CODE, "name": "My Renamed Video"}),
        ("file/move", {"file": CODE, "folder": "0"}),
        ("file/delete", {"file": CODE}),
    ]


def test_a_false_result_is_a_refusal() -> None:
    host, _ = openload("fruithosted", {"file/rename": good("false")})
    with pytest.raises(BadRequestError):
        run(lambda: host.edit_file(CODE, title="x"))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"id":"UPPjeAk--30","name":"a.mp4","size":"5","url":"https://x/f/b/c"}', "UPPjeAk--30"),
        ('{"name":"a.mp4","size":5,"url":"https://host.example/f/AYgHe95d1E4/a"}', "AYgHe95d1E4"),
    ],
)  # fmt: skip
def test_upload_replies(body: str, code: str) -> None:
    """Source: API_FACTS §3.3, §5."""
    receipt = parse_upload(answer(good(body), "upload"), True)
    assert (receipt.code, receipt.title, receipt.size_bytes) == (code, "a.mp4", 5)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"status":400,"msg":"sha1 mismatch","result":null}', UploadRefusedError),
        ('{"status":404,"msg":"unknown upload","result":null}', UploadNodeError),
        ('{"status":500,"msg":"oops","result":null}', OutcomeUnknownError),
        ('{"status":200,"msg":"OK","result":null}', UploadRefusedError),
        ("<html>", OutcomeUnknownError),
    ],
)
def test_upload_refusals(body: str, expected: type[HostError]) -> None:
    with pytest.raises(HostError) as caught:
        parse_upload(answer(body, "upload"), True)
    assert type(caught.value) is expected


def test_streamtape_listing() -> None:
    """Source: API_FACTS §5."""
    host, _ = openload("streamtape", {"file/listfolder": good("""{"folders": [{"id": "ab-_C",
        "name": "F"}], "files": [{"name": "a.mp4", "size": 5, "link": "https://streamtape.com/v/x",
        "created_at": 1532854309123, "downloads": 3, "linkid": "x", "convert": "converted"
        }]}""")})  # fmt: skip
    (file,) = run(lambda: host.list_folder(host.root)).files
    assert (file.code, file.uploaded_at) == ("x", 1532854309.123)
    assert (file.extra["views"], file.extra["encoding"]) == ("3", "converted")
