"""The commands that need no mount, run as a user runs them, against every dialect.

What a host can't do must end in one line that names it; nothing skips but by capability.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mount.mounting import Program, Simhost, write_config
from vidfs.cli.exit_codes import ExitCode
from vidfs.hosts import HOSTS
from vidfs.hosts.api import Capabilities
from vidfs.hosts.openload_records import OpenloadDialect
from vidfs.tree.node import Node, SizeSource
from vidfs.tree.store import Store
from vidfs.types import ROOT_INODE, Inode, NodeKind

DEFAULTS: dict[str, object] = {
    "latency_ms": 0.0,
    "rate_limit": 0.0,
    "ticket_wait_s": 0.0,
    "transcode": False,
    "transcode_delay_s": 0.3,
    "remote_delay_s": 0.2,
    "without": "",
}
ENTRY_KEYS = {
    *("path", "name", "kind", "code", "folder_id", "title", "size_bytes", "uploaded_at"),
    *("length_s", "can_play", "readable", "status", "sha1", "attributes"),
}


class Door:
    """One account: the program on one side, the host's back door on the other."""

    def __init__(self, program: Program, host: Simhost, dialect: str) -> None:
        self.program = program
        self.host = host
        self.dialect = dialect

    @property
    def can(self) -> Capabilities:
        return HOSTS[self.dialect].capabilities

    def at(self, path: str) -> str:
        return f"{self.dialect}:/{path}"

    def add(self, title: str, content: bytes = b"some film", folder: str = "") -> str:
        return self.host.add_file(self.dialect, title, content, folder)

    def shown(self, title: str) -> str:
        """The name of a title without a video extension."""
        return title if self.can.stores_any_file else f"{title}.mp4"

    def file(self, code: str) -> dict[str, Any]:
        [found] = [f for f in self.host.tree(self.dialect)["files"] if f["code"] == code]
        return dict(found)

    def paths(self) -> set[str]:
        return set(self.host.files(self.dialect))

    def ok(self, *args: str) -> str:
        return self.program.ok(*args)

    def json(self, *args: str) -> Any:
        return json.loads(self.ok(*args, "--json"))

    def refused(self, *args: str) -> str:
        """The one line of a command that the host can't do: it must name the host."""
        line = self.program.fails(*args, code=ExitCode.UNABLE)
        assert self.dialect in line.removeprefix("vidfs: ").partition(":")[0], line
        return line

    def maybe(self, able: bool, *args: str) -> bool:
        """Run what this host can, see the refusal of what it can't; whether it can."""
        if able:
            self.ok(*args)
        else:
            self.refused(*args)
        return able


@pytest.fixture(params=sorted(HOSTS))
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def program(host_process: Simhost, tmp_path: Path) -> Iterator[Program]:
    program = Program(tmp_path, host_process.config_file)
    yield program
    said = "".join(program.outputs)
    for secret in host_process.secrets():
        assert secret not in said, "a key was shown"
    assert "Traceback" not in said


@pytest.fixture
def open_door(host_process: Simhost, program: Program) -> Callable[[str], Door]:
    def open_one(dialect: str) -> Door:
        host_process.clear_faults()
        host_process.set(**DEFAULTS)
        host_process.request("DELETE", f"{dialect}/tree")
        host_process.reset_calls(dialect)
        return Door(program, host_process, dialect)

    return open_one


@pytest.fixture
def door(open_door: Callable[[str], Door], dialect: str) -> Door:
    return open_door(dialect)


# -------------------------------------------------------------------------------- looking


def test_ls_shows_folders_first_and_names_as_a_mount_does(door: Door) -> None:
    door.add("Zorro.mkv")
    door.add("a film")
    door.add("Pilot.mp4", folder="Series")
    door.add("thrown away.mp4", folder="vidfs trash")
    door.add("vidfs-trash~thrown away too.mp4")
    assert door.ok("ls", door.at("")).splitlines() == ["Series/", door.shown("a film"), "Zorro.mkv"]
    assert door.ok("ls", door.at("Series/Pilot.mp4")) == "Pilot.mp4\n"
    assert door.dialect in door.program.fails("ls", door.at("None"), code=ExitCode.NOT_FOUND)


