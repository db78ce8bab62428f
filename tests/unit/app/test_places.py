"""What arguments of commands mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidfs.app.places import parse_place
from vidfs.errors import UsageError

ACCOUNTS = {"films", "my.site"}


@pytest.mark.parametrize(
    ("text", "account", "parts", "shown"),
    [
        ("films", "films", (), "films:/"),
        ("films:", "films", (), "films:/"),
        ("films:/", "films", (), "films:/"),
        ("films:/Series/a.mp4", "films", ("Series", "a.mp4"), "films:/Series/a.mp4"),
        ("films://Series//", "films", ("Series",), "films:/Series"),
        ("my.site:/a: b", "my.site", ("a: b",), "my.site:/a: b"),
        ("films:/a\nb", "films", ("a\nb",), "films:/a\nb"),
        ("unknown:/x", "unknown", ("x",), "unknown:/x"),
    ],
)
def test_accounts_and_their_paths(
    text: str, account: str, parts: tuple[str, ...], shown: str
) -> None:
    place = parse_place(text, ACCOUNTS)
    assert (place.account, place.parts, place.text, place.is_mount) == (
        account,
        parts,
        shown,
        False,
    )


@pytest.mark.parametrize(
    "text", ["films:Series", "films:/a/../b", "unknown", "/nowhere", "", ":/x"]
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_place(text, ACCOUNTS)


def test_a_local_file_that_looks_like_an_account_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other:").mkdir()
    with pytest.raises(UsageError, match="neither"):
        parse_place("other:", ACCOUNTS)


def test_parents() -> None:
    place = parse_place("films:/Series/a.mp4", ACCOUNTS)
    assert place.name == "a.mp4"
    assert place.parent().text == "films:/Series"
    assert place.parent().parent().text == "films:/"
    with pytest.raises(UsageError, match="root"):
        place.parent().parent().parent()
