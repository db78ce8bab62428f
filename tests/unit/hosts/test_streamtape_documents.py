"""Streamtape's answers as API_FACTS §5 describes them, decoded.

No page of it is at hand: the forms are §5's, the values are S2's where the family shares them.
Mended: the sample of account/info has a comma after its last member.
"""

from __future__ import annotations

import pytest

from tests.unit.hosts.canned import answer, openload, run
from vidfs.errors import CallMissingError, CaptchaError, MoveAbilityError, RateLimitedError
from vidfs.hosts.envelope import open_envelope
from vidfs.hosts.openload_rows import parse_upload
from vidfs.types import FileCode, FolderId

CODE = FileCode("jqBO6zZgvyTLr0")
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def good(result: str) -> str:
    return '{"status": 200, "msg": "OK", "result": ' + result + "}"


def test_account_info_has_no_quota() -> None:
    host, _ = openload("streamtape", {"account/info": good(
        '{"apiid": "5147a8f8e924bc82", "email": "a@example.com", "signup_at": "2015-01-09"}'
    )})  # fmt: skip
    info = run(host.account_info)
    assert (info.login, info.email) == ("5147a8f8e924bc82", "a@example.com")
    assert (info.storage_used_bytes, info.storage_left_bytes) == (None, None)


def test_listing_with_ids_as_text_and_times_in_milliseconds() -> None:
    host, transport = openload("streamtape", {"file/listfolder": good("""{
        "folders": [{"id": "rDe7cBTSsqM", "name": "Films"}],
        "files": [{"name": "a.mp4", "size": 5114011, "created_at": 1419791256000,
            "link": "https://streamtape.example/v/jqBO6zZgvyTLr0/a.mp4", "downloads": 48,
            "linkid": "jqBO6zZgvyTLr0", "convert": "converted"}]}""")})  # fmt: skip
    listing = run(lambda: host.list_folder(host.root))
    assert [(f.folder, f.name) for f in listing.folders] == [("rDe7cBTSsqM", "Films")]
    (file,) = listing.files
    assert (file.code, file.size_bytes, file.uploaded_at) == (CODE, 5114011, 1419791256)
    assert (file.extra["views"], file.extra["encoding"]) == ("48", "converted")
    assert file.extra["link"].startswith("https://streamtape.example/v/")
    run(lambda: host.list_folder(FolderId("rDe7cBTSsqM")))
    assert transport.asked == [
        ("file/listfolder", {}), ("file/listfolder", {"folder": "rDe7cBTSsqM"}),
    ]  # fmt: skip


def test_file_info() -> None:
    host, _ = openload("streamtape", {"file/info": good(
        '{"jqBO6zZgvyTLr0": {"id": "jqBO6zZgvyTLr0", "status": 200, "name": "a.mp4",'
        ' "size": 5114011, "converted": true, "thumb": "https://i.example/a.jpg"}}'
    )})  # fmt: skip
    file = run(lambda: host.file_info([CODE]))[CODE]
    assert (file.size_bytes, file.sha1, file.extra["converted"]) == (5114011, None, "1")
    assert file.extra["thumbnail"] == "https://i.example/a.jpg"


def test_ticket_and_link() -> None:
    host, transport = openload("streamtape", {
        "file/dlticket": good('{"ticket": "t~1", "wait_time": 0, "valid_until": "2015-08-23"}'),
        "file/dl": good('{"name": "a.mp4", "size": 5, "url": "https://1.example/radosgw/a/b"}'),
    })  # fmt: skip
    assert run(lambda: host.open_link(CODE)).size_bytes == 5
    assert transport.asked[1] == ("file/dl", {"file": CODE, "ticket": "t~1"})


@pytest.mark.parametrize("status", [403, 429])
def test_a_throttled_ticket_names_its_wait(status: int) -> None:
    body = f'{{"status": {status}, "msg": "You need to wait 7 more seconds", "result": null}}'
    with pytest.raises(RateLimitedError) as caught:
        open_envelope(answer(body, "file/dlticket"))
    assert caught.value.retry_after_s == 8
    assert not isinstance(caught.value, CaptchaError | CallMissingError)


