"""What people and programs get to see of values from a host."""

from __future__ import annotations

import json

import pytest

from vidfs.cli.output import (
    Column,
    Output,
    clean_text,
    entry_to_json,
    format_flag,
    format_length,
    format_share,
    format_size,
    format_time,
    to_plain,
)
from vidfs.cli.session import Session
from vidfs.hosts.extras import RemoteUpload
from vidfs.types import Secret


@pytest.fixture
def session() -> Session:
    session = Session()
    session.redactor.add(Secret("s3cret/key"))
    return session


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0, ""), (9, "0:09"), (61, "1:01"), (3599.6, "1:00:00"), (7325, "2:02:05")],
)
def test_lengths(seconds: float | None, text: str) -> None:
    assert format_length(seconds) == text


def test_what_is_not_known_is_empty() -> None:
    assert format_time(None) == format_size(None) == format_share(None) == format_flag(None) == ""
    assert (format_share(0.254), format_flag(False)) == ("25 %", "no")


def test_no_key_and_no_control_character_comes_through(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Output(session)
    output.line("\x1b]0;title\x07 s3cret/key \x9b2J")
    output.table([Column("A"), Column("B")], [["s3cret%2Fkey", "a\r\nb"]])
    output.pairs([("name", "s3cret/key"), ("empty", "")])
    output.json({"a": ["s3cret/key"], "b": {"c": ("s3cret/key", 1)}})
    said = capsys.readouterr().out
    assert "s3cret" not in said
    assert not {"\x1b", "\x07", "\x9b", "\r"} & set(said)
    assert "␛]0;title␇" in said
    assert "empty" not in said


def test_a_table_in_a_pipe_is_plain_and_whole(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "x" * 300
    Output(session).table(
        [Column("SIZE", right=True), Column("NEVER"), Column("NAME")],
        [["1 B", "", name], ["10 B", "", "[bold]b[/bold]"]],
    )
    assert capsys.readouterr().out.splitlines() == [
        "SIZE  NAME",
        f" 1 B  {name}",
        "10 B  [bold]b[/bold]",
    ]


def test_an_empty_table_says_nothing_in_a_pipe(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    Output(session).table([Column("A")], [], empty="none")
    assert capsys.readouterr().out == ""


def test_values_of_hosts_become_json() -> None:
    plain = to_plain(RemoteUpload(job="1", url="u", status="new", progress=0.5))
    assert json.loads(json.dumps(plain))["progress"] == 0.5
    assert {"job", "url", "status", "code", "folder", "error", "link"} <= set(plain)


def test_a_folder_has_the_keys_of_a_file() -> None:
    from vidfs.app.remote import Entry
    from vidfs.hosts.api import RemoteFile
    from vidfs.types import FileCode, FolderId

    folder = Entry(name="a", path="x:/a", parts=("a",), folder=FolderId("3"), title="a")
    file = Entry(
        name="b",
        path="x:/b",
        parts=("b",),
        folder=FolderId("0"),
        title="b",
        file=RemoteFile(code=FileCode("c"), title="b"),
    )
    assert entry_to_json(folder).keys() == entry_to_json(file).keys()


def test_clean_text_leaves_names_alone(session: Session) -> None:
    assert clean_text(session, "Ä ／ 日本 [x].mp4") == "Ä ／ 日本 [x].mp4"
