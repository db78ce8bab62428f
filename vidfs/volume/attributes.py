"""Extended attributes `user.vidfs.*`: what the host and the journal say of a file or folder."""

from __future__ import annotations

from collections.abc import Mapping

from vidfs.errors import ContentAbilityError, InvalidArgumentError, NoAttributeError
from vidfs.hosts.api import VideoHost
from vidfs.tree.node import Node
from vidfs.tree.tree import Tree
from vidfs.types import FileCode, JobState
from vidfs.volume.writeback import Writeback

PREFIX = "user.vidfs."
CONTROL = PREFIX + "control"  # on the mount's root: where the daemon's state is kept


class Attributes:
    def __init__(self, tree: Tree, host: VideoHost, writeback: Writeback) -> None:
        self._tree = tree
        self._host = host
        self._writeback = writeback

    def load(self, node: Node) -> Mapping[str, str]:
        """All attributes of *node*, by their full names, without asking the host."""
        found: dict[str, str] = {}
        if node.is_folder:
            found["folder_id"] = node.remote or ""
        else:
            parent = self._tree.get(node.parent)
            found.update(self._tree.load_extra(node))
            found["folder_id"] = parent.remote or ""
            if node.remote is not None:
                found["code"] = node.remote
                found["title"] = node.title
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

    def get(self, node: Node, name: str) -> str:
        """Errors: NoAttributeError."""
        if not name.startswith(PREFIX):
            raise NoAttributeError(name)
        value = self.load(node).get(name)
        if value is None:
            raise NoAttributeError(name)
        return value

    async def set(self, node: Node, name: str, value: str) -> None:
        """Change an attribute at the host. Errors: ContentAbilityError where it can't be."""
        field = name.removeprefix(PREFIX)
        if not name.startswith(PREFIX):
            raise ContentAbilityError("only user.vidfs.* attributes exist here")
        if field not in self._host.capabilities.edit_fields:
            raise ContentAbilityError(f"{self._host.name} can't change {field}")
        if node.is_folder or node.remote is None:
            raise InvalidArgumentError("only files that are at the host have it")
        if field in ("public", "adult") and value not in ("0", "1"):
            raise InvalidArgumentError(f"{field} is 0 or 1")
        await self._host.edit_file(FileCode(node.remote), fields={field: value})
        self._tree.set_extra(node, field, value)
