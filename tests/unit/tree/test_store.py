"""The catalogue on disk and the journal beside it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from vidfs.errors import SpoolDamagedError, SpoolError, SpoolFullError
from vidfs.tree.journal import SqlJournal
from vidfs.tree.node import Node, SizeSource
from vidfs.tree.store import SCHEMA_VERSION, Store, _Connection, _spool_error
from vidfs.types import ROOT_INODE, FileCode, FolderId, Inode, JobState, NodeKind


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.sqlite"


def node(inode: int, name: str = "a.mp4", remote: str | None = None) -> Node:
    return Node(
        inode=Inode(inode), parent=ROOT_INODE, name=name, kind=NodeKind.FILE, remote=remote,
        title="A title", given=name, size_bytes=5, size_source=SizeSource.HOST, mtime_ns=123,
        uploaded_at=1.5, sha1="00ff", readable=False, unsettled_since=2.5, stale_title="old",
    )  # fmt: skip


FIELDS = [name for name in Node.__slots__ if not name.startswith("__")]


def test_nodes_come_back_as_they_were(path: Path) -> None:
    store = Store(path)
    wanted = node(2, remote="c1")
    store.save_nodes([wanted])
    store.close()
    found = Store(path).load_child(ROOT_INODE, "a.mp4")
    assert found is not None
    assert {f: getattr(found, f) for f in FIELDS} == {f: getattr(wanted, f) for f in FIELDS}


def test_an_inode_number_is_never_given_twice(path: Path) -> None:
    store = Store(path)
    given = []
    for _ in range(3):
        inode = store.next_inode()
        given.append(inode)
        store.save_nodes([node(inode)])
        store.delete_nodes([inode])
    store.close()
    store = Store(path)
    assert store.next_inode() not in [*given, ROOT_INODE]
    assert len(set(given)) == 3


def test_saving_a_node_keeps_its_extras(path: Path) -> None:
    store = Store(path)
    store.save_nodes([node(2)])
    store.save_extras([('{"a":"b"}', Inode(2))])
    store.save_nodes([node(2, "b.mp4")])
    assert store.load_extra(Inode(2)) == '{"a":"b"}'


def test_one_code_stands_for_one_node(path: Path) -> None:
    store = Store(path)
    store.save_nodes([node(2, remote="c1")])
    with pytest.raises(SpoolError):
        store.save_nodes([node(3, "b.mp4", remote="c1")])


def test_a_transaction_is_all_or_nothing(path: Path) -> None:
    store = Store(path)
    with pytest.raises(KeyError), store.transaction():
        store.save_nodes([node(2)])
        with store.transaction():
            store.save_nodes([node(3, "b.mp4")])
        raise KeyError
    assert store.load_children(ROOT_INODE) == []


def test_a_file_that_is_no_catalogue_is_refused_and_kept(path: Path) -> None:
    path.write_bytes(b"this is not SQLite at all, but somebody may want it" * 100)
    before = path.read_bytes()
    with pytest.raises(SpoolDamagedError):
        Store(path)
    assert path.read_bytes() == before


def test_the_catalogue_of_a_newer_version_is_refused(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    with pytest.raises(SpoolDamagedError, match="newer"):
        Store(path)


def test_a_catalogue_of_the_first_version_is_taken_over_with_all_that_is_in_it(path: Path) -> None:
    store = Store(path)
    journal = SqlJournal(store)
    store.save_nodes([node(2, remote="c1")])
    store.save_extras([('{"a":"b"}', Inode(2))])
    store.save_listed_at(ROOT_INODE, 7.5)
    store.save_tombstone(NodeKind.FILE, "c9", 8.5)
    job = journal.create(Inode(2), JobState.PARKED)
    store.save_trash(
        NodeKind.FILE, "c3", name="n", title="t", folder="f", path="/F", deleted_at=9.5
    )
    trashed = store.load_trash()
    store.db.execute("DROP TABLE folder_move")  # which came with the second
    for column in ("fields", "cloned"):  # which came with the third
        store.db.execute(f"ALTER TABLE job DROP COLUMN {column}")
    store.db.execute("ALTER TABLE node DROP COLUMN made_of")  # with the fourth
    store.db.execute("DROP TABLE departed")  # with the fifth
    store.db.execute("PRAGMA user_version=1")
    store.close()

    assert len(Store(path, read_only=True).load_children(ROOT_INODE)) == 1
    store = Store(path)
    assert store.db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    [found] = store.load_children(ROOT_INODE)
    assert {f: getattr(found, f) for f in FIELDS} == {
        f: getattr(node(2, remote="c1"), f) for f in FIELDS
    }
    assert store.load_extra(Inode(2)) == '{"a":"b"}'
    assert store.find_listed_at(ROOT_INODE) == 7.5
    assert store.find_tombstone(NodeKind.FILE, "c9") == 8.5
    assert [j.id for j in SqlJournal(store).load()] == [job.id]
    assert store.load_trash() == trashed
    assert store.load_moves() == []
    store.close()
    Store(path).close()


def test_a_full_disk_is_told_apart_and_undoes_the_whole_step(path: Path) -> None:
    store = Store(path)
    (pages,) = store.db.execute("PRAGMA page_count").fetchone()
    store.db.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(SpoolFullError), store.transaction():
        store.save_nodes(node(inode, "x" * 1000 + str(inode)) for inode in range(2, 100))
    assert store.load_children(ROOT_INODE) == []
    store.db.execute("PRAGMA max_page_count=1000000")
    store.save_nodes([node(2)])
    assert len(store.load_children(ROOT_INODE)) == 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_FULL, SpoolFullError),
        (sqlite3.SQLITE_IOERR_SHMSIZE, SpoolFullError),
        (sqlite3.SQLITE_IOERR_WRITE, SpoolError),
        (sqlite3.SQLITE_BUSY, SpoolError),
        (sqlite3.SQLITE_CORRUPT_INDEX, SpoolDamagedError),
    ],
)
def test_whatever_the_catalogue_meets_is_an_error_of_the_disk(
    code: int, expected: type[SpoolError]
) -> None:
    error = sqlite3.DatabaseError("trouble")
    error.sqlite_errorcode = code
    assert type(_spool_error(error)) is expected


def test_a_disk_that_is_full_at_the_end_of_a_step_undoes_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(path)
    execute = _Connection.execute

    def fail_to_commit(self: _Connection, sql: str, *args: object) -> sqlite3.Cursor:
        if sql == "COMMIT":
            raise SpoolFullError("full")
        return execute(self, sql, *args)

    with monkeypatch.context() as patched:
        patched.setattr(_Connection, "execute", fail_to_commit)
        with pytest.raises(SpoolFullError), store.durable():
            store.save_nodes([node(2)])
    assert not store.db.in_transaction
    assert store.load_children(ROOT_INODE) == []
    store.close()
    with pytest.raises(SpoolError):
        store.load_node(ROOT_INODE)


def test_tombstones_expire(path: Path) -> None:
    store = Store(path)
    assert not store.has_tombstones()
    store.save_tombstone(NodeKind.FILE, "c1", 100.0)
    store.save_tombstone(NodeKind.FILE, "c2", 200.0)
    assert store.find_tombstone(NodeKind.FILE, "c1") == 100.0
    assert store.find_tombstone(NodeKind.FOLDER, "c1") is None
    store.drop_tombstones(150.0)
    assert store.find_tombstone(NodeKind.FILE, "c1") is None
    assert store.find_tombstone(NodeKind.FILE, "c2") == 200.0


def test_what_departed_is_given_back_once_or_forgotten(path: Path) -> None:
    store = Store(path)
    assert not store.has_departed()
    for inode, code in ((2, "c2"), (3, "c3")):
        gone = node(inode, remote=code)
        gone.size_bytes, gone.size_source = 7, SizeSource.UPLOADED
        store.save_nodes([gone])
        store.delete_nodes([gone.inode], departed_at=100.0 * inode)
    assert store.has_departed()
    store.drop_departed(250.0)
    for code, known in (("c2", None), ("c3", 7), ("c3", None)):
        new = node(9, remote=code)
        new.size_bytes = None
        store.take_departed(new)
        assert new.size_bytes == known


def test_jobs_come_back_as_they_were(path: Path) -> None:
    store = Store(path)
    journal = SqlJournal(store)
    job = journal.create(Inode(5), JobState.WRITING)
    job.state, job.clean, job.size_bytes = JobState.CONFIRMING, False, 77
    job.sha1, job.sha256, job.attempts, job.reason = "aa", "bb", 3, "because"
    job.not_before, job.sent_folder, job.sent_title = 1.5, FolderId("f"), "t"
    job.sent_at, job.code, job.successor = 2.5, FileCode("c"), 9
    job.obsolete.append(FileCode("old"))
    journal.save(job, durable=True)
    store.close()
    [found] = SqlJournal(Store(path)).load()
    names = [n for n in type(job).__slots__ if n not in ("sent_bytes", "body_out", "attempt_at",
                                                         "failures")]  # fmt: skip
    assert {n: getattr(found, n) for n in names} == {n: getattr(job, n) for n in names}


def test_a_job_number_is_never_given_twice(path: Path) -> None:
    """It names a file in the spool."""
    journal = SqlJournal(Store(path))
    one = journal.create(Inode(5), JobState.WRITING)
    journal.drop(one)
    assert journal.create(Inode(5), JobState.WRITING).id != one.id
