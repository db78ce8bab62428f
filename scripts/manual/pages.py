"""The manual pages vidfs(1) and mount.vidfs(8), in man(7)'s macros.

Commands, their options and the exit codes come from the program; the mount options from the
README's table, which a test keeps true; only what stands nowhere else is written here.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from vidfs.cli import COMMANDS_BY_USE, cli
from vidfs.cli.exit_codes import ExitCode

ROOT = Path(__file__).parents[2]
MAN = ROOT / "share/man"
FSTAB = ROOT / "share/doc/vidfs/fstab.example"

DESCRIPTION = """\
vidfs turns a video-host account into a directory: folders are directories, videos are files, and
the usual programs work on it. What is written goes to a spool on the local disk and from there to
the host, exactly once. Accounts are kept in a configuration file; the account "demo" always
exists and runs on a simulated host.

SOURCE is ACCOUNT or ACCOUNT:/folder. A PATH is ACCOUNT:/path or lies in a mount; where a command
takes an ACCOUNT, either will do. Errors are one line on standard error."""

ENVIRONMENT = {
    "VIDFS_CONFIG": "the configuration file, like --config",
    "VIDFS_STATE_DIR": "holds catalogue, upload queue, spool and log, instead of "
    "$XDG_STATE_HOME/vidfs; a folder for each account",
    "VIDFS_CACHE_DIR": "holds what was read, instead of $XDG_CACHE_HOME/vidfs",
    "VIDFS_ACCOUNT_KEY": "the key of ACCOUNT, its name in capitals with _ for what is no letter "
    "or digit; goes before the configuration",
    "NOTIFY_SOCKET": "systemd is told when the mount is usable and how the uploads go",
}

FILES = {
    "~/.config/vidfs/config.toml": "accounts; mode 0600 while it holds a key",
    "~/.local/state/vidfs/ACCOUNT/": "catalogue, upload queue, spool, vidfs.log",
    "~/.cache/vidfs/ACCOUNT/": "what was read",
    "vidfs@.service": "unit of systemd for a user's mounts: systemctl --user enable --now "
    "vidfs@ACCOUNT",
}

CONFIGURATION = """\
[accounts.films]
host = "vipstream"
key_command = "pass show vidfs"    # or key = "…", the keyring, VIDFS_FILMS_KEY

[accounts.films.uploads]           # what every new upload gets
public = false"""

HELPER = """\
mount.vidfs is what mount(8) runs for the type vidfs; nobody needs to call it. It returns when
the mount is usable; then a daemon serves it. umount(8) takes the mount away and returns at once:
the daemon goes on without it until all uploads are done. "vidfs umount" waits for them and
shows how far they are. Where systemd makes the mount (at boot, x-systemd.automount), it ends the
daemon with it: what is left then goes on with the next mount.

The configuration file is that of the user who mounts (of root at boot); the option config=
names another. The daemon keeps its state in that user's directories, or where state_dir= and
cache_dir= say. A file system mounted by root is root's alone, unless allow_other is given;
uid= and gid= say whose the files are."""

HELPER_FLAGS = {
    "-o OPT,…": "mount options, below",
    "-s": "unknown options are passed over",
    "-f": "everything is checked and nothing mounted",
    "-n": "accepted: there is no mtab to write",
    "-v": "accepted: there is nothing more to say",
    "-t TYPE": "accepted",
    "-N NAMESPACE": "refused",
}


def main(args: Sequence[str]) -> int:
    """Write the pages, or with "--check" only compare; the exit status."""
    stale = []
    for name, text in make_pages().items():
        path = MAN / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in args:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    if stale and "--check" in args:
        print(f"out of date: {' '.join(stale)}: run scripts/man", file=sys.stderr)
        return 1
    return 0


def make_pages() -> dict[str, str]:
    """Each page's text by its place below share/man."""
    return {
        "man1/vidfs.1": "\n".join(_make_main_page()) + "\n",
        "man8/mount.vidfs.8": "\n".join(_make_helper_page()) + "\n",
    }


def _make_main_page() -> Iterator[str]:
    yield from _begin("vidfs", 1, "a video-host account as a directory")
    yield ".SH SYNOPSIS"
    yield ".B vidfs"
    yield r"[\fB\-\-config\fR \fIFILE\fR] [\fB\-\-debug\fR] \fICOMMAND\fR \fR[\fIARGUMENT\fR]…"
    yield ".SH DESCRIPTION"
    yield from _prose(DESCRIPTION)
    yield ".SH OPTIONS"
    yield from _options(cli, click.Context(cli, info_name="vidfs"))
    yield ".SH COMMANDS"
    for use, names in COMMANDS_BY_USE.items():
        yield f".SS {_plain(use)}"
        for name in names:
            context = click.Context(cli, info_name="vidfs")
            command = cli.get_command(context, name)
            assert command is not None
            yield from _describe(command, click.Context(command, context, info_name=name))
    yield ".SH MOUNT OPTIONS"
    yield from _mount_options()
    yield ".SH CONFIGURATION"
    yield from _example(CONFIGURATION)
    yield ".SH ENVIRONMENT"
    yield from _list(ENVIRONMENT)
    yield ".SH FILES"
    yield from _list(FILES)
    yield ".SH EXIT STATUS"
    yield from _list({str(code.value): code.meaning for code in ExitCode})
    yield ".SH SEE ALSO"
    yield ".BR mount.vidfs (8),\n.BR mount (8),\n.BR fusermount3 (1),\n.BR systemctl (1)"


