"""One listing of the host merged into the tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from vidfs.hosts.api import Listing, RemoteFile, RemoteFolder
from vidfs.tree.names import Titled, assign_names, is_host_form
from vidfs.tree.node import Node, SizeSource, state_of
from vidfs.types import ROOT_INODE, Inode, NodeKind

if TYPE_CHECKING:
    from vidfs.tree.tree import Tree

SETTLE_S = 600.0
"""How long a listing may lag behind a change of ours before the host is believed again."""

TRASH_FOLDER = "vidfs trash"
TRASH_PREFIX = "vidfs-trash~"
MOVED_PREFIX = TRASH_PREFIX + "moved~"
"""An emptied folder of which another has taken the place: nothing to restore."""
TRASH_META = "trash_folder"
"""Meta of the catalogue: the trash folder's id, for hosts that can't list folders' names."""

Key = tuple[NodeKind, str]  # kind and the host's identifier


class Merge:
    """One listing into the tree: a single atomic step, in memory too. Each node that it changes
    is as it was again if the catalogue doesn't take it."""

    def __init__(self, tree: Tree, folder: Node, listing: Listing) -> None:
        self._tree = tree
        self._folder = folder
        self._listing = listing
        self._now = tree._clock()
        self._changed: list[Node] = []
        self._new: list[Node] = []
        self._gone: list[Node] = []
        self._left: list[tuple[Inode, str, Node]] = []  # names in other folders that moved here
        self._extras: list[tuple[str | None, Inode]] = []
        self._renaming = False
        self._is_first = tree.listed_at(folder) is None

    def run(self) -> None:
        tree, folder = self._tree, self._folder
        store = tree._store
        entries = dict(tree.entries(folder))
        by_remote = {(n.kind, n.remote): n for n in entries.values() if n.remote is not None}
        with store.transaction():
            self._tombstones = store.has_tombstones()
            self._departed = store.has_departed()
            self._known_extras = store.load_extras(folder.inode)
            seen = self._take_in(by_remote)
            for key, node in by_remote.items():
                if key not in seen and not self._keep_unlisted(node):
                    self._gone.append(node)
            self._leave(entries)
            renamed = self._name(entries) if self._renaming else []
            store.save_nodes(self._changed)
            store.save_extras(self._extras)
            store.save_listed_at(folder.inode, self._listing.requested_at)
            if (self._new or self._gone) and not self._is_first:
                tree._touch(folder)
        for node in self._new:
            tree._live[node.inode] = node
        tree._listed_at[folder.inode] = self._listing.requested_at
        tree._remember(folder.inode, entries)
        if self._changed or self._gone:
            tree.note_change(folder.inode)
        self._tell(renamed)

    def _take_in(self, by_remote: dict[Key, Node]) -> set[Key]:
        tree = self._tree
        files = [f for f in self._listing.files if self._is_shown(f)]
        folders = [f for f in self._listing.folders if not self._is_trash(f)]
        if not self._listing.folders_complete:
            folders = self._unknown(folders)
        elsewhere = self._elsewhere(by_remote, files, folders)
        inode = tree._store.next_inode()
        seen: set[Key] = set()
        remotes: list[RemoteFolder | RemoteFile] = [*folders, *files]
        for remote in remotes:
            kind, key = _key_of(remote)
            if (kind, key) in seen or self._is_buried(kind, key):
                continue
            node = by_remote.get((kind, key)) or elsewhere.get((kind, key))
            if node is None:
                if self._is_being_made(remote):
                    continue
                node = self._create(inode, kind, key, remote)
                inode = Inode(inode + 1)
            else:
                self._update(node, remote)
            seen.add((kind, key))
        return seen

    def _is_being_made(self, remote: RemoteFolder | RemoteFile) -> bool:
        """Whether *remote* is our own doing, whose answer is due."""
        if isinstance(remote, RemoteFile):
            return self._tree._is_in_flight(remote)
        return self._tree.moves.is_making(self._folder, remote.name)

    def _elsewhere(
        self,
        by_remote: dict[Key, Node],
        files: Sequence[RemoteFile],
        folders: Sequence[RemoteFolder],
    ) -> dict[Key, Node]:
        """Nodes of this listing that the tree has in another folder."""
        found: dict[Key, Node] = {}
        for kind, keys in (
            (NodeKind.FOLDER, [str(f.folder) for f in folders]),
            (NodeKind.FILE, [str(f.code) for f in files]),
        ):
            unknown = [key for key in keys if (kind, key) not in by_remote]
            for key, inode in self._tree._store.inodes_by_remote(kind, unknown).items():
                found[kind, key] = self._tree.get(inode)
        return found

    def _is_shown(self, file: RemoteFile) -> bool:
        # Some root listings mix in files of subfolders (API_FACTS §4).
        here = file.folder is None or file.folder == self._folder.remote
        return here and not file.title.startswith(TRASH_PREFIX)

    def _is_trash(self, folder: RemoteFolder) -> bool:
        at_root = self._folder.inode == ROOT_INODE
        return folder.name.startswith(TRASH_PREFIX) or (at_root and folder.name == TRASH_FOLDER)

    def _unknown(self, folders: Sequence[RemoteFolder]) -> list[RemoteFolder]:
        """Those of *folders*, which come without name and place, that the tree has nowhere."""
        store = self._tree._store
        known = store.inodes_by_remote(NodeKind.FOLDER, [str(f.folder) for f in folders])
        trash = store.find_meta(TRASH_META)
        return [f for f in folders if f.folder not in known and f.folder != trash]

    def _is_buried(self, kind: NodeKind, remote: str) -> bool:
        if kind is NodeKind.FOLDER and (move := self._tree.moves.find(remote)) is not None:
            return move.is_made
        if not self._tombstones:
            return False
        buried_at = self._tree._store.find_tombstone(kind, remote)
        return buried_at is not None and self._listing.requested_at < buried_at + SETTLE_S

    def _is_ours(self, node: Node) -> bool:
        """Our change to *node* may be younger than what this listing shows."""
        since = node.unsettled_since
        return since is not None and (
            self._listing.requested_at <= since or self._now < since + SETTLE_S
        )

    def _is_held(self, node: Node) -> bool:
        """As `_is_ours`, or bytes of *node* are on their way, however long that takes."""
        return self._is_ours(node) or (not node.is_folder and self._tree._is_pinned(node))

    def _keep_unlisted(self, node: Node) -> bool:
        if node.is_folder and not self._listing.folders_complete:
            return True
        return self._is_ours(node) or self._tree._is_pinned(node)

    def _create(
        self, inode: Inode, kind: NodeKind, key: str, remote: RemoteFolder | RemoteFile
    ) -> Node:
        node = Node(
            inode=inode,
            parent=self._folder.inode,
            name="",
            kind=kind,
            remote=key,
            title="",
            given=None,
            size_bytes=None,
            size_source=SizeSource.UNKNOWN,
            mtime_ns=None,
            uploaded_at=None,
            sha1=None,
            readable=True,
            unsettled_since=None,
            stale_title=None,
        )
        if isinstance(remote, RemoteFile):
            if self._departed:
                self._tree._store.take_departed(node)
            self._describe(node, remote)
            node.title = remote.title
        else:
            node.title = remote.name
            node.mtime_ns = int(self._now * 1e9)
        self._new.append(node)
        self._changed.append(node)
        self._renaming = True
        return node

    def _update(self, node: Node, remote: RemoteFolder | RemoteFile) -> None:
        title = remote.title if isinstance(remote, RemoteFile) else remote.name
        before = state_of(node)
        changed = self._place(node, title)
        if isinstance(remote, RemoteFile):
            changed |= self._describe(node, remote)
        if changed:
            self._changed.append(node)
            self._tree._undo_on_rollback(node, before)

    def _place(self, node: Node, title: str) -> bool:
        """Settle name and place of a known *node* that the host lists here as *title*."""
        here = node.parent == self._folder.inode
        if self._is_ours(node):
            since = node.unsettled_since or 0.0
            if not here or self._listing.requested_at <= since or title == node.stale_title:
                return False
            # Confirmed. A title that is neither the old nor the new one is what the host made
            # of the new one (API_FACTS §2.5): the name stays as it was given.
            node.title, node.stale_title, node.unsettled_since = title, None, None
            return True
        if self._is_held(node) or (not here and self._is_above(node)):
            return False
        changed = node.unsettled_since is not None
        node.unsettled_since = node.stale_title = None
        if title != node.title:
            node.title, changed = title, True
            # A conversion, or a listing that lags behind, may bring such a title at any time.
            if node.given is None or node.is_folder or not is_host_form(title, node.given):
                node.given, self._renaming = None, True
        if not here:
            self._tree._unlink(node)
            self._left.append((node.parent, node.name, node))
            node.parent, node.given = self._folder.inode, None
            self._new.append(node)
            self._renaming = changed = True
        return changed

    def _is_above(self, node: Node) -> bool:
        """Whether this folder lies in *node*: two folders changed places elsewhere. *node* stays
        until another listing has said where this one is now."""
        folder = self._folder
        return node.is_folder and (
            node is folder or any(above is node for above in self._tree.ancestors(folder))
        )

    def _tell_news(self, node: Node, remote: RemoteFile) -> None:
        """Another size or hash is other content; a size that wasn't known is an attribute."""
        pairs = (node.size_bytes, remote.size_bytes), (node.sha1, remote.sha1)
        is_other = any(None not in pair and pair[0] != pair[1] for pair in pairs)
        if is_other or remote.size_bytes not in (None, node.size_bytes):
            self._tree._listener.node_changed(node.inode, content=is_other)

    def _describe(self, node: Node, remote: RemoteFile) -> bool:
        """Take over what the listing says of a file. True if the row must be written."""
        changed = False
        keep_size = node.size_source is SizeSource.UPLOADED and (
            self._tree._settings.keep_uploaded_sizes or self._tree._holds_original(node)
        )
        is_held = self._is_held(node)
        if not keep_size and not is_held and node.name:
            self._tell_news(node, remote)
        told = remote.size_bytes, SizeSource.HOST
        is_news = remote.size_bytes is not None and (node.size_bytes, node.size_source) != told
        if is_news and not keep_size and not is_held:
            node.size_bytes, node.size_source = told
            changed = True
        if remote.uploaded_at is not None and node.uploaded_at is None:
            node.uploaded_at, changed = remote.uploaded_at, True
        if remote.sha1 is not None and remote.sha1 != node.sha1 and not is_held:
            node.sha1, changed = remote.sha1, True
        if remote.readable != node.readable:
            node.readable, changed = remote.readable, True
        known = self._known_extras.get(node.inode)
        extra = to_extra(remote)
        if known is not None and extra != known:
            extra = _joined(known, remote)
        if extra != known:
            self._extras.append((extra, node.inode))
        return changed

    def _leave(self, entries: dict[str, Node]) -> None:
        tree = self._tree
        for node in self._gone:
            entries.pop(node.name, None)
            if node.is_folder:
                tree._drop_subtree(node)
            else:
                tree._undo_on_rollback(node)
                tree._unlink(node)
                node.linked = False
        files = [n.inode for n in self._gone if not n.is_folder]
        tree._store.delete_nodes(files, departed_at=self._now)
        # A name that became free may go to the next of its kind.
        self._renaming |= bool(self._gone)

    def _name(self, entries: dict[str, Node]) -> list[tuple[str, Node]]:
        """Names for all of the folder. Returns the old names of those that changed."""
        nodes: dict[int, Node] = {node.inode: node for node in entries.values()}
        nodes.update((node.inode, node) for node in self._new)
        names = assign_names(
            (
                Titled(
                    key=node.inode,
                    kind=node.kind,
                    title=node.title,
                    remote_id=node.remote or str(node.inode),
                    uploaded_at=node.uploaded_at,
                    given=node.given,
                )
                for node in nodes.values()
            ),
            default_extension=self._tree._settings.default_extension,
        )
        renamed: list[tuple[str, Node]] = []
        written: set[int] = {node.inode for node in self._changed}
        for inode, name in names.items():
            node = nodes[inode]
            if node.name != name:
                if node.name:
                    renamed.append((node.name, node))
                if inode not in written:
                    self._tree._undo_on_rollback(node)
                    self._changed.append(node)
                node.name = name
        entries.clear()
        entries.update((node.name, node) for node in nodes.values())
        return renamed

    def _tell(self, renamed: Iterable[tuple[str, Node]]) -> None:
        listener, parent = self._tree._listener, self._folder.inode
        for place, old_name, node in self._left:
            listener.entry_changed(place, old_name, node.inode)
        for node in self._gone:
            listener.entry_changed(parent, node.name, node.inode)
        for old_name, node in renamed:
            listener.entry_changed(parent, old_name, node.inode)
        if not self._is_first:  # else the kernel was never told that a name doesn't exist
            for node in self._new:
                listener.entry_changed(parent, node.name, None)


def _key_of(remote: RemoteFolder | RemoteFile) -> Key:
    if isinstance(remote, RemoteFolder):
        return NodeKind.FOLDER, remote.folder
    return NodeKind.FILE, remote.code


def to_extra(remote: RemoteFile) -> str | None:
    """The column `extra` of a file's row."""
    return _to_json(_extra_of(remote))


def _joined(known: str, remote: RemoteFile) -> str | None:
    """What is *known* of a file and what *remote* says of it, which wins where it says so."""
    kept = msgspec.json.decode(known, type=dict[str, str])
    return _to_json(
        {name: value for name, value in kept.items() if remote.extra.get(name) != ""}
        | _extra_of(remote)
    )


def _to_json(extra: dict[str, str]) -> str | None:
    return msgspec.json.encode(extra).decode() if extra else None


def _extra_of(remote: RemoteFile) -> dict[str, str]:
    extra = {name: value for name, value in remote.extra.items() if value != ""}
    if remote.length_s is not None:
        extra["length_s"] = f"{remote.length_s:g}"
    if remote.can_play is not None:
        extra["can_play"] = "1" if remote.can_play else "0"
    if remote.status:
        extra["status"] = remote.status
    return extra
