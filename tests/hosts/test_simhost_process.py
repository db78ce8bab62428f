"""The simulated host as a program: flags, start, stop, crash."""

from __future__ import annotations

import http.client
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.hosts.simhost_process import ROOT, SimHost, encode_form, random_bytes, running

DIALECTS = ["doodstream", "vipstream", "xvs", "fruithosted", "pstream", "streamtape"]


def test_config_is_written_for_its_owner_only(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("old")
    config.chmod(0o644)
    with running(tmp_path / "host", "--write-config", str(config)) as host:
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        accounts = tomllib.loads(config.read_text())["accounts"]
        assert list(accounts) == DIALECTS
        for name, account in accounts.items():
            assert account["host"] == name
            assert account["base_url"] == host.accounts[name]["base_url"]
            assert account["key"] == host.accounts[name]["key"]
        assert re.fullmatch(r"[a-z0-9]{16,}", accounts["vipstream"]["key"])
    for name in DIALECTS:
        secrets = tmp_path / "host" / name / "account.json"
        assert stat.S_IMODE(secrets.stat().st_mode) == 0o600


def test_everything_survives_a_kill(tmp_path: Path) -> None:
    content = random_bytes(100_000)
    with running(tmp_path) as host:
        keys = host.accounts["xvs"]["key"]
        folder = host.result("xvs", "folder/create", name="Films")["fld_id"]
        host.upload("xvs", "a.mp4", content, fld_id=folder, file_title="A film")
        before = host.sim("GET", "xvs/tree")
        host.process.kill()
        host.process.wait()
    stray = tmp_path / "xvs" / "files" / "abcdefghijkl"
    stray.write_bytes(b"received, but its row was never written")
    with running(tmp_path) as host:
        assert host.accounts["xvs"]["key"] == keys
        assert host.sim("GET", "xvs/tree") == before
        code = before["files"][0]["code"]
        assert host.request("GET", host.link("xvs", code)).body == content
        assert not stray.exists()
        assert host.result("xvs", "folder/create", name="More")["fld_id"] != folder


@pytest.mark.parametrize("busy", [False, True])
def test_it_stops_at_once_when_told_to(tmp_path: Path, busy: bool) -> None:
    with running(tmp_path) as host:
        connection = _hanging_upload(host) if busy else None
        assert host.stop() == 0
        if connection:
            connection.close()


def _hanging_upload(host: SimHost) -> http.client.HTTPConnection:
    body, kind = encode_form({}, [("file", "a.mp4", b"x" * 1000)])
    connection = http.client.HTTPConnection("127.0.0.1", int(host.url.rpartition(":")[2]))
    connection.putrequest("POST", "/node/xvs/upload/01")
    connection.putheader("content-type", kind)
    connection.putheader("content-length", str(len(body) + 10))
    connection.endheaders()
    connection.send(body)
    return connection


def test_it_ends_with_its_standard_input(tmp_path: Path) -> None:
    with running(tmp_path, "--until-eof", stdin=subprocess.PIPE) as host:
        assert host.sim("GET", "accounts")
        assert host.process.stdin is not None
        host.process.stdin.close()
        assert host.process.wait(10) == 0


def test_only_the_ready_line_is_printed_and_no_key_is_logged(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "vidfs.simhost", "--root", str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    host = SimHost(process, line.split()[-1], tmp_path)
    for call in ("account/info", "nonsense", "file/info"):
        host.api("xvs", call)
    host.request("POST", "/node/xvs/upload/01", b"not a form", {"content-type": "text/plain"})
    process.terminate()
    rest, errors = process.communicate(timeout=10)
    assert (rest, errors) == (b"", b"")


def test_wrong_flags_are_told(tmp_path: Path) -> None:
    for flags in (["--fault", "nonsense"], ["--no-such-flag"], ["--port", "1"]):
        if flags[0] == "--port" and os.geteuid() == 0:
            continue  # may listen there
        done = subprocess.run(
            [sys.executable, "-m", "vidfs.simhost", "--root", str(tmp_path), *flags],
            cwd=ROOT,
            capture_output=True,
            timeout=20,
            check=False,
        )
        assert done.returncode != 0 and done.stdout == b""
        assert b"Traceback" not in done.stderr and done.stderr


def test_flags_are_settings(tmp_path: Path) -> None:
    flags = ["--latency-ms", "1", "--rate-limit", "1000", "--transcode", "--ticket-wait", "3",
             "--link-ttl", "9", "--fault", "*:file/list:status=500:times=1"]  # fmt: skip
    with running(tmp_path, *flags) as host:
        settings = host.sim("GET", "settings")
        assert settings["latency_ms"] == 1 and settings["transcode"] is True
        assert settings["ticket_wait_s"] == 3 and settings["link_ttl_s"] == 9
        assert host.call("xvs", "file/list")["status"] == 500
