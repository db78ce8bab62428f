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

Param = tuple[str, str]
"""A call and its parameter that asks for, or changes, one thing."""


def _table(**names: str) -> Mapping[str, str]:
    return MappingProxyType(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class XvsDialect:
    """One service of the XVideoSharing family. See the recipe in `hosts/__init__.py`.

    The defaults are S1's. Mappings named `…_fields` go from our word for a thing to the
    parameter's; what isn't in one, the call can't.
    """

    name: str
    api_url: str | None  # None: the user says it
    capabilities: Capabilities
    optional_calls: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Calls that an installation may lack, and the `Capabilities` that are lost with each."""
    unpromised_link: bool = False
    """file/direct_link is in no document, but may be there: used once a probe has seen it work."""

    # listings
    page_size: int = 1000  # asked for with file/list; what comes is taken as it is
    listing: Literal["whole", "paged"] = "whole"
    """"whole": folder/list tells the files, too; "paged": only file/list does."""
    with_files: tuple[Param, ...] = (("files", "1"),)  # what makes folder/list tell files …
    without_files: tuple[Param, ...] = ()  # … and what makes it leave them out
    list_fields: Mapping[str, str] = field(
        default_factory=lambda: _table(
            folder="fld_id", title="title", created="created", public="public", adult="adult"
        )
    )
    """Filters of file/list."""
    search: Param = ("file/list", "title")

    # changes
    file_edits: Mapping[str, Param] = field(
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
    edits_many: bool = True  # these calls take a comma list of codes
    folder_edits: Mapping[str, Param] = field(
        default_factory=lambda: MappingProxyType(
            {
                "name": ("folder/edit", "name"),
                "parent": ("folder/edit", "parent_id"),
                "description": ("folder/edit", "descr"),
            }
        )
    )
    folder_fields: Mapping[str, str] = field(default_factory=lambda: _table(description="descr"))
    """What folder/create takes beside name and parent."""
    clone_fields: Mapping[str, str] = field(default_factory=lambda: _table(title="file_title"))
    """What file/clone sets by itself; everything else is changed afterwards."""

    # uploads
    upload_key_field: str = "key"
    upload_key_in_query: bool = False  # the key, bare, as the query of the upload address, too
    upload_fields: Mapping[str, str] = field(
        default_factory=lambda: _table(
            title="file_title",
            folder="fld_id",
            description="file_descr",
            category="cat_id",
            public="file_public",
            adult="file_adult",
            tags="tags",
            snapshot="snapshot",
            html="html_redirect",
        )
    )

    # uploads by URL
    remote_fields: Mapping[str, str] = field(
        default_factory=lambda: _table(
            folder="fld_id",
            category="cat_id",
            public="file_public",
            adult="file_adult",
            tags="tags",
        )
    )
    remote_list: str = "file/url_uploads"
    remote_status: Param = ("file/url_uploads", "file_code")
    remote_slots: str | None = None  # a call that tells total_slots and used_slots
    remote_actions: Mapping[str, Param] = field(
        default_factory=lambda: MappingProxyType(
            {
                "retry": ("file/url_actions", "restart_errors"),
                "clear": ("file/url_actions", "delete_errors"),
                "cancel_all": ("file/url_actions", "delete_all"),
                "cancel": ("file/url_actions", "delete_code"),
            }
        )
    )
    remote_cancels_many: bool = True  # "cancel" takes a comma list

    # everything else
    stats_fields: Mapping[str, str] = field(default_factory=lambda: _table(last="last"))
    dmca: str = "file/dmca"
    dmca_fields: Mapping[str, str] = field(default_factory=lambda: _table(last="last"))
    """With `per_page` and `page` in it the call is paged."""
    encodings_filter: str = "code"
    check_call: str | None = None  # says whether a file is there
    image_call: str | None = None  # tells a file's pictures


VIPSTREAM = XvsDialect(
    name="vipstream",
    api_url="https://vipstream.cc/api",
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
        clone_sets=frozenset({"title"}),
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
    optional_calls=MappingProxyType(
        {
            "file/direct_link": {"read_content": False},
            "file/delete": {"delete_file": False},
            "folder/delete": {"delete_folder": False},
            "file/url_uploads": {"remote_upload_status": False},
        }
    ),
    clone_fields=_table(title="file_title", folder="fld_id"),
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
        clone_sets=frozenset({"title", "folder"}),
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

DOODSTREAM_EXTENSIONS = frozenset("mkv mp4 wmv avi mpeg4 mpegps flv 3gp webm mov mpg m4v".split())
"""Source: API_FACTS §1.3."""

DOODSTREAM = XvsDialect(
    name="doodstream",
    api_url="https://doodapi.com/api",  # it moves: `base_url` overrides it (API_FACTS §1.2)
    optional_calls=MappingProxyType(
        {
            "folder/list": {"list_folders": False},
            "file/move": {"move_file": False},
        }
    ),
    unpromised_link=True,  # said to be there for premium accounts (API_FACTS §1.2)
    page_size=200,
    with_files=(),
    without_files=(("only_folders", "1"),),
    list_fields=_table(folder="fld_id", created="created"),
    search=("search/videos", "search_term"),
    file_edits=MappingProxyType(
        {"title": ("file/rename", "title"), "folder": ("file/move", "fld_id")}
    ),
    edits_many=False,
    folder_edits=MappingProxyType({"name": ("folder/rename", "name")}),
    folder_fields=_table(),
    clone_fields=_table(folder="fld_id"),
    upload_key_field="api_key",
    upload_key_in_query=True,
    upload_fields=_table(),
    remote_fields=_table(folder="fld_id", title="new_title"),
    remote_list="urlupload/list",
    remote_status=("urlupload/status", "file_code"),
    remote_slots="urlupload/slots",
    remote_actions=MappingProxyType(
        {
            "retry": ("urlupload/actions", "restart_errors"),
            "clear": ("urlupload/actions", "clear_errors"),
            "cancel_all": ("urlupload/actions", "clear_all"),
            "cancel": ("urlupload/actions", "delete_code"),
        }
    ),
    remote_cancels_many=False,
    stats_fields=_table(last="last", from_date="from_date", to_date="to_date"),
    dmca="dmca/list",
    dmca_fields=_table(per_page="per_page", page="page"),
    check_call="file/check",
    image_call="file/image",
    capabilities=Capabilities(
        create_folder=True,
        rename_folder=True,
        move_folder=False,
        delete_folder=False,
        rename_file=True,
        move_file=True,
        delete_file=False,  # file/delete is in no version of the document (API_FACTS §1.2)
        read_content=False,
        stores_any_file=False,
        accepted_extensions=DOODSTREAM_EXTENSIONS,
        keeps_content=False,  # assumed: `canplay` turns 1 after an encoding
        upload_into_folder=False,
        upload_title=False,
        upload_hash=None,
        upload_bytes_max=None,
        listing_sizes=False,
        listing_hash=None,
        list_new_files=True,
        info_batch_max=50,  # assumed: narrowed to 1 where an answer leaves codes out
        info_sizes=True,
        quota=True,
        clone=True,
        clone_sets=frozenset({"folder"}),
        remote_upload=True,
        remote_upload_status=True,
        search=True,
        stats=True,
        dmca_list=True,
        thumbnails=True,
        player_params=frozenset({"c1_file", "c1_label", "subtitle_json", "c_poster"}),
    ),
)
"""Source: S0 for the answers, API_FACTS §1.2 for calls and parameters (as of its today's page)."""
