"""One account's conversation with an XVideoSharing site: what all its calls share.

Owns the key, the host's clock, and what was learnt of the host's abilities.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from vidfs.errors import AbilityError
from vidfs.hosts.api import Capabilities
from vidfs.hosts.envelope import Envelope, decode_rows, open_envelope
from vidfs.hosts.scalars import HostClock, to_int
from vidfs.hosts.transport import Answer, Param, Transport
from vidfs.hosts.xvs_records import XvsDialect
from vidfs.types import Secret

T = TypeVar("T")

Sent = Sequence[tuple[str, "str | None"]]
"""Parameters; those that are None are left out."""


class XvsSession:
    def __init__(
        self,
        transport: Transport,
        dialect: XvsDialect,
        key: Secret,
        *,
        api_url: str,
        capabilities: Capabilities,
    ) -> None:
        self.transport = transport
        self.dialect = dialect
        self.key = key
        self.capabilities = capabilities
        self.clock = HostClock()
        self.newest_folder = 0  # the highest folder id seen
        self._api_url = api_url

    async def ask(
        self,
        call: str,
        params: Sent,
        parse: Callable[[Envelope], T],
        *,
        repeatable: bool = True,
        urgent: bool = False,
    ) -> T:
        """One API call; what *parse* makes of its answer. Errors: HostError."""

        def parse_answer(answer: Answer) -> T:
            return parse(open_envelope(answer, self.clock))

        sent: list[Param] = [("key", self.key)]
        sent += [(name, value) for name, value in params if value is not None]
        return await self.transport.call(
            self._api_url, call, sent, parse_answer, repeatable=repeatable, urgent=urgent
        )

    async def ask_rows(self, call: str, params: Sent, row: type[T]) -> list[T]:
        return await self.ask(call, params, lambda e: decode_rows(e.result, row, call))

    async def do(self, call: str, params: Sent) -> None:
        """A call whose answer says nothing but that it worked."""
        await self.ask(call, params, lambda e: None)

    def narrow(self, call: str) -> bool:
        """This installation has no such call. True if it is one that may be missing."""
        lost = self.dialect.optional_calls.get(call, {})
        self.change(**lost)
        return bool(lost)

    def change(self, **abilities: Any) -> None:
        self.capabilities = dataclasses.replace(self.capabilities, **abilities)

    def need(self, able: object, what: str) -> None:
        """Errors: AbilityError."""
        if not able:
            raise AbilityError(f"{self.dialect.name} can't {what}")

    def note_folder(self, identifier: str) -> None:
        self.newest_folder = max(self.newest_folder, to_int(identifier) or 0)
