from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", timedelta(0)),
        ("0s", timedelta(0)),
        ("60d", timedelta(days=60)),
        ("1w2d12h", timedelta(days=9, hours=12)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        (".5s", timedelta(milliseconds=500)),
        ("1.s", timedelta(seconds=1)),
        ("250ms", timedelta(milliseconds=250)),
        ("7us", timedelta(microseconds=7)),
        ("7\u00b5s", timedelta(microseconds=7)),
        ("1440h0m0s", timedelta(days=60)),
        ("-2h", timedelta(hours=-2)),
        ("+2h", timedelta(hours=2)),
        (" 2h ", timedelta(hours=2)),
    ],
)
def test_understands(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a duration"),
        ("soon", "is not a duration"),
        ("10", "has no unit after 10"),
        ("1h30", "has no unit after 30"),
        ("5M", "units are lower case"),
        ("5y", "unknown unit 'y'"),
        ("1h-2m", "unknown unit"),
        ("1 h", "unknown unit"),
        ("\u0661h", "is not a duration"),
        ("99999w", "292 years"),
        ("9" * 400 + "h", "292 years"),
    ],
)
def test_explains_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(days=60), "60d"),
        (timedelta(minutes=10), "10m"),
        (timedelta(hours=36), "1d12h"),
        (timedelta(seconds=1.5), "1s500ms"),
        (timedelta(hours=-2), "-2h"),
    ],
)
def test_shows(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


@given(st.timedeltas(timedelta(days=-100_000), timedelta(days=100_000)))
def test_reads_back_what_it_shows(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.text(alphabet="0123456789.wdhmsu+- x", max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        duration = parse_duration(text)
    except ValueError:
        return
    assert parse_duration(format_duration(duration)) == duration
