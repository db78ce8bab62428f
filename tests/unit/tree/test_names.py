"""Host titles to file names and back."""

from __future__ import annotations

import html
import math
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vidfs.tree.names import (
    DEFAULT_SCRATCH,
    Titled,
    assign_names,
    bytes_of,
    decorated,
    extension_of,
    has_video_extension,
    is_host_form,
    is_scratch,
    loose_title,
    name_of,
    shown_name,
    title_for_rename,
    with_extension,
)
from vidfs.types import NAME_BYTES_MAX, NodeKind

FEW = ["", ".", "..", "a", "a.mp4", "a.mkv", "b", "a/b", "a [c1].mp4", "x" * 300, "映" * 100]
ODD = ["\x00", "\n", "\x7f", "&amp;", "&#47;", "&lt;b&gt;", "\ud800", " ", "...", ". ", "a\x1fb"]
TITLES = st.one_of(
    st.sampled_from(FEW + ODD),
    st.text(alphabet=st.characters(exclude_categories=[]), max_size=300),
)
IDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=16)


@st.composite
def folders(draw: st.DrawFn) -> list[Titled]:
    """Entries of one folder: the ids of a kind are unique."""
    keys = draw(st.lists(st.tuples(st.sampled_from(NodeKind), IDS), unique=True, max_size=12))
    ages = st.one_of(st.none(), st.sampled_from([1.0, 2.0, 3.0]))
    given_names = st.one_of(st.none(), st.none(), st.sampled_from(["a.mp4", "b", "a [c1].mp4"]))
    return [
        Titled(
            key=number,
            kind=kind,
            title=draw(TITLES),
            remote_id=remote_id,
            uploaded_at=draw(ages) if kind is NodeKind.FILE else None,
            given=draw(given_names),
        )
        for number, (kind, remote_id) in enumerate(keys)
    ]


def assert_is_a_name(name: str) -> None:
    assert 0 < len(name.encode()) <= NAME_BYTES_MAX
    assert name not in (".", "..")
    assert not set(name) & {"/", "\0"}
    assert not any(ord(char) < 0x20 or ord(char) == 0x7F for char in name)


@given(folders(), st.sampled_from(["", "mp4"]), st.randoms())
def test_all_get_valid_and_unique_names_whatever_the_order(
    entries: list[Titled], extension: str, dice: random.Random
) -> None:
    names = assign_names(entries, default_extension=extension)
    assert set(names) == {entry.key for entry in entries}
    assert len(set(names.values())) == len(names)
    for name in names.values():
        assert_is_a_name(name)
    shuffled = list(entries)
    dice.shuffle(shuffled)
    assert assign_names(shuffled, default_extension=extension) == names


@given(TITLES, IDS)
def test_any_title_is_shown_as_a_valid_name(title: str, remote_id: str) -> None:
    name = assign_names(
        [Titled(key=0, kind=NodeKind.FILE, title=title, remote_id=remote_id)],
        default_extension="mp4",
    )[0]
    assert_is_a_name(name)
    assert has_video_extension(name)


@given(
    st.one_of(
        st.binary(max_size=60),
        st.text(max_size=20).map(str.encode),
        st.text("a\uef00\uef80\uefee", max_size=9).map(str.encode),
    )
)
def test_any_bytes_make_a_name_that_a_title_can_hold(raw: bytes) -> None:
    name = name_of(raw)
    assert bytes_of(name) == raw
    assert name.encode().decode() == name
    if raw and not set(raw) & set(b"&/\x7f" + bytes(range(0x20))) and raw not in (b".", b".."):
        assert shown_name(name, "c1") == name


@given(st.text("a\uef00\uef80\uefa9\uefc3\ue000é", max_size=9), IDS)
def test_a_title_of_characters_that_stand_for_bytes_has_a_name_the_kernel_finds(
    title: str, remote_id: str
) -> None:
    name = shown_name(title, remote_id)
    assert name_of(bytes_of(name)) == name


@given(st.text(max_size=60), IDS)
def test_only_what_no_name_can_hold_is_shown_otherwise(title: str, remote_id: str) -> None:
    assume("&" not in title)  # an entity is shown as what it stands for
    name = shown_name(title, remote_id)
    if title in ("", ".", ".."):
        assert name == f"untitled [{remote_id}]"
        return
    assert len(name) == len(title)
    for char, shown in zip(title, name, strict=True):
        if char == "/":
            assert shown == "\N{FULLWIDTH SOLIDUS}"
        elif char == "\x7f":
            assert shown == "\N{SYMBOL FOR DELETE}"
        elif char < " ":
            assert ord(shown) == 0x2400 + ord(char)
        else:
            assert shown == char


