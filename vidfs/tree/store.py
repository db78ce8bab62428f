"""The catalogue on disk: schema, migrations and every statement on nodes.

One SQLite file per account, one connection, used from the main thread only: statements are
short, and a synchronous call is an atomic step for everybody else (no task switch).

Durability: the file is in WAL mode. `synchronous=NORMAL` is enough for the tree (SIGKILL
loses nothing, a power cut loses seconds of what the host can tell again); the journal of
uploads beside it asks for `durable()` where a row must be on disk before anything goes on.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vidfs.errors import NewerCatalogueError, SpoolDamagedError, SpoolError, SpoolFullError
from vidfs.tree.node import Node, SizeSource
from vidfs.types import ROOT_INODE, FolderId, Inode, NodeKind

SCHEMA_VERSION = 5
_OLDEST_READABLE = 1  # by a command that only looks: it needs no table that came later

_SCHEMA = """
-- Facts about the file itself and the account: 'account' (whose catalogue this is), 'boot'
-- (boot id of the machine while a daemon has the spool, '' once it stopped in good order).
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Every entry of the tree, those of folders never listed excepted.
CREATE TABLE node (
    inode           INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice; the root is 1
    parent          INTEGER NOT NULL,  -- inode of the folder; the root's is itself
    name            TEXT NOT NULL,     -- as shown; unique among the folder's entries
    kind            INTEGER NOT NULL,  -- NodeKind
    remote          TEXT,              -- folder id or file code; NULL: not at the host (yet)
    title           TEXT NOT NULL,     -- at the host, as last seen or as sent; '' without remote
    given           TEXT,              -- name given through the mount; NULL: derived from title
    size            INTEGER,           -- bytes; NULL: not known
    size_source     INTEGER NOT NULL,  -- SizeSource
    mtime_ns        INTEGER,           -- set through the mount (folders: our last change
                                       -- inside); NULL: uploaded_at counts
    uploaded_at     REAL,              -- Unix seconds by our clock; NULL: the host doesn't say
    sha1            TEXT,              -- lower-case hex, of the host's or of what we sent
    readable        INTEGER NOT NULL,  -- 0: blocked or broken at the host
    extra           TEXT,              -- JSON object of further attributes; NULL: none
    unsettled_since REAL,              -- Unix seconds of our newest change that no listing has
                                       -- confirmed; NULL: settled
    stale_title     TEXT               -- title before that change; NULL: none or new
);
CREATE INDEX node_by_parent ON node (parent, name);
CREATE UNIQUE INDEX node_by_remote ON node (kind, remote) WHERE remote IS NOT NULL;

-- When each folder was last seen whole.
CREATE TABLE listing (
    inode        INTEGER PRIMARY KEY,  -- the folder's
    requested_at REAL NOT NULL         -- Unix seconds, before the listing was asked for
);

-- What we deleted: a listing that lags behind must not bring it back.
CREATE TABLE tombstone (
    kind       INTEGER NOT NULL,
    remote     TEXT NOT NULL,
    deleted_at REAL NOT NULL,          -- Unix seconds
    PRIMARY KEY (kind, remote)
) WITHOUT ROWID;

-- What lies in the trash at the host, and where it came from.
CREATE TABLE trash (
    kind       INTEGER NOT NULL,
    remote     TEXT NOT NULL,
    name       TEXT NOT NULL,          -- as it was shown
    title      TEXT NOT NULL,          -- as the host had it
    folder     TEXT NOT NULL,          -- folder id it was in
    path       TEXT NOT NULL,          -- path of that folder, for people
    deleted_at REAL NOT NULL,          -- Unix seconds
    PRIMARY KEY (kind, remote)
) WITHOUT ROWID;

