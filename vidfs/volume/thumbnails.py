"""The host's pictures as thumbnails, ahead of the file manager that wants to show them.

A folder that is listed gets a thumbnail for each of its films before the listing is answered:
a neutral one at first, so that no program reads a film to make one, and the host's picture as
soon as it is here. Pictures are fetched a few at a time, the newest folder first. A walk over
many folders is nobody who looks at pictures, and gets none.
"""

from __future__ import annotations

import logging
import subprocess
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import trio
from cachetools import LRUCache

from vidfs.content.pictures import fetch_picture
from vidfs.content.thumbnails import NotAPictureError, State, Subject, ThumbnailCache
from vidfs.errors import VidfsError
from vidfs.hosts.api import VideoHost
from vidfs.tree.names import has_video_extension
from vidfs.tree.node import Node
from vidfs.tree.tree import Tree
from vidfs.types import FileCode, Inode

log = logging.getLogger(__name__)

_PARALLEL = 4
_FILES_MAX = 5_000  # of one folder
_WAITING_MAX = 10_000
_KNOWN_MAX = 50_000
_RETRY_S = 600.0  # so long a host that has no picture yet isn't asked again
_PICTURE_DEADLINE_S = 30.0
_TELL_S = 0.2
_TELL_MAX = 200
_WALK_S = 10.0
_WALK_FOLDERS = 30  # as many folders in so short a time are a walk


