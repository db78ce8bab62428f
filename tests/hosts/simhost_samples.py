"""The answers that the hosts' documents print, repaired where they are not JSON.

Only names, nesting and the types of scalars are compared. `{"*": [a, b]}` stands for an
object keyed by ids whose values look like a or b. A list's items look like one of the
sample's. `None` in a sample means null.
"""

from __future__ import annotations

from typing import Any

DATE = "2021-08-11 04:30:07"


def xvs(result: object = ..., **top: object) -> dict[str, Any]:
    answer: dict[str, Any] = {"msg": "OK", "server_time": DATE, "status": 200, **top}
    return answer if result is ... else answer | {"result": result}


def openload(result: object) -> dict[str, Any]:
    return {"status": 200, "msg": "OK", "result": result}


_XVS_FILE = {
    "thumbnail": "http://img.xvs.tt/fb5asfuj2snh_t.jpg",
    "link": "http://xvs.tt/fb5asfuj2snh.html",
    "file_code": "fb5asfuj2snh",
    "canplay": 1,
    "length": "60",
    "views": "0",
    "uploaded": DATE,
    "public": "0",
    "fld_id": "0",
    "title": "Test 123",
}

VIPSTREAM: dict[str, Any] = {
    "account/info": xvs(
        {
            "files_total": "31",
            "storage_left": 1288483337,
            "login": "megauploader21",
            "email": "x",
            "premium_expire": "2022-10-15 04:46:59",
            "balance": "108.00000",
            "premium": 1,
            "storage_used": "685101",
        }
    ),
    "account/stats": xvs(
        [
            {
                "downloads": "0", "profit_views": "0.00000", "views_adb": "1", "sales": "0",
                "profit_sales": "0.00000", "profit_refs": "0.00000", "profit_site": "0.00000",
                "views": "0", "refs": "0", "day": "2021-09-12", "profit_total": "0.00000",
                "views_prem": "0",
            }
        ]
    ),
    "upload/server": xvs("https://s1.myvideo.com/upload/01"),
    "upload": {
        "msg": "OK",
        "status": 200,
        "files": [{"filecode": "u9150wqzvhxj", "filename": "1.avi", "status": "OK"}],
    },
    "upload/url": xvs({"filecode": "fb5asfuj2snh"}),
    "file/info": xvs(
        [
            {
                "file_views_full": "0", "cat_id": "3", "player_img": "http://img/x.jpg",
                "status": 200, "file_code": "fb5asfuj2snh", "file_last_download": DATE,
                "canplay": 1, "file_public": "1", "file_length": "60",
                "file_title": "big buck bunny", "file_views": "0", "file_created": DATE,
                "file_premium_only": "0", "file_adult": "1", "file_fld_id": "25",
                "tags": "promo, high quality",
            }
        ]
    ),
    "file/edit": xvs("true"),
    "file/list": xvs({"files": [_XVS_FILE], "results_total": 9, "pages": 9, "results": 1}),
    "file/clone": xvs({"url": "http://xvs.tt/u405p6qz5xpi", "filecode": "u405p6qz5xpi"}),
    "file/deleted": xvs(
        [
            {
                "file_code": "38j4wvxw164d", "deleted_by": "me", "deleted_ago_sec": "40",
                "deleted": DATE, "title": "Video 109779195",
            }
        ]
    ),
    "file/dmca": xvs([{"file_code": "x2q5h0uhfzdu", "del_in_sec": "42097", "del_time": DATE}]),
    "folder/list": xvs(
        {
            "folders": [{"name": "Breaking Bad", "fld_id": "16", "code": "4pwb4yvp7v"}],
            "files": [_XVS_FILE],
        }
    ),
    "folder/create": xvs({"fld_id": "29"}),
    "folder/edit": xvs("true"),
    "file/encodings": xvs(
        [
            {
                "link": "http://xvs.tt/fb5asfuj2snh.html", "progress": 15, "status": "ENCODING",
                "name": "Test video", "quality": "h", "code": "fb5asfuj2snh",
            }
        ]
    ),
}  # fmt: skip

_DOOD_FILE = {
    "download_url": "", "single_img": "", "file_code": "xxx", "canplay": 1, "length": "1234",
    "views": "1", "uploaded": DATE, "public": "1", "fld_id": "0", "title": "test_file",
}  # fmt: skip
_DOOD_REMOTE = {
    "bytes_total": "0", "created": DATE, "remote_url": "", "status": "working",
    "file_code": "98zukoh5jqiw", "bytes_downloaded": "0", "folder_id": "0",
}  # fmt: skip

