"""Looking for what a call may have made, on hosts whose listings lag behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import trio

T = TypeVar("T")

LOOK_PAUSES_S: Final = (0.0, 0.3, 0.7, 1.5, 2.5)
"""Five seconds in all. Assumed: no document says how long a listing may lag; somebody waits for the
answer meanwhile, and a call that is made again too early leaves two of what it makes."""


async def find_patiently(find: Callable[[], Awaitable[T | None]]) -> T | None:
    """The first that *find* finds; None if it is still not there after the last pause."""
    for pause_s in LOOK_PAUSES_S:
        await trio.sleep(pause_s)
        if (found := await find()) is not None:
            return found
    return None
