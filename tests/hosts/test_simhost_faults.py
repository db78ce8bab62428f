"""Faults, limits, latency: each does what it says, as often as it says."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.hosts.simhost_process import SimHost, running


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimHost]:
    with running(tmp_path_factory.mktemp("host")) as host:
        yield host


@pytest.fixture
def host(process: SimHost) -> Iterator[SimHost]:
    before = process.sim("GET", "settings")
    for dialect in ("vipstream", "xvs", "fruithosted"):
        process.sim("DELETE", f"{dialect}/tree")
    yield process
    process.sim("POST", "settings", json.dumps(before).encode())
    process.sim("DELETE", "fault")


DROPPED = (http.client.RemoteDisconnected, ConnectionResetError)


def is_dropped(host: SimHost, dialect: str, call: str, **params: object) -> bool:
    try:
        host.api(dialect, call, **params)
    except DROPPED:
        return True
    return False


def statuses(host: SimHost, count: int) -> list[object]:
    return [host.call("xvs", "file/list")["status"] for _ in range(count)]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ("", [500] * 6),
        (":nth=3", [200, 200, 500, 200, 200, 200]),
        (":nth=2:times=3", [200, 500, 500, 500, 200, 200]),
        (":every=2", [200, 500, 200, 500, 200, 500]),
        (":every=2:times=1", [200, 500, 200, 200, 200, 200]),
        (":times=2", [500, 500, 200, 200, 200, 200]),
        (":after=4", [200, 200, 200, 200, 500, 500]),
    ],
)
def test_counting(host: SimHost, conditions: str, expected: list[int]) -> None:
    host.fault(f"xvs:file/list:status=500{conditions}")
    assert statuses(host, 6) == expected
    assert host.call("vipstream", "file/list")["status"] == 200
    assert host.call("xvs", "folder/list")["status"] == 200


def test_probability_is_the_same_every_time(host: SimHost) -> None:
    runs = []
    for _ in range(2):
        host.sim("DELETE", "fault")
        host.fault("*:*:status=500:p=0.5")
        runs.append(statuses(host, 20))
    assert runs[0] == runs[1] and set(runs[0]) == {200, 500}


def test_drop_before_does_nothing_and_drop_after_does_the_work(host: SimHost) -> None:
    host.fault("xvs:folder/create:drop-before:nth=1")
    host.fault("xvs:folder/create:drop-after:nth=2")
    assert is_dropped(host, "xvs", "folder/create", name="a")
    assert is_dropped(host, "xvs", "folder/create", name="b")
    assert not is_dropped(host, "xvs", "folder/create", name="c")
    assert [f["path"] for f in host.sim("GET", "xvs/tree")["folders"]] == ["b", "c"]


def test_uploads_are_dropped_too(host: SimHost) -> None:
    for rule, stored in (("drop-before", 0), ("drop-at=500000", 0), ("drop-after", 1)):
        host.sim("DELETE", "fault")
        host.fault(f"xvs:upload:{rule}")
        with pytest.raises((*DROPPED, BrokenPipeError)):
            host.upload("xvs", "a.mp4", b"x" * 1_000_000)
        assert len(host.files("xvs")) == stored
        assert not list((host.root / "xvs" / "tmp").iterdir())


def test_readable_refusals_and_lost_uploads(host: SimHost) -> None:
    host.fault("xvs:upload:undef:nth=1")
    host.fault("xvs:upload:refuse=daily quota:nth=2")
    host.fault("xvs:upload:lose:nth=3")
    host.fault("xvs:upload:html:nth=4")
    host.fault("xvs:upload:http=502:nth=5")
    answers = [host.upload("xvs", "a.mp4", b"x") for _ in range(5)]
    first, second, third = (answer.json()["files"][0] for answer in answers[:3])
    assert (first["filecode"], first["status"]) == ("undef", "OK")
    assert (second["filecode"], second["status"]) == ("", "daily quota")
    assert len(third["filecode"]) == 12 and third["status"] == "OK"
    assert answers[3].body.startswith(b"<!DOCTYPE html>") and answers[4].status == 502
    assert len(host.files("xvs")) == 1  # only the HTML answer stood for a stored file


def test_unreadable_answers(host: SimHost) -> None:
    host.fault("xvs:file/list:html:nth=1")
    host.fault("xvs:file/list:cut:nth=2")
    host.fault("xvs:file/list:plain:nth=3")
    host.fault("xvs:file/list:truncate:nth=4")
    host.fault("xvs:file/list:string-status:nth=5")
    assert b"<html>" in host.api("xvs", "file/list").body
    with pytest.raises(json.JSONDecodeError):
        host.call("xvs", "file/list")
    assert host.api("xvs", "file/list").status == 520
    with pytest.raises(http.client.IncompleteRead):
        host.api("xvs", "file/list")
    assert host.call("xvs", "file/list")["status"] == "200"


def test_throttling(host: SimHost) -> None:
    too_many = {"msg": "Too Many Requests", "status": "429"}
    host.fault("*:account/info:too-many:nth=1")
    host.fault("*:account/info:too-many-http:nth=2")
    assert host.call("xvs", "account/info") == too_many
    reply = host.api("xvs", "account/info")
    assert (reply.status, reply.headers["retry-after"], reply.json()) == (429, "1", too_many)
    host.fault("fruithosted:file/dlticket:bandwidth:nth=1")
    host.fault("fruithosted:file/dlticket:wait=7:nth=2")
    code = host.add("fruithosted", "a.txt")
    answer = host.call("fruithosted", "file/dlticket", file=code)
    assert (answer["status"], answer["result"]) == (509, None)
    assert "wait 7 more" in host.call("fruithosted", "file/dlticket", file=code)["msg"]


def test_rate_limit(host: SimHost) -> None:
    host.sim("POST", "xvs/settings", b'{"rate_limit": 5}')
    answers = [host.call("xvs", "account/info")["status"] for _ in range(8)]
    assert answers == [200] * 5 + ["429"] * 3
    assert host.call("vipstream", "account/info")["status"] == 200
    host.sim("POST", "xvs/settings", b'{"rate_limit_http": true}')
    assert host.api("xvs", "account/info").status == 429


def test_latency_of_parallel_calls_overlaps(host: SimHost) -> None:
    host.set(latency_ms=200)
    started = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: host.call("xvs", "account/info"), range(10)))
    assert 0.2 <= time.monotonic() - started < 1.5


def test_parallel_limit_is_an_edge_server_error(host: SimHost) -> None:
    host.set(latency_ms=300, parallel_limit=2)
    with ThreadPoolExecutor(3) as pool:
        replies = list(pool.map(lambda _: host.api("xvs", "account/info"), range(3)))
    assert sorted(reply.status for reply in replies) == [200, 200, 520]


def test_http_status_may_follow(host: SimHost) -> None:
    assert host.api("xvs", "nonsense").status == 200
    host.set(http_status=True)
    assert host.api("xvs", "nonsense").status == 400


def test_download_faults(host: SimHost) -> None:
    code = host.add("xvs", "film", b"0123456789")
    for rule in ("drop-at=4", "ignore-range", "status=503", "html", "truncate", "expire"):
        host.fault(f"xvs:download:{rule}:nth=1")
        link = host.link("xvs", code)
        span = {"range": "bytes=2-"}
        if rule in ("drop-at=4", "truncate"):
            with pytest.raises(http.client.IncompleteRead) as caught:
                host.request("GET", link, headers=span)
            assert caught.value.partial == b"2345"
        else:
            reply = host.request("GET", link, headers=span)
            expected = {"ignore-range": 200, "status=503": 503, "html": 200, "expire": 403}
            assert reply.status == expected[rule]
            assert (reply.body == b"0123456789") == (rule == "ignore-range")
        host.sim("DELETE", "fault")
        assert host.request("GET", link, headers=span).body == b"23456789"


@pytest.mark.parametrize("rule", ["xvs", "xvs:upload", "xvs:upload:explode", "*:*:html:when=1"])
def test_bad_rules_are_refused(host: SimHost, rule: str) -> None:
    assert host.request("POST", "/_sim/fault", rule.encode()).status == 400


def test_bad_settings_are_refused_and_change_nothing(host: SimHost) -> None:
    for body in (b'{"nonsense": 1}', b'{"latency_ms": "much"}'):
        assert host.request("POST", "/_sim/settings", body).status == 400
    assert host.sim("GET", "settings")["latency_ms"] == 0
