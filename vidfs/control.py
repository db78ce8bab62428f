"""The daemon's control socket: how commands ask a mount that runs.

`<state>/<account>/control.sock`, newline-delimited JSON. A request is
`{"cmd": …}`; the answer is one or more objects, the last with `"end": true` and, where it was
refused, `"error"` and the error's class as `"kind"`. Only the owner (and root) gets at the
socket. State directories may be deeper than the 108 bytes that a socket address holds, so both
ends go through `/proc/self/fd/N/`.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vidfs import errors
from vidfs.errors import MountError, NotMountedError, VidfsError

if TYPE_CHECKING:
    import trio

SOCKET_NAME = "control.sock"
REQUEST_BYTES_MAX = 1 << 20
ANSWER_BYTES_MAX = 64 << 20
CONNECTIONS_MAX = 64
REQUEST_DEADLINE_S = 30.0
SEND_DEADLINE_S = 30.0

Message = Mapping[str, Any]
Send = Callable[[Message], Awaitable[bool]]
"""Sends a line; False when the command has gone, and nothing more needs to be sent."""
Handler = Callable[[Message, Send], Awaitable[Message | None]]
"""Answers one request: may send any number of lines; what it returns ends the answer."""

_log = logging.getLogger(__name__)


@contextmanager
def _socket_address(state_dir: Path) -> Iterator[str]:
    fd = os.open(state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{SOCKET_NAME}"
    finally:
        os.close(fd)


# ------------------------------------------------------------------------------- client


def ask(state_dir: Path, cmd: str, *, timeout_s: float | None = 30.0, **args: object) -> Message:
    """The last line of the answer to *cmd*. Errors: as `ask_lines`."""
    last: Message = {}
    for line in ask_lines(state_dir, cmd, timeout_s=timeout_s, **args):
        last = line
    return last


def ask_lines(
    state_dir: Path, cmd: str, *, timeout_s: float | None = 30.0, **args: object
) -> Iterator[Message]:
    """Every line of the answer to *cmd*, the last one included.

    *timeout_s* is the longest silence. Errors: NotMountedError if no daemon listens, the
    error the daemon names, MountError when it breaks off.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(timeout_s)
        try:
            with _socket_address(state_dir) as address:
                connection.connect(address)
        except OSError:
            raise NotMountedError(f"no daemon answers in {state_dir}") from None
        try:
            connection.sendall(msgspec.json.encode({"cmd": cmd, **args}) + b"\n")
            with connection.makefile("rb") as lines:
                while line := lines.readline(ANSWER_BYTES_MAX):
                    message: Message = msgspec.json.decode(line, type=dict[str, Any])
                    if "error" in message:
                        raise _to_error(message)
                    yield message
                    if message.get("end"):
                        return
        except TimeoutError:
            raise MountError("the daemon doesn't answer") from None
        except (OSError, msgspec.MsgspecError):
            pass
        raise MountError("the daemon broke off the answer")


def _to_error(message: Message) -> VidfsError:
    kind = getattr(errors, str(message.get("kind", "")), None)
    if not (isinstance(kind, type) and issubclass(kind, VidfsError)):
        kind = MountError
    error: VidfsError = kind(str(message["error"]))
    return error


# ------------------------------------------------------------------------------- server


class ControlServer:
    """Answers on the control socket of *state_dir* with *handlers*, by command.

    The caller holds the account's lock, so a socket file that is there is a dead daemon's.
    """

    def __init__(self, state_dir: Path, handlers: Mapping[str, Handler]) -> None:
        self._state_dir = state_dir
        self._handlers = handlers
        self._accepting: trio.CancelScope | None = None
        self._finished: trio.Event | None = None

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled or `finish`; the socket file goes with it. Ready once started."""
        import trio

        listener = self._listen()
        limit = trio.Semaphore(CONNECTIONS_MAX)
        self._accepting = trio.CancelScope()
        self._finished = trio.Event()

        async def serve_one(stream: trio.SocketStream) -> None:
            async with limit, stream:
                await self._serve(stream)

        try:
            async with trio.open_nursery() as connections:
                with self._accepting:
                    task_status.started()
                    await trio.serve_listeners(serve_one, [listener], handler_nursery=connections)
        finally:
            (self._state_dir / SOCKET_NAME).unlink(missing_ok=True)
            self._finished.set()

    async def finish(self, timeout_s: float) -> None:
        """Take no more requests, and wait until those under way are answered."""
        import trio

        if self._accepting is not None and self._finished is not None:
            self._accepting.cancel()
            with trio.move_on_after(timeout_s):
                await self._finished.wait()

    def _listen(self) -> trio.SocketListener:
        import trio

        (self._state_dir / SOCKET_NAME).unlink(missing_ok=True)
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        umask = os.umask(0o177)
        try:
            with _socket_address(self._state_dir) as address:
                plain.bind(address)
        finally:
            os.umask(umask)
        plain.listen(CONNECTIONS_MAX)
        return trio.SocketListener(trio.socket.from_stdlib_socket(plain))

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One request, one answer; nothing that comes in ends the server."""
        import trio

        async def send(message: Message) -> bool:
            try:
                with trio.fail_after(SEND_DEADLINE_S):
                    await stream.send_all(msgspec.json.encode(message) + b"\n")
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                return False
            return True

        line: bytes | None = None
        try:
            with trio.move_on_after(REQUEST_DEADLINE_S):
                line = await _receive_line(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        if line is not None:
            await send({**await self._answer(line, send), "end": True})

    async def _answer(self, line: bytes, send: Send) -> Message:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
            handler = self._handlers[request["cmd"]]
        except (msgspec.MsgspecError, KeyError, TypeError):
            return {"error": "the daemon doesn't know this request", "kind": "UsageError"}
        try:
            return await handler(request, send) or {}
        except Exception as error:
            leaf = to_leaf(error)
            if isinstance(leaf, VidfsError):
                return {"error": str(leaf), "kind": type(leaf).__name__}
            _log.exception("control request %s failed", request["cmd"])
            return {"error": f"internal error ({type(leaf).__name__})"}


def to_leaf(error: Exception) -> Exception:
    """What a group of one holds: nurseries wrap what escapes from them."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def _receive_line(stream: trio.SocketStream) -> bytes | None:
    received = bytearray()
    while len(received) <= REQUEST_BYTES_MAX:
        chunk = await stream.receive_some(65536)
        if not chunk:
            return None
        received += chunk
        line, newline, _ = received.partition(b"\n")
        if newline:
            return bytes(line)
    return b""  # too long: refused like any other nonsense
