"""What an upload server's answer means. Pure functions, for both families.

The one distinction that counts: stored, certainly not stored, or not known.
"""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qsl, urlsplit

from vidfs.errors import (
    BadRequestError,
    CallMissingError,
    HostError,
    HostNotFoundError,
    OutcomeUnknownError,
    QuotaError,
    RateLimitedError,
    TransientHostError,
    UploadNodeError,
    UploadRefusedError,
)
from vidfs.hosts.envelope import plain_text

_NODE_TROUBLE = ("fs.cgi", "no file on disk", "<html", "internal server error", "bad gateway")
"""Source: API_FACTS §2.4: a broken storage node; a new server takes the same file."""

_QUOTA = ("quota", "diskfull", "disk full", "disk space", "not enough space", "too many files",
          "daily", "storage", "limit")  # fmt: skip
"""Source: API_FACTS §2.4 (daily quota; DiskFull)."""

_TEXTAREA = re.compile(
    r"<textarea[^>]{0,200}\bname\s*=\s*[\"']?(\w{1,20})[\"']?[^>]{0,200}>([^<]{0,4000})</textarea",
    re.IGNORECASE,
)


def refusal(text: object) -> HostError:
    """The error for a file that the server read whole and doesn't keep."""
    raw = text.lower() if isinstance(text, str) else ""
    shown = plain_text(text) or "no code was given"
    if any(word in raw for word in _NODE_TROUBLE):
        return UploadNodeError(f"upload: the server is broken: {shown}", call="upload")
    if any(word in raw for word in _QUOTA):
        return QuotaError(f"upload: {shown}", call="upload")
    return UploadRefusedError(f"upload: refused: {shown}", call="upload")


def judge_failure(error: HostError, *, is_sent: bool) -> HostError:
    """What a failed answer to an upload means for the file.

    A readable "no" is a refusal; an unknown address means another server; what can't be
    read, or speaks of the server's own failure, says nothing about the file once all of it
    was sent.
    """
    if isinstance(error, HostNotFoundError | CallMissingError):
        return UploadNodeError(str(error), call="upload")
    if isinstance(error, BadRequestError):
        return refusal(str(error).removeprefix("upload: "))
    if isinstance(error, TransientHostError) and not isinstance(error, RateLimitedError):
        if is_sent:
            return OutcomeUnknownError(str(error), call="upload")
        return UploadNodeError(str(error), call="upload")
    return error


def parse_redirect(location: str) -> dict[str, str] | None:
    """What a redirect to the result page says: the fields of `parse_html_answer`, if any.

    Source: S1 `html_redirect`: the form of API_FACTS §2.4, sent as a query.
    """
    try:
        fields = dict(parse_qsl(urlsplit(location).query))
    except ValueError:
        return None
    return fields if "st" in fields or "fn" in fields else None


def parse_html_answer(body: bytes) -> dict[str, str] | None:
    """The textareas of an old build's answer (`fn` the code, `st` the status), if any.

    Source: S1 `html_redirect`; API_FACTS §2.4, §1.3.
    """
    text = body[: 64 << 10].decode("utf-8", "replace")
    found = {name.lower(): html.unescape(value).strip() for name, value in _TEXTAREA.findall(text)}
    return found if "st" in found or "fn" in found else None
