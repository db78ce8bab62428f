"""The simulated host of the account `demo`: a child process that lives as long as its user.

A mount starts it and stops it; a command run meanwhile uses the mount's. Its data stay in
`<state>/demo/simhost`, the address and key of the running one in `<state>/demo/simhost.toml`.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vidfs.app.keys import without_keys
from vidfs.app.mounts import find_lock_holder
from vidfs.config import (
    Account,
    create_private_dir,
    parse_accounts,
)
from vidfs.errors import ConfigError, HostUnreachableError

_DIALECT = "xvs"
_READY = b"simhost listening on "
_START_DEADLINE_S = 30.0
_STOP_DEADLINE_S = 5.0


@contextmanager
def embedded_host(
    account: Account, state_dir: Path, environ: Mapping[str, str], *, owner: bool
) -> Iterator[Account]:
    """*account* (the demo account) with the address and key of its simulated host.

    *owner*: the caller holds the account's lock, so nobody else can be running one.
    Otherwise a running mount's is used, and one of our own only where there is none.
    Errors: HostUnreachableError where it doesn't start.
    """
    config_file = state_dir / "simhost.toml"
    if not owner and find_lock_holder(state_dir) is not None:
        yield _load_account(account, config_file)
        return
    create_private_dir(state_dir)
    process = _start(create_private_dir(state_dir / "simhost"), config_file, environ)
    try:
        _wait_until_ready(process)
        yield _load_account(account, config_file)
    finally:
        _stop(process)


def _start(root: Path, config_file: Path, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    package_parent = str(Path(__file__).parents[2])
    python_path = os.pathsep.join([package_parent, *filter(None, [environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "vidfs.simhost", "--root", str(root), "--port", "0"),
            *("--until-eof", "--write-config", str(config_file)),
        ],
        stdin=subprocess.PIPE,  # its end tells the child that we are gone, however we went
        stdout=subprocess.PIPE,
        stderr=None,
        env=without_keys(environ) | {"PYTHONPATH": python_path},
        start_new_session=True,  # Ctrl-C is for us: the queue still needs the host then
    )


def _wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    deadline = time.monotonic() + _START_DEADLINE_S
    line = b""
    while not line.endswith(b"\n"):
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([process.stdout], [], [], left_s)[0]:
            raise HostUnreachableError("the simulated host didn't start in time")
        byte = os.read(process.stdout.fileno(), 1)
        if not byte:
            code = process.wait()
            raise HostUnreachableError(f"the simulated host ended at once (exit code {code})")
        line += byte
    if not line.startswith(_READY):
        raise HostUnreachableError("the simulated host said something unexpected")


def _load_account(account: Account, config_file: Path) -> Account:
    try:
        running = parse_accounts(config_file.read_bytes(), str(config_file))[_DIALECT]
    except (OSError, KeyError):
        raise ConfigError(f"{config_file}: doesn't name the simulated host") from None
    return replace(account, base_url=running.base_url, key=running.key, login=running.login)


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    process.terminate()
    try:
        process.wait(_STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
