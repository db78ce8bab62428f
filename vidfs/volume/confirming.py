"""After an upload: what the host made of it is mended, and what it replaces is removed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

import trio

from vidfs.content.chunkcache import ChunkCache
from vidfs.content.upload_target import Journal
from vidfs.content.uploads import UploadQueue
from vidfs.errors import (
    HostError,
    HostNotFoundError,
    HostServerError,
    MoveAbilityError,
    UploadDamagedError,
    UploadLostError,
)
from vidfs.hosts.api import RemoteFile, VideoHost
from vidfs.tree.names import title_for_rename
from vidfs.tree.node import Node
from vidfs.tree.tree import Tree
from vidfs.types import FileCode, FolderId, Inode, Job, NodeKind
from vidfs.volume.inheritance import find_missing_fields
from vidfs.volume.trash import Trash

log = logging.getLogger(__name__)

_NEW_FILE_UNKNOWN_S = 900.0
"""So long after its upload a host may say that it doesn't know a file (API_FACTS §7)."""

_Place = tuple[str, Inode, str | None]  # name, folder, and that one's folder id at the host


def title_of(node: Node, default_extension: str) -> str:
    """The title that *node*'s upload is to have at the host."""
    if node.remote is None or not node.title:
        return node.given or node.name
    if node.given is None:
        return node.title
    return title_for_rename(node.given, node.title, default_extension)


def _check_copy(job: Job, info: RemoteFile) -> None:
    """Errors: UploadDamagedError if the host has other bytes than were sent.

    Conversion changes bytes too, but not without their number.
    """
    hashes_differ = info.sha1 is not None and job.sha1 is not None and info.sha1 != job.sha1
    if hashes_differ and info.size_bytes == job.size_bytes:
        raise UploadDamagedError("the host's copy has another sha1 than what was sent")


