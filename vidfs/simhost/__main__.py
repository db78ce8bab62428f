"""Command line of the simulated host: `python -m vidfs.simhost --root DIR …`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .faults import __doc__ as FAULTS_HELP  # noqa: N812
from .server import Options, serve
from .settings import Settings, flags


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="vidfs simhost",
        usage="%(prog)s --root DIR [--port PORT] [--fault RULE]… [OPTION]…",
        description="A simulated video host on 127.0.0.1.",
        epilog=FAULTS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
        print(f"vidfs simhost: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
