"""Large accounts in seconds: formula bodies, rows in bulk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache

import msgspec

from .account import Account
from .bodies import FormulaBody, body_sha1

SEEDS = 256


class NewFolder(msgspec.Struct):
    name: str
    parent: int | None = None  # a place in `Entries.folders`, before this one; None: the root


class NewFile(msgspec.Struct):
    title: str
    size: int
    uploaded: float  # Unix seconds
    folder: int | None = None  # as `NewFolder.parent`


class Entries(msgspec.Struct):
    folders: list[NewFolder]
    files: list[NewFile]


def add_entries(account: Account, given: Entries) -> tuple[list[int], list[str]]:
    """Add folders and files of any names, equal ones too. Their numbers and codes, in order.

    Errors: IndexError for a place that isn't in the list.
    """
    first, now = account.store.last_folder_id() + 1, time.time()
    numbers = [first + k for k in range(len(given.folders))]
    codes = [account.new_code() for _ in given.files]

    def number(place: int | None) -> int:
        return account.record.root_id if place is None else numbers[place]

    folders = [
        (numbers[k], number(f.parent), f.name, account.new_folder_code(), now)
        for k, f in enumerate(given.folders)
    ]
    files = [
        (code, number(f.folder), f.title, f.size, _sha1(j % SEEDS, f.size), j % SEEDS, f.uploaded)
        for j, (code, f) in enumerate(zip(codes, given.files, strict=True))
    ]
    account.store.add_many_folders(folders)
    account.store.add_many(files)
    return numbers, codes


def populate(
    account: Account, *, base: int, folders: int, files: int, size: int, fanout: int
) -> None:
    """Add *folders* folders below folder *base* and *files* files, evenly, in them.

    A folder holds at most *fanout* folders: folder k (from 0) lies in *base* for k < fanout,
    otherwise in folder k // fanout - 1. File j lies in folder j * folders // files, or in
    *base* if no folders are asked for. Names are "folder 000001" and "video 0000001", with
    ".mp4" on hosts that keep file names. The seed of file j is j % 256. Uploads lie one
    second apart, the last one ends now.
    """
    first = account.store.last_folder_id() + 1
    now = time.time()

    def folder_id(k: int) -> int:
        return base if k < 0 else first + k

    account.store.add_many_folders(
        (
            folder_id(k),
            folder_id(k // fanout - 1),
            f"folder {k + 1:06}",
            account.new_folder_code(),
            now,
        )
        for k in range(folders)
    )
    suffix = "" if account.record.strips_titles else ".mp4"

    def rows() -> Iterator[tuple[object, ...]]:
        for j in range(files):
            folder = folder_id(j * folders // files) if folders else base
            seed = j % SEEDS
            yield (
                account.new_code(), folder, f"video {j + 1:07}{suffix}", size,
                _sha1(seed, size), seed, now - files + j,
            )  # fmt: skip

    account.store.add_many(rows())


@lru_cache(maxsize=SEEDS * 4)
def _sha1(seed: int, size: int) -> str:
    """Beyond 16 MiB: computed when first asked for."""
    return body_sha1(FormulaBody(seed, size)) if size <= 16 << 20 else ""