def test_upload_address_takes_sha256() -> None:
    host, transport = openload("streamtape", {"file/ul": good(
        '{"url": "https://1.example/ul/fCgaPthr_ys", "valid_until": "2015-01-09"}'
    )})  # fmt: skip
    run(lambda: host.fetch_upload_server(FolderId("f"), SHA256, http_only=True))
    assert transport.asked[0][1] == {"folder": "f", "sha256": SHA256, "httponly": "true"}


@pytest.mark.parametrize(
    "reply",
    [
        f'{{"name": "a.mp4", "size": "5", "sha256": "{SHA256}", "content_type": "video/mp4",'
        ' "url": "https://streamtape.example/v/jqBO6zZgvyTLr0/a.mp4", "id": "jqBO6zZgvyTLr0"}',
        '{"name": "a.mp4", "size": "5", "url": "https://streamtape.example/v/jqBO6zZgvyTLr0/a"}',
    ],
)
def test_upload_replies_with_and_without_id(reply: str) -> None:
    receipt = parse_upload(answer(good(reply), "upload"), True)
    assert (receipt.code, receipt.size_bytes) == (CODE, 5)


def test_remote_uploads_are_named_and_removed() -> None:
    host, transport = openload("streamtape", {
        "remotedl/add": good('{"id": "aVq1", "folderid": "f"}'),
        "remotedl/remove": good("true"),
        "remotedl/status": good(
            '{"aVq1": {"id": "aVq1", "remoteurl": "http://x/y", "status": "new", "extid": false}}'
        ),
    })  # fmt: skip
    added = run(lambda: host.add_remote_upload("http://x/y", headers=["A: 1"], name="b.mp4"))
    assert (added.job, added.folder) == ("aVq1", "f")
    assert [u.job for u in run(lambda: host.list_remote_uploads("aVq1")).uploads] == ["aVq1"]
    run(lambda: host.cancel_remote_uploads(["aVq1"]))
    run(lambda: host.cancel_remote_uploads())
    assert transport.asked == [
        ("remotedl/add", {"url": "http://x/y", "headers": "A: 1", "name": "b.mp4"}),
        ("remotedl/status", {"id": "aVq1"}),
        ("remotedl/remove", {"id": "aVq1"}),
        ("remotedl/remove", {"id": "all"}),
    ]


def test_running_and_failed_conversions_are_one_list() -> None:
    row = '[{"name": "%s.avi", "status": "%s", "progress": %s, "linkid": "%s"}]'
    host, _ = openload("streamtape", {
        "file/runningconverts": good(row % ("a", "pending", "0.5", "x")),
        "file/failedconverts": good(row % ("b", "error", "null", "y")),
    })  # fmt: skip
    found = run(host.list_encodings)
    assert [(e.code, e.status, e.progress) for e in found] == [
        ("x", "pending", 0.5), ("y", "error", None),
    ]  # fmt: skip


def test_folders_and_files() -> None:
    host, transport = openload("streamtape", {
        "file/createfolder": good('{"folderid": "rDe7cBTSsqM"}'), "file/move": good("true"),
        "file/deletefolder": good("true"), "file/getsplash": good('"https://i.example/a.jpg"'),
    })  # fmt: skip
    assert run(lambda: host.create_folder(FolderId("up"), "Films")) == "rDe7cBTSsqM"
    run(lambda: host.edit_file(CODE, folder=host.root))
    run(lambda: host.delete_folder(FolderId("rDe7cBTSsqM")))
    assert run(lambda: host.find_thumbnail(CODE)) == "https://i.example/a.jpg"
    with pytest.raises(MoveAbilityError):
        run(lambda: host.edit_folder(FolderId("a"), parent=FolderId("b")))
    assert transport.asked[:3] == [
        ("file/createfolder", {"name": "Films", "pid": "up"}),
        ("file/move", {"file": CODE, "folder": "0"}),
        ("file/deletefolder", {"folder": "rDe7cBTSsqM"}),
    ]
