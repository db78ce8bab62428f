"""One API call from socket to socket: key, limits, latency, faults, envelope."""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.types import Receive, Scope, Send

from .account import Account
from .faults import Faults
from .records import ApiError, Call, Fields
from .wire import (
    Disconnected,
    drop,
    encode,
    hang,
    parse_query,
    read_form,
    send_bytes,
    send_half,
    send_html,
)

_log = logging.getLogger("vidfs.simhost")

TOO_MANY = b'{"msg":"Too Many Requests","status":"429"}'
EDGE_TEXT = b"error code: 520"


class ApiEndpoint:
    """ASGI application for all API calls of one account."""

    def __init__(self, account: Account, faults: Faults) -> None:
        self.account = account
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        account = self.account
        call = scope["path"][len(account.record.base_path) :].strip("/")
        account.calls[call] += 1
        account.running += 1
        try:
            await self._answer(call, scope, receive, send)
        except Disconnected:
            pass
        finally:
            account.running -= 1

    async def _answer(self, call: str, scope: Scope, receive: Receive, send: Send) -> None:
        account, settings = self.account, self.account.settings
        crowded = 0 < settings.parallel_limit < account.running
        faults = self._faults.pick(account.record.name, call)
        query = scope["query_string"].decode("latin-1")
        if scope["method"] == "POST":
            query += "&" + await read_form(scope, receive)
        account.queries.append((call, query))
        if "drop-before" in faults:
            await drop(scope, receive)
        if "hang" in faults:
            await hang(receive)
        latency_s = settings.latency_ms / 2000  # half on the way in, half on the way out
        if latency_s:
            await asyncio.sleep(latency_s)
        if await self._refused_early(faults, send, latency_s, crowded=crowded):
            return
        body, status = self._work(call, scope["method"], query, faults)
        delay_s = latency_s + float(faults.get("slow") or 0) / 1000
        if delay_s:
            await asyncio.sleep(delay_s)
        if "drop-after" in faults:
            await drop(scope, receive)
        if "html" in faults:
            await send_html(send, 200)
        elif "truncate" in faults:
            await send_half(send, scope, body, "application/json")
        elif "cut" in faults:
            await send_bytes(send, 200, body[: len(body) // 2])
        else:
            await send_bytes(send, status if settings.http_status else 200, body)

    async def _refused_early(
        self, faults: dict[str, str], send: Send, latency_s: float, *, crowded: bool
    ) -> bool:
        """Answers of edge servers and limiters, before any work is done."""
        settings = self.account.settings
        over = self.account.over_rate(time.monotonic())
        if not (over or crowded or faults.keys() & {"http", "plain", "too-many", "too-many-http"}):
            return False
        if latency_s:
            await asyncio.sleep(latency_s)
        if over or faults.keys() & {"too-many", "too-many-http"}:
            wait = b"%d" % settings.retry_after_s
            if "too-many-http" in faults or (over and settings.rate_limit_http):
                await send_bytes(send, 429, TOO_MANY, headers=[(b"retry-after", wait)])
            else:
                await send_bytes(send, 200, TOO_MANY)
        elif "http" in faults:
            await send_html(send, int(faults["http"]))
        else:
            await send_bytes(send, 520, EDGE_TEXT, "text/plain")
        return True

    def _work(
        self, call: str, method: str, query: str, faults: dict[str, str]
    ) -> tuple[bytes, int]:
        account = self.account
        now = time.time()
        params, lists = parse_query(query)
        context = Call(call, params, lists, account, faults, now)
        status, msg = 200, "OK"
        try:
            fields = self._dispatch(context, method)
        except ApiError as error:
            status, msg = error.status, error.msg
            fields = {"result": None} if account.record.family == "openload" else {}
        except Exception:
            _log.exception("%s %s failed", account.record.name, call)
            status, msg, fields = 500, "Internal error", {}
        string = "string-status" in faults or account.settings.string_status
        shown: int | str = str(status) if string else status
        answer: Fields
        if account.record.family == "openload":
            answer = {"status": shown, "msg": msg, "result": fields.get("result")}
        else:
            msg = str(fields.pop("msg", msg))
            answer = {
                "msg": msg, "server_time": account.date(now), "status": shown, **fields
            }  # fmt: skip
        return encode(answer), status

    def _dispatch(self, call: Call, method: str) -> Fields:
        record = self.account.record
        if method not in ("GET", "HEAD") and not (method == "POST" and record.post_calls):
            raise ApiError(400, "Invalid request method")
        self._check_key(call)
        if "status" in call.faults:
            raise ApiError(int(call.faults["status"]), "Simulated failure")
        if "bandwidth" in call.faults:
            raise ApiError(
                509,
                "bandwidth usage too high (peak hours). out of capacity for non-browser downloads."
                " please use browser download",
            )
        if "wait" in call.faults:
            raise ApiError(403, f"You need to wait {call.faults['wait']} more seconds")
        handler = record.calls.get(call.name)
        if handler is None:
            raise ApiError(400, "Invalid operation")
        if self.account.settings.lacks(record.name, call.name):
            raise ApiError(*record.missing_call)
        return handler(call)

    def _check_key(self, call: Call) -> None:
        account, record = self.account, self.account.record
        key = call.get("key") or call.get("api_key")
        if record.family == "openload":
            login = call.get("login")
            if not key and not login and call.name in record.anonymous_calls:
                return
            if key != account.key or login != account.login:
                raise ApiError(403, "Permission denied: wrong API login or key")
            return
        if len(key) < 16 or not all(c in record.key_alphabet for c in key):
            raise ApiError(400, "Invalid key")
        if key != account.key:
            raise ApiError(403, record.wrong_key_text)
