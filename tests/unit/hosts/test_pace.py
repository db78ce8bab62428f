"""What a person is told of the calls' pace."""

from __future__ import annotations

import trio
import trio.testing

from vidfs.hosts.api import Pace
from vidfs.hosts.pacing import ALL_CALLS, Pacer


def test_pace_tells_calls_of_the_last_minute_the_limit_and_the_pause() -> None:
    async def main() -> None:
        pacer = Pacer()
        assert pacer.pace == Pace(calls_last_minute=0, limit_per_s=None, pause_s=0.0)
        for _ in range(3):
            await pacer.take_turn("file/list")
        await trio.sleep(50)
        for _ in range(2):
            await pacer.take_turn("file/info")
        assert pacer.pace.calls_last_minute == 5
        pacer.note_refusal("file/info", left_at=trio.current_time(), pause_s=20.0)
        pace = pacer.pace
        assert pace.limit_per_s == pacer.rate
        assert pace.pause_s == 20.0
        await trio.sleep(15)
        assert pacer.pace.calls_last_minute == 2
        assert pacer.pace.pause_s == 5.0
        pacer.pause(ALL_CALLS, 1.0)
        await trio.sleep(100)
        assert (pacer.pace.calls_last_minute, pacer.pace.pause_s) == (0, 0.0)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_limit_of_the_users_own_is_told() -> None:
    async def main() -> None:
        assert Pacer(rate_max=2.5).pace.limit_per_s == 2.5

    trio.run(main)
