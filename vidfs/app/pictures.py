"""The host's picture of a file."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from vidfs.app.links import find_links
from vidfs.app.remote import Entry, RemoteAccount
from vidfs.content import pictures
from vidfs.errors import HostNotFoundError
from vidfs.tree.names import split_extension

_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"})


async def fetch_picture(remote: RemoteAccount, entry: Entry) -> tuple[str, bytes]:
    """A file name for the picture of *entry* (a file), and its bytes.

    Errors: IsFolderError, AbilityError, HostNotFoundError where there is none, HostError.
    """
    entry.get_file()
    links = await find_links(remote, [entry], "thumbnail")
    if not links:
        raise HostNotFoundError(f"{entry.path}: the host has no picture of it")
    url = links[0].url
    content = await pictures.fetch_picture(remote.host, url)
    suffix = PurePosixPath(urlsplit(url).path).suffix.lower()
    stem = split_extension(entry.name)[0]
    return f"{stem}{suffix if suffix in _EXTENSIONS else '.jpg'}", content
