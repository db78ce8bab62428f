"""Every call and parameter that the hosts' documents name, and how our clients make it.

`scripts/host-calls` prints this as a table and holds it against the documents themselves;
`test_documented_calls` makes each call and looks at what arrives. `key`, `login` and `api_key`
go with every call and are left out, but where the document has them as fields of an upload.

Source: S0 with API_FACTS §1.2 (doodstream), S1 (vipstream), S1 with API_FACTS §2.2 (xvs),
S2 (fruithosted), S3 (pstream), API_FACTS §5 (streamtape).
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidfs.hosts.api import UploadBody, UploadOptions
from vidfs.hosts.multipart import SmallFile
from vidfs.types import FileCode, FolderId

OPTIONS = UploadOptions(
    public=False, adult=True, category="5", tags=["promo", "high quality"], description="new stuff"
)
URL = "http://video.example/big_buck_bunny.mp4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """An account with something in it, and a file to send."""

    file: FileCode
    other: FileCode
    folder: FolderId
    film: Path

    @property
    def body(self) -> UploadBody:
        content = self.film.read_bytes()
        return UploadBody(
            path=self.film,
            size_bytes=len(content),
            sha1=hashlib.sha1(content).hexdigest(),  # noqa: S324
            sha256=hashlib.sha256(content).hexdigest(),
        )


Act = Callable[[Any, Stage], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Use:
    """How the client makes one call. All of *params* arrive once every act is done."""

    method: str
    params: tuple[str, ...]
    acts: tuple[Act, ...] = field(repr=False)


def use(method: str, params: str, *acts: Act) -> Use:
    return Use(method, tuple(params.split()), acts)


async def _redeem(host: Any, stage: Stage) -> None:
    ticket = await host.fetch_ticket(stage.file)
    await host.redeem_ticket(stage.file, ticket, "simhost")


async def _remote_job(host: Any, stage: Stage) -> str:
    return str((await host.add_remote_upload(URL)).job)


async def _remote_status(host: Any, stage: Stage) -> None:
    await host.list_remote_uploads(await _remote_job(host, stage))


async def _cancel_one(host: Any, stage: Stage) -> None:
    await host.cancel_remote_uploads([await _remote_job(host, stage)])


def _upload(**more: Any) -> Act:
    return lambda host, stage: host.upload(
        stage.body, folder=stage.folder, title="New release video.mp4", options=OPTIONS, **more
    )


_FORM: Mapping[str, Use] = {
    "account/info": use("account_info", "", lambda h, s: h.account_info()),
    "upload/server": use("fetch_upload_server", "", lambda h, s: h.fetch_upload_server()),
    "file/info": use("file_info", "file_code", lambda h, s: h.file_info([s.file, s.other])),
}

VIPSTREAM: Mapping[str, Use] = {
    **_FORM,
    "account/stats": use("account_stats", "last", lambda h, s: h.account_stats(14)),
    "upload": use(
        "upload",
        "key file file_title file_descr snapshot fld_id cat_id tags file_public file_adult"
        " html_redirect",
        _upload(snapshot=SmallFile("snapshot", "1.jpg", b"picture"), html_redirect=True),
    ),
    "upload/url": use(
        "add_remote_upload",
        "url fld_id cat_id file_public file_adult tags",
        lambda h, s: h.add_remote_upload(URL, folder=s.folder, options=OPTIONS),
    ),
    "file/edit": use(
        "edit_files",
        "file_code file_title file_descr cat_id file_fld_id file_public file_adult tags",
        lambda h, s: h.edit_files(
            [s.file, s.other],
            title="The 100 S01E02",
            folder=s.folder,
            fields={
                "description": "release by MegaDrive",
                "category": "5",
                "public": "1",
                "adult": "0",
                "tags": "promo, high quality",
            },
        ),
    ),
    "file/list": use(
        "list_files",
        "fld_id title created public adult per_page page",
        lambda h, s: h.list_files(
            folder=s.folder, title="Iron man", created="60", public=True, adult=False
        ),
        lambda h, s: h.list_new_files(0.0),
        lambda h, s: h.search_files("Iron man"),
    ),
    "file/clone": use(
        "clone_file", "file_code file_title", lambda h, s: h.clone_file(s.file, title="New title")
    ),
    "file/deleted": use("list_deleted", "last", lambda h, s: h.list_deleted(24)),
    "file/dmca": use("list_dmca", "last", lambda h, s: h.list_dmca(24)),
    "folder/list": use("list_folder", "fld_id files", lambda h, s: h.list_folder(s.folder)),
    "folder/create": use(
        "create_folder",
        "name parent_id descr",
        lambda h, s: h.create_folder(s.folder, "New Videos", "new stuff"),
    ),
    "folder/edit": use(
        "edit_folder",
        "fld_id name parent_id descr",
        lambda h, s: h.edit_folder(s.folder, name="Movies 2021", parent=h.root, descr="old stuff"),
    ),
    "file/encodings": use("list_encodings", "code", lambda h, s: h.list_encodings(s.file)),
}

XVS: Mapping[str, Use] = {
    **VIPSTREAM,
    "file/clone": use(
        "clone_file",
        "file_code file_title fld_id",
        lambda h, s: h.clone_file(s.file, title="New title", folder=s.folder),
    ),
    "file/encodings": use("list_encodings", "file_code", lambda h, s: h.list_encodings(s.file)),
    "file/direct_link": use(
        "fetch_versions",
        "file_code q hls",
        lambda h, s: h.open_link(s.file),
        lambda h, s: h.fetch_versions(s.file, quality="o", hls=True),
    ),
    "file/delete": use("delete_file", "file_code", lambda h, s: h.delete_file(s.file)),
    "folder/delete": use("delete_folder", "fld_id", lambda h, s: h.delete_folder(s.folder)),
    "file/url_uploads": use("list_remote_uploads", "file_code", _remote_status),
    "file/url_actions": use(
        "cancel_remote_uploads",
        "restart_errors delete_errors delete_all delete_code",
        lambda h, s: h.retry_remote_uploads(),
        lambda h, s: h.clear_remote_errors(),
        lambda h, s: h.cancel_remote_uploads(),
        _cancel_one,
    ),
}

DOODSTREAM: Mapping[str, Use] = {
    **_FORM,
    "account/stats": use(
        "account_stats",
        "last from_date to_date",
        lambda h, s: h.account_stats(7, from_date="2017-08-11", to_date="2017-08-12"),
    ),
    "dmca/list": use("list_dmca", "per_page page", lambda h, s: h.list_dmca()),
    "upload": use("upload", "api_key file", _upload()),
    "file/clone": use(
        "clone_file", "file_code fld_id", lambda h, s: h.clone_file(s.file, folder=s.folder)
    ),
    "upload/url": use(
        "add_remote_upload",
        "url fld_id new_title",
        lambda h, s: h.add_remote_upload(URL, folder=s.folder, title="Bunny"),
    ),
    "urlupload/list": use("list_remote_uploads", "", lambda h, s: h.list_remote_uploads()),
    "urlupload/status": use("list_remote_uploads", "file_code", _remote_status),
    "urlupload/slots": use("count_remote_slots", "", lambda h, s: h.count_remote_slots()),
    "urlupload/actions": use(
        "cancel_remote_uploads",
        "restart_errors clear_errors clear_all delete_code",
        lambda h, s: h.retry_remote_uploads(),
        lambda h, s: h.clear_remote_errors(),
        lambda h, s: h.cancel_remote_uploads(),
        _cancel_one,
    ),
    "folder/create": use(
        "create_folder", "name parent_id", lambda h, s: h.create_folder(s.folder, "New Videos")
    ),
    "folder/rename": use(
        "edit_folder", "fld_id name", lambda h, s: h.edit_folder(s.folder, name="Movies")
    ),
    "folder/list": use(
        "list_folder",
        "fld_id only_folders",
        lambda h, s: h.list_folder(s.folder),
        lambda h, s: h.list_subfolders(h.root),
    ),
    "file/list": use(
        "list_files",
        "page per_page fld_id created",
        lambda h, s: h.list_files(folder=s.folder, created="60"),
    ),
    "file/check": use("check_files", "file_code", lambda h, s: h.check_files([s.file])),
    "file/image": use("find_pictures", "file_code", lambda h, s: h.find_pictures(s.file)),
    "file/rename": use(
        "edit_file", "file_code title", lambda h, s: h.edit_file(s.file, title="New")
    ),
    "file/move": use(
        "edit_file", "file_code fld_id", lambda h, s: h.edit_file(s.file, folder=s.folder)
    ),
    "search/videos": use("search_files", "search_term", lambda h, s: h.search_files("film")),
}

_OPENLOAD: Mapping[str, Use] = {
    "account/info": use("account_info", "", lambda h, s: h.account_info()),
    "file/info": use("file_info", "file", lambda h, s: h.file_info([s.file, s.other])),
    "file/ul": use(
        "fetch_upload_server",
        "folder sha1 httponly",
        lambda h, s: h.fetch_upload_server(s.folder, s.body.sha1, http_only=True),
    ),
    "upload": use("upload", "file1", _upload()),
    "remotedl/add": use(
        "add_remote_upload",
        "url folder headers",
        lambda h, s: h.add_remote_upload(URL, folder=s.folder, headers=["A: 1", "B: 2"]),
    ),
    "remotedl/status": use(
        "list_remote_uploads",
        "limit id",
        lambda h, s: h.list_remote_uploads(limit=100),
        _remote_status,
    ),
    "file/getsplash": use("find_thumbnail", "file", lambda h, s: h.find_thumbnail(s.file)),
    "file/listfolder": use("list_folder", "folder", lambda h, s: h.list_folder(s.folder)),
    "file/renamefolder": use(
        "edit_folder", "folder name", lambda h, s: h.edit_folder(s.folder, name="Movies")
    ),
    "file/rename": use("edit_file", "file name", lambda h, s: h.edit_file(s.file, title="New.mp4")),
}

_TICKETS: Mapping[str, Use] = {
    "file/dlticket": use("fetch_ticket", "file", lambda h, s: h.open_link(s.file)),
    "file/dl": use("redeem_ticket", "file ticket captcha_response", _redeem),
}

_FOLDERS: Mapping[str, Use] = {
    "file/createfolder": use(
        "create_folder", "name pid", lambda h, s: h.create_folder(s.folder, "MyFolderBoi")
    ),
    "file/deletefolder": use("delete_folder", "folder", lambda h, s: h.delete_folder(s.folder)),
    "file/move": use("edit_file", "file folder", lambda h, s: h.edit_file(s.file, folder=s.folder)),
    "file/delete": use("delete_file", "file", lambda h, s: h.delete_file(s.file)),
}

FRUITHOSTED: Mapping[str, Use] = {
    **_OPENLOAD,
    **_TICKETS,
    "file/convert": use("convert_file", "file", lambda h, s: h.convert_file(s.file)),
    "file/runningconverts": use(
        "list_encodings", "folder", lambda h, s: h.list_encodings(folder=s.folder)
    ),
}

PSTREAM: Mapping[str, Use] = {
    **_OPENLOAD,
    **_FOLDERS,
    "remotedl/add": use(
        "add_remote_upload",
        "url folder headers[]",
        lambda h, s: h.add_remote_upload(URL, folder=s.folder, headers=["A: 1", "B: 2"]),
    ),
    # The page's address has `id` for what its table calls `file`: the table is believed.
    "file/converts": use(
        "list_encodings", "limit file", lambda h, s: h.list_encodings(s.file, limit=5)
    ),
}

STREAMTAPE: Mapping[str, Use] = {
    **_OPENLOAD,
    **_TICKETS,
    **_FOLDERS,
    "file/ul": use(
        "fetch_upload_server",
        "folder sha256 httponly",
        lambda h, s: h.fetch_upload_server(s.folder, s.body.sha256, http_only=True),
    ),
    "remotedl/add": use(
        "add_remote_upload",
        "url folder headers name",
        lambda h, s: h.add_remote_upload(URL, folder=s.folder, headers=["A: 1"], name="Bunny"),
    ),
    "remotedl/remove": use("cancel_remote_uploads", "id", _cancel_one),
    "file/runningconverts": use("list_encodings", "", lambda h, s: h.list_encodings()),
    "file/failedconverts": use("list_encodings", "", lambda h, s: h.list_encodings()),
}

CALLS: Mapping[str, Mapping[str, Use]] = {
    "doodstream": DOODSTREAM,
    "vipstream": VIPSTREAM,
    "xvs": XVS,
    "fruithosted": FRUITHOSTED,
    "pstream": PSTREAM,
    "streamtape": STREAMTAPE,
}
