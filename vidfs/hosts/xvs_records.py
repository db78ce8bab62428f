"""XVideoSharing's dialects as records.

Data only: a site that runs the same script costs one record here. Which calls exist, how
their parameters are called and what they can do stands in `XvsDialect`; the client in
`xvs.py` reads it and asks no name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from vidfs.hosts.api import Capabilities
from vidfs.types import FolderId

ROOT = FolderId("0")
"""Source: S1 "Folder List" (`fld_id`: default=0)."""

VIDEO_EXTENSIONS = frozenset(
    "3gp asf avi divx f4v flv m2ts m2v m4v mkv mov mp4 mpeg mpg mpe mts ogg ogm ogv rm rmvb ts "
    "vob webm wmv xvid".split()
)
"""Assumed: no document lists them; refusals read "unallowed extension" (API_FACTS §2.4)."""

Edit = tuple[str, str]
"""A call and its parameter that changes one thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class XvsDialect:
    """One service of the XVideoSharing family. See the recipe in `hosts/__init__.py`."""

    name: str
    api_url: str | None  # None: the user says it
    capabilities: Capabilities
    optional_calls: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Calls that an installation may lack, and the `Capabilities` that are lost with each."""
    page_size: int = 1000  # asked for with file/list; what comes is taken as it is
    listing: Literal["whole", "paged"] = "whole"
    """"whole": folder/list with files=1 tells all; "paged": file/list tells the files."""
    file_edits: Mapping[str, Edit] = field(
        default_factory=lambda: MappingProxyType(
            {
                "title": ("file/edit", "file_title"),
                "folder": ("file/edit", "file_fld_id"),
                "description": ("file/edit", "file_descr"),
                "category": ("file/edit", "cat_id"),
                "public": ("file/edit", "file_public"),
                "adult": ("file/edit", "file_adult"),
                "tags": ("file/edit", "tags"),
            }
        )
    )
    """What can be changed of a file. Changes of one call go in one request."""
    folder_edits: Mapping[str, Edit] = field(
        default_factory=lambda: MappingProxyType(
            {"name": ("folder/edit", "name"), "parent": ("folder/edit", "parent_id")}
        )
    )
    upload_key_field: str = "key"
    upload_key_in_query: bool = False  # the key, bare, as the query of the upload address
    upload_fields: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType(
            {
                "title": "file_title",
                "folder": "fld_id",
                "description": "file_descr",
                "category": "cat_id",
                "public": "file_public",
                "adult": "file_adult",
                "tags": "tags",
            }
        )
    )
    remote_fields: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType(
            {
                "folder": "fld_id",
                "category": "cat_id",
                "public": "file_public",
                "adult": "file_adult",
                "tags": "tags",
            }
        )
    )
    folders_only: tuple[tuple[str, str], ...] = ()  # what makes folder/list leave files out
    clone_into_folder: bool = False
    encodings_filter: str = "code"
    calls: frozenset[str] = frozenset()
    """Everything beside the family's core that the documents list."""


_VIPSTREAM_CALLS = frozenset(
    {"account/stats", "upload/url", "file/clone", "file/deleted", "file/dmca", "file/encodings"}
)

VIPSTREAM = XvsDialect(
    name="vipstream",
    api_url="https://vipstream.cc/api",
    calls=_VIPSTREAM_CALLS,
    capabilities=Capabilities(
        create_folder=True,
        rename_folder=True,
        move_folder=True,
        delete_folder=False,
        rename_file=True,
        move_file=True,
        delete_file=False,
        read_content=False,
        stores_any_file=False,
        accepted_extensions=VIDEO_EXTENSIONS,
        keeps_content=False,  # assumed: it encodes what it gets ("file/encodings")
        upload_into_folder=True,
        upload_title=True,
        upload_hash=None,
        upload_bytes_max=None,
        listing_sizes=False,
        listing_hash=None,
        list_new_files=True,
        info_batch_max=50,
        info_sizes=False,
        quota=True,
        clone=True,
        edit_fields=frozenset({"public", "adult", "tags", "category", "description"}),
        remote_upload=True,
        search=True,
        stats=True,
        encodings=True,
        deleted_list=True,
        dmca_list=True,
        thumbnails=True,
    ),
)
"""Source: S1, exactly. 50 codes per file/info: API_FACTS §2.4."""

XVS = XvsDialect(
    name="xvs",
    api_url=None,
    calls=_VIPSTREAM_CALLS | {"file/url_uploads", "file/url_actions"},
    optional_calls=MappingProxyType(
        {
            "file/direct_link": {"read_content": False},
            "file/delete": {"delete_file": False},
            "folder/delete": {"delete_folder": False},
            "file/url_uploads": {"remote_upload_status": False},
        }
    ),
    clone_into_folder=True,
    encodings_filter="file_code",
    capabilities=Capabilities(
        create_folder=True,
        rename_folder=True,
        move_folder=True,
        delete_folder=True,
        rename_file=True,
        move_file=True,
        delete_file=True,
        read_content=True,
        stores_any_file=False,
        accepted_extensions=VIDEO_EXTENSIONS,
        keeps_content=False,
        upload_into_folder=True,
        upload_title=True,
        upload_hash=None,
        upload_bytes_max=None,
        listing_sizes=False,
        listing_hash=None,
        list_new_files=True,
        info_batch_max=50,
        info_sizes=True,  # on some sites: narrowed by the first answer without
        quota=True,
        clone=True,
        edit_fields=frozenset({"public", "adult", "tags", "category", "description"}),
        remote_upload=True,
        remote_upload_status=True,
        search=True,
        stats=True,
        encodings=True,
        deleted_list=True,
        dmca_list=True,
        thumbnails=True,
    ),
)
"""Source: API_FACTS §2.2 (a site with all modules), §2.3 (sizes in file/info of some)."""
