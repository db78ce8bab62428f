"""HTTP for one account. The only module that knows httpx.

Owns the connection pool, pacing, retries, deadlines, redirects, and the guarding of keys.
Knows no meaning: what an answer says is the caller's `parse` function's business, which
raises typed errors; whether those are worth a repetition is in their class.

Keys travel in query strings, and httpx puts the URL in its exceptions and log records. So
parameters hold `Secret`s until the moment of sending; an httpx exception is turned into one
of ours outside of its `except` block (no `__context__`, no frame that saw the URL); the
loggers of httpx and httpcore are shut; and `mask` takes out what a host echoes.

Repetition is written here rather than taken from a library: the next pause has to be
weighed against trio's deadlines, which `stamina` doesn't see (it reads its own clock, and
looks at the time only after a pause).
"""

from __future__ import annotations

import email.utils
import logging
import math
import random
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar
from urllib.parse import quote, quote_plus, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
import trio

from vidfs.errors import (
    BadRequestError,
    HostError,
    HostTimeoutError,
    HostUnreachableError,
    OutcomeUnknownError,
    RateLimitedError,
    SpoolDamagedError,
    SpoolError,
    TransientHostError,
    UnreadableAnswerError,
    UploadNodeError,
    UploadRefusedError,
    VidfsError,
)
from vidfs.hosts.api import DownloadLink
from vidfs.hosts.download import Download, open_download
from vidfs.hosts.multipart import MultipartBody
from vidfs.hosts.pacing import CallPausedError, Pacer
from vidfs.hosts.streams import MediaStream, check_media
from vidfs.hosts.urls import check_url, is_loopback, resolve_redirect
from vidfs.types import Secret

T = TypeVar("T")

Param = tuple[str, "str | Secret"]

ANSWER_BYTES_MAX: Final = 64 << 20
CALL_TOTAL_S: Final = 60.0
CONNECT_S: Final = 10.0
READ_S: Final = 30.0
STALL_S: Final = 60.0
DOWNLOAD_STALL_S: Final = 20.0  # whoever reads waits a minute: time for two more attempts
UPLOAD_ANSWER_S: Final = 300.0
"""How long an upload server may think after the last byte."""
REDIRECTS_MAX: Final = 5
BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MAX_S: Final = 10.0
UNREACHABLE_S: Final = 5.0
"""A host that no connection leads to is tried again for so long, from the first failure on:
after that every call fails at its first attempt, until one gets through."""
UNREACHABLE_GAP_S: Final = 30.0  # nobody has tried for so long: it counts anew
DEADLINE_MARGIN_S: Final = 0.05
"""We give up so long before the caller's scope would cancel us, to say what happened."""

MESSAGE_CHARS_MAX: Final = 300
THREAD_BYTES: Final = 512 << 10
"""Larger answers are decoded in a thread, so that the event loop goes on meanwhile."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_USER_AGENT = "vidfs/0.1"

log = logging.getLogger(__name__)

for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)  # their records hold whole URLs


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whole. `requested_at` and `received_at` are Unix seconds."""

    call: str
    http_status: int
    body: bytes = field(repr=False)  # a host may echo the key
    content_type: str
    retry_after_s: float | None
    requested_at: float
    received_at: float
    location: str = field(default="", repr=False)
    """Where an upload server sends us after the file. Followed for all else."""


@dataclass(frozen=True, slots=True)
class _Value(Generic[T]):
    """What a call came to, where the other outcome is an error not raised yet."""

    value: T


