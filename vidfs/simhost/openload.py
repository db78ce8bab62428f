"""Answers of the OpenLoad family: calls that fruithosted, pstream and streamtape share,
and the records of the three. Where dialects differ, a record's table names another function.

Source: S2 (fruithosted), S3 (pstream), API_FACTS §3 to §5.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from urllib.parse import quote_plus

from .account import VIDEO_EXTENSIONS, Account, Ticket, UploadToken
from .records import MIXED, ApiError, Call, Fields, Handler, Record
from .store import ANONYMOUS, FileRow, Filter, FolderRow, RemoteRow

UPLOAD_TOKEN_S = 7200.0
CAPTCHA_FAILED = "Captcha not solved correctly"


# -- parameters ----------------------------------------------------------------------------


def required(call: Call, name: str) -> str:
    value = call.get(name)
    if not value:
        raise ApiError(400, f"Missing parameter: {name}")
    return value


def find_folder(account: Account, text: str) -> FolderRow | None:
    """A folder by the id this dialect shows; the empty text is the home folder."""
    if not text:
        return account.store.find_folder(account.record.root_id)
    if account.record.folder_by_code and text != "0":
        return account.store.find_folder_code(text)
    return account.store.find_folder(int(text)) if text.isdigit() else None


def folder_param(call: Call, name: str = "folder") -> FolderRow:
    folder = find_folder(call.account, call.get(name))
    if folder is None:
        raise ApiError(404, "Folder not found")
    return folder


def file_param(call: Call) -> FileRow:
    row = call.account.store.find_file(required(call, "file"))
    if row is None or row.status == 404:
        raise ApiError(404, "File not found")
    return row


def limit_param(call: Call) -> int:
    """Default 5, maximum 100, minimum 1."""
    text = call.get("limit")
    if text and not text.isdigit():
        raise ApiError(400, "Invalid limit")
    return max(1, min(100, int(text or 5)))


def content_type(name: str) -> str:
    return _type_of_extension(name.rpartition(".")[2].lower())


@lru_cache(maxsize=1024)
def _type_of_extension(extension: str) -> str:
    return mimetypes.guess_type(f"x.{extension}")[0] or "application/octet-stream"


def keyed(items: dict[str, Fields]) -> object:
    """An object keyed by id; empty, it comes as a list, as PHP has it (API_FACTS §3.4)."""
    return items or []


# -- download ------------------------------------------------------------------------------


def check_available(row: FileRow) -> None:
    if row.status == 451:
        raise ApiError(451, "Not available due to legal reasons")
    if row.status != 200:
        raise ApiError(row.status, "File not available")


def dlticket(call: Call) -> Fields:
    account, settings = call.account, call.account.settings
    row = file_param(call)
    check_available(row)
    captcha = settings.captcha or "captcha" in call.faults
    ticket = f"{row.code}~~{int(call.now)}~n~~0~{account.random_text(MIXED, 16)}"
    expires_at = call.now + settings.ticket_ttl_s
    account.tickets[ticket] = Ticket(
        row.code, call.now + settings.ticket_wait_s, expires_at, captcha
    )
    result: Fields = {
        "ticket": ticket,
        "captcha_url": account.site_url(f"dlcaptcha/{account.new_token()}.png")
        if captcha
        else False,
        "captcha_w": 140,
        "captcha_h": 70,
        "wait_time": int(settings.ticket_wait_s),
        "valid_until": account.date(expires_at),
    }
    return {"result": result}


def dlticket_streamtape(call: Call) -> Fields:
    result = dlticket(call)["result"]
    assert isinstance(result, dict)
    return {"result": {name: result[name] for name in ("ticket", "wait_time", "valid_until")}}


def use_ticket(call: Call) -> FileRow:
    """The file that a ticket opens. Errors: ApiError 403, 404 (texts assumed)."""
    account = call.account
    row = file_param(call)
    ticket = account.tickets.get(required(call, "ticket"))
    if ticket is None or ticket.code != row.code or ticket.expires_at <= call.now:
        raise ApiError(403, "Download ticket not found or expired")
    if ticket.used and account.settings.ticket_once:
        raise ApiError(403, "Download ticket already used")
    if ticket.ready_at > call.now:
        left = int(ticket.ready_at - call.now) + 1
        raise ApiError(403, f"You need to wait {left} more seconds")
    answer = call.get("captcha_response")
    wrong = ticket.captcha and answer != account.settings.captcha_answer
    if wrong or "captcha" in call.faults:
        raise ApiError(403, CAPTCHA_FAILED)
    check_available(row)
    ticket.used = True
    return row


def dl(call: Call) -> Fields:
    account = call.account
    row = use_ticket(call)
    url, token = account.issue_link(row, call.now)
    return {
        "result": {
            "name": row.title,
            "size": row.size,
            "sha1": account.sha1(row),
            "content_type": content_type(row.title),
            "upload_at": account.date(row.uploaded),
            "url": url,
            "token": token,
        }
    }


def dl_streamtape(call: Call) -> Fields:
    row = use_ticket(call)
    url, _ = call.account.issue_link(row, call.now)
    return {"result": {"name": row.title, "size": row.size, "url": url}}


# -- files ---------------------------------------------------------------------------------


def info_item(call: Call, row: FileRow) -> Fields:
    name = row.title if call.account.record.listed_extension else video_name(row.title)
    return {
        "id": row.code,
        "status": row.status,
        "name": name,
        "size": False if row.status == 500 else row.size,
        "sha1": call.account.sha1(row),
        "content_type": content_type(name),
    }


def info_item_streamtape(call: Call, row: FileRow) -> Fields:
    return {
        "id": row.code,
        "status": row.status,
        "name": row.title,
        "size": row.size,
        "type": content_type(row.title),
        "converted": row.transcode_at is None,
    }


def missing_item(code: str) -> Fields:
    return {
        "id": code, "status": 404, "name": False, "size": False, "sha1": False,
        "content_type": False,
    }  # fmt: skip


def missing_item_streamtape(code: str) -> Fields:
    return {"id": code, "status": 404, "name": False, "size": False, "converted": False}


def file_info(call: Call) -> Fields:
    return answer_info(call, info_item, missing_item)


def file_info_streamtape(call: Call) -> Fields:
    return answer_info(call, info_item_streamtape, missing_item_streamtape)


def answer_info(
    call: Call, item: Callable[[Call, FileRow], Fields], missing: Callable[[str], Fields]
) -> Fields:
    account = call.account
    items: dict[str, Fields] = {}
    for code in required(call, "file").split(",")[: account.settings.info_batch_max]:
        row = account.store.find_file(code)
        if row is None or row.status == 404 or account.is_hidden(row, call.now):
            items[code] = missing(code)
        else:
            items[code] = item(call, row)
    return {"result": keyed(items)}


def file_ul(call: Call) -> Fields:
    """An upload address that takes one upload. A login may be left out: the file then
    belongs to nobody."""
    account = call.account
    folder = folder_param(call).id if call.get("login") else ANONYMOUS
    token = account.new_token()
    valid_until = call.now + UPLOAD_TOKEN_S
    digest = call.get(account.record.upload_hash).lower()
    account.upload_tokens[token] = UploadToken(folder, digest, valid_until)
    return {
        "result": {
            "url": account.node_url(f"ul/{token}"),
            "valid_until": account.date(valid_until),
        }
    }


def file_rename(call: Call) -> Fields:
    row, name = file_param(call), required(call, "name")
    call.account.store.edit_file(row, title=call.account.cut(name))
    return {"result": True}


def file_move(call: Call) -> Fields:
    row = file_param(call)
    required(call, "folder")
    call.account.store.edit_file(row, folder=folder_param(call).id)
    return {"result": True}


def file_delete(call: Call) -> Fields:
    call.account.delete_file(file_param(call))
    return {"result": True}


def file_convert(call: Call) -> Fields:
    row = file_param(call)
    due = call.now + call.account.settings.transcode_delay_s
    call.account.store.edit_file(row, transcode_at=due)
    call.account.reschedule()
    return {"result": True}


def getsplash(call: Call) -> Fields:
    row = file_param(call)
    picture = f"{row.code[::-1]}.jpg"
    return {"result": call.account.site_url(f"splash/{row.code}/{picture}")}


def progress_of(call: Call, row: FileRow) -> float:
    left = ((row.transcode_at or 0) - call.now) / max(
        0.001, call.account.settings.transcode_delay_s
    )
    return min(0.99, max(0.0, 1 - left))


def convert_item(call: Call, row: FileRow, progress: float) -> Fields:
    return {
        "name": row.title,
        "id": str(row.id),
        "status": "pending",
        "last_update": call.account.date(call.now),
        "progress": progress,
        "retries": "0",
        "link": call.account.page_url(row),
        "linkextid": row.code,
    }


def runningconverts(call: Call) -> Fields:
    """By folder; without one, those of the whole account (assumed)."""
    folder = folder_param(call).id if call.get("folder") else None
    return {
        "result": [
            convert_item(call, row, round(progress_of(call, row), 2))
            for row in call.account.store.list_transcoding()
            if folder in (None, row.folder)
        ]
    }


def failedconverts(call: Call) -> Fields:
    return {"result": []}


def converts(call: Call) -> Fields:
    """Progress in percent here. `id` of the address and `file` of the table both filter."""
    wanted = call.get("file") or call.get("id")
    rows = [
        row
        for row in call.account.store.list_transcoding()
        if not wanted or wanted in (row.code, str(row.id))
    ]
    return {
        "result": [
            convert_item(call, row, int(100 * progress_of(call, row)))
            for row in rows[: limit_param(call)]
        ]
    }


# -- folders -------------------------------------------------------------------------------


def listfolder(call: Call) -> Fields:
    account = call.account
    folder = folder_param(call)
    folders = [
        {"id": str(row.id), "name": row.name} for row in account.store.list_folders(folder.id)
    ]
    if account.settings.system_folders and folder.parent is None:
        folders = [
            {"id": "900000001", "name": ".videothumb"},
            {"id": "900000002", "name": ".subtitles"},
            *folders,
        ]
    prefix = account.site_url("f/")
    return {
        "result": {
            "folders": folders,
            "files": [
                {
                    "name": row.title,
                    "sha1": row.sha1 or account.sha1(row),
                    "folderid": str(row.folder),
                    "upload_at": str(int(row.uploaded)),
                    "status": "active",
                    "size": str(row.size),
                    "content_type": content_type(row.title),
                    "download_count": str(row.views),
                    "cstatus": "ok" if row.status == 200 else "error",
                    "link": f"{prefix}{row.code}/{quote_plus(row.title)}",
                    "linkextid": row.code,
                }
                for row in account.store.list_files(Filter(folder.id))
            ],
        }
    }


def listfolder_pstream(call: Call) -> Fields:
    account = call.account
    folder = folder_param(call)
    everything = account.settings.root_mix and folder.parent is None
    files: dict[str, Fields] = {
        row.code: {
            "name": row.title,
            "sha1": row.sha1 or account.sha1(row),
            "folder_id": row.folder,
            "upload_at": int(row.uploaded),
            "status": "active" if row.status == 200 else "suspended",
            "size": row.size,
            "content_type": content_type(video_name(row.title)),
            "cstatus": "ok",
            "link": account.site_url(f"v/{row.code}"),
            "embed_link": account.site_url(f"e/{row.code}"),
            "linkextid": row.code,
        }
        for row in account.store.list_files(Filter(None if everything else folder.id))
    }
    return {
        "result": {
            "folders": [
                {"id": str(row.id), "name": row.name}
                for row in account.store.list_folders(folder.id)
            ],
            "files": list(files.values()) if account.settings.files_as_list else keyed(files),
        }
    }


def listfolder_streamtape(call: Call) -> Fields:
    account = call.account
    folder = folder_param(call)
    return {
        "result": {
            "folders": [
                {"id": row.code, "name": row.name} for row in account.store.list_folders(folder.id)
            ],
            "files": [
                {
                    "name": row.title,
                    "size": row.size,
                    "link": account.page_url(row),
                    "created_at": int(row.uploaded * 1000),
                    "downloads": row.views,
                    "linkid": row.code,
                    "convert": "converted" if row.transcode_at is None else "pending",
                }
                for row in account.store.list_files(Filter(folder.id))
            ],
        }
    }


def createfolder(call: Call) -> Fields:
    account = call.account
    name = account.cut(required(call, "name"))
    parent = folder_param(call, "pid")
    if account.settings.unique_folders and any(
        row.name == name for row in account.store.folders_in(parent.id)
    ):
        raise ApiError(400, "Folder already exists")
    row = account.store.add_folder(parent.id, name, account.new_folder_code())
    return {"result": {"folderid": account.record.folder_id(account, row.id)}}


def changeable_folder(call: Call) -> FolderRow:
    required(call, "folder")
    row = folder_param(call)
    if row.parent is None:
        raise ApiError(400, "The home folder cannot be changed")
    return row


def renamefolder(call: Call) -> Fields:
    row, name = changeable_folder(call), required(call, "name")
    call.account.store.edit_folder(row, name=call.account.cut(name))
    return {"result": True}


def deletefolder(call: Call) -> Fields:
    """With everything in it, as S3 warns."""
    delete_tree(call.account, changeable_folder(call))
    return {"result": True}


def delete_tree(account: Account, folder: FolderRow) -> None:
    for child in account.store.folders_in(folder.id):
        delete_tree(account, child)
    for row in account.store.files_in(folder.id):
        account.delete_file(row)
    account.store.delete_folder(folder)


# -- uploads by URL ------------------------------------------------------------------------


def remotedl_add(call: Call) -> Fields:
    account = call.account
    folder = folder_param(call).id
    job = account.add_remote(required(call, "url"), folder, call.now, {})
    return {"result": {"id": str(job.id), "folderid": folder_text(account, folder)}}


def folder_text(account: Account, folder: int) -> str:
    return str(account.record.folder_id(account, folder))


def remote_item(call: Call, job: RemoteRow) -> Fields:
    account = call.account
    total = account.settings.remote_size_bytes
    part = min(0.99, (call.now - job.added) / max(0.001, job.due - job.added))
    status = {"open": "downloading" if part > 0.05 else "new", "done": "finished"}.get(
        job.state, "error"
    )
    item: Fields = {"id": job.id, "remoteurl": job.url, "status": status}
    finished = job.state == "done"
    if account.record.remote_percent:
        percent = f"{100 * part:.2f}" if status == "downloading" else "100"
        item["progress_percent"] = None if status == "new" else percent
    else:
        loaded = {"new": None, "downloading": str(int(total * part)), "finished": str(total)}
        item["bytes_loaded"] = loaded.get(status, "0")
        item["bytes_total"] = None if status == "new" else str(total if status != "error" else 0)
    item |= {
        "folderid": folder_text(account, job.folder),
        "added": account.date(job.added),
        "last_update": account.date(min(call.now, job.due)),
    }
    if account.record.remote_percent:
        item["errormsg"] = "Invalid URL" if status == "error" else False
    row = account.store.find_file(job.code) if finished else None
    item["extid"] = job.code if finished else False
    item["url"] = account.page_url(row) if row else False
    return item


def remotedl_status(call: Call) -> Fields:
    jobs = call.account.store.list_remote()
    if call.get("id"):
        jobs = [job for job in jobs if str(job.id) == call.get("id")]
    return {
        "result": keyed({str(job.id): remote_item(call, job) for job in jobs[: limit_param(call)]})
    }


def remotedl_remove(call: Call) -> Fields:
    wanted = required(call, "id")
    store = call.account.store
    jobs = [job for job in store.list_remote() if wanted in ("all", str(job.id))]
    if not jobs and wanted != "all":
        raise ApiError(404, "Remote upload not found")
    for job in jobs:
        store.delete_remote(job.id)
    call.account.reschedule()
    return {"result": True}


# -- account -------------------------------------------------------------------------------


def account_info(call: Call) -> Fields:
    account = call.account
    _, used = account.store.used()
    quota = account.quota_bytes()
    return {
        "result": {
            **account_names(account, "extid"),
            "storage_left": quota - used if quota else -1,
            "storage_used": str(used),
            "traffic": {"left": -1, "used_24h": 0},
            "balance": 0,
        }
    }


def account_names(account: Account, id_name: str) -> Fields:
    return {
        id_name: account.login,
        "email": f"{account.login}@example.com",
        "signup_at": "2015-01-09 23:59:54",
    }


def account_info_pstream(call: Call) -> Fields:
    return {"result": account_names(call.account, "extid")}


def account_info_streamtape(call: Call) -> Fields:
    return {"result": account_names(call.account, "apiid")}


# -- records -------------------------------------------------------------------------------


def video_name(title: str) -> str:
    """pstream's file/info shows an extension where its listing has none (API_FACTS §4)."""
    return title if content_type(title).startswith("video/") else f"{title}.mp4"