DOODSTREAM: dict[str, Any] = {
    "account/info": xvs(
        {
            "email": "", "balance": "0.00000", "storage_used": "24186265",
            "storage_left": 128824832615, "premim_expire": "2025-10-24 21:00:00",
        }
    ),
    "account/stats": xvs(
        [
            {
                "profit_views": "0.00000", "downloads": "0", "views": "0", "day": "2017-08-11",
                "profit_total": "0.00000",
            }
        ]
    ),
    "dmca/list": xvs(
        [
            {
                "reported_on": DATE, "protected_download": "yyy", "protected_embed": "zzz",
                "file_code": "xxx", "fld_id": "0", "disabled_on": DATE,
            }
        ]
    ),
    "upload/server": xvs(""),
    "upload": xvs(
        [
            {
                "download_url": "", "single_img": "", "status": 200, "filecode": "xxx",
                "splash_img": "", "canplay": 1, "size": "123456", "length": "123456",
                "uploaded": DATE, "protected_embed": "", "protected_dl": "",
                "title": "test_file",
            }
        ]
    ),
    "file/clone": xvs(
        {
            "embed_url": "", "download_url": "", "protected_download": "", "protected_embed": "",
            "filecode": "xxx",
        }
    ),
    "upload/url": xvs(
        {"filecode": "98zukoh5jqiw"}, new_title="", total_slots="100", used_slots="0"
    ),
    "urlupload/list": xvs([_DOOD_REMOTE]),
    "urlupload/status": xvs([_DOOD_REMOTE]),
    "urlupload/slots": xvs(total_slots="100", used_slots="10"),
    "urlupload/actions": xvs(),
    "folder/create": xvs({"fld_id": "1234567"}),
    "folder/rename": xvs("true"),
    "file/list": xvs(
        {"total_pages": 1, "files": [_DOOD_FILE], "results_total": "1", "results": 1}
    ),
    "folder/list": xvs(
        {"folders": [{"name": "x", "code": "y", "fld_id": "1"}], "files": [_DOOD_FILE]}
    ),
    "file/check": xvs([{"status": "Active", "filecode": "xxx"}]),
    "file/info": xvs(
        [
            {
                "single_img": "", "status": 200, "filecode": "xxx", "splash_img": "",
                "canplay": 1, "size": "123456", "views": "0", "length": "123456",
                "uploaded": DATE, "last_view": "", "protected_embed": "/e/yyy",
                "protected_dl": "/d/zzz", "title": "test_file",
            }
        ]
    ),
    "file/image": xvs(
        [
            {
                "status": 200, "filecode": "xxx", "title": "test_file", "single_img": "",
                "thumb_img": "", "splash_img": "",
            }
        ]
    ),
    "file/rename": xvs("true"),
    "file/move": xvs("true"),
    "search/videos": xvs([_DOOD_FILE]),
}  # fmt: skip

_INFO = {
    "id": "72fA-_Lq8Ak3", "status": 200, "name": "The quick brown fox.txt",
    "size": 123456789012, "sha1": "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
    "content_type": "plain/text",
}  # fmt: skip
_INFO_MISSING = {
    "id": "72fA-_Lq8Ak5", "status": 404, "name": False, "size": False, "sha1": False,
    "content_type": False,
}  # fmt: skip
_INFO_BROKEN = {**_INFO, "status": 500, "size": False}
_REMOTE = {
    "id": 24, "remoteurl": "http://proof.ovh.net/files/100Mio.dat", "status": "new",
    "bytes_loaded": None, "bytes_total": None, "folderid": "4248", "added": DATE,
    "last_update": DATE, "extid": False, "url": False,
}  # fmt: skip
_REMOTE_RUNNING = {**_REMOTE, "bytes_loaded": "823997062", "bytes_total": "1073741824"}
_CONVERT = {
    "name": "Geysir.AVI", "id": "3565411", "status": "pending", "last_update": DATE,
    "progress": 0.32, "retries": "0", "link": "https://x/f", "linkextid": "f02JFG293J8",
}  # fmt: skip

