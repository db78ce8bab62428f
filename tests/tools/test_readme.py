"""The README says what the program does: commands, mount options, exit codes, both ways round."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from vidfs.cli import COMMANDS, cli
from vidfs.cli.exit_codes import ExitCode
from vidfs.cli.status import MOUNT_KEYS, UPLOAD_KEYS
from vidfs.config import option_names

README = (Path(__file__).parents[2] / "README.md").read_text()

CODE = re.compile(r"^```[^\n]*\n(.*?)^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)


def section_of(title: str) -> str:
    """The text below the heading that begins with *title*, up to the next heading."""
    found = re.search(rf"^#+ {title}[^\n]*\n(.*?)(?=^#|\Z)", README, re.M | re.S | re.I)
    assert found, f"the README has no section {title!r}"
    return found[1]


def rows_of(section: str) -> list[list[str]]:
    """The cells of every table row below the heading line."""
    rows = []
    for line in section.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            rows.append([cell.strip() for cell in cells])
    return [row for row in rows if not set("".join(row)) <= set("-: ")][1:]


def commands_in(text: str) -> set[str]:
    """WORD of each `vidfs [--option…] WORD` that stands as code."""
    code = "\n".join(match[1] or match[2] for match in CODE.finditer(text))
    starts = r"(?:^\s*|\$ |[;|&(]\s*|sudo )vidfs(?: --?[a-z]+(?:=\S+)?)* ([a-z]+)\b"
    return set(re.findall(starts, code, re.MULTILINE))


def find_command(path: str) -> click.Command | None:
    """The command of "account add"; None if there is none."""
    found: click.Command | None = cli
    for word in path.split():
        if not isinstance(found, click.Group):
            return None
        found = found.get_command(click.Context(found), word)
    return found


def test_every_command_named_exists() -> None:
    assert commands_in(README) <= set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_command_is_in_the_readme_and_explains_itself(name: str) -> None:
    assert name in commands_in(README), f"the README never shows `vidfs {name}`"
    command = find_command(name)
    assert command is not None
    assert (command.help or "").strip(), f"`vidfs {name} --help` says nothing"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_table_of_commands_names_every_command_of_a_group(name: str) -> None:
    command = find_command(name)
    if not isinstance(command, click.Group):
        return
    table = "\n".join(" ".join(row) for row in rows_of(section_of("Commands")))
    shown = re.findall(rf"`vidfs {name} ([a-z]+(?:\\\|[a-z]+)*)", table)
    named = {word for words in shown for word in words.split("\\|")}
    assert named == set(command.list_commands(click.Context(command)))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_options_shown_with_a_command_exist(name: str) -> None:
    command = find_command(name)
    assert command is not None
    if command.ignore_unknown_options or isinstance(command, click.Group):
        return  # another program's options, or a subcommand's
    known = {word for option in command.params for word in option.opts} | {"--help", "-h"}
    for code in (match[1] or match[2] for match in CODE.finditer(README)):
        for words in re.findall(rf"\bvidfs {name}\b([^\n#;|&`]*)", code):
            shown = set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", words))
            assert shown <= known, f"`vidfs {name}{words}`"


def test_every_mount_option_is_explained_once() -> None:
    explained = [
        name
        for cells in rows_of(section_of("Mount options"))
        for name in re.findall(r"`([a-z_]+)(?:=[^`]*)?`", cells[0])
    ]
    assert sorted(explained) == sorted(option_names())


def test_every_exit_code_is_explained() -> None:
    explained = {int(cells[0].strip("`")): cells[1] for cells in rows_of(section_of("Exit codes"))}
    assert explained == {code.value: code.meaning for code in ExitCode}


def test_the_keys_of_status_are_named() -> None:
    text = " ".join(README.split())
    assert f"`{', '.join(MOUNT_KEYS)}`" in text
    assert f"`{', '.join(UPLOAD_KEYS)}`" in text


def test_exit_codes_of_the_contract() -> None:
    assert (ExitCode.DONE, ExitCode.FAILED, ExitCode.USAGE) == (0, 1, 2)


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("run `vidfs mount demo DIR`, then vidfs sleeps", {"mount"}),
        ("```sh\n$ vidfs --debug status\nsudo vidfs umount x | cat\n```", {"status", "umount"}),
        ("`mount -t vidfs demo DIR`", set()),
    ],
)
def test_commands_are_found_in_code_only(text: str, commands: set[str]) -> None:
    assert commands_in(text) == commands
