"""Attributes to what pyfuse3 sends."""

from __future__ import annotations

import stat

import pyfuse3

from vidfs.types import NAME_BYTES_MAX, NodeKind
from vidfs.volume import Attr, Space, VolumeSettings

_BLOCK_BYTES = 512
_IO_BYTES = 1 << 17
_WRITE_BYTES = 1 << 20
"""The block of a file that is being written. `cp` asks for it, and is twice as fast with this;
elsewhere it would only make programs read more of a film's head than they need."""
_SPACE_UNIT_BYTES = 4096


class Replies:
    """Builds replies for one mount's owner and umask."""

    def __init__(self, settings: VolumeSettings) -> None:
        self._uid, self._gid = settings.uid, settings.gid
        self._file_mode = stat.S_IFREG | (0o666 & ~settings.umask)
        self._folder_mode = stat.S_IFDIR | (0o777 & ~settings.umask)

    def entry(self, attr: Attr) -> pyfuse3.EntryAttributes:
        reply = pyfuse3.EntryAttributes()
        is_folder = attr.kind is NodeKind.FOLDER
        reply.st_ino = attr.inode
        reply.st_mode = self._folder_mode if is_folder else self._file_mode
        # 1 is "unknown" for folders: tools then don't count subfolders by it.
        reply.st_nlink = 1 if attr.is_linked else 0
        reply.st_uid, reply.st_gid = self._uid, self._gid
        reply.st_size = attr.size_bytes
        reply.st_blksize = _WRITE_BYTES if attr.in_spool else _IO_BYTES
        reply.st_blocks = -(-attr.size_bytes // _BLOCK_BYTES)
        reply.st_mtime_ns = reply.st_ctime_ns = attr.mtime_ns
        reply.st_atime_ns = attr.atime_ns
        reply.entry_timeout = max(attr.ttl_s, 1.0)
        reply.attr_timeout = attr.ttl_s
        return reply


def no_entry(ttl_s: float) -> pyfuse3.EntryAttributes:
    """A name that doesn't exist, which the kernel may believe for *ttl_s*."""
    reply = pyfuse3.EntryAttributes()
    reply.st_ino = 0
    reply.entry_timeout = ttl_s
    return reply


def space(value: Space) -> pyfuse3.StatvfsData:
    reply = pyfuse3.StatvfsData()
    reply.f_bsize = reply.f_frsize = _SPACE_UNIT_BYTES
    reply.f_blocks = value.total_bytes // _SPACE_UNIT_BYTES
    reply.f_bfree = reply.f_bavail = value.free_bytes // _SPACE_UNIT_BYTES
    reply.f_files = reply.f_ffree = reply.f_favail = 0
    reply.f_namemax = NAME_BYTES_MAX
    return reply
