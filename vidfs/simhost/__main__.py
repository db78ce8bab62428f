"""Command line of the simulated host: `python -m vidfs.simhost --root DIR …`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from .faults import __doc__ as FAULTS_HELP  # noqa: N812
from .server import Options, serve
from .settings import Settings, flags

HELP = """\
Usage: vidfs simhost --root DIR [OPTION]…

  The simulated host: all APIs that vidfs knows, on 127.0.0.1, until Ctrl-C.

  vidfs simhost --root /tmp/hosts --port 8080 --write-config /tmp/vidfs.toml
  vidfs --config /tmp/vidfs.toml mount vipstream /mnt
  vidfs simhost --root /tmp/hosts --fault 'xvs:upload:drop-after:p=0.2'

Options:
  --root DIR           where all data is kept
  --port N             0, the default: any free port
  --write-config FILE  a configuration with one account for each API
  --latency-ms N       added to every API call
  --rate-limit N       API calls per second
  --fault RULE         what goes wrong, and when; as often as you like
  --transcode          content, size and hash change after an upload
  --help-all           all options, and the rules for faults
  -h, --help           show this message
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"vidfs: {message} (see {self.prog} --help)\n")


class _ShowHelp(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(HELP, end="")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    result = _Parser(
        prog="vidfs simhost",
        usage="%(prog)s --root DIR [OPTION]…",
        description="A simulated video host on 127.0.0.1.",
        epilog=FAULTS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    result.add_argument("-h", "--help", action=_ShowHelp, nargs=0, help="the usual options")
    result.add_argument("--help-all", action="help", help="all options, and the rules for faults")
    result.add_argument("--root", type=Path, required=True, help="where all data is kept")
    result.add_argument("--port", type=int, default=0, help="0: any free port")
    result.add_argument("--fault", action="append", default=[], metavar="RULE", help="see below")
    result.add_argument(
        "--write-config", type=Path, metavar="FILE", help="a configuration with one account each"
    )
    result.add_argument(
        "--until-eof", action="store_true", help="stop when standard input is closed"
    )
    for name, default, text in flags():
        flag = "--" + name.replace("_", "-")
        if isinstance(default, bool):
            result.add_argument(flag, action="store_true", help=text)
        else:
            shown = f"{text} (default {default})" if default != "" else text
            result.add_argument(flag, type=type(default), default=default, help=shown)
    for alias, name in (("--ticket-wait", "ticket_wait_s"), ("--link-ttl", "link_ttl_s")):
        result.add_argument(alias, dest=name, type=float, default=argparse.SUPPRESS)
    return result


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    settings = Settings(**{name: getattr(options, name) for name, _, _ in flags()})
    try:
        serve(
            Options(
                root=options.root,
                port=options.port,
                settings=settings,
                faults=options.fault,
                write_config=options.write_config,
                until_eof=options.until_eof,
            )
        )
    except (OSError, ValueError) as error:
        words = str(error)
        if isinstance(error, OSError) and error.strerror:
            place = f"{error.filename}: " if error.filename else ""
            words = place + error.strerror
        print(f"vidfs: {words}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
