"""Answers of the XVideoSharing family: vipstream as its page says, and a full installation.

Source: S1 (vipstream's page); API_FACTS §2.2 for the optional modules of `XVS`.
"""

from __future__ import annotations

import html
import math
import time
from dataclasses import replace

from .account import VIDEO_EXTENSIONS, Account, plain_title
from .records import LOWER, ApiError, Call, Fields, Handler, Record
from .store import FileRow, Filter, FolderRow

# -- parameters ----------------------------------------------------------------------------


def int_param(call: Call, name: str, default: int) -> int:
    """An INT parameter. Absent or empty: *default*. Errors: ApiError 400 (assumed)."""
    text = call.get(name).strip()
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise ApiError(400, f"Invalid {name}") from None


def folder_param(call: Call, name: str, default: int = 0) -> FolderRow:
    """The folder a parameter names. Errors: ApiError 404, the text as FileLu has it."""
    folder = call.account.store.find_folder(int_param(call, name, default))
    if folder is None:
        raise ApiError(404, "Folder not found")
    return folder


def codes_param(call: Call, name: str = "file_code") -> list[str]:
    """Codes of a comma list that have the form of one. Errors: ApiError 400."""
    codes = [code.strip() for code in call.get(name).split(",")]
    good = [code for code in codes if call.account.is_code(code)]
    if not good:
        raise ApiError(400, "Invalid file codes")
    return good


def file_param(call: Call, name: str = "file_code") -> FileRow:
    """The one file a parameter names. Errors: ApiError 400, 404."""
    row = call.account.store.find_file(codes_param(call, name)[0])
    if row is None:
        raise ApiError(404, "No file")
    return row


def hours_param(call: Call) -> float:
    """Unix time from which `last` hours are counted; without it everything (assumed)."""
    hours = int_param(call, "last", 0)
    return call.now - hours * 3600 if hours else 0.0


def shown(call: Call, title: str) -> str:
    return html.escape(title) if call.account.settings.html_entities else title


def given_title(account: Account, title: str) -> str:
    """A title that the user gave explicitly: verbatim, unless the switch normalises it."""
    return account.cut(plain_title(title) if account.settings.normalise_titles else title)


def listing_filter(call: Call) -> Filter:
    """fld_id, title, created, public, adult of a file/list call."""
    created = call.get("created").strip()
    since: float | None = None
    if created.isdigit():
        since = call.now - int(created) * 60
    elif created:
        try:
            # Stored times have whole seconds, "after" excludes the second itself.
            since = call.account.parse_date(created) + 1
        except ValueError:
            raise ApiError(400, "Invalid created") from None
    flags = {
        name: None if not call.get(name).strip() else int_param(call, name, 0)
        for name in ("public", "adult")
    }
    folder = None if not call.get("fld_id").strip() else int_param(call, "fld_id", 0)
    return Filter(folder, call.get("title") or None, since, flags["public"], flags["adult"])


def page_params(call: Call) -> tuple[int, int]:
    """Number (from 1) and size of the page asked for."""
    account = call.account
    cap = account.settings.page_max or account.record.page_max
    size = max(1, int_param(call, "per_page", account.record.page_size))
    return max(1, int_param(call, "page", 1)), min(size, cap) if cap else size


# -- account -------------------------------------------------------------------------------


def account_info(call: Call) -> Fields:
    account = call.account
    files, used = account.store.used()
    return {
        "result": {
            "files_total": str(files),
            "storage_left": account.quota_bytes() - used,
            "login": account.login,
            "email": f"{account.login}@example.com",
            "premium_expire": account.date(call.now + 365 * 86_400),
            "balance": "0.00000",
            "premium": 1,
            "storage_used": str(used),
        }
    }


def account_stats(call: Call) -> Fields:
    zero = "0.00000"
    return {
        "result": [
            {
                "downloads": "0", "profit_views": zero, "views_adb": "0", "sales": "0",
                "profit_sales": zero, "profit_refs": zero, "profit_site": zero, "views": "0",
                "refs": "0", "day": call.account.date(call.now - back * 86_400)[:10],
                "profit_total": zero, "views_prem": "0",
            }
            for back in range(min(366, int_param(call, "last", 7)) - 1, -1, -1)
        ]
    }  # fmt: skip


def upload_server(call: Call) -> Fields:
    return {"result": call.account.node_url("upload/01")}


