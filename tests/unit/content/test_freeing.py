"""Large files end in a thread, and the disk's room is counted as if they were gone."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from vidfs.content import freeing
from vidfs.content.chunkcache import ChunkCache
from vidfs.types import FileCode

LARGE = 40 << 20


def make(path: Path, size_bytes: int) -> Path:
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size_bytes)
    return path


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set it to let the disk take its room back."""
    gate, close, caller = threading.Event(), os.close, threading.get_ident()

    def slow(fd: int) -> None:
        if threading.get_ident() != caller:
            assert gate.wait(30)
        close(fd)

    monkeypatch.setattr("vidfs.content.freeing.os.close", slow)
    return gate


def test_a_large_file_is_gone_before_its_room_is(tmp_path: Path, held: threading.Event) -> None:
    path = make(tmp_path / "film", LARGE)
    freeing.unlink(path)
    assert not path.exists()
    assert freeing.bytes_under_way() >= LARGE
    held.set()
    freeing.wait()
    assert freeing.bytes_under_way() == 0


def test_what_is_small_or_has_other_names_is_closed_at_once(
    tmp_path: Path, held: threading.Event
) -> None:
    freeing.unlink(make(tmp_path / "small", 1 << 20))
    path = make(tmp_path / "film", LARGE)
    (tmp_path / "other").hardlink_to(path)
    freeing.unlink(path)
    assert freeing.bytes_under_way() == 0
    assert os.listdir(tmp_path) == ["other"]
    with pytest.raises(FileNotFoundError):
        freeing.unlink(path)
    freeing.unlink(path, missing_ok=True)


def test_room_that_is_on_its_way_keeps_the_cache_from_dropping_more(
    tmp_path: Path, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ChunkCache(tmp_path / "cache", size_bytes_max=3 * LARGE)
    for code in ("old", "new"):
        assert cache.adopt(FileCode(code), make(tmp_path / code, LARGE), LARGE)
    disk = shutil.disk_usage(tmp_path)
    reserve = min(1 << 30, disk.total // 20)
    full = disk._replace(free=reserve - (4 << 20))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    for _ in range(3):  # the disk says that it has as little as before
        cache.trim()
        assert cache.bytes_used == LARGE
    held.set()
    freeing.wait()
    cache.trim()  # and it still does
    assert cache.bytes_used == 0
