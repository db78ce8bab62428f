"""What players do to a film that is at the host: open, seek, play, map into memory."""

from __future__ import annotations

import mmap
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.mount.mounting import Mounted, Simhost

FILMS = ("end.mp4", "start.mp4", "matroska.mkv")  # where the index is, or none
LENGTH_S = 120
QUIET = ("ffmpeg", "-v", "error", "-nostdin")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one film of 40 MB in three containers."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    top = tmp_path_factory.mktemp("films")
    scene = top / "scene.mp4"
    made = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=4"]
    made += ["-f", "lavfi", "-i", "sine=duration=4", "-c:v", "mjpeg", "-q:v", "3", "-c:a", "aac"]
    subprocess.run([*QUIET, *made, str(scene)], check=True, timeout=120)
    copied = [*QUIET, "-stream_loop", str(LENGTH_S // 4 - 1), "-i", str(scene), "-c", "copy"]
    for name, flags in zip(FILMS, ([], ["-movflags", "+faststart"], []), strict=True):
        subprocess.run([*copied, *flags, str(top / name)], check=True, timeout=60)
    scene.unlink()
    return top


def frame_at(film: Path, second: int) -> str:
    """The hash of the picture there, found as a player finds it."""
    words = ["-ss", str(second), "-i", str(film), "-frames:v", "1", "-f", "framemd5", "-"]
    done = subprocess.run([*QUIET, *words], capture_output=True, text=True, timeout=60, check=True)
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("account", ["fruithosted", "xvs", "streamtape"])
def test_seeking_shows_the_right_picture_with_few_requests(
    simhost: Simhost, mounted: Mounted, films: Path, account: str
) -> None:
    for name in FILMS:
        simhost.add_file(account, name, (films / name).read_bytes())
    with mounted(account) as mount:
        assert len(list(mount.path.iterdir())) == len(FILMS)
        simhost.reset_calls(account)
        for name in FILMS:
            for second in (LENGTH_S - 3, 1, LENGTH_S // 2):
                assert frame_at(mount.path / name, second) == frame_at(films / name, second)
        calls = simhost.calls(account)
        assert calls["download"] <= 8 * len(FILMS), "requests"


@pytest.mark.skipif(shutil.which("mpv") is None, reason="mpv is not installed")
@pytest.mark.parametrize("name", FILMS)
def test_mpv_plays_and_seeks(simhost: Simhost, mounted: Mounted, films: Path, name: str) -> None:
    simhost.add_file("xvs", name, (films / name).read_bytes())
    flags = ["--no-config", "--no-video", "--ao=null", "--ao-null-untimed", "--msg-level=all=warn"]
    with mounted("xvs") as mount:
        for start in ("90%", "0"):
            done = subprocess.run(
                ["mpv", *flags, f"--start={start}", str(mount.path / name)],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (0, ""), done
        assert simhost.calls("xvs")["download"] <= 10


def test_a_film_mapped_into_memory_is_right_everywhere(simhost: Simhost, mounted: Mounted) -> None:
    content = random.Random(5).randbytes(9_000_001)
    simhost.add_file("fruithosted", "a.mp4", content)
    with (
        mounted("fruithosted") as mount,
        (mount.path / "a.mp4").open("rb") as file,
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view,
    ):
        for at in (9_000_000, 5_000_000, 17, 8_388_607):
            assert view[at : at + 4096] == content[at : at + 4096]
        assert view[:] == content