def upload_url(call: Call) -> Fields:
    if not call.get("url"):
        raise ApiError(400, "No url")
    fields: dict[str, object] = {}
    for name in ("public", "adult"):
        if call.get(f"file_{name}"):
            fields[name] = int_param(call, f"file_{name}", 0)
    for name in ("cat_id", "tags"):
        if call.get(name):
            fields[name] = call.get(name)
    folder = folder_param(call, "fld_id").id
    job = call.account.add_remote(call.get("url"), folder, call.now, fields)
    return {"result": {"filecode": job.code}}


# -- files ---------------------------------------------------------------------------------


def file_info_item(call: Call, row: FileRow) -> Fields:
    account = call.account
    item: Fields = {
        "file_views_full": str(row.views),
        "cat_id": row.cat_id,
        "player_img": account.site_url(f"img/{row.code}.jpg"),
        "status": row.status,
        "file_code": row.code,
        "file_last_download": account.date(row.last_download) if row.last_download else "",
        "canplay": int(account.can_play(row, call.now)),
        "file_public": str(row.public),
        "file_length": str(account.length_s(row)),
        "file_title": shown(call, row.title),
        "file_views": str(row.views),
        "file_created": account.date(row.uploaded),
        "file_premium_only": str(row.premium_only),
        "file_adult": str(row.adult),
        "file_fld_id": str(row.folder),
        "tags": row.tags,
    }
    if account.settings.info_sizes:
        item["file_size"] = str(row.size)
    return item


def file_info(call: Call) -> Fields:
    """At most `info_batch_max` codes; the rest is ignored silently (API_FACTS §2.4)."""
    account = call.account
    items: list[Fields] = []
    for code in codes_param(call)[: account.settings.info_batch_max]:
        row = account.store.find_file(code)
        if row is None or row.status == 404 or account.is_hidden(row, call.now):
            items.append({"status": 404, "filecode": code})
        else:
            items.append(file_info_item(call, row))
    return {"result": items}


def file_list_item(call: Call, row: FileRow) -> Fields:
    account = call.account
    site = account.site
    return {
        "thumbnail": f"{site}img/{row.code}_t.jpg",
        "link": f"{site}{row.code}.html",
        "file_code": row.code,
        "canplay": int(account.can_play(row, call.now)),
        "length": str(account.length_s(row)),
        "views": str(row.views),
        "uploaded": account.date(row.uploaded),
        "public": str(row.public),
        "fld_id": str(row.folder),
        "title": shown(call, row.title),
    }


def file_list(call: Call) -> Fields:
    store = call.account.store
    which = listing_filter(call)
    page, size = page_params(call)
    total = store.count_files(which)
    rows = store.list_files(which, limit=size, offset=(page - 1) * size, newest_first=True)
    return {
        "result": {
            "files": [file_list_item(call, row) for row in rows],
            "results_total": total,
            "pages": math.ceil(total / size),
            "results": len(rows),
        }
    }


def file_edit(call: Call) -> Fields:
    account = call.account
    changes: dict[str, object] = {}
    if call.get("file_title"):
        changes["title"] = given_title(account, call.get("file_title"))
    if call.get("file_fld_id").strip():
        changes["folder"] = folder_param(call, "file_fld_id").id
    for name in ("public", "adult"):
        if call.get(f"file_{name}").strip():
            changes[name] = int_param(call, f"file_{name}", 0)
    for column, name in (("descr", "file_descr"), ("cat_id", "cat_id"), ("tags", "tags")):
        if name in call.params:
            changes[column] = call.get(name)
    rows = [row for code in codes_param(call) if (row := account.store.find_file(code))]
    if not rows:
        raise ApiError(404, "No file")
    for row in rows:
        account.store.edit_file(row, **changes)
    return {"result": "true"}


def file_clone(call: Call) -> Fields:
    """Into the root, or into fld_id where the dialect has that parameter (XG)."""
    account = call.account
    row = file_param(call)
    title = given_title(account, call.get("file_title")) if call.get("file_title") else row.title
    folder = folder_param(call, "fld_id").id if account.record.clones_into_folder else 0
    clone = account.clone_file(row, title=title, folder=folder)
    return {"result": {"url": account.site_url(clone.code), "filecode": clone.code}}


def file_deleted(call: Call) -> Fields:
    return {
        "result": [
            {
                "file_code": row.code,
                "deleted_by": row.deleted_by,
                "deleted_ago_sec": str(int(call.now - row.deleted)),
                "deleted": call.account.date(row.deleted),
                "title": shown(call, row.title),
            }
            for row in call.account.store.list_deleted(hours_param(call))
        ]
    }


