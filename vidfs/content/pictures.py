"""The host's pictures of films, over the network."""

from __future__ import annotations

from urllib.parse import urlsplit

from vidfs.config import is_loopback
from vidfs.errors import UnreadableAnswerError
from vidfs.hosts.api import DownloadLink, VideoHost

PICTURE_BYTES_MAX = 32 << 20


async def fetch_picture(host: VideoHost, url: str) -> bytes:
    """The bytes behind a picture's address. Errors: HostError."""
    content = bytearray()
    async with host.open_stream(DownloadLink(url=to_safe(url)), 0) as stream:
        async for chunk in stream:
            content += chunk
            if len(content) > PICTURE_BYTES_MAX:
                raise UnreadableAnswerError("the picture is too big to be one")
    return bytes(content)


def to_safe(url: str) -> str:
    """Hosts write plain http for pictures (S1) that their servers have under https as well."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        return parts._replace(scheme="https").geturl()
    return url
