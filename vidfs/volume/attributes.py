"""Extended attributes `user.vidfs.*`: what the host and the journal say of a file or folder.

Most of it came with the listing. What only file/info tells is asked for when somebody looks at
a file's attributes, for the files after it in its folder too, many in one call. What takes a call
for each file (a download link, on some hosts the picture) is got only by its name.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime

import trio
from cachetools import TTLCache

from vidfs.errors import (
    ContentAbilityError,
    HostNotFoundError,
    InvalidArgumentError,
    NamespaceAbilityError,
    NoAttributeError,
    VidfsError,
)
from vidfs.hosts.api import VideoHost
from vidfs.tree.node import Node
from vidfs.tree.tree import Tree
from vidfs.types import FileCode, Inode, JobState
from vidfs.volume.writeback import Writeback

log = logging.getLogger(__name__)

PREFIX = "user.vidfs."
CONTROL = PREFIX + "control"  # on the mount's root: where the daemon's state is kept

READABLE = frozenset(
    "code folder_id title link embed download thumbnail length_s views uploaded can_play public"
    " adult premium_only category tags description status encoding sha1 upload".split()
)
WRITABLE = frozenset({"title", "public", "adult", "tags", "category", "description"})
_FLAGS = frozenset({"public", "adult"})
_REMOVABLE = frozenset({"tags", "description"})  # may be empty at the host

_WINDOW = 500  # files asked about together
_KNOWN_FOR_S = 600.0
_KNOWN_MAX = 200_000
_DEADLINE_S = 10.0
_LINK_DEADLINE_S = 30.0  # tickets make one wait

Retitle = Callable[[Node, str], Awaitable[None]]


class Attributes:
    def __init__(
        self, tree: Tree, host: VideoHost, writeback: Writeback, *, retitle: Retitle
    ) -> None:
        """*retitle*: gives a file or folder another title at the host, and a name after it."""
        self._tree = tree
        self._host = host
        self._writeback = writeback
        self._retitle = retitle
        self._asked: TTLCache[tuple[Inode, str | None], None] = TTLCache(_KNOWN_MAX, _KNOWN_FOR_S)
        self._turn = trio.Lock()

    # --- reading -------------------------------------------------------------------------

    async def load_names(self, node: Node) -> Sequence[str]:
        if self._host.capabilities.info_batch_max > 1:
            await self._complete(node)
        # A copy with all attributes (`cp -a`, Python's shutil.copy2) must not get the title, too:
        # its name would follow that.
        return [name for name in self.load(node) if name != PREFIX + "title"]

    async def get(self, node: Node, name: str) -> str:
        """Errors: NoAttributeError; HostError where one call tells just this."""
        field = name.removeprefix(PREFIX)
        if not name.startswith(PREFIX):
            raise NoAttributeError(name)
        value = self.load(node).get(name)
        if value is None and field in READABLE:
            await self._complete(node)
            value = self.load(node).get(name) or await self._ask_for(node, field)
        if not value:
            raise NoAttributeError(name)
        return value

    def load(self, node: Node) -> Mapping[str, str]:
        """All that is known of *node*, by full names, without asking the host."""
        found: dict[str, str] = {}
        if node.is_folder:
            found["folder_id"] = node.remote or ""
            found["title"] = node.title
        else:
            parent = self._tree.get(node.parent)
            found.update(self._tree.load_extra(node))
            found["folder_id"] = parent.remote or ""
            if node.remote is not None:
                found["code"] = node.remote
                found["title"] = node.title
            if node.uploaded_at is not None:
                # The host's own words for it lack their time zone.
                found["uploaded"] = datetime.fromtimestamp(int(node.uploaded_at), UTC).isoformat()
            if node.sha1 is not None:
                found["sha1"] = node.sha1
            found["upload"] = self._upload_state(node)
        return {PREFIX + name: value for name, value in found.items() if value}

    def _upload_state(self, node: Node) -> str:
        local = self._writeback.find(node.inode)
        if local is None or local.done:
            return JobState.DONE.value
        reason = f": {local.job.reason}" if local.job.reason else ""
        return local.job.state.value + reason

    async def _complete(self, node: Node) -> None:
        """Have what file/info tells of *node*, as far as the host answers in time."""
        if node.is_folder or node.remote is None or (node.inode, node.remote) in self._asked:
            return
        async with self._turn:
            nodes = self._lacking(node)
            if not nodes:
                return
            try:
                with trio.fail_after(_DEADLINE_S):
                    infos = await self._host.file_info([_code_of(n) for n in nodes])
            except (VidfsError, trio.TooSlowError) as error:
                log.debug("attributes of %d files not told: %s", len(nodes), error)
                infos = {}
            self._tree.record_infos(
                [(n, infos[_code_of(n)]) for n in nodes if _code_of(n) in infos]
            )
            for asked in nodes:
                self._asked[asked.inode, asked.remote] = None

    def _lacking(self, node: Node) -> list[Node]:
        """*node*, then the files after it in its folder, then those before it (who looks may go
        by names, the host by age), as far as nothing was asked about them lately."""
        if (node.inode, node.remote) in self._asked:
            return []
        if self._host.capabilities.info_batch_max == 1 or not node.linked:
            return [node]
        others = list(self._tree.entries(self._tree.get(node.parent)).values())
        at = next((at for at, other in enumerate(others) if other is node), 0)
        lacking = (
            other
            for other in itertools.chain(others[at:], others[:at])
            if not other.is_folder
            and other.remote is not None
            and (other.inode, other.remote) not in self._asked
        )
        return list(itertools.islice(lacking, _WINDOW))

    async def _ask_for(self, node: Node, field: str) -> str | None:
        """What a call for this file alone tells."""
        if node.is_folder or node.remote is None or not node.readable:
            return None
        code, can = FileCode(node.remote), self._host.capabilities
        try:
            with trio.fail_after(_LINK_DEADLINE_S):
                if field == "download" and can.read_content:
                    return (await self._host.open_link(code)).url
                if field == "thumbnail" and can.thumbnails:
                    return await self._host.find_thumbnail(code)
                if field == "encoding" and can.encodings:
                    return await self._host.find_encoding(code)
        except HostNotFoundError:
            pass
        return None

    # --- writing -------------------------------------------------------------------------

    async def set(self, node: Node, name: str, value: str) -> None:
        """Change an attribute at the host.

        Errors: ContentAbilityError where it can't be, or the file isn't there yet;
        NamespaceAbilityError for what nobody can set, InvalidArgumentError.
        """
        field = name.removeprefix(PREFIX)
        if not name.startswith(PREFIX):
            raise ContentAbilityError("only user.vidfs.* attributes exist here")
        known = self.load(node)
        if known.get(name) == value:
            return
        self._check_is_there(node)
        if field not in WRITABLE:
            if field in READABLE or name in known:
                raise NamespaceAbilityError(f"{field} is the host's to say")
            raise InvalidArgumentError(f"there is no attribute {field}")
        _check_value(field, value)
        self._check_can_set(node, field)
        if field == "title":
            await self._retitle(node, value)
        else:
            await self._host.edit_file(_code_of(node), fields={field: value})
            self._tree.set_extra(node, field, value)

    async def remove(self, node: Node, name: str) -> None:
        """Errors: NoAttributeError; NamespaceAbilityError for what can't be empty."""
        field = name.removeprefix(PREFIX)
        await self.get(node, name)
        if field not in _REMOVABLE:
            raise NamespaceAbilityError(f"{field} can't be removed")
        self._check_is_there(node)
        self._check_can_set(node, field)
        await self._host.edit_file(_code_of(node), fields={field: ""})
        self._tree.set_extra(node, field, "")

    def _check_is_there(self, node: Node) -> None:
        local = self._writeback.find(node.inode)
        if node.remote is None or (local is not None and not local.done):
            # Whoever copies a file with its attributes carries on after this errno alone.
            raise ContentAbilityError(f"{node.name} isn't at the host yet")

    def _check_can_set(self, node: Node, field: str) -> None:
        can = self._host.capabilities
        able = field in can.edit_fields and not node.is_folder
        if field == "title":
            able = can.rename_folder if node.is_folder else can.rename_file
        if not able:
            what = "a folder" if node.is_folder else "a file"
            raise ContentAbilityError(f"{self._host.name} can't change the {field} of {what}")


def _code_of(node: Node) -> FileCode:
    return FileCode(node.remote or "")


def _check_value(field: str, value: str) -> None:
    """Errors: InvalidArgumentError."""
    if any("\ud800" <= char <= "\udfff" or (char < " " and char not in "\t\n") for char in value):
        raise InvalidArgumentError(f"{field} is UTF-8 text")
    if field != "description" and any(char in "\t\n" for char in value):
        raise InvalidArgumentError(f"{field} is one line")
    if field in _FLAGS and value not in ("0", "1"):
        raise InvalidArgumentError(f"{field} is 0 or 1")
    if field == "category" and not (value.isascii() and value.isdecimal()):
        raise InvalidArgumentError("category is the number of one")
    if field == "title" and not value.strip():
        raise InvalidArgumentError("a title has to be something")
