"""Who may keep fetched chunks in memory while the cache has no room: a few readers at a time.

However many films are read, what so many readers keep is the most that memory holds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import trio

_SEATS = 4


class Seated(Protocol):
    def stand_up(self) -> None:
        """Drop what is kept in memory: the seat is another's now."""


class Seats:
    def __init__(self) -> None:
        self._users: dict[Seated, int] = {}  # of each seat
        self._queue = 0
        self._left = trio.Event()

    def has(self, reader: Seated) -> bool:
        return reader in self._users

    @asynccontextmanager
    async def taken(self, reader: Seated, wait_s: float) -> AsyncIterator[None]:
        """*reader* has a seat meanwhile, and afterwards until another one wants it.

        Errors: trio.TooSlowError if none became free within *wait_s*.
        """
        with trio.fail_after(wait_s):
            # Whoever has a seat waits, too, where others do: its reads might never end.
            may_sit = not self._queue and self._find(reader)
            while not may_sit:
                await self._wait()
                may_sit = self._find(reader)
        self._users[reader] = self._users.get(reader, 0) + 1
        try:
            yield
        finally:
            self._users[reader] -= 1
            self._wake()

    async def _wait(self) -> None:
        self._queue += 1
        try:
            await self._left.wait()
        except BaseException:
            self._wake()  # another may have stood back for this one
            raise
        finally:
            self._queue -= 1

    def _find(self, reader: Seated) -> bool:
        if reader in self._users or len(self._users) < _SEATS:
            return True
        idle = next((other for other, users in self._users.items() if not users), None)
        if idle is None:
            return False
        del self._users[idle]
        idle.stand_up()
        return True

    def forget(self, reader: Seated) -> None:
        """*reader* is closed: none of its reads is waiting."""
        if self._users.pop(reader, None) is not None:
            self._wake()

    def _wake(self) -> None:
        self._left.set()
        self._left = trio.Event()
