"""Files with bytes on this machine that the host doesn't have (yet), and their way there.

Joins the tree (which file) with the spool (which bytes) and the upload queue (how far). It is
the queue's `UploadTarget`: it knows where bytes belong and what they replace, at any moment.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial

import trio

from vidfs.content.chunkcache import ChunkCache
from vidfs.content.fetching import fetch_rest
from vidfs.content.reader import Readers
from vidfs.content.spool import Spool, SpoolFile, load_boot_id
from vidfs.content.upload_target import UploadPlan
from vidfs.content.uploads import UploadQueue
from vidfs.errors import (
    SpoolDamagedError,
    SpoolError,
)
from vidfs.hosts.api import RemoteFile, VideoHost
from vidfs.tree.journal import SqlJournal
from vidfs.tree.names import extension_of, is_scratch, loose_title
from vidfs.tree.node import Node
from vidfs.tree.tree import Tree
from vidfs.types import FileCode, FolderId, Inode, Job, JobState, NodeKind
from vidfs.volume.confirming import Confirmer, title_of
from vidfs.volume.inheritance import fetch_options, find_same, find_twin
from vidfs.volume.quota import Quota
from vidfs.volume.settings import VolumeSettings
from vidfs.volume.trash import Trash

log = logging.getLogger(__name__)

PATIENCE_S = 300.0
"""So long a `close` that waits for the host lets that fail, one attempt after the other."""

# Bytes may not be on disk yet.
_UNSYNCED = frozenset({JobState.SEALED, JobState.WRITING, JobState.LOCAL})
_INTERRUPTED = "interrupted while it was being written: the bytes so far are kept"
_MACHINE_DOWN = (
    "the machine went down before its bytes were on disk for certain: look at it, then retry"
)


class LocalFile:
    """Bytes of one node in the spool."""

    def __init__(self, node: Node, job: Job, file: SpoolFile) -> None:
        self.node = node
        self.job = job
        self.file = file
        self.writers = 0  # handles open for writing
        self.handles = 0  # handles open at all
        self.done = False  # at the host: only kept for handles that still read it
        # Where that lies at the host which it is to replace, as far as known.
        self.older_folder: FolderId | None = None
        self.is_short = False  # a write to it failed: it isn't what its writer meant

    @property
    def is_closing(self) -> bool:
        """Every byte written was followed by a close: only the news that it was the last is
        missing, which the kernel sends when it likes."""
        return self.job.state is not JobState.WRITING or self.job.clean


class Writeback:
    def __init__(
        self,
        *,
        tree: Tree,
        host: VideoHost,
        spool: Spool,
        cache: ChunkCache,
        readers: Readers,
        quota: Quota,
        journal: SqlJournal,
        trash: Trash,
        settings: VolumeSettings,
        default_extension: str,
    ) -> None:
        self._tree = tree
        self._host = host
        self._spool = spool
        self._cache = cache
        self._readers = readers
        self._quota = quota
        self._journal = journal
        self._trash = trash
        self._settings = settings
        self._default_extension = default_extension
        self._locals: dict[Inode, LocalFile] = {}
        self._fetches = trio.CapacityLimiter(settings.uploads_max)
        self.note = ""  # what the person who mounts should know
        journal.drop_hollow()
        jobs = journal.load()
        self.queue = UploadQueue(
            host=host,
            journal=journal,
            spool=spool,
            target=self,
            jobs=jobs,
            workers_max=settings.uploads_max,
            bwlimit_bytes_s=settings.bwlimit_bytes_s,
        )
        self._confirmer = Confirmer(
            tree=tree,
            host=host,
            cache=cache,
            queue=self.queue,
            journal=journal,
            trash=trash,
            record_code=self.record_code,
            default_extension=default_extension,
        )
        self._resume(jobs)

    # --- after a restart --------------------------------------------------------------------

    def _resume(self, jobs: Sequence[Job]) -> None:
        """Take up every job where it was left, whatever ended the last daemon."""
        self._sweep({job.id for job in jobs})
        was_cut_off = self._was_cut_off()
        for job in jobs:
            if job.inode is None:
                continue
            try:
                node = self._tree.get(job.inode)
                file = self._spool.open(job.id)
            except SpoolError as error:
                if job.code is None:  # else they are at the host, and not needed here
                    self.queue.hold(job, JobState.PARKED, str(error))
                continue
            except Exception:
                log.exception("job %d stands for no file of the tree", job.id)
                self.queue.hold(job, JobState.PARKED, "its entry is missing from the catalogue")
                continue
            file.rest()
            if file.patch is not None and not file.patch.is_changed:
                self.queue.drop(job)  # opened for a change that never came
                self._spool.remove(job.id)
                continue
            self._locals[node.inode] = LocalFile(node, job, file)
            self._resume_one(job, node, file, was_cut_off=was_cut_off)

    def _sweep(self, known: Collection[int]) -> None:
        try:
            strays = self._spool.sweep(known)
        except SpoolError as error:
            log.warning("the spool can't be tidied: %s", error)
            return
        if strays.removed:
            log.info("removed %d empty or half fetched files from the spool", strays.removed)
        if strays.kept:
            lost = strays.kept[0].parent
            self.note = f"bytes of {len(strays.kept)} files that no upload stands for are in {lost}"
            names = ", ".join(path.name for path in strays.kept)
            log.warning("%s: %s", self.note, names)

    def _was_cut_off(self) -> bool:
        """Whether the machine went down under the last daemon. From here on this one counts."""
        boot_id = load_boot_id()
        before = self._journal.find_boot()
        if before != boot_id:
            try:
                self._journal.save_boot(boot_id)
            except SpoolError as error:
                log.warning("this start can't be noted: %s", error)
        return bool(before) and before != boot_id

    def _resume_one(self, job: Job, node: Node, file: SpoolFile, *, was_cut_off: bool) -> None:
        unsynced = job.state is JobState.SEALED or (job.state is JobState.WRITING and job.clean)
        if was_cut_off and (unsynced or job.state is JobState.LOCAL):
            # A file of the right size may still be full of holes. What size it is to have
            # stays as it was: other bytes than those are not sent by a `retry` either.
            self._cut_off(node, job, job.size_bytes, _MACHINE_DOWN)
        elif job.state is not JobState.WRITING:
            if was_cut_off and job.state is JobState.QUEUED:
                job.state = JobState.SEALED  # not sent before its hash was compared
            # A rename, and what it means for the bytes, are two steps.
            stays = file.size_bytes == 0 or self._stays_local(node.name)
            movable = job.state in (JobState.LOCAL, JobState.SEALED, JobState.QUEUED)
            if movable and stays != (job.state is JobState.LOCAL):
                self.renamed(node)
        elif job.clean:
            # Every descriptor had been closed: only the news of it was lost.
            self._settle(node, job, file)
        else:
            self._cut_off(node, job, file.size_bytes, _INTERRUPTED)

    def _cut_off(self, node: Node, job: Job, size_bytes: int, reason: str) -> None:
        """*job*'s bytes may be half a file: only a person, or a rewrite, has them sent."""
        job.clean, job.size_bytes = False, size_bytes
        if size_bytes == 0 or self._stays_local(node.name):
            self.queue.hold(job, JobState.LOCAL, reason)
        else:
            self._replace(node, job)
            self.queue.hold(job, JobState.PARKED, reason)

    # --- looking --------------------------------------------------------------------------

    def find(self, inode: Inode) -> LocalFile | None:
        return self._locals.get(inode)

    def is_pinned(self, node: Node) -> bool:
        """Whether bytes of *node*, or of something below it, are only here."""
        if not node.is_folder:
            return node.inode in self._locals
        return any(self._is_below(local.node, node) for local in self._locals.values())

    def _is_below(self, node: Node, folder: Node) -> bool:
        return any(parent is folder for parent in self._tree.ancestors(node))

    def holds_original(self, node: Node) -> bool:
        """Whether *node* reads here as it was uploaded, whatever the host made of it since."""
        if node.inode in self._locals:
            return True
        if node.remote is None or node.size_bytes is None:
            return False
        return self._cache.holds_original(FileCode(node.remote), node.size_bytes)

    def is_in_flight(self, file: RemoteFile) -> bool:
        return self.queue.is_ours(file) or self.queue.is_superseded(file.code)

    def is_confirming(self, node: Node) -> bool:
        """Whether *node*'s upload is at the host, and being put right there."""
        local = self._locals.get(node.inode)
        return local is not None and local.job.pending and local.job.code == node.remote

    @property
    def locals(self) -> Collection[LocalFile]:
        return self._locals.values()

    # --- writing --------------------------------------------------------------------------

    def create(self, node: Node) -> LocalFile:
        """An empty file for *node* in the spool."""
        job = self._new_job(node)
        try:
            file = self._spool.create(job.id)
        except SpoolError:
            self._journal.drop(job)
            raise
        return self._keep(node, job, file)

    def create_patch(self, node: Node) -> LocalFile:
        """A file in the spool for *node*, whose bytes stay at the host until they are needed."""
        assert node.remote is not None
        with self._journal.transaction():  # a row without its file would be taken for a loss
            job = self._new_job(node)
            code = FileCode(node.remote)
            file = self._spool.create_patch(job.id, code, node.size_bytes or 0)
        return self._keep(node, job, file)

    async def fetch_rest(self, local: LocalFile) -> None:
        """Bring *local*'s bytes that are still at the host into the spool: see `fetch_rest`."""
        await fetch_rest(local.file, self._readers)
        if not local.handles:
            local.file.rest()

    def undo_patch(self, local: LocalFile) -> bool:
        """Forget *local* if nothing was changed in it, and say whether that was so."""
        patch = local.file.patch
        if patch is None or patch.is_changed or local.job.obsolete:
            return False
        with self._journal.transaction():
            self._give_up(local.node)
        return True

    def _new_job(self, node: Node) -> Job:
        """A row for bytes of *node*. Another's has lost its bytes, or was about the older ones
        at the host: this one takes its place."""
        with self._journal.transaction():
            job = self._journal.create(node.inode, JobState.WRITING)
            for other in self.queue.jobs_of(node.inode):
                job.obsolete += self.queue.end(other)
            if job.obsolete:
                self._journal.save(job)
        return job

    def _keep(self, node: Node, job: Job, file: SpoolFile) -> LocalFile:
        self.queue.add(job)
        local = self._locals[node.inode] = LocalFile(node, job, file)
        local.older_folder = self._folder_of(node)
        return local

    def _folder_of(self, node: Node) -> FolderId:
        """Where *node* belongs at the host now; "": its folder isn't there."""
        return FolderId(self._tree.get(node.parent).remote or "")

    def begin_write(self, local: LocalFile) -> None:
        """*local*'s bytes are about to change. Checkpoint: none."""
        job = local.job
        if job.state is not JobState.WRITING or job.clean:
            self.queue.reopen(job)

    def begin_truncate(self, local: LocalFile) -> None:
        """As `begin_write`, but the change is a single step: where nobody else writes, a file
        that was whole is so whenever we die. Checkpoint: none."""
        job = local.job
        was_whole = job.clean or job.state is JobState.WRITING  # or was just made
        if local.writers == 0 and was_whole and not local.is_short:
            self.queue.reopen(job, clean=True)
        else:
            self.begin_write(local)

    def flushed(self, local: LocalFile) -> None:
        """A descriptor was closed: should we die now, the bytes are whole."""
        job = local.job
        if job.state is JobState.WRITING and not job.clean:
            job.clean, job.size_bytes = True, local.file.size_bytes
            try:
                self._journal.save(job)
            except SpoolError:
                job.clean = False
                raise

    async def sync(self, local: LocalFile) -> None:
        """Return when a power cut can't take what was written to *local* so far: its bytes, its
        name in the spool, its row and its entry in the tree. Errors: SpoolError."""
        await local.file.sync()
        self._journal.save(local.job, durable=True)

    def closed(self, local: LocalFile) -> None:
        """The last writer is gone. Checkpoint: none."""
        job = local.job
        if job.state is not JobState.WRITING:
            return
        if self.undo_patch(local):
            pass
        elif local.is_short and local.node.linked and local.file.size_bytes:
            size_bytes = local.file.size_bytes
            self._cut_off(local.node, job, size_bytes, "the disk was full while it was written")
        else:
            self._settle(local.node, job, local.file)

    def _settle(self, node: Node, job: Job, file: SpoolFile) -> None:
        """Decide what becomes of a closed file."""
        job.clean, job.size_bytes = True, file.size_bytes
        if not node.linked:
            return
        if file.size_bytes == 0 or self._stays_local(node.name):
            self.queue.hold(job, JobState.LOCAL)
            return
        self._replace(node, job)
        self.queue.seal(job)

    def _replace(self, node: Node, job: Job) -> None:
        """What *node* has at the host goes once *job*'s bytes are there."""
        if node.remote is not None and node.remote not in job.obsolete:
            job.obsolete.append(FileCode(node.remote))

    def renamed(self, node: Node) -> None:
        """*node* has another name or place: it may be due for upload now, or no longer."""
        local = self._locals.get(node.inode)
        if local is None or local.writers:
            return
        job = local.job
        if not job.clean and job.state in (JobState.LOCAL, JobState.PARKED):
            self._cut_off(node, job, job.size_bytes, job.reason)
        elif job.state is JobState.LOCAL:
            self._settle(node, job, local.file)
        elif job.state is JobState.PARKED and job.code is None:
            self.queue.retry(job)
        elif local.job.state in (JobState.SEALED, JobState.QUEUED) and self._stays_local(node.name):
            self.queue.withdraw(local.job)
            self.queue.hold(local.job, JobState.LOCAL)

    def _give_up(self, node: Node) -> list[FileCode]:
        """*node* is being removed: once the open transaction is committed its upload ends, and
        its bytes go when nobody has them open.

        Returns the codes that its jobs would have removed or have just made at the host.
        """
        local = self._locals.get(node.inode)
        codes: list[FileCode] = []
        for job in self.queue.jobs_of(node.inode):
            codes += self.queue.end(job)
            file = local if local is not None and local.job is job else None
            self._journal.after_commit(partial(self._gave_up, job, file))
        return codes

    def _gave_up(self, job: Job, local: LocalFile | None) -> None:
        if local is None:
            self._spool.remove(job.id)
            return
        local.done = True
        if local.handles:
            with suppress(SpoolError):  # they go on without its name: no stray if we die
                local.file.wake()
            self._spool.remove(job.id)
        self._let_go(local)

    def removed(self, node: Node, *, deleted: FileCode | None) -> None:
        """*node* goes, and its upload with it. *deleted*: the code that was removed at the host
        already; whatever else it has there, or was to replace, is removed behind this.

        Errors: SpoolError: then nothing has changed here.
        """
        self._journal.freeing(lambda: self._remove(node, deleted))

    def _remove(self, node: Node, deleted: FileCode | None) -> None:
        codes = self._give_up(node)
        if deleted is None:
            self._trash.note(node)
        if node.remote is not None and node.remote not in codes:
            codes.append(FileCode(node.remote))
        for code in codes:
            if code != deleted:
                self._tree.bury(NodeKind.FILE, code)
                self.queue.clean_up(code, node.name)
        if node.linked:
            self._tree.remove(node)

    def take_place(self, node: Node, victim: Node, target: Node) -> None:
        """*node*, whose bytes are here, takes name and place of *victim*, in *target*: what that
        had at the host goes once *node*'s bytes are there. Errors: as `removed`."""
        local = self._locals[node.inode]
        job, obsolete = local.job, list(local.job.obsolete)
        try:
            with self._journal.transaction():
                self._inherit_bytes(node, victim)
                for attribute, value in self._tree.load_extra(victim).items():
                    if attribute in self._host.capabilities.edit_fields:
                        self._tree.set_extra(node, attribute, value)
                name = victim.name
                codes = self.displace(victim)
                job.obsolete.extend(code for code in codes if code not in job.obsolete)
                self._journal.save(job)
                self._tree.move(node, target, name, title=None)
        except BaseException:
            job.obsolete[:] = obsolete
            raise
        if node.remote is None:
            local.older_folder = self._folder_of(node)

    def _inherit_bytes(self, node: Node, victim: Node) -> None:
        """What *victim* was made of at the host is known of *node* from now on, unless that has
        a file there itself."""
        made_of = self._journal.find_made_of(victim.inode)
        if made_of is None and victim.remote is not None and victim.sha1 is not None:
            made_of = FileCode(victim.remote), victim.sha1
        if made_of is not None and node.remote is None:
            self._journal.save_made_of(node.inode, *made_of)

    def displace(self, victim: Node) -> list[FileCode]:
        """*victim* leaves the tree. Returns what is to go at the host once that has what takes
        its place."""
        codes = self._give_up(victim)
        self._trash.note(victim)
        if victim.remote is not None and victim.remote not in codes:
            codes.append(FileCode(victim.remote))
        self._tree.remove(victim)
        return codes

    def transaction(self) -> AbstractContextManager[None]:
        """All that is changed inside, in tree and queue, is one step."""
        return self._journal.transaction()

    def _let_go(self, local: LocalFile) -> None:
        if local.handles:
            return
        if not local.done:
            local.file.rest()
            return
        if self._locals.get(local.node.inode) is local:
            del self._locals[local.node.inode]
        local.file.close()
        self._spool.remove(local.job.id)

    def released(self, local: LocalFile) -> None:
        """A handle is gone; `handles` was counted down by the caller."""
        self._let_go(local)

    def _stays_local(self, name: str) -> bool:
        if is_scratch(name, self._settings.scratch):
            return True
        return self._settings.other_files == "local" and not self.is_accepted(name)

    def is_accepted(self, name: str) -> bool:
        """Whether the host takes a file called *name*."""
        accepted = self._settings.accepted_extensions
        if accepted is None:
            if self._host.capabilities.stores_any_file:
                return True
            accepted = self._host.capabilities.accepted_extensions
        return accepted is None or extension_of(name) in accepted

    # --- UploadTarget ---------------------------------------------------------------------

    def _node_of(self, job: Job) -> Node:
        assert job.inode is not None
        local = self._locals.get(job.inode)
        return local.node if local is not None else self._tree.get(job.inode)

    async def confirm(self, job: Job) -> None:
        await self._confirmer.confirm(job, self._node_of(job))

    async def discard(self, code: FileCode, title: str) -> None:
        await self._confirmer.discard(code, title)

    async def complete(self, job: Job) -> None:
        local = self._locals.get(job.inode) if job.inode is not None else None
        if local is None or local.job is not job or local.file.patch is None:
            return
        async with self._fetches:
            # Whoever was at it before, and was called off, may just have finished.
            if (patch := local.file.patch) is not None:
                job.reason = f"fetching {patch.missing_bytes} bytes of it from the host"
                await self.fetch_rest(local)
        job.reason = ""

    async def plan(self, job: Job) -> UploadPlan:
        node = self._node_of(job)
        parent = self._tree.get(node.parent)
        if parent.remote is None:
            raise SpoolDamagedError("its folder is not at the host")
        others = (other for other in self.queue.jobs if other is not job)
        under_way = sum(o.size_bytes for o in others if o.state is JobState.SENDING)
        await self._quota.check(job.size_bytes, under_way)
        settings = self._settings.upload_options
        options = await fetch_options(self._tree, self._host, settings, job, node)
        # Asked again after the wait: it may have been renamed meanwhile.
        folder, title = self.place(job)
        return UploadPlan(folder=folder, title=title, options=options)

    def place(self, job: Job) -> tuple[FolderId, str]:
        node = self._node_of(job)
        return self._folder_of(node), self._sent_title(node)

    def _sent_title(self, node: Node) -> str:
        """The title to upload under: a host of videos judges a file by its extension, so one
        without gets the one it is shown with, and its own title afterwards (`_mend`)."""
        title = title_of(node, self._default_extension)
        return title if self.is_accepted(title) else node.name

    async def find_same(self, job: Job) -> RemoteFile | None:
        node = self._node_of(job)
        local = self._locals.get(node.inode)
        return await find_same(
            self._host,
            job,
            node,
            self._journal.find_made_of(node.inode),
            folder=self._folder_of(node),
            known_folder=local.older_folder if local is not None else None,
        )

    async def find_twin(self, job: Job) -> RemoteFile | None:
        return await find_twin(self._tree, self._host, job)

    def owns(self, code: FileCode) -> bool:
        return self._tree.has_seen(code) or any(code in job.obsolete for job in self.queue.jobs)

    def record_code(self, job: Job) -> None:
        if job.inode is None:
            return
        assert job.code is not None
        node = self._node_of(job)
        # The host's form of what was sent isn't the title of a file that others named.
        is_others = node.given is None and node.title
        self._tree.record_uploaded(
            node,
            job.code,
            title=node.title if is_others else job.sent_title or node.name,
            size_bytes=job.size_bytes,
            sha1=job.sha1,
            is_new=not job.is_kept,
        )
        if job.sha1 is not None:
            self._journal.save_made_of(node.inode, job.code, job.sha1)

    def finished(self, job: Job) -> None:
        node = self._node_of(job)
        local = self._locals.get(node.inode)
        if local is None or local.job is not job:
            return
        assert job.code is not None
        if not job.is_kept:
            self._quota.sent(job.size_bytes)
            log.info("uploaded %s (%d bytes)", node.name, job.size_bytes)
        self._cache.adopt(job.code, self._spool.path_of(job.id), job.size_bytes)
        local.done = True
        if local.handles == 0:
            self._let_go(local)
        else:
            # Handles go on reading the open file; a new one finds it at the host.
            self._locals.pop(node.inode, None)
            self._spool.remove(job.id)

    def loose_title(self, title: str) -> str:
        return loose_title(title)

    # --- waiting --------------------------------------------------------------------------

    async def wait_done(self, local: LocalFile) -> Job:
        """Return when *local*'s job is done or parked (or needs no host, or its file went), or has
        met nothing but trouble for long, and pauses."""
        job = local.job

        def is_over() -> bool:
            now = time.time()
            is_late = job.trouble is not None and now > job.trouble_since + PATIENCE_S
            is_stuck = is_late and job.not_before > now
            is_wanted = self.queue.find(job.id) is job
            return is_stuck or not is_wanted or not job.pending or job.state is JobState.WRITING

        await self.queue.wait_until(is_over)
        return job

    def close(self) -> None:
        """Let go of every descriptor. What a writer still had open is met by `_resume`."""
        try:
            for local in self._locals.values():
                if local.job.state in _UNSYNCED and local.job.clean:
                    local.file.sync_now()
            self._journal.save_boot("")
        except SpoolError as error:
            log.warning("not stopped in good order: %s", error)
        for local in self._locals.values():
            local.file.close()
        self._locals.clear()
