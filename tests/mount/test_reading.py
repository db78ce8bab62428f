"""Reading through the kernel what the host converts, and with little room for a cache."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.mounting import Mounted, Program, Simhost, until
from tests.mount.test_main_job import rsync


@pytest.mark.parametrize("sizes", ["content", "uploaded"])
def test_what_the_host_converted_is_read_as_it_is_there(
    simhost: Simhost, mounted: Mounted, vidfs: Program, sizes: str
) -> None:
    simhost.set(transcode=True, transcode_delay_s=0.3)
    content = os.urandom(500_000)
    with mounted("xvs", sizes=sizes) as mount:
        (mount.path / "a.mp4").write_bytes(content)
        mount.wait()
        until(lambda: simhost.files("xvs")["a.mp4"]["transcoded"], "the conversion")
    shutil.rmtree(vidfs.root / "cache")
    converted = simhost.body("xvs", "a.mp4")
    assert len(converted) != len(content)
    with mounted("xvs", sizes=sizes) as mount:
        file = mount.path / "a.mp4"
        shown = file.stat().st_size
        assert shown == (len(content) if sizes == "uploaded" else len(converted))
        started = time.monotonic()
        assert file.read_bytes() == converted
        assert time.monotonic() - started < 5
        until(lambda: file.stat().st_size == len(converted), "the size of what was read")
        assert file.read_bytes() == converted


@pytest.mark.parametrize("account", ["fruithosted", "xvs"])
def test_rsync_sends_what_the_host_converts_once(
    simhost: Simhost, mounted: Mounted, vidfs: Program, tmp_path: Path, account: str
) -> None:
    simhost.set(transcode=True, transcode_delay_s=0.3)
    source = tmp_path / "source"
    source.mkdir()
    content = os.urandom(500_000)
    (source / "a.mp4").write_bytes(content)
    with mounted(account, sizes="uploaded") as mount:
        assert any(line.startswith(">f") for line in rsync(source, mount.path))
        mount.wait()
        until(lambda: [f["transcoded"] for f in simhost.tree(account)["files"]] == [1], "it")
        assert rsync(source, mount.path) == []
        assert (mount.path / "a.mp4").read_bytes() == content, "the original is still here"
    shutil.rmtree(vidfs.root / "cache")
    with mounted(account, sizes="uploaded", dir_ttl=0) as mount:
        assert rsync(source, mount.path) == []
        [title] = simhost.files(account)
        assert (mount.path / "a.mp4").read_bytes() == simhost.body(account, title)
    assert simhost.calls(account)["upload"] == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    point = tmp_path / "small"
    point.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(point)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can make a small disk")
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


def test_a_film_larger_than_the_disk_of_the_cache_is_read(
    simhost: Simhost, mounted: Mounted, small_disk: Path
) -> None:
    content = os.urandom(40_000_000)
    simhost.add_file("xvs", "big.mp4", content)
    with mounted("xvs", cache_dir=str(small_disk)) as mount:
        assert (mount.path / "big.mp4").read_bytes() == content
        free = os.statvfs(small_disk)
        assert free.f_bavail > 0


def test_a_full_disk_of_the_cache_stops_no_reader(
    simhost: Simhost, mounted: Mounted, small_disk: Path
) -> None:
    content = os.urandom(20_000_000)
    simhost.add_file("xvs", "big.mp4", content)
    with (
        mounted("xvs", cache_dir=str(small_disk)) as mount,
        (mount.path / "big.mp4").open("rb") as film,
    ):
        assert film.read(1 << 20) == content[: 1 << 20]
        with pytest.raises(OSError), (small_disk / "others").open("wb", buffering=0) as others:
            for _ in range(32):
                others.write(bytes(1 << 20))
        assert film.read() == content[1 << 20 :]


def test_the_cache_is_bounded_while_a_film_is_read(
    simhost: Simhost, mounted: Mounted, vidfs: Program
) -> None:
    content = os.urandom(60_000_000)
    simhost.add_file("xvs", "big.mp4", content)
    with mounted("xvs", cache_size="8M") as mount, (mount.path / "big.mp4").open("rb") as film:
        for at in range(0, len(content), 1 << 20):
            assert film.read(1 << 20) == content[at : at + (1 << 20)]
            files = (vidfs.root / "cache").rglob("*.data")
            assert sum(file.stat().st_blocks * 512 for file in files) < 16 << 20


def test_the_kernel_asks_for_a_mib_at_once(mounted: Mounted, tmp_path: Path) -> None:
    with mounted("xvs", where=tmp_path / "a b\\c") as mount:
        device = os.stat(mount.path).st_dev
        setting = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
        if not os.access(setting, os.W_OK):
            pytest.skip("only root may set it")
        assert setting.read_text() == "1024\n"


def replace_at_host(simhost: Simhost, account: str, title: str, content: bytes) -> None:
    """Other bytes under the same code; no listing says so where the size is the same."""
    code = simhost.files(account)[title]["code"]
    path = simhost.root / account / "files" / code
    path.write_bytes(content)


def copy(path: Path, block: int = 1 << 17) -> bytes | None:
    """What one descriptor reads from begin to end; None if it is told that it may not go on."""
    parts = []
    with path.open("rb", buffering=0) as file:
        try:
            while part := file.read(block):
                parts.append(part)
        except OSError as error:
            assert error.errno == errno.EIO
            return None
    return b"".join(parts)


@pytest.mark.parametrize("change", [0, 700_000, -700_000])
def test_no_copy_is_made_of_old_pages_and_new_bytes(
    simhost: Simhost, mounted: Mounted, change: int
) -> None:
    """Its head was read before, and is in the kernel's cache when the film is copied."""
    old = os.urandom(6_000_000)
    new = os.urandom(len(old) + change)
    simhost.add_file("xvs", "a.mp4", old)
    with mounted("xvs", cache_size=0) as mount:
        path = mount.path / "a.mp4"
        with path.open("rb", buffering=0) as file:
            assert file.read(65_536) == old[:65_536]
        replace_at_host(simhost, "xvs", "a.mp4", new)
        copies = [copy(path) for _ in range(2)]
        assert copies[0] in (None, new)
        assert copies[1] == new