def _make_helper_page() -> Iterator[str]:
    yield from _begin("mount.vidfs", 8, "mount a video-host account")
    yield ".SH SYNOPSIS"
    yield r"\fBmount \-t vidfs\fR [\fB\-o\fR \fIOPT\fR,…] \fISOURCE DIR\fR"
    yield ".br"
    yield r"\fBmount.vidfs\fR \fISOURCE DIR\fR [\fB\-sfnv\fR] [\fB\-o\fR \fIOPT\fR,…]"
    yield ".SH DESCRIPTION"
    yield from _prose(HELPER)
    yield ".SH OPTIONS"
    yield from _list(HELPER_FLAGS)
    yield ".SH MOUNT OPTIONS"
    yield from _mount_options()
    yield ".SH EXAMPLES"
    yield "Lines of /etc/fstab:"
    # without the heading, which is for those who find the file by itself
    yield from _example(FSTAB.read_text().partition("\n#\n")[2].rstrip("\n"))
    yield ".SH EXIT STATUS"
    yield from _list(
        {
            "0": "mounted",
            "1": "wrong usage: options, configuration or account name",
            "8": "interrupted",
            "32": "the mount failed",
        }
    )
    yield ".SH SEE ALSO"
    yield ".BR vidfs (1),\n.BR fstab (5),\n.BR systemd.mount (5)"


def _begin(name: str, section: int, purpose: str) -> Iterator[str]:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    yield r".\" made by scripts/man"
    yield f'.TH {name.upper()} {section} "" "vidfs {version}"'
    yield ".nh\n.ad l"
    yield ".SH NAME"
    yield f"{name} \\- {_plain(purpose)}"


def _describe(command: click.Command, context: click.Context) -> Iterator[str]:
    """A command, or each command of a group."""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _describe(inner, click.Context(inner, context, info_name=name))
        return
    pieces = [piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]"]
    yield ".TP"
    yield f"\\fB{_plain(context.command_path)}\\fR {_plain(' '.join(pieces))}".rstrip()
    yield from _help_text(command.help or "")
    if any(isinstance(param, click.Option) for param in command.params):
        yield ".RS"
        yield from _options(command, context)
        yield ".RE"


def _help_text(text: str) -> Iterator[str]:
    """click's help: paragraphs, those after a \\b as they stand."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", _dedent(text))):
        if number:
            yield ".sp"
        if paragraph.startswith("\b"):
            yield ".nf"
            yield from map(_plain, paragraph.splitlines()[1:])
            yield ".fi"
        else:
            yield from map(_plain, paragraph.splitlines())


def _dedent(text: str) -> str:
    return "\n".join(line.strip() if line.strip() != "\b" else "\b" for line in text.splitlines())


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for param in command.params:
        record = param.get_help_record(context) if isinstance(param, click.Option) else None
        if record is not None:
            yield ".TP"
            yield f"\\fB{_plain(record[0])}\\fR"
            yield _plain(record[1])


def _mount_options() -> Iterator[str]:
    section = re.search(r"^## Mount options\n(.*?)(?=^## )", _readme(), re.M | re.S)
    assert section, "the README has no mount options"
    for line in section[1].splitlines():
        if line.startswith("| `"):
            name, meaning = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:3])
            yield ".TP"
            yield f"\\fB{_plain(_without_marks(name))}\\fR"
            yield _plain(_without_marks(meaning))
    for paragraph in re.findall(r"^(?![|\n]).+(?:\n(?![|\n]).+)*", section[1], re.M):
        yield ".PP"
        yield from map(_plain, _without_marks(paragraph).splitlines())


def _readme() -> str:
    return (ROOT / "README.md").read_text()


def _without_marks(markdown: str) -> str:
    return markdown.replace("`", "").replace("\\|", "|").replace("**", "")


def _prose(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield _plain(line) if line else ".PP"


def _example(text: str) -> Iterator[str]:
    yield ".RS 4\n.nf"
    yield from map(_plain, text.splitlines())
    yield ".fi\n.RE"


def _list(meanings: dict[str, str]) -> Iterator[str]:
    for name, meaning in meanings.items():
        yield ".TP"
        yield f"\\fB{_plain(name)}\\fR"
        yield _plain(meaning)


def _plain(text: str) -> str:
    """*text* with nothing that roff would take for itself."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("~", r"\(ti")
    escaped = escaped.replace("^", r"\(ha").replace("`", "'")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
