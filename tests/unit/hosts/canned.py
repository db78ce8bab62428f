"""Clients whose host answers from a table: no network, no time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from vidfs.hosts import HOSTS
from vidfs.hosts.openload import OpenloadClient
from vidfs.hosts.openload_records import OpenloadDialect
from vidfs.hosts.transport import Answer, Param, Transport
from vidfs.hosts.xvs import XvsClient
from vidfs.hosts.xvs_records import XvsDialect
from vidfs.types import Secret

T = TypeVar("T")
KEY = Secret("45tzu7ub0wtftr6df")
LOGIN = Secret("5147a8f8e924bc82")


class CannedTransport(Transport):
    """*answers*: the body per call. `asked` has every call with its parameters but the key."""

    def __init__(self, answers: dict[str, str]) -> None:
        super().__init__(secrets=[KEY, LOGIN])
        self.answers = answers
        self.asked: list[tuple[str, dict[str, str]]] = []

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
        self.calls[call] += 1
        shown = {name: v for name, v in params if not isinstance(v, Secret)}
        assert ("key", KEY) in params
        self.asked.append((call, shown))
        return parse(answer(self.answers[call], call))


def answer(body: str, call: str = "x/y", http_status: int = 200) -> Answer:
    return Answer(call, http_status, body.encode(), "application/json", None, 1e9, 1e9 + 0.1)


def xvs(name: str, answers: dict[str, str]) -> tuple[XvsClient, CannedTransport]:
    dialect = HOSTS[name].dialect
    assert isinstance(dialect, XvsDialect)
    transport = CannedTransport(answers)
    return XvsClient(transport, dialect, KEY, api_url="https://host.example/api"), transport


def openload(name: str, answers: dict[str, str]) -> tuple[OpenloadClient, CannedTransport]:
    dialect = HOSTS[name].dialect
    assert isinstance(dialect, OpenloadDialect)
    transport = CannedTransport(answers)
    return OpenloadClient(transport, dialect, LOGIN, KEY), transport


def run(body: Callable[[], Awaitable[T]]) -> T:
    return trio.run(body)
