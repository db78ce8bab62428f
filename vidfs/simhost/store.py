"""One dialect's account on disk: folders, files, deleted files, uploads by URL.

SQLite in WAL mode with autocommit: every method is one atomic step that a SIGKILL can
neither halve nor undo once it returned. Single-threaded: called from the event loop only.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

ANONYMOUS = -1
"""Folder of files that were uploaded without login: in no listing."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS folders(
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice
  parent INTEGER,                        -- NULL: the root
  name TEXT NOT NULL,
  code TEXT NOT NULL UNIQUE,             -- the text id that some dialects show
  descr TEXT NOT NULL DEFAULT '',
  created REAL NOT NULL                  -- Unix seconds
);
CREATE INDEX IF NOT EXISTS folders_parent ON folders(parent, id);
CREATE TABLE IF NOT EXISTS files(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  code TEXT NOT NULL UNIQUE,             -- also the name of the body's file
  folder INTEGER NOT NULL,
  title TEXT NOT NULL,
  size INTEGER NOT NULL,                 -- of what is stored now, bytes
  sha1 TEXT NOT NULL DEFAULT '',         -- of what is stored now; '': not computed yet
  seed INTEGER,                          -- of a formula body; NULL: a file in files/
  uploaded REAL NOT NULL,                -- Unix seconds
  public INTEGER NOT NULL DEFAULT 1,
  adult INTEGER NOT NULL DEFAULT 0,
  premium_only INTEGER NOT NULL DEFAULT 0,
  cat_id TEXT NOT NULL DEFAULT '0',
  tags TEXT NOT NULL DEFAULT '',
  descr TEXT NOT NULL DEFAULT '',
  views INTEGER NOT NULL DEFAULT 0,
  last_download REAL,                    -- NULL: never
  status INTEGER NOT NULL DEFAULT 200,   -- 200, 404, 451, 500: what the host says of it
  transcoded INTEGER NOT NULL DEFAULT 0, -- 1: the bytes are no longer the uploader's
  transcode_at REAL,                     -- NULL: no conversion is due
  dmca_at REAL                           -- NULL: not scheduled for deletion
);
CREATE INDEX IF NOT EXISTS files_folder ON files(folder, uploaded, id);
CREATE INDEX IF NOT EXISTS files_uploaded ON files(uploaded, id);
CREATE INDEX IF NOT EXISTS files_transcode ON files(transcode_at) WHERE transcode_at NOT NULL;
CREATE TABLE IF NOT EXISTS deleted(
  code TEXT NOT NULL, title TEXT NOT NULL, deleted_by TEXT NOT NULL, deleted REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS remote(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  url TEXT NOT NULL,
  folder INTEGER NOT NULL,
  code TEXT NOT NULL,                    -- promised to the file
  title TEXT NOT NULL,
  fields TEXT NOT NULL DEFAULT '{}',     -- JSON: columns of the file to come
  added REAL NOT NULL,
  due REAL NOT NULL,                     -- when the transfer ends
  state TEXT NOT NULL                    -- 'open', 'done', 'error'
);
CREATE INDEX IF NOT EXISTS remote_due ON remote(due) WHERE state = 'open';
"""


class FolderRow(NamedTuple):
    id: int
    parent: int | None
    name: str
    code: str
    descr: str
    created: float


class FileRow(NamedTuple):
    id: int
    code: str
    folder: int
    title: str
    size: int
    sha1: str
    seed: int | None
    uploaded: float
    public: int
    adult: int
    premium_only: int
    cat_id: str
    tags: str
    descr: str
    views: int
    last_download: float | None
    status: int
    transcoded: int
    transcode_at: float | None
    dmca_at: float | None


class DeletedRow(NamedTuple):
    code: str
    title: str
    deleted_by: str
    deleted: float


class RemoteRow(NamedTuple):
    id: int
    url: str
    folder: int
    code: str
    title: str
    fields: str
    added: float
    due: float
    state: str


class Filter(NamedTuple):
    """Which files a listing holds. `None`: whatever."""

    folder: int | None = None
    title: str | None = None
    since: float | None = None  # uploaded at or after
    public: int | None = None
    adult: int | None = None

    def sql(self) -> tuple[str, list[object]]:
        terms, args = [f"folder != {ANONYMOUS}"], list[object]()
        if self.folder is not None:
            terms, args = ["folder = ?"], [self.folder]
        if self.title is not None:
            terms.append("instr(lower(title), lower(?)) > 0")
            args.append(self.title)
        if self.since is not None:
            terms.append("uploaded >= ?")
            args.append(self.since)
        if self.public is not None:
            terms.append("public = ?")
            args.append(self.public)
        if self.adult is not None:
            terms.append("adult = ?")
            args.append(self.adult)
        return " AND ".join(terms), args

    def matches(self, row: FileRow) -> bool:
        return (
            (row.folder == self.folder if self.folder is not None else row.folder != ANONYMOUS)
            and (self.title is None or self.title.lower() in row.title.lower())
            and (self.since is None or row.uploaded >= self.since)
            and (self.public is None or row.public == self.public)
            and (self.adult is None or row.adult == self.adult)
        )


_Row = TypeVar("_Row", FileRow, FolderRow)

_FILE = ", ".join(FileRow._fields)
_FOLDER = ", ".join(FolderRow._fields)
_REMOTE = ", ".join(RemoteRow._fields)


class Store:
    """`lag_s`: how old the state is that listings show (everything else is current)."""

    def __init__(self, path: Path, root_id: int, root_code: str) -> None:
        self.lag_s = 0.0
        self._horizon = 0.0  # the state that listings show, Unix seconds
        self._undo: deque[tuple[float, FileRow | FolderRow | None, FileRow | FolderRow | None]]
        self._undo = deque(maxlen=100_000)
        self._counts: dict[Filter, int] = {}
        self._used: tuple[int, int] | None = None
        self.root_id = root_id
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=OFF")  # SIGKILL loses nothing; a power cut may
        self.db.execute("PRAGMA cache_size=-65536")
        self.db.executescript(_SCHEMA)
        self.db.execute(
            "INSERT OR IGNORE INTO folders(id, parent, name, code, created) VALUES(?,NULL,'',?,?)",
            (root_id, root_code, time.time()),
        )

    def close(self) -> None:
        self.db.close()

    def set_lag(self, lag_s: float) -> None:
        """Without lag what was before is forgotten: no later one brings it back."""
        self.lag_s = lag_s
        if not lag_s:
            self._undo.clear()

    # -- reading ---------------------------------------------------------------------------

    def find_folder(self, folder: int) -> FolderRow | None:
        row = self.db.execute(f"SELECT {_FOLDER} FROM folders WHERE id=?", (folder,)).fetchone()
        return FolderRow._make(row) if row else None

    def find_folder_code(self, code: str) -> FolderRow | None:
        row = self.db.execute(f"SELECT {_FOLDER} FROM folders WHERE code=?", (code,)).fetchone()
        return FolderRow._make(row) if row else None

    def list_folders(self, parent: int) -> list[FolderRow]:
        rows = self.folders_in(parent)
        return self._lagged(rows, FolderRow, lambda row: row.parent == parent)

    def folders_in(self, parent: int) -> list[FolderRow]:
        """As they are now: for calls that are no listings."""
        rows = self.db.execute(
            f"SELECT {_FOLDER} FROM folders WHERE parent=? ORDER BY id", (parent,)
        )
        return [FolderRow._make(row) for row in rows]

    def files_in(self, folder: int) -> list[FileRow]:
        """As they are now: for calls that are no listings."""
        rows = self.db.execute(f"SELECT {_FILE} FROM files WHERE folder=? ORDER BY id", (folder,))
        return [FileRow._make(row) for row in rows]

    def all_folders(self) -> list[FolderRow]:
        rows = self.db.execute(f"SELECT {_FOLDER} FROM folders ORDER BY id")
        return [FolderRow._make(row) for row in rows]

    def find_file(self, code: str) -> FileRow | None:
        row = self.db.execute(f"SELECT {_FILE} FROM files WHERE code=?", (code,)).fetchone()
        return FileRow._make(row) if row else None

    def list_files(
        self, which: Filter, *, limit: int = -1, offset: int = 0, newest_first: bool = False
    ) -> list[FileRow]:
        """One page of a listing, oldest first unless said."""
        where, args = which.sql()
        order = "uploaded DESC, id DESC" if newest_first else "uploaded, id"
        lagged = bool(self.lag_s and self._undo)
        page = (-1, 0) if lagged else (limit, offset)
        rows = self.db.execute(
            f"SELECT {_FILE} FROM files WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",
            (*args, *page),
        )
        files = [FileRow._make(row) for row in rows]
        if lagged:
            files = self._lagged(files, FileRow, which.matches)
            files.sort(key=lambda row: (row.uploaded, row.id), reverse=newest_first)
            files = files[offset:] if limit < 0 else files[offset : offset + limit]
        return files

    def count_files(self, which: Filter) -> int:
        if self.lag_s and self._undo:
            return len(self.list_files(which))
        count = self._counts.get(which)
        if count is None:
            where, args = which.sql()
            count = int(
                self.db.execute(f"SELECT count(*) FROM files WHERE {where}", args).fetchone()[0]
            )
            self._counts[which] = count
        return count

    def used(self) -> tuple[int, int]:
        """Number of files, their bytes."""
        if self._used is None:
            row = self.db.execute(
                f"SELECT count(*), coalesce(sum(size), 0) FROM files WHERE folder != {ANONYMOUS}"
            ).fetchone()
            self._used = (int(row[0]), int(row[1]))
        return self._used

    def list_deleted(self, since: float) -> list[DeletedRow]:
        rows = self.db.execute(
            "SELECT code, title, deleted_by, deleted FROM deleted WHERE deleted >= ?"
            " ORDER BY deleted DESC, rowid DESC",
            (since,),
        )
        return [DeletedRow._make(row) for row in rows]

    def list_dmca(self) -> list[FileRow]:
        rows = self.db.execute(f"SELECT {_FILE} FROM files WHERE dmca_at NOT NULL ORDER BY id")
        return [FileRow._make(row) for row in rows]

    def list_transcoding(self, due: float | None = None) -> list[FileRow]:
        """Files whose conversion is pending (and due), in the order it falls due."""
        rows = self.db.execute(
            f"SELECT {_FILE} FROM files WHERE transcode_at NOT NULL AND transcode_at <= ?"
            " ORDER BY transcode_at",
            (9e15 if due is None else due,),
        )
        return [FileRow._make(row) for row in rows]

    # -- writing ---------------------------------------------------------------------------

    def add_folder(self, parent: int, name: str, code: str, descr: str = "") -> FolderRow:
        cursor = self.db.execute(
            "INSERT INTO folders(parent, name, code, descr, created) VALUES(?,?,?,?,?)",
            (parent, name, code, descr, time.time()),
        )
        row = self.find_folder(cursor.lastrowid or 0)
        assert row is not None
        self._changed(None, row)
        return row

    def edit_folder(self, row: FolderRow, **changes: object) -> None:
        self._update("folders", row.id, changes)
        self._changed(row, self.find_folder(row.id))

    def delete_folder(self, row: FolderRow) -> None:
        """The folder's own row only."""
        self.db.execute("DELETE FROM folders WHERE id=?", (row.id,))
        self._changed(row, None)

    def add_file(self, *, code: str, folder: int, title: str, size: int, **more: object) -> FileRow:
        values = {
            "code": code, "folder": folder, "title": title, "size": size,
            "uploaded": time.time(), **more,
        }  # fmt: skip
        marks = ",".join("?" * len(values))
        self.db.execute(
            f"INSERT INTO files({','.join(values)}) VALUES({marks})", tuple(values.values())
        )
        row = self.find_file(code)
        assert row is not None
        self._changed(None, row)
        return row

    def edit_file(self, row: FileRow, **changes: object) -> None:
        self._update("files", row.id, changes)
        self._changed(row, self.find_file(row.code))

    def delete_file(self, row: FileRow, deleted_by: str = "me") -> None:
        self.db.execute("BEGIN")
        self.db.execute("DELETE FROM files WHERE id=?", (row.id,))
        self.db.execute(
            "INSERT INTO deleted VALUES(?,?,?,?)", (row.code, row.title, deleted_by, time.time())
        )
        self.db.execute("COMMIT")
        self._changed(row, None)

    def add_many(self, files: Iterable[tuple[object, ...]]) -> None:
        """Bulk insert of (code, folder, title, size, sha1, seed, uploaded)."""
        self.db.execute("BEGIN")
        self.db.executemany(
            "INSERT INTO files(code, folder, title, size, sha1, seed, uploaded)"
            " VALUES(?,?,?,?,?,?,?)",
            files,
        )
        self.db.execute("COMMIT")
        self._forget()

    def add_many_folders(self, folders: Iterable[tuple[object, ...]]) -> None:
        """Bulk insert of (id, parent, name, code, created)."""
        self.db.execute("BEGIN")
        self.db.executemany(
            "INSERT INTO folders(id, parent, name, code, created) VALUES(?,?,?,?,?)", folders
        )
        self.db.execute("COMMIT")

    def clear(self) -> None:
        """Forget everything but the root and the numbers already given."""
        self.db.execute("BEGIN")
        self.db.execute("DELETE FROM files")
        self.db.execute("DELETE FROM folders WHERE parent NOT NULL")
        self.db.execute("DELETE FROM deleted")
        self.db.execute("DELETE FROM remote")
        self.db.execute("COMMIT")
        self._undo.clear()
        self._forget()

    def last_folder_id(self) -> int:
        """The highest folder number ever given."""
        row = self.db.execute("SELECT seq FROM sqlite_sequence WHERE name='folders'").fetchone()
        return int(row[0]) if row else self.root_id

    # -- uploads by URL --------------------------------------------------------------------

    def add_remote(self, *, url: str, folder: int, code: str, title: str, fields: str, due: float,
                   state: str) -> int:  # fmt: skip
        cursor = self.db.execute(
            "INSERT INTO remote(url, folder, code, title, fields, added, due, state)"
            " VALUES(?,?,?,?,?,?,?,?)",
            (url, folder, code, title, fields, time.time(), due, state),
        )
        return cursor.lastrowid or 0

    def list_remote(self) -> list[RemoteRow]:
        """Newest first."""
        rows = self.db.execute(f"SELECT {_REMOTE} FROM remote ORDER BY id DESC")
        return [RemoteRow._make(row) for row in rows]

    def list_remote_due(self, now: float) -> list[RemoteRow]:
        rows = self.db.execute(
            f"SELECT {_REMOTE} FROM remote WHERE state='open' AND due <= ? ORDER BY due", (now,)
        )
        return [RemoteRow._make(row) for row in rows]

    def edit_remote(self, remote: int, **changes: object) -> None:
        self._update("remote", remote, changes)

    def delete_remote(self, remote: int) -> None:
        self.db.execute("DELETE FROM remote WHERE id=?", (remote,))

    def next_due(self) -> float:
        """When the next conversion or upload by URL falls due; infinity if none does."""
        row = self.db.execute(
            "SELECT min(t) FROM (SELECT min(transcode_at) AS t FROM files"
            " WHERE transcode_at NOT NULL UNION ALL"
            " SELECT min(due) FROM remote WHERE state='open')"
        ).fetchone()
        return float("inf") if row[0] is None else float(row[0])

    # -- helpers ---------------------------------------------------------------------------

    def _update(self, table: str, row_id: int, changes: dict[str, object]) -> None:
        if changes:
            terms = ", ".join(f"{name}=?" for name in changes)
            self.db.execute(f"UPDATE {table} SET {terms} WHERE id=?", (*changes.values(), row_id))

    def _changed(
        self, before: FileRow | FolderRow | None, after: FileRow | FolderRow | None
    ) -> None:
        self._forget()
        if self.lag_s:
            self._undo.append((time.time(), before, after))

    def _forget(self) -> None:
        self._counts.clear()
        self._used = None

    def _lagged(
        self, rows: list[_Row], kind: type[_Row], belongs: Callable[[_Row], bool]
    ) -> list[_Row]:
        """*rows* as they were `lag_s` ago: later changes undone, the newest first."""
        if not (self.lag_s and self._undo):
            return rows
        state = {row.id: row for row in rows}
        # No listing is older than one before: a longer lag holds them where they are.
        horizon = self._horizon = max(self._horizon, time.time() - self.lag_s)
        for when, before, after in reversed(self._undo):
            if when <= horizon:
                break
            if isinstance(after, kind):
                state.pop(after.id, None)
            if isinstance(before, kind):
                state.pop(before.id, None)
                if belongs(before):
                    state[before.id] = before
        return [state[row_id] for row_id in sorted(state)]
