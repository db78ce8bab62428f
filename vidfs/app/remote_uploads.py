"""Files that the host fetches by itself: asking for them and following them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import trio

from vidfs.app.remote import RemoteAccount
from vidfs.errors import AbilityError
from vidfs.hosts.api import UploadOptions
from vidfs.hosts.extras import Extras, RemoteUpload, RemoteUploads
from vidfs.hosts.xvs_records import XvsDialect
from vidfs.types import FileCode, FolderId

POLL_FIRST_S = 0.5
POLL_MAX_S = 3.0
MISSED_MAX = 4
"""Polls that neither list an upload nor know its file, before it counts as dropped."""

STATUS_LIMIT = 100
"""The most that the OpenLoad family lists at once. Source: S2, S3 (limit)."""

_DONE = frozenset("finished done complete completed ok success uploaded".split())
_FAILED = frozenset("error failed failure aborted cancelled canceled dead".split())

Show = Callable[[str, "float | None", str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a fetched file is to get; None where it doesn't matter."""

    title: str | None = None
    description: str | None = None
    category: str | None = None
    tags: tuple[str, ...] | None = None
    public: bool | None = None
    adult: bool | None = None
    headers: tuple[str, ...] = ()

    def given(self) -> dict[str, Any]:
        found = {
            name: getattr(self, name)
            for name in ("title", "description", "category", "tags", "public", "adult")
        }
        return {name: value for name, value in found.items() if value is not None}


def to_outcome(upload: RemoteUpload) -> Literal["done", "failed", "going"]:
    """Hosts have words of their own for how an upload stands."""
    word = upload.status.strip().lower()
    if word in _FAILED or upload.error:
        return "failed"
    return "done" if word in _DONE or (upload.code and upload.link) else "going"


def find_fields(remote: RemoteAccount) -> frozenset[str]:
    """What can go with the request itself, of `Wish`' members."""
    dialect = remote.dialect
    if isinstance(dialect, XvsDialect):
        fields = set(dialect.remote_fields) - {"folder"}
    else:
        fields = {"title"} if dialect.remote_name else set()
        fields |= {"headers"} if dialect.remote_headers != "none" else set()
    method = "add_remote_upload"
    if not (remote.takes(method, "title") or remote.takes(method, "name")):
        fields.discard("title")
    return frozenset(fields)


class RemoteAdder:
    """Asks one account's host to fetch files."""

    def __init__(self, remote: RemoteAccount, wish: Wish, *, will_wait: bool) -> None:
        """*will_wait*: what can't go with the request may be changed once the file is there.

        Errors: AbilityError for what can't be granted, before anything is asked.
        """
        can, name = remote.host.capabilities, remote.host.name
        self._remote = remote
        self._wish = wish
        self._extras = remote.extras(can.remote_upload, "add_remote_upload", "fetch from URLs")
        fields = find_fields(remote)
        if wish.headers and "headers" not in fields:
            raise AbilityError(f"{name} can't send headers when it fetches a URL")
        self.later = {n: v for n, v in wish.given().items() if n not in fields}
        editable = can.edit_fields | ({"title"} if can.rename_file else set())
        if unable := sorted(self.later.keys() - editable):
            raise AbilityError(f"{name} can't set the {', '.join(unable)} of a remote upload")
        if self.later and not will_wait:
            what = ", ".join(sorted(self.later))
            raise AbilityError(
                f"{name} can't set the {what} of a remote upload at once; with --wait it is done"
                " when the file is there"
            )
        self._more = self._to_parameters(wish, fields)

    def _to_parameters(self, wish: Wish, fields: frozenset[str]) -> dict[str, Any]:
        defaults = self._remote.account.uploads
        title = wish.title if "title" in fields else None
        options = UploadOptions(
            public=defaults.public if wish.public is None else wish.public,
            adult=defaults.adult if wish.adult is None else wish.adult,
            category=wish.category or defaults.category,
            tags=defaults.tags if wish.tags is None else wish.tags,
            description=wish.description or defaults.description,
        )
        return self._remote.accepted(
            "add_remote_upload", options=options, headers=wish.headers, name=title, title=title
        )

    async def add(self, url: str, folder: FolderId) -> RemoteUpload:
        """Never repeated blindly. Errors: HostError, OutcomeUnknownError."""
        added = await self._extras.add_remote_upload(url, folder=folder, **self._more)
        return replace(added, url=added.url or url)

    async def finish(self, code: FileCode) -> None:
        """Give the fetched file what couldn't go with the request, or was ignored there."""
        changes = dict(self.later)
        title = changes.pop("title", None)
        if title is None and self._wish.title is not None:
            info = (await self._remote.host.file_info([code])).get(code)
            if info is not None and info.title != self._wish.title:
                title = self._wish.title
        fields = {name: _to_field(value) for name, value in changes.items()}
        if title is not None or fields:
            await self._remote.host.edit_file(code, title=title, fields=fields or None)


