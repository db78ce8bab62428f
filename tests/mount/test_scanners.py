"""Media servers that walk a tree and probe every film: how much of each is downloaded."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.mount.mounting import Mounted, Simhost

FILM_BYTES_MIN = 50_000_000
REQUESTS_MAX = 4
BYTES_MAX = 4 << 20
TAIL_BYTES = 64 << 10


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Films of 50 MB, with their index at the end, at the beginning, and as Matroska."""
    for program in ("ffmpeg", "ffprobe"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    top = tmp_path_factory.mktemp("films")
    quiet = ["ffmpeg", "-v", "error", "-nostdin"]
    scene = top / "scene.mp4"
    made = [*quiet, "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25:duration=2"]
    made += ["-f", "lavfi", "-i", "sine=duration=2", "-c:v", "mjpeg", "-q:v", "2", "-c:a", "aac"]
    subprocess.run([*made, str(scene)], check=True, timeout=120)
    repeats = str(FILM_BYTES_MIN // scene.stat().st_size + 1)
    copied = [*quiet, "-stream_loop", repeats, "-i", str(scene), "-c", "copy"]
    fast = ["-movflags", "+faststart", str(top / "start.mp4")]
    for target in ([str(top / "end.mp4")], fast, [str(top / "matroska.mkv")]):
        subprocess.run([*copied, *target], check=True, timeout=60)
    scene.unlink()
    found = {file.name: file.read_bytes() for file in sorted(top.iterdir())}
    assert all(len(content) > FILM_BYTES_MIN for content in found.values())
    return found


def probe(film: Path) -> str:
    """What a media server asks of a film: its neighbours, its streams, its subtitle hash."""
    for neighbour in (film.with_suffix(".nfo"), film.with_suffix(".srt"), film.parent / ".ignore"):
        assert not neighbour.exists()
    with film.open("rb", buffering=0) as opened:
        assert len(opened.read(TAIL_BYTES)) == TAIL_BYTES
        opened.seek(-TAIL_BYTES, os.SEEK_END)
        assert len(opened.read(TAIL_BYTES)) == TAIL_BYTES
    words = ["-v", "error", "-show_format", "-show_streams", "-show_chapters", "-of", "compact"]
    done = subprocess.run(
        ["ffprobe", *words, str(film)], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_probing_costs_little_and_the_second_time_nothing(
    simhost: Simhost, mounted: Mounted, films: dict[str, bytes]
) -> None:
    for name, content in films.items():
        simhost.add_file("streamtape", name, content, folder="Films")
    simhost.reset_calls("streamtape")
    said = {}
    with mounted("streamtape") as mount:
        for number, film in enumerate(sorted((mount.path / "Films").iterdir()), start=1):
            said[film.name] = probe(film)
            calls = simhost.calls("streamtape")
            traffic = simhost.request("GET", "streamtape/traffic")["download_bytes"]
            assert calls["download"] <= number * REQUESTS_MAX, (film.name, calls)
            assert calls["file/dlticket"] == number
            assert traffic <= number * BYTES_MAX, (film.name, traffic)
    assert said.keys() == films.keys()
    simhost.reset_calls("streamtape")
    with mounted("streamtape") as mount:
        for film in sorted((mount.path / "Films").iterdir()):
            assert probe(film) == said[film.name]
    assert not {"download", "file/dlticket"} & simhost.calls("streamtape").keys()
