"""The host's picture of a file."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from vidfs.app.links import find_links
from vidfs.app.remote import Entry, RemoteAccount
from vidfs.errors import HostNotFoundError, UnreadableAnswerError
from vidfs.hosts.api import DownloadLink
from vidfs.hosts.urls import is_loopback
from vidfs.tree.names import split_extension

PICTURE_BYTES_MAX = 32 << 20

_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"})


async def fetch_picture(remote: RemoteAccount, entry: Entry) -> tuple[str, bytes]:
    """A file name for the picture of *entry* (a file), and its bytes.

    Errors: IsFolderError, AbilityError, HostNotFoundError where there is none, HostError.
    """
    entry.get_file()
    links = await find_links(remote, [entry], "thumbnail")
    if not links:
        raise HostNotFoundError(f"{entry.path}: the host has no picture of it")
    url = _to_safe(links[0].url)
    content = bytearray()
    async with remote.host.open_stream(DownloadLink(url=url), 0) as stream:
        async for chunk in stream:
            content += chunk
            if len(content) > PICTURE_BYTES_MAX:
                raise UnreadableAnswerError("the picture is too big to be one")
    suffix = PurePosixPath(urlsplit(url).path).suffix.lower()
    stem = split_extension(entry.name)[0]
    return f"{stem}{suffix if suffix in _EXTENSIONS else '.jpg'}", bytes(content)


def _to_safe(url: str) -> str:
    """Hosts write plain http for pictures (S1) that their servers have under https as well."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        return parts._replace(scheme="https").geturl()
    return url
