"""Links as text: what other programs get to read."""

from __future__ import annotations

import csv
import io

import pytest

from vidfs.app.links import Link, LinkKind
from vidfs.app.remote import Entry
from vidfs.cli.link_formats import to_bbcode, to_csv, to_html, to_m3u, to_plain, to_strm_files
from vidfs.hosts.api import RemoteFile
from vidfs.types import FileCode, FolderId


def link(
    path: str = "/Films/a.mp4",
    url: str = "https://h.example/v/abc",
    kind: LinkKind = "page",
    *,
    code: str = "abc",
    length_s: float | None = None,
    page: str = "",
) -> Link:
    parts = tuple(path.strip("/").split("/"))
    file = RemoteFile(code=FileCode(code), title=parts[-1], length_s=length_s)
    entry = Entry(
        name=parts[-1],
        path=f"films:{path}",
        parts=parts,
        folder=FolderId("1"),
        title=parts[-1],
        file=file,
    )
    return Link(entry=entry, kind=kind, url=url, page=page)


def test_plain_is_an_address_per_line() -> None:
    assert to_plain([link(), link(url="https://x.example/b")]) == (
        "https://h.example/v/abc\nhttps://x.example/b\n"
    )
    assert to_plain([]) == ""


def test_csv_survives_commas_and_quotes() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv([link('/Films/a, "b".mp4')]))))
    assert rows == [
        {
            "path": 'films:/Films/a, "b".mp4',
            "title": 'a, "b".mp4',
            "code": "abc",
            "kind": "page",
            "url": "https://h.example/v/abc",
        }
    ]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("page", '<a href="https://h.example/?a=1&amp;b=&quot;">&lt;b&gt;.mp4</a>'),
        (
            "embed",
            '<iframe src="https://h.example/?a=1&amp;b=&quot;" title="&lt;b&gt;.mp4"'
            ' width="640" height="360" allowfullscreen></iframe>',
        ),
        (
            "thumbnail",
            '<a href="https://p.example/"><img src="https://h.example/?a=1&amp;b=&quot;"'
            ' alt="&lt;b&gt;.mp4"></a>',
        ),
    ],
)
def test_html_is_escaped(kind: LinkKind, expected: str) -> None:
    one = link("/<b>.mp4", 'https://h.example/?a=1&b="', kind, page="https://p.example/")
    assert to_html([one]) == expected + "\n"


def test_bbcode() -> None:
    assert to_bbcode([link()]) == "[url=https://h.example/v/abc]a.mp4[/url]\n"
    picture = link(url="https://i.example/a.jpg", kind="thumbnail", page="https://p.example/")
    assert to_bbcode([picture]) == (
        "[url=https://p.example/][img]https://i.example/a.jpg[/img][/url]\n"
    )
    bare = link(url="https://i.example/a.jpg", kind="thumbnail")
    assert to_bbcode([bare]) == "[img]https://i.example/a.jpg[/img]\n"


def test_m3u_has_lengths_where_they_are_known() -> None:
    assert to_m3u([link(length_s=61.6), link("/b.mkv")]).splitlines() == [
        "#EXTM3U",
        "#EXTINF:62,a.mp4",
        "https://h.example/v/abc",
        "#EXTINF:-1,b.mkv",
        "https://h.example/v/abc",
    ]


def test_strm_files_keep_the_folders_below_the_one_asked_for() -> None:
    links = [link("/Films/a.mp4"), link("/Films/Old/b.mkv")]
    assert [path for path, _ in to_strm_files(links, ("Films",))] == ["a.strm", "Old/b.strm"]
    assert [path for path, _ in to_strm_files(links, ())] == ["Films/a.strm", "Films/Old/b.strm"]
    assert next(to_strm_files(links, ()))[1] == "https://h.example/v/abc\n"


def test_strm_files_never_share_a_name() -> None:
    links = [link("/a.mp4"), link("/a.mkv"), link("/a.mkv", code="xyz")]
    paths = [path for path, _ in to_strm_files(links, ())]
    assert paths == ["a.strm", "a.mkv.strm", "a.mkv [xyz].strm"]


def test_strm_names_fit_a_file_system() -> None:
    [(path, _)] = to_strm_files([link("/" + "ä" * 125 + ".mp4")], ())
    assert len(path.encode()) <= 255
    assert path.endswith(".strm")
