"""Every documented call, answered in the form that the host's document prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.hosts.simhost_process import SimHost, running, wait_until
from tests.hosts.simhost_samples import DOODSTREAM, FRUITHOSTED, PSTREAM, VIPSTREAM, difference

FORM = ("doodstream", "vipstream", "xvs")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimHost]:
    with running(
        tmp_path_factory.mktemp("host"), "--remote-delay-s", "60", "--transcode-delay-s", "60"
    ) as host:
        yield host


class Stage:
    """An account with something in it, and the parameters that each call needs."""

    def __init__(self, host: SimHost, dialect: str) -> None:
        self.host, self.dialect = host, dialect
        host.sim("DELETE", f"{dialect}/tree")
        host.set(captcha=dialect == "fruithosted")
        self.file = host.add(dialect, "First film", b"0123456789")
        self.other = host.add(dialect, "Second film", b"9876543210")
        doomed = host.add(dialect, "Gone film", b"0123456789")
        host.sim("DELETE", f"{dialect}/files/{doomed}")
        self.folder = host.sim("POST", f"{dialect}/folders", path="Films")["folder_id"]
        self.spare = host.sim("POST", f"{dialect}/folders", path="Spare")["folder_id"]
        due = {"dmca_at": 4e9, "transcode_at": 4e9}
        host.sim("PATCH", f"{dialect}/files/{self.file}", _json(due))

    def answer(self, call: str) -> Any:
        host, dialect = self.host, self.dialect
        if call == "upload":
            return host.upload(dialect, "new.mp4", b"content").json()
        if call == "file/dl":
            ticket = host.result(dialect, "file/dlticket", file=self.other)["ticket"]
            return host.call(
                dialect, call, file=self.other, ticket=ticket, captcha_response="simhost"
            )
        if call.startswith(("urlupload/", "remotedl/status")):
            self.start_remote()
        params = self.params(call)
        if call in ("file/convert", "file/dlticket"):
            params["file"] = self.other
        return host.call(dialect, call, **params)

    def start_remote(self) -> None:
        call = "upload/url" if self.dialect in FORM else "remotedl/add"
        answer = self.host.result(self.dialect, call, url="http://example.com/a.mp4")
        self.remote = answer.get("filecode") or answer["id"]

    def params(self, call: str) -> dict[str, object]:
        if self.dialect in FORM:
            table: dict[str, dict[str, object]] = {
                "upload/url": {"url": "http://example.com/big_buck_bunny.mp4"},
                "urlupload/status": {"file_code": getattr(self, "remote", "")},
                "urlupload/actions": {"restart_errors": 1},
                "file/edit": {"file_code": self.file, "file_title": "New", "tags": "a, b"},
                "file/rename": {"file_code": self.file, "title": "New"},
                "file/move": {"file_code": self.file, "fld_id": self.folder},
                "search/videos": {"search_term": "film"},
                "folder/list": {"files": 1},
                "folder/create": {"name": "Another", "parent_id": self.folder},
                "folder/edit": {"fld_id": self.folder, "name": "Renamed"},
                "folder/rename": {"fld_id": self.folder, "name": "Renamed"},
                "account/stats": {"last": 3},
            }
            return dict(table.get(call, {"file_code": self.file}))
        missing = "A" * len(self.file)
        table = {
            "file/info": {"file": f"{self.file},{missing}"},
            "file/rename": {"file": self.file, "name": "New.mp4"},
            "file/move": {"file": self.file, "folder": self.folder},
            "file/renamefolder": {"folder": self.folder, "name": "Renamed"},
            "file/deletefolder": {"folder": self.spare},
            "file/createfolder": {"name": "Another"},
            "remotedl/add": {"url": "http://example.com/a.mp4", "folder": self.folder},
            "file/listfolder": {},
            "file/converts": {},
            "file/runningconverts": {},
        }
        return dict(table.get(call, {"file": self.file}))


def _json(value: object) -> bytes:
    import json

    return json.dumps(value).encode()


def cases() -> list[tuple[str, str]]:
    tables = {
        "doodstream": DOODSTREAM, "vipstream": VIPSTREAM, "xvs": VIPSTREAM,
        "fruithosted": FRUITHOSTED, "pstream": PSTREAM,
    }  # fmt: skip
    return [(dialect, call) for dialect, table in tables.items() for call in table]


SAMPLES = {
    "doodstream": DOODSTREAM, "vipstream": VIPSTREAM, "xvs": VIPSTREAM,
    "fruithosted": FRUITHOSTED, "pstream": PSTREAM,
}  # fmt: skip


@pytest.mark.parametrize(("dialect", "call"), cases())
def test_answer_has_the_documented_form(host: SimHost, dialect: str, call: str) -> None:
    answer = Stage(host, dialect).answer(call)
    assert difference(SAMPLES[dialect][call], answer) is None
    result = answer.get("result", answer.get("files", True))
    assert result or call == "file/failedconverts", "an empty answer proves nothing"
    assert host.sim("GET", f"{dialect}/calls")[call] >= 1


ABSENT = {
    "doodstream": ["file/delete", "folder/delete", "file/direct_link", "file/edit"],
    "vipstream": ["file/delete", "folder/delete", "file/direct_link", "file/url_uploads"],
    "xvs": ["file/move", "nonsense"],
    "fruithosted": ["file/createfolder", "file/deletefolder", "file/delete", "file/move"],
    "pstream": ["file/dlticket", "file/dl", "file/convert", "file/movefolder"],
    "streamtape": ["file/convert", "file/movefolder"],
}


@pytest.mark.parametrize(
    ("dialect", "call"), [(d, c) for d, calls in ABSENT.items() for c in calls]
)
def test_what_is_not_documented_is_an_invalid_operation(
    host: SimHost, dialect: str, call: str
) -> None:
    answer = host.call(dialect, call)
    assert (answer["status"], answer["msg"]) == (400, "Invalid operation")


@pytest.mark.parametrize("dialect", FORM)
def test_keys_of_the_form_family(host: SimHost, dialect: str) -> None:
    for key, status, text in (
        ("", 400, "Invalid key"),
        ("UPPER-CASE-IS-WRONG", 400, "Invalid key"),
        ("0123456789abcdefg", 403, "Wrong Auth" if dialect == "doodstream" else "Wrong auth"),
    ):
        reply = host.api(dialect, "account/info", key=key)
        assert reply.status == 200
        answer = reply.json()
        assert (answer["status"], answer["msg"]) == (status, text)
        assert "result" not in answer


@pytest.mark.parametrize("dialect", ["fruithosted", "pstream", "streamtape"])
def test_keys_of_the_openload_family(host: SimHost, dialect: str) -> None:
    for params in ({"key": "x"}, {"login": "x"}, {"key": "", "login": ""}):
        answer = host.call(dialect, "account/info", **params)
        assert answer["status"] == 403 and answer["result"] is None


def test_file_info_ignores_codes_beyond_fifty(host: SimHost) -> None:
    host.sim("DELETE", "xvs/tree")
    host.sim("POST", "xvs/populate", files=60)
    codes = [file["code"] for file in host.files("xvs")]
    items = host.result("xvs", "file/info", file_code=",".join(codes))
    assert [item["file_code"] for item in items] == codes[:50]


def test_unknown_files(host: SimHost) -> None:
    code = host.add("vipstream", "a film")
    items = host.result("vipstream", "file/info", file_code=f"{code},aaaaaaaaaaaa")
    assert items[0]["status"] == 200 and items[1] == {"status": 404, "filecode": "aaaaaaaaaaaa"}
    for dialect in ("vipstream", "doodstream"):
        answer = host.call(dialect, "file/info", file_code="SHORT")
        assert (answer["status"], answer["msg"]) == (400, "Invalid file codes")
    assert host.call("xvs", "file/delete", file_code="aaaaaaaaaaaa")["status"] == 404
    assert host.call("fruithosted", "file/dlticket", file="nope")["status"] == 404


def test_paging_has_every_file_once_newest_first(host: SimHost) -> None:
    host.sim("DELETE", "vipstream/tree")
    host.sim("POST", "vipstream/populate", folder="Films", files=23)
    folder = host.sim("POST", "vipstream/folders", path="Films")["folder_id"]
    seen: list[str] = []
    for page in range(1, 6):
        result = host.result("vipstream", "file/list", fld_id=folder, per_page=5, page=page)
        assert (result["results_total"], result["pages"]) == (23, 5)
        assert result["results"] == len(result["files"]) == (5 if page < 5 else 3)
        seen += [file["title"] for file in result["files"]]
    assert seen == [f"video {n:07}" for n in range(23, 0, -1)]
    assert host.result("vipstream", "file/list", fld_id=0)["results_total"] == 0
    assert host.result("vipstream", "file/list")["results_total"] == 23
    host.set(page_max=10)
    assert host.result("vipstream", "file/list", per_page=500)["results"] == 10
    host.set(page_max=0)


def test_listing_filters(host: SimHost) -> None:
    host.sim("DELETE", "vipstream/tree")
    old = host.add("vipstream", "Iron Man")
    new = host.add("vipstream", "The iron giant")
    host.sim("PATCH", f"vipstream/files/{old}", _json({"uploaded": 1_600_000_000.25, "public": 0}))

    def titles(**params: object) -> set[str]:
        files = host.result("vipstream", "file/list", **params)["files"]
        return {file["file_code"] for file in files}

    assert titles(title="IRON") == {old, new}
    assert titles(title="giant") == {new}
    assert titles(created=5) == {new}
    # 1,600,000,000 is 12:26:40 UTC on that day; the host lives three hours east of it.
    assert titles(created="2020-09-13 15:26:39") == {old, new}
    assert titles(created="2020-09-13 15:26:40") == {new}
    assert titles(public=0) == {old} and titles(public=1) == {new} and len(titles(public="")) == 2
    assert host.result("vipstream", "file/info", file_code=old)[0]["file_created"] == (
        "2020-09-13 15:26:40"
    )


def test_folders_are_made_moved_and_renamed(host: SimHost) -> None:
    host.sim("DELETE", "xvs/tree")
    a = host.result("xvs", "folder/create", name="a")["fld_id"]
    b = host.result("xvs", "folder/create", name="b", parent_id=a)["fld_id"]
    assert host.call("xvs", "folder/edit", fld_id=a, parent_id=b)["status"] == 400
    host.result("xvs", "folder/edit", fld_id=b, name="c", parent_id=0)
    names = [row["name"] for row in host.result("xvs", "folder/list")["folders"]]
    assert names == ["a", "c"]
    host.add("xvs", "film", folder="a")
    assert host.call("xvs", "folder/delete", fld_id=a)["status"] == 400
    assert host.call("xvs", "folder/list", fld_id=999)["msg"] == "Folder not found"
    answer = host.call("xvs", "folder/delete", fld_id=a, force=1)
    assert answer["status"] == 200 and "result" not in answer
    assert [file["path"] for file in host.files("xvs")] == ["film"]


def test_a_deleted_folder_takes_its_files_along_on_the_openload_side(host: SimHost) -> None:
    for dialect in ("pstream", "streamtape"):
        host.sim("DELETE", f"{dialect}/tree")
        folder = host.result(dialect, "file/createfolder", name="Films")["folderid"]
        host.result(dialect, "file/createfolder", name="Old", pid=folder)
        host.add(dialect, "deep", folder="Films/Old")
        host.result(dialect, "file/deletefolder", folder=folder)
        assert host.sim("GET", f"{dialect}/tree") == {"files": [], "folders": []}


def test_streamtape_shows_folders_by_text_and_times_in_milliseconds(host: SimHost) -> None:
    host.sim("DELETE", "streamtape/tree")
    folder = host.result("streamtape", "file/createfolder", name="Films")["folderid"]
    code = host.add("streamtape", "film.mp4", b"12345")
    assert isinstance(folder, str) and not folder.isdigit()
    host.result("streamtape", "file/move", file=code, folder=folder)
    listing = host.result("streamtape", "file/listfolder", folder=folder)
    uploaded = host.files("streamtape")[0]["uploaded"]
    assert listing["files"][0] | {"link": ""} == {
        "name": "film.mp4", "size": 5, "link": "", "created_at": int(uploaded * 1000),
        "downloads": 0, "linkid": code, "convert": "converted",
    }  # fmt: skip
    assert listing["files"][0]["link"].startswith(host.url)
    home = host.result("streamtape", "file/listfolder")
    assert home == {"folders": [{"id": folder, "name": "Films"}], "files": []}
    info = host.result("streamtape", "file/info", file=code)[code]
    assert info["size"] == 5 and info["converted"] is True


def test_empty_keyed_results_are_lists(host: SimHost) -> None:
    host.sim("DELETE", "pstream/tree")
    assert host.result("pstream", "file/listfolder")["files"] == []
    assert host.result("fruithosted", "remotedl/status", id=999) == []


def test_home_of_fruithosted_has_an_ordinary_number(host: SimHost) -> None:
    host.sim("DELETE", "fruithosted/tree")
    host.add("fruithosted", "a.mp4")
    home = host.result("fruithosted", "file/listfolder")
    number = home["files"][0]["folderid"]
    assert number != "0"
    assert host.result("fruithosted", "file/listfolder", folder=number) == home
    assert host.call("fruithosted", "file/listfolder", folder=0)["status"] == 404


def test_direct_link_and_other_modules_of_xvs(host: SimHost) -> None:
    code = host.add("xvs", "film", b"0123456789")
    result = host.result("xvs", "file/direct_link", file_code=code, hls=1)
    assert result.keys() == {"versions", "file_length", "player_img", "hls_direct"}
    assert [(v["name"], v["size"]) for v in result["versions"]] == [("o", "10")]
    host.set(without="xvs:file/direct_link,file/delete")
    answer = host.call("xvs", "file/direct_link", file_code=code)
    assert (answer["status"], answer["msg"]) == (403, "This function not allowed in API")
    host.set(without="doodstream:folder/list")
    assert host.call("doodstream", "folder/list")["msg"] == "Invalid operation"
    host.set(without="")
    answer = host.call("xvs", "file/delete", file_code=code)
    assert answer["status"] == 200 and "result" not in answer
    host.result("xvs", "upload/url", url="http://example.com/a.mp4")
    answer = host.call("xvs", "file/url_uploads")
    assert answer["requests_available"] == "99"
    assert answer["result"][0].keys() == {
        "remote_url", "progress", "status", "file_code", "fld_id"
    }  # fmt: skip
    assert host.call("xvs", "file/url_actions", delete_all=1)["requests_available"] == "100"


def test_clone_has_the_same_bytes(host: SimHost) -> None:
    code = host.add("xvs", "film", b"0123456789")
    folder = host.sim("POST", "xvs/folders", path="Clones")["folder_id"]
    clone = host.result("xvs", "file/clone", file_code=code, file_title="Copy", fld_id=folder)
    host.result("xvs", "file/delete", file_code=code)
    (file,) = [file for file in host.files("xvs") if file["code"] == clone["filecode"]]
    assert file["path"] == "Clones/Copy"
    assert host.request("GET", host.link("xvs", file["code"])).body == b"0123456789"


def test_upload_by_url_becomes_a_file(host: SimHost) -> None:
    host.set(remote_delay_s=0.1, remote_size_bytes=1000)
    host.sim("DELETE", "vipstream/tree")
    url = "http://example.com/big_buck_bunny.mp4"
    code = host.result("vipstream", "upload/url", url=url, tags="a", file_public=0)["filecode"]
    wait_until(lambda: bool(host.files("vipstream")))
    (file,) = host.files("vipstream")
    host.set(remote_delay_s=60)
    assert (file["code"], file["title"], file["size"]) == (code, "big buck bunny", 1000)
    assert (file["tags"], file["public"]) == ("a", 0)


def test_post_is_allowed_where_the_document_says_so(host: SimHost) -> None:
    for dialect, status in (("doodstream", 200), ("pstream", 200), ("fruithosted", 400)):
        account = host.accounts[dialect]
        body = f"key={account['key']}&login={account['login']}".encode()
        kind = {"content-type": "application/x-www-form-urlencoded"}
        reply = host.request("POST", f"{account['base_url']}/account/info", body, kind)
        assert reply.json()["status"] == status
