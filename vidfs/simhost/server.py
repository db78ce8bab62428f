"""Process, socket, routes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .account import Account
from .admin import Admin
from .dood import DOODSTREAM
from .downloads import MediaNode, Site
from .endpoint import ApiEndpoint
from .faults import Faults
from .openload import FRUITHOSTED, PSTREAM, STREAMTAPE
from .records import Record
from .settings import Settings
from .uploads import UploadNode
from .wire import send_html
from .xvs import VIPSTREAM, XVS

RECORDS: tuple[Record, ...] = (
    DOODSTREAM,
    VIPSTREAM,
    XVS,
    FRUITHOSTED,
    PSTREAM,
    STREAMTAPE,
)
DUE_WORK_S = 0.05


@dataclass(kw_only=True)
class Options:
    root: Path
    port: int = 0
    settings: Settings = field(default_factory=Settings)
    faults: list[str] = field(default_factory=list)
    write_config: Path | None = None
    until_eof: bool = False


class Protocol(HttpToolsProtocol):
    """Puts the transport where handlers find it: they close connections on purpose."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["transport"] = self.transport


class Dispatcher:
    """Routes by the first segments of the path."""

    def __init__(self, accounts: dict[str, Account], faults: Faults) -> None:
        self._apis: list[tuple[str, ASGIApp]] = [
            (f"{account.record.base_path}/", ApiEndpoint(account, faults))
            for account in accounts.values()
        ]
        self._uploads = {name: UploadNode(account, faults) for name, account in accounts.items()}
        self._media = {name: MediaNode(account, faults) for name, account in accounts.items()}
        self._sites = {name: Site(account) for name, account in accounts.items()}
        self._admin = Starlette(routes=Admin(accounts, faults).routes())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await self._find(scope["path"])(scope, receive, send)

    def _find(self, path: str) -> ASGIApp:
        if path.startswith("/_sim/"):
            return self._admin
        for prefix, app in self._apis:
            if path.startswith(prefix):
                return app
        _, first, *rest = (*path.split("/", 4), "", "")
        if first == "node" and rest[0] in self._uploads:
            table = self._uploads if rest[1] in ("upload", "ul") else self._media
            return table[rest[0]]
        if first == "site" and rest[0] in self._sites:
            return self._sites[rest[0]]
        return _not_found


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await send_html(send, 404)


class Server(uvicorn.Server):
    """Says when it is ready; ends at once when told to."""

    def __init__(
        self, config: uvicorn.Config, accounts: dict[str, Account], line: str, *, until_eof: bool
    ) -> None:
        super().__init__(config)
        self._accounts = accounts
        self._line = line
        self._until_eof = until_eof
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told_to_stop = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._worker = asyncio.create_task(self._do_due_work())
        if self._until_eof:
            threading.Thread(target=self._stop_at_eof, daemon=True).start()
        print(self._line, flush=True)

    def handle_exit(self, sig: int, frame: object) -> None:
        self.should_exit = self.force_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._told_to_stop.set)

    def _stop_at_eof(self) -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        self.handle_exit(signal.SIGTERM, None)

    async def main_loop(self) -> None:
        await self._told_to_stop.wait()

    async def _do_due_work(self) -> None:
        while True:
            await self.on_tick(0)  # keeps the Date header up to date
            await asyncio.sleep(DUE_WORK_S)
            now = time.time()
            for account in self._accounts.values():
                if account.next_due <= now:
                    try:
                        await account.settle(now)
                    except Exception:
                        logging.getLogger("vidfs.simhost").exception("due work failed")


def serve(options: Options) -> None:
    """Run until SIGTERM, SIGINT or, if asked for, the end of standard input.

    Errors: OSError (the port is taken, the directory can't be made), ValueError (a rule).
    """
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    gc.set_threshold(200_000, 20, 100)  # answers are large, live briefly and hold no cycles
    faults = Faults()
    for rule in options.faults:
        faults.add(rule)
    listener = socket.create_server(("127.0.0.1", options.port), backlog=1024)
    port = listener.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    accounts = {
        record.name: Account(record, options.root / record.name, origin, options.settings)
        for record in RECORDS
    }
    if options.write_config:
        write_config(options.write_config, accounts)
    config = uvicorn.Config(
        Dispatcher(accounts, faults),
        http=Protocol,
        loop="uvloop",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_keep_alive=75,
        server_header=False,
    )
    line = f"simhost listening on {origin}"
    server = Server(config, accounts, line, until_eof=options.until_eof)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    for account in accounts.values():
        account.store.close()


def write_config(path: Path, accounts: dict[str, Account]) -> None:
    """A vidfs configuration with one account per dialect, readable by its owner only."""
    lines: list[str] = []
    for name, account in accounts.items():
        lines += [
            f"[accounts.{name}]",
            f'host = "{name}"',
            f'base_url = "{account.base_url}"',
            f'key = "{account.key}"',
            f'login = "{account.login}"',
            "",
        ]
    temp = path.with_name(path.name + ".new")
    temp.unlink(missing_ok=True)
    with os.fdopen(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write("\n".join(lines))
    temp.replace(path)