-- The upload journal (tree/journal.py): one row for every file with bytes in the spool.
CREATE TABLE job (
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- also names the spool file
    inode       INTEGER,           -- whose bytes; NULL: only the outcome is left to settle
    state       TEXT NOT NULL,     -- JobState; `changing`: see volume/unfinished.py
    clean       INTEGER NOT NULL,  -- 0: while writing: written since a descriptor was closed,
                                   -- parked or local: cut off, only a person may send it
    size        INTEGER NOT NULL,  -- bytes, true from 'sealed' on
    sha1        TEXT,              -- lower-case hex, from 'queued' on
    sha256      TEXT,              -- likewise, where the host takes it
    attempts    INTEGER NOT NULL,  -- uploads begun
    reason      TEXT NOT NULL,     -- why parked, or what the last attempt met; '' if nothing
    not_before  REAL NOT NULL,     -- Unix seconds of the next attempt
    sent_folder TEXT,              -- of the attempt under way: folder id …
    sent_title  TEXT,              -- … title …
    sent_at     REAL,              -- … and start, Unix seconds; NULL: none under way
    code        TEXT,              -- the host's answer, from 'confirming' on
    obsolete    TEXT NOT NULL,     -- JSON list of file codes to remove once this one is there
    successor   INTEGER            -- without inode: the job whose `obsolete` gets the outcome
);
CREATE INDEX job_by_inode ON job (inode);
"""

_FOLDER_MOVE = """
-- Folders being moved on a host that can only move files: a new folder was made, and what lies
-- in the old one is on its way there.
CREATE TABLE folder_move (
    old      TEXT PRIMARY KEY,  -- folder id that is being emptied, to be removed in the end
    inode    INTEGER NOT NULL,  -- the folder of the tree that its entries belong to
    title    TEXT NOT NULL,     -- what it was called at the host
    place    INTEGER NOT NULL,  -- inode of the folder it was in
    parent   INTEGER,           -- while its new folder is being made: inode of the one that is
    name     TEXT,              -- to hold it, and its name there; NULL from then on
    begun_at REAL NOT NULL      -- Unix seconds
) WITHOUT ROWID
"""

_JOB_FIELDS = """
-- Settings that the attempt under way is to leave at the host: JSON, name to value.
ALTER TABLE job ADD COLUMN fields TEXT NOT NULL DEFAULT '{}';
-- Whether the host makes the file of another that it has; 0: its bytes are sent.
ALTER TABLE job ADD COLUMN cloned INTEGER NOT NULL DEFAULT 0
"""

_MADE_OF = """
-- A file code and the SHA-1 of bytes that the host made that file of: 'CODE SHA1'; NULL: not
-- known. The code may be that of a file whose place this one takes.
ALTER TABLE node ADD COLUMN made_of TEXT
"""

_DEPARTED = """
-- What only this machine knew of a file that left its folder: it may come up in another one, moved
-- by somebody else or out of the trash. Columns as in `node`.
CREATE TABLE departed (
    remote      TEXT PRIMARY KEY,
    size        INTEGER,
    size_source INTEGER NOT NULL,
    mtime_ns    INTEGER,
    sha1        TEXT,
    departed_at REAL NOT NULL          -- Unix seconds
) WITHOUT ROWID
"""

_UPGRADES = {1: _FOLDER_MOVE, 2: _JOB_FIELDS, 3: _MADE_OF, 4: _DEPARTED}
"""By version: what makes the next version of it."""

_CHANGED = "changed"  # meta: inodes of folders that commands changed
_RESERVE_BYTES = 1 << 20  # many times what a removal writes

_COLUMNS = (
    "inode, parent, name, kind, remote, title, given, size, size_source, mtime_ns, uploaded_at,"
    " sha1, readable, unsettled_since, stale_title"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trashed:
    """A row of `trash`; see there."""

    kind: NodeKind
    remote: str
    name: str
    title: str
    folder: str
    path: str
    deleted_at: float  # Unix seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderMove:
    """A row of `folder_move`; see there."""

    old: FolderId
    inode: Inode
    title: str
    place: Inode
    parent: Inode | None
    name: str | None
    begun_at: float  # Unix seconds

    @property
    def is_made(self) -> bool:
        """Its new folder is there, and is the node's."""
        return self.parent is None


class _Cursor(sqlite3.Cursor):
    """What is damaged may be met at any row."""

    connection: _Connection

    def fetchone(self) -> Any:
        try:
            return super().fetchone()
        except sqlite3.Error as error:
            raise self.connection.translate(error) from None

    def fetchall(self) -> list[Any]:
        try:
            return super().fetchall()
        except sqlite3.Error as error:
            raise self.connection.translate(error) from None

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return iter(self.fetchall())  # a generator of single rows took twice as long


