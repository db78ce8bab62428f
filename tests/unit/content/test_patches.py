"""Files of which a part is still at the host: nothing written is lost, no hole is ever sent."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidfs.content.spool import Spool, SpoolFile
from vidfs.errors import SpoolDamagedError, SpoolFullError
from vidfs.types import FileCode

BASE = bytes(range(1, 101))  # no byte of it is 0: a hole shows


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def patched(spool: Spool) -> SpoolFile:
    return spool.create_patch(1, FileCode("c"), len(BASE))


def reading(file: SpoolFile) -> bytes:
    """What a reader gets, who takes the missing bytes from the host."""
    data = bytearray(file.read(0, 1000))
    for part in file.find_missing(0, 1000):
        data[part.start : part.stop] = BASE[part.start : part.stop]
    return bytes(data)


def fetch_rest(file: SpoolFile, step: int = 7) -> None:
    assert file.patch is not None
    while (part := file.patch.find_first_missing(step)) is not None:
        file.fill(part.start, BASE[part.start : part.stop])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 130), st.integers(1, 40)),
        st.tuples(st.just("truncate"), st.integers(0, 130), st.just(0)),
        st.tuples(st.just("fill"), st.integers(0, 99), st.integers(1, 40)),
        st.tuples(st.just("killed"), st.just(0), st.integers(0, 16)),
    ),
    max_size=25,
)


@given(steps=STEPS)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_done_to_it_a_file_is_what_a_plain_one_would_be(
    tmp_path: Path, steps: list[tuple[str, int, int]]
) -> None:
    with TemporaryDirectory(dir=tmp_path) as directory:
        spool = Spool(Path(directory))
        file, shadow = patched(spool), bytearray(BASE)
        for number, (step, at, size) in enumerate(steps):
            if step == "write":
                data = bytes([128 + number]) * size
                file.write(at, data)
                shadow.extend(bytes(max(0, at - len(shadow))))
                shadow[at : at + size] = data
            elif step == "truncate":
                file.truncate(at)
                shadow = shadow[:at] + bytes(max(0, at - len(shadow)))
            elif step == "fill":
                file.fill(at, BASE[at : at + size])
            else:
                file.close()
                with (Path(directory) / "1.map").open("ab") as torn:
                    torn.write(b"w" * size)  # a record that was cut short
                file = spool.open(1)
            assert reading(file) == shadow
        fetch_rest(file)
        trio.run(file.make_whole)
        assert spool.path_of(1).read_bytes() == shadow
        file.close()
        assert spool.open(1).patch is None
        assert os.listdir(directory) == ["1"]


def test_until_it_is_whole_there_is_no_file_of_the_name_that_is_sent(spool: Spool) -> None:
    file = patched(spool)
    file.write(10, b"new")
    assert not spool.path_of(1).exists()
    file.close()
    (spool.path_of(1).parent / "1.map").unlink()
    with pytest.raises(SpoolDamagedError):
        spool.open(1)


def test_a_write_whose_record_the_disk_refused_did_not_happen(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = patched(spool)
    with monkeypatch.context() as patch:
        plain = os.write
        patch.setattr(os, "write", lambda fd, data: plain(fd, data[:5]))
        with pytest.raises(SpoolFullError):
            file.write(10, b"new")
    assert reading(file) == BASE
    file.close()
    file = spool.open(1)
    assert reading(file) == BASE
    file.write(20, b"newer")
    assert reading(file) == BASE[:20] + b"newer" + BASE[25:]


def test_of_what_no_row_stands_for_only_changes_are_kept(spool: Spool) -> None:
    patched(spool).fill(0, BASE[:50])
    changed = spool.create_patch(2, FileCode("c"), 100)
    changed.write(3, b"new")
    strays = spool.sweep(())
    assert strays.removed == 2
    assert {path.name for path in strays.kept} == {"2.sparse", "2.map"}
