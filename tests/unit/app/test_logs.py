"""No key gets into the log."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from vidfs.app import logs
from vidfs.app.logs import Redactor, set_log_level, set_up_logging
from vidfs.errors import ConfigError
from vidfs.types import Secret

KEY = "a key/with+odd&signs"


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in before:
            handler.close()
    root.handlers[:] = before
    root.setLevel(level)
    logging.getLogger("vidfs").setLevel(logging.NOTSET)


def test_every_form_of_a_key_is_hidden(tmp_path: Path) -> None:
    redactor = Redactor()
    redactor.add(Secret(KEY))
    file = tmp_path / "log"
    set_up_logging(redactor, log_file=file, rotate=True, debug=False)
    log = logging.getLogger("vidfs.test")
    log.info("plain %s", KEY)
    log.info("https://e.org/?key=a%20key%2Fwith%2Bodd%26signs&x=1")
    log.info("https://e.org/?key=a+key%2Fwith%2Bodd%26signs")
    try:
        raise ValueError(f"bad value {KEY}")
    except ValueError:
        log.exception("failed")
    text = file.read_text()
    assert text.count("***") == 4
    assert "odd" not in text
    assert "ValueError: bad value ***" in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_levels(tmp_path: Path) -> None:
    file = tmp_path / "log"
    set_up_logging(Redactor(), log_file=file, rotate=False, debug=False)
    log = logging.getLogger("vidfs.test")
    log.debug("one")
    set_log_level("debug")
    log.debug("two")
    logging.getLogger("httpx").warning("GET https://e.org/?key=x")
    logging.getLogger("other").info("three")
    logging.getLogger("other").warning("four")
    assert [line.split(": ")[-1] for line in file.read_text().splitlines()] == ["two", "four"]


@pytest.mark.parametrize("rotate", [True, False])
def test_a_log_that_was_moved_away_is_begun_anew(tmp_path: Path, rotate: bool) -> None:
    file, moved = tmp_path / "log", tmp_path / "log.old"
    set_up_logging(Redactor(), log_file=file, rotate=rotate, debug=False)
    log = logging.getLogger("vidfs.test")
    log.info("one")
    file.rename(moved)
    log.info("two")
    assert [one.read_text().split()[-1] for one in (moved, file)] == ["one", "two"]


def test_only_our_own_log_is_kept_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_LOG_BYTES_MAX", 1000)
    log = logging.getLogger("vidfs.test")
    for name, rotate in (("own", True), ("named", False)):
        set_up_logging(Redactor(), log_file=tmp_path / name, rotate=rotate, debug=False)
        for number in range(100):
            log.info("line %d", number)
    text = (tmp_path / "own.1").read_text() + (tmp_path / "own").read_text()
    assert len(text) < 2200
    assert "line 99\n" in text
    assert len((tmp_path / "named").read_text().splitlines()) == 100
    assert not (tmp_path / "named.1").exists()


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent"):
        set_up_logging(Redactor(), log_file=tmp_path / "absent/log", rotate=True, debug=False)


def test_without_secrets_text_stays() -> None:
    redactor = Redactor()
    redactor.add(Secret(""))
    assert redactor.clean("as it is") == "as it is"
