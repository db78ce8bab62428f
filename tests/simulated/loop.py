"""An event loop beside a test that isn't asynchronous itself."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Any

import trio

CALL_DEADLINE_S = 60.0

Step = Callable[[], Awaitable[Any]]


class Loop:
    """An event loop in a thread, in which a volume lives from one step to the next."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._main,), daemon=True)
        self._thread.start()
        self._ready.wait()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._end = trio.Event()
        async with trio.open_nursery() as self.nursery:
            self._ready.set()
            await self._end.wait()

    def run(self, step: Step) -> Any:
        async def bounded() -> Any:
            with trio.fail_after(CALL_DEADLINE_S):
                return await step()

        return trio.from_thread.run(bounded, trio_token=self._token)

    def stop(self) -> None:
        trio.from_thread.run_sync(self._end.set, trio_token=self._token)
        self._thread.join(CALL_DEADLINE_S)
        assert not self._thread.is_alive(), "the volume didn't end"