def streamtape_folder_id(account: Account, folder: int) -> object:
    row = account.store.find_folder(folder)
    return "0" if row is None or row.parent is None else row.code


_SHARED: dict[str, Handler] = {
    "file/info": file_info,
    "file/ul": file_ul,
    "file/getsplash": getsplash,
    "file/rename": file_rename,
    "file/renamefolder": renamefolder,
    "remotedl/add": remotedl_add,
    "remotedl/status": remotedl_status,
}

_LATER: dict[str, Handler] = {
    "file/createfolder": createfolder,
    "file/deletefolder": deletefolder,
    "file/move": file_move,
    "file/delete": file_delete,
}

FRUITHOSTED = Record(
    name="fruithosted",
    family="openload",
    base_path="/fruithosted",
    calls=_SHARED
    | {
        "account/info": account_info,
        "file/dlticket": dlticket,
        "file/dl": dl,
        "file/listfolder": listfolder,
        "file/convert": file_convert,
        "file/runningconverts": runningconverts,
        "file/failedconverts": failedconverts,
    },
    root_id=4258,
    code_alphabet=MIXED,
    code_length=11,
    folder_code_alphabet=MIXED,
    folder_code_length=11,
    key_alphabet=MIXED,
    key_length=16,
    login_length=16,
    post_calls=False,
    extensions=None,
    quota_bytes=0,
    anonymous_calls=frozenset({"file/dlticket", "file/dl", "file/info", "file/ul"}),
    media_path="dl/l/{token}/{name}",
    file_page="f/{code}/{name}",
    renames_converted=True,
)
"""As S2 has it: no createfolder, deletefolder, move, delete or paging."""

