"""What the user decided: accounts, keys, directories and mount options.

Owns reading and checking of the configuration file and of the words after `-o`. Opens no
connection and creates nothing but directories. Every refusal is a `ConfigError` or `UsageError`
whose text names the place, and never holds a value of a secret setting.

Sizes are bytes with binary suffixes ("10G" is 10 GiB), durations seconds with the suffixes
s, m, h and d.
"""

from __future__ import annotations

import difflib
import grp
import ipaddress
import os
import pwd
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import platformdirs

from vidfs.errors import ConfigError, UsageError
from vidfs.types import Secret

DEMO_ACCOUNT = "demo"
"""The account that always exists: the simulated host, embedded."""

SCRATCH_DEFAULT = (
    *(".*", "*.part", "*.crdownload", "*.tmp", "*.temp", "*.swp", "*~"),
    *("Thumbs.db", "desktop.ini"),
)
"""Names whose files stay local until they are renamed to another one."""

CACHE_BYTES_DEFAULT = 10 << 30

_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ACCOUNT_NAME_RULE = "a name is up to 64 letters, digits, dots, dashes and underscores"
_CONFIG_BYTES_MAX = 1 << 20


# ---------------------------------------------------------------------------- accounts


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadDefaults:
    """What every new upload of an account gets, where its host knows it."""

    public: bool | None = None
    adult: bool | None = None
    category: str | None = None
    tags: tuple[str, ...] = ()
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One `[accounts.NAME]` of the configuration file, checked."""

    name: str
    host: str  # a name of `vidfs.hosts.HOSTS`; "xvs" for the demo account
    base_url: str | None = None  # None: the host's own
    login: Secret | None = None  # goes into query strings beside the key
    key: Secret | None = None
    key_command: str | None = None
    default_extension: str | None = None  # None: "mp4"; "": none is added
    accepted_extensions: frozenset[str] | None = None  # lower case, no dot; None: the host's list
    allow_http_upload: bool = False
    uploads: UploadDefaults = UploadDefaults()

    @property
    def is_demo(self) -> bool:
        return self.name == DEMO_ACCOUNT

    @property
    def key_variable(self) -> str:
        """The environment variable that may hold the key."""
        return f"VIDFS_{re.sub('[^A-Z0-9]', '_', self.name.upper())}_KEY"


class _UploadsTable(msgspec.Struct, forbid_unknown_fields=True):
    public: bool | None = None
    adult: bool | None = None
    category: str | int | None = None
    tags: list[str] | str = msgspec.field(default_factory=list)
    description: str | None = None


class _AccountTable(msgspec.Struct, forbid_unknown_fields=True):
    host: str = ""
    base_url: str | None = None
    login: str | None = None
    key: str | None = None
    key_command: str | None = None
    default_extension: str | None = None
    accepted_extensions: list[str] | None = None
    allow_http_upload: bool = False
    uploads: _UploadsTable = msgspec.field(default_factory=_UploadsTable)


_DEMO_SETTINGS = {"default_extension", "accepted_extensions", "uploads"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The configuration file as a value; `path` need not exist."""

    path: Path
    accounts: Mapping[str, Account]
    broken: Mapping[str, ConfigError] = field(default_factory=dict)  # by account, or setting

    def names(self) -> set[str]:
        """Of all accounts, the broken ones too."""
        return {*self.accounts, *self.broken}

    def get_account(self, name: str) -> Account:
        """The account *name*. Errors: ConfigError with its mistake or the names that exist."""
        if name in self.accounts:
            return self.accounts[name]
        if name in self.broken:
            raise self.broken[name]
        known = ", ".join(sorted(self.names()))
        raise ConfigError(f"no account {name!r} in {self.path} (accounts: {known})")


