"""When a provider says to come back: `Retry-After` and its relatives, in seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

# Nine digits are thirty years; nobody means more, and float would read `nan` and `1e999`.
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """How long to wait, in seconds; None when the headers do not say, or say nothing sensible.

    `headers` are to be case-insensitive, `now` is the Unix time. `retry-after-ms` (Azure, OpenAI)
    is the more precise and counts first. A date (RFC 9110, 10.2.3) is measured from the answer's
    own `Date`, so that a clock that differs from the provider's does no harm; a past one is 0.
    """
    milliseconds = headers.get("Retry-After-Ms", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    value = headers.get("Retry-After", "").strip()
    if _NUMBER.fullmatch(value):
        return float(value)
    until = _unix_time(value)
    if until is None:
        return None
    sent = _unix_time(headers.get("Date", ""))
    return max(0.0, until - (now if sent is None else sent))


def _unix_time(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
