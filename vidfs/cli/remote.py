"""`vidfs remote …`: files that the host fetches by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from vidfs.cli.completion import complete_account
from vidfs.cli.exit_codes import ExitCode
from vidfs.cli.file_options import file_options, split_tags
from vidfs.cli.output import (
    Column,
    Output,
    ask_account,
    bars,
    find_place,
    format_share,
    format_size,
    json_option,
    to_plain,
)
from vidfs.cli.session import Session
from vidfs.errors import UsageError, VidfsError

if TYPE_CHECKING:
    from vidfs.app.places import Place
    from vidfs.app.remote import Entry, RemoteAccount
    from vidfs.app.remote_uploads import RemoteAdder, Wish
    from vidfs.hosts.extras import RemoteUpload, RemoteUploads

COLUMNS = (
    Column("JOB", style="dim"),
    Column("STATUS"),
    Column("DONE", right=True),
    Column("SIZE", right=True),
    Column("CODE"),
    Column("URL"),
    Column("ERROR"),
)


@click.group()
def remote() -> None:
    """Have the host fetch files from URLs.

    \b
    vidfs remote add https://example.com/film.mp4 --folder films:/New --wait
    vidfs remote list films
    """


@remote.command("add")
@file_options
@click.option("--folder", metavar="FOLDER", required=True, help="ACCOUNT:/folder, or in a mount.")
@click.option("--header", "headers", metavar='"NAME: VALUE"', multiple=True, help="Sent along.")
@click.option("--wait", is_flag=True, help="Until the files are there, with progress.")
@json_option
@click.argument("urls", metavar="URL…", nargs=-1, required=True)
@click.pass_obj
def add(
    session: Session,
    title: str | None,
    description: str | None,
    category: str | None,
    tags: str | None,
    public: bool | None,
    adult: bool | None,
    folder: str,
    headers: tuple[str, ...],
    wait: bool,
    as_json: bool,
    urls: tuple[str, ...],
) -> int:
    """Ask the host to fetch URLs into a folder.

    \b
    vidfs remote add https://example.com/a.mp4 --folder films:/New --wait
    """
    from vidfs.app.remote_uploads import Wish

    if title is not None and len(urls) > 1:
        raise UsageError("one --title for several URLs would make them alike")
    if bad := [header for header in headers if ":" not in header or "\n" in header]:
        raise UsageError(f"{bad[0]!r} is not a header (Name: value)")
    wish = Wish(
        title=title,
        description=description,
        category=category,
        tags=None if tags is None else split_tags(tags),
        public=public,
        adult=adult,
        headers=headers,
    )
    place = find_place(session, folder)

    async def ask(account: RemoteAccount) -> tuple[str, list[RemoteUpload]]:
        return account.host.name, await _add(session, account, place, urls, wish, wait)

    host, uploads = ask_account(session, place, ask)
    _show_uploads(session, place, host, uploads, None, as_json)
    return _to_exit_code(uploads, len(urls))


async def _add(
    session: Session,
    account: RemoteAccount,
    place: Place,
    urls: Sequence[str],
    wish: Wish,
    wait: bool,
) -> list[RemoteUpload]:
    from vidfs.app.remote_uploads import RemoteAdder

    adder = RemoteAdder(account, wish, will_wait=wait)
    folder = await account.find_folder(place)
    uploads = []
    for url in urls:
        try:
            uploads.append(await adder.add(url, folder.folder))
        except VidfsError as error:
            if len(urls) == 1:
                raise
            session.say(f"{url}: {error}")
    if wait:
        uploads = await _follow(account, uploads)
        await _finish(account, adder, folder, uploads)
    return uploads


async def _follow(account: RemoteAccount, uploads: Sequence[RemoteUpload]) -> list[RemoteUpload]:
    from vidfs.app.remote_uploads import follow

    with bars() as show:
        return await follow(account, uploads, show)


async def _finish(
    account: RemoteAccount, adder: RemoteAdder, folder: Entry, uploads: Sequence[RemoteUpload]
) -> None:
    from vidfs.app.remote_uploads import to_outcome

    for upload in uploads:
        if to_outcome(upload) == "done" and upload.code:
            await adder.finish(upload.code)
    account.note_change(folder.parts)


def _to_exit_code(uploads: Sequence[RemoteUpload], asked: int) -> int:
    from vidfs.app.remote_uploads import to_outcome

    failed = any(to_outcome(upload) == "failed" for upload in uploads)
    return ExitCode.FAILED if failed or len(uploads) < asked else ExitCode.DONE


@remote.command("list")
@json_option
@click.argument("account", shell_complete=complete_account)
@click.pass_obj
def list_(session: Session, as_json: bool, account: str) -> None:
    """List all remote uploads of ACCOUNT that the host still knows.

    \b
    vidfs remote list films
    """
    from vidfs.app.remote_uploads import list_uploads

    place = find_place(session, account)

    async def ask(opened: RemoteAccount) -> tuple[str, RemoteUploads]:
        return opened.host.name, await list_uploads(opened)

    host, found = ask_account(session, place, ask)
    _show_uploads(session, place, host, found.uploads, found.requests_available, as_json)


@remote.command()
@click.option("--wait", is_flag=True, help="Until they are done, with progress.")
@json_option
@click.argument("account", shell_complete=complete_account)
@click.argument("jobs", metavar="JOB…", nargs=-1, required=True)
@click.pass_obj
def status(session: Session, wait: bool, as_json: bool, account: str, jobs: tuple[str, ...]) -> int:
    """Show how the remote uploads JOB… stand (the JOBs of `vidfs remote list`).

    \b
    vidfs remote status films 4711 --wait
    """
    from vidfs.app.remote_uploads import list_uploads

    place = find_place(session, account)

    async def ask(opened: RemoteAccount) -> tuple[str, list[RemoteUpload]]:
        known = []
        for job in jobs:
            found = [one for one in (await list_uploads(opened, job)).uploads if one.job == job]
            if not found:
                session.say(f"{opened.host.name} lists no remote upload {job}")
            known += found
        return opened.host.name, await _follow(opened, known) if wait else known

    host, uploads = ask_account(session, place, ask)
    _show_uploads(session, place, host, uploads, None, as_json)
    return _to_exit_code(uploads, len(jobs))


@remote.command()
@click.argument("account", shell_complete=complete_account)
@click.pass_obj
def retry(session: Session, account: str) -> None:
    """Have the host try all failed remote uploads of ACCOUNT again.

    \b
    vidfs remote retry films
    """
    from vidfs.app.remote_uploads import get_actions

    async def ask(opened: RemoteAccount) -> None:
        what = "try remote uploads again: add the URL once more"
        await get_actions(opened, "retry_remote_uploads", what).retry_remote_uploads()

    ask_account(session, find_place(session, account), ask)
    Output(session).line("failed remote uploads are tried again")


@remote.command()
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--failed", is_flag=True, help="Those that failed.")
@click.argument("account", shell_complete=complete_account)
@click.argument("jobs", metavar="[JOB]…", nargs=-1)
@click.pass_obj
def cancel(
    session: Session, everything: bool, failed: bool, account: str, jobs: tuple[str, ...]
) -> None:
    """Take remote uploads off the host's list.

    \b
    vidfs remote cancel films 4711
    vidfs remote cancel films --failed
    """
    from vidfs.app.remote_uploads import cancel_failed, get_actions

    if bool(jobs) + everything + failed != 1:
        raise UsageError("which ones: JOBs, --failed or --all?")

    async def ask(opened: RemoteAccount) -> None:
        if failed:
            await cancel_failed(opened)
        else:
            actions = get_actions(opened, "cancel_remote_uploads", "cancel remote uploads")
            await actions.cancel_remote_uploads(None if everything else jobs)

    ask_account(session, find_place(session, account), ask)
    Output(session).line("cancelled")


def _show_uploads(
    session: Session,
    place: Place,
    host: str,
    uploads: Sequence[RemoteUpload],
    available: int | None,
    as_json: bool,
) -> None:
    output = Output(session)
    if as_json:
        output.json(
            {
                "account": place.account,
                "host": host,
                "uploads": [to_plain(upload) for upload in uploads],
                "requests_available": available,
            }
        )
        return
    output.table(COLUMNS, [_to_row(upload) for upload in uploads], empty="no remote uploads")
    if available is not None:
        output.note(f"{available} more can be asked for")


def _to_row(upload: RemoteUpload) -> list[str]:
    return [
        upload.job,
        upload.status or "asked for",
        format_share(upload.progress),
        format_size(upload.total_bytes or None),
        upload.code or "",
        upload.url,
        upload.error,
    ]
