"""How fast one account may call its host, learnt from the host's refusals.

Owns the clock of calls: a rate, a number of calls at once, and pauses that the host asked
for. Knows no HTTP. All times are `trio.current_time()`.
"""

from __future__ import annotations

import math
from collections import deque

import trio

from vidfs.errors import RateLimitedError
from vidfs.hosts.api import Pace

RATE_MIN = 0.2
"""Calls per second below which no host pushes us: one every five seconds."""

RATE_FIRST = 3.0
"""Calls per second that the first refusal leaves at least.

The strictest hosts known allow three or four; a single refusal may be a whim.
Source: API_FACTS §2.4, §7.
"""

FIRST_FACTOR = 0.5
"""What the first refusal leaves of the rate that led to it …"""

NEXT_FACTOR = 0.7
"""… and what every later one leaves: the rate is then near the limit."""

DRAIN_S = 1.0
"""Nothing leaves for so long after a refusal: hosts count over the last second."""

CLIMB_FACTOR = 1.3
"""How much faster after each good second, up to just below the rate last refused."""

CREEP_FACTOR = 1.02
"""The same beyond that: trying, carefully, whether the limit has moved."""

MEASURE_S = 1.0
"""Span over which the calls that led to a refusal are counted."""

ALL_CALLS = ""


class CallPausedError(RateLimitedError):
    """The host wants this one call to wait; its other calls are as welcome as before."""


class Pacer:
    """Starts unlimited (or at the user's rate); refusals lower it, success raises it.

    A call first takes a place in `places`, then its turn: so only as many turns are given
    out ahead as there are places, and a new rate takes hold at once.
    """

    def __init__(self, *, rate_max: float | None = None, parallel_max: int = 8) -> None:
        """*rate_max*: calls per second never exceeded; None: unlimited until refused."""
        self.places = trio.CapacityLimiter(max(1, parallel_max))
        self.urgent_place = trio.CapacityLimiter(1)  # for a call that many others wait for
        self._rate_max = rate_max if rate_max is not None and rate_max > 0 else math.inf
        self._rate = self._rate_max
        self._ceiling = math.inf
        self._turn_free_at = -math.inf
        self._paused_until: dict[str, float] = {}
        self._slowed_at = -math.inf
        self._raised_at = -math.inf
        self._recent: deque[float] = deque(maxlen=10_000)

    @property
    def rate(self) -> float:
        """Calls per second now; infinite while nothing limits them."""
        return self._rate

    @property
    def pace(self) -> Pace:
        now = trio.current_time()
        return Pace(
            calls_last_minute=self._count_since(now - 60.0),
            limit_per_s=None if self._rate == math.inf else self._rate,
            pause_s=max(0.0, self.pause_end(ALL_CALLS) - now),
        )

    def pause_end(self, call: str) -> float:
        """Until when the host asked this call to wait; may lie in the past."""
        return max(
            self._paused_until.get(ALL_CALLS, -math.inf), self._paused_until.get(call, -math.inf)
        )

    def next_turn(self, call: str) -> float:
        """When a call asking for its turn now would get it."""
        return max(trio.current_time(), self._turn_free_at, self.pause_end(call))

    async def take_turn(self, call: str) -> None:
        """Wait until this call may leave. Checkpoint: only if it must wait."""
        while True:
            turn = self.next_turn(call)
            if self._rate < math.inf:
                self._turn_free_at = turn + 1.0 / self._rate
            if turn > trio.current_time():
                await trio.sleep_until(turn)
            if self.pause_end(call) <= trio.current_time():
                break  # else the host asked for a pause meanwhile: queue again
        self._recent.append(trio.current_time())

    def note_refusal(self, call: str, *, left_at: float, pause_s: float | None) -> None:
        """The host refused a call that left at *left_at* because calls come too fast.

        *pause_s*: what it asked every call to wait. Checkpoint: none.
        """
        now = trio.current_time()
        if pause_s is not None:
            self.pause(ALL_CALLS, pause_s)
        if left_at < self._slowed_at:
            return  # it left before the last slowing could take effect: a burst counts once
        if self._ceiling == math.inf:
            rate = min(self._rate, self._measure(now))
            slower = max(RATE_FIRST, rate * FIRST_FACTOR)
        else:
            rate = self._rate
            slower = max(RATE_MIN, rate * NEXT_FACTOR)
        self._ceiling = max(rate * 0.9, slower)
        self._rate = min(self._rate_max, slower)
        self._turn_free_at = max(self._turn_free_at, now + DRAIN_S)
        self._slowed_at = self._raised_at = self._turn_free_at

    def pause(self, call: str, pause_s: float) -> None:
        """No call of that name (or `ALL_CALLS`) leaves for so long. Checkpoint: none."""
        until = trio.current_time() + pause_s
        self._paused_until[call] = max(self._paused_until.get(call, -math.inf), until)

    def note_success(self) -> None:
        """A call was answered. Checkpoint: none."""
        if self._rate >= self._rate_max:
            return
        now = trio.current_time()
        if now - self._raised_at < 1.0:
            return
        self._raised_at = now
        if self._rate < self._ceiling:
            self._rate = min(self._rate * CLIMB_FACTOR, self._ceiling, self._rate_max)
        else:
            self._rate = min(self._rate * CREEP_FACTOR, self._rate_max)

    def _measure(self, now: float) -> float:
        """Calls per second that led here."""
        return max(1.0, self._count_since(now - MEASURE_S) / MEASURE_S)

    def _count_since(self, since: float) -> int:
        count = 0
        for left_at in reversed(self._recent):
            if left_at < since:
                break
            count += 1
        return count
