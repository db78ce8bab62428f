"""The recipe of `vidfs/hosts/__init__.py`, tried: StreamWish as one more record.

It lives here and not among the hosts: no page of it is at hand, only differences that others
met (API_FACTS §2.3), and whoever has an account there reaches it as `host = "xvs"` today. What
the record must show is that it needs nothing from the client but data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from tests.hosts.conftest import Door, clean_door
from tests.hosts.simhost_process import SimHost
from tests.unit.hosts.canned import KEY, CannedTransport, answer, run
from vidfs.errors import HostError, NamespaceAbilityError, QuotaError
from vidfs.hosts.api import UploadBody, UploadOptions
from vidfs.hosts.transport import Transport
from vidfs.hosts.xvs import XvsClient
from vidfs.hosts.xvs_records import VIPSTREAM, XvsDialect
from vidfs.hosts.xvs_rows import parse_upload
from vidfs.types import FileCode, FolderId, Secret

STREAMWISH = XvsDialect(
    name="streamwish",
    api_url="https://api.streamwish.com/api",
    capabilities=replace(VIPSTREAM.capabilities, info_sizes=True),
)
"""Source: API_FACTS §2.3: as S1, with sizes in file/info."""

CODE = FileCode("fb5asfuj2snh")
HEAD = '{"msg":"OK","server_time":"2001-09-09 01:46:40","status":200,"result":'


def streamwish(answers: dict[str, str]) -> tuple[XvsClient, CannedTransport]:
    transport = CannedTransport(answers)
    return XvsClient(transport, STREAMWISH, KEY), transport


@pytest.mark.parametrize("size", ['"size":"77"', '"file_sizes":[{"size":"77"}]'])
@pytest.mark.parametrize("form", ["[{%s}]", "{%s}"])
def test_file_info_as_list_or_object_with_the_size_in_either_place(size: str, form: str) -> None:
    row = form % f'"file_code":"fb5asfuj2snh","status":200,"canplay":1,{size}'
    host, _ = streamwish({"file/info": HEAD + row + "}"})
    assert run(lambda: host.file_info([CODE]))[CODE].size_bytes == 77
    assert run(lambda: host.find_size(CODE)) == 77


@pytest.mark.parametrize("text", ["Too many files today", "daily upload quota", "upload limit"])
def test_the_daily_quota_is_a_quota(text: str) -> None:
    body = f'{{"msg":"OK","status":200,"files":[{{"filecode":"","status":"{text}"}}]}}'
    with pytest.raises(QuotaError):
        parse_upload(answer(body, "upload"), True)


def test_what_it_lacks_is_refused_without_a_call() -> None:
    host, transport = streamwish({})
    with pytest.raises(NamespaceAbilityError, match="streamwish"):
        run(lambda: host.delete_file(CODE))
    assert run(host.probe) == STREAMWISH.capabilities
    assert not transport.asked
    assert host.name == "streamwish"


def test_an_address_of_its_own_is_no_error() -> None:
    with pytest.raises(HostError):
        XvsClient(Transport(), replace(STREAMWISH, api_url=None), KEY)


@pytest.fixture
def door(sim_process: SimHost) -> Iterator[Door]:
    yield from clean_door(sim_process, "vipstream")


def test_it_works_against_a_host_like_it(door: Door, film: Path) -> None:
    door.sim.set(info_sizes=True)

    async def main() -> None:
        key = Secret(door.account["key"])
        transport = Transport(secrets=[key])
        host = XvsClient(transport, STREAMWISH, key, api_url=door.account["base_url"])
        try:
            with trio.fail_after(20):
                folder = await host.create_folder(host.root, "Films")
                body = UploadBody(path=film, size_bytes=film.stat().st_size)
                receipt = await host.upload(
                    body, folder=folder, title="A.mp4", options=UploadOptions(adult=False)
                )
                (file,) = (await host.list_folder(FolderId(folder))).files
                assert (file.code, file.title) == (receipt.code, "A.mp4")
                assert await host.find_size(receipt.code) == film.stat().st_size
        finally:
            await host.aclose()

    trio.run(main)
