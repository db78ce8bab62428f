"""An account without a mount: what is at the host, under the names that a mount shows.

Owns the way from a `Place` to the host's folders and files and back. Prints nothing, knows no
command. `run_with_account` is the door: it opens the account, runs what the command wants and
closes it again.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import trio

from vidfs.app.accounts import naming_account, open_account, recall_abilities
from vidfs.app.demo import embedded_host
from vidfs.app.keys import fetch_key, without_keys
from vidfs.app.logs import Redactor
from vidfs.app.mounts import find_daemon_info, find_lock_holder
from vidfs.app.places import Place
from vidfs.config import (
    Account,
    Config,
    Directories,
    MountOptions,
    parse_source,
)
from vidfs.control import ask
from vidfs.errors import (
    AbilityError,
    CallMissingError,
    HostNotFoundError,
    IsFolderError,
    NotFolderError,
    NotFoundError,
    UsageError,
    VidfsError,
)
from vidfs.hosts import HOSTS
from vidfs.hosts.api import Listing, RemoteFile, RemoteFolder, VideoHost
from vidfs.hosts.extras import Extras
from vidfs.hosts.openload_records import OpenloadDialect
from vidfs.hosts.parallel import run_parallel
from vidfs.hosts.xvs_records import XvsDialect
from vidfs.tree.merge import TRASH_FOLDER, TRASH_PREFIX
from vidfs.tree.names import Titled, assign_names, fitted, shown_name, with_extension
from vidfs.tree.node import Node
from vidfs.tree.store import Store, Trashed
from vidfs.types import ROOT_INODE, FileCode, FolderId, NodeKind

T = TypeVar("T")

LISTINGS_PARALLEL = 32
SIZES_ASKED_MAX = 200
"""Where a host tells sizes file by file only, no more than so many are asked for."""

_REFRESH_DEADLINE_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A folder or file at the host, as a mount would show it."""

    name: str  # "" for the account's root
    path: str  # what the user may write for it
    parts: tuple[str, ...]  # names below the account's root
    folder: FolderId  # a folder's own; of a file, the folder's it lies in
    title: str = ""  # as the host has it
    file: RemoteFile | None = None  # None: a folder

    @property
    def kind(self) -> NodeKind:
        return NodeKind.FOLDER if self.file is None else NodeKind.FILE

    @property
    def code(self) -> FileCode:
        """Of a file. Errors: IsFolderError."""
        return self.get_file().code

    def get_file(self) -> RemoteFile:
        if self.file is None:
            raise IsFolderError(f"{self.path} is a folder")
        return self.file

    @property
    def size_bytes(self) -> int | None:
        return None if self.file is None else self.file.size_bytes

    def child_path(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"


class Names:
    """What the account's catalogue knows of names; empty where there never was a mount."""

    def __init__(self, state_dir: Path) -> None:
        self._store: Store | None = None
        catalogue = state_dir / "catalogue.sqlite"
        if catalogue.exists():
            # A catalogue that can't be read is the mount's affair: here it means default names.
            with suppress(VidfsError):
                self._store = Store(catalogue, read_only=True)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def load_entries(self, folder: FolderId, *, is_root: bool) -> Sequence[Node]:
        """What the catalogue has in *folder*."""
        if self._store is None:
            return ()
        if is_root:
            return self._store.load_children(ROOT_INODE)
        inode = self._store.find_inode_by_remote(NodeKind.FOLDER, folder)
        return () if inode is None else self._store.load_children(inode)

    def load_trash(self) -> Sequence[Trashed]:
        return () if self._store is None else self._store.load_trash()

    def find_parts(self, kind: NodeKind, remote: str) -> tuple[str, ...] | None:
        """Names from the root down to *remote*, where the catalogue has it."""
        if self._store is None:
            return None
        inode = self._store.find_inode_by_remote(kind, remote)
        parts: list[str] = []
        while inode is not None and inode != ROOT_INODE and len(parts) < 1000:
            node = self._store.load_node(inode)
            if node is None:
                return None
            parts.append(node.name)
            inode = node.parent
        return tuple(reversed(parts)) if inode is not None else None


class RemoteAccount:
    """An open account, asked directly."""

    def __init__(self, account: Account, host: VideoHost, state_dir: Path) -> None:
        self.account = account
        self.host = host
        self.state_dir = state_dir
        self.names = Names(state_dir)
        extension = "mp4" if account.default_extension is None else account.default_extension
        self.default_extension = "" if host.capabilities.stores_any_file else extension
        self.touched: set[tuple[str, ...]] = set()
        """Folders that changed: a mount is told to look at them."""

    # --- abilities ---------------------------------------------------------------------

    @property
    def dialect(self) -> XvsDialect | OpenloadDialect:
        """What the host's calls take."""
        return HOSTS[self.account.host].dialect

    def extras(self, able: bool, method: str, what: str) -> Extras:
        """The host's further calls, if it can *what*. Errors: AbilityError, naming the host."""
        if not able or not hasattr(self.host, method):
            raise AbilityError(f"{self.host.name} can't {what}")
        return cast("Extras", self.host)

    def takes(self, method: str, parameter: str) -> bool:
        """Whether the family's *method* has *parameter*."""
        found = getattr(self.host, method, None)
        return found is not None and parameter in inspect.signature(found).parameters

    def accepted(self, method: str, **wanted: Any) -> dict[str, Any]:
        """Those of *wanted* that the family's *method* takes."""
        return {name: value for name, value in wanted.items() if self.takes(method, name)}

    # --- from places to entries ----------------------------------------------------------

    @property
    def root(self) -> Entry:
        return Entry(name="", path=f"{self.account.name}:/", parts=(), folder=self.host.root)

    async def find(self, place: Place) -> Entry:
        """What is at *place*. Errors: NotFoundError, HostError."""
        if place.is_mount:
            return self._find_mounted(place)
        entry = self.root
        for part in place.parts:
            found = None
            if entry.file is None:
                entries = await self.list_entries(entry)
                found = next((one for one in entries if one.name == part), None)
            if found is None:
                raise NotFoundError(f"{place.text}: no such file or folder")
            entry = found
        return entry

    async def find_folder(self, place: Place) -> Entry:
        """Errors: as `find`; NotFolderError."""
        entry = await self.find(place)
        if entry.file is not None:
            raise NotFolderError(f"{place.text} is not a folder")
        return entry

    async def find_target(self, place: Place) -> tuple[Entry, str | None]:
        """The folder that *place* is, or the one it would be in, and then its new name."""
        with suppress(NotFoundError):
            found = await self.find(place)
            if found.file is None:
                return found, None
            raise UsageError(f"{place.text} exists")
        return await self.find_folder(place.parent()), place.name

    def _find_mounted(self, place: Place) -> Entry:
        if place.mounted is None:
            raise NotFoundError(f"{place.text}: no such file or folder")
        known = dict(place.mounted.attributes)
        folder = FolderId(known.pop("folder_id", "")) or self.host.root
        entry = Entry(name=place.name, path=place.text, parts=place.parts, folder=folder)
        if place.mounted.is_folder:
            return entry
        code, upload = known.pop("code", ""), known.pop("upload", "")
        if not code:
            raise NotFoundError(f"{place.text} is not at the host yet ({upload or 'local'})")
        title = known.pop("title", "")
        sha1, length, can_play = (known.pop(n, None) for n in ("sha1", "length_s", "can_play"))
        file = RemoteFile(
            code=FileCode(code),
            title=title,
            folder=folder,
            sha1=sha1,
            length_s=float(length) if length else None,
            can_play=None if can_play is None else can_play == "1",
            status=known.pop("status", ""),
            extra=known,
        )
        return replace(entry, title=title, file=file)

    # --- listings --------------------------------------------------------------------------

    async def list_entries(self, folder: Entry) -> list[Entry]:
        """All of *folder* but the trash, by the mount's rules, folders first, by name."""
        listing = await self.host.list_folder(folder.folder)
        return self.name_listing(folder, listing)

    def name_listing(
        self, folder: Entry, listing: Listing, *, with_trash: bool = False
    ) -> list[Entry]:
        """*listing* as entries of *folder*, sorted. *with_trash*: what was trashed, too."""
        is_root = listing.folder == self.host.root
        folders = {
            f.folder: f
            for f in listing.folders
            if with_trash or not is_trash_name(f.name, at_root=is_root)
        }
        files = {
            f.code: f
            for f in listing.files
            if f.folder in (None, listing.folder)
            and (with_trash or not f.title.startswith(TRASH_PREFIX))
        }
        known = self.names.load_entries(listing.folder, is_root=is_root)
        if not listing.folders_complete:
            folders = self._known_folders(known, folders)
        remotes: list[RemoteFolder | RemoteFile] = [*folders.values(), *files.values()]
        names = assign_names(_to_titled(remotes, known), default_extension=self.default_extension)
        entries = [
            Entry(
                name=names[key],
                path=folder.child_path(names[key]),
                parts=(*folder.parts, names[key]),
                folder=remote.folder if isinstance(remote, RemoteFolder) else listing.folder,
                title=remote.name if isinstance(remote, RemoteFolder) else remote.title,
                file=None if isinstance(remote, RemoteFolder) else remote,
            )
            for key, remote in enumerate(remotes)
        ]
        return sorted(entries, key=lambda e: (e.kind, e.name.casefold(), e.name))

    def _known_folders(
        self, known: Sequence[Node], told: Mapping[FolderId, RemoteFolder]
    ) -> dict[FolderId, RemoteFolder]:
        """A folder's folders where the host tells numbers without names or places: those of
        the catalogue, and such numbers as it has nowhere."""
        found = {
            FolderId(node.remote): RemoteFolder(folder=FolderId(node.remote), name=node.title)
            for node in known
            if node.is_folder and node.remote is not None
        }
        for number, folder in told.items():
            if self.names.find_parts(NodeKind.FOLDER, number) is None:
                found.setdefault(number, folder)
        return found

    async def walk(
        self,
        top: Entry,
        *,
        depth: int | None = None,
        on_listed: Callable[[int], None] = lambda folders: None,
        list_one: Callable[[Entry], Awaitable[list[Entry]]] | None = None,
    ) -> dict[FolderId, list[Entry]]:
        """Every folder's entries from *top* down, by folder id; listed in parallel.

        *depth*: levels of folders listed, None for all. A folder that goes meanwhile is left
        out. Errors: HostError.
        """
        found: dict[FolderId, list[Entry]] = {}
        failures: list[VidfsError] = []
        places = trio.CapacityLimiter(LISTINGS_PARALLEL)
        list_one = list_one or self.list_entries

        async def visit(folder: Entry, level: int) -> None:
            if folder.folder in found:
                return
            found[folder.folder] = []
            try:
                async with places:
                    found[folder.folder] = entries = await list_one(folder)
            except HostNotFoundError as error:
                if folder is top:
                    failures.append(error)
                return
            except VidfsError as error:
                failures.append(error)
                nursery.cancel_scope.cancel()
                return
            on_listed(len(found))
            if depth is None or level < depth:
                for entry in entries:
                    if entry.file is None:
                        nursery.start_soon(visit, entry, level + 1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(visit, top, 1)
        if failures:
            raise failures[0]
        return found

    async def list_files(self, entry: Entry) -> list[Entry]:
        """*entry* if it is a file, else all files from it down, in order of their paths."""
        if entry.file is not None:
            return [entry]
        tree = await self.walk(entry)
        return [one for one in flatten(entry, tree) if one.file is not None]

    def place_files(self, files: Sequence[RemoteFile], inside: Entry) -> list[Entry]:
        """Entries of *files* found anywhere in the account, or in *inside*, by name.

        `path` is "" where neither the catalogue nor *inside* tells which folder that is.
        """
        entries = []
        for file in files:
            folder = file.folder or inside.folder
            parts = self.names.find_parts(NodeKind.FILE, file.code)
            if parts is None:
                name = shown_name(file.title, file.code)
                above = self.find_folder_parts(folder, inside)
                name = fitted(with_extension(name, self.default_extension), file.code)
                parts = None if above is None else (*above, name)
            else:
                name = parts[-1]
            path = "" if parts is None else f"{self.account.name}:/{'/'.join(parts)}"
            entries.append(
                Entry(
                    name=name,
                    path=path,
                    parts=parts or (name,),
                    folder=folder,
                    title=file.title,
                    file=file,
                )
            )
        return sorted(entries, key=lambda e: (e.path.casefold(), e.name.casefold(), e.code))

    def find_folder_parts(self, folder: FolderId, known: Entry) -> tuple[str, ...] | None:
        """Names down to *folder*, without asking the host."""
        if folder == self.host.root:
            return ()
        if folder == known.folder:
            return known.parts
        return self.names.find_parts(NodeKind.FOLDER, folder)

    # --- more than listings say ------------------------------------------------------------

    async def describe(self, entries: Sequence[Entry]) -> list[Entry]:
        """*entries* with all that file/info tells of the files, in batches."""
        codes = [entry.file.code for entry in entries if entry.file is not None]
        found = await self.host.file_info(codes) if codes else {}
        return [_with_info(entry, found) for entry in entries]

    async def fill_sizes(self, entries: Sequence[Entry]) -> list[Entry]:
        """*entries* with sizes: from the catalogue, else asked for where the host tells them."""
        can = self.host.capabilities
        sizes = self._load_sizes(entries)
        lacking = [
            entry.file.code
            for entry in entries
            if entry.file is not None
            and entry.file.size_bytes is None
            and entry.file.readable
            and entry.file.code not in sizes
        ]
        if lacking and can.info_sizes:
            found = await self.host.file_info(lacking)
            sizes |= {code: f.size_bytes for code, f in found.items() if f.size_bytes is not None}
        lacking = [code for code in lacking if code not in sizes]
        if can.read_content and 0 < len(lacking) <= SIZES_ASKED_MAX:
            asked = await run_parallel([partial(self._find_size, code) for code in lacking])
            sizes |= {c: s for c, s in zip(lacking, asked, strict=True) if s is not None}
        return [
            replace(entry, file=replace(entry.file, size_bytes=sizes[entry.file.code]))
            if entry.file is not None and entry.file.size_bytes is None and entry.file.code in sizes
            else entry
            for entry in entries
        ]

    def _load_sizes(self, entries: Sequence[Entry]) -> dict[FileCode, int]:
        sizes: dict[FileCode, int] = {}
        for folder in {entry.folder for entry in entries if entry.file is not None}:
            for node in self.names.load_entries(folder, is_root=folder == self.host.root):
                if node.remote and node.kind is NodeKind.FILE and node.size_bytes:
                    sizes[FileCode(node.remote)] = node.size_bytes
        return sizes

    async def _find_size(self, code: FileCode) -> int | None:
        try:
            return await self.host.find_size(code)
        except HostNotFoundError:
            return None

    # --- after changes ---------------------------------------------------------------------

    def note_change(self, *folders: Sequence[str]) -> None:
        """The folders with these parts look different now."""
        self.touched.update(tuple(parts) for parts in folders)

    async def settle(self, folders: Iterable[tuple[str, ...]]) -> None:
        """Have a running mount see *folders* as they are before a change.

        Else the mount takes the change for what the host made of its own last one.
        """
        await trio.to_thread.run_sync(self._tell_mount, set(folders))

    async def tell_changes(self) -> None:
        """Have a running mount of the account look at what changed. Never fails."""
        await trio.to_thread.run_sync(self._tell_mount, self.touched)

    def _tell_mount(self, folders: set[tuple[str, ...]]) -> None:
        if not folders:
            return
        info = find_daemon_info(self.state_dir)
        if info is None or find_lock_holder(self.state_dir) is None:
            self._tell_next_mount(folders)
            return
        with suppress(VidfsError, OSError):
            top = tuple(filter(None, parse_source(info.source).folder.split("/")))
            for parts in sorted(folders):
                if parts[: len(top)] == top:
                    path = "/" + "/".join(parts[len(top) :])
                    ask(self.state_dir, "refresh", path=path, timeout_s=_REFRESH_DEADLINE_S)

    def _tell_next_mount(self, folders: set[tuple[str, ...]]) -> None:
        catalogue = self.state_dir / "catalogue.sqlite"
        if catalogue.exists():
            with suppress(VidfsError, OSError), closing(Store(catalogue)) as store:
                for parts in folders:
                    store.note_changed(parts)


def is_trash_name(name: str, *, at_root: bool) -> bool:
    """Whether a folder of this name is, or lies in, the trash."""
    return name.startswith(TRASH_PREFIX) or (at_root and name == TRASH_FOLDER)


def flatten(top: Entry, tree: Mapping[FolderId, Sequence[Entry]]) -> Iterator[Entry]:
    """All entries below *top*, each folder before what is in it."""
    seen: set[FolderId] = set()

    def below(folder: Entry) -> Iterator[Entry]:
        if folder.folder in seen:
            return
        seen.add(folder.folder)
        for entry in tree.get(folder.folder, ()):
            yield entry
            if entry.file is None:
                yield from below(entry)

    yield from below(top)


def _to_titled(
    remotes: Sequence[RemoteFolder | RemoteFile], known: Iterable[Node]
) -> Iterator[Titled]:
    """*remotes* by their place, and what is only here so far, whose names are taken."""
    nodes: dict[tuple[NodeKind, str], Node] = {}
    for count, node in enumerate(known, 1):
        if node.remote is not None:
            nodes[node.kind, node.remote] = node
        elif node.given is not None:
            yield Titled(
                key=-count,
                kind=node.kind,
                title=node.title,
                remote_id=str(node.inode),
                given=node.given,
            )
    for key, remote in enumerate(remotes):
        if isinstance(remote, RemoteFolder):
            kind, title, remote_id = NodeKind.FOLDER, remote.name, str(remote.folder)
            uploaded_at = None
        else:
            kind, title, remote_id = NodeKind.FILE, remote.title, str(remote.code)
            uploaded_at = remote.uploaded_at
        node_known = nodes.get((kind, remote_id))
        given = None
        if node_known is not None:
            # A title that changed elsewhere ends a given name, as it does in a mount.
            is_ours = node_known.unsettled_since is not None
            given = node_known.given if is_ours or node_known.title == title else None
            uploaded_at = node_known.uploaded_at or uploaded_at
        yield Titled(
            key=key,
            kind=kind,
            title=title,
            remote_id=remote_id,
            uploaded_at=uploaded_at,
            given=given,
        )


def _with_info(entry: Entry, found: Mapping[FileCode, RemoteFile]) -> Entry:
    file = entry.file
    info = found.get(file.code) if file is not None else None
    if file is None or info is None:
        return entry
    return replace(
        entry,
        title=info.title or entry.title,
        file=replace(
            info,
            title=info.title or file.title,
            folder=info.folder or file.folder,
            size_bytes=file.size_bytes if info.size_bytes is None else info.size_bytes,
            uploaded_at=info.uploaded_at or file.uploaded_at,
            sha1=info.sha1 or file.sha1,
            length_s=file.length_s if info.length_s is None else info.length_s,
            can_play=file.can_play if info.can_play is None else info.can_play,
            readable=info.readable and file.readable,
            status=info.status or file.status,
            extra={**file.extra, **info.extra},
        ),
    )


# ------------------------------------------------------------------------------- the door


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What opening an account needs of the process it runs in."""

    config: Config
    directories: Directories
    environ: Mapping[str, str]
    redactor: Redactor = field(default_factory=Redactor)


def run_with_account(
    around: Surroundings, place: Place, body: Callable[[RemoteAccount], Awaitable[T]]
) -> T:
    """Open the account of *place*, run *body* with it, close it; what *body* returns.

    The account `demo` gets its simulated host: a running mount's, else one for so long.
    Errors: ConfigError, AbilityError, HostError (naming the account), what *body* raises.
    """
    account = around.config.get_account(place.account)
    state_dir = place.state_dir or around.directories.state_dir(account.name)
    with ExitStack() as stack:
        if account.is_demo:
            environ = without_keys(around.environ)
            account = stack.enter_context(embedded_host(account, state_dir, environ, owner=False))
            assert account.key is not None
            key = account.key
        else:
            key = fetch_key(account, around.environ)
        around.redactor.add(key)
        stack.enter_context(_plain_interrupt())

        async def main() -> T:
            host = await open_account(account, key, MountOptions())
            recall_abilities(host, state_dir)
            remote = RemoteAccount(account, host, state_dir)
            try:
                with _naming_missing_calls(host), naming_account(account):
                    return await body(remote)
            finally:
                remote.names.close()
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
                    await host.aclose()
                if remote.touched:
                    await remote.tell_changes()

        return trio.run(main)


@contextmanager
def _naming_missing_calls(host: VideoHost) -> Iterator[None]:
    try:
        yield
    except CallMissingError as error:
        raise AbilityError(f"{host.name} can't do this: it has no {error.call}") from None


@contextmanager
def _plain_interrupt() -> Iterator[None]:
    """Ctrl-C inside a nursery comes wrapped."""
    try:
        yield
    except BaseExceptionGroup as group:
        if group.split(KeyboardInterrupt)[1] is None:
            raise KeyboardInterrupt from None
        raise