@given(
    st.text(
        st.characters(exclude_characters="&;", exclude_categories=["Cc", "Cs", "Cn"]), min_size=1
    )
)
def test_entities_are_shown_as_what_they_stand_for(text: str) -> None:
    assume(text.strip(".") and "/" not in text)
    assert shown_name(html.escape(text), "id") == text
    assert shown_name("".join(f"&#{ord(char)};" for char in text), "id") == html.unescape(
        "".join(f"&#x{ord(char):x};" for char in text)
    )


@given(folders(), st.sampled_from(["", "mp4"]))
def test_who_has_a_name_plain_and_who_with_its_id(entries: list[Titled], extension: str) -> None:
    """A given name before any other, a folder before a file, the oldest file before others."""
    names = assign_names(entries, default_extension=extension)
    alone = {e.key: assign_names([e], default_extension=extension)[e.key] for e in entries}
    for entry in entries:
        rivals = [e for e in entries if alone[e.key] == alone[entry.key]]
        ages = [
            (e.given is None, e.kind, math.inf if e.uploaded_at is None else e.uploaded_at)
            for e in rivals
        ]
        mine = ages[rivals.index(entry)]
        if names[entry.key] == alone[entry.key]:
            assert mine == min(ages)
        else:
            assert f" [{entry.remote_id}" in names[entry.key]
            assert extension_of(names[entry.key]) == extension_of(alone[entry.key])
    assert set(alone.values()) <= set(names.values()), "somebody has every plain name"


@given(st.lists(st.tuples(IDS, TITLES), unique_by=lambda pair: pair[0], max_size=8), st.data())
def test_names_given_here_are_shown_as_given(
    others: list[tuple[str, str]], data: st.DataObject
) -> None:
    mine = data.draw(st.lists(st.text("ab.é/ &", min_size=1, max_size=4), unique=True, max_size=4))
    entries = [
        Titled(key=n, kind=NodeKind.FILE, title=title, remote_id=code)
        for n, (code, title) in enumerate(others)
    ]
    entries += [
        Titled(key=100 + n, kind=NodeKind.FILE, title="x", remote_id=f"mine{n}", given=name)
        for n, name in enumerate(mine)
    ]
    names = assign_names(entries, default_extension="mp4")
    assert [names[100 + n] for n in range(len(mine))] == mine


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=64, max_size=400), IDS)
def test_long_titles_are_cut_at_a_character_and_keep_their_extension(text: str, code: str) -> None:
    title = text.replace("&", "+") + ".mkv"
    [name] = assign_names(
        [Titled(key=0, kind=NodeKind.FILE, title=title, remote_id=code)], default_extension="mp4"
    ).values()
    plain = shown_name(title, code)
    if len(plain.encode()) <= NAME_BYTES_MAX:
        assert name == plain
        return
    kept = name.removesuffix(f" [{code}].mkv")
    assert kept != name
    assert plain.startswith(kept)
    assert len(name.encode()) > NAME_BYTES_MAX - 4, "no more than a character is given up"


@given(st.sampled_from(NodeKind), TITLES)
def test_an_extension_is_made_up_for_files_of_video_hosts_alone(kind: NodeKind, title: str) -> None:
    entry = Titled(key=0, kind=kind, title=title, remote_id="id")
    plain, with_one = (
        assign_names([entry], default_extension=extension)[0] for extension in ("", "mp4")
    )
    if kind is NodeKind.FOLDER or has_video_extension(plain):
        assert with_one == plain
    elif len(plain.encode()) <= NAME_BYTES_MAX - 4:
        assert with_one == f"{plain}.mp4" or " [id]" in plain


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("film.mp4", "film.mp4"),
        ("a/b", "a／b"),
        ("a\0b\nc\x7f", "a␀b␊c␡"),
        ("", "untitled [id]"),
        (".", "untitled [id]"),
        ("..", "untitled [id]"),
        ("...", "..."),
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("a&#47;b", "a／b"),
    ],
)
def test_odd_titles(title: str, name: str) -> None:
    assert shown_name(title, "id") == name


def names_of(*titles: tuple[str, str, float | None], extension: str = "mp4") -> list[str]:
    entries = [
        Titled(key=n, kind=NodeKind.FILE, title=title, remote_id=code, uploaded_at=at)
        for n, (title, code, at) in enumerate(titles)
    ]
    names = assign_names(entries, default_extension=extension)
    return [names[n] for n in range(len(titles))]


def test_the_oldest_of_equals_has_the_plain_name() -> None:
    assert names_of(("a.mp4", "x", 3.0), ("a.mp4", "y", 1.0), ("a.mp4", "z", None)) == [
        "a [x].mp4",
        "a.mp4",
        "a [z].mp4",
    ]


def test_a_synthetic_extension_makes_equals_too() -> None:
    assert names_of(("a", "x", 2.0), ("a.mp4", "y", 1.0)) == ["a [x].mp4", "a.mp4"]
    assert names_of(("a", "x", 2.0), ("a.mp4", "y", 1.0), extension="") == ["a", "a.mp4"]