def test_ls_json_has_the_same_keys_for_everything(door: Door) -> None:
    code = door.add("Pilot.mp4", b"12345", "Series")
    entries = door.json("ls", "-R", door.at(""))["entries"]
    assert [entry["path"] for entry in entries] == [door.at("Series"), door.at("Series/Pilot.mp4")]
    assert all(set(entry) == ENTRY_KEYS for entry in entries)
    folder, file = entries
    assert (folder["kind"], folder["code"]) == ("folder", None)
    assert (file["kind"], file["code"], file["title"]) == ("file", code, "Pilot.mp4")
    assert file["folder_id"] == folder["folder_id"]
    knows_size = door.can.listing_sizes or door.can.info_sizes or door.can.read_content
    assert file["size_bytes"] == (5 if knows_size else None)
    assert abs(file["uploaded_at"] - time.time()) < 60
    shown = door.ok("ls", "-l", door.at("Series"))
    assert code in shown
    assert ("5 B" in shown) == knows_size


def test_equal_titles_are_told_apart_by_their_codes(door: Door) -> None:
    codes = [door.add("Twin.mp4"), door.add("Twin.mp4")]
    names = door.ok("ls", door.at("")).splitlines()
    assert "Twin.mp4" in names
    [other] = set(names) - {"Twin.mp4"}
    assert re.fullmatch(r"Twin \[(.+)\]\.mp4", other)
    for name in names:
        [entry] = door.json("ls", door.at(name))["entries"]
        assert entry["code"] in codes


def test_a_name_given_in_a_mount_is_shown_here_too(door: Door) -> None:
    code = door.add("a title")
    state_dir = door.program.state_root / door.dialect
    state_dir.mkdir(parents=True)
    store = Store(state_dir / "catalogue.sqlite")
    node = Node(
        inode=Inode(7), parent=ROOT_INODE, name="Given.mkv", kind=NodeKind.FILE, remote=code,
        title="a title", given="Given.mkv", size_bytes=9, size_source=SizeSource.UPLOADED,
        mtime_ns=None, uploaded_at=None, sha1=None, readable=True, unsettled_since=None,
        stale_title=None,
    )  # fmt: skip
    store.save_nodes([node])
    store.close()
    assert door.ok("ls", door.at("")) == "Given.mkv\n"
    [entry] = door.json("ls", door.at("Given.mkv"))["entries"]
    assert (entry["code"], entry["size_bytes"]) == (code, 9)
    # Somebody else renamed it since: then the new title counts, as in a mount.
    door.host.request("PATCH", f"{door.dialect}/files/{code}", {"title": "another"})
    assert door.ok("ls", door.at("")) == door.shown("another") + "\n"


def test_tree_shows_everything_below_and_counts_it(door: Door) -> None:
    door.add("Pilot.mp4", folder="Series/Season 1")
    door.add("Top.mp4", folder="Series")
    assert door.ok("tree", door.at("Series")).splitlines() == [
        door.at("Series"),
        "├── Season 1/",
        "│   └── Pilot.mp4",
        "└── Top.mp4",
        "",
        "1 folder, 2 files",
    ]
    assert "Pilot" not in door.ok("tree", "-L", "1", door.at("Series"))
    assert "Top" not in door.ok("tree", "-d", door.at("Series"))
    tree = door.json("tree", door.at(""))
    assert tree["entries"][0]["entries"][0]["entries"][0]["name"] == "Pilot.mp4"


def test_hostile_titles_play_no_tricks(door: Door, tmp_path: Path) -> None:
    door.add("\x1b[31mred\n../../up.mp4")
    name = "␛[31mred␊..／..／up.mp4"
    assert door.ok("ls", door.at("")) == name + "\n"
    assert name in door.ok("tree", door.at(""))
    assert "\x1b" not in door.ok("show", door.at(name))
    out = tmp_path / "strm"
    door.ok("link", "--page", "--format", "strm", "-o", str(out), door.at(""))
    assert [file.name for file in out.rglob("*") if file.is_file()] == ["␛[31mred␊..／..／up.strm"]


