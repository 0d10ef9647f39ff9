"""Prices that somebody gave: in the configuration, with `aigw prices set`, or imported.

Which of several counts: the configuration's before one that was set, that before an imported one.
Among those, one for the provider's name before one for its type before one for any; then the model's
own name before a pattern, and the pattern with more letters before one with fewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from aigw.patterns import matches
from aigw.pricing.price import Price, Rates
from aigw.store.prices import PriceSource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aigw.price_settings import PriceSettings
    from aigw.store.prices import StoredPrice

CONFIGURATION = "configuration"
_RANKS = {CONFIGURATION: 0, "prices set": 1, "prices import": 2}
_SOURCES = {PriceSource.SET: "prices set", PriceSource.IMPORT: "prices import"}


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """A price that somebody gave.

    Attributes:
        provider: a configured provider's name or a type; empty: any.
        model: a name, in which `*` stands for any text.
        source: `configuration`, `prices set` or `prices import`.
        origin: where it stands, for one of the configuration.
        updated_at: when it was set or imported, in microseconds; None for one of the configuration.
    """

    provider: str
    model: str
    rates: Rates
    source: str
    origin: str = ""
    updated_at: int | None = None

    def fits(self, name: str, kind: str, model: str) -> bool:
        """Whether it is for a model of a provider of this name and type."""
        return self.provider in ("", name, kind) and matches(self.model, model)

    def rank(self, name: str) -> tuple[int, int, bool, int]:
        """Sorts those that fit, the one that counts first."""
        provider = 0 if self.provider == name else 1 if self.provider else 2
        letters = len(self.model.replace("*", ""))
        return (_RANKS[self.source], provider, "*" in self.model, -letters)

    def price(self, listed: Price | None) -> Price:
        """The whole price. What nobody can give here, searches' rates and the context, is the list's.

        It is the same for long inputs and in every class of service.
        """
        if listed is None:
            return Price(rates=self.rates, has_one_rate=True)
        rates = msgspec.structs.replace(
            self.rates,
            web_search=listed.rates.web_search,
            web_search_preview=listed.rates.web_search_preview,
            file_search=listed.rates.file_search,
        )
        return Price(rates=rates, has_one_rate=True, context_window=listed.context_window)


def configured(prices: Iterable[PriceSettings]) -> list[Override]:
    """The configuration's prices."""
    return [
        Override(
            provider=price.provider,
            model=price.model,
            rates=Rates(
                input=price.input,
                output=price.output,
                cache_read=price.cache_read,
                cache_write=price.cache_write,
                cache_write_1h=price.cache_write_1h,
            ),
            source=CONFIGURATION,
            origin=price.origin,
        )
        for price in prices
    ]


def stored(prices: Iterable[StoredPrice]) -> list[Override]:
    """Prices of the store."""
    return [
        Override(
            provider=price.provider,
            model=price.model,
            rates=Rates(
                input=price.input_price,
                output=price.output_price,
                cache_read=price.cache_read_price,
                cache_write=price.cache_write_price,
                cache_write_1h=price.cache_write_1h_price,
            ),
            source=_SOURCES[price.source],
            updated_at=price.updated_at,
        )
        for price in prices
    ]


def fitting(overrides: Iterable[Override], name: str, kind: str, model: str) -> list[Override]:
    """Those for a model at a provider of this name and type, the one that counts first."""
    found = [override for override in overrides if override.fits(name, kind, model)]
    return sorted(found, key=lambda override: override.rank(name))
