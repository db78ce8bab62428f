"""Thumbnails where desktop programs look for them: the freedesktop thumbnail cache.

Owns the names, the PNG files and what stands in them. Which file gets which picture, and
when, is the caller's business. Methods block on the local disk: call them in a thread.
Source: Thumbnail Managing Standard 0.9 (freedesktop.org).
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from urllib.parse import quote

_SIZES: Mapping[str, int] = {"normal": 128, "large": 256, "x-large": 256, "xx-large": 256}
"""Folder: pixels of either side at most. The largest two would take 512 and 1024; they get the
same file as "large", so that no program looks for more, and the cache stays small."""
_PNG_START = b"\x89PNG\r\n\x1a\n"
_IHDR_END = len(_PNG_START) + 25
_TEXT_BYTES_MAX = 64 << 10  # the texts stand within so much of the beginning, in our files
_PIXELS_MAX = 50_000_000
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_PLACEHOLDER = "vidfs placeholder"
_URI_SAFE = "/!$&'()*+,:=@~"  # what GLib leaves as it is beside letters, digits and -._


class State(IntEnum):
    """What the cache has of a file."""

    NONE = 0
    PLACEHOLDER = 1  # one of ours that waits for a picture
    PICTURE = 2


class NotAPictureError(Exception):
    """The bytes are no picture that we can show."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The file that a thumbnail is of."""

    path: str  # absolute, as a file manager calls it
    mtime_s: int  # as `stat` says: the thumbnail of another time is not valid

    @property
    def uri(self) -> str:
        """As GLib writes it: programs look for the thumbnail by this text's hash."""
        return "file://" + quote(os.fsencode(self.path), safe=_URI_SAFE)


class ThumbnailCache:
    """`$XDG_CACHE_HOME/thumbnails`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def state(self, subject: Subject) -> State:
        """What is there and valid, in the size that has the least."""
        return min(self._state(file, subject) for file in self._files(subject.uri).values())

    def _state(self, file: Path, subject: Subject) -> State:
        try:
            with file.open("rb") as opened:
                texts = read_texts(opened.read(_TEXT_BYTES_MAX))
        except OSError:
            return State.NONE
        wanted = {"Thumb::URI": subject.uri, "Thumb::MTime": str(subject.mtime_s)}
        if not wanted.items() <= texts.items():
            return State.NONE
        return State.PLACEHOLDER if texts.get("Software") == _PLACEHOLDER else State.PICTURE

    def save_placeholder(self, subject: Subject) -> None:
        """A neutral picture, so that nobody reads the film to make one. Errors: OSError.

        Leaves a valid thumbnail alone, whoever made it.
        """
        content = _with_texts(_placeholder(), _texts_of(subject) | {"Software": _PLACEHOLDER})
        files = self._files(subject.uri).values()
        _write_all([file for file in files if self._state(file, subject) is State.NONE], content)

    def save_picture(self, subject: Subject, picture: bytes) -> None:
        """*picture* (JPEG, PNG, WEBP, GIF) in every size that has no valid one.

        Errors: NotAPictureError; OSError.
        """
        texts = _texts_of(subject) | {"Software": "vidfs"}
        lacking: dict[int, list[Path]] = {}
        for folder, file in self._files(subject.uri).items():
            if self._state(file, subject) is not State.PICTURE:
                lacking.setdefault(_SIZES[folder], []).append(file)
        for side_max, files in lacking.items():
            _write_all(files, _with_texts(to_png(picture, side_max), texts))

    def move(self, path: str, subject: Subject) -> None:
        """The file that was at *path* is *subject* now: its thumbnails go with it."""
        old_files = self._files(Subject(path, 0).uri)
        for folder, file in self._files(subject.uri).items():
            with suppress(OSError):
                png = old_files[folder].read_bytes()
                texts = read_texts(png)
                if texts:
                    _write_all([file], _with_texts(_without_texts(png), texts | _texts_of(subject)))
        self.remove(path)

    def remove(self, path: str) -> None:
        """The file at *path* is gone or has another name: so are its thumbnails."""
        for file in self._files(Subject(path, 0).uri).values():
            with suppress(OSError):
                file.unlink()

    def _files(self, uri: str) -> dict[str, Path]:
        name = hashlib.md5(uri.encode("ascii"), usedforsecurity=False).hexdigest() + ".png"
        return {folder: self._directory / folder / name for folder in _SIZES}


def to_png(picture: bytes, side_max: int) -> bytes:
    """*picture* as PNG, made smaller to fit, never larger. Errors: NotAPictureError."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(picture), formats=_FORMATS) as image:
            if image.width * image.height > _PIXELS_MAX:
                raise NotAPictureError("too many pixels")
            image.draft("RGB", (side_max, side_max))  # a JPEG is decoded no larger than needed
            small = image.convert("RGBA" if image.has_transparency_data else "RGB")
            small.thumbnail((side_max, side_max))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise NotAPictureError(str(error)) from None
    return _encode(small)


