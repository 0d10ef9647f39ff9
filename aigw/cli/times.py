"""Moments as people write them on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from aigw.durations import parse_duration

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAYS_BACK = {"today": 0, "yesterday": 1}
# A date, and perhaps a time with or without a zone (RFC 3339; a space for the T is allowed there).
_CALENDAR = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?Z|[+-]\d\d:\d\d)?)?", re.ASCII | re.IGNORECASE
)
_FORMS = (
    "use a duration back from now (2h, 7d), a date (2026-11-01), a date and time "
    "(2026-11-01 12:00), RFC 3339 (2026-11-01T12:00:00Z), today, yesterday or now"
)


def parse_when(text: str, now: int, zone: tzinfo | None = None) -> int:
    """The moment that `text` means, in microseconds since the epoch. `now` is, too.

    What names no zone counts in `zone`, by default the system's.

    Raises:
        ValueError: it means no moment; the message lists the forms that do.
    """
    word = text.strip().lower().removesuffix(" ago")
    if word == "now":
        return now
    try:
        if word in _DAYS_BACK:
            return _midnight(now, _DAYS_BACK[word], zone)
        if _CALENDAR.fullmatch(word):
            return _microseconds(datetime.fromisoformat(word.upper().replace(" Z", "Z")), zone)
        back = _duration(text, word)
        return now - back // _MICROSECOND
    except (OverflowError, OSError):
        raise ValueError(f"{text!r} is out of range") from None


def _duration(text: str, word: str) -> timedelta:
    """A duration back from now, never one ahead."""
    try:
        back = parse_duration(word)
    except ValueError as error:
        starts_like_one = re.match(r"[\d.]+[a-z]+", word) and "-" not in word
        why = f"{error}" if starts_like_one else f"{text!r} is not a time: {_FORMS}"
        raise ValueError(why) from None
    if back < timedelta(0):
        raise ValueError(f"{text!r} is in the future: {_FORMS}")
    return back


def _midnight(now: int, days_back: int, zone: tzinfo | None) -> int:
    moment = (_EPOCH + now * _MICROSECOND).astimezone(zone)
    day = moment.date() - timedelta(days=days_back)
    return _microseconds(datetime(day.year, day.month, day.day), zone)  # noqa: DTZ001 - zone follows


def _microseconds(moment: datetime, zone: tzinfo | None) -> int:
    if moment.tzinfo is None:
        # Not `replace` for the system's zone: only astimezone knows its offset on that day.
        moment = moment.replace(tzinfo=zone) if zone else moment.astimezone()
    return (moment - _EPOCH) // _MICROSECOND