FRUITHOSTED: dict[str, Any] = {
    "file/dlticket": openload(
        {
            "ticket": "72fA-_Lq8Ak~~1440353112~n~~0~nXtN3RI-nsEa28Iq",
            "captcha_url": "https://streamango.com/dlcaptcha/b92eY_nfjV4.png",
            "captcha_w": 140,
            "captcha_h": 70,
            "wait_time": 10,
            "valid_until": DATE,
        }
    ),
    "file/dl": openload(
        {
            "name": "The quick brown fox.txt",
            "size": 12345,
            "sha1": "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
            "content_type": "plain/text",
            "upload_at": "2011-01-26 13:33:37",
            "url": "https://abvzps.example.com/dl/l/4spxX_-cSO4/The+quick+brown+fox.txt",
            "token": "4spxX_-cSO4",
        }
    ),
    "file/info": openload({"*": [_INFO, _INFO_MISSING, _INFO_BROKEN]}),
    "file/ul": openload({"url": "https://13abc37.example.com/ul/x", "valid_until": DATE}),
    "upload": openload(
        {
            "content_type": "video/mp4", "id": "x", "name": "y", "sha1": "z", "size": "1",
            "url": "u",
        }
    ),
    "remotedl/add": openload({"id": "12", "folderid": "4248"}),
    "remotedl/status": openload(
        {
            "*": [
                _REMOTE,
                _REMOTE_RUNNING,
                {**_REMOTE_RUNNING, "extid": "ANAaeBZus-Q", "url": "https://x"},
            ]
        }
    ),
    "file/convert": openload(True),
    "file/runningconverts": openload([_CONVERT]),
    "file/failedconverts": openload([]),
    "file/getsplash": openload("https://streamango.com/splash/AYgHe95d1E4/zt8uSEmk56s.jpg"),
    "file/listfolder": openload(
        {
            "folders": [{"id": "5144", "name": ".videothumb"}],
            "files": [
                {
                    "name": "big_buck_bunny.mp4.mp4", "sha1": "c6531f", "folderid": "4258",
                    "upload_at": "1419791256", "status": "active", "size": "5114011",
                    "content_type": "video/mp4", "download_count": "48", "cstatus": "ok",
                    "link": "https://x/f", "linkextid": "UPPjeAk--30",
                }
            ],
        }
    ),
    "file/renamefolder": openload(True),
    "file/rename": openload(True),
    "account/info": openload(
        {
            "extid": "extuserid", "email": "x", "signup_at": DATE, "storage_left": -1,
            "storage_used": "32922117680", "traffic": {"left": -1, "used_24h": 0}, "balance": 0,
        }
    ),
}  # fmt: skip

_PERCENT = {
    "id": 24, "remoteurl": "x", "status": "new", "progress_percent": None, "folderid": "4248",
    "added": DATE, "last_update": DATE, "errormsg": False, "extid": False, "url": False,
}  # fmt: skip

PSTREAM: dict[str, Any] = {
    "account/info": openload({"extid": "fnvjeof4815f", "email": "x", "signup_at": DATE}),
    "file/info": openload({"*": [_INFO, _INFO_MISSING]}),
    "file/getsplash": openload("https://i.pstream.net/Knvie_f9GWPF/fneb48g4.jpg"),
    "file/ul": openload({"url": "https://1n8rg48c.example.com/ul/x", "valid_until": DATE}),
    "remotedl/add": openload({"id": "12", "folderid": "4248"}),
    "remotedl/status": openload(
        {
            "*": [
                _PERCENT,
                {**_PERCENT, "progress_percent": "78.41"},
                {**_PERCENT, "progress_percent": "100", "extid": "x", "url": "y"},
                {**_PERCENT, "progress_percent": "100", "errormsg": "Invalid URL"},
            ]
        }
    ),
    "file/listfolder": openload(
        {
            "folders": [{"id": "456", "name": "My Great Folder"}],
            "files": {
                "*": [
                    {
                        "name": "Big bunny buck 720p", "sha1": "8fd4e1", "folder_id": 0,
                        "upload_at": 1532854309, "status": "active", "size": 193986560,
                        "content_type": "video/mp4", "cstatus": "ok", "link": "x",
                        "embed_link": "y", "linkextid": "VKrJd-A_vNmpP4L",
                    }
                ]
            },
        }
    ),
    "file/createfolder": openload({"folderid": 35678}),
    "file/renamefolder": openload(True),
    "file/deletefolder": openload(True),
    "file/rename": openload(True),
    "file/move": openload(True),
    "file/delete": openload(True),
    "file/converts": openload([{**_CONVERT, "progress": 57}]),
}  # fmt: skip


def difference(sample: Any, actual: Any, at: str = "") -> str | None:
    """The first place where *actual* has not the form of *sample*; None if there is none."""
    if isinstance(sample, dict) and isinstance(actual, dict):
        if "*" in sample:
            looks = sample["*"]
            return next(
                (d for k, v in actual.items() if (d := _unlike_all(looks, v, f"{at}/{k}"))), None
            )
        if sample.keys() != actual.keys():
            return f"{at}: members differ: {sorted(sample.keys() ^ actual.keys())}"
        return next(
            (d for k in sample if (d := difference(sample[k], actual[k], f"{at}/{k}"))), None
        )
    if isinstance(sample, list) and isinstance(actual, list):
        return next(
            (d for i, v in enumerate(actual) if (d := _unlike_all(sample, v, f"{at}[{i}]"))), None
        )
    if type(sample) is not type(actual):
        return f"{at}: {actual!r} is no {type(sample).__name__}"
    return None


def _unlike_all(looks: list[Any], actual: Any, at: str) -> str | None:
    found = [difference(look, actual, at) for look in looks]
    return None if None in found else next((text for text in found if text), f"{at}: unexpected")