def test_a_reader_of_old_content_gets_no_page_that_another_brought(
    simhost: Simhost, mounted: Mounted
) -> None:
    old, new = os.urandom(6_000_000), os.urandom(6_000_000)
    simhost.add_file("xvs", "a.mp4", old)
    with mounted("xvs") as mount:
        path = mount.path / "a.mp4"
        with path.open("rb", buffering=0) as file:
            assert file.read(65_536) == old[:65_536]
            replace_at_host(simhost, "xvs", "a.mp4", new)
            until(lambda: copy(path) == new, "the new content")
            for offset in (0, 65_536, 2_000_000, 5_900_000):
                try:
                    found = os.pread(file.fileno(), 50_000, offset)
                except OSError:
                    continue
                assert found == old[offset : offset + 50_000]
        assert copy(path) == new


def test_two_daemons_of_an_account_have_a_cache_each(
    vidfs: Program, simhost: Simhost, mounted: Mounted
) -> None:
    """They would drop each other's chunks. Whoever comes when the cache is free has it again."""
    film = bytes(range(256)) * 4096
    simhost.add_file("xvs", "film.mp4", film)
    cache, point = vidfs.root / "cache" / "xvs", vidfs.root / "other mount"
    point.mkdir()
    with mounted("xvs") as first:
        assert (first.path / "film.mp4").read_bytes() == film
        vidfs.ok("mount", "-o", f"state_dir={vidfs.root / 'other state'}", "xvs", str(point))
        try:
            assert (point / "film.mp4").read_bytes() == film
        finally:
            vidfs.ok("umount", str(point))
        assert len(list(cache.glob("*.data"))) == len(list(cache.glob("2/*.data"))) == 1
    assert "file/direct_link" in simhost.calls("xvs")
    simhost.reset_calls("xvs")
    with mounted("xvs", state_dir=vidfs.root / "other state") as again:
        assert (again.path / "film.mp4").read_bytes() == film
    assert "file/direct_link" not in simhost.calls("xvs"), simhost.calls("xvs")