def test_show_tells_what_listing_and_info_tell(door: Door) -> None:
    code = door.add("Pilot.mp4", b"12345", "Series")
    [shown] = door.json("show", door.at("Series/Pilot.mp4"))["entries"]
    assert set(shown) == ENTRY_KEYS
    assert shown["code"] == code
    assert shown["attributes"]["link"].startswith("http")
    if door.can.listing_hash:
        assert shown["sha1"] == door.file(code)["sha1"]
    if "public" in door.can.edit_fields:
        assert {"public", "adult", "category"} <= set(shown["attributes"])
    text = door.ok("show", door.at("Series/Pilot.mp4"), door.at("Series"))
    assert code in text
    assert "folder id" in text


def test_info_tells_owner_and_quota(door: Door) -> None:
    found = door.json("info", door.dialect)
    assert (found["account"], found["host"]) == (door.dialect, door.dialect)
    assert "@" in found["info"]["email"]
    assert (found["info"]["storage_used_bytes"] is not None) == door.can.quota
    assert found["info"]["email"] in door.ok("info", door.at(""))


# ---------------------------------------------------------------------------------- links


def test_links_of_files_and_folders(door: Door) -> None:
    codes = [door.add(f"{name}.mp4", folder="Series") for name in "ab"]
    pages = door.ok("link", door.at("Series")).splitlines()
    assert all(code in page for code, page in zip(codes, pages, strict=True))
    assert door.ok("link", door.at("Series/b.mp4")).splitlines() == pages[1:]
    found = door.json("link", door.at("Series"))["links"]
    assert [link["url"] for link in found] == pages
    assert {link["kind"] for link in found} == {"page"}
    pictures = door.ok("link", "--thumbnail", door.at("Series")).splitlines()
    assert all(picture.endswith(".jpg") for picture in pictures)


def test_links_to_the_bytes_work_or_are_refused(door: Door) -> None:
    door.add("a.mp4", b"the bytes")
    if not door.can.read_content:
        door.refused("link", "--download", door.at("a.mp4"))
        return
    url = door.ok("link", "--download", door.at("a.mp4")).strip()
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310
        assert answer.read() == b"the bytes"


def test_link_formats(door: Door, tmp_path: Path) -> None:
    code = door.add("a.mp4", folder="S")
    page = door.ok("link", door.at("S")).strip()
    rows = list(csv.DictReader(io.StringIO(door.ok("link", "--format", "csv", door.at("S")))))
    assert [(row["code"], row["url"], row["title"]) for row in rows] == [(code, page, "a.mp4")]
    assert f'<a href="{page}">a.mp4</a>' in door.ok("link", "--format", "html", door.at("S"))
    assert f"[url={page}]a.mp4[/url]" in door.ok("link", "--format", "bbcode", door.at("S"))
    playlist = tmp_path / "list.m3u"
    door.ok("link", "--page", "--format", "m3u", "-o", str(playlist), door.at("S"))
    lines = playlist.read_text().splitlines()
    assert (lines[0], lines[2]) == ("#EXTM3U", page)
    assert re.fullmatch(r"#EXTINF:-?\d+,a\.mp4", lines[1])


def test_a_tree_of_strm_files(door: Door, tmp_path: Path) -> None:
    door.add("Pilot.mp4", folder="Series/Season 1")
    door.add("Pilot.mkv", folder="Series/Season 1")
    door.add("Top.mp4", folder="Series")
    out = tmp_path / "media"
    door.ok("link", "--format", "strm", "-o", str(out), door.at("Series"))
    files = {str(f.relative_to(out)): f.read_text() for f in out.rglob("*.strm")}
    assert set(files) == {"Season 1/Pilot.strm", "Season 1/Pilot.mp4.strm", "Top.strm"}
    assert all(re.fullmatch(r"https?://\S+\n", text) for text in files.values())
    assert ("/node/" in files["Top.strm"]) == door.can.read_content
    door.program.fails("link", "--format", "strm", door.at("Series"), code=ExitCode.USAGE)


