"""`vidfs doctor`."""

from __future__ import annotations

import dataclasses

import click

from vidfs.cli.completion import complete_account
from vidfs.cli.exit_codes import ExitCode
from vidfs.cli.output import Output, json_option
from vidfs.cli.session import Session


@click.command(short_help="Find out what keeps mounts from working.")
@json_option
@click.argument("accounts", metavar="[ACCOUNT]…", nargs=-1, shell_complete=complete_account)
@click.pass_obj
def doctor(session: Session, as_json: bool, accounts: tuple[str, ...]) -> int:
    """Look for the usual troubles, and say what to do about each.

    FUSE, configuration, disks, dead mounts, what was left behind; whether the hosts of the
    ACCOUNTs (none: of all) answer and accept the key, and the clock. Changes nothing. Exit
    code 1 says that there is a problem.

    \b
    vidfs doctor
    vidfs doctor --json films
    """
    from vidfs.app.doctor import examine, load_config_or_finding
    from vidfs.app.remote import Surroundings

    config, findings = load_config_or_finding(session.config_file, dict(session.environ))
    around = Surroundings(
        config=config,
        directories=session.directories,
        environ=session.environ,
        redactor=session.redactor,
    )
    findings += examine(around, () if findings else accounts)
    problems = sum(one.state == "problem" for one in findings)
    output = Output(session)
    if as_json:
        checks = [dataclasses.asdict(one) for one in findings]
        output.json({"problems": problems, "checks": checks})
        return ExitCode.FAILED if problems else ExitCode.DONE
    colours = {"ok": "green", "note": "", "problem": "red"}
    width = max(len(one.check) for one in findings) + 2
    for one in findings:
        state = output.styled(one.state.ljust(9), colours[one.state])
        check, text = output.clean(one.check).ljust(width), output.clean(one.text)
        output.raw_line(f"{state}{check}{text}")
        if one.advice:
            output.raw_line(" " * (9 + width) + "→ " + output.clean(one.advice))
    return ExitCode.FAILED if problems else ExitCode.DONE
