"""Host titles to file names and back. Pure functions, no state.

The rules are the README's "Names":

1. `shown_name` makes any title a valid file name, deterministically.
2. `with_extension` adds a synthetic extension to a video's title that has none.
3. `assign_names` makes the names of one folder unique, whatever order a host lists in.

A file name is bytes, a title is text. `name_of` and `bytes_of` lead from one to the other, and
nothing is lost where the bytes are no UTF-8.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from vidfs.types import NAME_BYTES_MAX, NodeKind

VIDEO_EXTENSIONS = frozenset(
    "3g2 3gp asf avi divx f4v flv m2ts m2v m4v mkv mov mp4 mpe mpeg mpeg4 mpegps mpg mts mxf "
    "ogm ogv qt rm rmvb ts vob webm wmv".split()
)
"""Endings that count as "has a video extension".

Source: API_FACTS §1.3 lists what DoodStream's clients name; the rest is common usage.
"""

SLASH = "\uff0f"  # FULLWIDTH SOLIDUS, for "/"
_CONTROL_PICTURES = {code: 0x2400 + code for code in range(0x20)} | {
    0x7F: 0x2421,
    ord("/"): ord(SLASH),
}
_NOT_NAMES = frozenset({"", ".", ".."})
# Bytes that are no UTF-8, for private use: a mark, which no title has by chance before such a
# character, and the byte's own (U+EF80 to U+EFFF).
_MARK, _OCTETS = "\uef00", 0xEF00
_OCTET = re.compile(_MARK + "([\uef80-\uefff])")
_LONE = re.compile("[\udc80-\udcff]")
_PLAIN = re.compile(r"[A-Za-z0-9_()\[\] -][A-Za-z0-9_()\[\]., '+-]*")  # most titles: nothing to do


def name_of(raw: bytes) -> str:
    """A file name as text. Each byte that is no UTF-8 becomes two characters for private use, which
    titles, databases and JSON take; they would take no lone surrogate."""
    text = raw.decode("utf-8", "surrogateescape")
    if _MARK in text:  # what was typed so isn't what stands for a byte
        text = _OCTET.sub(lambda typed: _to_lone(_MARK.encode()) + typed[1], text)
    return _LONE.sub(lambda lone: _MARK + chr(ord(lone[0]) - 0xDC00 + _OCTETS), text)


def bytes_of(name: str) -> bytes:
    """The bytes that `name_of` made *name* of."""
    if _MARK in name:
        name = _OCTET.sub(lambda octet: chr(ord(octet[1]) - _OCTETS + 0xDC00), name)
        return name.encode("utf-8", "surrogateescape")
    return name.encode()


def _to_lone(raw: bytes) -> str:
    return "".join(chr(0xDC00 + byte) for byte in raw)


def shown_name(title: str, remote_id: str) -> str:
    """A valid file name for *title*; *remote_id* names what would have no name at all."""
    if _PLAIN.fullmatch(title):
        return title
    name = html.unescape(title).translate(_CONTROL_PICTURES)
    # A lone surrogate can't be encoded, and a name must be.
    name = name.encode("utf-8", "replace").decode("utf-8")
    if _MARK in name:
        name = name_of(bytes_of(name))  # as the kernel will give it back
    return f"untitled [{remote_id}]" if name in _NOT_NAMES else name


def split_extension(name: str) -> tuple[str, str]:
    """`("film", ".mp4")`; the extension is empty where there is none worth the name."""
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem or not extension or len(extension) > 16 or " " in extension:
        return name, ""
    return stem, dot + extension


def has_video_extension(name: str) -> bool:
    return split_extension(name)[1][1:].lower() in VIDEO_EXTENSIONS


def extension_of(name: str) -> str:
    """Lower case, without the dot; empty if there is none."""
    return split_extension(name)[1][1:].lower()


def with_extension(name: str, default_extension: str) -> str:
    """*name* with a video extension, a synthetic one where it has none."""
    if not default_extension or has_video_extension(name):
        return name
    return f"{name}.{default_extension}"


def title_for_rename(name: str, old_title: str, default_extension: str) -> str:
    """The title to send when a file with *old_title* is renamed to *name*.

    A title without a video extension is shown with a synthetic one; the same one is taken
    off again, so that the host's title stays clean. Everything else goes as it is.
    """
    suffix = f".{default_extension}"
    if (
        default_extension
        and not has_video_extension(old_title)
        and name.endswith(suffix)
        and len(name) > len(suffix)
    ):
        return name[: -len(suffix)]
    return name


def decorated(name: str, remote_id: str) -> str:
    """*name* with ` [remote_id]` before its extension, within the length of a name."""
    stem, extension = split_extension(name)
    tail = f" [{remote_id}]{extension}"
    return _clip(stem, NAME_BYTES_MAX - len(tail.encode())) + tail


def fitted(name: str, remote_id: str) -> str:
    """*name*, or, over 255 bytes, cut on a character boundary and told apart by its id."""
    return name if len(name.encode()) <= NAME_BYTES_MAX else decorated(name, remote_id)


def _clip(text: str, bytes_max: int) -> str:
    return text.encode()[: max(bytes_max, 0)].decode("utf-8", "ignore")


@dataclass(frozen=True, slots=True, kw_only=True)
class Titled:
    """What `assign_names` needs to know of one entry of a folder."""

    key: int  # the caller's; comes back
    kind: NodeKind
    title: str
    remote_id: str
    uploaded_at: float | None = None
    given: str | None = None  # a name given through this mount: always shown as given


def assign_names(entries: Iterable[Titled], *, default_extension: str) -> dict[int, str]:
    """A unique name for every entry of one folder, by `key`.

    Given names come first, then folders, then the oldest file: the first to ask for a name
    has it plain, every other gets its id. The answer doesn't depend on the order of *entries*.
    """
    wishes = [(entry, _wanted(entry, default_extension)) for entry in entries]
    if len({wanted for _, wanted in wishes}) == len(wishes):
        return {entry.key: wanted for entry, wanted in wishes}
    names: dict[int, str] = {}
    taken: set[str] = set()
    waiting: list[tuple[Titled, str]] = []
    for entry, wanted in sorted(wishes, key=lambda wish: _precedence(wish[0])):
        if wanted in taken:
            waiting.append((entry, wanted))
        else:
            taken.add(wanted)
            names[entry.key] = wanted
    # Only after every plain name has its owner, so that "a [x].mp4" can't be taken from a
    # file that is really called so.
    for entry, wanted in waiting:
        name = decorated(wanted, entry.remote_id)
        for count in itertools.count(2):
            if name not in taken:
                break
            name = decorated(wanted, f"{entry.remote_id} {count}")
        taken.add(name)
        names[entry.key] = name
    return names


def _precedence(entry: Titled) -> tuple[bool, int, float, int, str]:
    age = entry.uploaded_at if entry.uploaded_at is not None else float("inf")
    # Folder ids are counted up by every host we know: shorter, then smaller, is older.
    return (entry.given is None, entry.kind, age, len(entry.remote_id), entry.remote_id)


def _wanted(entry: Titled, default_extension: str) -> str:
    if entry.given is not None:
        return entry.given
    name = shown_name(entry.title, entry.remote_id)
    if entry.kind is NodeKind.FILE:
        name = with_extension(name, default_extension)
    return fitted(name, entry.remote_id)


DEFAULT_SCRATCH = (
    ".*",
    "*.part",
    "*.crdownload",
    "*.tmp",
    "*.temp",
    "*.swp",
    "*~",
    "Thumbs.db",
    "desktop.ini",
)


def is_scratch(name: str, patterns: Iterable[str]) -> bool:
    """Whether *name* is one that programs use on the way to the real one."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


_BLANKS = re.compile(r"[\s._]+")


def loose_title(title: str) -> str:
    """*title* without what hosts are known to drop or add, for comparing only.

    Source: API_FACTS §2.5 (extension dropped; dots and underscores turned to blanks), §3.4
    (".mp4" appended after conversion).
    """
    text = html.unescape(title)
    while True:
        stem, extension = split_extension(text)
        if extension[1:].lower() not in VIDEO_EXTENSIONS:
            break
        text = stem
    return _BLANKS.sub(" ", text).strip().casefold()


def is_host_form(title: str, given: str) -> bool:
    """Whether *title* is what a host may have made of *given* by itself.

    Source: API_FACTS §2.5 (extension dropped; dots and underscores turned to blanks), §3.4
    (".mp4" appended after conversion).
    """
    stem, extension = split_extension(given)
    forms = {given, stem} if extension[1:].lower() in VIDEO_EXTENSIONS else {given}
    forms |= {_BLANKS.sub(" ", form).strip() for form in forms}
    forms |= {f"{form}.mp4" for form in forms}
    return html.unescape(title) in forms
