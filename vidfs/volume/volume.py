"""The file system without FUSE: inode numbers and names in, attributes or a VidfsError out.

Joins the tree (names, numbers) with content (bytes). Knows no HTTP, no SQL, no errno. Every
method is safe to run many times at once. Built of parts that own one thing each: `Files`
(open files), `Changes` (names), `Writeback` (bytes on their way), `Attributes`, `Trash`.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import trio
from cachetools import LRUCache, TTLCache

from vidfs.content.chunkcache import ChunkCache
from vidfs.content.reader import Readers
from vidfs.content.spool import Spool
from vidfs.content.thumbnails import ThumbnailCache
from vidfs.errors import (
    AccessDeniedError,
    HostError,
    IsFolderError,
    NamespaceAbilityError,
    NotFoundError,
    ReadOnlyError,
    SpoolError,
    StaleError,
)
from vidfs.hosts.api import AccountInfo, VideoHost
from vidfs.tree.journal import SqlJournal
from vidfs.tree.merge import SETTLE_S
from vidfs.tree.news import News
from vidfs.tree.node import Node, SizeSource
from vidfs.tree.salvage import open_catalogue
from vidfs.tree.sizes import SizeFinder
from vidfs.tree.tree import Tree, TreeListener, TreeSettings
from vidfs.tree.walk import Walker
from vidfs.types import (
    ROOT_INODE,
    Inode,
    Job,
    JobState,
    NodeKind,
)
from vidfs.volume.abilities import probe_abilities, restore_abilities
from vidfs.volume.attributes import CONTROL, Attributes
from vidfs.volume.changes import (
    CHANGE_DEADLINE_S,
    Changes,
    change_deadline,
    check_name_length,
)
from vidfs.volume.files import Files
from vidfs.volume.quota import Quota
from vidfs.volume.settings import (
    Attr,
    ReadStatus,
    Space,
    UploadStatus,
    VolumeSettings,
    VolumeStatus,
)
from vidfs.volume.thumbnails import Thumbnails
from vidfs.volume.trash import Trash
from vidfs.volume.unfinished import Unfinished
from vidfs.volume.writeback import Writeback

log = logging.getLogger(__name__)

ATTR_TTL_S = 3600.0  # changes are pushed to the kernel, so it may believe for long
_START_DEADLINE_S = 12.0  # for the host's first answer …
_START_KNOWN_DEADLINE_S = 5.0  # … and where the catalogue can stand in for it
_SPACE_TTL_S = 300.0
_DEPARTED_S = 180 * 86400.0  # so long a file may be away, in the trash maybe, and still be known
_PETABYTE = 1 << 50
_LIST_AHEAD_PARALLEL = 48
"""Folders listed ahead at once. More than the calls that the transport lets out: while some
answers are being merged, others are on their way (16 of each took half as long again)."""
_WATCHED_S = 600.0  # so long after somebody last looked, news of the host are asked for
_TRASH_CAN = re.compile(r"\.Trash(-[0-9]+)?")  # freedesktop's trash specification
_ATIMES_MAX = 4096  # access times that somebody set; reading sets none


class NoListener:
    """Until a kernel listens."""

    def entry_changed(self, parent: Inode, name: str, gone: Inode | None) -> None:
        pass

    def node_changed(self, inode: Inode, *, content: bool) -> None:
        pass


class Volume:
    """One mounted account."""

    def __init__(
        self, *, host: VideoHost, settings: VolumeSettings, state_dir: Path, cache_dir: Path
    ) -> None:
        """Errors: SpoolError if the catalogue can't be used, or made anew."""
        self.settings = settings
        self.state_dir = state_dir
        self.listener: TreeListener = NoListener()
        self._host = host
        self._store, self._store_note = open_catalogue(state_dir / "catalogue.sqlite")
        with suppress(SpoolError):  # if the disk is full they may stay
            self._store.drop_tombstones(time.time() - 2 * SETTLE_S)
            self._store.drop_departed(time.time() - _DEPARTED_S)
        if host.capabilities.clone:
            with suppress(SpoolError):
                self._store.index_hashes()
        self._spool = Spool(state_dir / "spool", sha256=host.capabilities.upload_hash == "sha256")
        self._cache = ChunkCache(cache_dir, size_bytes_max=settings.cache_size_bytes)
        self._declared = host.capabilities
        self._knows_abilities = restore_abilities(host, self._store)
        any_file = host.capabilities.stores_any_file
        self._default_extension = "" if any_file else settings.default_extension
        self.tree = self._make_tree()
        self._readers = Readers(host, self._cache)
        self._quota = Quota(host)
        trash = Trash(self.tree, host)
        journal = SqlJournal(self._store)
        self.writeback = self._make_writeback(journal, trash)
        self._sizes = SizeFinder(
            self.tree,
            host,
            is_known=self._is_size_known,
            on_found=lambda inode, differs: self.node_changed(inode, content=differs),
        )
        self._walker = Walker(self.tree, parallel=_LIST_AHEAD_PARALLEL, clock=time.monotonic)
        self._used_at = time.time()
        self._news = News(
            self.tree,
            host,
            period_s=settings.dir_ttl_s,
            is_watched=lambda: time.time() < self._used_at + _WATCHED_S,
            is_in_flight=self.writeback.is_in_flight,
            clock=time.time,
        )
        self.files = Files(
            tree=self.tree,
            host=host,
            cache=self._cache,
            readers=self._readers,
            sizes=self._sizes,
            writeback=self.writeback,
            settings=settings,
        )
        self._unfinished = Unfinished(self.tree, journal, self.writeback, trash)
        self._unfinished.resume()
        self._changes = self._make_changes(trash)
        self._thumbnails = self._make_thumbnails()
        self._attributes = Attributes(
            self.tree, host, self.writeback, retitle=self._changes.retitle
        )
        self._space: TTLCache[str, Space] = TTLCache(1, ttl=_SPACE_TTL_S)
        self._last_space = Space(_PETABYTE, _PETABYTE, 0)
        self._atimes_ns: LRUCache[Inode, int] = LRUCache(_ATIMES_MAX)
        self._root = self.tree.root
        self._start_note = ""

    def _make_writeback(self, journal: SqlJournal, trash: Trash) -> Writeback:
        return Writeback(
            tree=self.tree,
            host=self._host,
            spool=self._spool,
            cache=self._cache,
            readers=self._readers,
            quota=self._quota,
            journal=journal,
            trash=trash,
            settings=self.settings,
            default_extension=self._default_extension,
        )

    def _make_changes(self, trash: Trash) -> Changes:
        return Changes(
            tree=self.tree,
            host=self._host,
            files=self.files,
            cache=self._cache,
            writeback=self.writeback,
            trash=trash,
            listener=self,
            unfinished=self._unfinished,
            settings=self.settings,
            default_extension=self._default_extension,
        )

    def _make_tree(self) -> Tree:
        return Tree(
            self._store,
            self._host,
            TreeSettings(
                dir_ttl_s=self.settings.dir_ttl_s,
                dir_stale_s=self.settings.dir_stale_s,
                default_extension=self._default_extension,
                keep_uploaded_sizes=self.settings.sizes == "uploaded",
            ),
            listener=self,
            is_in_flight=lambda file: self.writeback.is_in_flight(file),
            is_pinned=lambda node: (
                self.writeback.is_pinned(node) or self._unfinished.is_changing(node)
            ),
            holds_original=lambda node: self.writeback.holds_original(node),
        )

    def _make_thumbnails(self) -> Thumbnails | None:
        if self.settings.thumbnail_dir is None:
            return None
        return Thumbnails(
            self.tree,
            self._host,
            ThumbnailCache(self.settings.thumbnail_dir),
            mountpoint=self.settings.mountpoint,
            root=lambda: self._root,
            mtime_of=lambda node: self._attr(node).mtime_ns // 10**9,
            is_local=lambda node: self.writeback.find(node.inode) is not None,
            clock=time.monotonic,
        )

    # --- life --------------------------------------------------------------------------------

    async def start(self, nursery: trio.Nursery) -> None:
        """Meet the host, then serve. With a catalogue an unreachable host is no obstacle.

        Errors: WrongKeyError; HostError if the host can't be reached and nothing is known;
        NotFoundError if the folder to be mounted isn't there.
        """
        self.tree.start(nursery)
        self._sizes.start(nursery)
        self._readers.start(nursery)
        self._walker.start(nursery)
        if self._thumbnails is not None:
            self._thumbnails.start(nursery)
        try:
            known = self.tree.has_catalogue
            with trio.fail_after(_START_KNOWN_DEADLINE_S if known else _START_DEADLINE_S):
                if not self._knows_abilities:
                    await probe_abilities(self._host, self._store, declared=self._declared)
                info = await self._host.account_info()
                self._remember_space(info)
        except AccessDeniedError:
            raise
        except (HostError, trio.TooSlowError) as error:
            if not self.tree.has_catalogue:
                raise
            note = f"mounted from the catalogue: {error or 'the host does not answer'}"
            log.warning("%s", note)
            self._start_note = note
        await self._find_root()
        nursery.start_soon(self._news.run)
        await nursery.start(self.writeback.queue.run)
        self._changes.moves.start(nursery)

    async def _find_root(self) -> None:
        node = self.tree.root
        for part in filter(None, self.settings.source_folder.split("/")):
            child = await self.tree.look(node, part)
            if child is None or not child.is_folder:
                raise NotFoundError(
                    f"{self._host.name} has no folder {self.settings.source_folder}"
                )
            node = child
        self._root = node
        if self.tree.listed_at(node) is None:
            await self.tree.ensure_fresh(node)

    async def aclose(self) -> None:
        """Let go of everything; the queue is kept."""
        self.writeback.close()
        self._cache.close()
        self._store.close()

    @property
    def note(self) -> str:
        """What the person who mounts should know, "" if nothing."""
        notes = [self._store_note, self.writeback.note]
        if self._start_note and not self.tree.is_answered:
            notes.append(self._start_note)
        elif self.tree.is_late:
            notes.append("the host does not answer: folders are shown as last known")
        return "; ".join(filter(None, notes))

    # --- TreeListener: what the host changed -------------------------------------------------

    def entry_changed(self, parent: Inode, name: str, gone: Inode | None) -> None:
        if gone is not None and self._thumbnails is not None:
            self._thumbnails.removed(self.tree.get(parent), name)
        self.listener.entry_changed(self._to_kernel(parent), name, gone)

    def node_changed(self, inode: Inode, *, content: bool) -> None:
        if content:
            self.files.content_changed(self.tree.get(inode))
        self.listener.node_changed(self._to_kernel(inode), content=content)

    # --- inode numbers: the mounted folder is 1 for the kernel ---------------------------------

    def _to_kernel(self, inode: Inode) -> Inode:
        return ROOT_INODE if inode == self._root.inode else inode

    def _get(self, inode: Inode) -> Node:
        if inode == ROOT_INODE:
            return self._root
        local = self.writeback.find(inode)
        return local.node if local is not None else self.tree.get(inode)

    def _get_folder(self, inode: Inode) -> Node:
        self._used_at = time.time()
        return self._root if inode == ROOT_INODE else self.tree.get_folder(inode)

    # --- looking -------------------------------------------------------------------------------

    async def lookup(self, parent: Inode, name: str) -> Attr | None:
        """Attributes of an entry; None if there is none of that name."""
        check_name_length(name)
        folder = self._get_folder(parent)
        if name == ".":
            return self._attr(folder)
        if name == "..":
            at_top = folder is self._root
            return self._attr(folder if at_top else self.tree.get(folder.parent))
        node = await self.tree.look(folder, name)
        if node is None:
            return None
        await self._ensure_size(node)
        return self._attr(node)

    async def getattr(self, inode: Inode) -> Attr:
        node = self._get(inode)
        await self._ensure_size(node)
        return self._attr(node)

    async def _ensure_size(self, node: Node) -> None:
        await self._sizes.ensure(node)

    def _is_size_known(self, node: Node) -> bool:
        """Whether what `stat` shows of *node* is what a reader will get.

        The size of an upload is, while its bytes are here; what a host made of them since is
        for the host to say, where it can be read.
        """
        if node.is_folder or node.remote is None or not (node.readable and self._sizes.can_ask):
            return True
        if self.writeback.find(node.inode) is not None:
            return True
        if node.size_source is not SizeSource.UPLOADED or node.size_bytes is None:
            return node.size_bytes is not None
        keeps = self._host.capabilities.keeps_content or self.settings.sizes == "uploaded"
        return keeps or self.writeback.holds_original(node)

    def _attr(self, node: Node) -> Attr:
        size_bytes, ttl_s = 0, ATTR_TTL_S
        local = self.writeback.find(node.inode)
        if not node.is_folder:
            if local is not None:
                size_bytes = local.file.size_bytes
            else:
                size_bytes = node.size_bytes or 0
                if not self._is_size_known(node):
                    ttl_s = 0.0  # the kernel must ask before it shows one
        mtime_ns = node.mtime_ns
        if mtime_ns is None:
            mtime_ns = int((node.uploaded_at or 0.0) * 1e9)
        atime_ns = self._atimes_ns.get(node.inode, mtime_ns)
        return Attr(
            self._to_kernel(node.inode),
            node.kind,
            size_bytes,
            mtime_ns,
            atime_ns,
            ttl_s,
            local is not None,
            node.linked,
        )

    async def ensure_listed(self, inode: Inode) -> tuple[int, int]:
        """Make a folder fit to be shown. Returns a mark that changes when any entry does."""
        folder = self._get_folder(inode)
        await self.tree.ensure_fresh(folder)
        self._walker.listed(folder)
        if self._thumbnails is not None:
            await self._thumbnails.listed(folder)
        return self.tree.version_of(folder), self._cache.losses

    def list_folder(self, inode: Inode) -> Iterator[tuple[str, Attr]]:
        """Name and attributes of every entry, as of now. Checkpoint: none."""
        for name, node in self.tree.entries(self._get_folder(inode)).items():
            yield name, self._attr(node)

    def negative_ttl_s(self) -> float:
        """How long the kernel may believe that a name doesn't exist."""
        return min(self.settings.dir_ttl_s, 10.0)

    async def space(self) -> Space:
        if "space" not in self._space:
            try:
                with trio.fail_after(CHANGE_DEADLINE_S):
                    self._remember_space(await self._host.account_info())
            except (HostError, trio.TooSlowError):
                self._space["space"] = self._last_space
        return self._space["space"]

    def _remember_space(self, info: AccountInfo) -> None:
        self._quota.note(info)
        used = max(info.storage_used_bytes or 0, 0)
        left = info.storage_left_bytes
        free = _PETABYTE if left is None or left < 0 else left
        self._space["space"] = self._last_space = Space(used + free, free, 0)

    # --- changing names ----------------------------------------------------------------------

    async def create(self, parent: Inode, name: str, flags: int) -> tuple[int, Attr]:
        """A new empty file, open. Errors: ExistsError, MediaTypeError …"""
        self._check_writable()
        fh, node = await self._changes.create_file(self._get_folder(parent), name, flags)
        return fh, self._attr(node)

    async def make_folder(self, parent: Inode, name: str) -> Attr:
        """Errors: NamespaceAbilityError also for a trash can of file managers.

        They put notes into it that no video host takes; refused, they offer to delete.
        """
        self._check_writable()
        folder = self._get_folder(parent)
        if folder is self._root and _TRASH_CAN.fullmatch(name):
            raise NamespaceAbilityError("file managers have no trash can here")
        return self._attr(await self._changes.make_folder(folder, name))

    async def unlink(self, parent: Inode, name: str) -> None:
        self._check_writable()
        folder = self._get_folder(parent)
        await self._changes.unlink(folder, name)
        if self._thumbnails is not None:
            self._thumbnails.removed(folder, name)

    async def remove_folder(self, parent: Inode, name: str) -> None:
        """Errors: NotEmptyError, by the host's own listing too."""
        self._check_writable()
        await self._changes.remove_folder(self._get_folder(parent), name)

    async def rename(
        self, old_parent: Inode, old_name: str, new_parent: Inode, new_name: str, *, replace: bool
    ) -> None:
        """POSIX rename. Errors: MoveAbilityError where the host can't move, so that `mv` copies."""
        self._check_writable()
        source, target = self._get_folder(old_parent), self._get_folder(new_parent)
        await self._changes.rename(source, old_name, target, new_name, replace=replace)
        if self._thumbnails is not None:
            self._thumbnails.renamed(source, old_name, target, new_name)

    # --- attributes --------------------------------------------------------------------------

    async def set_size(self, inode: Inode, size_bytes: int) -> Attr:
        node = self._get(inode)
        if node.is_folder:
            raise IsFolderError(f"{node.name} is a folder")
        await self.files.truncate(node, size_bytes)
        return self._attr(node)

    def set_times(self, inode: Inode, *, mtime_ns: int | None, atime_ns: int | None) -> Attr:
        """*mtime_ns* is kept for good, *atime_ns* for a while. Times that don't fit, beyond the
        years 1677 and 2262, become the nearest that do, as on a local disk."""
        self._check_writable()
        node = self._get(inode)
        if mtime_ns is not None:
            self.tree.set_mtime(node, _fitting(mtime_ns))
        if atime_ns is not None:
            self._atimes_ns[node.inode] = _fitting(atime_ns)
            self.tree.note_change(node.parent)
        return self._attr(node)

    async def load_attribute(self, inode: Inode, name: str) -> str:
        """An extended attribute. Errors: NoAttributeError."""
        node = self._get(inode)
        if name == CONTROL and node is self._root:
            return str(self.state_dir)
        return await self._attributes.get(node, name)

    async def load_attribute_names(self, inode: Inode) -> Sequence[str]:
        return await self._attributes.load_names(self._get(inode))

    async def set_attribute(self, inode: Inode, name: str, value: str) -> None:
        """Errors: ContentAbilityError where the host can't change it."""
        self._check_writable()
        with change_deadline():
            await self._attributes.set(self._get(inode), name, value)

    async def remove_attribute(self, inode: Inode, name: str) -> None:
        """Errors: NoAttributeError; as `set_attribute`."""
        self._check_writable()
        with change_deadline():
            await self._attributes.remove(self._get(inode), name)

    async def open(self, inode: Inode, flags: int) -> int:
        """Errors: StaleError if *inode* was removed since its name was looked up: the kernel then
        looks again, and finds, or makes, what bears the name now."""
        try:
            node = self._get(inode)
        except NotFoundError:
            raise StaleError("it was removed") from None
        if not node.linked and self.writeback.find(inode) is None:
            raise StaleError(f"{node.name} was removed")
        return await self.files.open(node, flags)

    # --- what a person asks -------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Uploads that are neither done nor parked, and folders that are being moved."""
        return sum(job.is_due for job in self.writeback.queue.jobs) + self._changes.moves.pending

    def status(self) -> VolumeStatus:
        now = time.time()
        uploads = []
        parked = 0
        for job in self.writeback.queue.jobs:
            if not (job.pending or job.state is JobState.PARKED):
                continue
            parked += job.state is JobState.PARKED
            elapsed_s = max(now - job.attempt_at, 0.1)
            sending = job.state is JobState.SENDING and job.attempt_at
            uploads.append(
                UploadStatus(
                    path=self._path_of_job(job),
                    state=job.state.value,
                    sent_bytes=job.sent_bytes,
                    size_bytes=job.size_bytes,
                    attempts=job.attempts,
                    reason=job.shown_reason,
                    bytes_s=job.sent_bytes / elapsed_s if sending else 0.0,
                )
            )
        return VolumeStatus(
            pending=self.pending,
            parked=parked,
            uploads=uploads,
            api_calls=dict(self._host.calls),
            cache_bytes=self._cache.bytes_used,
            reads=self._reads(),
            pace=self._host.pace,
            spool_bytes=sum(local.file.size_bytes for local in self.writeback.locals),
            host=self._host.name,
            note=self.note,
            local_files=[
                self.tree.path_of(local.node)
                for local in self.writeback.locals
                if local.job.state is JobState.LOCAL and local.file.size_bytes
            ],
        )

    def _reads(self) -> list[ReadStatus]:
        found = []
        for reader in self._readers.open_readers:
            node = self.tree.find_by_remote(NodeKind.FILE, reader.code)
            if node is not None and node.linked:
                path = self.tree.path_of(node)
                held = reader.held_bytes
                found.append(ReadStatus(path, held, reader.size_bytes, reader.streams))
        return found

    def _path_of_job(self, job: Job) -> str:
        if job.inode is None:
            return f"(superseded: {job.sent_title})"
        try:
            return self.tree.path_of(self._get(job.inode))
        except NotFoundError:
            return f"(inode {job.inode})"

    async def wait_uploads(self, paths: Sequence[str] = ()) -> int:
        """Return when all uploads (at or below *paths*) are over: how many of them are parked."""

        def of_interest() -> list[Job]:
            return [
                job
                for job in self.writeback.queue.jobs
                if not paths or any(_is_at_or_below(self._path_of_job(job), path) for path in paths)
            ]

        await self.writeback.queue.wait_until(lambda: not any(job.is_due for job in of_interest()))
        await self._changes.moves.wait_idle()
        return sum(job.state is JobState.PARKED for job in of_interest())

    def retry(self, path: str | None = None) -> int:
        """Send parked and waiting uploads (at or below *path*) now. Returns how many."""
        count = 0
        for job in list(self.writeback.queue.jobs):
            if path is not None and not _is_at_or_below(self._path_of_job(job), path):
                continue
            if job.state is JobState.PARKED or (job.pending and job.not_before > time.time()):
                self.writeback.queue.retry(job)
                count += 1
        return count

    async def refresh(self, path: str) -> None:
        """Look at the host now: the folder at *path*, or the one that holds the file there."""
        node = self._root
        for part in filter(None, path.split("/")):
            child = self.tree.find_child(node, part)
            if child is None:
                await self.tree.refresh(node)
                child = self.tree.find_child(node, part)
            if child is None or not child.is_folder:
                break
            node = child
        await self.tree.refresh_newest(node)

    # --- inside -------------------------------------------------------------------------------

    def _check_writable(self) -> None:
        if self.settings.read_only:
            raise ReadOnlyError("mounted read-only")


def _fitting(time_ns: int) -> int:
    return max(-(1 << 63), min(time_ns, (1 << 63) - 1))


def _is_at_or_below(path: str, top: str) -> bool:
    top = "/" + top.strip("/")
    return top == "/" or path == top or path.startswith(top + "/")
