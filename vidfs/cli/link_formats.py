"""Links as text for other programs: pure functions."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vidfs.tree.names import fitted, split_extension

if TYPE_CHECKING:
    from vidfs.app.links import Link


def to_plain(links: Sequence[Link]) -> str:
    return "".join(f"{link.url}\n" for link in links)


def to_csv(links: Sequence[Link]) -> str:
    """With a heading line: path, title, code, kind, url."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "title", "code", "kind", "url"])
    writer.writerows(
        [link.entry.path, link.entry.title, str(link.entry.code), link.kind, link.url]
        for link in links
    )
    return text.getvalue()


def to_html(links: Sequence[Link]) -> str:
    """A line each: a link, a player frame, or a picture that leads to the page."""
    return "".join(_to_html(link) + "\n" for link in links)


def _to_html(link: Link) -> str:
    url, name = html.escape(link.url), html.escape(link.entry.name)
    if link.kind == "embed":
        return (
            f'<iframe src="{url}" title="{name}" width="640" height="360" allowfullscreen></iframe>'
        )
    if link.kind == "thumbnail":
        picture = f'<img src="{url}" alt="{name}">'
        return f'<a href="{html.escape(link.page)}">{picture}</a>' if link.page else picture
    return f'<a href="{url}">{name}</a>'


def to_bbcode(links: Sequence[Link]) -> str:
    return "".join(_to_bbcode(link) + "\n" for link in links)


def _to_bbcode(link: Link) -> str:
    if link.kind == "thumbnail":
        picture = f"[img]{link.url}[/img]"
        return f"[url={link.page}]{picture}[/url]" if link.page else picture
    return f"[url={link.url}]{link.entry.name}[/url]"


def to_m3u(links: Sequence[Link]) -> str:
    """An extended playlist; a length that isn't known is -1."""
    lines = ["#EXTM3U\n"]
    for link in links:
        length_s = link.entry.get_file().length_s
        seconds = -1 if not length_s else round(length_s)
        lines.append(f"#EXTINF:{seconds},{link.entry.name}\n{link.url}\n")
    return "".join(lines)


FORMATS: Mapping[str, Callable[[Sequence[Link]], str]] = {
    "plain": to_plain,
    "csv": to_csv,
    "html": to_html,
    "bbcode": to_bbcode,
    "m3u": to_m3u,
}


def to_strm_files(links: Sequence[Link], top: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Path and content of a .strm file per link, below the folder *top* (names from the root).

    `film.mp4` becomes `film.strm`; where two would have the same name, the later ones keep
    their extension: `film.mkv.strm`.
    """
    taken: set[str] = set()
    for link in links:
        *folders, name = link.entry.parts[len(top) :]
        stem = split_extension(name)[0]
        for candidate in (stem, name, f"{name} [{link.entry.code}]"):
            path = "/".join([*folders, fitted(f"{candidate}.strm", str(link.entry.code))])
            if path not in taken:
                break
        taken.add(path)
        yield path, f"{link.url}\n"
