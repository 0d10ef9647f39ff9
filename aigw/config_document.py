"""What a configuration file says, whichever its format: dotted keys with values and lines."""

from __future__ import annotations

from dataclasses import dataclass, field

from aigw.options import BY_KEY
from aigw.price_settings import PRICE_KEYS
from aigw.provider_options import BY_PROVIDER_KEY

PROVIDERS_KEY = "providers"
PRICES_KEY = "prices"

LISTS: dict[str, frozenset[str]] = {
    PROVIDERS_KEY: frozenset(BY_PROVIDER_KEY),
    PRICES_KEY: frozenset(PRICE_KEYS),
}
"""The lists of tables, and the keys that a table of each may have. Their entries have the keys
`providers[0]`, with the value None, and their settings `providers[0].name`."""


@dataclass(slots=True)
class Document:
    """Keys as the file has them, known or not, and a problem line for each that is ambiguous."""

    leaves: dict[str, object] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


_TABLES = {
    ".".join(key.split(".")[:depth]) for key in BY_KEY for depth in range(1, key.count(".") + 1)
}


def is_table(key: str) -> bool:
    """Whether options have keys below this one."""
    return key in _TABLES


def twice(place: str, key: str, first: int) -> str:
    """The problem of a key that is given again at `place` (`PATH:LINE`)."""
    return f"{place}: {key} is given twice, first in line {first}"