def _encode(image: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")  # type: ignore[attr-defined]
    return out.getvalue()


@functools.cache
def _placeholder() -> bytes:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (128, 72), (48, 52, 58))
    draw = ImageDraw.Draw(image)
    for x in range(6, 128, 15):
        for y in (4, 62):
            draw.rectangle((x, y, x + 7, y + 5), fill=(84, 90, 98))
    draw.polygon([(52, 22), (52, 50), (78, 36)], fill=(140, 146, 154))
    return _encode(image)


def _texts_of(subject: Subject) -> dict[str, str]:
    """No `Thumb::Size`: a size that a host tells late would make the thumbnail invalid."""
    return {"Thumb::URI": subject.uri, "Thumb::MTime": str(subject.mtime_s)}


def _with_texts(png: bytes, texts: Mapping[str, str]) -> bytes:
    """*png* with tEXt chunks behind its header."""
    chunks = []
    for name, text in texts.items():
        body = b"tEXt" + name.encode("latin-1") + b"\0" + text.encode("latin-1")
        chunks.append(struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)))
    return png[:_IHDR_END] + b"".join(chunks) + png[_IHDR_END:]


def read_texts(png: bytes) -> dict[str, str]:
    """The tEXt chunks in the beginning of a PNG file; empty for anything else."""
    texts: dict[str, str] = {}
    for kind, start, stop in _chunks(png):
        if kind == b"tEXt":
            name, _, text = png[start + 8 : stop - 4].partition(b"\0")
            texts[name.decode("latin-1")] = text.decode("latin-1")
    return texts


def _without_texts(png: bytes) -> bytes:
    kept = [_PNG_START]
    rest = len(_PNG_START)
    for kind, start, stop in _chunks(png):
        rest = stop
        if kind != b"tEXt":
            kept.append(png[start:stop])
    return b"".join([*kept, png[rest:]])


def _chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, beginning and end of every chunk before the picture itself."""
    at = len(_PNG_START)
    while png.startswith(_PNG_START) and at + 8 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        if kind in (b"IDAT", b"IEND"):
            return
        yield kind, at, at + length + 12
        at += length + 12


def _write_all(files: Sequence[Path], content: bytes) -> None:
    """One file under several names; whole or not at all, readable by its owner only."""
    for folder in {file.parent for file in files}:
        for above in (folder.parent.parent, folder.parent, folder):
            above.mkdir(mode=0o700, exist_ok=True)
    for number, file in enumerate(files):
        fresh = file.with_name(f".{file.stem}.{os.getpid()}.tmp")
        fresh.unlink(missing_ok=True)
        try:
            if number:
                fresh.hardlink_to(files[0])
            else:
                fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(fd, "wb") as opened:
                    opened.write(content)
            fresh.replace(file)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
