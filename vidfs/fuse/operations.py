"""The pyfuse3 class: arguments in, one call on the volume, the answer out.

Inode numbers are stable and never given twice, and what an inode stands for can always be
loaded from the catalogue; so the kernel's lookup counts need not be kept, and `forget` has
nothing to do. A removed file that is still open is kept by its handles.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass

import pyfuse3
import trio
from cachetools import LRUCache
from pyfuse3 import (
    EntryAttributes,
    FileHandleT,
    FileInfo,
    FileNameT,
    FlagT,
    InodeT,
    ModeT,
    RequestContext,
    SetattrFields,
    StatvfsData,
)

from vidfs.errors import NamespaceAbilityError
from vidfs.fuse import replies
from vidfs.fuse.errnos import answers_errno
from vidfs.fuse.notify import KernelNotifier
from vidfs.tree.names import bytes_of, name_of
from vidfs.types import Inode
from vidfs.volume import Attr, Caching, Volume

_LISTED_ENTRIES_MAX = 120_000  # replies kept ready, about 400 bytes each

_Entry = tuple[bytes, EntryAttributes]


@dataclass(frozen=True, slots=True)
class _Listing:
    mark: tuple[int, int]  # of `Volume.ensure_listed`
    entries: Sequence[_Entry]


@dataclass(slots=True)
class _OpenFolder:
    inode: Inode
    entries: Sequence[_Entry] | None = None


class Operations(pyfuse3.Operations):
    supports_dot_lookup = True
    enable_writeback_cache = False  # write order and size stay ours

    def __init__(self, volume: Volume, notifier: KernelNotifier) -> None:
        super().__init__()
        self._volume = volume
        self._notifier = notifier
        self.begun = trio.Event()
        self.is_stopping = False  # every request is refused
        self._replies = replies.Replies(volume.settings)
        self._folders: dict[int, _OpenFolder] = {}
        self._listings: LRUCache[Inode, _Listing] = LRUCache(
            _LISTED_ENTRIES_MAX, getsizeof=lambda listing: len(listing.entries) + 1
        )
        self._next_fh = 1

    def init(self) -> None:
        """The kernel's greeting; our answer leaves before anything else runs."""
        self.begun.set()

    # --- names ---------------------------------------------------------------------------

    @answers_errno
    async def lookup(
        self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext
    ) -> EntryAttributes:
        with self._notifier.serving(parent_inode):
            attr = await self._volume.lookup(Inode(parent_inode), name_of(name))
        if attr is None:
            return replies.no_entry(self._volume.negative_ttl_s())
        return self._replies.entry(attr)

    @answers_errno
    async def getattr(self, inode: InodeT, ctx: RequestContext) -> EntryAttributes:
        return self._replies.entry(await self._volume.getattr(Inode(inode)))

    @answers_errno
    async def setattr(
        self,
        inode: InodeT,
        attr: EntryAttributes,
        fields: SetattrFields,
        fh: FileHandleT | None,
        ctx: RequestContext,
    ) -> EntryAttributes:
        # Mode and owner are accepted and not kept: no host could.
        result: Attr | None = None
        if fields.update_size:
            result = await self._volume.set_size(Inode(inode), attr.st_size)
        if fields.update_mtime or fields.update_atime:
            result = self._volume.set_times(
                Inode(inode),
                mtime_ns=attr.st_mtime_ns if fields.update_mtime else None,
                atime_ns=attr.st_atime_ns if fields.update_atime else None,
            )
        if result is None:
            result = await self._volume.getattr(Inode(inode))
        return self._replies.entry(result)

    @answers_errno
    async def mkdir(
        self, parent_inode: InodeT, name: FileNameT, mode: ModeT, ctx: RequestContext
    ) -> EntryAttributes:
        with self._notifier.serving(parent_inode):
            attr = await self._volume.make_folder(Inode(parent_inode), name_of(name))
        return self._replies.entry(attr)

    @answers_errno
    async def rmdir(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        with self._notifier.serving_any():
            await self._volume.remove_folder(Inode(parent_inode), name_of(name))

    @answers_errno
    async def unlink(self, parent_inode: InodeT, name: FileNameT, ctx: RequestContext) -> None:
        with self._notifier.serving(parent_inode):
            await self._volume.unlink(Inode(parent_inode), name_of(name))

    @answers_errno
    async def rename(
        self,
        parent_inode_old: InodeT,
        name_old: FileNameT,
        parent_inode_new: InodeT,
        name_new: FileNameT,
        flags: FlagT,
        ctx: RequestContext,
    ) -> None:
        if flags & ~pyfuse3.RENAME_NOREPLACE:
            raise pyfuse3.FUSEError(errno.EINVAL)
        with self._notifier.serving_any():
            await self._volume.rename(
                Inode(parent_inode_old),
                name_of(name_old),
                Inode(parent_inode_new),
                name_of(name_new),
                replace=not flags & pyfuse3.RENAME_NOREPLACE,
            )

    @answers_errno
    async def link(
        self, inode: InodeT, new_parent_inode: InodeT, new_name: FileNameT, ctx: RequestContext
    ) -> EntryAttributes:
        raise NamespaceAbilityError("no host keeps hard links")

    @answers_errno
    async def symlink(
        self, parent_inode: InodeT, name: FileNameT, target: FileNameT, ctx: RequestContext
    ) -> EntryAttributes:
        raise NamespaceAbilityError("no host keeps symbolic links")

    @answers_errno
    async def mknod(
        self, parent_inode: InodeT, name: FileNameT, mode: ModeT, rdev: int, ctx: RequestContext
    ) -> EntryAttributes:
        raise NamespaceAbilityError("no host keeps special files")

    # --- folders -------------------------------------------------------------------------

    @answers_errno
    async def opendir(self, inode: InodeT, ctx: RequestContext) -> FileHandleT:
        fh, self._next_fh = self._next_fh, self._next_fh + 1
        self._folders[fh] = _OpenFolder(Inode(inode))
        return FileHandleT(fh)

    @answers_errno
    async def readdir(self, fh: FileHandleT, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        folder = self._folders[fh]
        if folder.entries is None or start_id == 0:
            with self._notifier.serving(folder.inode):
                folder.entries = await self._list(folder.inode)
        entries, reply, next_id = folder.entries, pyfuse3.readdir_reply, start_id
        for name, entry in itertools.islice(entries, start_id, None):
            next_id += 1
            if not reply(token, name, entry, next_id):
                return

    async def _list(self, inode: Inode) -> Sequence[_Entry]:
        """The entries as replies. One snapshot for each opendir: positions stay true whatever
        changes meanwhile; the same one again while nothing has changed."""
        mark = await self._volume.ensure_listed(inode)
        known = self._listings.get(inode)
        if known is None or known.mark != mark:
            to_entry = self._replies.entry
            known = _Listing(
                mark,
                [
                    (bytes_of(name), to_entry(attr))
                    for name, attr in self._volume.list_folder(inode)
                ],
            )
            if len(known.entries) < _LISTED_ENTRIES_MAX:
                self._listings[inode] = known
        return known.entries

    @answers_errno
    async def releasedir(self, fh: FileHandleT) -> None:
        self._folders.pop(fh, None)

    @answers_errno
    async def fsyncdir(self, fh: FileHandleT, datasync: bool) -> None:
        pass  # a change of names is at the host when its call returns

    # --- files ---------------------------------------------------------------------------

    @answers_errno
    async def open(self, inode: InodeT, flags: FlagT, ctx: RequestContext) -> FileInfo:
        return self._opened(await self._volume.open(Inode(inode), flags))

    def _opened(self, fh: int) -> FileInfo:
        caching = self._volume.files.choose_caching(fh)
        return FileInfo(
            fh=FileHandleT(fh),
            keep_cache=caching is Caching.KEEP,
            direct_io=caching is Caching.BYPASS,
        )

    @answers_errno
    async def create(
        self,
        parent_inode: InodeT,
        name: FileNameT,
        mode: ModeT,
        flags: FlagT,
        ctx: RequestContext,
    ) -> tuple[FileInfo, EntryAttributes]:
        with self._notifier.serving(parent_inode):
            fh, attr = await self._volume.create(Inode(parent_inode), name_of(name), flags)
        return self._opened(fh), self._replies.entry(attr)

    @answers_errno
    async def read(self, fh: FileHandleT, off: int, size: int) -> bytes:
        return await self._volume.files.read(fh, off, size)

    @answers_errno
    async def write(self, fh: FileHandleT, off: int, buf: bytes) -> int:
        return await self._volume.files.write(fh, off, buf)

    @answers_errno
    async def flush(self, fh: FileHandleT) -> None:
        await self._volume.files.flush(fh)

    @answers_errno
    async def release(self, fh: FileHandleT) -> None:
        self._volume.files.release(fh)

    @answers_errno
    async def fsync(self, fh: FileHandleT, datasync: bool) -> None:
        await self._volume.files.fsync(fh)

    # --- the whole -----------------------------------------------------------------------

    @answers_errno
    async def statfs(self, ctx: RequestContext) -> StatvfsData:
        return replies.space(await self._volume.space())

    @answers_errno
    async def getxattr(self, inode: InodeT, name: bytes, ctx: RequestContext) -> bytes:
        if not name.startswith(b"user."):
            # "Not supported" rather than "none": `ls -l` then asks for no other file's ACL.
            raise pyfuse3.FUSEError(errno.EOPNOTSUPP)
        value = await self._volume.load_attribute(Inode(inode), os.fsdecode(name))
        return value.encode("utf-8", "surrogateescape")

    @answers_errno
    async def listxattr(self, inode: InodeT, ctx: RequestContext) -> Sequence[bytes]:
        names = await self._volume.load_attribute_names(Inode(inode))
        return [name.encode() for name in names]

    @answers_errno
    async def setxattr(self, inode: InodeT, name: bytes, value: bytes, ctx: RequestContext) -> None:
        await self._volume.set_attribute(
            Inode(inode), os.fsdecode(name), value.decode("utf-8", "surrogateescape")
        )

    @answers_errno
    async def removexattr(self, inode: InodeT, name: bytes, ctx: RequestContext) -> None:
        await self._volume.remove_attribute(Inode(inode), os.fsdecode(name))