def _to_field(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return ", ".join(value) if isinstance(value, tuple) else str(value)


async def list_uploads(remote: RemoteAccount, job: str | None = None) -> RemoteUploads:
    """How they stand. Errors: AbilityError where the host doesn't say."""
    able = remote.host.capabilities.remote_upload_status
    extras = remote.extras(able, "list_remote_uploads", "say how remote uploads stand")
    more = remote.accepted("list_remote_uploads", limit=STATUS_LIMIT)
    return await extras.list_remote_uploads(job, **more)


async def cancel_failed(remote: RemoteAccount) -> None:
    """In one call where the host has it, else one by one. Errors: AbilityError."""
    if hasattr(remote.host, "clear_remote_errors"):
        what = "clear failed remote uploads"
        await get_actions(remote, "clear_remote_errors", what).clear_remote_errors()
        return
    actions = get_actions(remote, "cancel_remote_uploads", "cancel remote uploads")
    uploads = (await list_uploads(remote)).uploads
    await actions.cancel_remote_uploads(
        [upload.job for upload in uploads if to_outcome(upload) == "failed"]
    )


def get_actions(remote: RemoteAccount, method: str, what: str) -> Extras:
    return remote.extras(remote.host.capabilities.remote_upload, method, what)


async def follow(
    remote: RemoteAccount, uploads: Sequence[RemoteUpload], show: Show
) -> list[RemoteUpload]:
    """Wait until each of *uploads* is done or has failed; how they ended, in order.

    A host that doesn't say how they stand is asked for the files instead.
    Errors: AbilityError where neither is possible; HostError.
    """
    knows = remote.host.capabilities.remote_upload_status
    if not knows and not all(upload.code for upload in uploads):
        raise AbilityError(f"{remote.host.name} can't say how remote uploads stand")
    state = {upload.job: upload for upload in uploads}
    missed = dict.fromkeys(state, 0)
    pause_s = POLL_FIRST_S
    while going := [job for job, one in state.items() if to_outcome(one) == "going"]:
        listed = await _poll(remote, going) if knows else {}
        lost = [job for job in going if job not in listed]
        there = await _find_files(remote, [state[job] for job in lost])
        for job in going:
            if job in listed:
                state[job] = _merge(state[job], listed[job])
            elif job in there:
                state[job] = replace(state[job], status="done", progress=1.0)
            elif knows:
                missed[job] += 1
                if missed[job] >= MISSED_MAX:
                    state[job] = replace(
                        state[job], status="error", error="no longer in the host's list"
                    )
            show(state[job].url, state[job].progress, state[job].status)
        if any(to_outcome(state[job]) == "going" for job in going):
            await trio.sleep(pause_s)
            pause_s = min(POLL_MAX_S, pause_s * 1.5)
    return [state[upload.job] for upload in uploads]


async def _poll(remote: RemoteAccount, jobs: Sequence[str]) -> Mapping[str, RemoteUpload]:
    found = {one.job: one for one in (await list_uploads(remote)).uploads}
    for job in [job for job in jobs if job not in found][:STATUS_LIMIT]:
        found |= {one.job: one for one in (await list_uploads(remote, job)).uploads}
    return {job: found[job] for job in jobs if job in found}


async def _find_files(remote: RemoteAccount, uploads: Sequence[RemoteUpload]) -> set[str]:
    codes = {upload.code: upload.job for upload in uploads if upload.code}
    found = await remote.host.file_info(list(codes)) if codes else {}
    return {codes[code] for code in found}


def _merge(before: RemoteUpload, now: RemoteUpload) -> RemoteUpload:
    return replace(
        now,
        url=now.url or before.url,
        code=now.code or before.code,
        folder=now.folder or before.folder,
    )
