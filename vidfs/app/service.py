"""What systemd wants to know of a `Type=notify` service: ready, how it goes, stopping."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress

_VARIABLE = "NOTIFY_SOCKET"


class ServiceManager:
    """Tells the service manager that started us; where none did, tells nobody.

    It may be gone or not listen: that is never our error.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get(_VARIABLE, "")
        # "@…" stands for the abstract namespace, whose names begin with a NUL
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._status = ""

    @property
    def listens(self) -> bool:
        return bool(self._address)

    def tell(self, *words: str, status: str = "") -> None:
        """Send *words* ("READY=1" …), and *status* as the line that `systemctl status` shows."""
        if status and status != self._status:
            words = (*words, "STATUS=" + " ".join(status.split()))
            self._status = status
        if not self._address or not words:
            return
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line,
        ):
            line.setblocking(False)
            line.sendto("\n".join(words).encode(errors="replace"), self._address)


def without_manager(environ: Mapping[str, str]) -> dict[str, str]:
    """*environ* for a child process, which is no business of the service manager's."""
    return {name: value for name, value in environ.items() if name != _VARIABLE}