def config_path(flag: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Path:
    """Where the configuration is: *flag*, `VIDFS_CONFIG`, or the XDG place."""
    named = flag or environ.get("VIDFS_CONFIG")
    if named:
        return Path(named).expanduser().absolute()
    return platformdirs.user_config_path("vidfs", appauthor=False) / "config.toml"


def load_config(path: Path, *, must_exist: bool = False) -> Config:
    """Read and check the file at *path*; a missing one holds no accounts but `demo`.

    A mistake in one account leaves the others usable. Errors: ConfigError for the whole file.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_CONFIG_BYTES_MAX + 1)
    except FileNotFoundError:
        if must_exist:
            raise ConfigError(f"{path}: there is no such configuration file") from None
        return Config(path=path, accounts=_with_demo({}))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if len(text) > _CONFIG_BYTES_MAX:
        raise ConfigError(f"{path}: too big for a configuration file")
    accounts, broken = sort_accounts(text, str(path))
    holds_key = any(account.key for account in accounts.values())
    if broken:  # whose keys nobody looked for
        holds_key = holds_key or re.search(rb"\bkey[\"']?\s*=", text) is not None
    if holds_key and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"{path}: holds a key and is open to others (mode {stat.S_IMODE(mode):04o}): "
            f"run chmod 600 {path}"
        )
    return Config(path=path, accounts=_with_demo(accounts), broken=broken)


def parse_accounts(text: bytes, place: str) -> dict[str, Account]:
    """The accounts in a configuration file's *text*, if all of it is sound. Errors: ConfigError."""
    accounts, broken = sort_accounts(text, place)
    for error in broken.values():
        raise error
    return accounts


def sort_accounts(text: bytes, place: str) -> tuple[dict[str, Account], dict[str, ConfigError]]:
    """The sound accounts in *text*, and what is wrong with each of the others.

    *place* stands before each refusal. Errors: ConfigError where it isn't TOML.
    """
    try:
        table: dict[str, Any] = tomllib.loads(text.decode())
    except UnicodeDecodeError:
        raise ConfigError(f"{place}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{place}: {error}") from None
    tables = table.pop("accounts", {})
    if not isinstance(tables, dict):
        raise ConfigError(f"{place}: accounts: must be a table")
    sound: dict[str, Account] = {}
    broken: dict[str, ConfigError] = {}
    for name, value in table.items():
        hint = _suggestion(name, ["accounts"])
        if isinstance(value, dict) and not hint:
            hint = f" (an account is written [accounts.{name}])"
        broken[name] = ConfigError(f"{place}: {name}: unknown setting{hint}")
    for name, value in tables.items():
        try:
            sound[name] = _to_account(name, value, place)
        except ConfigError as error:
            broken[name] = error
    return sound, broken


def _with_demo(accounts: dict[str, Account]) -> dict[str, Account]:
    demo = accounts.pop(DEMO_ACCOUNT, None) or Account(name=DEMO_ACCOUNT, host="xvs")
    return {**accounts, DEMO_ACCOUNT: demo}


def check_account_name(name: str) -> None:
    """Errors: UsageError."""
    if not _ACCOUNT_NAME.fullmatch(name):
        raise UsageError(f"{name}: {_ACCOUNT_NAME_RULE}, and begins with no sign")


def _to_account(name: str, table: object, place: str) -> Account:
    where = f"{place}: accounts.{name}"
    if not _ACCOUNT_NAME.fullmatch(name):
        raise ConfigError(f"{where}: {_ACCOUNT_NAME_RULE}")
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: must be a table")
    _refuse_unknown(table, {field.name for field in msgspec.structs.fields(_AccountTable)}, where)
    if isinstance(table.get("uploads"), dict):
        known = {field.name for field in msgspec.structs.fields(_UploadsTable)}
        _refuse_unknown(table["uploads"], known, f"{where}.uploads")
    try:
        values = msgspec.convert(table, _AccountTable)
    except msgspec.ValidationError as error:
        raise ConfigError(_to_path_message(where, str(error))) from None
    if name == DEMO_ACCOUNT:
        for setting in table:
            if setting not in _DEMO_SETTINGS:
                raise ConfigError(f"{where}.{setting}: the demo account is built in")
        values.host = "xvs"
    if not values.host:
        raise ConfigError(f"{where}.host: is missing")
    if values.key is not None and values.key_command is not None:
        raise ConfigError(f"{where}: has both key and key_command; keep one")
    if values.key is not None:
        check_key(values.key, f"{where}.key")
    return Account(
        name=name,
        host=values.host,
        base_url=check_base_url(values.base_url, f"{where}.base_url")
        if values.base_url is not None
        else None,
        login=Secret(values.login) if values.login else None,
        key=Secret(values.key) if values.key is not None else None,
        key_command=values.key_command,
        default_extension=None
        if values.default_extension is None
        else _to_extension(values.default_extension, f"{where}.default_extension"),
        accepted_extensions=None
        if values.accepted_extensions is None
        else frozenset(
            _to_extension(extension, f"{where}.accepted_extensions")
            for extension in values.accepted_extensions
        ),
        allow_http_upload=values.allow_http_upload,
        uploads=_to_upload_defaults(values.uploads),
    )


def _to_upload_defaults(table: _UploadsTable) -> UploadDefaults:
    tags = table.tags if isinstance(table.tags, list) else table.tags.split(",")
    return UploadDefaults(
        public=table.public,
        adult=table.adult,
        category=None if table.category is None else str(table.category),
        tags=tuple(tag.strip() for tag in tags if tag.strip()),
        description=table.description,
    )


def _refuse_unknown(table: Mapping[str, object], known: Iterable[str], where: str) -> None:
    for name in table:
        if name not in known:
            raise ConfigError(f"{where}.{name}: unknown setting{_suggestion(name, known)}")


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _to_path_message(where: str, message: str) -> str:
    """msgspec's "Expected `bool`, got `int` - at `$.uploads.public`" with our path in front."""
    what, _, at = message.partition(" - at `$")
    what = what.replace("`", "")
    return f"{where}{at.rstrip('`')}: {what[:1].lower()}{what[1:]}"


def _to_extension(text: str, where: str) -> str:
    extension = text.lower().removeprefix(".")
    if not re.fullmatch(r"[a-z0-9_-]{0,16}", extension):
        raise ConfigError(f"{where}: {text!r} is not a file extension")
    return extension


def check_key(value: str, where: str) -> Secret:
    """*value* as a key. Errors: ConfigError, which doesn't hold it."""
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(f"{where}: is empty or has characters that no key has")
    return Secret(value)


def check_base_url(url: str, where: str) -> str:
    """*url* without a trailing slash. Errors: ConfigError.

    Plain http would show the key to everybody on the way: it is for loopback addresses only.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        port = parts.port
    except ValueError:
        raise ConfigError(f"{where}: is not an address") from None
    if port == 0:
        raise ConfigError(f"{where}: no server listens on port 0")
    if parts.scheme not in ("https", "http") or not host:
        raise ConfigError(f"{where}: must be an https:// address")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError(f"{where}: takes no login, query or fragment")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"{where}: plain http would send the key unencrypted; it is only for loopback"
        )
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# ------------------------------------------------------------------------- directories


@dataclass(frozen=True, slots=True, kw_only=True)
class Directories:
    """The roots of all accounts' state and cache; each account has a folder below."""

    state_root: Path
    cache_root: Path

    def state_dir(self, account_name: str) -> Path:
        return self.state_root / account_name

    def cache_dir(self, account_name: str) -> Path:
        return self.cache_root / account_name


def find_directories(
    environ: Mapping[str, str], options: MountOptions | None = None
) -> Directories:
    """Options before `VIDFS_STATE_DIR` and `VIDFS_CACHE_DIR` before XDG's. Creates nothing."""
    state = (options.state_dir if options else None) or environ.get("VIDFS_STATE_DIR")
    cache = (options.cache_dir if options else None) or environ.get("VIDFS_CACHE_DIR")
    return Directories(
        state_root=Path(state).expanduser().absolute()
        if state
        else platformdirs.user_state_path("vidfs", appauthor=False),
        cache_root=Path(cache).expanduser().absolute()
        if cache
        else platformdirs.user_cache_path("vidfs", appauthor=False),
    )


def find_thumbnail_dir() -> Path:
    """Where the desktop's programs look for thumbnails."""
    return platformdirs.user_cache_path() / "thumbnails"


def create_private_dir(path: Path) -> Path:
    """*path* as a directory that only its owner may enter; missing parents are made, too.

    An existing last component is closed to others. Errors: ConfigError.
    """
    try:
        if not path.parent.is_dir():
            create_private_dir(path.parent)
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except FileExistsError:
            raise ConfigError(f"{path}: is not a directory") from None
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    return path


def create_state_dir(path: Path) -> Path:
    """*path* as a private directory of ours alone: nobody writes into another user's queue.

    Errors: ConfigError.
    """
    create_private_dir(path)
    owner = path.stat().st_uid
    if owner != os.geteuid():
        raise ConfigError(f"{path}: belongs to another user (uid {owner})")
    return path


# ------------------------------------------------------------------- sizes, durations


def parse_size(text: str) -> int:
    """ "10G", "500M", "64k", "1.5GiB" or plain bytes. Errors: UsageError."""
    match = re.fullmatch(r"([0-9]+(?:[.][0-9]+)?)\s*([kmgtp]?)(?:i?b)?", text.strip().lower())
    if not match:
        raise UsageError(f"{text!r} is not a size (like 500M or 10G)")
    return int(float(match[1]) * 1024 ** " kmgtp".index(match[2] or " "))


def parse_duration(text: str) -> float:
    """ "60", "90s", "10m", "1.5h", "2d" in seconds. Errors: UsageError."""
    match = re.fullmatch(r"([0-9]+(?:[.][0-9]+)?)\s*(ms|[smhd]?)", text.strip().lower())
    if not match:
        raise UsageError(f"{text!r} is not a duration (like 60 or 10m)")
    unit_s = {"ms": 0.001, "": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    return float(match[1]) * unit_s


def parse_rate(text: str) -> float:
    """ "5", "5/s", "300/m" in calls per second. Errors: UsageError."""
    match = re.fullmatch(r"([0-9]+(?:[.][0-9]+)?)(?:/(s|m|min|h))?", text.strip().lower())
    if not match or float(match[1]) <= 0:
        raise UsageError(f"{text!r} is not a rate (like 5 or 300/m)")
    return float(match[1]) / {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}[match[2] or ""]


# ----------------------------------------------------------------------- mount options


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """Everything after `-o`, checked. `None`: the account's or the host's own."""

    read_only: bool = False
    allow_other: bool = False
    allow_root: bool = False
    uid: int | None = None  # None: the mounting user
    gid: int | None = None
    umask: int | None = None  # None: the caller's
    upload_on_close: bool = False
    uploads_max: int = 4
    bwlimit_bytes_s: int | None = None
    dir_ttl_s: float = 60.0
    dir_stale_s: float = 600.0
    sizes: Literal["content", "uploaded"] = "content"
    cache_size_bytes: int = CACHE_BYTES_DEFAULT
    cache_dir: str | None = None
    state_dir: str | None = None
    config_file: str | None = None
    delete_deny: bool = False
    scratch: tuple[str, ...] = SCRATCH_DEFAULT
    other_files: Literal["reject", "local", "upload"] = "reject"
    api_rate_per_s: float | None = None
    api_parallel: int | None = None
    thumbnails: bool = False
    log_file: str | None = None
    debug: bool = False
    kernel_flags: tuple[str, ...] = ()  # "noexec", "noatime" …: for the kernel, not for us


def _parse_int(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise UsageError(f"must be a number from {low} to {high}")
        return int(text)

    return parse


def _parse_choice(**choices: object) -> Callable[[str], object]:
    def parse(text: str) -> object:
        if text not in choices:
            raise UsageError(f"must be one of {', '.join(choices)}")
        return choices[text]

    return parse


def _parse_uid(text: str) -> int:
    if re.fullmatch("[0-9]{1,9}", text):
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        raise UsageError("there is no such user") from None


def _parse_gid(text: str) -> int:
    if re.fullmatch("[0-9]{1,9}", text):
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise UsageError("there is no such group") from None


def _parse_umask(text: str) -> int:
    if not re.fullmatch("[0-7]{1,4}", text) or int(text, 8) > 0o777:
        raise UsageError("must be octal, like 022")
    return int(text, 8)


def _parse_limit(text: str) -> int | None:
    limit = 0 if text in ("off", "none") else parse_size(text.removesuffix("/s"))
    return limit or None


def _parse_path(text: str) -> str:
    # absolute now: the daemon's working directory is another one
    return str(Path(text).expanduser().absolute())


_FLAGS: Mapping[str, tuple[str, bool]] = {
    "ro": ("read_only", True),
    "rw": ("read_only", False),
    "allow_other": ("allow_other", True),
    "allow_root": ("allow_root", True),
    "thumbnails": ("thumbnails", True),
    "debug": ("debug", True),
}

_VALUES: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "uid": ("uid", _parse_uid),
    "gid": ("gid", _parse_gid),
    "umask": ("umask", _parse_umask),
    "upload": ("upload_on_close", _parse_choice(background=False, close=True)),
    "uploads": ("uploads_max", _parse_int(1, 64)),
    "bwlimit": ("bwlimit_bytes_s", _parse_limit),
    "dir_ttl": ("dir_ttl_s", parse_duration),
    "dir_stale": ("dir_stale_s", parse_duration),
    "sizes": ("sizes", _parse_choice(content="content", uploaded="uploaded")),
    "cache_size": ("cache_size_bytes", parse_size),
    "cache_dir": ("cache_dir", _parse_path),
    "state_dir": ("state_dir", _parse_path),
    "config": ("config_file", _parse_path),
    "delete": ("delete_deny", _parse_choice(auto=False, deny=True)),
    "scratch": ("scratch", lambda text: tuple(part for part in text.split(":") if part)),
    "other_files": (
        "other_files",
        _parse_choice(reject="reject", local="local", upload="upload"),
    ),
    "api_rate": ("api_rate_per_s", parse_rate),
    "api_parallel": ("api_parallel", _parse_int(1, 256)),
    "log_file": ("log_file", _parse_path),
}

_KERNEL_FLAGS = frozenset({"noexec", "noatime", "nodiratime", "nosuid", "nodev"})

_PASSED_ALONG = frozenset(
    "auto noauto fail nofail _netdev user nouser users owner group defaults async exec suid dev"
    " atime diratime relatime norelatime strictatime nostrictatime lazytime nolazytime"
    " iversion noiversion silent loud mand nomand".split()
)
"""Words that mount(8) and fstab(5) have for themselves or for every file system."""


def parse_mount_options(texts: Sequence[str], *, sloppy: bool = False) -> MountOptions:
    """The words of all `-o OPT,…`; of two equal ones the later counts.

    `\\,` is a comma inside a value. *sloppy* (mount(8)'s `-s`) passes over unknown options.
    Errors: UsageError, naming the option.
    """
    values: dict[str, Any] = {}
    kernel_flags: dict[str, None] = {}
    for option in (part for text in texts for part in _split_options(text)):
        name, equals, value = option.partition("=")
        if name in _FLAGS and not equals:
            field_name, flag = _FLAGS[name]
            values[field_name] = flag
        elif name in _VALUES:
            field_name, parse = _VALUES[name]
            if not equals or (not value and name != "scratch"):
                raise UsageError(f"option {name}: needs a value")
            try:
                values[field_name] = parse(value)
            except UsageError as error:
                raise UsageError(f"option {name}={value}: {error}") from None
        elif name in _KERNEL_FLAGS and not equals:
            kernel_flags[name] = None
        elif name in (*_FLAGS, *_KERNEL_FLAGS):
            raise UsageError(f"option {name}: takes no value")
        elif not _is_passed_along(name, bool(equals)) and not sloppy:
            known = [*_FLAGS, *_VALUES, *_KERNEL_FLAGS]
            raise UsageError(f"unknown mount option {name!r}{_suggestion(name, known)}")
    options = replace(MountOptions(), **values, kernel_flags=tuple(kernel_flags))
    if options.allow_other and options.allow_root:
        raise UsageError("option allow_root: allow_other is there already; keep one")
    return options


def _is_passed_along(name: str, has_value: bool) -> bool:
    if name in _PASSED_ALONG:
        return not has_value or name == "user"
    return name.startswith(("x-", "X-")) or name == "comment"


def _split_options(text: str) -> list[str]:
    parts = re.split(r"(?<!\\),", text)
    return [part.replace("\\,", ",") for part in parts if part]


@dataclass(frozen=True, slots=True)
class Source:
    """What is mounted: an account, or one folder of it."""

    account: str
    folder: str = ""  # "Films/Old" without slashes around; "": the account's root

    def __str__(self) -> str:
        return f"{self.account}:/{self.folder}" if self.folder else self.account


def parse_source(text: str) -> Source:
    """`ACCOUNT` or `ACCOUNT:/folder`. Errors: UsageError."""
    account, colon, folder = text.partition(":")
    if not _ACCOUNT_NAME.fullmatch(account):
        raise UsageError(f"{text!r} is not ACCOUNT or ACCOUNT:/folder")
    parts = [part for part in folder.split("/") if part]
    if colon and not folder.startswith("/") and folder:
        raise UsageError(f"{text!r}: the folder of an account begins with a slash")
    if any(part in (".", "..") for part in parts) or "\0" in folder:
        raise UsageError(f"{text!r}: the folder has a part that is no name")
    return Source(account, "/".join(parts))


def option_names() -> Sequence[str]:
    """Every option of our own, for help texts and their tests."""
    return [*_FLAGS, *_VALUES]
