"""What `aigw prices` shows: prices that were given, and those of the models that were used."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from aigw.pricing.price import Price
    from aigw.pricing.price_list import PriceList, Quote
    from aigw.settings import Settings
    from aigw.store.prices import SeenModel, StoredPrice


class Row(NamedTuple):
    """A line of the list.

    `requests` is None for a price that was given and no model used is named like. `reason` says why
    a model has no price, `unpriced` how many recorded responses had none.
    """

    provider: str
    model: str
    price: Price | None
    source: str
    updated_at: int | None = None
    requests: int | None = None
    unpriced: int = 0
    reason: str = ""


def rows(settings: Settings, database: Path, now: int) -> list[Row]:
    """Given prices first, then the models that were used, the most used first."""
    stored, seen = _stored(database)
    prices = _price_list(settings, stored, database)
    used = [_used(prices, model, now) for model in seen]
    named = {(row.provider, row.model) for row in used}
    given = [
        Row(each.provider, each.model, each.price(None), each.source, each.updated_at)
        for each in prices.overrides
        if (each.provider, each.model) not in named
    ]
    return given + used


def _used(prices: PriceList, seen: SeenModel, now: int) -> Row:
    quote = prices.quote(seen.provider, seen.model, now)
    return Row(
        seen.provider,
        seen.model,
        quote.price,
        quote.source,
        quote.overrides[0].updated_at if quote.overrides else None,
        seen.requests,
        seen.unpriced,
        "" if quote.price else quote.reason,
    )


def quotes(
    settings: Settings, database: Path, model: str, provider: str | None, now: int
) -> list[tuple[str, Quote]]:
    """A model's price at each provider that has one; where none has, at all of them: why not."""
    stored, _ = _stored(database)
    prices = _price_list(settings, stored, database)
    names = [provider] if provider else [each.name for each in settings.providers if each.enabled]
    found = [(name, prices.quote(name, model, now)) for name in names]
    return [(name, quote) for name, quote in found if quote.price] or found


def _stored(database: Path) -> tuple[list[StoredPrice], list[SeenModel]]:
    from aigw.store.prices import read_prices, seen_models
    from aigw.store.reader import NoDatabase, reading, snapshot

    try:
        with reading(database) as connection, snapshot(connection):
            return read_prices(connection), seen_models(connection)
    except NoDatabase:
        return [], []


def _price_list(settings: Settings, stored: list[StoredPrice], database: Path) -> PriceList:
    from aigw.cli import messages
    from aigw.errors import StoreError
    from aigw.pricing import overrides
    from aigw.pricing.catalogue import load_catalogue
    from aigw.pricing.price_list import PriceList
    from aigw.pricing.refresh import read_refreshed

    try:
        refreshed = read_refreshed(database)
    except StoreError as error:
        messages.warn(str(error))
        refreshed = None
    catalogue = load_catalogue(refreshed)
    if catalogue.missing:
        messages.warn(catalogue.missing)
    given = [*overrides.configured(settings.prices), *overrides.stored(stored)]
    return PriceList({each.name: each for each in settings.providers}, given, catalogue)
