"""Reading what changes meanwhile: at the host, or under another descriptor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.unit.fakes import raising
from tests.unit.volume.test_volume import Rig, run
from vidfs.errors import ContentChangedError, HostNotFoundError
from vidfs.hosts.api import ContentStamp
from vidfs.types import ROOT_INODE
from vidfs.volume import Caching

OLD = b"o" * 500_000


class Noted:
    """A kernel that notes what it is told."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.nodes: list[tuple[int, bool]] = []

    def entry_changed(self, parent: int, name: str, gone: int | None) -> None:
        self.entries.append(name)

    def node_changed(self, inode: int, *, content: bool) -> None:
        self.nodes.append((inode, content))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.mark.parametrize("new", [b"N" * 700_000, b"N" * 300_000])
def test_other_content_of_the_host_is_read_with_its_size(rig: Rig, new: bytes) -> None:
    rig.host.says_sizes = False
    code = rig.host.add("a.mp4", OLD)

    async def main() -> None:
        async with rig.open() as volume:
            kernel = Noted()
            volume.listener = kernel
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            assert attr.size_bytes == len(OLD)
            fh = await rig.open_file("a.mp4", os.O_RDWR)
            rig.host.stored[code].content = new
            rig.host.change(code, size_bytes=len(new))
            with trio.fail_after(5):
                assert await volume.files.read(fh, 0, 1 << 20) == new
            assert (await volume.getattr(attr.inode)).size_bytes == len(new)
            with trio.fail_after(5):
                await rig.until(lambda: (attr.inode, False) in kernel.nodes)
            await rig.close(fh)

    run(main)


def test_a_descriptor_never_gets_old_bytes_and_then_new_ones(rig: Rig) -> None:
    """Also where the host's new content has the size of the old."""
    code = rig.host.add("a.mp4", OLD * 20)

    async def main() -> None:
        async with rig.open() as volume:
            kernel = Noted()
            volume.listener = kernel
            rig.host.stream_options = {"stamp": ContentStamp("a", "1")}
            fh = await rig.open_file("a.mp4", os.O_RDONLY)
            assert await volume.files.read(fh, 0, 1000) == OLD[:1000]
            rig.host.stored[code].content = b"N" * len(OLD * 20)
            rig.host.stream_options = {"stamp": ContentStamp("a", "2")}
            for offset in (9_900_000, 0):
                with pytest.raises(ContentChangedError):
                    await volume.files.read(fh, offset, 1000)
            await rig.close(fh)
            fh = await rig.open_file("a.mp4", os.O_RDONLY)
            for offset in (9_900_000, 0):
                assert await volume.files.read(fh, offset, 1000) == b"N" * 1000
            await rig.close(fh)
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            assert (attr.inode, False) in kernel.nodes

    run(main)


@pytest.mark.parametrize("change", ["size", "hash"])
def test_other_content_that_a_listing_tells_of_is_read(rig: Rig, change: str) -> None:
    """What was cached is of the old; who has read of it may not go on."""
    code = rig.host.add("a.mp4", OLD, sha1="a" * 40)
    new = b"N" * (len(OLD) + 7 * (change == "size"))

    async def main() -> None:
        async with rig.open() as volume:
            fh = await rig.open_file("a.mp4", os.O_RDONLY)
            assert await volume.files.read(fh, 0, 1 << 20) == OLD
            rig.host.stored[code].content = new
            rig.host.change(code, size_bytes=len(new), sha1="b" * 40 if change == "hash" else None)
            await volume.refresh("/")
            with pytest.raises(ContentChangedError):
                await volume.files.read(fh, 0, 1000)
            await rig.close(fh)
            assert await rig.read("a.mp4") == new

    run(main)


