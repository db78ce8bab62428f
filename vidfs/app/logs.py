"""Where the log goes, and that no key gets into it.

The layers below keep keys out of what they log and raise; the `Redactor` here is the second
net, over finished lines, tracebacks included.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

from vidfs.errors import ConfigError
from vidfs.types import Secret

_LOG_BYTES_MAX = 10 << 20
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Redactor:
    """Replaces every secret it was told of by `***`, plain or as it stands in a URL."""

    def __init__(self) -> None:
        self._pattern: re.Pattern[str] | None = None
        self._forms: set[str] = set()

    def add(self, secret: Secret) -> None:
        value = secret.reveal()
        if value:
            self._forms |= {value, quote(value), quote(value, safe=""), quote_plus(value)}
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(re.escape(form) for form in longest_first))

    def clean(self, text: str) -> str:
        return self._pattern.sub("***", text) if self._pattern else text


class _CleanFormatter(logging.Formatter):
    def __init__(self, format_: str, redactor: Redactor) -> None:
        super().__init__(format_)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.clean(super().format(record))


class _JournalFormatter(_CleanFormatter):
    """Before each line its level as sd-daemon(3) has it; the journal knows the time itself."""

    def format(self, record: logging.LogRecord) -> str:
        level = 7 if record.levelno < logging.INFO else 6 if record.levelno < logging.WARNING else 4
        if record.levelno >= logging.ERROR:
            level = 3
        return "\n".join(f"<{level}>{line}" for line in super().format(record).split("\n"))


class _FileHandler(logging.handlers.WatchedFileHandler):
    """A file that others may move away at any time; begun anew before it gets too large."""

    def __init__(self, path: Path, bytes_max: int | None) -> None:
        super().__init__(path, encoding="utf-8")
        self._bytes_max = bytes_max

    def emit(self, record: logging.LogRecord) -> None:
        if self._bytes_max is not None and self.stream and self.stream.tell() > self._bytes_max:
            with suppress(OSError):
                Path(self.baseFilename).replace(self.baseFilename + ".1")
        with suppress(OSError):  # its directory is gone: no reason to end whoever has to say it
            super().emit(record)


def _is_journal(environ: Mapping[str, str]) -> bool:
    """systemd names the file that it connected to stdout and stderr by its numbers."""
    stderr = os.fstat(2)
    return environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


def set_up_logging(redactor: Redactor, *, log_file: Path | None, rotate: bool, debug: bool) -> None:
    """Send the log of this process to *log_file* (None: stderr, with levels for the journal).

    logrotate may move it away at any time. *rotate*: where nobody does, we keep it below 20 MiB
    ourselves. Errors: ConfigError where it can't be written.
    """
    handler: logging.Handler
    if log_file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        try:
            os.close(os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
            handler = _FileHandler(log_file, _LOG_BYTES_MAX if rotate else None)
        except OSError as error:
            raise ConfigError(f"{log_file}: {error.strerror}") from None
    formatter = _CleanFormatter(_FORMAT, redactor)
    if log_file is None and _is_journal(os.environ):
        formatter = _JournalFormatter("%(name)s: %(message)s", redactor)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    set_log_level("debug" if debug else "info")
    # these log whole URLs, in whose query the key stands
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def set_log_level(level: str) -> None:
    """ "debug" or "info" for vidfs' own lines; other libraries stay at warnings."""
    logging.getLogger("vidfs").setLevel(logging.DEBUG if level == "debug" else logging.INFO)
