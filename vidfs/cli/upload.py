"""`vidfs upload`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidfs.cli.completion import complete_path
from vidfs.cli.file_options import file_options, split_tags
from vidfs.cli.output import Output, ask_account, bars, find_place, format_size
from vidfs.cli.session import Session
from vidfs.errors import UsageError
from vidfs.tree.names import name_of

if TYPE_CHECKING:
    from vidfs.app.places import Place
    from vidfs.app.remote import RemoteAccount
    from vidfs.app.uploading import Upload
    from vidfs.hosts.api import UploadOptions


@click.command()
@file_options
@click.option("--snapshot", metavar="PICTURE", help="The host's picture of it, your own.")
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(exists=True))
@click.argument("folder", metavar="FOLDER", shell_complete=complete_path)
@click.pass_obj
def upload(
    session: Session,
    title: str | None,
    description: str | None,
    category: str | None,
    tags: str | None,
    public: bool | None,
    adult: bool | None,
    snapshot: str | None,
    files: tuple[str, ...],
    folder: str,
) -> None:
    """Upload files without a mount; FOLDER is ACCOUNT:/folder.

    \b
    vidfs upload --tags "new, hd" --snapshot cover.jpg a.mp4 films:/New
    """
    from vidfs.app.uploading import Upload

    if title is not None and len(files) > 1:
        raise UsageError("one --title for several files would make them alike")
    place = find_place(session, folder)
    options = {
        "description": description,
        "category": category,
        "tags": None if tags is None else split_tags(tags),
        "public": public,
        "adult": adult,
    }
    given = {name: value for name, value in options.items() if value is not None}
    chosen = _to_options(session, place.account, given)
    picture = None if snapshot is None else Path(snapshot)
    uploads = [
        Upload(
            path=Path(file),
            title=title or name_of(os.fsencode(Path(file).name)),
            options=chosen,
            snapshot=picture,
        )
        for file in files
    ]

    async def ask(remote: RemoteAccount) -> list[str]:
        return await _send(remote, place, uploads, list(given))

    output = Output(session)
    for code, one in zip(ask_account(session, place, ask), uploads, strict=True):
        output.line(f"{code}  {one.title}")


async def _send(
    remote: RemoteAccount, place: Place, uploads: list[Upload], given: list[str]
) -> list[str]:
    from vidfs.app.uploading import check_upload, send

    for one in uploads:
        check_upload(remote, one, given)
    folder = await remote.find_folder(place)
    codes = []
    with bars() as show:
        for one in uploads:
            size = one.path.stat().st_size

            def progress(sent: int, name: str = one.path.name, size: int = size) -> None:
                show(name, sent / size, f"{format_size(sent)} of {format_size(size)}")

            codes.append(str(await send(remote, one, folder, progress)))
    return codes


def _to_options(session: Session, account: str, given: Mapping[str, object]) -> UploadOptions:
    """*given* over the account's own for every upload."""
    from vidfs.hosts.api import UploadOptions

    defaults = session.config.get_account(account).uploads
    names = ("public", "adult", "category", "tags", "description")
    values = {name: given.get(name, getattr(defaults, name)) for name in names}
    return UploadOptions(**values)  # type: ignore[arg-type]