class _Connection(sqlite3.Connection):
    """Says what a full or broken disk means in our words."""

    mark: Path | None = None  # made where the file turns out to be damaged

    def execute(self, *args: Any) -> sqlite3.Cursor:
        try:
            return self.cursor(_Cursor).execute(*args)
        except sqlite3.Error as error:
            raise self.translate(error) from None

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        try:
            return self.cursor(_Cursor).executemany(*args)
        except sqlite3.Error as error:
            raise self.translate(error) from None

    def translate(self, error: sqlite3.Error) -> SpoolError:
        found = _spool_error(error)
        if isinstance(found, SpoolDamagedError) and self.mark is not None:
            with suppress(OSError):
                self.mark.touch()
        return found


def damage_mark(path: Path) -> Path:
    """A file beside the catalogue at *path*: it is there once that has turned out damaged."""
    return path.with_name(path.name + "-damaged")


_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def _spool_error(error: sqlite3.Error) -> SpoolError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)  # the module's own have none
    if code in _FULL:
        return SpoolFullError("the disk of the catalogue is full")
    if code & 0xFF in _DAMAGED:
        return SpoolDamagedError(f"the catalogue is damaged, mount again to mend it: {error}")
    return SpoolError(f"the catalogue: {error}")


class Store:
    """The open catalogue. Not thread-safe, on purpose."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """*read_only*: for a command that looks while a daemon writes; the file must exist.

        Errors: SpoolDamagedError if the file isn't a catalogue or is from a newer vidfs;
        SpoolFullError.
        """
        self.path = path
        self._after_commit: list[Callable[[], None]] = []
        self._after_rollback: list[Callable[[], None]] = []
        self._reserve = path.with_name(f"{path.name}-reserve")
        try:
            if read_only:
                address = f"file:{quote(str(path))}?mode=ro"
                self.db = sqlite3.connect(
                    address, uri=True, isolation_level=None, factory=_Connection
                )
                self._check_readable()
                return
            self.db = sqlite3.connect(
                path, isolation_level=None, cached_statements=256, factory=_Connection
            )
            self.db.mark = damage_mark(path)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            self.db.execute("PRAGMA cache_size=-32768")  # 32 MiB at most
            self.db.execute("PRAGMA wal_autocheckpoint=8000")  # a checkpoint syncs: be rare
            self.db.execute("PRAGMA busy_timeout=5000")
            self._migrate()
            self.fill_reserve()
        except (SpoolFullError, NewerCatalogueError):
            raise
        except (sqlite3.Error, SpoolError) as error:
            raise SpoolDamagedError(f"the catalogue {path} can't be used: {error}") from None

    def _check_readable(self) -> None:
        (version,) = self.db.execute("PRAGMA user_version").fetchone()
        if not _OLDEST_READABLE <= version <= SCHEMA_VERSION:
            self.db.close()
            raise SpoolDamagedError(f"the catalogue {self.path} is from another version of vidfs")

    def _migrate(self) -> None:
        (version,) = self.db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            self.db.close()
            raise NewerCatalogueError(
                f"the catalogue {self.path} is from a newer version of vidfs: use that one"
            )
        if version == SCHEMA_VERSION:
            return
        with self.transaction():
            if version == 0:
                for statement in _SCHEMA.split(";\n"):
                    self.db.execute(statement)
                self.db.execute(
                    "INSERT INTO node (inode, parent, name, kind, title, size_source, readable)"
                    " VALUES (?, ?, '', ?, '', 0, 1)",
                    (ROOT_INODE, ROOT_INODE, NodeKind.FOLDER),
                )
                version = 1
            for older in range(version, SCHEMA_VERSION):
                for statement in _UPGRADES[older].split(";\n"):
                    self.db.execute(statement)
            self.db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; joins a transaction that is already open."""
        if self.db.in_transaction:
            yield
            return
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            with suppress(SpoolError):  # a full disk may have ended it already
                self.db.execute("ROLLBACK")
            self._run(self._after_rollback[::-1])
            raise
        self._run(self._after_commit)

    def _run(self, steps: Sequence[Callable[[], None]]) -> None:
        self._after_commit, self._after_rollback = [], []
        for step in steps:
            step()

    def after_commit(self, step: Callable[[], None]) -> None:
        """Do *step*, which must not fail, once what was written so far is there for certain."""
        if self.db.in_transaction:
            self._after_commit.append(step)
        else:
            step()

    def after_rollback(self, step: Callable[[], None]) -> None:
        """Do *step*, which must not fail, if the open transaction comes to nothing."""
        if self.db.in_transaction:
            self._after_rollback.append(step)

    def freeing(self, work: Callable[[], None]) -> None:
        """*work* in a transaction that makes room: where the disk is too full even for that,
        the reserve is given up for it. *work* may be called twice."""
        try:
            with self.transaction():
                work()
        except SpoolFullError:
            if not self._reserve.exists():
                raise
            self._reserve.unlink()
            with self.transaction():
                work()
        self.fill_reserve()

    def fill_reserve(self) -> None:
        """Keep some of the disk for the day when it is full, if there is room."""
        if self._reserve.exists():
            return
        try:
            with self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _RESERVE_BYTES)
        except OSError:
            self._reserve.unlink(missing_ok=True)

    @contextmanager
    def durable(self) -> Iterator[None]:
        """A transaction that is on disk, with all before it, when the block ends."""
        assert not self.db.in_transaction
        self.db.execute("PRAGMA synchronous=FULL")
        try:
            with self.transaction():
                yield
        finally:
            self.db.execute("PRAGMA synchronous=NORMAL")

    # --- nodes ---------------------------------------------------------------------

    def load_node(self, inode: Inode) -> Node | None:
        row = self.db.execute(f"SELECT {_COLUMNS} FROM node WHERE inode=?", (inode,)).fetchone()
        return _to_node(row) if row else None

    def load_child(self, parent: Inode, name: str) -> Node | None:
        row = self.db.execute(
            f"SELECT {_COLUMNS} FROM node WHERE parent=? AND name=? AND inode<>1", (parent, name)
        ).fetchone()
        return _to_node(row) if row else None

    def load_children(self, parent: Inode) -> list[Node]:
        rows = self.db.execute(
            f"SELECT {_COLUMNS} FROM node WHERE parent=? AND inode<>1", (parent,)
        )
        return [_to_node(row) for row in rows]

    def find_inode_by_remote(self, kind: NodeKind, remote: str) -> Inode | None:
        row = self.db.execute(
            "SELECT inode FROM node WHERE kind=? AND remote=?", (kind, remote)
        ).fetchone()
        return Inode(row[0]) if row else None

    def inodes_by_remote(self, kind: NodeKind, remotes: Sequence[str]) -> dict[str, Inode]:
        found: dict[str, Inode] = {}
        for start in range(0, len(remotes), 500):
            part = remotes[start : start + 500]
            marks = ",".join("?" * len(part))
            found.update(
                (remote, Inode(inode))
                for remote, inode in self.db.execute(
                    f"SELECT remote, inode FROM node WHERE kind=? AND remote IN ({marks})",
                    (kind, *part),
                )
            )
        return found

    def index_hashes(self) -> None:
        """Make `find_inodes_by_hash` quick. Only worth it where few files have a hash."""
        self.db.execute(
            "CREATE INDEX IF NOT EXISTS node_by_sha1 ON node (sha1) WHERE sha1 IS NOT NULL"
        )

    def find_inodes_by_hash(self, sha1: str, count_max: int) -> list[Inode]:
        rows = self.db.execute(
            "SELECT inode FROM node WHERE sha1=? AND remote IS NOT NULL LIMIT ?", (sha1, count_max)
        )
        return [Inode(inode) for (inode,) in rows]

    def next_inode(self) -> Inode:
        row = self.db.execute("SELECT seq FROM sqlite_sequence WHERE name='node'").fetchone()
        return Inode((row[0] if row else ROOT_INODE) + 1)

    def save_nodes(self, nodes: Iterable[Node]) -> None:
        """Insert or replace rows; `extra` of existing rows is kept."""
        self.db.executemany(
            f"INSERT INTO node ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
            " ON CONFLICT (inode) DO UPDATE SET parent=excluded.parent, name=excluded.name,"
            " kind=excluded.kind, remote=excluded.remote, title=excluded.title,"
            " given=excluded.given, size=excluded.size, size_source=excluded.size_source,"
            " mtime_ns=excluded.mtime_ns, uploaded_at=excluded.uploaded_at, sha1=excluded.sha1,"
            " readable=excluded.readable, unsettled_since=excluded.unsettled_since,"
            " stale_title=excluded.stale_title",
            map(_to_row, nodes),
        )

    def save_extras(self, extras: Iterable[tuple[str | None, Inode]]) -> None:
        self.db.executemany("UPDATE node SET extra=? WHERE inode=?", extras)

    def load_extra(self, inode: Inode) -> str | None:
        row = self.db.execute("SELECT extra FROM node WHERE inode=?", (inode,)).fetchone()
        return row[0] if row else None

    def load_extras(self, parent: Inode) -> dict[Inode, str]:
        """Of all entries of a folder that have any."""
        return dict(
            self.db.execute(
                "SELECT inode, extra FROM node WHERE parent=? AND extra IS NOT NULL", (parent,)
            )
        )

    def delete_nodes(self, inodes: Iterable[Inode], *, departed_at: float | None = None) -> None:
        """*departed_at*: their files may come up elsewhere, see `departed`."""
        keys = [(inode,) for inode in inodes]
        if departed_at is not None:
            self.db.executemany(
                "INSERT OR REPLACE INTO departed"
                " SELECT remote, size, size_source, mtime_ns, sha1, ? FROM node WHERE inode=?"
                " AND kind=? AND remote NOTNULL AND (size_source=? OR mtime_ns NOTNULL)",
                [(departed_at, inode, NodeKind.FILE, SizeSource.UPLOADED) for (inode,) in keys],
            )
        self.db.executemany("DELETE FROM node WHERE inode=?", keys)
        self.db.executemany("DELETE FROM listing WHERE inode=?", keys)

    def has_departed(self) -> bool:
        return self.db.execute("SELECT 1 FROM departed LIMIT 1").fetchone() is not None

    def take_departed(self, node: Node) -> None:
        """Give the new *node* of a file what was known of it in another place."""
        row = self.db.execute(
            "SELECT size, size_source, mtime_ns, sha1 FROM departed WHERE remote=?", (node.remote,)
        ).fetchone()
        if row is not None:
            node.size_bytes, node.size_source = row[0], SizeSource(row[1])
            node.mtime_ns, node.sha1 = row[2], row[3]
            self.db.execute("DELETE FROM departed WHERE remote=?", (node.remote,))

    def drop_departed(self, before: float) -> None:
        self.db.execute("DELETE FROM departed WHERE departed_at<?", (before,))

    # --- listings, tombstones, trash -------------------------------------------------

    def find_listed_at(self, folder: Inode) -> float | None:
        row = self.db.execute(
            "SELECT requested_at FROM listing WHERE inode=?", (folder,)
        ).fetchone()
        return row[0] if row else None

    def save_listed_at(self, folder: Inode, requested_at: float) -> None:
        self.db.execute("INSERT OR REPLACE INTO listing VALUES (?,?)", (folder, requested_at))

    def has_any_listing(self) -> bool:
        return self.db.execute("SELECT 1 FROM listing LIMIT 1").fetchone() is not None

    def save_tombstone(self, kind: NodeKind, remote: str, deleted_at: float) -> None:
        self.db.execute(
            "INSERT OR REPLACE INTO tombstone VALUES (?,?,?)", (kind, remote, deleted_at)
        )

    def find_tombstone(self, kind: NodeKind, remote: str) -> float | None:
        row = self.db.execute(
            "SELECT deleted_at FROM tombstone WHERE kind=? AND remote=?", (kind, remote)
        ).fetchone()
        return row[0] if row else None

    def has_tombstones(self) -> bool:
        return self.db.execute("SELECT 1 FROM tombstone LIMIT 1").fetchone() is not None

    def drop_tombstone(self, kind: NodeKind, remote: str) -> None:
        self.db.execute("DELETE FROM tombstone WHERE kind=? AND remote=?", (kind, remote))

    def drop_tombstones(self, before: float) -> None:
        self.db.execute("DELETE FROM tombstone WHERE deleted_at<?", (before,))

    def save_trash(
        self,
        kind: NodeKind,
        remote: str,
        *,
        name: str,
        title: str,
        folder: str,
        path: str,
        deleted_at: float,
        keep: bool = False,
    ) -> None:
        """*keep*: a row that is there already stays."""
        self.db.execute(
            f"INSERT OR {'IGNORE' if keep else 'REPLACE'} INTO trash VALUES (?,?,?,?,?,?,?)",
            (kind, remote, name, title, folder, path, deleted_at),
        )

    def load_trash(self) -> list[Trashed]:
        rows = self.db.execute(
            "SELECT kind, remote, name, title, folder, path, deleted_at FROM trash"
        )
        return [
            Trashed(
                kind=NodeKind(kind),
                remote=remote,
                name=name,
                title=title,
                folder=folder,
                path=path,
                deleted_at=deleted_at,
            )
            for kind, remote, name, title, folder, path, deleted_at in rows
        ]

    def forget_trashed(self, kind: NodeKind, remote: str, *, restored: bool) -> None:
        """*remote* left the trash. *restored*: listings that show it again are to be believed."""
        with self.transaction():
            self.db.execute("DELETE FROM trash WHERE kind=? AND remote=?", (kind, remote))
            if restored:
                self.drop_tombstone(kind, remote)

    # --- folders being moved ---------------------------------------------------------

    def save_move(self, move: FolderMove) -> None:
        self.db.execute(
            "INSERT OR REPLACE INTO folder_move VALUES (?,?,?,?,?,?,?)",
            (
                move.old, move.inode, move.title, move.place, move.parent, move.name,
                move.begun_at,
            ),
        )  # fmt: skip

    def drop_move(self, old: FolderId) -> None:
        self.db.execute("DELETE FROM folder_move WHERE old=?", (old,))

    def load_moves(self) -> list[FolderMove]:
        """All of them, oldest first."""
        rows = self.db.execute(
            "SELECT old, inode, title, place, parent, name, begun_at FROM folder_move"
            " ORDER BY begun_at, old"
        )
        return [
            FolderMove(
                old=FolderId(old), inode=Inode(inode), title=title, place=Inode(place),
                parent=parent, name=name, begun_at=begun_at,
            )
            for old, inode, title, place, parent, name, begun_at in rows
        ]  # fmt: skip

    def follow_move(self, old: str, new: str) -> None:
        """What was trashed from folder *old* belongs into folder *new* from now on."""
        self.db.execute("UPDATE trash SET folder=? WHERE folder=?", (new, old))

    # --- folders changed behind the tree's back -----------------------------------------

    def note_changed(self, parts: Sequence[str]) -> None:
        """The folder at the path of these names was changed while no daemon ran: the next one
        asks the host before it shows it."""
        inode: Inode = ROOT_INODE
        for name in parts:
            node = self.load_child(inode, name)
            if node is None or node.kind is not NodeKind.FOLDER:
                return  # new to the tree: it is listed with what is above it
            inode = node.inode
        inodes = {inode, *map(int, (self.find_meta(_CHANGED) or "").split())}
        self.save_meta(_CHANGED, " ".join(map(str, sorted(inodes))))

    def take_changed(self) -> set[Inode]:
        """Those folders; from now on they are the tree's to remember."""
        inodes = {Inode(int(text)) for text in (self.find_meta(_CHANGED) or "").split()}
        if inodes:
            self.save_meta(_CHANGED, "")
        return inodes

    # --- meta --------------------------------------------------------------------------

    def find_meta(self, key: str) -> str | None:
        row = self.db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return row[0] if row else None

    def save_meta(self, key: str, value: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, value))


