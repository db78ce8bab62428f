"""`{status, msg, result}` → the result, or a typed error.

Both families wrap every answer alike. Success is `status` in the JSON, whatever the HTTP
status is; `msg` only refines what a failing status means (both documents ask clients not to
decide by it, and it is all there is to tell a wrong key from a missing module).

Source: S2 and S3, introductions; API_FACTS §1.5, §2.4.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from vidfs.errors import (
    AccessDeniedError,
    BadRequestError,
    CallMissingError,
    CaptchaError,
    HostError,
    HostNotFoundError,
    HostServerError,
    LegalBlockError,
    QuotaError,
    RateLimitedError,
    UnreadableAnswerError,
    WrongKeyError,
)
from vidfs.hosts.pacing import CallPausedError
from vidfs.hosts.scalars import HostClock, to_int
from vidfs.hosts.transport import Answer

T = TypeVar("T")

_EMPTY = (b"", b"null", b"[]", b"{}", b"false", b'""')

_FINE = ("ok", "success")
"""Source: API_FACTS §2.3: upload replies with status "success" (one site)."""

WAIT_MAX_S = 24 * 3600.0


class Envelope(msgspec.Struct):
    """One answer, its results not decoded yet. Unknown members are ignored."""

    status: Any = None
    msg: Any = None
    server_time: Any = None
    result: msgspec.Raw = msgspec.Raw(b"")
    files: msgspec.Raw = msgspec.Raw(b"")  # the upload reply's name for it (S1)
    new_title: Any = None
    total_slots: Any = None
    used_slots: Any = None
    requests_available: Any = None


_envelope_decoder = msgspec.json.Decoder(Envelope)


def open_envelope(answer: Answer, clock: HostClock | None = None) -> Envelope:
    """The envelope of a successful answer.

    *clock* learns from its `server_time`.

    Errors: what `parse_failure` makes of a failing status; for what is no JSON of that
    shape HostServerError (5xx), RateLimitedError (429), CallMissingError (404, 405),
    UnreadableAnswerError (everything else: retried, never believed).
    """
    try:
        envelope = _envelope_decoder.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        envelope = None
    if envelope is None or (envelope.status is None and envelope.msg is None):
        raise _unreadable(answer)
    if clock is not None:
        clock.observe(
            envelope.server_time,
            requested_at=answer.requested_at,
            received_at=answer.received_at,
        )
    status = to_int(envelope.status)
    if status is None:  # not said, or a word
        said_well = isinstance(envelope.status, str) and envelope.status.lower() in _FINE
        status = 200 if said_well else answer.http_status
    if status != 200:
        raise parse_failure(status, envelope.msg, answer.call)
    return envelope


def decode_result(raw: msgspec.Raw, type_: type[T], empty: T, call: str) -> T:
    """*raw* as *type_*; *empty* for null, false, "" and an empty list or object.

    PHP writes an empty keyed result as `[]`. Errors: UnreadableAnswerError.
    """
    content = bytes(raw)
    if content.strip() in _EMPTY:
        return empty
    try:
        return msgspec.json.decode(content, type=type_, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnreadableAnswerError(f"{call}: an unexpected answer", call=call) from None


def decode_rows(raw: msgspec.Raw, type_: type[T], call: str) -> list[T]:
    """A list of rows, also where the host sends one bare row or rows keyed by their id."""
    return [row for _, row in decode_keyed(raw, type_, call)]


def decode_keyed(raw: msgspec.Raw, type_: type[T], call: str) -> list[tuple[str, T]]:
    """Rows with their keys, "" where the host sends a list. Order as sent.

    Errors: UnreadableAnswerError.
    """
    content = bytes(raw).strip()
    if content in _EMPTY:
        return []
    try:
        if content[:1] == b"[":
            return [("", row) for row in msgspec.json.decode(content, type=list[type_])]  # type: ignore[valid-type]
        members = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        if members and all(bytes(value)[:1] == b"{" for value in members.values()):
            return [(key, msgspec.json.decode(row, type=type_)) for key, row in members.items()]
        return [("", msgspec.json.decode(content, type=type_))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnreadableAnswerError(f"{call}: an unexpected answer", call=call) from None


def decode_scalar(raw: msgspec.Raw, call: str) -> object:
    """A result that is a text, number, true, false or null. Errors: UnreadableAnswerError."""
    value: object = None
    if bytes(raw).strip():
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UnreadableAnswerError(f"{call}: an unexpected answer", call=call) from None
    if isinstance(value, dict | list) and value:
        raise UnreadableAnswerError(f"{call}: an unexpected answer", call=call)
    return value


# --- failures ---

_WAIT = re.compile(r"\bwait\b[^0-9]{0,40}(\d{1,6})|(\d{1,6})\s*(?:more\s*)?sec", re.IGNORECASE)
_WRONG_KEY = ("wrong auth", "invalid key", "wrong key", "api key", "api-key", "authentication",
              "wrong api", "wrong login", "invalid login", "login or key")  # fmt: skip
_MISSING_CALL = ("invalid operation", "not allowed in api", "unknown method", "unknown call")
_QUOTA = ("quota", "not enough space", "disk space", "storage limit", "storage is full",
          "no space", "out of space", "storage full", "diskfull", "disk full")  # fmt: skip
_RATE = ("too many requests", "rate limit", "too many request", "flood")
_UNKNOWN = ("not found", "no file", "no such", "doesn't exist", "does not exist",
            "invalid file code", "unknown file", "unknown folder")  # fmt: skip


def parse_failure(status: int, msg: object, call: str) -> HostError:
    """The error for a status other than 200."""
    text = plain_text(msg)
    low = text.lower()
    shown = f"{call}: {text or 'refused'} ({status})"

    def says(words: tuple[str, ...]) -> bool:
        return any(word in low for word in words)

    if status == 509:
        return CallPausedError(shown, call=call)
    if status == 429 or says(_RATE):
        return RateLimitedError(shown, call=call, retry_after_s=find_wait(low))
    wait_s = find_wait(low) if "wait" in low else None
    if wait_s is not None and status < 500:
        return CallPausedError(shown, call=call, retry_after_s=wait_s)
    if status >= 500:
        return HostServerError(shown, call=call)
    for words, kind in (
        (_WRONG_KEY, WrongKeyError),
        (_MISSING_CALL, CallMissingError),
        (("captcha",), CaptchaError),
        (_QUOTA, QuotaError),
    ):
        if says(words):
            return kind(shown, call=call)
    if status == 404 or (status == 400 and says(_UNKNOWN)):
        return HostNotFoundError(shown, call=call)
    by_status: Mapping[int, type[HostError]] = {
        401: WrongKeyError,
        403: AccessDeniedError,
        451: LegalBlockError,
    }
    if status in by_status:
        return by_status[status](shown, call=call)
    if 400 <= status < 500:
        return BadRequestError(shown, call=call)
    return UnreadableAnswerError(shown, call=call)


def find_wait(text: str) -> float | None:
    """The seconds that a message asks to wait, and one more; None if it names none.

    Source: API_FACTS §5: "wait N more …", clients wait N+1.
    """
    found = _WAIT.search(text)
    if found is None:
        return None
    return min(WAIT_MAX_S, float(found[1] or found[2]) + 1.0)


def plain_text(msg: object) -> str:
    """A host's message as one line without markup. `transport` masks and shortens it."""
    if not isinstance(msg, str):
        return ""
    text = html.unescape(re.sub(r"<[^>]{0,200}>", " ", msg[:2000]))
    text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())


def _unreadable(answer: Answer) -> HostError:
    """The error for what is no envelope."""
    call, status = answer.call, answer.http_status
    if status == 429:
        return RateLimitedError(f"{call}: too many requests (HTTP 429)", call=call)
    if status == 509:
        return CallPausedError(f"{call}: the host's bandwidth is spent (HTTP 509)", call=call)
    if status >= 500:
        return HostServerError(f"{call}: the server failed (HTTP {status})", call=call)
    if status in (404, 405):
        return CallMissingError(
            f"{call}: no such call at this address (HTTP {status}); is base_url right?", call=call
        )
    if answer.body[:200].lstrip()[:1] == b"<":
        return UnreadableAnswerError(f"{call}: a web page where an answer was due", call=call)
    return UnreadableAnswerError(f"{call}: an unreadable answer (HTTP {status})", call=call)
