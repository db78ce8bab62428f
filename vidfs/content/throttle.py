"""A bandwidth limit shared by all uploads."""

from __future__ import annotations

import trio


class Throttle:
    """Lets *bytes_per_s* pass in all, in turn. A second's worth may be saved up."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0  # when everything let through so far has been paid for

    async def wait(self, size_bytes: int) -> None:
        """Return when *size_bytes* more may go."""
        now = trio.current_time()
        self._free_at = max(self._free_at, now - 1.0) + size_bytes / self._bytes_per_s
        await trio.sleep(max(0.0, self._free_at - now))
