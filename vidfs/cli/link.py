"""`vidfs link`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from vidfs.cli.completion import complete_path
from vidfs.cli.exit_codes import ExitCode
from vidfs.cli.link_formats import FORMATS, to_strm_files
from vidfs.cli.output import Output, ask_accounts, find_places, json_option, spinner
from vidfs.cli.session import Session
from vidfs.errors import UsageError

if TYPE_CHECKING:
    from vidfs.app.links import Link, LinkKind
    from vidfs.app.places import Place
    from vidfs.app.remote import RemoteAccount

Found: TypeAlias = "tuple[tuple[str, ...], list[Link], int]"
"""The folder that was asked for (names from the root), its links, and the files in it."""


@click.command()
@click.option("--page", "kind", flag_value="page", help="Web pages (the default).")
@click.option("--embed", "kind", flag_value="embed", help="Player pages.")
@click.option("--download", "kind", flag_value="download", help="The bytes; these links expire.")
@click.option("--thumbnail", "kind", flag_value="thumbnail", help="Pictures.")
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMATS, "strm"]),
    default="plain",
    help="m3u, strm: --download by default.",
)
@click.option("-o", "--output", "target", metavar="FILE|DIR", help="Not to stdout; strm: a DIR.")
@click.option("--subtitle", metavar="URL", help="For the player, with --embed.")
@click.option("--subtitle-label", metavar="TEXT", help="Its language, as shown.")
@click.option("--subtitle-json", metavar="URL", help="A list of subtitles.")
@click.option("--poster", metavar="URL", help="The player's picture.")
@json_option
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, shell_complete=complete_path)
@click.pass_obj
def link(
    session: Session,
    kind: LinkKind | None,
    form: str,
    target: str | None,
    subtitle: str | None,
    subtitle_label: str | None,
    subtitle_json: str | None,
    poster: str | None,
    as_json: bool,
    paths: tuple[str, ...],
) -> int:
    """Print links of files, or of all files in folders.

    \b
    vidfs link films:/Series/pilot.mp4
    vidfs link --format strm -o ~/Media films:/Series
    """
    if form == "strm" and (not target or as_json):
        raise UsageError("--format strm writes files: it needs -o DIR and takes no --json")
    if subtitle_label and not subtitle:
        raise UsageError("--subtitle-label needs --subtitle")
    player = {
        "c1_file": subtitle,
        "c1_label": subtitle_label,
        "subtitle_json": subtitle_json,
        "c_poster": poster,
    }
    params = {name: value for name, value in player.items() if value}
    if params and kind is None:
        kind = "embed"

    async def ask(remote: RemoteAccount, places: Sequence[Place]) -> list[Found]:
        with spinner("looking"):
            return [await _find(remote, place, kind, form, params) for place in places]

    parts = ask_accounts(session, find_places(session, paths), ask)
    found = [one for part in parts for one in part]
    _write(session, found, form, target, as_json)
    missing = sum(count - len(links) for _, links, count in found)
    if missing:
        session.say(f"{missing} files have no such link")
    return ExitCode.FAILED if missing else ExitCode.DONE


async def _find(
    remote: RemoteAccount, place: Place, kind: LinkKind | None, form: str, params: dict[str, str]
) -> Found:
    from vidfs.app.links import default_kind, find_links

    entry = await remote.find(place)
    files = await remote.list_files(entry)
    chosen = kind or default_kind(remote, for_players=form in ("m3u", "strm"))
    links = await find_links(remote, files, chosen, params)
    top = entry.parts if entry.file is None else entry.parts[:-1]
    return top, links, len(files)


def _write(
    session: Session, found: Sequence[Found], form: str, target: str | None, as_json: bool
) -> None:
    output = Output(session)
    if form == "strm":
        assert target is not None
        count = 0
        for top, links, _ in found:
            for path, content in to_strm_files(links, top):
                file = Path(target) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content, encoding="utf-8")
                count += 1
        output.line(f"{count} .strm files are in {target}")
        return
    links = [link for _, part, _ in found for link in part]
    if as_json:
        output.json({"links": [_to_json(link) for link in links]})
        return
    text = FORMATS[form](links)
    if target:
        Path(target).write_text(text, encoding="utf-8")
        return
    for line in text.splitlines():
        output.line(line)


def _to_json(link: Link) -> dict[str, object]:
    return {
        "path": link.entry.path,
        "name": link.entry.name,
        "title": link.entry.title,
        "code": str(link.entry.code),
        "kind": link.kind,
        "url": link.url,
        "expires_at": link.expires_at,
    }
