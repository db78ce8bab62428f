"""Addresses of files, for people, players and web pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal
from urllib.parse import urlencode

from vidfs.app.remote import Entry, RemoteAccount
from vidfs.errors import AbilityError, HostNotFoundError
from vidfs.hosts.parallel import run_parallel

LinkKind = Literal["page", "embed", "download", "thumbnail"]

_ATTRIBUTES: Mapping[LinkKind, str] = {
    "page": "link",
    "embed": "embed",
    "download": "download",
    "thumbnail": "thumbnail",
}
_NAMES: Mapping[LinkKind, str] = {
    "page": "page",
    "embed": "player page",
    "download": "download",
    "thumbnail": "picture",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    entry: Entry
    kind: LinkKind
    url: str
    page: str = ""  # the file's page, where known: what a picture leads to
    expires_at: float | None = None  # Unix seconds


def default_kind(remote: RemoteAccount, *, for_players: bool) -> LinkKind:
    """The page; for a player the bytes themselves where the host has them."""
    return "download" if for_players and remote.host.capabilities.read_content else "page"


async def find_links(
    remote: RemoteAccount,
    entries: Sequence[Entry],
    kind: LinkKind,
    player_params: Mapping[str, str] | None = None,
) -> list[Link]:
    """The addresses of those *entries* (files) that have one.

    *player_params*: what the player's address gets as its query. Errors: AbilityError where
    the host has none at all, or its player doesn't take a parameter.
    """
    host = remote.host
    params = dict(player_params or {})
    if params and (kind != "embed" or not params.keys() <= host.capabilities.player_params):
        unknown = sorted(params.keys() - host.capabilities.player_params)
        what = f"takes no {', '.join(unknown)}" if unknown else "is in --embed addresses only"
        raise AbilityError(f"{host.name}'s player {what}")
    if kind == "download" and host.capabilities.read_content:
        opened = await run_parallel([partial(_open, remote, entry) for entry in entries])
        return [link for link in opened if link is not None]
    links = _from_attributes(entries, kind)
    lacking = [entry for entry in entries if entry.code not in links]
    if lacking:
        links |= _from_attributes(await remote.describe(lacking), kind)
        lacking = [entry for entry in lacking if entry.code not in links]
    if lacking and kind in ("page", "embed"):
        links |= _from_attributes(await _look_up(remote, lacking), kind)
    if lacking and kind == "thumbnail" and host.capabilities.thumbnails:
        links |= await _find_thumbnails(remote, lacking)
    if entries and not links:
        raise AbilityError(f"{host.name} tells no {_NAMES[kind]} address")
    query = urlencode(params)
    return [
        _with_query(links[entry.code], query) if query else links[entry.code]
        for entry in entries
        if entry.code in links
    ]


def _from_attributes(entries: Sequence[Entry], kind: LinkKind) -> dict[str, Link]:
    found = {}
    for entry in entries:
        extra = entry.get_file().extra
        url = extra.get(_ATTRIBUTES[kind], "")
        if "://" in url:
            found[str(entry.code)] = Link(
                entry=entry, kind=kind, url=url, page=extra.get("link", "")
            )
    return found


async def _look_up(remote: RemoteAccount, entries: Sequence[Entry]) -> list[Entry]:
    """*entries* as their folders' listings have them now: a mount may not have listed yet."""
    folders = list({entry.folder for entry in entries})
    listings = await run_parallel([partial(remote.host.list_folder, f) for f in folders])
    files = {file.code: file for listing in listings for file in listing.files}
    return [replace(entry, file=files[entry.code]) for entry in entries if entry.code in files]


async def _open(remote: RemoteAccount, entry: Entry) -> Link | None:
    try:
        link = await remote.host.open_link(entry.code)
    except HostNotFoundError:
        return None
    page = entry.get_file().extra.get("link", "")
    return Link(entry=entry, kind="download", url=link.url, page=page, expires_at=link.expires_at)


async def _find_thumbnails(remote: RemoteAccount, entries: Sequence[Entry]) -> dict[str, Link]:
    host = remote.host
    urls = await run_parallel([partial(host.find_thumbnail, entry.code) for entry in entries])
    return {
        str(entry.code): Link(
            entry=entry,
            kind="thumbnail",
            url=url,
            page=entry.get_file().extra.get("link", ""),
        )
        for entry, url in zip(entries, urls, strict=True)
        if url
    }


def _with_query(link: Link, query: str) -> Link:
    joint = "&" if "?" in link.url else "?"
    return Link(entry=link.entry, kind=link.kind, url=link.url + joint + query, page=link.page)