def file_dmca(call: Call) -> Fields:
    return {
        "result": [
            {
                "file_code": row.code,
                "del_in_sec": str(max(0, int(row.dmca_at - call.now))),
                "del_time": call.account.date(row.dmca_at),
            }
            for row in call.account.store.list_dmca()
            if row.dmca_at is not None
        ]
    }


def file_encodings(call: Call) -> Fields:
    account = call.account
    wanted = call.get("code") or call.get("file_code")  # the latter: XG
    items: list[Fields] = []
    for row in account.store.list_transcoding():
        if (wanted and row.code != wanted) or row.transcode_at is None:
            continue
        left = (row.transcode_at - call.now) / max(0.001, account.settings.transcode_delay_s)
        progress = min(99, max(0, round(100 * (1 - left))))
        items += [
            {
                "link": account.page_url(row),
                "progress": progress if quality == "h" else 0,
                "status": "ENCODING" if quality == "h" else "PENDING",
                "name": shown(call, row.title),
                "quality": quality,
                "code": row.code,
            }
            for quality in ("h", "l")
        ]
    return {"result": items}


# -- folders -------------------------------------------------------------------------------


def folder_list(call: Call) -> Fields:
    store = call.account.store
    folder = folder_param(call, "fld_id")
    result: Fields = {"folders": folder_list_of_folders(call, folder.id)}
    if call.get("files").strip() not in ("", "0"):
        rows = store.list_files(Filter(folder.id), newest_first=True)
        result["files"] = [file_list_item(call, row) for row in rows]
    return {"result": result}


def folder_list_of_folders(call: Call, folder: int) -> list[Fields]:
    return [
        {"name": shown(call, row.name), "fld_id": str(row.id), "code": row.code}
        for row in call.account.store.list_folders(folder)
    ]


def folder_create(call: Call) -> Fields:
    account = call.account
    name = account.cut(call.get("name"))
    if not name:
        raise ApiError(400, "No folder name")
    parent = folder_param(call, "parent_id")
    check_folder_name(account, parent.id, name)
    row = account.store.add_folder(parent.id, name, account.new_folder_code(), call.get("descr"))
    return {"result": {"fld_id": str(row.id)}}


def check_folder_name(account: Account, parent: int, name: str, but: int | None = None) -> None:
    """Equal names are allowed unless the switch says otherwise (unknown; assumed)."""
    if account.settings.unique_folders and any(
        row.name == name and row.id != but for row in account.store.folders_in(parent)
    ):
        raise ApiError(400, "Folder with this name already exists")


def folder_edit(call: Call) -> Fields:
    account, store = call.account, call.account.store
    row = folder_param(call, "fld_id", -1)
    if row.parent is None:
        raise ApiError(404, "Folder not found")
    changes: dict[str, object] = {}
    if call.get("parent_id").strip():
        parent: FolderRow | None = folder_param(call, "parent_id")
        changes["parent"] = parent.id if parent else 0
        while parent is not None:
            if parent.id == row.id:
                raise ApiError(400, "Can't move a folder into itself")
            parent = store.find_folder(parent.parent) if parent.parent is not None else None
    if call.get("name"):
        changes["name"] = account.cut(call.get("name"))
    if "descr" in call.params:
        changes["descr"] = call.get("descr")
    target = changes.get("parent", row.parent)
    assert isinstance(target, int)
    check_folder_name(account, target, str(changes.get("name", row.name)), row.id)
    store.edit_folder(row, **changes)
    return {"result": "true"}


# -- optional modules ----------------------------------------------------------------------


