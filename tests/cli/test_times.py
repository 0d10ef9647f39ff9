from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.cli.times import parse_when

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


NOW = at(datetime(2026, 11, 2, 13, 30, 15, 123456, tzinfo=UTC))
HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("2h", NOW - 2 * HOUR),
        ("2h ago", NOW - 2 * HOUR),
        ("1w1d", NOW - 8 * 24 * HOUR),
        ("0", NOW),
        ("2026-11-01T12:00:00Z", at(datetime(2026, 11, 1, 12, tzinfo=UTC))),
        ("2026-11-01t12:00:00z", at(datetime(2026, 11, 1, 12, tzinfo=UTC))),
        ("2026-11-01 12:00:00.5Z", at(datetime(2026, 11, 1, 12, 0, 0, 500_000, tzinfo=UTC))),
        (
            "2026-11-01T12:00:00.123456789Z",
            at(datetime(2026, 11, 1, 12, 0, 0, 123_456, tzinfo=UTC)),
        ),
        ("2026-11-01T12:00:00+05:30", at(datetime(2026, 11, 1, 6, 30, tzinfo=UTC))),
    ],
)
def test_moments_that_need_no_zone(text: str, expected: int) -> None:
    assert parse_when(text, NOW) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("today", datetime(2026, 11, 2, tzinfo=UTC)),
        ("Yesterday", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01 12:00", datetime(2026, 11, 1, 12, tzinfo=UTC)),
        ("2026-11-01T12:00:30", datetime(2026, 11, 1, 12, 0, 30, tzinfo=UTC)),
    ],
)
def test_moments_in_a_zone(text: str, expected: datetime) -> None:
    assert parse_when(text, NOW, UTC) == at(expected)
    offset = timezone(timedelta(hours=5))
    assert parse_when(text, NOW, offset) == at(expected) - 5 * HOUR


def test_the_systems_zone_is_the_default() -> None:
    local = datetime(2026, 7, 1).astimezone()
    assert parse_when("2026-07-01", NOW) == at(local)


def test_a_day_starts_at_its_own_midnight_when_clocks_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    now = at(datetime(2026, 3, 29, 12, tzinfo=berlin))  # summer time began at 2:00
    assert parse_when("today", now, berlin) == at(datetime(2026, 3, 28, 23, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a time"),
        ("tomorrow", "is not a time"),
        ("10", "is not a time"),
        ("2026", "is not a time"),
        ("2026-13-01", "is not a date|month must be"),
        ("2026-11-01T25:00:00Z", "hour must be"),
        ("01.11.2026", "is not a time"),
        ("5y", "unknown unit 'y'"),
        ("-2h", "in the future"),
        ("9999w", "292|out of range"),
    ],
)
def test_what_means_no_moment_is_explained(text: str, reason: str) -> None:
    if text == "9999w":  # in range: long before the epoch
        assert parse_when(text, NOW) < 0
        return
    with pytest.raises(ValueError, match=reason):
        parse_when(text, NOW)


@given(st.text(max_size=20) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2})?"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(parse_when(text, NOW), int)
    except ValueError:
        return