class Thumbnails:
    def __init__(
        self,
        tree: Tree,
        host: VideoHost,
        cache: ThumbnailCache,
        *,
        mountpoint: str,
        root: Callable[[], Node],
        mtime_of: Callable[[Node], int],
        is_local: Callable[[Node], bool],
        clock: Callable[[], float],
    ) -> None:
        """*root*: the folder that is mounted. *is_local*: whoever reads it needs no host."""
        self._tree = tree
        self._host = host
        self._cache = cache
        self._mountpoint = mountpoint.rstrip("/")
        self._root = root
        self._mtime_of = mtime_of
        self._is_local = is_local
        self._clock = clock
        self._listed: deque[float] = deque(maxlen=_WALK_FOLDERS)
        self._known: LRUCache[Inode, tuple[Subject, float]] = LRUCache(_KNOWN_MAX)
        self._waiting: OrderedDict[Inode, tuple[Node, Subject]] = OrderedDict()
        self._running = 0
        self._made: list[str] = []  # paths of files whose thumbnails are new
        self._is_telling = False
        self._asking = trio.Lock()  # one call for a picture's address at a time: others go first
        self._nursery: trio.Nursery | None = None

    def start(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    async def listed(self, folder: Node) -> None:
        """*folder* is about to be shown. Returns when every film in it has some thumbnail."""
        now = self._clock()
        self._listed.append(now)
        if len(self._listed) == _WALK_FOLDERS and self._listed[0] > now - _WALK_S:
            return
        films = self._find_films(folder, now)
        if not films:
            return
        lacking = await trio.to_thread.run_sync(self._cover, [subject for _, subject in films])
        for (node, subject), is_lacking in zip(films, lacking, strict=True):
            self._known[node.inode] = (subject, now + _RETRY_S if is_lacking else float("inf"))
            if is_lacking:
                self._waiting[node.inode] = (node, subject)
        # the last is taken first: within a folder that is the first film, as it is shown
        for node, _ in reversed(films):
            if node.inode in self._waiting:
                self._waiting.move_to_end(node.inode)
        while len(self._waiting) > _WAITING_MAX:
            self._waiting.popitem(last=False)
        self._spread()

    def removed(self, folder: Node, name: str) -> None:
        """The file *name* is gone from *folder*."""
        if (path := self._path_of(folder)) is not None:
            self._cache.remove(f"{path}/{name}")

    def renamed(self, source: Node, old_name: str, target: Node, new_name: str) -> None:
        """A file or folder has another name. The files in a folder get thumbnails anew."""
        node = self._tree.find_child(target, new_name)
        old, new = self._path_of(source), self._path_of(target)
        if node is not None and not node.is_folder and old is not None and new is not None:
            subject = Subject(f"{new}/{new_name}", self._mtime_of(node))
            self._cache.move(f"{old}/{old_name}", subject)

    # --- inside ----------------------------------------------------------------------------

    def _path_of(self, folder: Node) -> str | None:
        """Where a file manager sees *folder*; None: outside of what is mounted."""
        root = self._root()
        if folder is root:
            return self._mountpoint
        above = self._tree.path_of(root).rstrip("/")
        path = self._tree.path_of(folder)
        return self._mountpoint + path[len(above) :] if path.startswith(above + "/") else None

    def _find_films(self, folder: Node, now: float) -> list[tuple[Node, Subject]]:
        """The films in *folder* about which nothing is known."""
        path = self._path_of(folder)
        films: list[tuple[Node, Subject]] = []
        if path is None:
            return films
        for name, node in self._tree.entries(folder).items():
            if node.is_folder or node.remote is None or not has_video_extension(name):
                continue
            subject = Subject(f"{path}/{name}", self._mtime_of(node))
            known = self._known.get(node.inode)
            if (known is None or known[0] != subject or known[1] < now) and not self._is_local(
                node
            ):
                films.append((node, subject))
                if len(films) == _FILES_MAX:
                    break
        return films

    def _cover(self, subjects: Sequence[Subject]) -> list[bool]:
        """See that every subject has a thumbnail: which of them still lack a picture."""
        lacking = []
        for subject in subjects:
            state = self._cache.state(subject)
            lacking.append(state is not State.PICTURE)
            if state is State.NONE:
                try:
                    self._cache.save_placeholder(subject)
                except OSError as error:
                    log.warning("no thumbnails: %s", error)
                    return [False] * len(subjects)
        return lacking

    def _spread(self) -> None:
        assert self._nursery is not None
        while self._running < min(_PARALLEL, len(self._waiting)):
            self._running += 1
            self._nursery.start_soon(self._work, name="thumbnails")

    async def _work(self) -> None:
        try:
            while self._waiting:
                _, (node, subject) = self._waiting.popitem()
                if node.linked and node.remote is not None:
                    await self._make(node, FileCode(node.remote), subject)
        finally:
            self._running -= 1

    async def _make(self, node: Node, code: FileCode, subject: Subject) -> None:
        try:
            with trio.fail_after(_PICTURE_DEADLINE_S):
                url = await self._find_url(node, code)
                if url is None:
                    return
                picture = await fetch_picture(self._host, url)
            if not node.linked or not subject.path.endswith(f"/{node.name}"):
                return  # removed or renamed meanwhile
            await trio.to_thread.run_sync(self._cache.save_picture, subject, picture)
            self._known[node.inode] = (subject, float("inf"))
            self._made.append(subject.path)
            self._tell_soon()
        except (VidfsError, NotAPictureError, trio.TooSlowError) as error:
            log.debug("no picture of %s: %s", node.name, error)
        except OSError as error:
            log.warning("no thumbnails: %s", error)
        except Exception:
            log.exception("the thumbnail of %s broke", node.name)

    def _tell_soon(self) -> None:
        assert self._nursery is not None
        if not self._is_telling:
            self._is_telling = True
            self._nursery.start_soon(self._tell_watchers, name="tell watchers")

    async def _tell_watchers(self) -> None:
        """Have the kernel tell file managers that they should look at these files again.

        Only a call through the kernel does that, and one that changes nothing will do: modes
        are accepted and not kept. It is a request to ourselves, so another process makes it,
        and nobody waits for that: a thread of ours in it could not be killed with the daemon.
        """
        child: subprocess.Popen[bytes] | None = None
        while self._made or (child is not None and child.poll() is None):
            await trio.sleep(_TELL_S)
            if self._made and (child is None or child.poll() is not None):
                paths, self._made = self._made[:_TELL_MAX], self._made[_TELL_MAX:]
                child = _start_touching(paths)
        self._is_telling = False

    async def _find_url(self, node: Node, code: FileCode) -> str | None:
        url = self._tree.load_extra(node).get("thumbnail", "")
        if "://" in url:
            return url
        if not self._host.capabilities.thumbnails:
            return None
        async with self._asking:
            return await self._host.find_thumbnail(code)


def _start_touching(paths: Sequence[str]) -> subprocess.Popen[bytes] | None:
    silent = subprocess.DEVNULL
    with suppress(OSError):
        return subprocess.Popen(
            ["chmod", "u+r", "--", *paths], stdin=silent, stdout=silent, stderr=silent
        )
    return None
