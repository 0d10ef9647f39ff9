"""Prices as JSON: the shape of `coder exp ai-model-prices`, and ours around it.

An object has `provider`, `model`, `input_price`, `output_price`, `cache_read_price` and
`cache_write_price`, in micro-dollars per million tokens; ours further has `cache_write_1h_price`,
`source` and `updated_at`.
"""

from __future__ import annotations

import json
from typing import Any

from aigw.errors import ConfigError
from aigw.price_settings import HIGHEST_RATE, LONGEST_PATTERN
from aigw.pricing.price import Rates
from aigw.records import rfc3339
from aigw.store.prices import PriceSource, StoredPrice

PRICE_FIELDS = {
    "input_price": "input",
    "output_price": "output",
    "cache_read_price": "cache_read",
    "cache_write_price": "cache_write",
    "cache_write_1h_price": "cache_write_1h",
}
"""By field of the JSON form, the rate that it is."""

_IGNORED = frozenset({"source", "updated_at", "requests", "unpriced", "reason"})
"""What `aigw prices list --json` says beside a price: its output can be imported."""

LARGEST_IMPORT = 32 * 1024 * 1024
"""Bytes of a file that is imported."""

MOST_PRICES = 20_000
"""Prices of one file: the longest lists that are published have about four thousand models. A running
daemon reads all of them on its event loop when they change, and so many take it a tenth of a second."""

_MOST_PROBLEMS = 100
"""Lines about what is wrong with a file: a wrong file is wrong in every entry."""


def price_object(
    provider: str, model: str, rates: Rates | None, source: str, updated_at: int | None
) -> dict[str, Any]:
    """The JSON form of a price; of an unknown one every figure is null."""
    figures = {
        field: None if rates is None else getattr(rates, name)
        for field, name in PRICE_FIELDS.items()
    }
    updated = None if updated_at is None else rfc3339(updated_at)
    return {
        "provider": provider,
        "model": model,
        **figures,
        "source": source,
        "updated_at": updated,
    }


def parse_prices(content: bytes, name: str, now: int) -> list[StoredPrice]:
    """The prices of a file: an array of objects, or an object with such an array.

    Raises:
        ConfigError: it has none, or something is wrong with one; `problems` has a line for each.
    """
    entries = _entries(content, name)
    problems: list[str] = []
    left = 0
    prices: list[StoredPrice] = []
    first: dict[tuple[str, str], int] = {}
    for number, entry in enumerate(entries):
        found = _problems(entry)
        if not found:
            key = (entry.get("provider") or "", entry["model"].casefold())
            other = first.setdefault(key, number)
            if other != number:
                found = [f"the same provider and model as [{other}]"]
        if found:
            room = _MOST_PROBLEMS - len(problems)
            problems += [f"{name}[{number}]: {problem}" for problem in found[:room]]
            left += len(found[room:])
        else:
            prices.append(_stored(entry, now))
    if problems:
        more = [f"{name}: and {left} problems more"] if left else []
        raise ConfigError(*problems, *more)
    return prices


def _entries(content: bytes, name: str) -> list[Any]:
    try:
        # Not msgspec: this says where the mistake is.
        document = json.loads(content)
    except RecursionError:
        raise ConfigError(f"{name}: is nested too deep") from None
    except ValueError as error:
        raise ConfigError(f"{name}: is no JSON: {error}") from error
    if isinstance(document, dict):
        arrays = [value for value in document.values() if isinstance(value, list)]
        document = arrays[0] if len(arrays) == 1 else None
    if not isinstance(document, list):
        raise ConfigError(f"{name}: must be an array of prices, or an object with one such array")
    if not document:
        raise ConfigError(f"{name}: has no prices")
    if len(document) > MOST_PRICES:
        raise ConfigError(
            f"{name}: has {len(document):,} prices, {MOST_PRICES:,} are the most: import those of models "
            "that you use, or say what many cost with a pattern, as `gpt-5*`"
        )
    return document


def _problems(entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return ["is no object"]
    problems = [*_text_problems(entry)]
    for field in PRICE_FIELDS:
        value = entry.get(field)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            problems.append(f"{field} must be a whole number of micro-dollars per million tokens")
        elif not 0 <= value <= HIGHEST_RATE:
            problems.append(f"{field} must be from 0 to {HIGHEST_RATE}")
    if entry.get("input_price") is None and entry.get("output_price") is None:
        problems.append("has neither input_price nor output_price")
    known = {"provider", "model", *PRICE_FIELDS, *_IGNORED}
    problems += [f"unknown member {member!r}" for member in entry if member not in known]
    return problems


def _text_problems(entry: dict[str, Any]) -> list[str]:
    problems = []
    model = entry.get("model")
    if not isinstance(model, str) or not is_name(model):
        problems.append(f"model must be 1 to {LONGEST_PATTERN} visible characters")
    provider = entry.get("provider")
    if provider not in (None, "") and not (isinstance(provider, str) and is_name(provider)):
        problems.append("provider must be a provider's name or type, or be left out for any")
    return problems


def is_name(text: str) -> bool:
    """Whether a text can name a model, a pattern of models or a provider."""
    return text.isprintable() and text == text.strip() and 1 <= len(text) <= LONGEST_PATTERN


def _stored(entry: dict[str, Any], now: int) -> StoredPrice:
    return StoredPrice(
        provider=entry.get("provider") or "",
        model=entry["model"],
        source=PriceSource.IMPORT,
        updated_at=now,
        **{field: entry.get(field) for field in PRICE_FIELDS},
    )
