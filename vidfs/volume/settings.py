"""What a mount can be told, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from vidfs.hosts.api import Pace, UploadOptions
from vidfs.tree.names import DEFAULT_SCRATCH
from vidfs.types import Inode, NodeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSettings:
    """From the mount options and the account's configuration (README, "Options")."""

    read_only: bool = False
    upload_on_close: bool = False  # `upload=close`
    uploads_max: int = 4
    bwlimit_bytes_s: float | None = None
    dir_ttl_s: float = 60.0
    dir_stale_s: float = 600.0
    sizes: Literal["content", "uploaded"] = "content"
    cache_size_bytes: int = 10 << 30
    delete_deny: bool = False
    scratch: Sequence[str] = DEFAULT_SCRATCH
    other_files: Literal["reject", "local", "upload"] = "reject"
    default_extension: str = "mp4"
    accepted_extensions: frozenset[str] | None = None  # None: what the host's record says
    upload_options: UploadOptions = field(default_factory=UploadOptions)
    uid: int = 0
    gid: int = 0
    umask: int = 0o022
    source_folder: str = ""  # path below the root that is mounted, "" for all
    mountpoint: str = ""  # absolute
    thumbnail_dir: Path | None = None  # where thumbnails go, with `thumbnails`


class Attr(NamedTuple):
    """What `stat` shows."""

    inode: Inode
    kind: NodeKind
    size_bytes: int
    mtime_ns: int
    atime_ns: int
    ttl_s: float  # how long the kernel may believe it; changes are told it
    in_spool: bool  # its bytes are on this machine, and may be written at once
    is_linked: bool = True  # it has a name; without one it lives as long as it is open


@dataclass(frozen=True, slots=True)
class Space:
    """What `statfs` shows, in bytes."""

    total_bytes: int
    free_bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class UploadStatus:
    path: str
    state: str
    sent_bytes: int
    size_bytes: int
    attempts: int
    reason: str
    bytes_s: float  # of the attempt under way


@dataclass(frozen=True, slots=True)
class ReadStatus:
    """A file that is open and read from the host, or from the cache."""

    path: str
    held_bytes: int  # in the cache
    size_bytes: int
    streams: int  # downloads under way, read-ahead included


@dataclass(frozen=True, slots=True)
class VolumeStatus:
    pending: int
    parked: int
    uploads: Sequence[UploadStatus] = ()
    api_calls: Mapping[str, int] = field(default_factory=dict)
    cache_bytes: int = 0
    reads: Sequence[ReadStatus] = ()
    pace: Pace = field(default_factory=Pace)
    spool_bytes: int = 0
    host: str = ""
    note: str = ""  # "mounted from the catalogue: …"
    local_files: Sequence[str] = ()  # paths of files that stay here for their names