class Transport:
    """HTTP for one account. `aclose` when done."""

    def __init__(
        self,
        *,
        secrets: Sequence[Secret] = (),
        api_rate: float | None = None,
        api_parallel: int = 8,
        call_total_s: float = CALL_TOTAL_S,
        stall_s: float = STALL_S,
        upload_answer_s: float = UPLOAD_ANSWER_S,
        allow_http_upload: bool = False,
        clock: Callable[[], float] | None = None,
        randomness: random.Random | None = None,
    ) -> None:
        """*secrets*: what must never be seen in a message.

        *call_total_s*: after how long one API call, repetitions included, is given up if
        the caller set no earlier deadline. Waiting for our own pacing isn't counted.
        *stall_s*: a transfer that moves no byte for so long is given up.
        """
        self.pacer = Pacer(rate_max=api_rate, parallel_max=api_parallel)
        self.calls: Counter[str] = Counter()
        self._secrets = tuple(s for s in secrets if s)
        self._call_total_s = call_total_s
        self._stall_s = stall_s
        self._upload_answer_s = upload_answer_s
        self._allow_http_upload = allow_http_upload
        self._clock = clock or time.time
        self._random = randomness or random.Random()
        self._clients: dict[bool, httpx.AsyncClient] = {}
        self._ssl_context: ssl.SSLContext | None = None
        self._unreachable_since = self._unreachable_at = -math.inf  # first and last failure

    async def aclose(self) -> None:
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()

    def now(self) -> float:
        """Unix seconds."""
        return self._clock()

    def mask(self, text: str) -> str:
        """*text* without any of the account's secrets, quoted or plain."""
        for secret in self._secrets:
            value = secret.reveal()
            for form in {value, quote(value, safe=""), quote_plus(value)}:
                text = text.replace(form, "***")
        return text

    # --- API calls ---

    async def call(
        self,
        base_url: str,
        call: str,
        params: Sequence[Param],
        parse: Callable[[Answer], T],
        *,
        repeatable: bool,
        urgent: bool = False,
    ) -> T:
        """Ask `base_url/call?params`; what *parse* makes of the answer.

        *repeatable*: asking twice does no more than asking once. Otherwise only what
        certainly did nothing (no connection, refused for its rate) is tried again, and a
        failure after the request left is an OutcomeUnknownError. *urgent*: go before the calls
        that are queued for a parallel place (one such call at a time).

        Errors: HostError; the last one seen when the deadline leaves no time to try again.
        HostUnreachableError sooner (`UNREACHABLE_S`): nobody need wait for what isn't there.
        """
        url = check_url(f"{base_url.rstrip('/')}/{call}", what="API address")
        caller_deadline = trio.current_effective_deadline() - DEADLINE_MARGIN_S
        own_deadline = trio.current_time() + self._call_total_s
        places = self.pacer.urgent_place if urgent else self.pacer.places
        attempt = 0
        while True:
            queued_at = trio.current_time()
            self._refuse_late_turn(call, caller_deadline)
            await trio.sleep_until(self.pacer.pause_end(call))
            async with places:
                self._refuse_late_turn(call, caller_deadline)
                await self.pacer.take_turn(call)
                left_at = trio.current_time()
                own_deadline += left_at - queued_at
                deadline = min(caller_deadline, own_deadline)
                answer = await self._try_call(url, call, params, deadline)
            if isinstance(answer, HostUnreachableError):
                deadline = min(deadline, self._note_unreachable(left_at) + UNREACHABLE_S)
            elif isinstance(answer, Answer):
                self._unreachable_at = -math.inf
            outcome = await self._read_answer(answer, parse)
            if isinstance(outcome, _Value):
                self.pacer.note_success()
                return outcome.value
            self._note_refusal(call, outcome, left_at)
            error = self._judge(outcome, repeatable=repeatable)
            if not isinstance(error, TransientHostError):
                raise error
            attempt += 1
            pause_s = self._backoff_s(attempt, error)
            if trio.current_time() + pause_s >= deadline:
                log.debug("attempt %d failed, and no time is left: %s", attempt, error)
                raise error
            log.debug("attempt %d failed, again in %.1f s: %s", attempt, pause_s, error)
            await trio.sleep(pause_s)

    def _refuse_late_turn(self, call: str, deadline: float) -> None:
        """Errors: RateLimitedError if our own pacing leaves no time before *deadline*."""
        turn = self.pacer.next_turn(call)
        if turn > max(deadline, trio.current_time()):
            raise RateLimitedError(
                f"{call}: the host's limit leaves no time",
                call=call,
                retry_after_s=turn - trio.current_time(),
            )

    async def _try_call(
        self,
        url: str,
        call: str,
        params: Sequence[Param],
        deadline: float,
    ) -> Answer | VidfsError:
        """One attempt. Returns rather than raises: no frame below holds the URL."""
        self.calls[call] += 1
        with trio.CancelScope(deadline=deadline):
            return await self._exchange("GET", url, call, params, allow_http=False)
        return HostTimeoutError(f"{call}: no answer in time", call=call)

    async def _read_answer(
        self, answer: Answer | VidfsError, parse: Callable[[Answer], T]
    ) -> _Value[T] | VidfsError:
        """What *answer* says. Another call may leave meanwhile."""
        if isinstance(answer, VidfsError):
            return answer
        if len(answer.body) > THREAD_BYTES:
            return await trio.to_thread.run_sync(self._parse, parse, answer)
        return self._parse(parse, answer)

    def _parse(self, parse: Callable[[Answer], T], answer: Answer) -> _Value[T] | HostError:
        """What *parse* makes of *answer*; its error without the frames that saw the answer."""
        try:
            return _Value(parse(answer))
        except HostError as error:
            error.args = tuple(self.mask(str(arg))[:MESSAGE_CHARS_MAX] for arg in error.args)
            error.call = error.call or answer.call
            if isinstance(error, TransientHostError) and error.retry_after_s is None:
                error.retry_after_s = answer.retry_after_s
            return _without_context(error)

    def _note_unreachable(self, left_at: float) -> float:
        """Since when no call has got through, by trio's clock."""
        if left_at > self._unreachable_at + UNREACHABLE_GAP_S:
            self._unreachable_since = left_at
        self._unreachable_at = max(self._unreachable_at, left_at)
        return self._unreachable_since

    def _note_refusal(self, call: str, error: VidfsError, left_at: float) -> None:
        if not isinstance(error, RateLimitedError):
            return
        if isinstance(error, CallPausedError):
            self.pacer.pause(call, error.retry_after_s or 0.0)
        else:
            self.pacer.note_refusal(call, left_at=left_at, pause_s=error.retry_after_s)

    def _judge(self, error: VidfsError, *, repeatable: bool) -> VidfsError:
        """What *error* means for a call that may or may not be repeated."""
        if repeatable or not isinstance(error, TransientHostError):
            return error
        if isinstance(error, RateLimitedError | HostUnreachableError):
            return error  # nothing was done
        return OutcomeUnknownError(f"{error} (it may have been done)", call=error.call)

    def _backoff_s(self, attempt: int, error: TransientHostError) -> float:
        longest_s = 1.0 if isinstance(error, HostUnreachableError) else BACKOFF_MAX_S
        pause_s = min(longest_s, BACKOFF_FIRST_S * math.pow(2.0, min(attempt, 30) - 1))
        pause_s *= self._random.uniform(0.5, 1.0)
        return max(pause_s, error.retry_after_s or 0.0)

    # --- uploads ---

    async def upload(
        self,
        url: str,
        params: Sequence[Param],
        body: MultipartBody,
        parse: Callable[[Answer, bool], T],
    ) -> T:
        """POST *body* to an upload server, once; what *parse* makes of the answer.

        *parse* is also told whether the whole body had been sent.

        Errors: UploadNodeError while the body wasn't sent whole (nothing is stored), or the
        server turned it away unreadably; OutcomeUnknownError once it was and no answer came
        that says; RateLimitedError; UploadRefusedError for HTTP 413; SpoolDamagedError.
        """
        call = "upload"
        self.calls[call] += 1
        check_url(url, what="upload address", allow_http=self._allow_http_upload)
        headers = {"Content-Type": body.content_type, "Content-Length": str(body.length_bytes)}
        outcome = await self._exchange(
            "POST",
            url,
            call,
            params,
            allow_http=self._allow_http_upload,
            headers=headers,
            body=body,
        )
        if isinstance(outcome, VidfsError):
            error: VidfsError = outcome
            unsure = not isinstance(outcome, UploadNodeError)
            if isinstance(outcome, TransientHostError) and unsure:
                error = self._upload_failure(str(outcome), is_sent=body.is_sent)
            raise error
        status = outcome.http_status
        if status >= 500:
            raise self._upload_failure(
                f"upload: the server failed (HTTP {status})", is_sent=body.is_sent
            )
        if status == 429:
            raise RateLimitedError(
                "upload: too many requests", call=call, retry_after_s=outcome.retry_after_s
            )
        if status == 413:
            raise UploadRefusedError("upload: the file is too big for the host", call=call)
        read = self._parse(lambda answer: parse(answer, body.is_sent), outcome)
        if isinstance(read, _Value):
            return read.value
        raise read

    def _upload_failure(self, message: str, *, is_sent: bool) -> HostError:
        if is_sent:
            return OutcomeUnknownError(f"{message}, after it got everything", call="upload")
        return UploadNodeError(message, call="upload")

    # --- downloads ---

    @asynccontextmanager
    async def open_stream(
        self, link: DownloadLink, start_byte: int, stop_byte: int | None = None
    ) -> AsyncIterator[MediaStream]:
        """Ranged GET: bytes from *start_byte* up to, not including, *stop_byte*.

        Errors: HostNotFoundError (404, 410) or AccessDeniedError (401, 403, a web page) when
        the link is no longer good; BadRequestError for a range beyond the end; transient
        ones. The same while iterating.
        """
        self.calls["download"] += 1
        check_url(link.url, what="download address")
        outcome = await self._open(link, start_byte, stop_byte)
        if isinstance(outcome, VidfsError):
            raise outcome
        try:
            yield MediaStream(
                outcome.status,
                outcome.headers,
                outcome.chunks(),
                stop_byte,
                server=outcome.server,
            )
        finally:
            with trio.move_on_after(2, shield=True):
                await outcome.aclose()

    async def _open(
        self, link: DownloadLink, start_byte: int, stop_byte: int | None
    ) -> Download | _PooledDownload | VidfsError:
        last = "" if stop_byte is None else str(stop_byte - 1)
        headers = {
            "Range": f"bytes={start_byte}-{last}",
            "Accept-Encoding": "identity",
            "User-Agent": _USER_AGENT,
            "Accept": "*/*",
        }
        outcome = await self._fetch_media(link.url, headers)
        if isinstance(outcome, VidfsError):
            return outcome
        error = check_media(outcome.status, outcome.headers, link, start_byte)
        if error is None:
            return outcome
        with trio.move_on_after(2, shield=True):
            await outcome.aclose()
        return error

    async def _fetch_media(
        self, url: str, headers: dict[str, str]
    ) -> Download | _PooledDownload | VidfsError:
        """The answer's head, redirects followed. Straight from the socket, but for proxies."""
        if _is_proxied(url):
            timeout = httpx.Timeout(self._stall_s, connect=CONNECT_S, pool=None)
            response = await self._send("GET", url, "download", headers, None, timeout)
            if isinstance(response, VidfsError):
                return response
            return _PooledDownload(response, self._translate)
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
        for _ in range(REDIRECTS_MAX + 1):
            outcome = await open_download(
                url,
                headers,
                ssl_context=self._ssl_context,
                connect_s=CONNECT_S,
                stall_s=min(self._stall_s, DOWNLOAD_STALL_S),
            )
            if isinstance(outcome, HostError):
                return outcome
            location = outcome.headers.get("location")
            if outcome.status not in _REDIRECTS or not location:
                return outcome
            await outcome.aclose()
            try:
                url = resolve_redirect(url, location, what="download address")
            except HostError as error:
                return _without_context(error)
        return UnreadableAnswerError("download: redirected in circles", call="download")

    # --- one exchange ---

    async def _exchange(
        self,
        method: str,
        url: str,
        call: str,
        params: Sequence[Param],
        *,
        allow_http: bool,
        headers: dict[str, str] | None = None,
        body: MultipartBody | None = None,
    ) -> Answer | VidfsError:
        """Send and read the whole answer. The key is revealed here and in `_send` only."""
        query = _render_query(params)
        joint = "&" if "?" in url else "?"
        target = f"{url}{joint}{query}" if query else url
        if body is None:
            timeout = httpx.Timeout(READ_S, connect=CONNECT_S, pool=None)
        else:
            timeout = httpx.Timeout(
                connect=CONNECT_S, read=self._upload_answer_s, write=self._stall_s, pool=None
            )
        requested_at = self._clock()
        response = await self._send(
            method, target, call, headers or {}, body, timeout, allow_http=allow_http
        )
        if isinstance(response, VidfsError):
            return response
        content = await self._read_whole(response, call)
        if isinstance(content, HostError):
            return content
        return Answer(
            call=call,
            http_status=response.status_code,
            body=content,
            content_type=response.headers.get("content-type", "").lower(),
            retry_after_s=parse_retry_after(response.headers.get("retry-after"), now=self._clock()),
            requested_at=requested_at,
            received_at=self._clock(),
            location=response.headers.get("location", ""),
        )

    async def _read_whole(self, response: httpx.Response, call: str) -> bytes | HostError:
        parts: list[bytes] = []
        size = 0
        try:
            async for part in response.aiter_bytes():
                size += len(part)
                if size > ANSWER_BYTES_MAX:
                    return UnreadableAnswerError(f"{call}: the answer has no end", call=call)
                parts.append(part)
        except (httpx.HTTPError, httpx.StreamError) as error:
            return self._translate(error, call)
        finally:
            with trio.move_on_after(2, shield=True):
                await response.aclose()
        return b"".join(parts)

    async def _send(
        self,
        method: str,
        url: str,
        call: str,
        headers: dict[str, str],
        body: MultipartBody | None,
        timeout: httpx.Timeout,
        *,
        allow_http: bool = False,
    ) -> httpx.Response | VidfsError:
        """The answer's head, redirects followed by hand. The body is still to be read.

        After *body* none is: what the page it leads to answers says nothing about the file.
        """
        what = f"{call} address"
        for _ in range(REDIRECTS_MAX + 1):
            try:
                client = self._client_for(url)
                request = client.build_request(
                    method, url, headers=headers, content=body, timeout=timeout
                )
                response = await client.send(request, stream=True)
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                return self._translate(error, call)
            except SpoolError as error:
                return _without_context(error)
            except OSError as error:  # the network's are httpx.HTTPError: this is the spool's
                return SpoolDamagedError(f"cannot read the file to send: {error.strerror}")
            except ValueError:
                return BadRequestError(f"{call}: the address can't be used", call=call)
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or not location:
                return response
            if body is not None and response.status_code not in (307, 308):
                return response
            await response.aclose()
            if body is not None:
                return UploadNodeError(f"{call}: the server sends us elsewhere", call=call)
            try:
                url = resolve_redirect(url, location, what=what, allow_http=allow_http)
            except HostError as error:
                return _without_context(error)
        return UnreadableAnswerError(f"{call}: redirected in circles", call=call)

    def _translate(self, error: Exception, call: str) -> HostError:
        """Our error for one of httpx's."""
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            reason = self.mask(str(error))
            return HostUnreachableError(
                f"{call}: no connection{': ' if reason else ''}{reason}", call=call
            )
        if isinstance(error, httpx.TimeoutException):
            return HostTimeoutError(f"{call}: no answer in time", call=call)
        if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
            return BadRequestError(f"{call}: the address can't be used", call=call)
        if isinstance(error, httpx.DecodingError):
            return UnreadableAnswerError(f"{call}: the answer's compression is broken", call=call)
        return UnreadableAnswerError(f"{call}: the connection broke off", call=call)

    def _client_for(self, url: str) -> httpx.AsyncClient:
        """This machine is asked directly, whatever proxy the environment names."""
        direct = is_loopback(urlsplit(url).hostname or "")
        if direct not in self._clients:
            self._clients[direct] = httpx.AsyncClient(
                trust_env=not direct,
                headers={"User-Agent": _USER_AGENT, "Accept": "*/*"},
                limits=httpx.Limits(
                    max_connections=None, max_keepalive_connections=32, keepalive_expiry=20.0
                ),
            )
        return self._clients[direct]


