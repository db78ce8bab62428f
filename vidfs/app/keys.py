"""Where an account's key comes from: environment, configuration, a command, the keyring.

Every refusal is a `ConfigError` whose text names the place and never holds the key.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress

from vidfs.config import Account, check_key
from vidfs.errors import ConfigError
from vidfs.types import Secret

KEYRING_SERVICE = "vidfs"

_KEY_VARIABLE = re.compile("VIDFS_.*_KEY")


def find_key_source(account: Account, environ: Mapping[str, str]) -> str:
    """Where the key would come from, for `account list`. Asks neither command nor keyring."""
    if account.is_demo:
        return "built in"
    if environ.get(account.key_variable):
        return account.key_variable
    if account.key is not None:
        return "config file"
    return "command" if account.key_command is not None else "keyring"


def fetch_key(account: Account, environ: Mapping[str, str]) -> Secret:
    """The account's key: environment, configuration file, command, keyring, in that order.

    May run `key_command` (which may ask for a passphrase on the terminal), so it is called
    once and before anything is forked. Errors: ConfigError.
    """
    value = environ.get(account.key_variable)
    if value:
        return check_key(value.strip(), account.key_variable)
    if account.key is not None:
        return account.key
    if account.key_command is not None:
        return _run_key_command(account, account.key_command, environ)
    value = _find_in_keyring(account.name)
    if value:
        return check_key(value.strip(), f"the keyring's key of account {account.name}")
    raise ConfigError(
        f"account {account.name} has no key: set key or key_command in the configuration, "
        f"{account.key_variable}, or `keyring set {KEYRING_SERVICE} {account.name}`"
    )


def _run_key_command(account: Account, command: str, environ: Mapping[str, str]) -> Secret:
    """A shell runs it: `pass show x | head -1` is what people write."""
    where = f"key_command of account {account.name}"
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            stdout=subprocess.PIPE,
            env=without_keys(environ),
            check=False,
        )
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}") from None
    if done.returncode != 0:
        raise ConfigError(f"{where} failed (exit code {done.returncode})")
    try:
        return check_key(done.stdout.decode().strip(), f"the output of {where}")
    except UnicodeDecodeError:
        raise ConfigError(f"the output of {where} is not text") from None


def _find_in_keyring(account_name: str) -> str | None:
    import keyring
    import keyring.errors

    try:
        return keyring.get_password(KEYRING_SERVICE, account_name)
    except keyring.errors.NoKeyringError:
        return None
    except Exception as error:  # a backend may raise what it likes; its words may hold anything
        raise ConfigError(
            f"the keyring didn't give the key of account {account_name}: {type(error).__name__}"
        ) from None


def has_keyring() -> bool:
    """Whether this session has a keyring that could keep a key."""
    import keyring
    from keyring.backends import chainer, fail, null

    backend = keyring.get_keyring()
    if isinstance(backend, chainer.ChainerBackend):
        return bool(backend.backends)
    return not isinstance(backend, fail.Keyring | null.Keyring)


def save_in_keyring(account_name: str, key: Secret) -> None:
    """Errors: ConfigError."""
    import keyring

    try:
        keyring.set_password(KEYRING_SERVICE, account_name, key.reveal())
    except Exception as error:
        raise ConfigError(f"the keyring didn't take the key: {type(error).__name__}") from None


def remove_from_keyring(account_name: str) -> None:
    import keyring

    # no keyring, or a locked one: there is nothing we could do
    with suppress(Exception):
        if keyring.get_password(KEYRING_SERVICE, account_name) is not None:
            keyring.delete_password(KEYRING_SERVICE, account_name)


def forget_keys_in_environ() -> None:
    """Take every `VIDFS_…_KEY` out of this process' environment.

    Out of its first memory, too, which is what /proc/PID/environ and `ps e` go on showing.
    """
    entries = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    number = 0
    while address := entries[number]:
        name, equals, value = ctypes.string_at(address).partition(b"=")
        if _KEY_VARIABLE.fullmatch(os.fsdecode(name)):
            ctypes.memset(address + len(name + equals), 0, len(value))
        number += 1
    for variable in [name for name in os.environ if _KEY_VARIABLE.fullmatch(name)]:
        del os.environ[variable]


def without_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """*environ* for a child process: no `VIDFS_…_KEY` in it."""
    return {name: value for name, value in environ.items() if not _KEY_VARIABLE.fullmatch(name)}