def test_player_parameters_go_where_the_player_takes_them(door: Door) -> None:
    door.add("a.mp4")
    words = ["--subtitle", "https://x.example/a b.srt", "--subtitle-label", "English"]
    words += ["--poster", "https://x.example/p.jpg"]
    if not door.can.player_params:
        door.refused("link", *words, door.at("a.mp4"))
        return
    url = door.ok("link", *words, door.at("a.mp4")).strip()
    assert "c1_file=https%3A%2F%2Fx.example%2Fa+b.srt&c1_label=English" in url
    assert "c_poster=https%3A%2F%2Fx.example%2Fp.jpg" in url


def test_thumbnail_saves_the_picture(door: Door, tmp_path: Path) -> None:
    door.add("a.mp4")
    target = tmp_path / "cover.jpg"
    assert door.ok("thumbnail", "-o", str(target), door.at("a.mp4")) == f"{target}\n"
    assert target.read_bytes().startswith(b"\xff\xd8")


# -------------------------------------------------------------------------------- changing


@pytest.mark.parametrize(
    ("words", "field", "column", "value"),
    [
        (("--description", "so & so"), "description", "descr", "so & so"),
        (("--category", "7"), "category", "cat_id", "7"),
        (("--tags", "new,  hd"), "tags", "tags", "new, hd"),
        (("--private",), "public", "public", 0),
        (("--adult",), "adult", "adult", 1),
    ],
)
def test_edit_changes_each_field_or_says_that_it_can_t(
    door: Door, words: tuple[str, ...], field: str, column: str, value: object
) -> None:
    code = door.add("a.mp4")
    before = door.file(code)[column]
    able = door.maybe(field in door.can.edit_fields, "edit", *words, door.at("a.mp4"))
    assert door.file(code)[column] == (value if able else before)


def test_edit_renames_and_moves(door: Door) -> None:
    code = door.add("a.mp4", folder="Old")
    door.add("b.mp4", folder="New")
    assert door.maybe(door.can.rename_file, "edit", "--title", "Better.mp4", door.at("Old/a.mp4"))
    assert door.file(code)["title"] == "Better.mp4"
    words = ("edit", "--folder", door.at("New"), door.at("Old/Better.mp4"))
    moved = door.maybe(door.can.move_file, *words)
    assert door.file(code)["folder_path"] == ("New" if moved else "Old")


def test_edit_renames_and_moves_folders(door: Door) -> None:
    code = door.add("a.mp4", folder="Old")
    door.add("b.mp4", folder="New")
    assert door.maybe(door.can.rename_folder, "edit", "--title", "Older", door.at("Old"))
    assert door.file(code)["folder_path"] == "Older"
    words = ("edit", "--folder", door.at("New"), door.at("Older"))
    moved = door.maybe(door.can.move_folder, *words)
    assert door.file(code)["folder_path"] == ("New/Older" if moved else "Older")
    if door.can.move_folder:
        words = ("edit", "--folder", door.at("New/Older"), door.at("New"))
        assert "itself" in door.program.fails(*words, code=ExitCode.USAGE)


def test_edit_changes_nothing_where_it_can_t_do_all(door: Door) -> None:
    door.add("a.mp4")
    for words in (["--title", "x"], []):
        line = door.program.fails("edit", *words, door.at("a.mp4"), door.at("b.mp4"), code=2)
        assert "title" in line
    if "tags" not in door.can.edit_fields:
        door.refused("edit", "--title", "x.mp4", "--tags", "a", door.at("a.mp4"))
        assert door.paths() == {"a.mp4"}


