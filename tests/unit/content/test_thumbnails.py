"""The freedesktop thumbnail cache: names, texts, sizes, who may see it."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest
from PIL import Image

from vidfs.content.thumbnails import (
    NotAPictureError,
    State,
    Subject,
    ThumbnailCache,
    read_texts,
    to_png,
)

FILM = Subject("/mnt/films/a b.mp4", 1_700_000_000)


def jpeg(width: int = 640, height: int = 360) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def cache(tmp_path: Path) -> ThumbnailCache:
    return ThumbnailCache(tmp_path / "cache" / "thumbnails")


def files_in(tmp_path: Path) -> dict[str, Path]:
    return {file.parent.name: file for file in tmp_path.rglob("*") if file.is_file()}


def test_the_address_is_escaped_as_glib_does() -> None:
    """As `gio info` of GLib 2.74 shows it for a file with all of ASCII in its name."""
    name = "a!\"#$%&'()*+,-.:;<=>?@[\\]^_`{|}~é.mp4"
    assert Subject(f"/d/{name}", 0).uri == (
        "file:///d/a!%22%23$%25&'()*+,-.:%3B%3C=%3E%3F@%5B%5C%5D%5E_%60%7B%7C%7D~%C3%A9.mp4"
    )


def test_the_example_of_the_standard_has_its_name(tmp_path: Path) -> None:
    """Thumbnail Managing Standard, "Saving thumbnails"."""
    cache = ThumbnailCache(tmp_path)
    cache.save_placeholder(Subject("/" + "home/jens/photos/me.png", 1))
    assert {file.name for file in tmp_path.rglob("*.png")} == {
        "c6ee772d9e49320e97ec29a7eb5b1697.png"
    }


def test_a_picture_is_saved_small_valid_and_private(cache: ThumbnailCache, tmp_path: Path) -> None:
    assert cache.state(FILM) is State.NONE
    cache.save_picture(FILM, jpeg())
    assert cache.state(FILM) is State.PICTURE
    found = files_in(tmp_path)
    assert found.keys() == {"normal", "large", "x-large", "xx-large"}
    assert found["large"].samefile(found["x-large"])
    for folder, size in (("normal", (128, 72)), ("large", (256, 144)), ("xx-large", (256, 144))):
        with Image.open(found[folder]) as image:
            image.load()
            assert (image.format, image.size) == ("PNG", size)
        texts = read_texts(found[folder].read_bytes())
        assert texts["Thumb::URI"] == "file:///mnt/films/a%20b.mp4"
        assert texts["Thumb::MTime"] == "1700000000"
        assert stat.S_IMODE(found[folder].stat().st_mode) == 0o600
        assert stat.S_IMODE(found[folder].parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "cache" / "thumbnails").stat().st_mode) == 0o700


def test_another_mtime_makes_it_invalid(cache: ThumbnailCache) -> None:
    cache.save_picture(FILM, jpeg())
    assert cache.state(Subject(FILM.path, FILM.mtime_s + 1)) is State.NONE


def test_a_placeholder_gives_way_to_the_picture(cache: ThumbnailCache, tmp_path: Path) -> None:
    cache.save_placeholder(FILM)
    assert cache.state(FILM) is State.PLACEHOLDER
    with Image.open(files_in(tmp_path)["normal"]) as image:
        image.load()
        assert max(image.size) <= 128
    cache.save_picture(FILM, jpeg())
    assert cache.state(FILM) is State.PICTURE


def test_what_another_program_made_stays(cache: ThumbnailCache, tmp_path: Path) -> None:
    cache.save_picture(FILM, jpeg())
    file = files_in(tmp_path)["large"]
    before = file.read_bytes().replace(b"Software\0vidfs", b"Software\0other")
    file.write_bytes(before)
    cache.save_placeholder(FILM)
    cache.save_picture(FILM, jpeg(100, 100))
    assert file.read_bytes() == before


def test_a_small_picture_stays_as_small_as_it_is() -> None:
    with Image.open(io.BytesIO(to_png(jpeg(64, 48), 128))) as image:
        assert image.size == (64, 48)


@pytest.mark.parametrize("content", [b"", b"<html>no</html>", jpeg()[:300], b"%!PS-Adobe-3.0 EPSF"])
def test_what_is_no_picture_is_refused(content: bytes, cache: ThumbnailCache) -> None:
    with pytest.raises(NotAPictureError):
        cache.save_picture(FILM, content)
    assert cache.state(FILM) is State.NONE


def test_a_picture_too_large_to_be_one_is_not_decoded() -> None:
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    with pytest.raises(NotAPictureError):
        to_png(bomb.getvalue(), 128)


def test_thumbnails_go_with_a_renamed_file_and_end_with_a_removed_one(
    cache: ThumbnailCache, tmp_path: Path
) -> None:
    renamed = Subject("/mnt/films/b.mp4", 1_800_000_000)
    cache.save_picture(FILM, jpeg())
    cache.move(FILM.path, renamed)
    assert (cache.state(FILM), cache.state(renamed)) == (State.NONE, State.PICTURE)
    with Image.open(files_in(tmp_path)["normal"]) as image:
        image.load()
        assert image.info == {"Thumb::URI": renamed.uri, "Thumb::MTime": "1800000000"} | {
            "Software": "vidfs"
        }
    cache.remove(renamed.path)
    assert files_in(tmp_path) == {}


def test_damaged_files_count_as_none(cache: ThumbnailCache, tmp_path: Path) -> None:
    cache.save_picture(FILM, jpeg())
    for file in files_in(tmp_path).values():
        file.write_bytes(file.read_bytes()[:50])
    assert cache.state(FILM) is State.NONE
