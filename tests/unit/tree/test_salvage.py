"""A damaged catalogue: made anew, and what is only here is not lost with it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.unit.tree.test_store import node
from vidfs.errors import NewerCatalogueError, SpoolDamagedError
from vidfs.tree.journal import SqlJournal
from vidfs.tree.salvage import open_catalogue
from vidfs.tree.store import SCHEMA_VERSION, Store, damage_mark
from vidfs.types import ROOT_INODE, Inode, JobState, NodeKind

FILES = 3000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.sqlite"


def fill(path: Path) -> list[int]:
    """A catalogue of thousands of files, some of which wait to be uploaded: their jobs."""
    store = Store(path)
    journal = SqlJournal(store)
    with store.transaction():
        store.save_nodes(
            node(number, remote=f"c{number}", name=f"{number}.mp4") for number in range(2, FILES)
        )
        store.save_listed_at(ROOT_INODE, 7.5)
        store.save_meta("account", "films")
        store.save_trash(
            NodeKind.FILE, "t", name="n", title="t", folder="f", path="/F", deleted_at=9.5
        )
        jobs = [journal.create(Inode(inode), JobState.QUEUED).id for inode in (2, 1500, 2999)]
    store.close()
    return jobs


def damage(path: Path, table: str, part: float) -> None:
    """Overwrite a page in the middle of *table*, as a failing disk does."""
    with sqlite3.connect(path) as db:
        (size,) = db.execute("PRAGMA page_size").fetchone()
        pages = [
            page
            for (page,) in db.execute(
                "SELECT pageno FROM dbstat WHERE name=? AND pagetype='leaf' ORDER BY path", (table,)
            )
        ]
    db.close()
    page = pages[int(part * (len(pages) - 1))]
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


def has_dbstat() -> bool:
    try:
        sqlite3.connect(":memory:").execute("SELECT 1 FROM dbstat")
    except sqlite3.OperationalError:
        return False
    return True


def test_a_sound_catalogue_is_opened_as_it_is(path: Path) -> None:
    fill(path)
    store, note = open_catalogue(path)
    assert note == ""
    assert store.find_listed_at(ROOT_INODE) == 7.5
    assert [p.name for p in path.parent.glob("*damaged*")] == []


@pytest.mark.skipif(not has_dbstat(), reason="this SQLite can't tell its pages")
def test_every_readable_row_is_taken_over(path: Path) -> None:
    jobs = fill(path)
    damage(path, "node", 0.5)
    store = Store(path)
    with pytest.raises(SpoolDamagedError, match="mount again"):
        store.load_children(ROOT_INODE)
    store.close()
    assert damage_mark(path).exists()

    store, note = open_catalogue(path)
    assert "made anew, with 3 files" in note
    assert [job.id for job in SqlJournal(store).load()] == jobs
    found = {child.name for child in store.load_children(ROOT_INODE)}
    assert {"2.mp4", f"{FILES - 1}.mp4"} <= found
    assert FILES - 300 < len(found) < FILES - 2
    assert store.find_listed_at(ROOT_INODE) is None, "what is missing is asked for anew"
    assert store.find_meta("account") == "films"
    assert [trashed.remote for trashed in store.load_trash()] == ["t"]
    assert store.next_inode() == FILES, "a number is never given twice"
    store.close()

    store, note = open_catalogue(path)
    assert note == "", "once is enough"
    assert store.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    [kept] = path.parent.glob("*-damaged-*")
    assert str(kept) not in note


def test_a_file_whose_folder_is_lost_goes_to_the_root_with_its_bytes(path: Path) -> None:
    store = Store(path)
    lost = [node(5, name="a.mp4"), node(6, name="b.mp4")]
    for each in lost:
        each.parent = Inode(4)
    store.save_nodes(lost)
    SqlJournal(store).create(Inode(5), JobState.QUEUED)
    store.close()
    damage_mark(path).touch()
    store, _ = open_catalogue(path)
    assert [child.name for child in store.load_children(ROOT_INODE)] == ["recovered 5 a.mp4"]
    assert store.load_node(Inode(6)) is None, "the host is asked for it"


def test_a_damaged_catalogue_of_an_older_version_is_taken_over_too(path: Path) -> None:
    store = Store(path)
    job = SqlJournal(store).create(Inode(5), JobState.QUEUED)
    store.db.execute("ALTER TABLE job DROP COLUMN fields")
    store.db.execute("PRAGMA user_version=2")
    store.close()
    damage_mark(path).touch()
    store, _ = open_catalogue(path)
    assert [found.id for found in SqlJournal(store).load()] == [job.id]


def test_what_is_no_catalogue_at_all_is_kept_beside_a_new_one(path: Path) -> None:
    path.write_bytes(b"this is not SQLite at all, but somebody may want it" * 100)
    before = path.read_bytes()
    store, note = open_catalogue(path)
    assert "damaged" in note
    assert store.load_children(ROOT_INODE) == []
    [kept] = path.parent.glob("*-damaged-*")
    assert kept.read_bytes() == before


def test_a_newer_one_is_refused_and_left_alone(path: Path) -> None:
    fill(path)
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(NewerCatalogueError, match="newer version of vidfs"):
        open_catalogue(path)
    assert path.read_bytes() == before
    assert list(path.parent.glob("*damaged*")) == []
