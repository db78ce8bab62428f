"""Switches of the simulated host. Every field is a command line flag and a setting of
`POST /_sim/settings` (all dialects) or `POST /_sim/<dialect>/settings` (one)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

_HELP = "help"


@dataclass(slots=True, kw_only=True)
class Settings:
    """Units are in the names. A default of 0, False or "" means "off" unless said."""

    latency_ms: float = field(default=0.0, metadata={_HELP: "added to every API call"})
    media_latency_ms: float = field(
        default=-1.0, metadata={_HELP: "added to uploads and downloads; -1: as latency-ms"}
    )
    rate_limit: float = field(default=0.0, metadata={_HELP: "API calls per second; 0: no limit"})
    rate_limit_http: bool = field(
        default=False, metadata={_HELP: "over the limit: HTTP 429 instead of JSON only"}
    )
    retry_after_s: int = field(
        default=1, metadata={_HELP: "seconds that an HTTP 429 asks to wait (Retry-After)"}
    )
    parallel_limit: int = field(
        default=0, metadata={_HELP: "API calls at once; one more gets HTTP 520 in plain text"}
    )
    http_status: bool = field(
        default=False, metadata={_HELP: "HTTP status follows the JSON status of API answers"}
    )
    string_status: bool = field(default=False, metadata={_HELP: "JSON status as a string"})
    clock_offset_s: int = field(
        default=10_800, metadata={_HELP: "the host's time zone, seconds east of UTC"}
    )
    ticket_wait_s: float = field(default=0.0, metadata={_HELP: "waiting time of a ticket"})
    ticket_ttl_s: float = field(default=14_400.0, metadata={_HELP: "life of a ticket"})
    ticket_once: bool = field(default=False, metadata={_HELP: "a ticket gives one link only"})
    link_ttl_s: float = field(default=14_400.0, metadata={_HELP: "life of a download link"})
    captcha: bool = field(default=False, metadata={_HELP: "tickets ask for a captcha"})
    captcha_answer: str = field(default="simhost", metadata={_HELP: "the right answer to it"})
    listing_lag_ms: float = field(
        default=0.0, metadata={_HELP: "listings show the state of so long ago"}
    )
    new_file_404_ms: float = field(
        default=0.0, metadata={_HELP: "a new file is unknown to file/info for so long"}
    )
    new_file_unplayable_ms: float = field(
        default=0.0, metadata={_HELP: "a new file has canplay 0 for so long"}
    )
    transcode: bool = field(
        default=False, metadata={_HELP: "content, size and hash change after an upload"}
    )
    transcode_delay_s: float = field(default=2.0, metadata={_HELP: "… so much later"})
    remote_delay_s: float = field(default=1.0, metadata={_HELP: "time an upload by URL takes"})
    remote_size_bytes: int = field(
        default=1 << 20, metadata={_HELP: "size of a file uploaded by URL (nothing is fetched)"}
    )
    normalise_titles: bool = field(
        default=False,
        metadata={_HELP: "titles given explicitly lose extension, '_' and '.' as well"},
    )
    html_entities: bool = field(
        default=False, metadata={_HELP: "XVideoSharing answers carry HTML-coded titles"}
    )
    title_chars_max: int = field(default=255, metadata={_HELP: "longer names are cut silently"})
    accept_any: bool = field(default=False, metadata={_HELP: "take files that are not video"})
    unique_folders: bool = field(
        default=False, metadata={_HELP: "refuse a second folder of the same name"}
    )
    system_folders: bool = field(
        default=False, metadata={_HELP: "fruithosted: list .videothumb and .subtitles"}
    )
    root_mix: bool = field(
        default=False, metadata={_HELP: "pstream: root listings hold all subfolders' files"}
    )
    files_as_list: bool = field(
        default=False, metadata={_HELP: "pstream: listed files as a list, not an object"}
    )
    info_sizes: bool = field(
        default=False, metadata={_HELP: "xvs: file/info tells file_size, as some sites do"}
    )
    low_version: bool = field(
        default=False, metadata={_HELP: "xvs: direct_link offers a low quality version first"}
    )
    info_batch_max: int = field(default=50, metadata={_HELP: "codes that one file/info answers"})
    page_max: int = field(default=0, metadata={_HELP: "cap of per_page; 0: the dialect's own"})
    quota_bytes: int = field(default=0, metadata={_HELP: "storage; 0: the dialect's own"})
    upload_bytes_max: int = field(default=0, metadata={_HELP: "larger uploads are refused"})
    without: str = field(
        default="",
        metadata={_HELP: "missing calls: [DIALECT:]CALL, comma separated"},
    )

    def update(self, changes: Mapping[str, object]) -> None:
        """Set some switches; text is converted. Errors: ValueError, naming the switch."""
        known = {f.name: f.default for f in fields(self)}
        converted: dict[str, object] = {}
        for raw_name, value in changes.items():
            name = raw_name.replace("-", "_")
            if name not in known:
                raise ValueError(f"unknown setting {raw_name!r}")
            converted[name] = _convert(raw_name, known[name], value)
        for name, value in converted.items():
            setattr(self, name, value)

    def lacks(self, dialect: str, call: str) -> bool:
        """Is this call switched off?"""
        if not self.without:
            return False
        missing = self.without.split(",")
        return call in missing or f"{dialect}:{call}" in missing


def flags() -> list[tuple[str, object, str]]:
    """Name, default and help of every switch, for the command line."""
    return [(f.name, f.default, str(f.metadata[_HELP])) for f in fields(Settings)]


def _convert(name: str, default: object, value: object) -> object:
    try:
        if isinstance(default, bool):
            if isinstance(value, str):
                return {"1": True, "true": True, "0": False, "false": False}[value.lower()]
            return bool(value)
        if isinstance(default, int):
            return int(str(value))
        if isinstance(default, float):
            return float(str(value))
        return str(value)
    except (KeyError, ValueError):
        raise ValueError(f"setting {name!r}: {value!r} does not fit") from None