class _PooledDownload:
    """An answer of httpx's, as `Download` is one of the socket's."""

    def __init__(
        self, response: httpx.Response, translate: Callable[[Exception, str], HostError]
    ) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.server = response.url.netloc.decode("ascii")
        self._response = response
        self._translate = translate

    async def aclose(self) -> None:
        await self._response.aclose()

    async def chunks(self) -> AsyncIterator[bytes]:
        failure: HostError | None = None
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except (httpx.HTTPError, httpx.StreamError) as error:
            failure = self._translate(error, "download")
        if failure is not None:
            raise failure


def _is_proxied(url: str) -> bool:
    """Whether the environment names a proxy for *url*. This machine is asked directly."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    named = parts.scheme in proxies or "all" in proxies
    return named and not is_loopback(host) and not proxy_bypass(host)


E = TypeVar("E", bound=VidfsError)


def _without_context(error: E) -> E:
    """*error* freed of the frames and exceptions that saw the URL."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _render_query(params: Sequence[Param]) -> str:
    """Form-encoded; a parameter without a name stands bare."""
    parts = []
    for name, value in params:
        text = quote_plus(value.reveal() if isinstance(value, Secret) else value)
        parts.append(f"{quote_plus(name)}={text}" if name else text)
    return "&".join(parts)


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """Seconds from *now* (Unix seconds) that a Retry-After header asks for.

    Source: RFC 9110 §10.2.3: whole seconds or a date.
    """
    if not value:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None
