"""A price that the configuration gives: one entry of the list `prices`."""

from __future__ import annotations

from dataclasses import dataclass

RATE_KEYS = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
"""In micro-dollars per million tokens."""

PRICE_KEYS = ("model", "provider", *RATE_KEYS)
"""The keys of a `[[prices]]` table, or of an entry of the list `prices:` in YAML."""

HIGHEST_RATE = 1_000_000_000_000
"""A million dollars per million tokens: more is a slip of the keyboard."""

LONGEST_PATTERN = 256
"""Characters of a model's name or pattern."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSettings:
    """Rates of a model, in micro-dollars per million tokens; None where none is given.

    `model` may contain `*`. `provider` is a configured provider's name or a type; empty: any.
    `origin` says where it stands, as `str(given.Origin)`.
    """

    model: str
    provider: str = ""
    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    origin: str = ""
