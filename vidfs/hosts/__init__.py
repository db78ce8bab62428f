"""Every host that vidfs knows, and how to open an account on one.

How to add a host
-----------------
1. Find its family. Calls with `key`, `fld_id` and `file_code` are XVideoSharing's
   (`xvs.py`); calls with `login`, `key`, `folder` and `file` are OpenLoad's
   (`openload.py`). A host of neither needs a client of its own that meets `VideoHost`
   (`api.py`) on top of `transport` and `envelope`.
2. Write its record beside the others (`xvs_records.py`, `openload_records.py`): address,
   parameter names, `Capabilities`. A record's defaults are the family's plainest page, so a
   site like it says little more than its name. Every fact with its `Source:`, every guess as
   `assumed`, a missing ability as `False` or `None`. If the client seems to need to know the
   host's name, the record lacks a field.
3. Add it to `HOSTS` below, and run `scripts/host-table --write` for the README.
4. Put the answers of its document into `tests/unit/hosts`: whatever the client makes of them
   is asserted there. Mend what isn't JSON, and mark it.
5. List its calls and their parameters in `tests/hosts/documented_calls.py`.
6. Teach the simulated host the dialect, from the document alone: the conformance suite in
   `tests/hosts` then runs for it by itself, and skips by capability only.

Where document and observation disagree, write down both and what was chosen.
`tests/hosts/test_recipe.py` goes this way with one more XVideoSharing site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from vidfs.errors import ConfigError
from vidfs.hosts.api import Capabilities, VideoHost
from vidfs.hosts.openload import OpenloadClient
from vidfs.hosts.openload_records import FRUITHOSTED, PSTREAM, STREAMTAPE, OpenloadDialect
from vidfs.hosts.transport import Transport
from vidfs.hosts.urls import check_url
from vidfs.hosts.xvs import XvsClient
from vidfs.hosts.xvs_records import DOODSTREAM, VIPSTREAM, XVS, XvsDialect
from vidfs.types import Secret

__all__ = ["HOSTS", "HostRecord", "open_host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """What a configuration needs to know of a host before it is opened."""

    name: str
    family: Literal["xvs", "openload"]
    api_url: str | None  # None: the account must say `base_url`
    needs_login: bool
    capabilities: Capabilities
    dialect: XvsDialect | OpenloadDialect


def _record(dialect: XvsDialect | OpenloadDialect) -> HostRecord:
    is_openload = isinstance(dialect, OpenloadDialect)
    return HostRecord(
        name=dialect.name,
        family="openload" if is_openload else "xvs",
        api_url=dialect.api_url,
        needs_login=is_openload,
        capabilities=dialect.capabilities,
        dialect=dialect,
    )


HOSTS: Mapping[str, HostRecord] = MappingProxyType(
    {
        dialect.name: _record(dialect)
        for dialect in (DOODSTREAM, VIPSTREAM, XVS, FRUITHOSTED, PSTREAM, STREAMTAPE)
    }
)


def open_host(
    host: str,
    *,
    key: Secret,
    login: Secret | None = None,
    base_url: str | None = None,
    api_rate: float | None = None,
    api_parallel: int = 8,
    allow_http_upload: bool = False,
    capabilities: Capabilities | None = None,
) -> VideoHost:
    """The client for an account on *host*, one of `HOSTS`. Nothing is asked of it yet.

    *api_rate*: calls per second never exceeded; None: learnt. *allow_http_upload*: take
    upload servers that have no https. *capabilities*: what an earlier `probe` found.

    Errors: ConfigError for what can't be an account; InsecureUrlError for a *base_url* of
    plain http anywhere but on this machine.
    """
    record = HOSTS.get(host)
    if record is None:
        raise ConfigError(f"unknown host {host!r}: one of {', '.join(sorted(HOSTS))}")
    url = base_url or record.api_url
    if not url:
        raise ConfigError(f"host {host}: base_url is needed")
    if not key:
        raise ConfigError(f"host {host}: a key is needed")
    check_url(url, what="base_url")
    transport = Transport(
        secrets=[secret for secret in (key, login) if secret],
        api_rate=api_rate,
        api_parallel=api_parallel,
        allow_http_upload=allow_http_upload,
    )
    if isinstance(record.dialect, XvsDialect):
        return XvsClient(transport, record.dialect, key, api_url=url, capabilities=capabilities)
    if not login:
        raise ConfigError(f"host {host}: a login is needed")
    return OpenloadClient(
        transport, record.dialect, login, key, api_url=url, capabilities=capabilities
    )