def test_only_what_is_written_alone_goes_past_the_kernel_and_nobody_keeps_pages_beside_it(
    rig: Rig,
) -> None:
    rig.host.add("a.mp4", OLD)
    rig.host.add("b.mp4", OLD)

    async def main() -> None:
        async with rig.open() as volume:

            async def open_file(name: str, flags: int) -> tuple[int, Caching]:
                fh = await rig.open_file(name, flags)
                return fh, volume.files.choose_caching(fh)

            reader, caching = await open_file("a.mp4", os.O_RDONLY)
            assert caching is Caching.KEEP
            writer, caching = await open_file("a.mp4", os.O_WRONLY)
            assert caching is Caching.KEEP  # the reader has pages
            other, caching = await open_file("b.mp4", os.O_RDWR)
            assert caching is Caching.KEEP  # it may be mapped
            for fh in (reader, writer, other):
                await rig.close(fh)

            writer, caching = await open_file("a.mp4", os.O_WRONLY | os.O_TRUNC)
            assert caching is Caching.BYPASS
            reader, caching = await open_file("a.mp4", os.O_RDONLY)
            assert caching is Caching.BYPASS
            both, caching = await open_file("a.mp4", os.O_RDWR)
            assert caching is Caching.BYPASS
            await rig.close(writer)
            second, caching = await open_file("a.mp4", os.O_RDONLY)
            assert caching is Caching.BYPASS  # beside the one for both
            await rig.close(both)
            for expected in (Caching.DROP, Caching.KEEP):
                third, caching = await open_file("a.mp4", os.O_RDONLY)
                assert caching is expected
                await rig.close(third)
            await rig.close(reader)
            await rig.close(second)

    run(main)


def test_the_kernel_keeps_what_is_of_the_same_content_only(rig: Rig) -> None:
    """Also where it gave one descriptor's bytes to another; who may have old ones stays with them,
    and nobody brings new ones into the kernel meanwhile."""
    code = rig.host.add("a.mp4", OLD * 20)

    async def main() -> None:
        async with rig.open() as volume:
            files = volume.files

            async def open_file() -> tuple[int, Caching]:
                fh = await rig.open_file("a.mp4", os.O_RDONLY)
                return fh, files.choose_caching(fh)

            rig.host.stream_options = {"stamp": ContentStamp("a", "1")}
            first, _ = await open_file()
            await files.read(first, 0, 1000)
            second, caching = await open_file()  # its reads may never come to us
            assert caching is Caching.KEEP
            rig.host.stored[code].content = b"N" * len(OLD * 20)
            rig.host.stream_options = {"stamp": ContentStamp("a", "2")}
            for fh in (second, first, second):
                with pytest.raises(ContentChangedError):
                    await files.read(fh, 9_900_000, 1000)
            third, caching = await open_file()
            assert caching is Caching.BYPASS
            assert await files.read(third, 0, 1000) == b"N" * 1000
            await rig.close(first)
            await rig.close(second)
            fourth, caching = await open_file()
            assert caching is Caching.DROP
            fifth, caching = await open_file()
            assert caching is Caching.KEEP
            for fh in (third, fourth, fifth):
                assert await files.read(fh, 9_900_000, 1000) == b"N" * 1000
                await rig.close(fh)

    run(main)


def test_an_upload_that_the_host_converted_is_read_as_it_is_there(rig: Rig) -> None:
    async def main() -> None:
        async with rig.open(sizes="uploaded", cache_size_bytes=0) as volume:
            await rig.write("a.mp4", OLD)
            await volume.wait_uploads()
            [code] = rig.host.stored
            rig.host.stored[code].content = b"N" * 400_000
            rig.host.change(code, size_bytes=400_000)
            with trio.fail_after(5):
                assert await rig.read("a.mp4") == b"N" * 400_000
            attr = await volume.lookup(ROOT_INODE, "a.mp4")
            assert attr is not None
            assert attr.size_bytes == 400_000

    run(main)