def test_clone(door: Door) -> None:
    code = door.add("a.mp4", b"bytes")
    door.add("other.mp4", folder="Best")
    if not door.can.clone:
        door.refused("clone", door.at("a.mp4"), door.at("Best"))
        return
    door.ok("clone", door.at("a.mp4"), door.at("Best"))
    door.ok("clone", door.at("a.mp4"), door.at("Best/The best.mp4"))
    door.ok("clone", "--code", code, door.at("Mine.mp4"))
    assert {"a.mp4", "Best/a.mp4", "Best/The best.mp4", "Mine.mp4"} <= door.paths()
    door.program.fails("clone", door.at("a.mp4"), door.at("Best/other.mp4"), code=ExitCode.USAGE)


def test_upload(door: Door, tmp_path: Path) -> None:
    door.add("there.mp4", folder="New")
    film = tmp_path / "film.mp4"
    film.write_bytes(bytes(range(256)) * 500)
    code = door.ok("upload", "--title", "My film.mp4", str(film), door.at("New")).split()[0]
    assert door.file(code)["path"] == "New/My film.mp4"
    assert door.host.body(door.dialect, "New/My film.mp4") == film.read_bytes()
    picture = tmp_path / "cover.jpg"
    picture.write_bytes(b"\xff\xd8 my cover")
    fields = getattr(HOSTS[door.dialect].dialect, "upload_fields", {})
    base = (str(film), door.at("New"))
    if door.maybe("snapshot" in fields, "upload", "--snapshot", str(picture), *base):
        saved = tmp_path / "saved.jpg"
        door.ok("thumbnail", "-o", str(saved), door.at("New/film.mp4"))
        assert saved.read_bytes() == picture.read_bytes()
    able = {"tags", "public"} <= door.can.edit_fields
    door.maybe(able, "upload", "--tags", "a, b", "--private", *base)
    document = tmp_path / "notes.txt"
    document.write_text("no film")
    door.maybe(door.can.stores_any_file, "upload", str(document), door.at(""))


def test_an_upload_whose_answer_is_lost_is_looked_for(door: Door, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"film" * 1000)
    door.host.fault(f"{door.dialect}:upload:drop-after:times=1")
    door.ok("upload", str(film), door.at(""))
    assert len(door.paths()) == 1


# -------------------------------------------------------------------------- uploads by URL


def test_remote_add_waits_until_the_file_is_there(door: Door) -> None:
    door.add("x.mp4", folder="New")
    url = "https://films.example/some.mp4"
    words = ("remote", "add", url, "--folder", door.at("New"), "--wait")
    [upload] = door.json(*words)["uploads"]
    assert upload["url"] == url
    assert upload["progress"] == 1.0
    assert door.file(upload["code"])["folder_path"] == "New"
    assert door.dialect in door.refused(*words, "--tags", "a", "--header", "Cookie: a=1")


def test_remote_add_with_everything_that_the_host_takes(door: Door) -> None:
    url = "https://films.example/some.mp4"
    base = ("remote", "add", url, "--folder", door.at(""))
    tags = {"tags", "public", "adult", "category"} <= door.can.edit_fields
    words = ("--tags", "new, hd", "--private", "--adult", "--category", "5")
    if door.maybe(tags, *base, *words, "--wait"):
        [file] = door.host.tree(door.dialect)["files"]
        values = (file["tags"], file["public"], file["adult"], file["cat_id"])
        assert values == ("new, hd", 0, 1, "5")
    dialect = HOSTS[door.dialect].dialect
    headers = isinstance(dialect, OpenloadDialect) and dialect.remote_headers != "none"
    door.maybe(headers, *base, "--header", "Cookie: a=1", "--header", "User-Agent: x")


def test_a_title_is_given_at_the_latest_when_the_file_is_there(door: Door) -> None:
    url = "https://films.example/some.mp4"
    words = ("remote", "add", url, "--folder", door.at(""), "--title", "Mine.mp4", "--wait")
    [upload] = door.json(*words)["uploads"]
    assert door.file(upload["code"])["title"] == "Mine.mp4"


