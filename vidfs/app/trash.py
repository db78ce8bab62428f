"""What was deleted where the host can't delete: looking at it, bringing it back, ending it.

The volume puts it there (`volume/trash.py`): into the folder `vidfs trash` at the root, or
under the prefix `vidfs-trash~` where it was. The catalogue remembers where it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from vidfs.app.remote import Entry, RemoteAccount
from vidfs.errors import AbilityError, HostNotFoundError
from vidfs.hosts.api import VideoHost
from vidfs.hosts.parallel import run_parallel
from vidfs.tree.merge import MOVED_PREFIX, TRASH_FOLDER, TRASH_PREFIX
from vidfs.tree.names import decorated, title_for_rename
from vidfs.tree.store import Store, Trashed
from vidfs.types import FolderId, NodeKind

Key = tuple[NodeKind, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashEntry:
    entry: Entry  # as it lies in the trash
    name: str  # as it was shown, or as near as can be told
    title: str  # as the host had it
    folder: FolderId | None  # where it was; None: not known
    folder_path: str  # for people: "/Films"; "" where not known
    deleted_at: float | None  # Unix seconds
    is_prefixed: bool  # it never left its folder

    @property
    def key(self) -> Key:
        return key_of(self.entry)


def key_of(entry: Entry) -> Key:
    remote = str(entry.folder) if entry.file is None else str(entry.file.code)
    return entry.kind, remote


async def list_trash(remote: RemoteAccount) -> list[TrashEntry]:
    """What lies in the trash, the newest first.

    A host where nothing can be moved has it all over the account: then every folder is listed.
    """
    rows = _load_rows(remote)
    root = remote.root
    listing = await remote.host.list_folder(root.folder)
    top = remote.name_listing(root, listing, with_trash=True)
    found: list[TrashEntry] = []
    for bin_ in (e for e in top if e.file is None and e.title == TRASH_FOLDER):
        held = await remote.host.list_folder(bin_.folder)
        entries = remote.name_listing(bin_, held, with_trash=True)
        found += [_to_trashed(entry, rows, is_prefixed=False) for entry in entries]
    found += [_to_trashed(e, rows, is_prefixed=True) for e in await _find_prefixed(remote, top)]
    found = [t for t in found if not t.entry.title.startswith(MOVED_PREFIX)]
    return sorted(found, key=lambda t: (-(t.deleted_at or 0), t.name))


async def _find_prefixed(remote: RemoteAccount, top: Sequence[Entry]) -> list[Entry]:
    """What has the prefix. It needn't be looked for in every folder where things are moved."""
    everything = list(top)
    if _uses_prefixes(remote.host):

        async def list_with_trash(folder: Entry) -> list[Entry]:
            listing = await remote.host.list_folder(folder.folder)
            return remote.name_listing(folder, listing, with_trash=True)

        tree = await remote.walk(remote.root, list_one=list_with_trash)
        everything = [entry for entries in tree.values() for entry in entries]
    return [entry for entry in everything if entry.title.startswith(TRASH_PREFIX)]


def _uses_prefixes(host: VideoHost) -> bool:
    can = host.capabilities
    moves_files = can.delete_file or (can.move_file and can.create_folder)
    moves_folders = can.delete_folder or (can.move_folder and can.create_folder)
    return not (moves_files and moves_folders)


def _load_rows(remote: RemoteAccount) -> Mapping[Key, Trashed]:
    return {(row.kind, row.remote): row for row in remote.names.load_trash()}