_KINDS = {int(kind): kind for kind in NodeKind}  # a quarter of the time of NodeKind(number)
_SIZE_SOURCES = {int(source): source for source in SizeSource}


def _to_node(row: Sequence[object]) -> Node:
    (inode, parent, name, kind, remote, title, given, size, size_source, mtime_ns, uploaded_at,
     sha1, readable, unsettled_since, stale_title) = row  # fmt: skip
    return Node(
        inode=inode, parent=parent, name=name,  # type: ignore[arg-type]
        kind=_KINDS[kind], remote=remote, title=title, given=given,  # type: ignore[arg-type,index]
        size_bytes=size, size_source=_SIZE_SOURCES[size_source],  # type: ignore[arg-type,index]
        mtime_ns=mtime_ns, uploaded_at=uploaded_at, sha1=sha1,  # type: ignore[arg-type]
        readable=bool(readable), unsettled_since=unsettled_since,  # type: ignore[arg-type]
        stale_title=stale_title,  # type: ignore[arg-type]
    )  # fmt: skip


def _to_row(node: Node) -> tuple[object, ...]:
    return (
        node.inode, node.parent, node.name, int(node.kind), node.remote, node.title, node.given,
        node.size_bytes, int(node.size_source), node.mtime_ns, node.uploaded_at, node.sha1,
        int(node.readable), node.unsettled_since, node.stale_title,
    )  # fmt: skip
