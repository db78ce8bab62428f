"""Conversions at the host: listing, starting, following."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from vidfs.app.places import Place
from vidfs.app.remote import Entry, RemoteAccount
from vidfs.hosts.extras import Encoding
from vidfs.types import FileCode

POLL_FIRST_S = 0.5
POLL_MAX_S = 3.0
ABSENT_POLLS = 2
"""So many listings without a file in a row say that its conversion is over."""

LIST_LIMIT = 100
"""The most that a host lists at once. Source: S3 (converts, limit)."""

_FAILED = frozenset("error failed failure".split())

Show = Callable[[str, "float | None", str], None]


async def list_encodings(remote: RemoteAccount, place: Place) -> list[Encoding]:
    """All conversions of the account, or those of the folder or file at *place*.

    Errors: AbilityError, naming the host.
    """
    able = remote.host.capabilities.encodings
    extras = remote.extras(able, "list_encodings", "list conversions")
    more = remote.accepted("list_encodings", limit=LIST_LIMIT)
    if not place.parts:
        return list(await extras.list_encodings(**more))
    entry = await remote.find(place)
    if entry.file is not None:
        return list(await extras.list_encodings(entry.code, **more))
    codes = {one.code for one in await remote.list_files(entry)}
    return [one for one in await extras.list_encodings(**more) if one.code in codes]


async def start_conversions(remote: RemoteAccount, entries: Sequence[Entry]) -> None:
    """Errors: AbilityError, naming the host."""
    able = remote.host.capabilities.convert
    extras = remote.extras(able, "convert_file", "convert files")
    for entry in entries:
        await extras.convert_file(entry.code)
        remote.note_change(entry.parts[:-1])


async def follow_conversions(
    remote: RemoteAccount, entries: Sequence[Entry], show: Show
) -> list[Entry]:
    """Wait until none of *entries* is being converted; those that failed."""
    able = remote.host.capabilities.encodings
    extras = remote.extras(able, "list_encodings", "say how conversions stand")
    more = remote.accepted("list_encodings", limit=LIST_LIMIT)
    absent: dict[FileCode, int] = {entry.code: 0 for entry in entries}
    failed: list[Entry] = []
    going = list(entries)
    pause_s = POLL_FIRST_S
    while going:
        listed = {one.code: one for one in await extras.list_encodings(**more)}
        for entry in list(going):
            one = listed.get(entry.code)
            absent[entry.code] = 0 if one is not None else absent[entry.code] + 1
            if one is not None:
                show(entry.name, one.progress, one.status)
                if one.status.lower() in _FAILED:
                    failed.append(entry)
                    going.remove(entry)
            elif absent[entry.code] >= ABSENT_POLLS:
                show(entry.name, 1.0, "done")
                going.remove(entry)
        if going:
            await trio.sleep(pause_s)
            pause_s = min(POLL_MAX_S, pause_s * 1.5)
    return failed
