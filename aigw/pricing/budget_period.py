"""Days, weeks and months of a time zone, as spans of microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from aigw.pricing.budget import Period

_SECOND = 1_000_000


class Span(NamedTuple):
    """From `start` until before `end`, in microseconds since the epoch."""

    start: int
    end: int


def zone_of(name: str) -> tzinfo:
    """The time zone of a name.

    Raises:
        ValueError: there is no such zone, or none that this machine knows.
    """
    if name.upper() in {"UTC", "Z"}:
        # Windows has no database of time zones; this one needs none.
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise ValueError(
            f"{name!r} is not a time zone: use a name such as UTC or Europe/Berlin"
        ) from None


def span_of(period: Period, zone: tzinfo, moment: int) -> Span:
    """The period that a moment is in. Where clocks change, a day has 23 or 25 hours.

    A midnight that clocks skip is the moment of the change; of two, the first counts.
    """
    day = datetime.fromtimestamp(moment // _SECOND, zone).date()
    match period:
        case Period.DAY:
            first, after = day, day + timedelta(days=1)
        case Period.WEEK:
            first = day - timedelta(days=day.weekday())
            after = first + timedelta(days=7)
        case _:
            first = day.replace(day=1)
            after = (first + timedelta(days=31)).replace(day=1)
    return Span(
        *(_microseconds(datetime(d.year, d.month, d.day, tzinfo=zone)) for d in (first, after))
    )


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * _SECOND
