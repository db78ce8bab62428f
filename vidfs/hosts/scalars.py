"""Values as hosts of both families write them: "31", 31, "31.0", "inf", false, null.

Pure functions: they never raise, whatever they are given. `None` stands for "doesn't say".

Source: API_FACTS §1.4, §2.3, §3.4 (counts quoted and bare in one answer, `false` and `null`
for what isn't known, "inf" and -1 for no limit, dates that aren't dates).
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from functools import lru_cache

INT_MAX = 1 << 63
_NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{0,40})?\Z")
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)\Z")
_TRUE = frozenset({"1", "true", "yes", "on"})
_NO_CODES = frozenset({"undef", "undefined", "null", "none", "false"})
_NO_CODE_LENGTH_MAX = max(map(len, _NO_CODES))
_FALSE = frozenset({"0", "false", "no", "off"})


def to_int(value: object) -> int | None:
    """A whole number, or None for anything else, infinities included."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value if -INT_MAX <= value < INT_MAX else None
    if isinstance(value, float):
        return to_int(int(value)) if math.isfinite(value) else None
    if isinstance(value, str):
        if value.isdecimal() and value.isascii() and len(value) < 19:
            return int(value)  # the common case, without the expression
        value = value.strip()
        if value.isascii() and _NUMBER.match(value):
            return to_int(int(value.partition(".")[0] or "0"))
    return None


def to_size(value: object) -> int | None:
    """A number of bytes; None where negative ("no limit") or not said."""
    number = to_int(value)
    return number if number is not None and number >= 0 else None


def to_float(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.strip()
        if not (value.isascii() and _NUMBER.match(value)):
            return None
    elif not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def to_bool(value: object) -> bool | None:
    """1, "1", "true" and true; 0, "0", "false", "" no and false."""
    if isinstance(value, bool):
        return value
    text = to_text(value).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    return None


def to_text(value: object) -> str:
    """Text; "" for null, false and anything that is no scalar."""
    if isinstance(value, str):
        # JSON may carry lone surrogates, which no file name and no database takes.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, int):
        return str(value) if -INT_MAX <= value < INT_MAX else ""
    if isinstance(value, float):
        if not math.isfinite(value):
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < INT_MAX else str(value)
    return ""


def to_identifier(value: object) -> str:
    """A code or id as text: 31 and "31" are the same; "" for none, `undef` included.

    Source: API_FACTS §2.4: a post that was thrown away is answered with the code "undef".
    """
    text = to_text(value).strip()
    if len(text) <= _NO_CODE_LENGTH_MAX and text.lower() in _NO_CODES:
        return ""
    return text


def parse_date(value: object) -> float | None:
    """Seconds since 1970 of a naive `YYYY-MM-DD hh:mm:ss`, taken as UTC; None if it is none.

    Source: S1 "File Info" has the date "2021-08-102 20:51:52"; others "0000-00-00".
    """
    if not isinstance(value, str):
        return None
    found = _DATE.match(value)
    if found is None:
        return None
    day = _parse_day(found[1], found[2], found[3])
    hour, minute, second = int(found[4]), int(found[5]), int(found[6])
    if day is None or hour > 23 or minute > 59 or second > 60:
        return None
    return day + hour * 3600 + minute * 60 + second


@lru_cache(maxsize=4096)
def _parse_day(year: str, month: str, day: str) -> float | None:
    try:
        return datetime(int(year), int(month), int(day), tzinfo=UTC).timestamp()
    except ValueError:
        return None


def parse_unix_time(value: object) -> float | None:
    """Unix seconds, given in seconds or (Streamtape) milliseconds; None for 0 and nonsense.

    Source: API_FACTS §5: `created_at` is in milliseconds. Told apart by size: seconds reach
    the bound in the year 5138.
    """
    number = to_float(value)
    if number is None or number <= 0:
        return None
    return number / 1000 if number > 1e11 else number


class HostClock:
    """What to take off a host's naive times, learnt from the `server_time` in its answers.

    Naive times are the host's local time. Real offsets are whole quarters of an hour plus a
    clock that is a little off; so near a quarter the quarter is taken, and the same file has
    the same time after every start. The offset moves only for a change that rounding and
    the way of the answer can't explain. A host that changes its clocks for summer shows the
    other half of the year an hour off: its answers don't tell which rule it keeps.
    """

    STEP_S = 900.0
    SNAP_S = 5.0
    TOLERANCE_S = 2.0

    def __init__(self) -> None:
        self._offset_s: float | None = None

    @property
    def offset_s(self) -> float:
        """Seconds that the host's clock is ahead of Unix time; 0 until learnt."""
        return self._offset_s or 0.0

    def observe(self, server_time: object, *, requested_at: float, received_at: float) -> None:
        """Learn from one answer; what isn't a date is ignored."""
        host_time = parse_date(server_time)
        if host_time is None:
            return
        # The host wrote its whole second at some moment between the two.
        middle = (requested_at + received_at) / 2
        measured = host_time + 0.5 - middle
        doubt = 0.5 + max(0.0, received_at - requested_at) / 2
        if self._offset_s is not None:
            reach = self.TOLERANCE_S + doubt
            if abs(self._offset_s - round(self._offset_s / self.STEP_S) * self.STEP_S) < 1e-6:
                reach = max(reach, self.SNAP_S + doubt)
            if abs(measured - self._offset_s) <= reach:
                return
        if doubt > 30:
            return  # so late an answer tells nothing
        quarter = round(measured / self.STEP_S) * self.STEP_S
        near = abs(measured - quarter) <= self.SNAP_S + doubt
        self._offset_s = quarter if near else float(round(measured))

    def to_unix(self, naive: object) -> float | None:
        """Unix seconds of one of the host's dates; None if it is no date."""
        seconds = parse_date(naive)
        return None if seconds is None else seconds - self.offset_s
