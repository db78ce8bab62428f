"""A damaged catalogue is made anew from what can still be read of it.

The tree can be asked of the host again; what is only here can't: the journal of uploads, names
and times that were given, where trash came from. So every readable row is taken over, but for
the listings: each folder is asked for anew. The damaged file is kept beside the new one.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from vidfs.errors import NewerCatalogueError, SpoolDamagedError
from vidfs.tree.store import Store, damage_mark
from vidfs.types import ROOT_INODE

log = logging.getLogger(__name__)

_ASKED_ANEW = frozenset({"listing", "sqlite_sequence"})


def open_catalogue(path: Path) -> tuple[Store, str]:
    """The catalogue at *path*, and what a person should know of it, "" if nothing.

    Errors: NewerCatalogueError; SpoolFullError.
    """
    if not damage_mark(path).exists():
        try:
            return Store(path), ""
        except NewerCatalogueError:
            raise
        except SpoolDamagedError as error:
            log.error("%s", error)
    return _rebuild(path)


def _rebuild(path: Path) -> tuple[Store, str]:
    new = path.with_name(path.name + "-new")
    for left in (new, _wal(new)):
        left.unlink(missing_ok=True)
    store = Store(new)
    with store.transaction():
        _take_over(path, store.db)
        (jobs,) = store.db.execute("SELECT count(*) FROM job WHERE inode NOTNULL").fetchone()
    store.close()  # into one file
    kept = path.with_name(f"{path.name}-damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    if path.exists():
        os.link(path, kept)
    if _wal(path).exists():
        shutil.copy2(_wal(path), _wal(kept))
        _wal(path).unlink()  # it would be taken for the new file's
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    new.replace(path)
    damage_mark(path).unlink(missing_ok=True)
    note = (
        f"the catalogue was damaged and is made anew, with {jobs} files that wait here; "
        f"the damaged one is {kept}"
    )
    log.warning("%s", note)
    return Store(path), note


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _take_over(path: Path, new: sqlite3.Connection) -> None:
    """Every readable row of the catalogue at *path* into *new*."""
    old = sqlite3.connect(path, isolation_level=None)
    old.text_factory = lambda text: text.decode("utf-8", "replace")
    try:
        for (table,) in new.execute("SELECT name FROM sqlite_schema WHERE type='table'").fetchall():
            if table not in _ASKED_ANEW:
                # It may be an older version's. The key stays in front: `_readable` counts on it.
                had = {name for (name,) in _readable(old, f"pragma_table_info('{table}')", "name")}
                known = [row[1] for row in new.execute(f"PRAGMA table_info({table})")]
                columns = [name for name in known if name in had]
                if not columns:
                    continue
                marks = ",".join("?" * len(columns))
                names = ",".join(columns)
                new.executemany(
                    f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})",
                    _readable(old, table, names),
                )
        for table, last in _readable(old, "sqlite_sequence", "name, seq"):
            new.execute("UPDATE sqlite_sequence SET seq=max(seq, ?) WHERE name=?", (last, table))
    finally:
        old.close()
    _attach(new)


def _readable(db: sqlite3.Connection, table: str, names: str) -> Iterator[Sequence[object]]:
    """Rows from the first on and from the last back, up to what is damaged between."""
    for order in ("ASC", "DESC"):
        try:
            yield from db.execute(f"SELECT {names} FROM {table} ORDER BY 1 {order}")
            return
        except sqlite3.DatabaseError as error:
            log.warning("the catalogue's table %s: %s", table, error)


def _attach(db: sqlite3.Connection) -> None:
    """Entries whose folder is missing: files with bytes here go to the root, others go."""
    lost = "inode<>1 AND parent NOT IN (SELECT inode FROM node WHERE kind=0)"
    db.execute(
        f"UPDATE node SET parent=?, given=NULL, name='recovered '||inode||' '||name WHERE {lost}"
        " AND kind=1 AND inode IN (SELECT inode FROM job WHERE inode NOTNULL)",
        (ROOT_INODE,),
    )
    while db.execute(f"DELETE FROM node WHERE {lost}").rowcount:
        pass
