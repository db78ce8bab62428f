"""Whatever a host answers to whatever call: a value or a typed error, never a crash."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from tests.hosts.documented_calls import CALLS, Stage
from tests.unit.hosts.canned import KEY, LOGIN, CannedTransport, answer, run
from vidfs.errors import TransientHostError, VidfsError
from vidfs.hosts import HOSTS, lag
from vidfs.hosts.api import DownloadLink
from vidfs.hosts.openload import OpenloadClient
from vidfs.hosts.transport import Answer, Param
from vidfs.hosts.xvs import XvsClient
from vidfs.hosts.xvs_records import XvsDialect
from vidfs.types import FileCode, FolderId

T = TypeVar("T")
CASES = [(dialect, call) for dialect, calls in CALLS.items() for call in calls]

GOOD = '{"status": 200, "msg": "OK", "server_time": "2001-09-09 01:46:40", "result": %s}'

RESULTS = [
    "null", "[]", "{}", '""', "false", "true", "0", "-1e400", '"true"', "[null]", "[[]]", "[1]",
    '["x"]', '{"a": null}', '{"a": 1, "b": {}}', '{"files": 1, "folders": "x"}',
    '{"files": [null], "folders": {"a": []}}', '{"versions": {"o": 5}}', '{"url": []}',
    '[{"file_code": {}, "status": [], "size": {}, "title": [1], "uploaded": {}, "name": false}]',
    '{"filecode": [], "id": {}, "fld_id": [], "folderid": false, "ticket": {}, "wait_time": "x"}',
    '{"files": [{"file_code": "abc", "linkid": "abc", "canplay": "x", "length": "?"}],'
    ' "pages": "x", "results_total": [], "total_pages": {}}',
]  # fmt: skip

BODIES = [
    "", "null", "[]", "true", "<!DOCTYPE html><title>Attention</title>", "error code: 520",
    '{"status": 200, "msg": "OK", "result": {"files": [{"file_co', '{"status": {}, "msg": []}',
    '{"status": "two hundred", "msg": 5, "result": {}}', '{"result": 5}', "[" * 100_000,
    '{"status": 99999999999999999999, "msg": null}', '\\ud800{"', "\x00" * 50,
    *(GOOD % result for result in RESULTS),
]  # fmt: skip


class BadTransport(CannedTransport):
    """Every call, the upload included, is answered with *body*."""

    def __init__(self, body: str) -> None:
        super().__init__({})
        self.body = body

    async def call(
        self,
        base_url: str,
        call: str,
        params: Sequence[Param],
        parse: Callable[[Answer], T],
        *,
        repeatable: bool,
        urgent: bool = False,
    ) -> T:
        await trio.lowlevel.checkpoint()
        return parse(answer(self.body, call))

    async def upload(
        self, url: str, params: Sequence[Param], body: Any, parse: Callable[[Answer, bool], T]
    ) -> T:
        return parse(answer(self.body, "upload"), True)

    def open_stream(self, link: DownloadLink, start_byte: int, stop_byte: int | None = None) -> Any:
        raise TransientHostError("no film here")


def client(dialect: str, body: str) -> XvsClient | OpenloadClient:
    record = HOSTS[dialect].dialect
    transport = BadTransport(body)
    if isinstance(record, XvsDialect):
        return XvsClient(transport, record, KEY, api_url="https://host.example/api")
    return OpenloadClient(transport, record, LOGIN, KEY)


async def outcome(act: Awaitable[object]) -> object:
    with trio.fail_after(20):
        try:
            return await act
        except VidfsError as error:
            return error


@pytest.fixture(autouse=True, scope="module")
def no_lag() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lag, "LOOK_PAUSES_S", (0.0,))
        yield


@pytest.mark.parametrize(("dialect", "call"), CASES)
def test_no_answer_crashes_a_call(dialect: str, call: str, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"film")
    stage = Stage(
        file=FileCode("abc"), other=FileCode("def"), folder=FolderId("7"), film=film
    )  # fmt: skip

    async def all_of_them() -> None:
        for body in BODIES:
            host = client(dialect, body)
            for act in CALLS[dialect][call].acts:
                error = await outcome(act(host, stage))
                if isinstance(error, VidfsError):
                    assert "\n" not in str(error) and len(str(error)) < 400

    run(all_of_them)


@pytest.mark.parametrize("dialect", sorted(HOSTS))
def test_thirty_megabytes_of_json(dialect: str) -> None:
    row = '{"file_code": "abc", "linkid": "abc", "title": "%s"},' % ("t" * 900)
    body = GOOD % ('{"folders": [], "files": [' + row * (30_000_000 // len(row)) + "{}]}")
    assert len(body) > 29_000_000
    host = client(dialect, body)
    files = run(lambda: host.list_folder(host.root)).files
    assert len(files) == 30_000_000 // len(row)