PSTREAM = replace(
    FRUITHOSTED,
    name="pstream",
    base_path="/pstream/v1",
    calls=_SHARED
    | _LATER
    | {
        "account/info": account_info_pstream,
        "file/listfolder": listfolder_pstream,
        "file/converts": converts,
    },
    root_id=0,
    code_length=13,
    post_calls=True,
    extensions=VIDEO_EXTENSIONS,
    anonymous_calls=frozenset(),
    file_page="v/{code}",
    strips_titles=True,
    renames_converted=False,
    remote_percent=True,
    listed_extension=False,
    folder_id=lambda account, folder: folder,
)
"""As S3 has it: no download call, no folder move, no paging."""

STREAMTAPE = replace(
    FRUITHOSTED,
    name="streamtape",
    base_path="/streamtape",
    calls=_SHARED
    | _LATER
    | {
        "account/info": account_info_streamtape,
        "file/dlticket": dlticket_streamtape,
        "file/dl": dl_streamtape,
        "file/info": file_info_streamtape,
        "file/listfolder": listfolder_streamtape,
        "file/runningconverts": runningconverts,
        "file/failedconverts": failedconverts,
        "remotedl/remove": remotedl_remove,
    },
    root_id=0,
    code_length=15,
    anonymous_calls=frozenset({"file/dl"}),
    upload_hash="sha256",
    media_path="radosgw/{code}/{token}/{name}",
    file_page="v/{code}/{name}",
    renames_converted=False,
    folder_by_code=True,
    folder_id=streamtape_folder_id,
)
"""Source: API_FACTS §5."""