def test_a_file_that_is_really_called_so_keeps_its_name() -> None:
    assert names_of(("a.mp4", "x", 1.0), ("a.mp4", "y", 2.0), ("a [y].mp4", "z", 3.0)) == [
        "a.mp4",
        "a [y 2].mp4",
        "a [y].mp4",
    ]


def test_a_folder_wins_over_a_file_and_a_given_name_over_both() -> None:
    folder = Titled(key=0, kind=NodeKind.FOLDER, title="a.mp4", remote_id="1")
    file = Titled(key=1, kind=NodeKind.FILE, title="a.mp4", remote_id="x", uploaded_at=1.0)
    names = assign_names([file, folder], default_extension="mp4")
    assert names == {0: "a.mp4", 1: "a [x].mp4"}
    mine = Titled(key=1, kind=NodeKind.FILE, title="b", remote_id="x", given="a.mp4")
    names = assign_names([folder, mine], default_extension="mp4")
    assert names[1] == "a.mp4"
    assert names[0] == "a [1].mp4"


def test_a_title_that_is_too_long_is_cut_at_a_character() -> None:
    [name] = names_of(("映" * 100 + ".mkv", "code", None))
    assert len(name.encode()) <= NAME_BYTES_MAX
    assert name.startswith("映" * 80)
    assert name.endswith(" [code].mkv")
    assert "\ufffd" not in name


def test_two_long_titles_with_the_same_beginning_stay_apart() -> None:
    one, two = names_of(("x" * 300 + "1.mp4", "c1", 1.0), ("x" * 300 + "2.mp4", "c2", 2.0))
    assert one != two


@pytest.mark.parametrize(
    ("name", "old_title", "title"),
    [
        ("b.mp4", "a", "b"),  # the synthetic one is taken off again
        ("b.mp4", "a.mp4", "b.mp4"),
        ("b.mkv", "a", "b.mkv"),
        (".mp4", "a", ".mp4"),
        ("b.mp4", "Vol. 2", "b"),
    ],
)
def test_titles_stay_clean(name: str, old_title: str, title: str) -> None:
    assert title_for_rename(name, old_title, "mp4") == title


def test_without_a_default_extension_names_go_as_they_are() -> None:
    assert title_for_rename("b.mp4", "a", "") == "b.mp4"


@given(TITLES, st.text(min_size=1, max_size=50))
def test_a_name_given_is_shown_again_for_the_title_that_was_sent(old: str, name: str) -> None:
    """Where a host keeps the title, a new listing shows the name the user gave."""
    given_name = shown_name(name, "id")
    if not has_video_extension(given_name):
        given_name = with_extension(given_name, "mp4")
    if "&" in given_name or len(given_name.encode()) > NAME_BYTES_MAX:
        return  # entities are decoded; long names are the user's own business
    title = title_for_rename(given_name, old, "mp4")
    shown = with_extension(shown_name(title, "id"), "mp4")
    if title not in ("", ".", "..") and not has_video_extension(title):
        assert shown == given_name


@pytest.mark.parametrize(
    "title", ["Some.Film_2020.mp4", "Some Film 2020", "some film  2020.MKV", "Some_Film.2020"]
)
def test_titles_are_compared_without_what_hosts_drop(title: str) -> None:
    assert loose_title(title) == loose_title("Some Film 2020.mp4")


def test_other_titles_stay_different() -> None:
    assert loose_title("Some Film 2.mp4") != loose_title("Some Film 3.mp4")
    assert loose_title("a &amp; b") == loose_title("a & b")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".hidden", True),
        (".a.mp4.Xy12Zq", True),
        ("a.part", True),
        ("a.mp4~", True),
        ("Thumbs.db", True),
        ("a.mp4", False),
        ("part", False),
        ("a.partial.mp4", False),
    ],
)
def test_scratch_names(name: str, expected: bool) -> None:
    assert is_scratch(name, DEFAULT_SCRATCH) is expected


def test_decoration_fits() -> None:
    assert len(decorated("x" * 400 + ".mp4", "code").encode()) == NAME_BYTES_MAX
    assert extension_of(decorated("x" * 400 + ".MP4", "code")) == "mp4"


@pytest.mark.parametrize(
    "title, given, may_be",
    [
        ("f1.mp4.mp4", "f1.mp4", True),
        ("re named 1", "re_named.1.mkv", True),
        ("re named 1.mp4", "re_named.1.mkv", True),
        ("film", "film.avi", True),
        ("film.mp4", "film.avi", True),
        ("A.mp4", "a.mp4", False),
        ("other.mp4", "a.mp4", False),
        ("a", "a b.mp4", False),
    ],
)
def test_what_a_host_makes_of_a_title_is_told_from_a_new_one(
    title: str, given: str, may_be: bool
) -> None:
    assert is_host_form(title, given) is may_be
