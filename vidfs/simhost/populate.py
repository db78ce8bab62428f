"""Large accounts in seconds: formula bodies, rows in bulk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache

from .account import Account
from .bodies import FormulaBody, body_sha1

SEEDS = 256


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
