"""What the account has room for, so that no bytes are sent that the host would refuse."""

from __future__ import annotations

from vidfs.errors import HostError, QuotaError, TransientHostError
from vidfs.hosts.api import AccountInfo, VideoHost


class Quota:
    """The last figure of the host less what was sent since: asked anew only when it is short."""

    def __init__(self, host: VideoHost) -> None:
        self._host = host
        self._left_bytes: int | None = None  # None: unlimited, or not known

    def note(self, info: AccountInfo) -> None:
        """What the host says now."""
        left = info.storage_left_bytes
        self._left_bytes = None if left is None or left < 0 else left

    def sent(self, size_bytes: int) -> None:
        if self._left_bytes is not None:
            self._left_bytes = max(0, self._left_bytes - size_bytes)

    async def check(self, size_bytes: int, under_way_bytes: int = 0) -> None:
        """Errors: QuotaError if the account has no room for so many bytes more;
        TransientHostError if that depends on what becomes of *under_way_bytes*, of others."""
        if self._left_bytes is None or size_bytes + under_way_bytes <= self._left_bytes:
            return
        try:
            self.note(await self._host.account_info())
        except HostError:
            return  # the host will say what it thinks of the upload
        if self._left_bytes is not None and size_bytes > self._left_bytes:
            raise QuotaError(
                f"the account's quota: {size_bytes} bytes, and {self._left_bytes} are left",
                call="upload",
            )
        if self._left_bytes is not None and size_bytes + under_way_bytes > self._left_bytes:
            raise TransientHostError(
                "the account may have no room beside what is being sent", call="upload"
            )
