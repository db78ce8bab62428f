"""The account's tree: memory over the catalogue, kept in step with the host's listings.

Owns every `Node`. Knows nothing of the kernel, of bytes, or of which dialect answers.

Rules between its parts
- A sync method is one atomic step: memory and catalogue change together, nobody sees half.
- A listing is merged by `Merge`, and only there. What we changed after the listing was asked
  for, or what no listing has confirmed yet, is ours: a listing never hides, revives or renames
  it (read-your-writes). After `SETTLE_S` the host is believed again.
- Memory is bounded: folders are kept by least recent use, nodes as long as somebody holds them.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from weakref import WeakValueDictionary

import msgspec
import trio
from cachetools import LRUCache
from trio.testing import wait_all_tasks_blocked  # until the event loop has nothing to do

from vidfs.errors import (
    HostNotFoundError,
    NotFolderError,
    NotFoundError,
    SpoolError,
    TransientHostError,
    UnreadableAnswerError,
    VidfsError,
)
from vidfs.hosts.api import Listing, RemoteFile, VideoHost
from vidfs.tree.merge import SETTLE_S, TRASH_PREFIX, Merge, to_extra
from vidfs.tree.moves import Moves
from vidfs.tree.names import decorated
from vidfs.tree.node import Node, SizeSource, file_time_ns, restore, state_of
from vidfs.tree.store import Store
from vidfs.types import ROOT_INODE, FileCode, FolderId, Inode, NodeKind

log = logging.getLogger(__name__)

_CACHED_ENTRIES_MAX = 150_000  # entries of folders held in memory, about 500 bytes each
_LISTING_DEADLINE_S = 60.0
_MERGE_WAIT_S = 0.02  # so long an answer lets others go first
_QUIET_S = 0.1  # nobody has looked for so long: time to refresh what was shown …
_REFRESH_WAIT_S = 1.0  # … and after this in any case
_REFRESH_PARALLEL = 16
_PATIENCE_S = 10.0  # so long a listing that is too old is waited for …
_LATE_S = 30.0  # … and so long it isn't, after that was in vain
_READS_S = 1.0  # after this the kernel has its answers
_DEPTH_MAX = 1000  # folders in each other; more are a loop


_TWINS_MAX = 5  # of as many files with the same bytes, one will do


class TreeListener(Protocol):
    """Told of what the host changed, so that the kernel can be told. Must not block."""

    def entry_changed(self, parent: Inode, name: str, gone: Inode | None) -> None:
        """*name* in *parent* is new, means something else, or is gone (then *gone* is set)."""

    def node_changed(self, inode: Inode, *, content: bool) -> None:
        """Attributes changed, and with *content* the bytes too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSettings:
    dir_ttl_s: float = 60.0  # a younger listing is served as it is
    dir_stale_s: float = 600.0  # an older one is refreshed first; between: served, and refreshed
    default_extension: str = "mp4"
    keep_uploaded_sizes: bool = False  # `sizes=uploaded`


@dataclass(slots=True)
class _Flight:
    done: trio.Event
    error: VidfsError | None = None


