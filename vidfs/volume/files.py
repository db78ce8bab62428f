"""Open files: where their bytes come from, and where they go.

A handle reads from the spool if the node has bytes there, else through the chunk cache from
the host. The first write to a node without bytes in the spool makes a file there whose other
bytes stay at the host until somebody reads them, or it is to be sent.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

import trio

from vidfs.content.chunkcache import ChunkCache
from vidfs.content.fetching import OtherContentError
from vidfs.content.reader import Readers, RemoteReader
from vidfs.content.spool import spool_errors
from vidfs.errors import (
    BadHandleError,
    ContentAbilityError,
    ContentChangedError,
    FileTooBigError,
    HostNotFoundError,
    InvalidArgumentError,
    IsFolderError,
    MediaTypeError,
    NamespaceAbilityError,
    ReadOnlyError,
    SpoolError,
    UploadRefusedError,
)
from vidfs.hosts.api import VideoHost
from vidfs.tree.node import Node, file_time_ns
from vidfs.tree.sizes import SizeFinder
from vidfs.tree.tree import Tree
from vidfs.types import FILE_BYTES_MAX, FileCode, Inode, Job, JobState
from vidfs.volume.contents import Content, Contents
from vidfs.volume.settings import VolumeSettings
from vidfs.volume.writeback import LocalFile, Writeback

log = logging.getLogger(__name__)

_SIZE_DEADLINE_S = 30.0


class Caching(Enum):
    """What the kernel is to do with what it holds of a file that is being opened."""

    KEEP = "keep"
    DROP = "drop"  # older content
    BYPASS = "bypass"  # leave it as it is, and ask us for each byte


@dataclass(slots=True, eq=False)
class Handle:
    """One open file. Several handles of a node share its local bytes and its reader."""

    node: Node
    readable: bool
    writable: bool
    append: bool
    content: Content
    local: LocalFile | None = None
    reader: RemoteReader | None = None
    wrote: bool = field(default=False)  # since the last flush
    has_read: bool = False  # bytes that came through `reader`
    is_maker: bool = False  # it made the file: what it sent before, it may replace
    bypasses: bool = False  # the kernel's cache doesn't get what it reads and writes


class Files:
    def __init__(
        self,
        *,
        tree: Tree,
        host: VideoHost,
        cache: ChunkCache,
        readers: Readers,
        sizes: SizeFinder,
        writeback: Writeback,
        settings: VolumeSettings,
    ) -> None:
        self._tree = tree
        self._host = host
        self._cache = cache
        self._readers = readers
        self._sizes = sizes
        self._writeback = writeback
        self._settings = settings
        self._contents = Contents()
        self._handles: dict[int, Handle] = {}
        self._next_fh = 1
        self._opening: dict[Inode, trio.Lock] = {}
        self._told_unreadable = False

    # --- opening and closing ---------------------------------------------------------------

    async def open(self, node: Node, flags: int) -> int:
        """A handle for *node*. Errors: ContentAbilityError where its bytes can't be had."""
        if node.is_folder:
            raise IsFolderError(f"{node.name} is a folder")
        access = flags & os.O_ACCMODE
        if access not in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
            raise InvalidArgumentError("no such access mode")
        writable = access != os.O_RDONLY
        truncates = bool(flags & os.O_TRUNC) and writable
        if (writable or truncates) and self._settings.read_only:
            raise ReadOnlyError("mounted read-only")
        if writable:
            self._check_may_replace(node)
        if not truncates:
            await self._check_reachable(node)
        self._check_original(node)
        handle = Handle(
            node,
            readable=access != os.O_WRONLY,
            writable=writable,
            append=bool(flags & os.O_APPEND),
            content=self._get_content(node),
        )
        fh = self._register(handle)
        if truncates:
            try:
                await self.truncate(node, 0)
            except BaseException:
                self.release(fh)
                raise
        self._keep_held(handle)
        return fh

    def _keep_held(self, handle: Handle) -> None:
        """What is here of *handle*'s file can be read through it whatever becomes of the name."""
        node = handle.node
        if not handle.readable or handle.local is not None or node.remote is None:
            return
        if node.size_bytes is not None and self._cache.holds(FileCode(node.remote)):
            with suppress(SpoolError, ContentChangedError):
                self._get_reader(handle)

    def _get_content(self, node: Node) -> Content:
        return self._contents.get(node, is_here=self._writeback.find(node.inode) is not None)

    def _check_original(self, node: Node) -> None:
        """What was made here is no longer: the host may have made something else of it, and what
        the kernel still has of it must not be seen beside that."""
        content = self._get_content(node)
        if (
            content.job_id is not None
            and node.remote is not None
            and self._writeback.find(node.inode) is None
            and not self._cache.holds_original(FileCode(node.remote), node.size_bytes or 0)
        ):
            self._contents.replace(node.inode)

    def _check_may_replace(self, node: Node) -> None:
        """Errors: NamespaceAbilityError where other bytes would have the host's copy deleted,
        and that is switched off."""
        if not self._settings.delete_deny or node.remote is None:
            return
        local = self._writeback.find(node.inode)
        if local is None or node.remote not in local.job.obsolete:
            raise NamespaceAbilityError("replacing deletes, which is switched off (delete=deny)")

    def create(self, node: Node, flags: int) -> int:
        """A handle for *node*, which was just made and has no bytes. Checkpoint: none."""
        self._writeback.create(node)
        access = flags & os.O_ACCMODE
        return self._register(
            Handle(
                node,
                readable=access != os.O_WRONLY,
                writable=access != os.O_RDONLY,
                append=bool(flags & os.O_APPEND),
                content=self._get_content(node),
                is_maker=True,
            )
        )

    def _register(self, handle: Handle) -> int:
        self._join(handle, self._writeback.find(handle.node.inode))
        fh, self._next_fh = self._next_fh, self._next_fh + 1
        self._handles[fh] = handle
        return fh

    def choose_caching(self, fh: int) -> Caching:
        """What the kernel is to do, now that *fh* is being opened. Call it once, at once.

        What is only written, and open nowhere else, goes past the kernel's cache: a copy less of
        every byte, and of every page in memory (cp of 1 GiB: 0.50 s, so 0.29 s). While such a
        handle is open all others of the file go past it, too: the kernel doesn't see to it that
        pages they kept are dropped by the next write (before Linux 6.6 never, since then but for
        those that are read at that moment). What they can't do meanwhile is map it shared.
        """
        handle = self.get(fh)
        node = handle.node
        others = [other for other in self._handles.values() if other.node is node]
        others.remove(handle)
        is_alone = not others and not handle.readable
        if is_alone or any(other.bypasses and other.writable for other in others):
            handle.bypasses = True
            self._contents.written_past(node.inode)
            return Caching.BYPASS
        if not self._contents.is_outdated(node.inode):
            return Caching.KEEP
        if any(other.content.is_stale for other in others):
            handle.bypasses = True
            return Caching.BYPASS
        self._contents.dropped(node.inode)
        return Caching.DROP

    def content_changed(self, node: Node) -> None:
        """A listing says that the host has other bytes than it had. Checkpoint: none."""
        self._contents.replace(node.inode)
        if node.remote is not None:
            self._readers.forget(FileCode(node.remote))

    def get(self, fh: int) -> Handle:
        handle = self._handles.get(fh)
        if handle is None:
            raise BadHandleError(f"no handle {fh}")
        return handle

    def _join(self, handle: Handle, local: LocalFile | None) -> LocalFile | None:
        """Let *handle* use the node's bytes in the spool as they are now."""
        if local is handle.local:
            return local
        if handle.local is not None and local is None and handle.local.done:
            return handle.local  # at the host by now; this handle goes on reading its own
        if local is not None:
            local.file.wake()
        self._leave(handle)
        if local is not None:
            local.handles += 1
            local.writers += handle.writable
            handle.local = local
            handle.content = self._contents.note_local(handle.node, local.job.id)
            if handle.reader is not None:
                self._readers.release(handle.reader)
                handle.reader = None
        return local

    def _leave(self, handle: Handle) -> None:
        local, handle.local = handle.local, None
        if local is not None:
            local.handles -= 1
            local.writers -= handle.writable
            if local.writers == 0 and handle.writable:
                self._writeback.closed(local)
            self._writeback.released(local)

    async def _check_reachable(self, node: Node) -> None:
        """Errors: ContentAbilityError unless *node*'s bytes are here or can be fetched."""
        if self._writeback.find(node.inode) is not None or node.remote is None:
            return
        if self._host.capabilities.read_content:
            try:
                await self._sizes.ensure(node)
            except HostNotFoundError:
                self._tree.record_lost(node)
                raise
            return
        size_bytes = node.size_bytes
        if size_bytes is None or not self._cache.holds_all(FileCode(node.remote), size_bytes):
            if not self._told_unreadable:
                self._told_unreadable = True
                log.warning(
                    "%s: %s has no call that leads to a file's bytes; only what was uploaded from"
                    " here and is still in the cache can be read",
                    self._tree.path_of(node),
                    self._host.name,
                )
            raise ContentAbilityError(f"{self._host.name} can't be read from")

    async def flush(self, fh: int) -> None:
        """A descriptor is being closed. With `upload=close`: waits for the host.

        Errors: what the host refused the upload with, where that is waited for.
        """
        handle = self.get(fh)
        local = handle.local
        if local is None or not handle.wrote:
            return
        handle.wrote = False
        self._tree.save(handle.node)
        self._writeback.flushed(local)
        if self._settings.upload_on_close and not local.done:
            self._writeback.closed(local)
            job = await self._writeback.wait_done(local)
            is_under_way = job.pending and job.state is not JobState.WRITING
            if job.state is JobState.PARKED or (is_under_way and not local.done):
                raise _to_error(job)

    def release(self, fh: int) -> None:
        """The last descriptor of this handle is gone. Checkpoint: none."""
        handle = self._handles.pop(fh, None)
        if handle is None:
            return
        self._leave(handle)
        if handle.reader is not None:
            self._readers.release(handle.reader)

    def release_all(self) -> None:
        """The mount is gone, and with it every descriptor. Checkpoint: none.

        The kernel drops what it had still to release. A file whose descriptors were closed is
        taken as released; one that was open goes on as if we had died: interrupted.
        """
        for fh, handle in list(self._handles.items()):
            local = handle.local
            if local is None or local.is_closing:
                self.release(fh)

    async def fsync(self, fh: int) -> None:
        """Wait until what was written is on the local disk, where a restart finds it."""
        local = self.get(fh).local
        if local is not None:
            await self._writeback.sync(local)

    # --- bytes ---------------------------------------------------------------------------

    async def read(self, fh: int, offset: int, size: int) -> bytes:
        """Up to *size* bytes; fewer only at the end."""
        try:
            return await self._read_once(fh, offset, size)
        except ContentChangedError:  # by now the tree knows the size of the new content
            return await self._read_once(fh, offset, size)
        except HostNotFoundError:
            if self.get(fh).has_read:  # "no such file" would make no sense to who reads on in it
                raise ContentChangedError("the host no longer has what was being read") from None
            raise

    async def _read_once(self, fh: int, offset: int, size: int) -> bytes:
        handle = self.get(fh)
        local = self._join(handle, self._writeback.find(handle.node.inode))
        if local is None:
            reader, content = self._get_reader(handle)
            data = await self._read_remote(handle.node, reader, content, offset, size)
            content.is_given = True
            handle.has_read = handle.has_read or reader is handle.reader
            return data
        if local.file.find_missing(offset, size):
            return await self._read_patched(handle, local, offset, size)
        return local.file.read(offset, size)

    async def _read_patched(
        self, handle: Handle, local: LocalFile, offset: int, size: int
    ) -> bytes:
        """Bytes of a file that was changed here, part of which are still at the host."""
        patch = local.file.patch
        assert patch is not None
        missing = local.file.find_missing(offset, size)
        start, stop = missing[0].start, missing[-1].stop
        reader = self._get_base_reader(handle, patch.code, patch.base_bytes)
        self._readers.hold(reader)
        try:
            fetched = await reader.read(start, stop - start)
        except ContentChangedError:
            raise OtherContentError from None
        finally:
            self._readers.release(reader)
        if len(fetched) != stop - start:
            raise SpoolError("the cache lost bytes while they were being read")
        # As it is now: somebody may have written or truncated meanwhile.
        data = bytearray(local.file.read(offset, size))
        for part in local.file.find_missing(offset, size):
            found = fetched[part.start - start : part.stop - start]
            data[part.start - offset : part.stop - offset] = found
        return bytes(data)

    async def _read_remote(
        self, node: Node, reader: RemoteReader, content: Content, offset: int, size: int
    ) -> bytes:
        self._readers.hold(reader)  # whoever truncates meanwhile must not close it under us
        try:
            return await reader.read(offset, size)
        except ContentChangedError as error:
            is_news = not content.is_old
            if is_news:
                self._contents.replace(node.inode)
            if is_news or error.size_bytes is not None:
                await self._learn_size(node, reader, error)
            raise
        except HostNotFoundError:
            if reader.is_gone and node.remote == reader.code:
                self._tree.record_lost(node)
            raise
        finally:
            self._readers.release(reader)

    async def _learn_size(
        self, node: Node, reader: RemoteReader, error: ContentChangedError
    ) -> None:
        """The host has other bytes than *reader* was for: how many."""
        size_bytes = error.size_bytes
        if size_bytes is None:
            with trio.fail_after(_SIZE_DEADLINE_S):
                size_bytes = await self._host.find_size(reader.code)
        is_same = (node.remote, node.size_bytes) == (reader.code, reader.size_bytes)
        is_told = size_bytes == error.size_bytes or size_bytes != reader.size_bytes
        if is_same and is_told and size_bytes is not None:
            self._tree.record_content(node, size_bytes)

    def _get_reader(self, handle: Handle) -> tuple[RemoteReader, Content]:
        """Errors: ContentChangedError once the host has other bytes than those that *handle* may
        have seen: whoever wants the new ones opens the file again."""
        node = handle.node
        if node.remote is None or node.size_bytes is None:
            raise ContentAbilityError(f"{node.name} has no bytes")
        if handle.content.is_stale and handle.content.code == node.remote:
            raise ContentChangedError("other content than was read", call="download")
        content = handle.content = self._get_content(node)
        return self._get_base_reader(handle, FileCode(node.remote), node.size_bytes), content

    def _get_base_reader(self, handle: Handle, code: FileCode, size_bytes: int) -> RemoteReader:
        """*handle*'s reader of *code*, another than it had if need be."""
        reader = handle.reader
        if reader is not None:
            if not reader.changed and (reader.code, reader.size_bytes) == (code, size_bytes):
                return reader
            self._readers.release(reader)
            handle.reader, handle.has_read = None, False
        with spool_errors():
            reader = handle.reader = self._readers.acquire(code, size_bytes)
        return reader

    async def write(self, fh: int, offset: int, data: bytes) -> int:
        handle = self.get(fh)
        if not handle.writable:
            raise BadHandleError("not open for writing")
        if offset + len(data) > FILE_BYTES_MAX:
            raise FileTooBigError("a file can have 8 TiB at the most")
        if not handle.is_maker:
            self._check_may_replace(handle.node)
        local = await self._get_writable(handle.node)
        self._join(handle, local)
        handle.wrote = True
        if handle.append:
            offset = local.file.size_bytes
        self._writeback.begin_write(local)
        handle.node.mtime_ns = file_time_ns()  # saved when it is closed
        self._tree.note_change(handle.node.parent)
        try:
            return local.file.write(offset, data)
        except SpoolError:
            local.is_short = True  # whoever writes may close it as if nothing had happened
            raise

    async def truncate(self, node: Node, size_bytes: int) -> None:
        if self._settings.read_only:
            raise ReadOnlyError("mounted read-only")
        if size_bytes > FILE_BYTES_MAX:
            raise FileTooBigError("a file can have 8 TiB at the most")
        self._check_may_replace(node)
        local = self._writeback.find(node.inode)
        if local is not None and local.file.size_bytes == size_bytes:
            self._tree.set_mtime(node, file_time_ns())  # `> stamp`, for make
            return
        if local is None:
            if size_bytes and await self._sizes.ensure(node) == size_bytes:
                self._tree.set_mtime(node, file_time_ns())
                return
            if size_bytes == 0:
                local = self._writeback.create(node)
            else:
                local = await self._get_writable(node)
        self._writeback.begin_truncate(local)
        try:
            local.file.truncate(size_bytes)
        except SpoolError:
            # Of a file that is not all here, which of its bytes count may not be written down.
            local.is_short = local.is_short or local.file.patch is not None
            if local.writers == 0:
                self._writeback.closed(local)
            raise
        local.is_short = local.is_short and size_bytes > 0
        self._tree.set_mtime(node, file_time_ns())
        for handle in self._handles.values():
            if handle.node is node:
                self._join(handle, local)
                handle.wrote = handle.wrote or handle.writable
        if local.writers == 0:
            self._writeback.closed(local)

    async def _get_writable(self, node: Node) -> LocalFile:
        """*node*'s file in the spool, made if need be."""
        local = self._writeback.find(node.inode)
        if local is not None:
            return local
        lock = self._opening.setdefault(node.inode, trio.Lock())
        try:
            async with lock:
                local = self._writeback.find(node.inode)
                if local is None and node.remote is not None:
                    await self._check_reachable(node)
                    local = self._writeback.find(node.inode)
                if local is None and node.remote is None:
                    local = self._writeback.create(node)
                if local is None:
                    local = await self._start_patch(node)
        finally:
            if not lock.statistics().tasks_waiting:
                self._opening.pop(node.inode, None)
        return local

    async def _start_patch(self, node: Node) -> LocalFile:
        """A file in the spool for changes to *node*."""
        local = self._writeback.create_patch(node)
        if not self._host.capabilities.read_content:
            # Its bytes are in the cache alone, which keeps nothing for certain.
            try:
                await self._writeback.fetch_rest(local)
            except BaseException:
                self._writeback.undo_patch(local)
                raise
        return local


def _to_error(job: Job) -> Exception:
    """What `close` reports of an upload that is parked or doesn't get on."""
    error = job.trouble
    if isinstance(error, UploadRefusedError):
        text = str(error).lower()
        if "extension" in text:
            return MediaTypeError(str(error))
        if any(word in text for word in ("too big", "too large", "larger than")):
            return FileTooBigError(str(error))
    return error if error is not None else UploadRefusedError(job.reason)