def test_remote_list_status_retry_and_cancel(door: Door) -> None:
    door.host.set(remote_delay_s=60.0)
    url = "https://films.example/some.mp4"
    [asked] = door.json("remote", "add", url, "--folder", door.at(""))["uploads"]
    if not door.can.remote_upload_status:
        door.refused("remote", "list", door.dialect)
        door.refused("remote", "status", door.dialect, asked["job"])
        door.refused("remote", "retry", door.dialect)
        door.refused("remote", "cancel", door.dialect, "--all")
        return
    listed = door.json("remote", "list", door.dialect)["uploads"]
    assert (asked["job"], url) in [(one["job"], one["url"]) for one in listed]
    [status] = door.json("remote", "status", door.dialect, asked["job"])["uploads"]
    assert status["job"] == asked["job"]
    assert url in door.ok("remote", "list", door.dialect)
    if hasattr_of(door, "retry_remote_uploads"):
        door.ok("remote", "retry", door.dialect)
    else:
        door.refused("remote", "retry", door.dialect)
    done = door.program.run("remote", "cancel", door.dialect, asked["job"])
    if done.returncode == ExitCode.UNABLE:
        assert door.dialect in done.stderr
    else:
        assert done.returncode == 0
        jobs = [one["job"] for one in door.json("remote", "list", door.dialect)["uploads"]]
        assert asked["job"] not in jobs


def hasattr_of(door: Door, method: str) -> bool:
    """Whether the dialect's family client has this call at all."""
    from vidfs.hosts.openload import OpenloadClient
    from vidfs.hosts.xvs import XvsClient

    is_openload = isinstance(HOSTS[door.dialect].dialect, OpenloadDialect)
    return hasattr(OpenloadClient if is_openload else XvsClient, method)


def test_a_remote_upload_that_fails_says_so(door: Door) -> None:
    if not door.can.remote_upload_status:
        pytest.skip(f"{door.dialect} doesn't say how remote uploads stand")
    words = ("remote", "add", "gopher://films.example/a", "--folder", door.at(""), "--wait")
    done = door.program.run(*words)
    assert done.returncode == ExitCode.FAILED
    assert "rror" in done.stdout + done.stderr or "ERROR" in done.stdout


# --------------------------------------------------------------------------------- reports


def test_stats_deleted_and_dmca(door: Door) -> None:
    code = door.add("a.mp4")
    door.host.request("PATCH", f"{door.dialect}/files/{code}", {"dmca_at": time.time() + 7200})
    if door.maybe(door.can.stats, "stats", "--last", "3", door.dialect):
        days = door.json("stats", "--last", "3", door.dialect)["days"]
        assert len(days) == 3
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", day["day"]) for day in days)
        assert "views" in days[0]["values"]
        takes_dates = "from_date" in getattr(HOSTS[door.dialect].dialect, "stats_fields", {})
        words = ("--from", "2024-02-28", "--to", "2024-03-01")
        if door.maybe(takes_dates, "stats", *words, door.dialect):
            found = door.json("stats", *words, door.dialect)["days"]
            assert [day["day"] for day in found] == ["2024-02-28", "2024-02-29", "2024-03-01"]
    if door.maybe(door.can.dmca_list, "dmca", door.dialect):
        [report] = door.json("dmca", door.dialect)["dmca"]
        assert report["code"] == code
        assert {"path", "delete_at", "delete_in_s"} <= set(report)
        takes_hours = "last" in getattr(HOSTS[door.dialect].dialect, "dmca_fields", {})
        door.maybe(takes_hours, "dmca", "--last", "5", door.dialect)
    if door.can.delete_file:
        door.host.request("DELETE", f"{door.dialect}/files/{code}")
    if door.maybe(door.can.deleted_list, "deleted", "--last", "5", door.dialect):
        rows = door.json("deleted", door.dialect)["deleted"]
        assert all({"code", "title", "deleted_at", "deleted_by"} <= set(row) for row in rows)


