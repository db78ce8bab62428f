"""What the rest of vidfs knows about a video host.

Owns the values that cross the boundary and the `VideoHost` protocol that every family
client meets by shape. Knows no HTTP, no inode, no path, no errno.

Deadlines belong to the caller: every method that crosses the network obeys the enclosing
trio cancel scope, and retries only while the scope leaves time for it. Without a deadline
a call is given up after the transport's own total.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from vidfs.types import FileCode, FolderId


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What one account's host can do. A missing ability is `False` or `None`, never a guess.

    Declared by the dialect's record; optional modules are probed once (`VideoHost.probe`)
    and narrow the record down.
    """

    # namespace
    create_folder: bool
    rename_folder: bool
    move_folder: bool
    delete_folder: bool
    rename_file: bool
    move_file: bool
    delete_file: bool
    list_folders: bool = True
    """False: folders are known by the ids that files name, and their names by nobody."""
    # content
    read_content: bool  # an API call leads to the file's bytes
    stores_any_file: bool  # False: video files only
    accepted_extensions: frozenset[str] | None  # lower case, no dot; None: no list is published
    keeps_content: bool  # False: an upload may be transcoded, which changes size and bytes
    # uploads
    upload_into_folder: bool  # False: uploads land in the root and are moved
    upload_title: bool  # the upload itself can set the title
    upload_hash: Literal["sha1", "sha256"] | None  # hash that the host checks on arrival
    upload_bytes_max: int | None  # None: the host's document names no limit
    # listings
    listing_sizes: bool
    listing_hash: Literal["sha1"] | None
    list_new_files: bool  # can say what was uploaded since a time, over the whole account
    info_batch_max: int  # codes that one file/info call answers
    info_sizes: bool  # file/info tells sizes
    # everything else
    quota: bool
    clone: bool
    clone_sets: frozenset[str] = frozenset()
    """Of "title" and "folder": what the clone call sets by itself. Without them a clone lands
    in the root, under the title of what it was made of."""
    edit_fields: frozenset[str] = frozenset()  # of: public adult tags category description
    remote_upload: bool = False
    remote_upload_status: bool = False
    search: bool = False
    stats: bool = False
    encodings: bool = False
    convert: bool = False
    deleted_list: bool = False
    dmca_list: bool = False
    thumbnails: bool = False
    player_params: frozenset[str] = frozenset()
    """Parameters that the address of its player takes: c1_file, subtitle_json, c_poster …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFolder:
    folder: FolderId
    name: str  # as the host has it; "" where it can't be asked (`Capabilities.list_folders`)
    parent: FolderId | None = None  # None: the listing it stands in says it


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file as a host describes it. `None`: this answer doesn't say."""

    code: FileCode
    title: str  # as the host has it
    folder: FolderId | None = None
    size_bytes: int | None = None
    uploaded_at: float | None = None  # Unix seconds; the host's clock offset is taken out
    sha1: str | None = None  # lower-case hex
    length_s: float | None = None
    can_play: bool | None = None
    readable: bool = True  # False: blocked, suspended or broken at the host; 0 bytes shown
    status: str = ""  # the host's own word, where it is not plain "fine"
    extra: Mapping[str, str] = field(default_factory=dict)
    """Everything else worth showing, by the names of the extended attributes:
    link, embed, download, thumbnail, views, public, adult, premium_only, category, tags,
    description, encoding, uploaded …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All of one folder at one moment."""

    folder: FolderId
    folders: Sequence[RemoteFolder]
    files: Sequence[RemoteFile]
    requested_at: float  # Unix seconds, before the first request for it left
    folders_complete: bool = True
    """False: the host can't list folders. Those known stay where they are; `folders` holds, in
    the root's listing, those that files anywhere lie in, without names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountInfo:
    login: str = ""
    email: str = ""
    storage_used_bytes: int | None = None
    storage_left_bytes: int | None = None  # None: unlimited or not said
    premium_until: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadLink:
    """A direct address of a file's bytes. Not for eyes or logs: it works without the key."""

    url: str = field(repr=False)
    size_bytes: int | None = None
    expires_at: float | None = None  # Unix seconds; None: not said


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions:
    """What a new file gets beside title and folder; ignored where the host can't."""

    public: bool | None = None
    adult: bool | None = None
    category: str | None = None
    tags: Sequence[str] = ()
    description: str | None = None

    def to_fields(self) -> dict[str, str]:
        """What is set, for `edit_file`."""
        values = {
            "public": None if self.public is None else str(int(self.public)),
            "adult": None if self.adult is None else str(int(self.adult)),
            "category": self.category,
            "tags": ", ".join(self.tags) or None,
            "description": self.description,
        }
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadBody:
    """Bytes to be sent: a file on disk that nobody changes meanwhile."""

    path: Path
    size_bytes: int
    sha1: str | None = None
    sha256: str | None = None
    on_progress: Callable[[int], None] = lambda sent_bytes: None  # total so far, this attempt
    throttle: Callable[[int], Awaitable[None]] | None = None  # waits until n more bytes may go


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadReceipt:
    code: FileCode
    title: str | None = None  # as the host took it, where it says
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ContentStamp:
    """What a server says of a file's version: its ETag or date."""

    server: str  # one server's mark says nothing about another's
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the account's calls may go, and do."""

    calls_last_minute: int = 0
    limit_per_s: float | None = None  # learnt from refusals, or the user's; None: none known
    pause_s: float = 0.0  # so long the host wants no calls at all