@pytest.mark.parametrize("had_another", [False, True])
def test_pages_of_an_upload_are_not_shown_beside_what_the_host_made_of_it(
    rig: Rig, had_another: bool
) -> None:
    """Whoever still has it open gives the kernel bytes of the original, whenever it was opened."""
    if had_another:
        rig.host.add("a.mp4", b"another film")

    async def main() -> None:
        go_on = trio.Event()
        rig.host.on("upload", go_on.wait)
        async with rig.open(cache_size_bytes=0) as volume:

            async def open_file() -> tuple[int, Caching]:
                fh = await rig.open_file("a.mp4", os.O_RDONLY)
                return fh, volume.files.choose_caching(fh)

            await rig.write("a.mp4", OLD)
            first, caching = await open_file()
            assert caching is Caching.KEEP
            second, _ = await open_file()  # meanwhile the first is no longer the last
            await rig.close(second)
            go_on.set()
            await volume.wait_uploads()
            [code] = rig.host.stored
            rig.host.stored[code].content = b"N" * len(OLD)  # its size isn't news
            third, caching = await open_file()
            assert caching is Caching.BYPASS
            assert await volume.files.read(third, 0, 9) == b"N" * 9
            assert await volume.files.read(first, 0, 9) == OLD[:9]
            await rig.close(third)
            await rig.close(first)
            fourth, caching = await open_file()
            assert caching is Caching.DROP
            await rig.close(fourth)

    run(main)


def test_a_file_that_the_host_lost_leaves_when_it_is_read(rig: Rig) -> None:
    code = rig.host.add("a.mp4", OLD)

    async def main() -> None:
        async with rig.open() as volume:
            kernel = Noted()
            volume.listener = kernel
            assert await rig.names() == ["a.mp4"]
            del rig.host.stored[code]
            rig.host.on("open_link", raising(HostNotFoundError("gone")))
            with pytest.raises(HostNotFoundError):
                await rig.read("a.mp4")
            assert await rig.names() == []
            assert "a.mp4" in kernel.entries

    run(main)


def test_a_download_that_is_not_found_is_no_lost_file(rig: Rig) -> None:
    """A node of the host's may fail; only the host itself says that a file is gone."""
    rig.host.add("a.mp4", OLD)

    async def main() -> None:
        async with rig.open():
            rig.host.on("open_stream", *[raising(HostNotFoundError("404"))] * 5)
            with pytest.raises(HostNotFoundError):
                await rig.read("a.mp4")
            assert await rig.names() == ["a.mp4"]

    run(main)


def test_a_read_under_way_survives_a_truncation(rig: Rig) -> None:
    rig.host.add("a.mp4", OLD)

    async def main() -> None:
        async with rig.open() as volume:
            asked, gate = trio.Event(), trio.Event()

            async def wait() -> None:
                asked.set()
                await gate.wait()

            rig.host.on("open_stream", wait)
            fh = await rig.open_file("a.mp4", os.O_RDONLY)
            got: list[Any] = []

            async def read() -> None:
                got.append(await volume.files.read(fh, 0, 1000))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await asked.wait()
                writer = await rig.open_file("a.mp4", os.O_WRONLY | os.O_TRUNC)
                assert await volume.files.read(fh, 0, 1000) == b""  # its handle has moved on
                gate.set()
            assert got == [OLD[:1000]]
            await rig.close(writer)

    run(main)


def test_whoever_reads_on_in_what_the_host_removed_gets_no_missing_name(rig: Rig) -> None:
    size = 8 << 20
    rig.host.add("a.mp4", bytes(size))
    rig.host.add("b.mp4", bytes(size))

    async def main() -> None:
        async with rig.open() as volume:
            one = await rig.open_file("a.mp4", os.O_RDONLY)
            other = await rig.open_file("b.mp4", os.O_RDONLY)
            await volume.files.read(one, 0, 1000)
            for call in ("open_link", "open_stream"):
                rig.host.on(call, *[raising(HostNotFoundError("gone"))] * 12)
            with pytest.raises(ContentChangedError):
                await volume.files.read(one, size - 1000, 1000)
            with pytest.raises(HostNotFoundError):
                await volume.files.read(other, 0, 1000)
            await rig.close(one)
            await rig.close(other)

    run(main)