def test_search(door: Door) -> None:
    codes = {door.add("Big buck.mp4"), door.add("Small buck.mp4", folder="Series")}
    door.add("Other.mp4")
    if not door.maybe(door.can.search, "search", door.dialect, "buck"):
        return
    found = door.json("search", door.dialect, "buck")["entries"]
    assert {entry["code"] for entry in found} == codes
    assert all(set(entry) == ENTRY_KEYS for entry in found)
    fields = getattr(HOSTS[door.dialect].dialect, "list_fields", {})
    if {"folder", "title", "public"} <= set(fields):
        words = ("search", "--public", "--since", "60", door.at("Series"), "buck")
        [entry] = door.json(*words)["entries"]
        assert entry["path"] == door.at("Series/Small buck.mp4")
    else:
        door.refused("search", "--public", door.dialect, "buck")


def test_encodings_and_convert(door: Door) -> None:
    code = door.add("old.mp4", b"some film" * 100)
    if door.can.encodings:
        due = {"transcode_at": time.time() + 60}
        door.host.request("PATCH", f"{door.dialect}/files/{code}", due)
        for place in (door.dialect, door.at("old.mp4")):
            found = door.json("encodings", place)["encodings"]
            assert {one["code"] for one in found} == {code}
            assert {"status", "progress", "quality", "job", "name"} <= set(found[0])
    else:
        door.refused("encodings", door.dialect)
    name = door.ok("ls", door.at("")).strip()
    if door.maybe(door.can.convert, "convert", "--wait", door.at(name)):
        assert door.file(code)["transcoded"]
        assert door.json("encodings", door.dialect)["encodings"] == []


# ----------------------------------------------------------------------------------- trash


def trash_one(door: Door) -> str:
    """A file in the trash as a mount would have put it there; it was in Films."""
    door.add("Kept.mp4", folder="Films")
    code = door.add("Gone.mp4", folder="Films")
    made = door.add("makes the folder.mp4", folder="vidfs trash")
    door.host.request("DELETE", f"{door.dialect}/files/{made}")
    folder_id = door.file(code)["folder_id"]
    door.host.request("PATCH", f"{door.dialect}/files/{code}", {"folder": "vidfs trash"})
    if not (door.can.move_file and door.can.create_folder):
        changes = {"folder": "Films", "title": "vidfs-trash~Gone.mp4"}
        door.host.request("PATCH", f"{door.dialect}/files/{code}", changes)
    state_dir = door.program.state_root / door.dialect
    state_dir.mkdir(parents=True)
    store = Store(state_dir / "catalogue.sqlite")
    store.save_trash(
        NodeKind.FILE,
        code,
        name="Gone.mp4",
        title="Gone.mp4",
        folder=str(folder_id),
        path="/Films",
        deleted_at=1.7e9,
    )
    store.close()
    return code


def test_trash_is_listed_and_restored_to_where_it_was(door: Door) -> None:
    code = trash_one(door)
    assert "Gone" not in door.ok("ls", "-R", door.at(""))
    [entry] = door.json("trash", "list", door.dialect)["entries"]
    assert (entry["code"], entry["name"], entry["was_in"]) == (code, "Gone.mp4", "/Films")
    assert entry["deleted_at"] == 1.7e9
    assert "/Films/Gone.mp4" in door.ok("trash", "list", door.at(""))
    door.program.fails("trash", "restore", door.dialect, "None.mp4", code=ExitCode.NOT_FOUND)
    said = door.ok("trash", "restore", door.dialect, "Gone.mp4")
    assert said == f"Gone.mp4 is in {door.dialect}:/Films\n"
    assert door.file(code)["path"] == "Films/Gone.mp4"
    assert door.json("trash", "list", door.dialect)["entries"] == []


def test_what_was_in_a_folder_that_is_gone_goes_to_the_root(door: Door) -> None:
    if not (door.can.move_file and door.can.create_folder):
        pytest.skip(f"{door.dialect}: nothing leaves its folder")
    code = door.add("Gone.mp4", folder="vidfs trash")
    assert "isn't there" in door.ok("trash", "restore", door.dialect, code)
    assert door.file(code)["path"] == "Gone.mp4"


