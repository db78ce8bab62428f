"""What hosts offer beyond files and folders: the calls that commands make, and their values.

The same shapes for both families. Every member a host doesn't tell is None or "".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from vidfs.hosts.api import RemoteFile
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

    def describe(self) -> str:
        """`ENCODING h 15 %`"""
        progress = "" if self.progress is None else f"{self.progress * 100:.0f} %"
        return " ".join(filter(None, (self.status, self.quality, progress)))


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


class Extras(Protocol):
    """Calls beyond `VideoHost`. No client has them all: `Capabilities` says which there are.

    Where a family's call takes more than the other's, the other's lacks the parameter; whoever
    calls asks for that first. Errors: as `VideoHost`.
    """

    async def account_stats(self, last_days: int | None = None) -> Sequence[StatsDay]: ...

    async def search_files(self, title: str) -> Sequence[RemoteFile]: ...

    async def list_files(
        self,
        *,
        folder: FolderId | None = None,
        title: str | None = None,
        public: bool | None = None,
        adult: bool | None = None,
        created: str | None = None,
    ) -> Sequence[RemoteFile]: ...

    async def clone_file(
        self, code: FileCode, *, title: str | None = None, folder: FolderId | None = None
    ) -> FileCode: ...

    async def add_remote_upload(
        self, url: str, *, folder: FolderId | None = None, **more: Any
    ) -> RemoteUpload:
        """*more*: `options`, `headers`, `name` where the family's call takes them."""

    async def list_remote_uploads(self, job: str | None = None) -> RemoteUploads: ...

    async def retry_remote_uploads(self) -> None: ...

    async def cancel_remote_uploads(self, jobs: Sequence[str] | None = None) -> None: ...

    async def clear_remote_errors(self) -> None: ...

    async def list_deleted(self, last_hours: int | None = None) -> Sequence[DeletedFile]: ...

    async def list_dmca(self, last_hours: int | None = None) -> Sequence[DmcaFile]: ...

    async def list_encodings(self, code: FileCode | None = None) -> Sequence[Encoding]: ...

    async def convert_file(self, code: FileCode) -> None: ...
