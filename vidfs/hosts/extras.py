"""What hosts offer beyond files and folders: values of the calls that commands show.

The same shapes for both families. Every member a host doesn't tell is None or "".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vidfs.types import FileCode, FolderId


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsDay:
    """One day of an account's statistics. *values*: views, downloads, profit_total …"""

    day: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedFile:
    code: FileCode
    title: str
    deleted_at: float | None  # Unix seconds
    deleted_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DmcaFile:
    """A file that a rights holder has reported, and when it goes (or went)."""

    code: FileCode
    delete_at: float | None  # Unix seconds
    delete_in_s: float | None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """One conversion that is under way, waiting or failed."""

    code: FileCode
    name: str
    status: str  # the host's word
    progress: float | None  # 0 … 1
    quality: str = ""
    link: str = ""
    job: str = ""  # the host's id of the conversion
    retries: int | None = None
    updated: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteUpload:
    """A file that the host fetches by itself."""

    job: str  # the host's id of it: a number (OpenLoad) or the coming file code (XVS)
    url: str
    status: str  # the host's word
    code: FileCode | None = None  # of the file, once there is one
    folder: FolderId | None = None
    progress: float | None = None  # 0 … 1
    loaded_bytes: int | None = None
    total_bytes: int | None = None
    added: str = ""
    updated: str = ""
    error: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteUploads:
    uploads: tuple[RemoteUpload, ...]
    requests_available: int | None = None  # how many more the account may ask for


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """The promise of a download, good after a while."""

    ticket: str
    wait_s: float
    captcha_url: str = ""
    valid_until: str = ""
