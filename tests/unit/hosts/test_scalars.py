"""Values as hosts write them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidfs.hosts.scalars import (
    HostClock,
    parse_date,
    parse_unix_time,
    to_bool,
    to_float,
    to_identifier,
    to_int,
    to_size,
    to_text,
)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("31", 31), (31, 31), ("31.0", 31), (31.0, 31), (" 31 ", 31), ("-1", -1), (-1, -1),
        ("inf", None), ("", None), (None, None), (False, None), (True, None), ("31 GB", None),
        (math.inf, None), (math.nan, None), ("1e9", None), ("9" * 30, None), ([], None),
        ("٣", None), ("0", 0), ("108.00000", 108), (1 << 63, None),
    ],
)  # fmt: skip
def test_whole_numbers(value: object, expected: int | None) -> None:
    assert to_int(value) == expected


@pytest.mark.parametrize(("value", "expected"), [("-1", None), (-1, None), ("0", 0), ("7", 7)])
def test_sizes_are_never_negative(value: object, expected: int | None) -> None:
    assert to_size(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, True), ("1", True), ("true", True), (True, True), (0, False), ("0", False),
     (False, False), ("", None), (None, None), ("maybe", None), (2, None)],
)  # fmt: skip
def test_flags(value: object, expected: bool | None) -> None:
    assert to_bool(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("undef", ""), (None, ""), (False, ""), (25, "25"), ("25", "25"), (25.0, "25"),
     (" fb5asfuj2snh ", "fb5asfuj2snh"), ([], ""), ("UNDEF", ""), (0, "0")],
)  # fmt: skip
def test_identifiers(value: object, expected: str) -> None:
    assert to_identifier(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1970-01-02 00:00:01", 86401.0),
        ("2021-08-102 20:51:52", None),  # S1, "File Info"
        ("0000-00-00 00:00:00", None),
        ("2021-02-30 00:00:00", None),
        ("2021-02-03 24:00:00", None),
        ("", None), (None, None), (5, None), ("2021-08-12", None),
    ],
)  # fmt: skip
def test_dates(value: object, expected: float | None) -> None:
    assert parse_date(value) == expected


def test_unix_times_in_seconds_and_milliseconds() -> None:
    assert parse_unix_time("1419791256") == 1419791256
    assert parse_unix_time(1532854309) == 1532854309
    assert parse_unix_time(1532854309123) == 1532854309.123
    assert parse_unix_time("2011-01-26 13:33:37") is None
    assert parse_unix_time(0) is None


@given(ANYTHING)
def test_nothing_is_too_odd(value: object) -> None:
    for function in (to_int, to_size, to_float, to_bool, parse_date, parse_unix_time):
        function(value)
    to_text(value).encode()
    to_identifier(value).encode()


@given(st.integers(min_value=-(1 << 62), max_value=1 << 62))
def test_quoted_and_bare_numbers_are_the_same(number: int) -> None:
    assert to_int(number) == to_int(str(number)) == to_int(f"{number}.0") == number
    assert to_identifier(number) == to_identifier(str(number))


NOON = 1_700_000_000.0


def stamp(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S")


@given(
    st.integers(-48, 56),
    st.lists(st.tuples(st.floats(0, 3e6), st.floats(0, 1.9), st.floats(-1.5, 1.5)), min_size=1),
)
def test_a_hosts_time_zone_is_found_and_kept(
    quarters: int, answers: list[tuple[float, float, float]]
) -> None:
    """However long answers take, and with a clock that is a little off."""
    clock = HostClock()
    for later, taken, skew in answers:
        at = NOON + later
        written = stamp(at + taken / 2 + quarters * 900 + skew)
        clock.observe(written, requested_at=at, received_at=at + taken)
        assert clock.offset_s == quarters * 900
    assert clock.to_unix(stamp(NOON + quarters * 900)) == NOON


def test_a_clock_that_is_minutes_off_is_followed_but_does_not_jitter() -> None:
    clock = HostClock()
    clock.observe(stamp(NOON + 137), requested_at=NOON, received_at=NOON)
    first = clock.offset_s
    assert abs(first - 137) <= 1
    for step in range(20):
        at = NOON + step * 0.37
        clock.observe(stamp(at + 137), requested_at=at, received_at=at)
        assert clock.offset_s == first
    clock.observe(stamp(NOON + 3600), requested_at=NOON, received_at=NOON)
    assert clock.offset_s == 3600 != first
    clock.observe("2021-08-102 00:00:00", requested_at=NOON, received_at=NOON)
    assert clock.offset_s == 3600
