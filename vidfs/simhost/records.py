"""What a dialect is: a frozen record. A function only where dialects truly differ."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .account import Account

LOWER = string.ascii_lowercase + string.digits
MIXED = string.ascii_letters + string.digits + "-_"
HEX = string.digits + "abcdef"

Fields = dict[str, object]
"""Top-level members of an answer beside status and msg, `result` among them."""


@dataclass(frozen=True, slots=True)
class Call:
    """One API call as a handler sees it."""

    name: str
    params: Mapping[str, str]
    lists: Mapping[str, list[str]]  # repeated parameters
    account: Account
    faults: Mapping[str, str]
    now: float

    def get(self, name: str) -> str:
        """A parameter; the empty text when it is absent."""
        return self.params.get(name, "")


Handler = Callable[[Call], Fields]


class ApiError(Exception):
    """A readable refusal: the JSON status and its text."""

    def __init__(self, status: int, msg: str) -> None:
        super().__init__(msg)
        self.status = status
        self.msg = msg


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One dialect. `page_max` 0: no cap is documented."""

    name: str
    family: Literal["xvs", "openload"]
    base_path: str
    calls: Mapping[str, Handler]
    root_id: int
    code_alphabet: str
    code_length: int
    folder_code_alphabet: str
    folder_code_length: int
    key_alphabet: str
    key_length: int
    login_length: int
    post_calls: bool  # API calls may also be sent as POST
    extensions: frozenset[str] | None  # lower case; None: takes any file
    missing_call: tuple[int, str] = (400, "Invalid operation")  # for a module switched off
    wrong_key_text: str = "Wrong auth"  # of the form family, for a key that isn't one
    page_size: int = 50
    page_max: int = 0
    quota_bytes: int = 1 << 40  # 0: unlimited
    anonymous_calls: frozenset[str] = frozenset()  # OpenLoad: login and key may be left out
    upload_hash: str = "sha1"  # OpenLoad: parameter of file/ul and member of the upload reply
    media_path: str = "d/{token}/{name}"  # below /node/<dialect>/
    file_page: str = "{code}.html"  # below /site/<dialect>/
    upload_answer: Literal["files", "result"] = "files"  # XVS: where the upload reply lists files
    strips_titles: bool = False  # a name loses its extension when a file is uploaded
    renames_converted: bool = False  # a conversion appends ".mp4" to the name
    clones_into_folder: bool = False  # XVS: file/clone takes fld_id
    folder_by_code: bool = False  # OpenLoad: folders are shown by their text id
    remote_percent: bool = False  # OpenLoad: uploads by URL tell percent instead of bytes
    listed_extension: bool = True  # OpenLoad: names without extension stay so in file/info
    folder_id: Callable[[Account, int], object] = lambda account, folder: str(folder)