class Confirmer:
    def __init__(
        self,
        *,
        tree: Tree,
        host: VideoHost,
        cache: ChunkCache,
        queue: UploadQueue,
        journal: Journal,
        trash: Trash,
        record_code: Callable[[Job], None],
        default_extension: str,
    ) -> None:
        self._tree = tree
        self._host = host
        self._cache = cache
        self._queue = queue
        self._journal = journal
        self._trash = trash
        self._record_code = record_code
        self._default_extension = default_extension
        self._editing: dict[FileCode, trio.Event] = {}  # new uploads that are being put right
        self._heeds_folder = False  # an upload was seen in the folder that it was sent to

    async def confirm(self, job: Job, node: Node) -> None:
        place = None
        while place != self._place_of(node):  # it may be renamed while the host is asked
            place = await self._mend(job, node)
            while job.obsolete:  # and take the place of more
                code = job.obsolete[0]
                if code != job.code:
                    self._trash.note(node, code)
                    await self.discard(code, node.name)
                job.obsolete.remove(code)
                self._journal.save(job)

    def _place_of(self, node: Node) -> _Place:
        return node.name, node.parent, self._tree.get(node.parent).remote

    async def _mend(self, job: Job, node: Node) -> _Place:
        """Make title and folder at the host what they are here, once. Returns what they were.

        A title that the host changes all the same is left to it: the name here stays as given.
        """
        assert job.code is not None
        info = await self._find_info(job.code)
        if info is not None:
            _check_copy(job, info)
            self._tree.record_info(node, info)
        elif not await self._is_listed(job, node):
            # Some say nothing for a while; some said yes and kept nothing (API_FACTS §2.4).
            if time.time() - (job.sent_at or 0.0) > _NEW_FILE_UNKNOWN_S:
                raise UploadLostError("the host took it, but has shown no sign of it since")
            raise HostServerError("the host doesn't show its new file yet")
        seen_title = info.title if info is not None else job.sent_title
        seen_folder = info.folder if info is not None and info.folder is not None else None
        if seen_folder is None:
            seen_folder = await self._find_folder(job)
        place = self._place_of(node)
        title, parent = title_of(node, self._default_extension), self._tree.get(node.parent)
        new_title = title if title != seen_title else None
        new_folder = FolderId(parent.remote or "") if parent.remote != seen_folder else None
        fields = find_missing_fields(self._host, job, info)
        if new_title is None and new_folder is None and not fields:
            return place
        if new_folder is not None and not self._host.capabilities.move_file:
            await self._clone_into(job, title, new_folder)
            return place
        try:
            await self._edit_whole(job.code, new_title, new_folder, fields)
        except HostNotFoundError:
            if new_folder is not None:
                await self._host.list_folder(new_folder)  # raises if that is what is gone
            if time.time() - (job.sent_at or 0.0) > _NEW_FILE_UNKNOWN_S:
                raise
            raise HostServerError("the host doesn't know its new file yet") from None
        job.fields = {}
        if new_folder is not None:  # it may be moved on before we are done
            job.sent_folder, job.is_placed = new_folder, True
            self._journal.save(job)
        if new_title is not None:
            self._tree.record_title(node, new_title)
        return place

    async def _edit_whole(
        self,
        code: FileCode,
        title: str | None,
        folder: FolderId | None,
        fields: Mapping[str, str],
    ) -> None:
        """Change a new upload at the host. Who removes it waits for that (`discard`)."""

        async def edit() -> None:
            try:
                await self._host.edit_file(code, title=title, folder=folder, fields=fields)
            finally:
                self._editing.pop(code).set()

        await self._until_edited(code)
        self._editing[code] = trio.Event()
        await self._queue.finish_call(edit)

    async def _until_edited(self, code: FileCode) -> None:
        while (edited := self._editing.get(code)) is not None:
            await edited.wait()

    async def _clone_into(self, job: Job, title: str, folder: FolderId) -> None:
        """Get *job*'s file into *folder* where files can't be moved but cloned: the clone is
        the upload then, and what landed elsewhere is removed like what it replaces.

        Errors: MoveAbilityError. Source: API_FACTS §1.3 (the only way into a folder with the
        older document's calls).
        """
        assert job.code is not None
        if not self._host.capabilities.clone:
            raise MoveAbilityError(f"{self._host.name} can't move files")
        landed = job.code

        async def clone() -> None:
            # An earlier attempt may have made it without our learning of it.
            made = await self._queue.find_copy(job, folder)
            if made is None:
                made = await self._host.clone_file(landed, title=title, folder=folder)
            if job.code != landed:  # withdrawn meanwhile
                self._queue.clean_up(made, title)
                return
            with self._journal.durable():
                job.obsolete.append(landed)
                job.code = made
                self._record_code(job)
                self._journal.save(job)

        await self._queue.finish_call(clone)

    async def _is_listed(self, job: Job, node: Node) -> bool:
        """Whether the host's folders show what it has no information about yet."""
        for folder in {self._tree.get(node.parent).remote, job.sent_folder} - {None}:
            try:
                listing = await self._host.list_folder(FolderId(folder or ""))
            except HostNotFoundError:
                continue
            if any(file.code == job.code for file in listing.files):
                return True
        return False

    async def _find_folder(self, job: Job) -> FolderId | None:
        """Where *job*'s file lies by the folders' listings, on a host whose files don't tell.

        A host that once heeded the folder of an upload is believed from then on.
        """
        sent, root = job.sent_folder, self._host.root
        if sent is None or sent == root or self._heeds_folder or job.is_placed:
            return sent
        for folder in (sent, root):
            try:
                files = (await self._host.list_folder(folder)).files
            except HostNotFoundError:
                continue
            # Some root listings mix in files of subfolders (API_FACTS §4).
            if any(file.code == job.code and file.folder in (None, folder) for file in files):
                was_just_sent = job.attempt_at > 0  # else it may have been moved there
                self._heeds_folder = folder == sent and was_just_sent
                return folder
        return sent  # it isn't listed yet

    async def _find_info(self, code: FileCode) -> RemoteFile | None:
        """What the host says of a new upload; some say nothing for a while."""
        try:
            return (await self._host.file_info([code])).get(code)
        except HostNotFoundError:
            return None

    async def discard(self, code: FileCode, title: str) -> None:
        await self._until_edited(code)
        try:
            await self._trash.dispose_file(code, title)
        except HostNotFoundError:
            pass
        except HostError as error:
            log.warning("an old copy of %s can't be removed yet: %s", title, error)
            raise
        self._tree.bury(NodeKind.FILE, code)
        self._cache.forget(code)