def _to_trashed(entry: Entry, rows: Mapping[Key, Trashed], *, is_prefixed: bool) -> TrashEntry:
    row = rows.get(key_of(entry))
    if row is not None:
        return TrashEntry(
            entry=entry,
            name=row.name,
            title=row.title,
            folder=FolderId(row.folder),
            folder_path=row.path,
            deleted_at=row.deleted_at,
            is_prefixed=is_prefixed,
        )
    is_in_place = is_prefixed and entry.file is not None
    return TrashEntry(
        entry=entry,
        name=entry.name.removeprefix(TRASH_PREFIX),
        title=entry.title.removeprefix(TRASH_PREFIX),
        folder=entry.folder if is_in_place else None,
        folder_path="/" + "/".join(entry.parts[:-1]) if is_prefixed else "",
        deleted_at=None,
        is_prefixed=is_prefixed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    item: TrashEntry
    name: str  # in that folder
    path: str  # of the folder it is in now
    is_elsewhere: bool  # not where it was: that folder is gone or not known


async def restore(
    remote: RemoteAccount, items: Sequence[TrashEntry], everything: Sequence[TrashEntry]
) -> list[Restored]:
    """Bring *items* back to where they were, folders with all that was removed from them.

    A folder that isn't there any more is brought back or made anew; only what nobody knows a
    place of, or whose folder the host can't make, goes to the root. Where the name is taken by
    now, the code is added to it. *everything*: all that lies in the trash.
    Errors: AbilityError, HostError.
    """
    return await _Restoring(remote, everything).run(items)


class _Restoring:
    def __init__(self, remote: RemoteAccount, everything: Sequence[TrashEntry]) -> None:
        self._remote = remote
        self._everything = everything
        folders = [t for t in everything if t.entry.file is None]
        self._folders = {t.entry.folder: t for t in folders}
        self._by_parts = {t.entry.parts: t for t in folders if t.is_prefixed}
        self._names: dict[FolderId, set[str]] = {}  # taken, by folder
        self._homes: dict[FolderId, Entry | None] = {}  # folders that are there; None: is not
        self._restored: dict[Key, Restored] = {}

    async def run(self, items: Sequence[TrashEntry]) -> list[Restored]:
        for item in sorted(items, key=lambda t: (t.entry.kind, t.folder_path.count("/"), t.key)):
            await self._restore(item)
        return list(self._restored.values())

    async def _restore(self, item: TrashEntry) -> None:
        if item.key in self._restored:
            return
        await self._restore_one(item)
        if item.entry.file is None:
            for inside in self._everything:
                if inside.folder == item.entry.folder and inside.key != item.key:
                    await self._restore(inside)

    async def _restore_one(self, item: TrashEntry) -> Entry:
        """Bring back *item*, without what is in it. Returns it as it is now."""
        remote, entry = self._remote, item.entry
        home = await self._find_home(item)
        where = home or remote.root
        name = await self._free_name(where, item)
        is_prefixed = item.entry.title.startswith(TRASH_PREFIX)
        title = item.title if name == item.name else self._title_of(item, name)
        new_title = title if is_prefixed or title != item.title else None
        if entry.file is None:
            await remote.host.edit_folder(
                entry.folder, name=new_title, parent=None if item.is_prefixed else where.folder
            )
        else:
            await remote.host.edit_file(
                entry.code, title=new_title, folder=None if item.is_prefixed else where.folder
            )
        _forget(remote, [item], restored=True)
        remote.note_change(where.parts)
        self._restored[item.key] = Restored(
            item=item, name=name, path="/" + "/".join(where.parts), is_elsewhere=home is None
        )
        found = replace(entry, name=name, parts=(*where.parts, name), title=title)
        if entry.file is None:
            remote.note_change(found.parts)
            self._homes[entry.folder] = found
        return found

    async def _find_home(self, item: TrashEntry) -> Entry | None:
        """The folder that *item* was in, brought back if need be; None: it can't be."""
        folder = item.folder
        if item.is_prefixed and item.entry.file is not None:
            folder = item.entry.folder  # it never left it
        above = self._folders.get(folder) if folder is not None else None
        above = above or self._by_parts.get(item.entry.parts[:-1])
        if above is not None and item.is_prefixed:
            folder = above.entry.folder
        if folder is None or (above is None and item.is_prefixed and item.entry.file is None):
            return await self._find_by_path(item, make=False) if item.is_prefixed else None
        if folder not in self._homes:
            if above is not None:
                self._homes[folder] = await self._restore_one(above)
            else:
                self._homes[folder] = await self._find_by_id(item, folder)
        return self._homes[folder]

    async def _find_by_id(self, item: TrashEntry, folder: FolderId) -> Entry | None:
        remote = self._remote
        if folder == remote.host.root:
            return remote.root
        try:
            await remote.host.list_folder(folder)
        except HostNotFoundError:
            return await self._find_by_path(item, make=remote.host.capabilities.create_folder)
        parts = remote.names.find_parts(NodeKind.FOLDER, folder) or _parts_of(item.folder_path)
        return replace(remote.root, name=parts[-1] if parts else "", parts=parts, folder=folder)

    async def _find_by_path(self, item: TrashEntry, *, make: bool) -> Entry | None:
        """The folder of the path that *item* was in, made where there is none."""
        if not item.folder_path:
            return None
        found = self._remote.root
        for name in _parts_of(item.folder_path):
            entries = await self._remote.list_entries(found)
            inner = next((e for e in entries if e.file is None and e.name == name), None)
            parts = (*found.parts, name)
            if inner is None:
                if not make:
                    # Its name has changed since; where it is, it is.
                    return replace(found, name=name, parts=_parts_of(item.folder_path))
                made = await self._remote.host.create_folder(found.folder, name)
                self._remote.note_change(found.parts)
                inner = replace(found, name=name, parts=parts, folder=made, title=name)
            found = inner
        return found

    async def _free_name(self, home: Entry, item: TrashEntry) -> str:
        """The name it had, with its code where another one bears it now."""
        if home.folder not in self._names:
            entries = await self._remote.list_entries(home)
            self._names[home.folder] = {entry.name for entry in entries}
        taken = self._names[home.folder]
        name = item.name if item.name not in taken else decorated(item.name, item.key[1])
        taken.add(name)
        return name

    def _title_of(self, item: TrashEntry, name: str) -> str:
        if item.entry.file is None:
            return name
        return title_for_rename(name, item.title, self._remote.default_extension)


def _parts_of(path: str) -> tuple[str, ...]:
    return tuple(filter(None, path.split("/")))


async def empty(
    remote: RemoteAccount, items: Sequence[TrashEntry]
) -> tuple[list[TrashEntry], list[TrashEntry]]:
    """Delete *items* for good: what was deleted, and what the host can't delete.

    Folders take what is in them along, so files go first. Errors: AbilityError where the host
    can delete nothing; HostError.
    """
    can, name = remote.host.capabilities, remote.host.name
    if not (can.delete_file or can.delete_folder):
        raise AbilityError(
            f"{name} can't delete: what lies in the trash goes only when you delete it on its"
            " web site"
        )
    files = [t for t in items if t.entry.file is not None]
    folders = [t for t in items if t.entry.file is None]
    if not can.delete_file:
        return await _delete(remote, folders), files
    deleted = await _delete(remote, files)
    if not can.delete_folder:
        return deleted, folders
    return deleted + await _delete(remote, folders), []


async def _delete(remote: RemoteAccount, items: Sequence[TrashEntry]) -> list[TrashEntry]:
    host = remote.host
    await run_parallel(
        [
            partial(host.delete_folder, item.entry.folder)
            if item.entry.file is None
            else partial(host.delete_file, item.entry.code)
            for item in items
        ]
    )
    _forget(remote, items, restored=False)
    return list(items)


def _forget(remote: RemoteAccount, items: Iterable[TrashEntry], *, restored: bool) -> None:
    """Take *items* off the catalogue's list, where there is a catalogue."""
    path = remote.state_dir / "catalogue.sqlite"
    if not path.exists():
        return
    store = Store(path)
    try:
        for item in items:
            store.forget_trashed(*item.key, restored=restored)
    finally:
        store.close()


def choose(items: Sequence[TrashEntry], wanted: str) -> list[TrashEntry]:
    """Those of *items* that *wanted* means: a code or folder id, a name, or a path as listed."""
    exact = [item for item in items if item.key[1] == wanted]
    if exact:
        return exact
    if not wanted.startswith("/"):
        return [item for item in items if item.name == wanted]
    path = "/" + "/".join(_parts_of(wanted))
    return [t for t in items if _path_of(t) == path]


def choose_below(items: Sequence[TrashEntry], wanted: str) -> list[TrashEntry]:
    """Those of *items* that were somewhere below the path *wanted*."""
    top = "/".join(("", *_parts_of(wanted), ""))
    return [t for t in items if wanted.startswith("/") and _path_of(t).startswith(top)]


def _path_of(item: TrashEntry) -> str:
    return f"{item.folder_path.rstrip('/')}/{item.name}"
