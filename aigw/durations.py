"""Durations as text: Go's notation plus days and weeks, as Coder's retention settings take them.

`1h30m`, `1.5h`, `60d`, `1w2d12h`, `250ms`; a bare `0` needs no unit.
Source: https://pkg.go.dev/time#ParseDuration, and `d` and `w` as in Coder's retention options.
"""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction

_MICROSECONDS: dict[str, int | Fraction] = {
    "w": 7 * 86_400_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
    "\u00b5s": 1,
    "\u03bcs": 1,
    "ns": Fraction(1, 1000),
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(\D*?)(?=[\d.]|$)", re.ASCII)
_UNITS_HELP = "use w, d, h, m, s, ms or us, for example 30s, 1h30m, 60d or 1w2d"

# Go's durations are 64-bit nanoseconds: what Coder's gateway cannot hold is a typing error here too.
_LONGEST = timedelta(microseconds=(2**63 - 1) // 1000)

_SHOWN_UNITS = (
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
)


def parse_duration(text: str) -> timedelta:
    """The duration that `text` says, to the microsecond.

    Raises:
        ValueError: it is not a duration; the message says why and what is allowed.
    """
    trimmed = text.strip()
    sign = -1 if trimmed.startswith("-") else 1
    digits = trimmed[1:] if trimmed[:1] in ("-", "+") else trimmed
    if digits == "0":
        return timedelta(0)
    if not digits:
        raise ValueError(f"{text!r} is not a duration: {_UNITS_HELP}")
    total = sum(_amounts(text, digits), Fraction(0))
    try:
        duration = timedelta(microseconds=round(total))
    except OverflowError:
        duration = timedelta.max
    if duration > _LONGEST:
        raise ValueError(f"{text!r} is too long: the longest duration is 292 years")
    return sign * duration


def _amounts(text: str, digits: str) -> list[Fraction]:
    """The parts of a duration without its sign, each in microseconds."""
    amounts = []
    position = 0
    while position < len(digits):
        part = _PART.match(digits, position)
        if part is None:
            raise ValueError(f"{text!r} is not a duration: {_UNITS_HELP}")
        number, unit = part[1], part[2]
        if unit not in _MICROSECONDS:
            raise ValueError(_unit_problem(text, number, unit))
        amounts.append(Fraction(number if number[-1] != "." else number[:-1]) * _MICROSECONDS[unit])
        position = part.end()
    return amounts


def _unit_problem(text: str, number: str, unit: str) -> str:
    if not unit:
        return f"{text!r} has no unit after {number}: {_UNITS_HELP}"
    if unit.lower() in _MICROSECONDS:
        return f"{text!r} has the unit {unit!r}; units are lower case: {_UNITS_HELP}"
    return f"{text!r} has an unknown unit {unit!r}: {_UNITS_HELP}"


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back exactly, as `60d`, `1h30m` or `0s`."""
    rest = duration // timedelta(microseconds=1)
    if rest == 0:
        return "0s"
    text = "-" if rest < 0 else ""
    rest = abs(rest)
    for unit, size in _SHOWN_UNITS:
        count, rest = divmod(rest, size)
        if count:
            text += f"{count}{unit}"
    return text
