"""What was deleted where the host can't delete: looking at it, bringing it back, ending it.

The volume puts it there (`volume/trash.py`): into the folder `vidfs trash` at the root, or
under the prefix `vidfs-trash~` where it was. The catalogue remembers where it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from vidfs.app.remote import Entry, RemoteAccount
from vidfs.errors import AbilityError, HostNotFoundError
from vidfs.hosts.api import VideoHost
from vidfs.hosts.parallel import run_parallel
from vidfs.tree.merge import TRASH_FOLDER, TRASH_PREFIX
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
    path: str  # of the folder it is in now
    is_elsewhere: bool  # not where it was: that folder is gone or not known


async def restore(
    remote: RemoteAccount, items: Sequence[TrashEntry], everything: Sequence[TrashEntry]
) -> list[Restored]:
    """Bring *items* back to where they were, to the root where that isn't there any more.

    *everything*: all that lies in the trash, so that nothing is restored into it. Folders come
    first: a file may have been in one of them. Errors: AbilityError, HostError.
    """
    trashed_folders = {t.entry.folder for t in everything if t.entry.file is None}
    restored: list[Restored] = []
    for item in sorted(items, key=lambda t: t.key):
        if item.is_prefixed:
            home, is_elsewhere = item.folder_path or "/", False
            await _rename(remote, item)
        else:
            folder = item.folder
            is_known = folder is not None and folder not in trashed_folders
            if not (is_known and folder is not None and await _is_there(remote, folder)):
                folder, is_known = remote.host.root, False
            home, is_elsewhere = (item.folder_path if is_known else "/"), not is_known
            await _move(remote, item, folder)
        trashed_folders.discard(item.entry.folder)
        _forget(remote, [item], restored=True)
        remote.note_change(tuple(filter(None, home.split("/"))))
        restored.append(Restored(item=item, path=home, is_elsewhere=is_elsewhere))
    return restored


async def _rename(remote: RemoteAccount, item: TrashEntry) -> None:
    if item.entry.file is None:
        await remote.host.edit_folder(item.entry.folder, name=item.title)
    else:
        await remote.host.edit_file(item.entry.code, title=item.title)


async def _move(remote: RemoteAccount, item: TrashEntry, folder: FolderId) -> None:
    if item.entry.file is None:
        await remote.host.edit_folder(item.entry.folder, parent=folder)
    else:
        await remote.host.edit_file(item.entry.code, folder=folder)


async def _is_there(remote: RemoteAccount, folder: FolderId) -> bool:
    if folder == remote.host.root:
        return True
    try:
        await remote.host.list_folder(folder)
    except HostNotFoundError:
        return False
    return True


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
    by_path = [t for t in items if wanted == f"{t.folder_path.rstrip('/')}/{t.name}"]
    return by_path or [item for item in items if item.name == wanted]