def test_trash_is_emptied_where_the_host_can_delete(door: Door) -> None:
    trash_one(door)
    if not door.can.delete_file:
        assert "can't delete" in door.refused("trash", "empty", "--yes", door.dialect)
        assert len(door.paths()) == 2
        return
    door.program.fails("trash", "empty", door.dialect, code=ExitCode.USAGE)  # nobody to ask
    assert door.ok("trash", "empty", "--yes", door.dialect) == "1 deleted\n"
    assert door.paths() == {"Films/Kept.mp4"}
    assert door.json("trash", "list", door.dialect)["entries"] == []


# ------------------------------------------------------------------ limits, errors, accounts


def test_a_limited_host_costs_time_and_no_errors(open_door: Callable[[str], Door]) -> None:
    door = open_door("vipstream")
    door.host.request("POST", "vipstream/populate", folders=20, files=2)
    door.host.set(rate_limit=10.0)
    try:
        begun = time.monotonic()
        text = door.ok("tree", door.at(""))
        assert "20 folders, 2 files" in text
        assert time.monotonic() - begun < 15
    finally:
        door.host.set(rate_limit=0.0)


def test_errors_are_one_line_with_their_exit_code(
    open_door: Callable[[str], Door], program: Program, host_process: Simhost, tmp_path: Path
) -> None:
    door = open_door("xvs")
    assert "nowhere" in program.fails("ls", "nowhere:/", code=ExitCode.USAGE)
    assert "neither" in program.fails("ls", str(tmp_path), code=ExitCode.USAGE)
    door.host.fault("xvs:folder/list:status=500:times=1")
    program.ok("ls", "xvs:/")
    accounts = host_process.accounts()
    accounts["xvs"]["key"] = "wrongwrongwrong1234"
    program.environ["VIDFS_CONFIG"] = str(write_config(tmp_path / "wrong.toml", accounts))
    assert "account xvs" in program.fails("ls", "xvs:/", code=ExitCode.REFUSED)


def test_a_module_that_is_missing_is_named(open_door: Callable[[str], Door]) -> None:
    door = open_door("xvs")
    door.add("a.mp4")
    door.host.set(without="file/direct_link,file/url_uploads,file/encodings")
    try:
        door.refused("link", "--download", door.at("a.mp4"))
        door.refused("remote", "list", "xvs")
        door.refused("encodings", "xvs")
    finally:
        door.host.set(without="")


def test_the_demo_account_needs_nothing(program: Program) -> None:
    assert program.ok("ls", "demo:/") == ""
    assert json.loads(program.ok("info", "demo", "--json"))["host"] == "xvs"


def test_accounts_come_and_go(
    host_process: Simhost, program: Program, tmp_path: Path, dialect: str
) -> None:
    account = host_process.accounts()[dialect]
    config = tmp_path / "own.toml"
    config.write_text("# mine\n")
    program.environ["VIDFS_CONFIG"] = str(config)
    words = ["account", "add", "films", "--host", dialect, "--base-url", account["base_url"]]
    if HOSTS[dialect].needs_login:
        words += ["--login", account["login"]]

    def add(key: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            program.command(*words), env=program.environ, input=f"{key}\n", capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        program.outputs += [done.stdout, done.stderr]
        return done

    wrong = add("wrongwrongwrong1234")
    assert wrong.returncode == ExitCode.REFUSED
    assert config.read_text() == "# mine\n"
    done = add(account["key"])
    assert (done.returncode, done.stderr) == (0, "")
    assert config.stat().st_mode & 0o077 == 0
    assert config.read_text().startswith("# mine\n")
    assert json.loads(program.ok("info", "films", "--json"))["account"] == "films"
    again = add(account["key"])
    assert again.returncode == ExitCode.USAGE
    program.ok("account", "remove", "films")
    assert config.read_text() == "# mine\n"
    program.fails("account", "remove", "films", code=ExitCode.USAGE)
    program.fails("account", "add", "demo", "--host", dialect, code=ExitCode.USAGE)