class ByteStream(Protocol):
    """The body of one ranged request, from `start_byte` on."""

    @property
    def start_byte(self) -> int:
        """Where the first chunk really begins: 0 if the server ignored the range."""

    @property
    def total_bytes(self) -> int | None:
        """Size of the whole file, where the server says."""

    @property
    def stamp(self) -> ContentStamp | None:
        """The file's version, where the server says."""

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        """What is yielded is good until the next checkpoint."""
        ...


class VideoHost(Protocol):
    """An account on a video host.

    Errors: only `HostError` subclasses and `AbilityError` leave these methods.
    """

    @property
    def name(self) -> str:
        """The host as a person calls it ("vipstream"), for messages."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def root(self) -> FolderId:
        """The folder id that stands for the account's root in every method here."""

    @property
    def calls(self) -> Mapping[str, int]:
        """API calls made so far, by name ("file/list": 3), retries included."""

    @property
    def pace(self) -> Pace: ...

    @property
    def clock_offset_s(self) -> float:
        """Seconds that the host's own times are ahead of Unix time, as far as learnt."""

    async def probe(self) -> Capabilities:
        """Ask which optional modules the installation has; changes `capabilities` to that.

        Starts from what the host's record declares, whatever was found before.
        """

    def restore(self, capabilities: Capabilities) -> None:
        """Instead of `probe`: what an earlier one found. Nothing is asked."""

    async def account_info(self) -> AccountInfo: ...

    async def list_folder(self, folder: FolderId) -> Listing:
        """Everything in *folder* now, all pages. Errors: HostNotFoundError."""

    async def list_new_files(self, since: float) -> Sequence[RemoteFile]:
        """Files uploaded after *since* (Unix seconds), over the whole account."""

    async def file_info(self, codes: Sequence[FileCode]) -> Mapping[FileCode, RemoteFile]:
        """Any number of codes, in batches. A code the host doesn't know is left out."""

    async def find_size(self, code: FileCode) -> int | None:
        """Size of the file's content by whatever single call tells it; None: nothing does."""

    async def create_folder(self, parent: FolderId, name: str) -> FolderId:
        """Never repeated blindly: after an unknown outcome the parent is listed."""

    async def edit_folder(
        self, folder: FolderId, *, name: str | None = None, parent: FolderId | None = None
    ) -> None: ...

    async def delete_folder(self, folder: FolderId) -> None:
        """May take the files inside with it: callers make sure that it is empty."""

    async def edit_file(
        self,
        code: FileCode,
        *,
        title: str | None = None,
        folder: FolderId | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """Change what is given, in one call where the host can.

        *fields*: of `Capabilities.edit_fields`.
        """

    async def delete_file(self, code: FileCode) -> None: ...

    async def clone_file(
        self, code: FileCode, *, title: str | None = None, folder: FolderId | None = None
    ) -> FileCode:
        """A second file with the same content. Never repeated blindly.

        Errors: AbilityError; OutcomeUnknownError: look whether it is there before asking again.
        """

    async def begin_clone(self, code: FileCode, *, title: str, folder: FolderId) -> FileCode:
        """The one call of `clone_file`: of title and folder only `Capabilities.clone_sets`."""

    async def upload(
        self, body: UploadBody, *, folder: FolderId, title: str, options: UploadOptions
    ) -> UploadReceipt:
        """One attempt on a fresh upload server; never repeated in here.

        Errors: UploadNodeError (not stored, try again), OutcomeUnknownError (may be stored),
        UploadRefusedError, QuotaError … (permanent).
        """

    async def open_link(self, code: FileCode) -> DownloadLink:
        """A fresh direct link, waiting times waited for. Errors: ContentAbilityError."""

    def open_stream(
        self, link: DownloadLink, start_byte: int, stop_byte: int | None = None
    ) -> AbstractAsyncContextManager[ByteStream]:
        """Ranged GET on *link*. Errors: HostNotFoundError or AccessDeniedError when the link
        is no longer good (ask for a new one); TransientHostError."""

    async def find_thumbnail(self, code: FileCode) -> str | None:
        """Address of the host's picture of a file, by a call of its own; None: it has none."""

    async def find_encoding(self, code: FileCode) -> str:
        """How far the conversions of a file are, in words, by a call of its own; "": none."""

    async def aclose(self) -> None: ...
