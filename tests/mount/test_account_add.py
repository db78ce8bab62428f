"""`vidfs account add`, as a person at a terminal and as a script uses it."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.mount.mounting import Program, Simhost
from tests.mount.terminal import Terminal

KEYRING = """
import json
from pathlib import Path
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = 1
    file = Path({file!r})
    def get_password(self, service, name):
        return json.loads(self.file.read_text()).get(name) if self.file.exists() else None
    def set_password(self, service, name, value):
        if {locked}: raise RuntimeError("locked " + value)
        self.file.write_text(json.dumps({{name: value}}))
    def delete_password(self, service, name):
        self.file.unlink()
"""


@pytest.fixture
def new_config(vidfs: Program, tmp_path: Path) -> Path:
    """A configuration that isn't there yet."""
    path = tmp_path / "new/config.toml"
    vidfs.environ["VIDFS_CONFIG"] = str(path)
    return path


def give_keyring(vidfs: Program, tmp_path: Path, *, locked: bool = False) -> Path:
    file = tmp_path / "keys.json"
    (tmp_path / "testring.py").write_text(KEYRING.format(file=str(file), locked=locked))
    vidfs.environ["PYTHONPATH"] += f":{tmp_path}"
    vidfs.environ["PYTHON_KEYRING_BACKEND"] = "testring.Keyring"
    return file


def load(path: Path) -> dict[str, Any]:
    accounts: dict[str, Any] = tomllib.loads(path.read_text())["accounts"]
    return accounts


def start(vidfs: Program, *args: str) -> Terminal:
    return Terminal(vidfs.command("account", "add", *args), vidfs.environ)


def test_step_by_step(vidfs: Program, simhost: Simhost, new_config: Path) -> None:
    account = simhost.accounts()["fruithosted"]
    with start(vidfs) as person:
        person.expect("Name of the account: ")
        person.type("a b")
        person.expect("a name is up to 64 letters")
        person.type("films")
        person.expect("Host (doodstream, vipstream, xvs, fruithosted, pstream, streamtape): ")
        person.type("youtube")
        person.expect("'youtube' is not one of")
        person.type("fruithosted")
        person.expect("Address of its API [https://api.fruithosted.net]: ")
        person.type("http://films.example/api")
        person.expect("plain http would send the key unencrypted")
        person.type(account["base_url"])
        person.expect("API login: ")
        person.type(account["login"])
        person.expect("API key (not shown): ")
        person.type("wrongwrongwrong1234")
        person.expect("refuses the key")
        person.expect("API key (not shown): ")
        person.type(account["key"])
        person.expect("account films is in")
        person.expect("the host accepts the key")
        person.expect("next: vidfs mount films DIR")
        assert person.finish() == 0
        assert "wrongwrong" not in person.transcript
        assert account["key"] not in person.transcript
    assert load(new_config)["films"] == {
        name: account[name] for name in ("host", "base_url", "login", "key")
    }
    assert new_config.stat().st_mode & 0o777 == 0o600
    assert "the host accepts the key" in vidfs.ok("account", "test", "films")


def test_ctrl_c_saves_nothing(vidfs: Program, new_config: Path) -> None:
    with start(vidfs, "films", "--host", "vipstream") as person:
        person.expect("API key (not shown): ")
        person.type("\x03")
        assert person.finish() == 130
        assert "vidfs: interrupted" in person.transcript
    assert not new_config.exists()


def test_three_wrong_keys_are_enough(vidfs: Program, simhost: Simhost, new_config: Path) -> None:
    url = simhost.accounts()["xvs"]["base_url"]
    with start(vidfs, "films", "--host", "xvs", "--base-url", url) as person:
        for _ in range(3):
            person.expect("API key (not shown): ")
            person.type("wrongwrongwrong1234")
        assert person.finish() == 4
    assert not new_config.exists()


@pytest.mark.parametrize("answer", ["y", "n"])
def test_the_keyring_is_offered(
    vidfs: Program, simhost: Simhost, new_config: Path, tmp_path: Path, answer: str
) -> None:
    ring = give_keyring(vidfs, tmp_path)
    account = simhost.accounts()["xvs"]
    with start(vidfs, "films") as person:
        person.expect("Host (")
        person.type("xvs")
        person.expect("Address of its API (https://…/api): ")
        person.type(account["base_url"])
        person.expect("API key (not shown): ")
        person.type(account["key"])
        person.expect("Keep the key in the keyring (else in the configuration file)? [Y/n]: ")
        person.type(answer)
        assert person.finish() == 0
    assert ring.exists() == (answer == "y")
    assert ("key" in load(new_config)["films"]) == (answer == "n")
    assert "the host accepts the key" in vidfs.ok("account", "test", "films")
    vidfs.ok("account", "remove", "films")
    assert not ring.exists()


def test_a_script_gets_the_keyring_too_unless_it_fails(
    vidfs: Program, simhost: Simhost, new_config: Path, tmp_path: Path
) -> None:
    account = simhost.accounts()["xvs"]

    def add(name: str, *flags: str) -> subprocess.CompletedProcess[str]:
        words = (name, "--host", "xvs", "--base-url", account["base_url"])
        done = subprocess.run(
            vidfs.command("account", "add", *words, *flags),
            env=vidfs.environ,
            input=account["key"] + "\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        vidfs.outputs += [done.stdout, done.stderr]
        return done

    ring = give_keyring(vidfs, tmp_path)
    done = add("one")
    assert (done.returncode, done.stderr) == (0, "")
    assert ring.exists()
    assert "key" not in load(new_config)["one"]
    assert add("two", "--no-keyring").returncode == 0
    assert load(new_config)["two"]["key"] == account["key"]
    give_keyring(vidfs, tmp_path, locked=True)
    done = add("three")
    assert done.returncode == 0
    assert "didn't take the key: RuntimeError: it goes into the configuration" in done.stderr
    assert load(new_config)["three"]["key"] == account["key"]
    done = add("four", "--keyring")
    assert done.returncode == 2
    assert "four" not in load(new_config)


def test_what_a_script_forgot_is_named(vidfs: Program, new_config: Path) -> None:
    vip = ("films", "--host", "vipstream")
    for words, message in {
        (): "Name of the account is missing",
        ("films",): "--host is needed: one of doodstream, vipstream",
        ("films", "--host", "youtube"): "no host 'youtube': one of",
        ("films", "--host", "xvs"): "--base-url is needed: xvs runs on many sites",
        vip: "no API key was given",
        (*vip, "--key-command", "exit 7"): "failed (exit code 7)",
        ("demo", "--host", "vipstream"): "the account demo is built in",
        ("a/b", "--host", "vipstream"): "a name is up to 64",
        (*vip, "--base-url", "ftp://x"): "must be an https://",
        (*vip, "--keyring", "--key-command", "x"): "not both",
    }.items():
        assert message in vidfs.fails("account", "add", *words, code=2)
    assert not new_config.exists()
