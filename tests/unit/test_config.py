"""The configuration file, keys and directories."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from vidfs.app.keys import fetch_key, find_key_source, without_keys
from vidfs.config import (
    Account,
    check_base_url,
    config_path,
    create_private_dir,
    create_state_dir,
    find_directories,
    load_config,
    parse_accounts,
    parse_mount_options,
)
from vidfs.errors import ConfigError
from vidfs.types import Secret

KEY = "abcdefgh12345678zyxw"


def write(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_accounts(text.encode(), "config.toml")
    return str(caught.value)


def test_every_setting_is_read() -> None:
    accounts = parse_accounts(
        b"""
        [accounts.films]
        host = "vipstream"
        base_url = "https://vipstream.cc/api/"
        key = "abcdefgh12345678zyxw"
        login = "someone"
        default_extension = ".MKV"
        accepted_extensions = ["mp4", ".AVI"]
        allow_http_upload = true
        [accounts.films.uploads]
        public = false
        adult = true
        category = 5
        tags = ["family", "1999"]
        description = "from the attic"
        """,
        "config.toml",
    )
    films = accounts["films"]
    assert films.base_url == "https://vipstream.cc/api"
    assert films.key == Secret(KEY)
    assert films.login == Secret("someone")
    assert films.default_extension == "mkv"
    assert films.accepted_extensions == frozenset({"mp4", "avi"})
    assert films.allow_http_upload
    uploads = films.uploads
    assert (uploads.public, uploads.adult, uploads.category) == (False, True, "5")
    assert uploads.tags == ("family", "1999")
    assert uploads.description == "from the attic"


def test_missing_file_still_has_the_demo_account(tmp_path: Path) -> None:
    config = load_config(tmp_path / "absent.toml")
    assert list(config.accounts) == ["demo"]
    assert config.get_account("demo").host == "xvs"
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_config(tmp_path / "absent.toml", must_exist=True)


def test_unknown_account_is_named_with_those_that_exist(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, '[accounts.films]\nhost = "xvs"\n'))
    with pytest.raises(ConfigError, match=r"'film'.*accounts: demo, films"):
        config.get_account("film")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('colour = "red"', "config.toml: colour: unknown setting"),
        (
            '[accounts.films]\nhost = "xvs"\nbase_uri = "x"',
            "config.toml: accounts.films.base_uri: unknown setting (did you mean base_url?)",
        ),
        (
            '[accounts.films]\nhost = "xvs"\n[accounts.films.uploads]\npubic = true',
            "config.toml: accounts.films.uploads.pubic: unknown setting (did you mean public?)",
        ),
        (
            '[accounts.films]\nhost = "xvs"\n[accounts.films.uploads]\npublic = 3',
            "config.toml: accounts.films.uploads.public: expected bool | null, got int",
        ),
        ("[accounts.films]\nhost = 7", "config.toml: accounts.films.host: expected str, got int"),
        ('[accounts.films]\nlogin = "x"', "config.toml: accounts.films.host: is missing"),
        ("[accounts]\nfilms = 3", "config.toml: accounts.films: must be a table"),
        ("accounts = 3", "config.toml: accounts: must be a table"),
        ('[accounts.demo]\nhost = "x"', "config.toml: accounts.demo.host: the demo account is"),
        (
            '[accounts.f]\nhost = "xvs"\nkey = "aaaa"\nkey_command = "b"',
            "config.toml: accounts.f: has both key and key_command",
        ),
        ("[accounts.films\n", "config.toml: Expected ']'"),
        ('[accounts."a/b"]\nhost = "xvs"', "config.toml: accounts.a/b: a name is up to 64"),
    ],
)
def test_mistakes_are_named_with_their_place(text: str, message: str) -> None:
    assert refused(text).startswith(message)


@pytest.mark.parametrize(
    "text",
    [
        f'[accounts.films]\nhost = "xvs"\nkey = "{KEY} {KEY}"',
        f'[accounts.films]\nhost = "xvs"\nkey = ["{KEY}"]',
        f'[accounts.films]\nhost = "xvs"\nkey = "{KEY}',
        f'[accounts.films]\nhost = "xvs"\nkey = "{KEY}"\nkey = "{KEY}"',
    ],
)
def test_a_refusal_never_shows_the_key(text: str) -> None:
    assert KEY not in refused(text)


def test_a_broken_account_breaks_itself_alone(tmp_path: Path) -> None:
    text = 'colour = 1\n[b]\n[accounts.a]\nhost = 7\n[accounts.films]\nhost = "xvs"\n'
    config = load_config(write(tmp_path, text, 0o644))
    assert set(config.accounts) == {"demo", "films"}
    assert config.names() == {"demo", "films", "a", "b", "colour"}
    with pytest.raises(ConfigError, match=r"accounts\.a\.host: expected str"):
        config.get_account("a")
    with pytest.raises(ConfigError, match=r"b: unknown setting .*written \[accounts\.b\]"):
        config.get_account("b")
    keyed = write(tmp_path, text.replace("host = 7", f'host = 7\n"key" = "{KEY}"'), 0o644)
    with pytest.raises(ConfigError, match="open to others"):
        load_config(keyed)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path, f'[accounts.films]\nhost = "xvs"\nkey = "{KEY}"\n', mode)
    with pytest.raises(ConfigError, match=r"open to others.*chmod 600"):
        load_config(path)


def test_a_file_without_key_may_be_open(tmp_path: Path) -> None:
    path = write(tmp_path, '[accounts.films]\nhost = "xvs"\nkey_command = "x"\n', 0o644)
    assert "films" in load_config(path).accounts


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/api",
        "ftp://example.org",
        "https://",
        "example.org/api",
        "https://u:p@example.org",
        "https://example.org/?key=1",
        "http://127.0.0.1.example.org",
        "http://10.0.0.1",
        "https://example.org:99999",
        "http://127.0.0.1:0",
    ],
)
def test_unsafe_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        check_base_url(url, "base_url")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80/a", "http://localhost", "http://[::1]:8/x", "https://e.org/api"]
)
def test_https_and_loopback_are_accepted(url: str) -> None:
    assert check_base_url(url + "/", "base_url") == url


class TestKeys:
    def account(self, key: str | None = None, command: str | None = None) -> Account:
        secret = None if key is None else Secret(key)
        return Account(name="my-films", host="xvs", key=secret, key_command=command)

    def test_the_environment_comes_first(self) -> None:
        environ = {"VIDFS_MY_FILMS_KEY": f" {KEY}\n"}
        account = self.account(key="fromthefile")
        assert fetch_key(account, environ) == Secret(KEY)
        assert find_key_source(account, environ) == "VIDFS_MY_FILMS_KEY"
        assert fetch_key(account, {}) == Secret("fromthefile")

    def test_a_command_gives_its_output_stripped_and_runs_once(self, tmp_path: Path) -> None:
        runs = tmp_path / "runs"
        command = f"echo run >> {runs}; printf ' {KEY}\\nsecond line' | head -1"
        assert fetch_key(self.account(command=command), dict(os.environ)) == Secret(KEY)
        assert runs.read_text() == "run\n"

    def test_a_command_sees_no_other_keys(self) -> None:
        environ = dict(os.environ) | {"VIDFS_OTHER_KEY": "topsecret"}
        command = 'echo "x${VIDFS_OTHER_KEY}"'
        assert fetch_key(self.account(command=command), environ) == Secret("x")

    @pytest.mark.parametrize("command", ["exit 3", "true", "echo two words", "echo a; echo b"])
    def test_a_command_without_a_key_is_refused(self, command: str) -> None:
        with pytest.raises(ConfigError, match="key_command of account my-films"):
            fetch_key(self.account(command=command), dict(os.environ))

    def test_the_keyring_comes_last(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import keyring

        asked = []

        def get_password(service: str, name: str) -> str:
            asked.append((service, name))
            return KEY

        monkeypatch.setattr(keyring, "get_password", get_password)
        assert fetch_key(self.account(), {}) == Secret(KEY)
        assert asked == [("vidfs", "my-films")]

    def test_without_any_key_all_ways_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import keyring

        def get_password(service: str, name: str) -> None:
            return None

        monkeypatch.setattr(keyring, "get_password", get_password)
        with pytest.raises(ConfigError, match=r"key_command.*VIDFS_MY_FILMS_KEY.*keyring"):
            fetch_key(self.account(), {})

    def test_children_get_no_keys(self) -> None:
        environ = {"VIDFS_A_KEY": "x", "VIDFS_CONFIG": "y", "PATH": "z"}
        assert without_keys(environ) == {"VIDFS_CONFIG": "y", "PATH": "z"}

    def test_repr_of_an_account_hides_the_key(self) -> None:
        assert KEY not in repr(self.account(key=KEY))


def test_places_follow_flag_environment_and_xdg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "k"))
    assert config_path(None, {}) == tmp_path / "c/vidfs/config.toml"
    assert config_path(None, {"VIDFS_CONFIG": "/e"}) == Path("/e")
    assert config_path("/f", {"VIDFS_CONFIG": "/e"}) == Path("/f")
    xdg = find_directories({})
    assert xdg.state_dir("films") == tmp_path / "s/vidfs/films"
    assert xdg.cache_dir("films") == tmp_path / "k/vidfs/films"
    environ = {"VIDFS_STATE_DIR": "/es", "VIDFS_CACHE_DIR": "/ec"}
    assert find_directories(environ).state_dir("films") == Path("/es/films")
    options = parse_mount_options(["state_dir=/os,cache_dir=/oc"])
    assert find_directories(environ, options).state_dir("films") == Path("/os/films")
    assert find_directories(environ, options).cache_dir("films") == Path("/oc/films")


def test_directories_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = create_private_dir(tmp_path / "a/b/films")
    for one in (path, path.parent, path.parent.parent):
        assert stat.S_IMODE(one.stat().st_mode) == 0o700
    path.chmod(0o755)
    create_private_dir(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file"):
        create_private_dir(tmp_path / "file/films")


def test_the_state_of_another_user_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = create_state_dir(tmp_path / "state")
    assert state.stat().st_mode & 0o777 == 0o700
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(ConfigError, match=f"belongs to another user .uid {uid}"):
        create_state_dir(state)
