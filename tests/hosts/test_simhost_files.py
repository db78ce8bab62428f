"""Bytes into and out of the simulated host."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.hosts.simhost_process import (
    SimHost,
    body_file,
    encode_form,
    random_bytes,
    running,
    wait_until,
)

ALL = ("doodstream", "vipstream", "xvs", "fruithosted", "pstream", "streamtape")
READABLE = ("xvs", "fruithosted", "streamtape")


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimHost]:
    with running(tmp_path_factory.mktemp("host")) as host:
        yield host


@pytest.fixture
def host(process: SimHost) -> Iterator[SimHost]:
    """Empty accounts and no settings, before and after each test."""
    before = process.sim("GET", "settings")
    for dialect in ALL:
        process.sim("DELETE", f"{dialect}/tree")
    yield process
    process.sim("POST", "settings", json.dumps(before).encode())
    process.sim("DELETE", "fault")


def uploaded_code(answer: Any) -> str:
    if "files" in answer:
        return str(answer["files"][0]["filecode"])
    result = answer["result"]
    return str(result[0]["filecode"] if isinstance(result, list) else result["id"])


# -- uploads -------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ALL)
def test_upload_is_stored_byte_for_byte(host: SimHost, dialect: str) -> None:
    content = random_bytes(3_000_001)
    answer = host.upload(dialect, "my_new.film.mp4", content).json()
    assert answer["status"] == 200
    (file,) = host.files(dialect)
    assert uploaded_code(answer) == file["code"]
    assert body_file(host, dialect, file["code"]).read_bytes() == content
    sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    assert (file["size"], file["sha1"]) == (len(content), sha1)
    kept = dialect in ("fruithosted", "streamtape")
    assert file["title"] == ("my_new.film.mp4" if kept else "my new film")
    assert not list((host.root / dialect / "tmp").iterdir())


def test_content_that_looks_like_the_form(host: SimHost) -> None:
    near = b"\r\n------boundary012345678\r\n--\r\r\n-\r\n------boundary0123456788--\r\n"
    for content in (near * 40_000, b"\r" * 300_000 + b"\n", b"\r\n--", b"-" * 100_001):
        host.sim("DELETE", "fruithosted/tree")
        answer = host.upload("fruithosted", "a.bin", content).json()
        assert answer["result"]["sha1"] == hashlib.sha1(
            content, usedforsecurity=False
        ).hexdigest()  # fmt: skip
        assert body_file(host, "fruithosted", answer["result"]["id"]).read_bytes() == content


def test_form_in_tiny_pieces(host: SimHost) -> None:
    content = b"\r\n--x\r\n" + random_bytes(500)
    body, kind = encode_form({"key": host.accounts["xvs"]["key"]}, [("file", "a.mp4", content)])
    parts = urlsplit(host.upload_url("xvs"))
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=20)
    pieces = (body[at : at + 7] for at in range(0, len(body), 7))
    connection.request("POST", parts.path, pieces, {"content-type": kind})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    assert body_file(host, "xvs", uploaded_code(answer)).read_bytes() == content


@pytest.mark.parametrize(
    ("sent", "title"),
    [
        ("naïve ☃.mp4", "naïve ☃.mp4"),
        (r"say \"hi\" \\ there.mp4", 'say "hi" \\ there.mp4'),
        ("50%22.mp4", "50%22.mp4"),
        ("dir/inner.mp4", "inner.mp4"),
    ],
)
def test_names_in_the_form(host: SimHost, sent: str, title: str) -> None:
    host.upload("fruithosted", sent, b"x")
    assert host.files("fruithosted")[0]["title"] == title


def test_fields_of_the_upload_form(host: SimHost) -> None:
    folder = host.sim("POST", "vipstream/folders", path="Films")["folder_id"]
    host.upload(
        "vipstream", "a.mp4", b"x", file_title="A title_with.dots.mp4", fld_id=folder,
        file_public=0, file_adult=1, tags="a, b", cat_id=5, file_descr="words",
    )  # fmt: skip
    (file,) = host.files("vipstream")
    assert file["path"] == "Films/A title_with.dots.mp4"
    assert (file["public"], file["adult"], file["cat_id"]) == (0, 1, "5")
    assert (file["tags"], file["descr"]) == ("a, b", "words")


def test_title_normalisation(host: SimHost) -> None:
    host.set(normalise_titles=True)
    host.upload("vipstream", "a.mp4", b"x", file_title="A title_with.dots.mp4")
    assert host.files("vipstream")[0]["title"] == "A title with dots"


def test_several_files_and_a_snapshot(host: SimHost) -> None:
    fields: dict[str, object] = {"key": host.accounts["vipstream"]["key"]}
    files = [("file", "1.avi", b"one"), ("snapshot", "s.jpg", b"jpeg"), ("file", "2.avi", b"two")]
    answer = host.post_form(host.upload_url("vipstream"), fields, files).json()
    assert [file["filename"] for file in answer["files"]] == ["1.avi", "2.avi"]
    code = answer["files"][0]["filecode"]
    picture = host.result("vipstream", "file/info", file_code=code)[0]["player_img"]
    assert host.request("GET", picture).body == b"jpeg"


def test_refusals_come_after_the_body_and_store_nothing(host: SimHost) -> None:
    host.set(upload_bytes_max=10)
    for name, content, text in (
        ("a.txt", b"x", "unallowed extension"),
        ("a.mp4", b"", "null filesize or wrong file path"),
        ("a.mp4", b"x" * 11, "File too big"),
    ):
        reply = host.upload("vipstream", name, content)
        assert reply.status == 200 and reply.json()["msg"] == "OK"
        assert reply.json()["files"] == [{"filecode": "", "filename": name, "status": text}]
    answer = host.upload("vipstream", "a.mp4", b"x", key="0123456789abcdefg").json()
    assert answer["files"][0]["status"] == "Unauthorized"
    assert not host.files("vipstream")
    host.set(accept_any=True)
    assert host.upload("vipstream", "a.txt", b"x").json()["files"][0]["status"] == "OK"


def test_html_redirect(host: SimHost) -> None:
    reply = host.upload("vipstream", "a.mp4", b"x", html_redirect=1)
    assert reply.headers["content-type"].startswith("text/html")
    code = host.files("vipstream")[0]["code"]
    assert f"<textarea name='fn'>{code}</textarea>".encode() in reply.body


def test_hash_given_to_the_upload(host: SimHost) -> None:
    good = {"sha1": hashlib.sha1(b"abc", usedforsecurity=False).hexdigest()}
    answer = host.upload("fruithosted", "a.bin", b"abX", ul=dict(good)).json()
    assert (answer["status"], answer["result"]) == (400, None)
    assert not host.files("fruithosted")
    assert host.upload("fruithosted", "a.bin", b"abc", ul=dict(good)).json()["status"] == 200
    other = {"sha256": hashlib.sha256(b"abc").hexdigest()}
    answer = host.upload("streamtape", "a.bin", b"abc", ul=dict(other)).json()
    assert answer["result"]["sha256"] == other["sha256"]


def test_upload_address_is_good_for_one_file(host: SimHost) -> None:
    folder = host.sim("POST", "fruithosted/folders", path="Films")["folder_id"]
    url = host.upload_url("fruithosted", folder=folder)
    assert host.post_form(url, {}, [("file1", "a.bin", b"x")]).json()["status"] == 200
    assert host.post_form(url, {}, [("file1", "a.bin", b"x")]).json()["status"] == 404
    assert [file["path"] for file in host.files("fruithosted")] == ["Films/a.bin"]


def test_doodstream_takes_the_key_in_any_place(host: SimHost) -> None:
    key = host.accounts["doodstream"]["key"]
    url = host.upload_url("doodstream")
    for target, fields in (
        (f"{url}?{key}", {}),
        (f"{url}?key={key}", {}),
        (url, {"api_key": key}),
        (f"{url}?{key}", {"api_key": key}),
    ):
        answer = host.post_form(target, dict(fields), [("file", "a.mp4", b"xyz")]).json()
        assert (answer["result"][0]["status"], answer["result"][0]["size"]) == (200, "3")


def test_body_that_ends_early_stores_nothing(host: SimHost) -> None:
    body, kind = encode_form({"key": host.accounts["xvs"]["key"]}, [("file", "a.mp4", b"x" * 99)])
    reply = host.request("POST", host.upload_url("xvs"), body[:-30], {"content-type": kind})
    assert reply.status == 400
    assert not host.files("xvs")
    assert not list((host.root / "xvs" / "tmp").iterdir())


# -- downloads -----------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", READABLE)
def test_ranges(host: SimHost, dialect: str) -> None:
    content = random_bytes(2_500_000)
    code = host.add(dialect, "a film & more.mp4", content)
    link = host.link(dialect, code)
    reply = host.request("GET", link)
    assert (reply.status, reply.body) == (200, content)
    assert reply.headers["accept-ranges"] == "bytes"
    for text, start, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=1000-1999999", 1000, 2_000_000),
        ("bytes=2499999-", 2_499_999, 2_500_000),
        ("bytes=100-99999999", 100, 2_500_000),
        ("bytes=-10", 2_499_990, 2_500_000),
    ):
        reply = host.request("GET", link, headers={"range": text})
        assert (reply.status, reply.body) == (206, content[start:stop])
        assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/2500000"
    reply = host.request("GET", link, headers={"range": "bytes=2500000-"})
    assert (reply.status, reply.headers["content-range"]) == (416, "bytes */2500000")
    reply = host.request("HEAD", link)
    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "2500000", b"")


def test_formula_bodies_are_as_documented(host: SimHost) -> None:
    size = 3 * (1 << 20) + 77
    answer = host.sim("POST", "xvs/files", title="big", formula=size, seed=5)
    link = host.link("xvs", answer["code"])
    body = host.request("GET", link).body
    base = hashlib.shake_256(b"vidfs simhost").digest(1 << 20)
    for at in (0, 1, (1 << 20) - 1, 1 << 20, 2_345_678, size - 1):
        assert body[at] == base[(at + (at >> 20) * 7919 + 5) % (1 << 20)]
    assert len(body) == size
    assert host.files("xvs")[0]["sha1"] == hashlib.sha1(body, usedforsecurity=False).hexdigest()
    assert not body_file(host, "xvs", answer["code"]).exists()
    span = {"range": "bytes=1048570-1048590"}
    assert host.request("GET", link, headers=span).body == body[1048570:1048591]


def test_empty_file_can_be_read(host: SimHost) -> None:
    code = host.add("fruithosted", "empty.txt", b"")
    reply = host.request("GET", host.link("fruithosted", code))
    assert (reply.status, reply.body) == (200, b"")


def test_links_expire(host: SimHost) -> None:
    code = host.add("xvs", "film", b"x")
    host.set(link_ttl_s=0)
    assert host.request("GET", host.link("xvs", code)).status == 403
    host.set(link_ttl_s=60)
    link = host.link("xvs", code)
    assert host.request("GET", link).status == 200
    host.sim("DELETE", "xvs/links")
    assert host.request("GET", link).status == 403
    assert host.request("GET", host.link("xvs", code)).status == 200
    host.result("xvs", "file/delete", file_code=code)
    assert host.request("GET", link).status == 404


def test_pages_are_pages_and_pictures_are_pictures(host: SimHost) -> None:
    host.add("vipstream", "film", b"x")
    (item,) = host.result("vipstream", "file/list")["files"]
    page = host.request("GET", item["link"])
    assert page.status == 200 and page.headers["content-type"].startswith("text/html")
    picture = host.request("GET", item["thumbnail"])
    assert picture.headers["content-type"] == "image/jpeg" and picture.body[:2] == b"\xff\xd8"


def test_tickets(host: SimHost) -> None:
    code = host.add("fruithosted", "a b.txt", b"content")
    host.set(ticket_wait_s=30, captcha=True)
    ticket = host.result("fruithosted", "file/dlticket", file=code)
    assert ticket["wait_time"] == 30 and ticket["captcha_url"].startswith("http")
    early = host.call("fruithosted", "file/dl", file=code, ticket=ticket["ticket"])
    assert early["status"] == 403 and "wait 30 more seconds" in early["msg"]
    host.set(ticket_wait_s=0)
    ticket = host.result("fruithosted", "file/dlticket", file=code)["ticket"]
    for response in (None, "wrong"):
        answer = host.call(
            "fruithosted", "file/dl", file=code, ticket=ticket, captcha_response=response
        )
        assert (answer["status"], answer["msg"]) == (403, "Captcha not solved correctly")
    link = host.result(
        "fruithosted", "file/dl", file=code, ticket=ticket, captcha_response="simhost"
    )
    assert link["url"].endswith("/a+b.txt") and link["token"] in link["url"]
    assert host.request("GET", link["url"]).body == b"content"
    host.set(captcha=False)
    assert host.result("fruithosted", "file/dlticket", file=code)["captcha_url"] is False
    assert host.call("fruithosted", "file/dl", file=code, ticket="none")["status"] == 403


def test_blocked_and_broken_files(host: SimHost) -> None:
    code = host.add("fruithosted", "a.txt", b"content")
    for status in (451, 500):
        change = json.dumps({"status": status}).encode()
        host.sim("PATCH", f"fruithosted/files/{code}", change)
        item = host.result("fruithosted", "file/info", file=code)[code]
        assert (item["status"], item["size"]) == (status, 7 if status == 451 else False)
        assert host.call("fruithosted", "file/dlticket", file=code)["status"] == status


# -- what changes by itself ----------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["xvs", "fruithosted"])
def test_transcoding_changes_content_size_and_hash(host: SimHost, dialect: str) -> None:
    host.set(transcode=True, transcode_delay_s=0.2)
    content = random_bytes(1000)
    code = uploaded_code(host.upload(dialect, "film.mp4", content).json())
    assert host.files(dialect)[0]["size"] == 1000
    wait_until(lambda: bool(host.files(dialect)[0]["transcoded"]))
    (file,) = host.files(dialect)
    body = host.request("GET", host.link(dialect, code)).body
    assert file["size"] == len(body) != 1000
    assert file["sha1"] == hashlib.sha1(body, usedforsecurity=False).hexdigest()
    assert body == body_file(host, dialect, code).read_bytes()
    assert file["title"] == ("film" if dialect == "xvs" else "film.mp4.mp4")


def test_listings_lag_behind(host: SimHost) -> None:
    old = host.add("xvs", "old")
    folder = host.sim("POST", "xvs/folders", path="Films")["folder_id"]
    host.set(listing_lag_ms=600)
    new = host.add("xvs", "new")
    host.result("xvs", "file/edit", file_code=old, file_fld_id=folder, file_title="moved")
    host.result("xvs", "folder/create", name="Later")

    def listed(folder: object) -> tuple[list[str], list[str]]:
        result = host.result("xvs", "folder/list", fld_id=folder, files=1)
        return (
            [row["name"] for row in result["folders"]],
            sorted(row["title"] for row in result["files"]),
        )

    assert listed(0) == (["Films"], ["old"]) and listed(folder) == ([], [])
    assert host.result("xvs", "file/list")["results_total"] == 1
    assert host.result("xvs", "file/info", file_code=new)[0]["status"] == 200
    wait_until(lambda: listed(0) == (["Films", "Later"], ["new"]))
    assert listed(folder) == ([], ["moved"])


@pytest.mark.parametrize("dialect", ["xvs", "streamtape"])
def test_what_is_in_a_folder_that_is_deleted_is_no_listing(host: SimHost, dialect: str) -> None:
    """What was moved out is spared, and nothing that was is in the way."""
    folder = host.sim("POST", f"{dialect}/folders", path="Films")["folder_id"]
    moved = host.add(dialect, "moved.mp4", folder="Films")
    host.set(listing_lag_ms=60_000)
    host.sim("PATCH", f"{dialect}/files/{moved}", b'{"folder": ""}')
    if dialect == "xvs":
        assert host.result("xvs", "folder/list", fld_id=folder, files=1)["files"]
        host.result("xvs", "folder/delete", fld_id=folder)
    else:
        assert host.result("streamtape", "file/listfolder", folder=folder)["files"]
        host.result("streamtape", "file/deletefolder", folder=folder)
    assert [file["code"] for file in host.files(dialect)] == [moved]
    assert host.sim("GET", f"{dialect}/tree")["folders"] == []


def test_new_files_are_unknown_for_a_while(host: SimHost) -> None:
    host.set(new_file_404_ms=300)
    code = host.add("fruithosted", "a.txt")
    assert host.result("fruithosted", "file/info", file=code)[code]["status"] == 404
    wait_until(
        lambda: bool(host.result("fruithosted", "file/info", file=code)[code]["status"] == 200)
    )


def test_a_large_folder_is_listed_whole(host: SimHost) -> None:
    host.sim("POST", "fruithosted/populate", folders=10, files=5000, fanout=3)
    folders = host.sim("GET", "fruithosted/tree")["folders"]
    assert len(folders) == 10 and "folder 000001/folder 000004" in {f["path"] for f in folders}
    listing = host.result("fruithosted", "file/listfolder", folder=folders[9]["folder_id"])
    assert [f["name"] for f in listing["files"]] == [f"video {n:07}.mp4" for n in range(4501, 5001)]
    file = listing["files"][7]
    body = host.request("GET", host.link("fruithosted", file["linkextid"])).body
    assert hashlib.sha1(body, usedforsecurity=False).hexdigest() == file["sha1"]


def test_entries_of_any_name_are_added_at_once(host: SimHost) -> None:
    folders = [{"name": "a/b\n"}, {"name": "a/b\n"}, {"name": "", "parent": 1}]
    files = [{"title": "é/..", "size": 3, "uploaded": 1e9 + n, "folder": 2} for n in range(2)]
    body = json.dumps({"folders": folders, "files": files}).encode()
    added = host.sim("POST", "streamtape/entries", body)
    listing = host.result("streamtape", "file/listfolder")
    assert [f["name"] for f in listing["folders"]] == ["a/b\n"] * 2
    inner = host.result("streamtape", "file/listfolder", folder=added["folders"][1])["folders"]
    assert inner == [{"id": added["folders"][2], "name": ""}]
    rows = host.result("streamtape", "file/listfolder", folder=added["folders"][2])["files"]
    assert [row["linkid"] for row in rows] == added["files"]
    assert {(row["name"], row["size"]) for row in rows} == {("é/..", 3)}
    assert rows[1]["created_at"] == (10**9 + 1) * 1000
    with pytest.raises(AssertionError, match="400"):
        host.sim(
            "POST", "streamtape/entries", b'{"folders": [{"name": "", "parent": 7}], "files": []}'
        )


def test_pstream_root_listing_can_mix_in_subfolders(host: SimHost) -> None:
    host.add("pstream", "above")
    host.add("pstream", "below", folder="Films")
    assert len(host.result("pstream", "file/listfolder")["files"]) == 1
    host.set(root_mix=True)
    files = host.result("pstream", "file/listfolder")["files"]
    assert len(files) == 2 and {file["folder_id"] for file in files.values()} > {0}
    host.set(files_as_list=True)
    assert isinstance(host.result("pstream", "file/listfolder")["files"], list)