def direct_link(call: Call) -> Fields:
    """Modern form (XG): versions with url, name and size. `o` is the original; after a
    conversion only `h` is left. The order is not documented: the worst may come first."""
    account = call.account
    row = file_param(call)
    if row.status == 404 or account.is_hidden(row, call.now):
        raise ApiError(404, "No file")
    if row.status != 200:
        raise ApiError(row.status, "Not available")
    name = "h" if row.transcoded else "o"
    versions: list[Fields] = []
    if account.settings.low_version:
        url, _ = account.issue_link(row, call.now, low=True)
        versions.append({"url": url, "name": "l", "size": str(row.size // 2)})
    url, _ = account.issue_link(row, call.now)
    versions.append({"url": url, "name": name, "size": str(row.size)})
    if call.get("q"):
        versions = [version for version in versions if version["name"] == call.get("q")]
    result: Fields = {
        "versions": versions,
        "file_length": str(account.length_s(row)),
        "player_img": account.site_url(f"img/{row.code}.jpg"),
    }
    if call.get("hls") == "1":
        result["hls_direct"] = account.site_url(f"hls/{row.code}/master.m3u8")
    return {"result": result}


def file_delete(call: Call) -> Fields:
    rows = [row for code in codes_param(call) if (row := call.account.store.find_file(code))]
    if not rows:
        raise ApiError(404, "No file")
    for row in rows:
        call.account.delete_file(row)
    return {}


def folder_delete(call: Call) -> Fields:
    """A folder that holds something: 400, or with force=1 its files go to the root and its
    folders up. Source: assumed, from an XFS sibling (API_FACTS §2.2)."""
    store = call.account.store
    row = folder_param(call, "fld_id", -1)
    if row.parent is None:
        raise ApiError(404, "Folder not found")
    files, folders = store.files_in(row.id), store.folders_in(row.id)
    if (files or folders) and call.get("force") != "1":
        raise ApiError(400, "Folder is not empty")
    for file in files:
        store.edit_file(file, folder=0)
    for folder in folders:
        store.edit_folder(folder, parent=row.parent)
    store.delete_folder(row)
    return {}


def url_uploads(call: Call) -> Fields:
    wanted = call.get("file_code")
    items: list[Fields] = []
    for job in call.account.store.list_remote():
        if job.state == "done" or (wanted and job.code != wanted):
            continue
        span = max(0.001, job.due - job.added)
        progress = min(99, max(0, round(100 * (call.now - job.added) / span)))
        working = job.state == "open" and progress > 0
        items.append(
            {
                "remote_url": job.url,
                "progress": progress if job.state == "open" else 0,
                "status": "ERROR" if job.state == "error" else "WORKING" if working else "PENDING",
                "file_code": job.code,
                "fld_id": str(job.folder),
            }
        )
    return {"requests_available": str(slots_left(call)), "result": items}


def slots_left(call: Call) -> int:
    jobs = call.account.store.list_remote()
    return max(0, 100 - sum(1 for job in jobs if job.state == "open"))


def url_actions(call: Call) -> Fields:
    act_on_remote(call, clear="delete_errors", clear_all="delete_all")
    return {"requests_available": str(slots_left(call))}


def act_on_remote(call: Call, *, clear: str, clear_all: str) -> None:
    """The switches that change the queue of uploads by URL."""
    account, store = call.account, call.account.store
    doomed = set(call.get("delete_code").split(","))
    for job in store.list_remote():
        if job.state == "done":
            continue
        failed = job.state == "error"
        if call.get(clear_all) == "1" or job.code in doomed or (failed and call.get(clear) == "1"):
            store.delete_remote(job.id)
        elif failed and call.get("restart_errors") == "1":
            due = time.time() + account.settings.remote_delay_s
            store.edit_remote(job.id, state="open", due=due)
    account.reschedule()


PAGE_CALLS: dict[str, Handler] = {
    "account/info": account_info,
    "account/stats": account_stats,
    "upload/server": upload_server,
    "upload/url": upload_url,
    "file/info": file_info,
    "file/edit": file_edit,
    "file/list": file_list,
    "file/clone": file_clone,
    "file/deleted": file_deleted,
    "file/dmca": file_dmca,
    "file/encodings": file_encodings,
    "folder/list": folder_list,
    "folder/create": folder_create,
    "folder/edit": folder_edit,
}

VIPSTREAM = Record(
    name="vipstream",
    family="xvs",
    base_path="/vipstream/api",
    calls=PAGE_CALLS,
    root_id=0,
    code_alphabet=LOWER,
    code_length=12,
    folder_code_alphabet=LOWER,
    folder_code_length=10,
    key_alphabet=LOWER,
    key_length=17,
    login_length=12,
    post_calls=False,
    extensions=VIDEO_EXTENSIONS,
    missing_call=(403, "This function not allowed in API"),
    page_max=1000,
    strips_titles=True,
)

XVS = replace(
    VIPSTREAM,
    name="xvs",
    base_path="/xvs/api",
    calls=PAGE_CALLS
    | {
        "file/direct_link": direct_link,
        "file/delete": file_delete,
        "folder/delete": folder_delete,
        "file/url_uploads": url_uploads,
        "file/url_actions": url_actions,
    },
    media_path="{token}/{name}",
    clones_into_folder=True,
)
