"""The command line without a mount: help, versions, errors, exit codes, what is shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from rich.cells import cell_len

from vidfs import errors
from vidfs.cli import COMMANDS, cli, run_shielded, to_mount_exit_code
from vidfs.cli.exit_codes import ExitCode, WaitTimeoutError, exit_code_for
from vidfs.cli.mount_helper import run as run_helper
from vidfs.cli.session import Session
from vidfs.cli.status import to_json, to_screen, to_text
from vidfs.cli.text import format_bytes, format_duration, format_table, shorten
from vidfs.config import option_names
from vidfs.types import Secret

ROOT = Path(__file__).parents[3]


def run(*args: str, tmp_path: Path | None = None) -> subprocess.CompletedProcess[str]:
    home = str(tmp_path or "/nonexistent")
    environ = {name: value for name, value in os.environ.items() if name[:6] != "VIDFS_"}
    return subprocess.run(
        [sys.executable, "-c", "from vidfs.cli import main; main()", *args],
        env=environ
        | {"PYTHONPATH": str(ROOT), "HOME": home, "XDG_CONFIG_HOME": home, "COLUMNS": "80"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def leaf_commands(group: click.Group, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found.append((*words, name))
        if isinstance(command, click.Group):
            found += leaf_commands(command, (*words, name))
    return found


def help_of(words: tuple[str, ...]) -> str:
    command: click.Command = cli
    context = click.Context(cli, info_name="vidfs", terminal_width=80)
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(context, word)
        assert found is not None
        command = found
        context = click.Context(command, info_name=word, parent=context, terminal_width=80)
    return command.get_help(context)


OWN_COMMANDS = [words for words in leaf_commands(cli) if words != ("simhost",)]


@pytest.mark.parametrize("words", [(), *OWN_COMMANDS], ids=" ".join)
def test_help_fits_a_screen_and_has_an_example(words: tuple[str, ...]) -> None:
    text = help_of(words)
    assert len(text.splitlines()) <= 24, text
    example = " ".join(("vidfs", *words))
    assert any(line.strip().startswith(example) for line in text.splitlines()[1:]), text


def test_group_help_cuts_no_description_short() -> None:
    assert "..." not in help_of(()).partition("\n")[2]


def test_mount_help_names_every_option() -> None:
    text = help_of(("mount",))
    for name in option_names():
        if name != "rw":
            assert name in text, name


def test_the_simulated_host_explains_itself() -> None:
    done = run("simhost", "--help")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "Usage: vidfs simhost --root DIR [OPTION]…"
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    known = run("simhost", "--help-all").stdout
    named = re.findall(r"(?<!\S)--[a-z-]+", done.stdout)
    assert [
        flag for flag in named if flag not in ("--config", "--help") and flag not in known
    ] == []
    assert "drop-after" in known


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "the following arguments are required: --root"),
        (("--root", "/nonexistent", "--nosuch"), "unrecognized arguments: --nosuch"),
        (("--root", "/nonexistent", "--port", "x"), "argument --port: invalid int value: 'x'"),
    ],
)
def test_the_simulated_host_says_what_is_wrong_in_one_line(
    args: tuple[str, ...], words: str
) -> None:
    done = run("simhost", *args)
    assert done.returncode == 2
    assert done.stderr == f"vidfs: {words} (see vidfs simhost --help)\n"


def test_version_and_help_load_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from vidfs.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'httpx', 'rich', 'trio', 'pyfuse3', 'starlette', 'keyring', 'asyncio'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)), code)\n"
    )
    for args in (["--version"], ["--help"], ["status", "--help"], ["status"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *args],
            env=os.environ | {"PYTHONPATH": str(ROOT), "VIDFS_STATE_DIR": "/nonexistent"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "LOADED [] 0", (args, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "Usage: vidfs"),
        (("xyz",), "no command 'xyz' (see vidfs --help)"),
        (("mout",), "no command 'mout' (did you mean mount?) (see vidfs --help)"),
        (("mount", "-o", "ro=1", "demo", "m"), "option ro: takes no value"),
        (("mount", "-o", "allow_othr", "demo", "m"), "(did you mean allow_other?)"),
        (("mount", "-o", "cache_dir=/dev/null/x", "demo", "/"), "/dev/null: is not a directory"),
        (("mount", "demo", ""), "an empty path leads nowhere"),
        (("mount", "", "m"), "'' is not ACCOUNT or ACCOUNT:/folder"),
        (("info", "nosuch"), "nosuch: no account is called so (accounts: demo)"),
        (("ls", "/tmp"), "/tmp: neither ACCOUNT:/path nor a path in a vidfs mount"),
        (("account", "test", "nosuch"), "no account 'nosuch' in "),
        (("upload", "/nonexistent", "demo:/"), "Path '/nonexistent' does not exist"),
        (("mount",), "Missing argument 'SOURCE' (see vidfs mount --help)"),
        (("status", "--colour"), "--colour"),
        (("wait", "--timeout", "soon"), "'soon' is not a duration"),
        (("--config", "/nonexistent/c.toml", "account", "list"), "no such configuration file"),
    ],
)
def test_wrong_usage_is_one_line_and_2(args: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = run(*args, tmp_path=tmp_path)
    assert words in done.stderr + done.stdout
    assert done.returncode == ExitCode.USAGE
    if args:
        assert done.stdout == ""
        assert done.stderr.startswith("vidfs: ")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("group", ["account", "remote", "trash"])
def test_a_group_without_a_command_shows_its_help(group: str, tmp_path: Path) -> None:
    done = run(group, tmp_path=tmp_path)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert done.stderr.startswith(f"Usage: vidfs {group}")
    assert done.stderr.count("\n") > 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x = [", "c.toml: Invalid value (at end of document)"),
        (b"\xff\xfe", "c.toml: is not UTF-8 text"),
        (b"#" * (1 << 20) + b"x", "c.toml: too big for a configuration file"),
        (None, "c.toml: Is a directory"),
    ],
)
def test_a_configuration_of_no_use_is_one_line(
    content: bytes | None, words: str, tmp_path: Path
) -> None:
    config = tmp_path / "c.toml"
    config.mkdir() if content is None else config.write_bytes(content)
    for args in (("account", "list"), ("info", "films"), ("mount", "films", str(tmp_path / "m"))):
        done = run("--config", str(config), *args, tmp_path=tmp_path)
        assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
        assert words in done.stderr
        assert done.stderr.startswith("vidfs: ")
        assert done.stderr.count("\n") == 1


def test_accounts_are_listed(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[accounts.films]\nhost = "vipstream"\nkey_command = "pass x"\n')
    done = run("--config", str(config), "account", "list", tmp_path=tmp_path)
    header, demo, films = done.stdout.splitlines()
    assert header.split() == ["ACCOUNT", "HOST", "ADDRESS", "KEY", "FROM", "IN", "USE"]
    assert demo.split() == ["demo", "xvs", "built", "in", "no"]
    assert films.split() == ["films", "vipstream", "command", "no"]


# ----------------------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.UsageError("x"), 2),
        (errors.NotMountedError("x"), 3),
        (errors.WrongKeyError("x"), 4),
        (errors.LegalBlockError("x"), 4),
        (errors.HostUnreachableError("x"), 5),
        (errors.UnreadableAnswerError("x"), 5),
        (WaitTimeoutError("x"), 6),
        (errors.AlreadyMountedError("x"), 7),
        (errors.MountPointError("x"), 8),
        (errors.HostNotFoundError("x"), 9),
        (errors.NotFoundError("x"), 9),
        (errors.MoveAbilityError("x"), 10),
        (errors.QuotaError("x"), 1),
        (errors.MountError("x"), 1),
        (ZeroDivisionError("x"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_have_their_codes(error: BaseException, code: int) -> None:
    assert exit_code_for(error) == code


def test_codes_are_distinct_and_explained() -> None:
    assert len({int(code) for code in ExitCode}) == len(ExitCode)
    assert all(code.meaning for code in ExitCode)


def test_mount_has_codes_of_its_own() -> None:
    codes = {code: to_mount_exit_code(code) for code in ExitCode}
    assert codes[ExitCode.DONE] == 0
    assert codes[ExitCode.USAGE] == 1
    assert codes[ExitCode.INTERRUPTED] == 8
    assert set(codes.values()) == {0, 1, 8, 32}


def raising(error: BaseException) -> object:
    raise error


def test_an_error_is_one_line_without_the_key(capsys: pytest.CaptureFixture[str]) -> None:
    session = Session()
    session.redactor.add(Secret("sesame"))
    code = run_shielded(session, lambda: raising(errors.QuotaError("full:\nkey=sesame")))
    assert code == 1
    assert capsys.readouterr().err == "vidfs: full: key=***\n"


def test_debug_shows_a_traceback_without_the_key(capsys: pytest.CaptureFixture[str]) -> None:
    session = Session(debug=True)
    session.redactor.add(Secret("sesame"))
    run_shielded(session, lambda: raising(ValueError("key=sesame")))
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "sesame" not in shown


def test_an_unforeseen_error_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_shielded(Session(), lambda: raising(KeyError("x"))) == 1
    shown = capsys.readouterr().err
    assert shown == "vidfs: internal error: KeyError: 'x' (--debug shows more)\n"


def test_ctrl_c_and_system_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_shielded(Session(), lambda: raising(KeyboardInterrupt())) == 130
    assert run_shielded(Session(), lambda: raising(PermissionError(13, "Denied", "/x"))) == 1
    assert capsys.readouterr().err == "vidfs: interrupted\nvidfs: /x: Denied\n"


# ----------------------------------------------------------------------------- what shows

MOUNT = {
    "account": "films",
    "source": "films:/Old",
    "mountpoint": "/mnt/films",
    "pid": 7,
    "phase": "mounted",
    "pending": 1,
    "parked": 1,
    "uploads": [
        {
            "path": "/a.mp4",
            "state": "sending",
            "sent_bytes": 512,
            "size_bytes": 1024,
            "attempts": 1,
            "reason": "",
            "bytes_s": 3.0,
        },
        {"path": "/b", "state": "parked", "size_bytes": 0, "attempts": 2, "reason": "quota"},
    ],
    "api_calls": {"file/list": 3, "upload": 1},
    "cache_bytes": 1536,
    "spool_bytes": 9,
}


def test_json_has_the_promised_keys_alone() -> None:
    shown = to_json(MOUNT)
    assert list(shown) == [
        *("account", "source", "mountpoint", "pid", "pending", "parked", "uploads"),
        *("api_calls", "cache_bytes"),
    ]
    assert list(shown["uploads"][1]) == [
        *("path", "state", "sent_bytes", "size_bytes", "attempts", "reason")
    ]


def test_text_tells_people_the_same() -> None:
    assert to_text(MOUNT).splitlines() == [
        "films:/Old on /mnt/films, pid 7",
        "  uploads: 1 pending, 1 parked, 3 B/s, 3 min left; cache: 1.5 KiB; API calls: 4",
        "  STATE    SENT  SIZE     SPEED  LEFT   TRIES  PATH    REASON",
        "  sending  50 %  1.0 KiB  3 B/s  3 min  1      /a.mp4",
        "  parked         0 B                    2      /b      quota",
    ]
    drained = to_text({**MOUNT, "phase": "draining", "uploads": []})
    assert "(unmounted, finishing uploads)" in drained


def busy(count: int) -> dict[str, object]:
    """*MOUNT* with many uploads, the first three of them being sent."""
    uploads = [
        {
            "path": f"/映画/the film number {number} of many.mp4",
            "attempts": 1,
            "reason": "",
            "state": "sending" if number < 3 else "queued",
            "size_bytes": 8 << 20,
            "sent_bytes": 2 << 20,
            "bytes_s": (1 << 20) if number < 3 else 0.0,
        }
        for number in range(count)
    ]
    read = {"path": "/b.mkv", "held_bytes": 1 << 20, "size_bytes": 4 << 20, "streams": 1}
    pace = {"calls_last_minute": 50, "limit_per_s": 3.25, "pause_s": 90.0}
    return {**MOUNT, "uploads": uploads, "reads": [read], "pace": pace, "pending": count}


def test_speed_time_left_read_ahead_and_limits_are_told() -> None:
    text = to_text(busy(3))
    assert "3.0 MiB/s, 6 s left" in text
    assert "4, 50 in the last minute, at most 3.2/s, the host wants none for 2 min" in text
    assert "reading  25 % of 4.0 MiB here, reading ahead  /b.mkv" in text
    assert "sending  25 %  8.0 MiB  1.0 MiB/s  6 s   1      /映画/the film" in text


@pytest.mark.parametrize("width", [24, 30, 46, 80, 200])
@pytest.mark.parametrize("height", [10, 24, 60])
def test_a_screen_is_kept_to_its_size(width: int, height: int) -> None:
    mounts = [busy(0), busy(100)]
    mounts[1]["uploads"][2]["reason"] = "the quota is used up " * 10  # type: ignore[index]
    lines = to_screen(mounts, width, height).splitlines()
    assert max(map(cell_len, lines)) <= width
    if width >= 46 and height >= 24:
        assert len(lines) <= height
        shown = [line for line in lines if " sending " in line]
        assert len(shown) == 3
        assert all("the film" in line or "film number" in line for line in shown) or width < 80
        assert "more" in lines[-1] or "more" in "".join(lines)


def test_long_texts_lose_their_middle() -> None:
    assert shorten("/Films/a long name 17.mp4", 14) == "/Films… 17.mp4"
    assert shorten("short", 5) == "short"
    assert cell_len(shorten("映画映画映画映画", 7)) <= 7
    assert (shorten("abc", 1), shorten("abc", 0)) == ("…", "")


def test_durations() -> None:
    assert [format_duration(s) for s in (0.4, 89, 90, 3599, 3900, 200_000)] == [
        *("0 s", "89 s", "2 min", "1 h 00", "1 h 05", "2 d")
    ]


def test_numbers_and_tables() -> None:
    assert [format_bytes(n) for n in (0, 1023, 1024, 3 << 29, 5 << 50)] == [
        *("0 B", "1023 B", "1.0 KiB", "1.5 GiB", "5120.0 TiB")
    ]
    assert format_table([("a", "long"), ("bcd", "")], ("X", "Y")) == "X    Y\na    long\nbcd"


# ------------------------------------------------------------------------------ mount(8)


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["films"],
        ["films", "/m", "/n"],
        ["films", "/m", "-o"],
        ["films", "/m", "-x"],
        ["films", "/m", "-N", "4"],
        ["films", "/m", "-o", "colour=red"],
    ],
)
def test_the_helper_refuses_wrong_usage(args: list[str]) -> None:
    with pytest.raises(errors.UsageError):
        run_helper(Session(), args)


def test_the_helper_checks_without_mounting(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[accounts.films]\nhost = "xvs"\n')
    (tmp_path / "m").mkdir()
    args = ["films", str(tmp_path / "m"), "-sfnv", "-t", "vidfs", f"-oro,config={config},what"]
    assert run_helper(Session(environ={}), args) == 0
    with pytest.raises(errors.MountPointError):
        run_helper(Session(environ={}), ["films", str(config), *args[2:]])
    with pytest.raises(errors.ConfigError):
        run_helper(Session(environ={}), ["other", *args[1:]])


def test_the_helpers_help_names_fstab(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_helper(Session(), ["--help"]) == 0
    assert "/etc/fstab" in capsys.readouterr().out


def test_every_command_is_there() -> None:
    assert set(COMMANDS) == {words[0] for words in leaf_commands(cli)}


def test_a_broken_account_is_listed_with_its_mistake(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[accounts.films]\nhost = "xvs"\n[accounts.old]\nhots = "xvs"\n')
    done = run("--config", str(config), "account", "list", tmp_path=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["demo", "films", "old"]
    assert "accounts.old.hots: unknown setting (did you mean host?)" in done.stdout
    refused = run("--config", str(config), "info", "old", tmp_path=tmp_path)
    assert refused.returncode == ExitCode.USAGE
    assert refused.stderr.startswith(f"vidfs: {config}: accounts.old.hots: unknown setting")
