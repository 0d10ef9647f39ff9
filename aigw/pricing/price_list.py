"""Which price a model has at a provider, and why: overrides first, then the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aigw.pricing.catalogue import Catalogue, ListPrice, NoPrice
from aigw.pricing.charger import charger
from aigw.pricing.overrides import Override, fitting
from aigw.pricing.price import Price
from aigw.provider_settings import ProviderSettings


class Quote(NamedTuple):
    """A model's price at a moment.

    Attributes:
        price: None where nobody knows one.
        source: where it is from, as records have it; empty without a price.
        reason: why there is no list price; empty where there is one.
        listed: the list price, whether it counts or an override does.
        charger: whose own word on what a response costs goes before the price; empty: nobody's.
        listed_as: the catalogue's name for the model; empty without a list price.
        overrides: that fit, the one that counts first.
        span: the quote is the same for all moments of this span; None: for all.
    """

    price: Price | None
    source: str = ""
    reason: str = ""
    listed: Price | None = None
    listed_as: str = ""
    overrides: Sequence[Override] = ()
    entry: ListPrice | None = None
    span: int | None = None
    charger: str = ""

    def holds_at(self, moment: int) -> bool:
        """Whether it is the price at another moment (microseconds) too."""
        return self.entry is None or self.entry.span(moment) == self.span


def _with_charger(quote: Quote, name: str) -> Quote:
    if not name:
        return quote
    known = f"{quote.reason}; what {name} says that it charges is recorded" if quote.reason else ""
    return quote._replace(charger=name, reason=known)


class PriceList:
    """All that is known of prices at one time."""

    def __init__(
        self,
        providers: Mapping[str, ProviderSettings],
        overrides: Sequence[Override],
        catalogue: Catalogue,
    ) -> None:
        self.providers = providers
        self.overrides = overrides
        self.catalogue = catalogue
        # By name: an import may have thousands, and a new model's name is a client's choice.
        self._named: dict[str, list[Override]] = {}
        self._patterns = [override for override in overrides if "*" in override.model]
        for override in overrides:
            if "*" not in override.model:
                self._named.setdefault(override.model.casefold(), []).append(override)

    def quote(self, provider: str, model: str, moment: int) -> Quote:
        """The price of a model at the provider of a name, at a moment in microseconds."""
        settings = self.providers.get(provider)
        kind = settings.type if settings is not None else ""
        given = [*self._patterns, *self._named.get(model.casefold(), ())]
        found = fitting(given, provider, kind, model)
        entry: ListPrice | NoPrice
        if settings is None:
            entry = NoPrice(f"no provider {provider!r} is configured")
        else:
            entry = self.catalogue.find(kind, settings.base_url, model)
        listed = entry if isinstance(entry, NoPrice) else entry.at(moment)
        reason = listed.reason if isinstance(listed, NoPrice) else ""
        price = None if isinstance(listed, NoPrice) else listed
        quote = Quote(price, "" if price is None else self.catalogue.source, reason, listed=price)
        if isinstance(entry, ListPrice):
            quote = quote._replace(listed_as=entry.name, entry=entry, span=entry.span(moment))
        if not found and settings is not None:
            quote = _with_charger(quote, charger(kind, settings.base_url))
        if found:
            quote = quote._replace(
                price=found[0].price(price), source=found[0].source, overrides=found
            )
        return quote
