"""Days, weeks and months: in any zone, also where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.pricing.budget import Period
from aigw.pricing.budget_period import span_of, zone_of


def micros(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("period", "zone", "moment", "start", "end"),
    [
        (Period.DAY, "UTC", "2026-03-04T23:59:59Z", "2026-03-04T00:00Z", "2026-03-05T00:00Z"),
        (Period.DAY, "UTC", "2026-03-05T00:00:00Z", "2026-03-05T00:00Z", "2026-03-06T00:00Z"),
        (Period.WEEK, "UTC", "2026-03-01T12:00Z", "2026-02-23T00:00Z", "2026-03-02T00:00Z"),
        (Period.WEEK, "UTC", "2026-03-02T00:00Z", "2026-03-02T00:00Z", "2026-03-09T00:00Z"),
        (Period.MONTH, "UTC", "2026-12-31T23:59Z", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        (Period.MONTH, "UTC", "2028-02-29T12:00Z", "2028-02-01T00:00Z", "2028-03-01T00:00Z"),
        # The new day, month and year begin earlier in the east, and at quarters of an hour.
        (Period.MONTH, "Asia/Tokyo", "2026-12-31T16:00Z", "2026-12-31T15:00Z", "2027-01-31T15:00Z"),
        (Period.DAY, "Asia/Kathmandu", "2026-03-04T18:15Z", "2026-03-04T18:15Z", "2026-03-05T18:15Z"),
        # 23 and 25 hours.
        (Period.DAY, "Europe/Berlin", "2026-03-29T12:00Z", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
        (Period.DAY, "Europe/Berlin", "2026-10-25T12:00Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
        (Period.WEEK, "Europe/Berlin", "2026-03-29T12:00Z", "2026-03-22T23:00Z", "2026-03-29T22:00Z"),
        (Period.MONTH, "America/New_York", "2026-03-20T12:00Z", "2026-03-01T05:00Z", "2026-04-01T04:00Z"),
        # A midnight that does not exist, and one that comes twice.
        (Period.DAY, "Africa/Cairo", "2026-04-24T12:00Z", "2026-04-23T22:00Z", "2026-04-24T21:00Z"),
        (Period.DAY, "America/Havana", "2026-11-01T12:00Z", "2026-11-01T04:00Z", "2026-11-02T05:00Z"),
    ],
)  # fmt: skip
def test_spans(period: Period, zone: str, moment: str, start: str, end: str) -> None:
    assert span_of(period, zone_of(zone), micros(moment)) == (micros(start), micros(end))


@given(
    period=st.sampled_from(Period),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Africa/Cairo", "Australia/Lord_Howe"]),
    moment=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 (UTC is put in)
)
def test_every_moment_is_in_one_span_and_the_next_follows(
    period: Period, zone: str, moment: datetime
) -> None:
    at = micros(moment.replace(tzinfo=UTC).isoformat())
    span = span_of(period, zone_of(zone), at)
    assert span.start <= at < span.end
    assert span_of(period, zone_of(zone), span.start) == span
    assert span_of(period, zone_of(zone), span.end - 1) == span
    assert span_of(period, zone_of(zone), span.end).start == span.end
    # Sums are kept by quarters of an hour.
    assert span.start % timedelta(minutes=15).total_seconds() == 0


def test_zones() -> None:
    assert zone_of("utc") is UTC
    assert zone_of("Europe/Berlin") == ZoneInfo("Europe/Berlin")
    for name in ("Mars/Olympus", "../etc/passwd", "", "/etc/localtime"):
        with pytest.raises(ValueError, match="is not a time zone"):
            zone_of(name)
