"""Which addresses vidfs talks to: https anywhere, plain http to this machine alone."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urljoin, urlsplit

from vidfs.errors import BadRequestError, InsecureUrlError


def is_loopback(host: str) -> bool:
    """True for localhost, 127.0.0.0/8 and ::1. A name is never looked up."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(url: str, *, what: str, allow_http: bool = False) -> str:
    """*url* itself, if vidfs may send to it.

    *what* names it in the message ("upload address"): the URL itself may hold a token.
    *allow_http*: the user has asked for plain http here.

    Errors: InsecureUrlError for plain http or another scheme; BadRequestError for no URL.
    """
    parts = _split(url, what)
    if parts.scheme == "https":
        return url
    if parts.scheme != "http":
        raise InsecureUrlError(f"the {what} is not an https address")
    if not (allow_http or is_loopback(parts.hostname or "")):
        raise InsecureUrlError(
            f"the {what} at {parts.hostname} is plain http, which shows keys and films to everyone"
        )
    return url


def resolve_redirect(url: str, location: str, *, what: str, allow_http: bool = False) -> str:
    """Where a redirect from *url* leads: https to https, or loopback http to loopback http.

    Errors: InsecureUrlError; BadRequestError for what is no address.
    """
    try:
        target = urljoin(url, location)
    except ValueError:
        raise BadRequestError(f"the {what} redirects to no address") from None
    if _split(url, what).scheme != _split(target, what).scheme:
        raise InsecureUrlError(f"the {what} redirects to another scheme")
    return check_url(target, what=what, allow_http=allow_http)


def _split(url: str, what: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or any(c.isspace() or not c.isprintable() for c in url):
        raise BadRequestError(f"the {what} is not an address")
    return parts
