"""Making something once, at hosts whose answers get lost and whose listings lag behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import trio

from vidfs.errors import OutcomeUnknownError, PermanentHostError, UnreadableAnswerError

T = TypeVar("T")

LOOK_PAUSES_S: Final = (0.0, 0.3, 0.7, 1.5, 2.5)
"""Five seconds in all. Assumed: no document says how long a listing may lag; somebody waits for the
answer meanwhile, and a call that is made again too early leaves two of what it makes."""

_ATTEMPTS = 3


async def make_once(
    make: Callable[[], Awaitable[T | None]],
    find: Callable[[], Awaitable[T | None]] | None,
    *,
    call: str,
) -> T:
    """What *make* makes by *call*, which isn't repeatable. Where its answer was lost, or names
    nothing (None), *find* looks for what it may have made before it is made again.

    Errors: HostError; OutcomeUnknownError where nobody can look (no *find*).
    """
    asked_before = False
    for _ in range(_ATTEMPTS):
        try:
            made = await make()
        except OutcomeUnknownError:
            if find is None:
                raise
        except PermanentHostError:  # it may be there already, by our own doing
            if not asked_before:
                raise
        else:
            if made is not None:
                return made
        asked_before = True
        found = await _find_patiently(find) if find is not None else None
        if found is not None:
            return found
    raise UnreadableAnswerError(f"{call}: no answer, and nothing of that name", call=call)


async def _find_patiently(find: Callable[[], Awaitable[T | None]]) -> T | None:
    """The first that *find* finds; None if it is still not there after the last pause."""
    for pause_s in LOOK_PAUSES_S:
        await trio.sleep(pause_s)
        if (found := await find()) is not None:
            return found
    return None