class Tree:
    def __init__(
        self,
        store: Store,
        host: VideoHost,
        settings: TreeSettings,
        *,
        listener: TreeListener,
        is_in_flight: Callable[[RemoteFile], bool],
        is_pinned: Callable[[Node], bool],
        holds_original: Callable[[Node], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*is_in_flight*: this file of the host is an upload of ours whose outcome is not yet
        settled, so it is no news. *is_pinned*: this node has bytes here that the host has not.
        *holds_original*: it reads here as it was uploaded, whatever the host made of it."""
        self._store = store
        self._host = host
        self._settings = settings
        self._listener = listener
        self._is_in_flight = is_in_flight
        self._is_pinned = is_pinned
        self._holds_original = holds_original
        self._clock = clock
        self._live: WeakValueDictionary[Inode, Node] = WeakValueDictionary()
        self._folders: LRUCache[Inode, dict[str, Node]] = LRUCache(
            _CACHED_ENTRIES_MAX, getsizeof=lambda entries: len(entries) + 1
        )
        self._listed_at: dict[Inode, float] = {}
        self._versions: dict[Inode, int] = {}
        self._subfolders: LRUCache[Inode, tuple[int, list[Node]]] = LRUCache(1024)
        self._flights: dict[Inode, _Flight] = {}
        self._stale: dict[Inode, Node] = {}  # to be refreshed behind whoever is looking
        self._is_refreshing = False
        self._looked_at = 0.0
        self._merge_turn = trio.Lock()
        self._nursery: trio.Nursery | None = None
        self._session_at = clock()
        self._late_until = -math.inf  # the host didn't answer in time just now
        self.is_answered = False  # whether the host has listed anything since the start
        self.moves = Moves(self)
        self._doubted = store.take_changed()
        self.root = self._adopt_root()

    def _adopt_root(self) -> Node:
        root = self.get(ROOT_INODE)
        if root.remote != self._host.root:
            root.remote = self._host.root
            self._save(root)
        return root

    def start(self, nursery: trio.Nursery) -> None:
        """From now on refreshes run in *nursery*."""
        self._nursery = nursery

    # --- looking -----------------------------------------------------------------------

    def get(self, inode: Inode) -> Node:
        """Errors: NotFoundError."""
        node = self._live.get(inode)
        if node is None:
            node = self._store.load_node(inode)
            if node is None:
                raise NotFoundError(f"no inode {inode}")
            self._live[inode] = node
        return node

    def get_folder(self, inode: Inode) -> Node:
        node = self.get(inode)
        if not node.is_folder:
            raise NotFolderError(f"{node.name} is not a folder")
        if not node.linked:
            raise NotFoundError(f"{node.name} was removed")
        return node

    def entries(self, folder: Node) -> dict[str, Node]:
        """What is in *folder*, by name. The tree's own: look, don't change."""
        entries = self._folders.get(folder.inode)
        if entries is None:
            entries = {
                node.name: self._intern(node) for node in self._store.load_children(folder.inode)
            }
            self._remember(folder.inode, entries)
        return entries

    def subfolders(self, folder: Node) -> Sequence[Node]:
        """The folders in *folder*; cheap while nothing in it changes."""
        version = self.version_of(folder)
        known = self._subfolders.get(folder.inode)
        if known is None or known[0] != version:
            kind = NodeKind.FOLDER
            nodes = [node for node in self.entries(folder).values() if node.kind is kind]
            known = self._subfolders[folder.inode] = (version, nodes)
        return known[1]

    def version_of(self, folder: Node) -> int:
        """Changes whenever a name or an attribute in *folder* may have changed."""
        return self._versions.get(folder.inode, 0)

    def note_change(self, folder: Inode) -> None:
        """Something about an entry of *folder* changed. Checkpoint: none."""
        self._versions[folder] = self._versions.get(folder, 0) + 1

    def find_child(self, folder: Node, name: str) -> Node | None:
        entries = self._folders.get(folder.inode)
        if entries is not None:
            return entries.get(name)
        node = self._store.load_child(folder.inode, name)
        return self._intern(node) if node else None

    def find_by_remote(self, kind: NodeKind, remote: str) -> Node | None:
        inode = self._store.find_inode_by_remote(kind, remote)
        return self.get(inode) if inode is not None else None

    def has_seen(self, code: FileCode) -> bool:
        """Whether *code* stands for a file of the tree, or for one that was deleted through it."""
        return (
            self._store.find_inode_by_remote(NodeKind.FILE, code) is not None
            or self._store.find_tombstone(NodeKind.FILE, code) is not None
        )

    def is_known(self, file: RemoteFile) -> bool:
        """As `has_seen`, or it lies in the trash."""
        return self.has_seen(file.code) or file.title.startswith(TRASH_PREFIX)

    def path_of(self, node: Node) -> str:
        """`/Films/a.mp4`, for people."""
        if node.inode == ROOT_INODE:
            return "/"
        above = [folder.name for folder in self.ancestors(node) if folder.inode != ROOT_INODE]
        return "/" + "/".join([*reversed(above), node.name])

    def ancestors(self, node: Node) -> Iterator[Node]:
        """The folders above *node*, its parent first, the root last."""
        for _ in range(_DEPTH_MAX):
            if node.parent == node.inode:
                return
            node = self.get(node.parent)
            yield node
        log.error("the catalogue has a loop of folders at %s: refresh it", node.name)

    def load_extra(self, node: Node) -> dict[str, str]:
        """What else the host said of *node*, by attribute name."""
        text = self._store.load_extra(node.inode)
        return msgspec.json.decode(text, type=dict[str, str]) if text else {}

    def set_extra(self, node: Node, name: str, value: str) -> None:
        extra = self.load_extra(node)
        extra[name] = value
        self._store.save_extras([(_to_json(extra), node.inode)])

    def _intern(self, node: Node) -> Node:
        return self._live.setdefault(node.inode, node)

    def _remember(self, folder: Inode, entries: dict[str, Node]) -> None:
        if len(entries) < _CACHED_ENTRIES_MAX:
            self._folders[folder] = entries

    # --- keeping in step with the host ----------------------------------------------------

    @property
    def has_catalogue(self) -> bool:
        return self._store.has_any_listing()

    @property
    def is_late(self) -> bool:
        """Whether folders are shown as last known because the host didn't list them in time."""
        return self._clock() < self._late_until

    def listed_at(self, folder: Node) -> float | None:
        """When *folder* was last seen whole, Unix seconds."""
        at = self._listed_at.get(folder.inode)
        if at is None:
            at = self._store.find_listed_at(folder.inode)
            if at is not None:
                self._listed_at[folder.inode] = at
        return at

    async def ensure_fresh(self, folder: Node, *, wait: bool = False) -> None:
        """Make *folder* fit to be shown, by the rules of `dir_ttl` and `dir_stale`; with *wait*,
        by that of `dir_ttl` alone.

        A listing of an earlier session is shown at once and refreshed behind it. Where the host
        doesn't answer within `_PATIENCE_S` the last known listing goes on being shown: nobody
        else waits for it then, until it answers or `_LATE_S` are over. It is also shown where the
        disk is too full for the new one.

        Errors: HostError if nothing is known; NotFoundError if the host lost the folder.
        """
        listed_at = self.listed_at(folder)
        if listed_at is None:
            await self.refresh(folder)
            return
        age_s = self._clock() - listed_at
        if folder.inode not in self._doubted:
            if 0 <= age_s < self._settings.dir_ttl_s:
                return
            is_shown = age_s < self._settings.dir_stale_s or listed_at < self._session_at
            if is_shown and not wait:
                self.refresh_soon(folder)
                return
        if self.is_late:
            self.refresh_soon(folder)
            return
        try:
            with trio.fail_after(_PATIENCE_S):
                await self.refresh(folder)
        except (TransientHostError, trio.TooSlowError) as error:
            self._late_until = self._clock() + _LATE_S
            reason = str(error) or "the host takes its time"
            log.warning("%s is shown as last known: %s", self.path_of(folder), reason)
        except SpoolError as error:
            log.warning("%s is shown as last known: %s", self.path_of(folder), error)

    async def look(self, folder: Node, name: str) -> Node | None:
        """The entry *name* of *folder*; the host is asked where the listing is too old.

        Who is told that there is none may make one, beside what another machine has made since:
        so that is only said of a listing within `dir_ttl`, or of names that are never sent.
        """
        if self.listed_at(folder) is None:
            await self.ensure_fresh(folder)
            return self.find_child(folder, name)
        node = self.find_child(folder, name)
        if node is None and folder.linked:
            await self.ensure_fresh(folder, wait=not name.startswith("."))
            node = self.find_child(folder, name)
        return node

    def refresh_soon(self, folder: Node) -> None:
        """Refresh *folder* in the background, once those who look at folders now are served."""
        self._looked_at = trio.current_time()
        if folder.inode in self._flights or folder.inode in self._stale:
            return
        self._stale[folder.inode] = folder
        if not self._is_refreshing:
            assert self._nursery is not None
            self._is_refreshing = True
            self._nursery.start_soon(self._refresh_stale, name="refresh what was shown")

    async def _refresh_stale(self) -> None:
        try:
            while self._stale:
                await self._until_quiet()
                async with trio.open_nursery() as nursery:
                    for _ in range(min(_REFRESH_PARALLEL, len(self._stale))):
                        nursery.start_soon(self._refresh_next)
        finally:
            self._is_refreshing = False

    async def _until_quiet(self) -> None:
        with trio.move_on_after(_REFRESH_WAIT_S):
            while True:
                quiet_at = self._looked_at + _QUIET_S
                if quiet_at <= trio.current_time():
                    return
                await trio.sleep_until(quiet_at)

    async def _refresh_next(self) -> None:
        while self._stale:
            folder = self._stale.pop(next(iter(self._stale)))
            with suppress(VidfsError):  # whoever wants this folder will meet the error
                await self.refresh(folder)

    async def refresh(self, folder: Node) -> None:
        """List *folder* at the host now; joins a listing that is already under way."""
        flight = self._flights.get(folder.inode) or self._launch(folder)
        await flight.done.wait()
        if flight.error is not None:
            raise flight.error

    async def refresh_newest(self, folder: Node) -> None:
        """As `refresh`, but the listing is asked for after this call: never an older one."""
        while (flight := self._flights.get(folder.inode)) is not None:
            await flight.done.wait()
        await self.refresh(folder)

    def _launch(self, folder: Node) -> _Flight:
        assert self._nursery is not None
        flight = _Flight(trio.Event())
        self._flights[folder.inode] = flight
        self._nursery.start_soon(self._fly, folder, flight, name=f"list {folder.inode}")
        return flight

    async def _fly(self, folder: Node, flight: _Flight) -> None:
        try:
            with trio.move_on_after(_LISTING_DEADLINE_S) as scope:
                await self._fetch_listing(folder)
            if scope.cancelled_caught:
                flight.error = TransientHostError("the host didn't list the folder in time")
            else:
                self._late_until, self.is_answered = -math.inf, True
        except VidfsError as error:
            flight.error = error
            log.debug("listing of %s failed: %s", folder.name or "/", error)
        except Exception:
            log.exception("listing of %s broke", folder.name or "/")
            flight.error = UnreadableAnswerError("an unforeseen error, see the log")
        finally:
            del self._flights[folder.inode]
            flight.done.set()

    async def _fetch_listing(self, folder: Node) -> None:
        if folder.remote is None or not folder.linked:
            raise NotFoundError(f"{folder.name} was removed")
        requested_at = self._clock()
        try:
            listing = await self.moves.list_whole(folder)
        except HostNotFoundError:
            if folder.inode != ROOT_INODE and folder.linked:
                if self._is_pinned(folder):
                    # What is only here must not go with what the host lost.
                    Merge(self, folder, _empty_listing(folder.remote, requested_at)).run()
                    return
                self._drop_subtree(folder)
                self._listener.entry_changed(folder.parent, folder.name, folder.inode)
            raise NotFoundError(f"{folder.name} is no longer at the host") from None
        # In turn, and when nothing else is to be done: answers that arrive meanwhile are taken
        # first, and their places are free for further calls.
        async with self._merge_turn:
            with trio.move_on_after(_MERGE_WAIT_S):
                await wait_all_tasks_blocked()
            if folder.linked:
                Merge(self, folder, listing).run()
                self._doubted.discard(folder.inode)

    # --- our own changes -----------------------------------------------------------------

    def add_folder(self, parent: Node, name: str, folder_id: FolderId) -> Node:
        return self._add(parent, name, NodeKind.FOLDER, remote=folder_id, title=name)

    def add_file(self, parent: Node, name: str) -> Node:
        """A file that is only here so far."""
        return self._add(parent, name, NodeKind.FILE, remote=None, title="")

    def _add(
        self, parent: Node, name: str, kind: NodeKind, *, remote: str | None, title: str
    ) -> Node:
        now = self._clock()
        node = Node(
            inode=self._store.next_inode(),
            parent=parent.inode,
            name=name,
            kind=kind,
            remote=remote,
            title=title,
            given=name,
            size_bytes=None if kind is NodeKind.FOLDER else 0,
            size_source=SizeSource.UPLOADED,
            mtime_ns=file_time_ns(),
            uploaded_at=None,
            sha1=None,
            readable=True,
            unsettled_since=now,
            stale_title=None,
        )
        with self._store.transaction():
            self._step_aside(parent, name, node)
            self._save(node, parent)
            if kind is NodeKind.FOLDER:
                # A folder that we made is empty for certain: no need to ask.
                self._store.save_listed_at(node.inode, now)
            self._touch(parent)
        self._live[node.inode] = node
        if kind is NodeKind.FOLDER:
            self._listed_at[node.inode] = now
            self._remember(node.inode, {})
        self._link(node)
        return node

    def move(self, node: Node, parent: Node, name: str, *, title: str | None) -> None:
        """Give *node* another name and place. *title*: what the host now has, if it was told."""
        old_parent = self.get(node.parent)
        with self._store.transaction():
            self._undo_on_rollback(node)
            if node.remote is not None:
                self._drop_duplicate(node, node.remote)
                node.linked = True  # such a listing may have made it leave, too
            self._unlink(node)
            node.parent, node.name, node.given = parent.inode, name, name
            if title is not None:
                node.stale_title = node.title if node.title != title else None
                node.title = title
            node.unsettled_since = self._clock()
            self._step_aside(parent, name, node)
            self._save(node)
            self._touch(old_parent)
            self._touch(parent)
        self._link(node)

    def remove(self, node: Node) -> None:
        """Take *node* out of the tree; a listing that still shows it is not believed."""
        parent = self.get(node.parent)
        with self._store.transaction():
            self._undo_on_rollback(node)
            self._unlink(node)
            node.linked = False
            if node.remote is not None:
                self._store.save_tombstone(node.kind, node.remote, self._clock())
            self._store.delete_nodes([node.inode], departed_at=self._clock())
            self._touch(parent)
        self._folders.pop(node.inode, None)
        self._listed_at.pop(node.inode, None)

    def doubt(self, folder: Node) -> None:
        """What became of our last change to *folder*, or in it? The host is asked, and believed."""
        folder.unsettled_since = folder.stale_title = None
        self._save(folder)
        self._doubted.update((folder.inode, folder.parent))

    def bury(self, kind: NodeKind, remote: str) -> None:
        """Remember that we deleted *remote*, which no node stands for."""
        self._store.save_tombstone(kind, remote, self._clock())

    def record_trashed(self, node: Node, remote: str, *, keep: bool = False) -> None:
        """Remember where *node*, which is being trashed as *remote*, came from. *keep*: unless
        that is known already."""
        parent = self.get(node.parent)
        self._store.save_trash(
            node.kind,
            remote,
            name=node.name,
            title=node.title,
            folder=parent.remote or "",
            path=self.path_of(parent),
            deleted_at=self._clock(),
            keep=keep,
        )

    def record_uploaded(
        self,
        node: Node,
        code: FileCode,
        *,
        title: str,
        size_bytes: int,
        sha1: str | None,
        is_new: bool = True,
    ) -> None:
        """*node*'s bytes are at the host, under *code*: *is_new*, or that had them already."""
        self._undo_on_rollback(node)
        if node.remote is not None and node.remote != code:
            self._store.save_tombstone(NodeKind.FILE, node.remote, self._clock())
        self._drop_duplicate(node, code)
        node.remote, node.title, node.sha1 = code, title, sha1
        node.size_bytes, node.size_source = size_bytes, SizeSource.UPLOADED
        if is_new:
            node.uploaded_at = self._clock()
        else:
            self._store.forget_trashed(NodeKind.FILE, code, restored=True)
        node.readable = True
        node.unsettled_since, node.stale_title = self._clock(), None
        self._save(node)

    def find_twins(self, sha1: str, size_bytes: int) -> list[FileCode]:
        """Files at the host that were made of bytes with this hash, some of them."""
        keeps = self._host.capabilities.keeps_content
        nodes = [self.get(inode) for inode in self._store.find_inodes_by_hash(sha1, _TWINS_MAX)]
        return [
            FileCode(node.remote)
            for node in nodes
            if node.remote is not None
            and node.readable
            and (node.size_bytes == size_bytes or not keeps)
        ]

    def record_info(self, node: Node, info: RemoteFile) -> None:
        """What the host says of *node* beside its name: links, flags, counts."""
        extra = to_extra(info)
        if extra is not None:
            known = self.load_extra(node) | msgspec.json.decode(extra, type=dict[str, str])
            self._store.save_extras([(_to_json(known), node.inode)])

    def record_infos(self, infos: Sequence[tuple[Node, RemoteFile]]) -> None:
        """As `record_info`, of many, if the disk has room for it."""
        with suppress(SpoolError), self._store.transaction():
            for node, info in infos:
                self.record_info(node, info)

    def record_title(self, node: Node, title: str) -> None:
        node.stale_title = node.title if node.title != title else None
        node.title, node.unsettled_since = title, self._clock()
        self._save(node)

    def set_size(self, node: Node, size_bytes: int, source: SizeSource) -> None:
        if (node.size_bytes, node.size_source) != (size_bytes, source):
            node.size_bytes, node.size_source = size_bytes, source
            with suppress(SpoolError):  # a full disk: whoever reads can do without
                self._save(node)

    def record_content(self, node: Node, size_bytes: int) -> None:
        """The host has other bytes for *node* than we thought: so many. Who read them says so.

        Where they are fewer, the kernel learns it from the short answers to the requests that
        are on their way, unless it is told to forget the size meanwhile: it then fills up with
        zeros. So it is told a little later.
        """
        is_shorter = node.size_bytes is not None and size_bytes < node.size_bytes
        self.set_size(node, size_bytes, SizeSource.HOST)
        if is_shorter and self._nursery is not None:
            self._nursery.start_soon(self._tell_later, node.inode, name="tell later")
        else:
            self._listener.node_changed(node.inode, content=False)

    async def _tell_later(self, inode: Inode) -> None:
        await trio.sleep(_READS_S)
        self._listener.node_changed(inode, content=False)

    def record_lost(self, node: Node) -> None:
        """The host no longer knows *node*: it leaves, unless that may be our own doing."""
        since = node.unsettled_since
        is_ours = since is not None and self._clock() < since + SETTLE_S
        if node.linked and node.inode != ROOT_INODE and not is_ours and not self._is_pinned(node):
            self._drop_subtree(node)
            self._touch(self.get(node.parent))
            self._listener.entry_changed(node.parent, node.name, node.inode)

    def save(self, node: Node) -> None:
        """Write down what others changed in *node* (its `mtime_ns`, while it is written to)."""
        self._save(node)

    def set_mtime(self, node: Node, mtime_ns: int) -> None:
        node.mtime_ns = mtime_ns
        self._save(node)

    def find_meta(self, key: str) -> str | None:
        return self._store.find_meta(key)

    def save_meta(self, key: str, value: str) -> None:
        self._store.save_meta(key, value)

    # --- inside ---------------------------------------------------------------------------

    def _undo_on_rollback(self, node: Node, before: tuple[object, ...] | None = None) -> None:
        """A change of *node*, which is or was as *before*, that the disk doesn't take won't have
        happened in memory either."""
        self._store.after_rollback(partial(self._restore, node, before or state_of(node)))

    def _restore(self, node: Node, state: tuple[object, ...]) -> None:
        self._unlink(node)
        restore(node, state)
        if node.linked and node.inode != ROOT_INODE:
            self._link(node)

    def _drop_duplicate(self, node: Node, remote: str) -> None:
        """A listing was quicker than the host's answer, which says that *remote* is *node*."""
        duplicate = self.find_by_remote(node.kind, remote)
        if duplicate is not None and duplicate is not node:
            self._listener.entry_changed(duplicate.parent, duplicate.name, duplicate.inode)
            self._drop_subtree(duplicate)

    def _step_aside(self, parent: Node, name: str, newcomer: Node) -> None:
        """What a listing has brought under *name* meanwhile lets *newcomer* have it."""
        other = self.find_child(parent, name)
        if other is not None and other is not newcomer:
            self._undo_on_rollback(other)
            self._unlink(other)
            other.name, other.given = decorated(name, other.remote or str(other.inode)), None
            self._save(other)
            self._link(other)
            self._listener.entry_changed(parent.inode, other.name, None)

    def _save(self, *nodes: Node) -> None:
        for node in nodes:
            self.note_change(node.parent)
        self._store.save_nodes(node for node in nodes if node.linked)

    def _touch(self, folder: Node) -> None:
        self._undo_on_rollback(folder)
        folder.mtime_ns = file_time_ns()
        self._save(folder)

    def _link(self, node: Node) -> None:
        self.note_change(node.parent)
        entries = self._folders.get(node.parent)
        if entries is not None:
            entries[node.name] = node

    def _unlink(self, node: Node) -> None:
        self.note_change(node.parent)
        entries = self._folders.get(node.parent)
        if entries is not None and entries.get(node.name) is node:
            del entries[node.name]

    def _drop_subtree(self, node: Node) -> None:
        """Forget *node* and all below it: the host no longer has them."""
        doomed, known = [node], {node.inode}
        for folder in doomed:  # grows while it is walked
            if folder.is_folder:
                for stored in self._store.load_children(folder.inode):
                    child = self._intern(stored)
                    # A merge may have moved it out of here just now, and not saved that yet.
                    if child.parent == folder.inode and child.inode not in known:
                        doomed.append(child)
                        known.add(child.inode)
        with self._store.transaction():
            self._unlink(node)
            for gone in doomed:
                self._undo_on_rollback(gone)
                gone.linked = False
                self._folders.pop(gone.inode, None)
                self._listed_at.pop(gone.inode, None)
            self._store.delete_nodes([n.inode for n in doomed], departed_at=self._clock())


def _empty_listing(remote: str, requested_at: float) -> Listing:
    return Listing(folder=FolderId(remote), folders=(), files=(), requested_at=requested_at)


def _to_json(extra: dict[str, str]) -> str:
    return msgspec.json.encode(extra).decode()
