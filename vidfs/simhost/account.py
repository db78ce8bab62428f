"""One dialect's account: its store, secrets, tokens, counters and due work."""

from __future__ import annotations

import asyncio
import calendar
import hashlib
import json
import os
import random
import re
import shutil
import time
import zlib
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote_plus, urlsplit

from .bodies import Body, FileBody, FormulaBody, body_sha1, write_formula
from .records import LOWER, MIXED, Record
from .settings import Settings
from .store import FileRow, RemoteRow, Store

VIDEO_EXTENSIONS = frozenset(
    """3gp asf avi divx f4v flv m2ts m2v m4v mkv mov mp4 mpe mpeg mpeg4 mpegps mpg mts ogm ogv
    qt rm rmvb ts vob webm wmv xvid""".split()
)


QUERIES_KEPT = 500


@dataclass(slots=True)
class Ticket:
    code: str
    ready_at: float
    expires_at: float
    captcha: bool
    used: bool = False


@dataclass(slots=True)
class Link:
    code: str
    expires_at: float
    low: bool = False  # the low quality version: the first half of the bytes


@dataclass(slots=True)
class UploadToken:
    folder: int
    digest: str
    expires_at: float


@dataclass(slots=True)
class Account:
    """State in memory; what must survive a SIGKILL is in `store` and `account.json`."""

    record: Record
    root: Path
    origin: str  # "http://127.0.0.1:PORT"
    settings: Settings
    store: Store = field(init=False)
    key: str = field(init=False, repr=False)
    login: str = field(init=False)
    calls: Counter[str] = field(default_factory=Counter)
    download_bytes: int = 0  # of films, handed to the sockets
    queries: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=QUERIES_KEPT))
    """The last calls with their parameters, as they came: form-encoded."""
    tickets: dict[str, Ticket] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    upload_tokens: dict[str, UploadToken] = field(default_factory=dict)
    running: int = 0  # API calls being answered
    next_due: float = 0.0
    site: str = field(init=False)  # address of the web site, with a slash at its end
    _recent: deque[float] = field(default_factory=deque)
    _dice: random.Random = field(default_factory=random.SystemRandom)

    def __post_init__(self) -> None:
        self.settings = replace(self.settings)
        self.site = f"{self.origin}/site/{self.record.name}/"
        self.root.mkdir(parents=True, exist_ok=True)
        self.files_dir.mkdir(exist_ok=True)
        self.pictures_dir.mkdir(exist_ok=True)
        shutil.rmtree(self.temp_dir, ignore_errors=True)
        self.temp_dir.mkdir()
        self._load_secrets()
        self.store = Store(self.root / "host.db", self.record.root_id, self.new_folder_code())
        self.apply_settings()
        self._remove_strays()
        self.reschedule()

    # -- places ----------------------------------------------------------------------------

    @property
    def files_dir(self) -> Path:
        return self.root / "files"

    @property
    def temp_dir(self) -> Path:
        return self.root / "tmp"

    @property
    def pictures_dir(self) -> Path:
        return self.root / "pictures"

    @property
    def base_url(self) -> str:
        return self.origin + self.record.base_path

    def site_url(self, path: str) -> str:
        """Address of a web page or picture of the site."""
        return self.site + path

    def node_url(self, path: str) -> str:
        """Address on an upload or download server."""
        return f"{self.origin}/node/{self.record.name}/{path}"

    def page_url(self, row: FileRow) -> str:
        path = self.record.file_page.format(code=row.code, name=quote_plus(row.title))
        return self.site_url(path)

    # -- secrets and names -----------------------------------------------------------------

    def _load_secrets(self) -> None:
        path = self.root / "account.json"
        if path.exists():
            secrets = json.loads(path.read_text())
        else:
            record = self.record
            secrets = {
                "key": self.random_text(record.key_alphabet, record.key_length),
                "login": self.random_text(LOWER, record.login_length),
            }
            temp = path.with_suffix(".new")
            with os.fdopen(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
                json.dump(secrets, f)
            temp.replace(path)
        self.key, self.login = secrets["key"], secrets["login"]

    def random_text(self, alphabet: str, length: int) -> str:
        return "".join(self._dice.choices(alphabet, k=length))

    def new_code(self) -> str:
        return self.random_text(self.record.code_alphabet, self.record.code_length)

    def new_folder_code(self) -> str:
        record = self.record
        return self.random_text(record.folder_code_alphabet, record.folder_code_length)

    def new_token(self) -> str:
        return self.random_text(MIXED, 11)

    def is_code(self, text: str) -> bool:
        """Has *text* the form of a file code here?"""
        return len(text) == self.record.code_length and all(
            c in self.record.code_alphabet for c in text
        )

    # -- settings, limits, clock -----------------------------------------------------------

    def apply_settings(self) -> None:
        self.store.set_lag(self.settings.listing_lag_ms / 1000)

    @property
    def media_latency_s(self) -> float:
        settings = self.settings
        own = settings.media_latency_ms
        return (own if own >= 0 else settings.latency_ms) / 1000

    def over_rate(self, now: float) -> bool:
        """Count one call against the limit. True: it is one too many (and not counted)."""
        limit = self.settings.rate_limit
        if limit <= 0:
            return False
        window = 1.0 if limit >= 1 else 1.0 / limit
        while self._recent and self._recent[0] <= now - window:
            self._recent.popleft()
        if len(self._recent) >= max(1, int(limit)):
            return True
        self._recent.append(now)
        return False

    def date(self, at: float) -> str:
        """Unix seconds as the host writes them: naive, in its own time zone."""
        return _date(int(at) + self.settings.clock_offset_s)

    def parse_date(self, text: str) -> float:
        """The inverse of `date`. Errors: ValueError."""
        naive = time.strptime(text, "%Y-%m-%d %H:%M:%S")
        return calendar.timegm(naive) - self.settings.clock_offset_s

    # -- files -----------------------------------------------------------------------------

    def body_path(self, code: str) -> Path:
        return self.files_dir / code

    def open_body(self, row: FileRow) -> Body:
        """Errors: OSError when the bytes are gone."""
        if row.seed is not None:
            return FormulaBody(row.seed, row.size)
        return FileBody(self.body_path(row.code))

    def sha1(self, row: FileRow) -> str:
        """Hash of what is stored, computed and kept when first asked for."""
        if row.sha1:
            return row.sha1
        body = self.open_body(row)
        try:
            digest = body_sha1(body)
        finally:
            body.close()
        self.store.db.execute("UPDATE files SET sha1=? WHERE id=?", (digest, row.id))
        return digest

    def is_hidden(self, row: FileRow, now: float) -> bool:
        """Is the file so new that file/info doesn't know it yet?"""
        return now - row.uploaded < self.settings.new_file_404_ms / 1000

    def can_play(self, row: FileRow, now: float) -> bool:
        fresh = now - row.uploaded < self.settings.new_file_unplayable_ms / 1000
        return not fresh and row.transcode_at is None and row.status == 200

    def length_s(self, row: FileRow) -> int:
        """Playing time: invented, 250,000 bytes a second."""
        return max(1, row.size // 250_000)

    def delete_file(self, row: FileRow, deleted_by: str = "me") -> None:
        self.store.delete_file(row, deleted_by)
        self.body_path(row.code).unlink(missing_ok=True)
        (self.pictures_dir / row.code).unlink(missing_ok=True)

    def clear(self) -> None:
        """An empty account."""
        self.store.clear()
        for directory in (self.files_dir, self.pictures_dir):
            for path in directory.iterdir():
                path.unlink()
        self.reschedule()

    def clone_file(self, row: FileRow, *, title: str, folder: int) -> FileRow:
        code = self.new_code()
        if row.seed is None:
            os.link(self.body_path(row.code), self.body_path(code))
        return self.store.add_file(
            code=code, folder=folder, title=title, size=row.size, sha1=row.sha1, seed=row.seed,
            public=row.public, adult=row.adult, cat_id=row.cat_id, tags=row.tags,
            descr=row.descr, transcoded=row.transcoded,
        )  # fmt: skip

    def cut(self, title: str) -> str:
        return title[: self.settings.title_chars_max]

    def is_refused_name(self, filename: str) -> bool:
        """Does the host refuse this kind of file?"""
        if self.record.extensions is None or self.settings.accept_any:
            return False
        _, dot, extension = filename.rpartition(".")
        return not dot or extension.lower() not in self.record.extensions

    def quota_bytes(self) -> int:
        """0: unlimited."""
        return self.settings.quota_bytes or self.record.quota_bytes

    def issue_link(self, row: FileRow, now: float, *, low: bool = False) -> tuple[str, str]:
        """A direct address and its token."""
        token = self.new_token()
        self.links[token] = Link(row.code, now + self.settings.link_ttl_s, low)
        path = self.record.media_path.format(code=row.code, token=token, name=quote_plus(row.title))
        return self.node_url(path), token

    # -- due work --------------------------------------------------------------------------

    def reschedule(self) -> None:
        self.next_due = self.store.next_due()

    async def settle(self, now: float) -> None:
        """Do the conversions and uploads by URL that have fallen due."""
        for job in self.store.list_remote_due(now):
            self._finish_remote(job)
        for row in self.store.list_transcoding(now):
            await self._transcode(row)
        self.reschedule()

    def _finish_remote(self, job: RemoteRow) -> None:
        more = json.loads(job.fields)
        size = self.settings.remote_size_bytes
        seed = zlib.crc32(job.code.encode())
        write_formula(self.body_path(job.code), seed, size)
        self.store.add_file(
            code=job.code, folder=job.folder, title=job.title, size=size,
            sha1=body_sha1(FormulaBody(seed, size)), **more,
        )  # fmt: skip
        self.store.edit_remote(job.id, state="done")

    async def _transcode(self, row: FileRow) -> None:
        """Replace the bytes by others: a formula's, a fifth shorter, as a plain file."""
        seed = zlib.crc32(row.code.encode()) ^ 0x7A5C0DE
        size = row.size * 4 // 5 + 13
        temp = self.temp_dir / f"{row.code}.transcode"
        await asyncio.to_thread(write_formula, temp, seed, size)
        digest = await asyncio.to_thread(body_sha1, FormulaBody(seed, size))
        current = self.store.find_file(row.code)
        if current is None:
            temp.unlink(missing_ok=True)
            return
        temp.replace(self.body_path(row.code))
        title = current.title + ".mp4" if self.record.renames_converted else current.title
        self.store.edit_file(
            current, size=size, sha1=digest, seed=None, title=title, transcoded=1,
            transcode_at=None,
        )  # fmt: skip

    def add_remote(
        self, url: str, folder: int, now: float, fields: dict[str, object], title: str = ""
    ) -> RemoteRow:
        """Start an upload by URL. Nothing is fetched: the file will hold a formula's bytes."""
        parts = urlsplit(url)
        filename = parts.path.rpartition("/")[2] or parts.netloc or "file"
        good = parts.scheme in ("http", "https", "ftp") and bool(parts.netloc)
        if not title:
            title = plain_title(filename) if self.record.strips_titles else filename
        remote = self.store.add_remote(
            url=url, folder=folder, code=self.new_code(), title=self.cut(title),
            fields=json.dumps(fields), due=now + self.settings.remote_delay_s,
            state="open" if good else "error",
        )  # fmt: skip
        self.reschedule()
        return next(row for row in self.store.list_remote() if row.id == remote)

    def _remove_strays(self) -> None:
        """Bodies whose row was never written: the process died in between."""
        for path in self.files_dir.iterdir():
            if self.store.find_file(path.name) is None:
                path.unlink()


def plain_title(filename: str) -> str:
    """A file name as these sites make a title of it: no extension, `_` and `.` as blanks.

    Source: API_FACTS §2.5.
    """
    stem, dot, extension = filename.rpartition(".")
    if not dot or not stem or not re.fullmatch(r"[A-Za-z0-9]{1,8}", extension):
        stem = filename
    return re.sub(r"[_.]+", " ", stem).strip() or filename


def digest_names(record: Record) -> tuple[str, ...]:
    """Hashes that an upload to this dialect needs."""
    if record.family == "xvs":
        return ()
    return ("sha1",) if record.upload_hash == "sha1" else ("sha1", record.upload_hash)


def new_digests(names: tuple[str, ...]) -> dict[str, hashlib._Hash]:
    return {name: hashlib.new(name, usedforsecurity=False) for name in names}


@lru_cache(maxsize=65_536)
def _date(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
