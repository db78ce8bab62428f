"""Accounts written into, and taken out of, a configuration that a person keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidfs.app.config_file import load_text, save_text, with_account, without_account
from vidfs.config import load_config
from vidfs.errors import ConfigError, UsageError

TEXT = """\
# my accounts
[accounts.old]
host = "vipstream"   # the first one
key = "abcdefghijklmnop1"

[accounts.old.uploads]
tags = ["a", "b"]

[accounts."dotted.name"]
host = "vipstream"
"""


def test_an_account_is_added_at_the_end(tmp_path: Path) -> None:
    settings = {"host": "xvs", "base_url": "https://x.example/api", "key": 'a"b\\c'}
    text = with_account(TEXT, "new", settings)
    assert text.startswith(TEXT)
    path = tmp_path / "config.toml"
    save_text(path, text)
    account = load_config(path).get_account("new")
    assert (account.host, account.base_url) == ("xvs", "https://x.example/api")
    assert account.key is not None
    assert account.key.reveal() == 'a"b\\c'


@pytest.mark.parametrize("text", ["", "# only a comment"])
def test_the_first_account(text: str) -> None:
    assert with_account(text, "new", {"host": "xvs"}).endswith('[accounts.new]\nhost = "xvs"\n')


def test_names_with_dots_are_quoted() -> None:
    text = with_account("", "a.b", {"host": "vipstream"})
    assert '[accounts."a.b"]' in text
    assert without_account(text, "a.b") == ""


def test_an_account_goes_with_all_its_tables() -> None:
    left = without_account(TEXT, "old")
    assert left == '# my accounts\n[accounts."dotted.name"]\nhost = "vipstream"\n'
    assert "dotted" not in without_account(TEXT, "dotted.name")


def test_adding_and_removing_leaves_things_as_they_were() -> None:
    assert without_account(with_account(TEXT, "x", {"host": "xvs"}), "x") == TEXT


def test_names_are_taken_once() -> None:
    with pytest.raises(UsageError, match="already"):
        with_account(TEXT, "old", {"host": "xvs"})
    with pytest.raises(UsageError, match="no account"):
        without_account(TEXT, "new")


@pytest.mark.parametrize(
    "text",
    [
        'accounts.a.host = "xvs"\n',
        '[accounts]\na = {host = "xvs"}\n',
        '[accounts.a]\nhost = "xvs"\ndescription = """\n[not a table]\n"""\n',
    ],
)
def test_what_is_written_otherwise_is_left_to_the_person(text: str) -> None:
    with pytest.raises(ConfigError):
        without_account(text, "a")


def test_a_broken_account_is_no_obstacle_and_can_go() -> None:
    broken = "[accounts.b]\nhost = 7\n"
    text = with_account(broken, "new", {"host": "xvs"})
    assert without_account(text, "new") == broken
    assert without_account(text, "b") == '[accounts.new]\nhost = "xvs"\n'


def test_bad_names_and_hosts_are_refused() -> None:
    with pytest.raises(ConfigError):
        with_account("", "a b", {"host": "xvs"})


def test_saving_keeps_others_out_and_follows_links(tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text("old")
    real.chmod(0o644)
    link = tmp_path / "link.toml"
    link.symlink_to(real)
    save_text(link, "new\n")
    assert real.read_text() == "new\n"
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()].count("real.toml") == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_a_missing_file_is_empty_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "config.toml"
    assert load_text(path) == ""
    save_text(path, "# x\n")
    assert path.parent.stat().st_mode & 0o077 == 0
