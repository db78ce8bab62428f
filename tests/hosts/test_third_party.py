"""Clients that others wrote work against the simulated host, call by call.

So the simulated host is not only what our own reading of the documents makes of them.
Source: API_FACTS §9.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.conftest import Door, clean_door
from tests.hosts.simhost_process import SimHost
from tests.hosts.third_party import Client

DOODSTREAM = Client("doodstream", "1.0.0")
PYOPENLOAD = Client(
    "pyopenload", "0.7", extra=("requests", "requests-toolbelt>=1"), without_needs=True
)

DOODSTREAM_CALLS = """
from doodstream import DoodStream
host = DoodStream(account["key"], base_url=account["base_url"] + "/")
seen = {}
def call(name, *args, **kwargs):
    answer = getattr(host, name)(*args, **kwargs)
    assert answer["status"] == 200, (name, answer)
    assert answer["server_time"] and answer["msg"], (name, answer)
    seen[name] = answer
    return answer.get("result")

folder = call("create_folder", "Films")["fld_id"]
call("create_folder", "Inner", parent_id=folder)
call("rename_folder", folder, "Movies")
uploaded = call("local_upload", account["film"])[0]
code = uploaded["filecode"]
assert uploaded["size"] == str(account["size"]) and uploaded["title"] == "film"
assert call("account_info")["storage_used"] == str(account["size"])
assert len(call("account_reports", last="3")) == 7  # it drops its arguments
call("dmca_list", per_page=10, page=1)
clone = call("copy_video", code, fld_id=folder)["filecode"]
assert clone != code
remote = call("remote_upload", "http://video.example/bunny.mp4", fld_id=folder, new_title="Bunny")
assert [row["file_code"] for row in call("remote_upload_list")] == [remote["filecode"]]
assert call("remote_upload_status", remote["filecode"])[0]["folder_id"] == folder
call("remote_upload_slots")
assert seen["remote_upload_slots"]["used_slots"] == "1"
call("remote_upload_action", restart_errors=1, delete_code=remote["filecode"])
assert call("remote_upload_list") == []
assert [f["file_code"] for f in call("list_files", page=1, per_page=50, fld_id=folder)["files"]] \\
    == [clone]
assert call("file_status", code) == [{"status": "Active", "filecode": code}]
assert call("file_info", code)[0]["size"] == str(account["size"])
assert call("file_image", code)[0]["single_img"]
assert call("file_rename", code, "Renamed") == "true"
assert [f["file_code"] for f in call("file_search", "Renamed")] == [code]

wrong = DoodStream("0123456789abcdefg", base_url=account["base_url"] + "/").account_info()
print(json.dumps({"calls": sorted(seen), "code": code, "clone": clone, "wrong": wrong}))
"""

PYOPENLOAD_CALLS = """
import time
import requests
from openload import OpenLoad
from openload import api_exceptions as errors
host = OpenLoad(account["login"], account["key"])
host.api_url = account["base_url"] + "/"
seen = []
def call(name, *args, **kwargs):
    result = getattr(host, name)(*args, **kwargs)
    seen.append(name)
    return result
def refusal(name, *args, **kwargs):
    try:
        getattr(host, name)(*args, **kwargs)
    except Exception as error:
        return type(error).__name__
    return "nothing"

assert call("account_info")["storage_used"] == "0"
assert call("upload_link")["url"].startswith("http://127.0.0.1:")
folder = account["folder"]
file = call("upload_file", account["film"], folder_id=folder, sha1=account["sha1"])
assert (file["sha1"], file["size"]) == (account["sha1"], str(account["size"]))
code = file["id"]
assert call("file_info", code)[code]["size"] == account["size"]
listing = call("list_folder", folder)
assert [f["linkextid"] for f in listing["files"]] == [code]
assert [f["id"] for f in call("list_folder")["folders"]] == [folder]
ticket = call("prepare_download", code)
link = call("get_download_link", code, ticket["ticket"])
content = requests.get(link["url"]).content
assert len(content) == account["size"]
assert call("remote_upload_status") == []  # PHP's empty object
job = call("remote_upload", "http://video.example/a.mp4", folder_id=folder, headers={"A": "1"})
assert job["folderid"] == folder
assert list(call("remote_upload_status", limit=5, remote_upload_id=job["id"])) == [job["id"]]
assert call("rename_folder", folder, "Movies") is True
assert call("rename_file", code, "renamed.mp4") is True
assert call("splash_image", code).startswith("http")
assert call("convert_file", code) is True
assert [row["linkextid"] for row in call("running_conversions", folder)] == [code]
refusals = {
    "no such file": refusal("prepare_download", "AAAAAAAAAAA"),
    "no such call": refusal("delete_file", code),
    "wrong hash": refusal("upload_file", account["film"], sha1="0" * 40),
}
host.key = "wrong"
refusals["wrong key"] = refusal("account_info")
print(json.dumps({"calls": sorted(set(seen)), "code": code, "refusals": refusals}))
"""


def account_of(door: Door, film: Path) -> dict[str, object]:
    content = film.read_bytes()
    return {
        **door.account,
        "film": str(film),
        "size": len(content),
        "sha1": hashlib.sha1(content).hexdigest(),  # noqa: S324
    }


@pytest.fixture
def dood(sim_process: SimHost) -> Iterator[Door]:
    sim_process.set(remote_delay_s=60.0)
    yield from clean_door(sim_process, "doodstream")
    sim_process.set(remote_delay_s=1.0)


@pytest.fixture
def fruit(sim_process: SimHost) -> Iterator[Door]:
    sim_process.set(remote_delay_s=60.0, transcode_delay_s=60.0)
    yield from clean_door(sim_process, "fruithosted")
    sim_process.set(remote_delay_s=1.0, transcode_delay_s=2.0)


def test_all_18_calls_of_doodstream_1_0_0(dood: Door, film: Path) -> None:
    found = DOODSTREAM.run(DOODSTREAM_CALLS, account_of(dood, film))
    assert len(found["calls"]) == 18
    assert found["wrong"] is None, "it makes an error of msg 'Wrong Auth', and forgets to raise it"
    files = {file["code"]: file for file in dood.sim.files("doodstream")}
    assert files[found["code"]]["path"] == "Renamed"
    assert files[found["clone"]]["path"] == "Movies/film"
    stored = dood.sim.root / "doodstream" / "files" / found["code"]
    assert stored.read_bytes() == film.read_bytes()


def test_pyopenload_0_7(fruit: Door, film: Path) -> None:
    folder = fruit.add_folder("Films")
    found = PYOPENLOAD.run(PYOPENLOAD_CALLS, {**account_of(fruit, film), "folder": folder})
    assert len(found["calls"]) == 14
    assert found["refusals"] == {
        "no such file": "FileNotFoundException",
        "no such call": "BadRequestException",
        "wrong hash": "BadRequestException",
        "wrong key": "PermissionDeniedException",
    }
    (file,) = fruit.sim.files("fruithosted")
    assert (file["path"], file["code"]) == ("Movies/renamed.mp4", found["code"])


def test_a_package_that_is_not_there_is_a_skip_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client("pyopenload", "0.7")
    with pytest.raises(pytest.skip.Exception, match=r"pyopenload 0\.7 can't be installed: \['sad"):
        client._run(["sh", "-c", "echo sad >&2; exit 1"])
