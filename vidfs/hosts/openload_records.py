"""OpenLoad's dialects as records.

Data only: the next host of the family costs one record here. The client in `openload.py`
reads it and asks no name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vidfs.hosts.api import Capabilities
from vidfs.hosts.xvs_records import VIDEO_EXTENSIONS
from vidfs.types import FolderId

HOME = FolderId("")
"""Stands for the account's root where no document tells its number: then it isn't sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenloadDialect:
    """One service of the OpenLoad family. See the recipe in `hosts/__init__.py`."""

    name: str
    api_url: str
    capabilities: Capabilities
    root_sent: str | None = None
    """The root's number where one is asked for and files are moved there; None: none is known."""
    upload_field: str = "file1"  # any name is taken (API_FACTS §3.3)
    remote_headers: Literal["lines", "repeated", "none"] = "lines"
    """How headers go with remotedl/add: `headers` with line breaks, or `headers[]` repeated."""
    remote_name: bool = False  # remotedl/add takes a name
    converts_calls: tuple[str, ...] = ()  # calls that list conversions
    converts_limit: bool = False  # they take limit and file rather than folder
    converts_percent: bool = False  # progress in percent rather than as a fraction
    calls: frozenset[str] = frozenset()
    """Calls that the service has beside the family's core."""


FRUITHOSTED = OpenloadDialect(
    name="fruithosted",
    api_url="https://api.fruithosted.net",
    converts_calls=("file/runningconverts",),
    calls=frozenset({"file/convert"}),
    capabilities=Capabilities(
        create_folder=False,
        rename_folder=True,
        move_folder=False,
        delete_folder=False,
        rename_file=True,
        move_file=False,
        delete_file=False,
        read_content=True,
        stores_any_file=True,
        accepted_extensions=None,
        keeps_content=False,  # conversion replaces the file (API_FACTS §3.4)
        upload_into_folder=True,
        upload_title=True,  # the multipart file name
        upload_hash="sha1",
        upload_bytes_max=None,
        listing_sizes=True,
        listing_hash="sha1",
        list_new_files=False,
        info_batch_max=50,
        info_sizes=True,
        quota=True,
        clone=False,
        remote_upload=True,
        remote_upload_status=True,
        encodings=True,
        convert=True,
        thumbnails=True,
    ),
)
"""Source: S2, exactly."""

PSTREAM = OpenloadDialect(
    name="pstream",
    api_url="https://api.pstream.net/v1",
    root_sent="0",  # assumed: the sample lists files with folder_id 0 (API_FACTS §4)
    remote_headers="repeated",
    converts_calls=("file/converts",),
    converts_limit=True,
    converts_percent=True,
    capabilities=Capabilities(
        create_folder=True,
        rename_folder=True,
        move_folder=False,
        delete_folder=True,
        rename_file=True,
        move_file=True,
        delete_file=True,
        read_content=False,
        stores_any_file=False,
        accepted_extensions=VIDEO_EXTENSIONS,
        keeps_content=False,
        upload_into_folder=True,
        upload_title=True,
        upload_hash="sha1",
        upload_bytes_max=None,
        listing_sizes=True,
        listing_hash="sha1",
        list_new_files=False,
        info_batch_max=50,
        info_sizes=True,
        quota=False,
        clone=False,
        remote_upload=True,
        remote_upload_status=True,
        encodings=True,
        thumbnails=True,
    ),
)
"""Source: S3, exactly."""

STREAMTAPE = OpenloadDialect(
    name="streamtape",
    api_url="https://api.streamtape.com",
    root_sent="0",  # API_FACTS §5: folderid "0" or "" for the root
    remote_name=True,
    converts_calls=("file/runningconverts", "file/failedconverts"),
    calls=frozenset({"remotedl/remove"}),
    capabilities=Capabilities(
        create_folder=True,
        rename_folder=True,
        move_folder=False,
        delete_folder=True,
        rename_file=True,
        move_file=True,
        delete_file=True,
        read_content=True,
        stores_any_file=True,
        accepted_extensions=None,
        keeps_content=False,
        upload_into_folder=True,
        upload_title=True,
        upload_hash="sha256",
        upload_bytes_max=None,
        listing_sizes=True,
        listing_hash=None,
        list_new_files=False,
        info_batch_max=50,
        info_sizes=True,
        quota=False,
        clone=False,
        remote_upload=True,
        remote_upload_status=True,
        encodings=True,
        thumbnails=True,
    ),
)
"""Source: API_FACTS §5."""
