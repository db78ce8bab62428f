"""Changing the configuration file: one account added or taken out, the rest left as it is.

Text in, text out, so that comments and order survive; every result is parsed before it
replaces the file, and must hold exactly the accounts that it should, broken ones included.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from vidfs.config import create_private_dir, sort_accounts
from vidfs.errors import ConfigError, UsageError

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_HEADER = re.compile(r"^\s*\[")


def load_text(path: Path) -> str:
    """The file's text; "" if there is none. Errors: ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None


def with_account(text: str, name: str, settings: Mapping[str, str]) -> str:
    """*text* with a table for account *name* at its end.

    Errors: UsageError if it has one, ConfigError if it would be unsound.
    """
    before = _names_in(text)
    if name in before:
        raise UsageError(f"there is an account {name} already (vidfs account remove {name})")
    key = name if _BARE_KEY.fullmatch(name) else json.dumps(name)
    lines = [f"[accounts.{key}]"]
    lines += [f"{setting} = {_to_toml(value)}" for setting, value in settings.items()]
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    result = text + gap + "\n".join(lines) + "\n"
    _check(result, {*before, name})
    _, broken = sort_accounts(result.encode(), "the configuration")
    if name in broken:
        raise broken[name]
    return result


def without_account(text: str, name: str) -> str:
    """*text* without the tables of account *name*.

    Errors: UsageError if there is none; ConfigError if it is written in a way that can't be
    taken out line by line.
    """
    before = _names_in(text)
    if name not in before:
        raise UsageError(f"there is no account {name} in the configuration")
    quoted = "|".join(re.escape(form) for form in (name, f'"{name}"', f"'{name}'"))
    own = re.compile(rf"^\s*\[\s*accounts\s*\.\s*(?:{quoted})\s*(?:\.[^\]]*)?\]")
    kept: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if _HEADER.match(line):
            inside = own.match(line) is not None
        if not inside:
            kept.append(line)
    result = "".join(kept).rstrip("\n")
    result = result + "\n" if result else ""
    _check(result, before - {name})
    return result


def _to_toml(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _check(text: str, expected: set[str]) -> None:
    unsafe = ConfigError("the configuration file can't be changed safely: edit it by hand")
    try:
        found = _names_in(text)
    except ConfigError:
        raise unsafe from None
    if found != expected:
        raise unsafe


def _names_in(text: str) -> set[str]:
    sound, broken = sort_accounts(text.encode(), "the configuration")
    return {*sound, *broken}


def save_text(path: Path, text: str) -> None:
    """Replace the file in one step; only its owner may read it. Errors: ConfigError."""
    path = path.resolve()
    if not path.parent.is_dir():
        create_private_dir(path.parent)
    try:
        fd, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(fresh).replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(fresh).unlink()
            raise
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
