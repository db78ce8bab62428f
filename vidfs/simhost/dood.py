"""Answers of DoodStream, a relative of the XVideoSharing family with its own names.

Source: S0; API_FACTS §1, which has the parameters and today's `folder/list` and `file/move`
that the older page lacks (switch them off with `without=folder/list,file/move`).
"""

from __future__ import annotations

import math

from .account import Account
from .records import LOWER, ApiError, Call, Fields, Handler, Record
from .store import FileRow, Filter, RemoteRow
from .xvs import (
    act_on_remote,
    check_folder_name,
    codes_param,
    file_param,
    folder_list_of_folders,
    folder_param,
    given_title,
    int_param,
    listing_filter,
    page_params,
    shown,
    upload_server,
)

TOTAL_SLOTS = 100


def account_info(call: Call) -> Fields:
    account = call.account
    _, used = account.store.used()
    return {
        "result": {
            "email": f"{account.login}@example.com",
            "balance": "0.00000",
            "storage_used": str(used),
            "storage_left": account.quota_bytes() - used,
            "premim_expire": account.date(call.now + 365 * 86_400),
        }
    }


def account_stats(call: Call) -> Fields:
    """Per day: `last` days, or from_date to to_date (YYYY-MM-DD)."""
    days = min(366, max(1, int_param(call, "last", 7)))
    end = call.now
    if call.get("from_date"):
        try:
            start = call.account.parse_date(call.get("from_date") + " 00:00:00")
            if call.get("to_date"):
                end = call.account.parse_date(call.get("to_date") + " 00:00:00")
        except ValueError:
            raise ApiError(400, "Invalid date") from None
        days = min(366, max(1, int((end - start) // 86_400) + 1))
    return {
        "result": [
            {
                "profit_views": "0.00000",
                "downloads": "0",
                "views": "0",
                "day": call.account.date(end - back * 86_400)[:10],
                "profit_total": "0.00000",
            }
            for back in range(days - 1, -1, -1)
        ]
    }


def dmca_list(call: Call) -> Fields:
    rows = call.account.store.list_dmca()
    size = max(1, int_param(call, "per_page", 500))
    first = (max(1, int_param(call, "page", 1)) - 1) * size
    return {
        "result": [
            {
                "reported_on": call.account.date((row.dmca_at or 0) - 1800),
                "protected_download": call.account.site_url(f"d/{row.code}"),
                "protected_embed": call.account.site_url(f"e/{row.code}"),
                "file_code": row.code,
                "fld_id": str(row.folder),
                "disabled_on": call.account.date(row.dmca_at or 0),
            }
            for row in rows[first : first + size]
        ]
    }


# -- uploads by URL ------------------------------------------------------------------------


def used_slots(account: Account) -> str:
    return str(sum(1 for job in account.store.list_remote() if job.state == "open"))


def upload_url(call: Call) -> Fields:
    account = call.account
    if not call.get("url"):
        raise ApiError(400, "No url")
    folder = folder_param(call, "fld_id").id
    job = account.add_remote(call.get("url"), folder, call.now, {}, title=call.get("new_title"))
    return {
        "new_title": call.get("new_title"),
        "total_slots": str(TOTAL_SLOTS),
        "result": {"filecode": job.code},
        "used_slots": used_slots(account),
    }


def remote_item(call: Call, job: RemoteRow) -> Fields:
    total = call.account.settings.remote_size_bytes
    part = min(0.99, max(0.0, (call.now - job.added) / max(0.001, job.due - job.added)))
    started = job.state == "open" and part > 0.05
    return {
        "bytes_total": str(total if started else 0),
        "created": call.account.date(job.added),
        "remote_url": job.url,
        "status": "error" if job.state == "error" else "working" if started else "pending",
        "file_code": job.code,
        "bytes_downloaded": str(int(total * part) if started else 0),
        "folder_id": str(job.folder),
    }


def urlupload_list(call: Call) -> Fields:
    jobs = call.account.store.list_remote()
    return {"result": [remote_item(call, job) for job in jobs if job.state != "done"]}


def urlupload_status(call: Call) -> Fields:
    code = codes_param(call)[0]
    jobs = [job for job in call.account.store.list_remote() if job.code == code]
    return {"result": [remote_item(call, job) for job in jobs if job.state != "done"]}


def urlupload_slots(call: Call) -> Fields:
    return {"total_slots": str(TOTAL_SLOTS), "used_slots": used_slots(call.account)}


def urlupload_actions(call: Call) -> Fields:
    texts = {
        "restart_errors": "Errors restarted",
        "clear_errors": "Errors cleared",
        "clear_all": "All cleared",
        "delete_code": "Deleted",
    }
    act_on_remote(call, clear="clear_errors", clear_all="clear_all")
    return {"msg": next((text for name, text in texts.items() if call.get(name)), "OK")}


# -- files ---------------------------------------------------------------------------------


def file_clone(call: Call) -> Fields:
    account = call.account
    row = file_param(call)
    clone = account.clone_file(row, title=row.title, folder=folder_param(call, "fld_id").id)
    return {
        "result": {
            "embed_url": account.site_url(f"e/{clone.code}"),
            "download_url": account.site_url(f"d/{clone.code}"),
            "protected_download": account.site_url(f"d/{clone.code}"),
            "protected_embed": account.site_url(f"e/{clone.code}"),
            "filecode": clone.code,
        }
    }


def list_item(call: Call, row: FileRow) -> Fields:
    account = call.account
    return {
        "download_url": account.site_url(f"d/{row.code}"),
        "single_img": account.site_url(f"img/{row.code}.jpg"),
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
    which = listing_filter(call)._replace(title=None, public=None, adult=None)
    page, size = page_params(call)
    total = store.count_files(which)
    rows = store.list_files(which, limit=size, offset=(page - 1) * size, newest_first=True)
    return {
        "result": {
            "total_pages": math.ceil(total / size),
            "files": [list_item(call, row) for row in rows],
            "results_total": str(total),
            "results": len(rows),
        }
    }


def file_check(call: Call) -> Fields:
    account = call.account
    items: list[Fields] = []
    for code in codes_param(call):
        row = account.store.find_file(code)
        alive = row is not None and row.status == 200
        items.append({"status": "Active" if alive else "Not found", "filecode": code})
    return {"result": items}


def known_files(call: Call) -> list[tuple[str, FileRow | None]]:
    """The codes asked for, cut at the limit. Errors: ApiError 400 if none is known."""
    account = call.account
    found: list[tuple[str, FileRow | None]] = []
    for code in codes_param(call)[: account.settings.info_batch_max]:
        row = account.store.find_file(code)
        if row is not None and (row.status == 404 or account.is_hidden(row, call.now)):
            row = None
        found.append((code, row))
    if not any(row for _, row in found):
        raise ApiError(400, "Invalid file codes")
    return found


def file_info(call: Call) -> Fields:
    account = call.account
    return {
        "result": [
            {
                "single_img": account.site_url(f"img/{code}.jpg"),
                "status": row.status,
                "filecode": code,
                "splash_img": account.site_url(f"img/{code}_s.jpg"),
                "canplay": int(account.can_play(row, call.now)),
                "size": str(row.size),
                "views": str(row.views),
                "length": str(account.length_s(row)),
                "uploaded": account.date(row.uploaded),
                "last_view": account.date(row.last_download) if row.last_download else "",
                "protected_embed": f"/e/{code}",
                "protected_dl": f"/d/{code}",
                "title": shown(call, row.title),
            }
            if row
            else {"status": 404, "filecode": code}
            for code, row in known_files(call)
        ]
    }


def file_image(call: Call) -> Fields:
    return {
        "result": [
            {
                "status": 200,
                "filecode": code,
                "title": shown(call, row.title),
                "single_img": call.account.site_url(f"img/{code}.jpg"),
                "thumb_img": call.account.site_url(f"img/{code}_t.jpg"),
                "splash_img": call.account.site_url(f"img/{code}_s.jpg"),
            }
            if row
            else {"status": 404, "filecode": code}
            for code, row in known_files(call)
        ]
    }


def file_rename(call: Call) -> Fields:
    row = file_param(call)
    if not call.get("title"):
        raise ApiError(400, "No title")
    call.account.store.edit_file(row, title=given_title(call.account, call.get("title")))
    return {"result": "true"}


def file_move(call: Call) -> Fields:
    row = file_param(call)
    if not call.get("fld_id"):
        raise ApiError(400, "No folder")
    call.account.store.edit_file(row, folder=folder_param(call, "fld_id").id)
    return {"result": "true"}


def search_videos(call: Call) -> Fields:
    """A list of file objects, as clients read it (the page prints "true")."""
    term = call.get("search_term")
    if not term:
        raise ApiError(400, "No search term")
    rows = call.account.store.list_files(Filter(title=term), limit=200, newest_first=True)
    return {"result": [list_item(call, row) for row in rows]}


# -- folders -------------------------------------------------------------------------------


def folder_list(call: Call) -> Fields:
    folder = folder_param(call, "fld_id")
    result: Fields = {"folders": folder_list_of_folders(call, folder.id)}
    if call.get("only_folders") != "1":
        rows = call.account.store.list_files(Filter(folder.id), newest_first=True)
        result["files"] = [list_item(call, row) for row in rows]
    return {"result": result}


def folder_create(call: Call) -> Fields:
    account = call.account
    name = account.cut(call.get("name"))
    if not name:
        raise ApiError(400, "No folder name")
    parent = folder_param(call, "parent_id")
    check_folder_name(account, parent.id, name)
    row = account.store.add_folder(parent.id, name, account.new_folder_code())
    return {"result": {"fld_id": str(row.id)}}


def folder_rename(call: Call) -> Fields:
    row = folder_param(call, "fld_id", -1)
    if row.parent is None:
        raise ApiError(404, "Folder not found")
    name = call.account.cut(call.get("name"))
    if not name:
        raise ApiError(400, "No folder name")
    check_folder_name(call.account, row.parent, name, row.id)
    call.account.store.edit_folder(row, name=name)
    return {"result": "true"}


CALLS: dict[str, Handler] = {
    "account/info": account_info,
    "account/stats": account_stats,
    "dmca/list": dmca_list,
    "upload/server": upload_server,
    "upload/url": upload_url,
    "urlupload/list": urlupload_list,
    "urlupload/status": urlupload_status,
    "urlupload/slots": urlupload_slots,
    "urlupload/actions": urlupload_actions,
    "file/clone": file_clone,
    "file/list": file_list,
    "file/check": file_check,
    "file/info": file_info,
    "file/image": file_image,
    "file/rename": file_rename,
    "file/move": file_move,
    "search/videos": search_videos,
    "folder/list": folder_list,
    "folder/create": folder_create,
    "folder/rename": folder_rename,
}

DOODSTREAM = Record(
    name="doodstream",
    family="xvs",
    base_path="/doodstream/api",
    calls=CALLS,
    root_id=0,
    code_alphabet=LOWER,
    code_length=12,
    folder_code_alphabet=LOWER,
    folder_code_length=10,
    key_alphabet=LOWER,
    key_length=17,
    login_length=12,
    post_calls=True,
    extensions=frozenset("mkv mp4 wmv avi mpeg4 mpegps flv 3gp webm mov mpg m4v".split()),
    wrong_key_text="Wrong Auth",  # its clients look for this spelling (API_FACTS §1.5)
    page_max=200,
    file_page="d/{code}",
    upload_answer="result",
    strips_titles=True,
)
