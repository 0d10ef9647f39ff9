"""The prices that a configuration file lists: `[[prices]]` tables, read and judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigw.given import Origin, ValueReader
from aigw.options import nearest
from aigw.price_settings import HIGHEST_RATE, LONGEST_PATTERN, RATE_KEYS, PriceSettings
from aigw.provider_types import PROVIDER_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aigw.config_file import ConfigFile, ListedTable
    from aigw.provider_settings import ProviderSettings

_SUSPICIOUS = 1000
"""A tenth of a cent per million tokens: below what any provider asks, so dollars may be meant."""


def resolve_prices(
    file: ConfigFile | None, providers: Iterable[ProviderSettings], reader: ValueReader
) -> tuple[PriceSettings, ...]:
    """All prices of the file, in its order; what is wrong with them is in the reader's problems."""
    if file is None:
        return ()
    known = {*PROVIDER_TYPES, *(provider.name for provider in providers)}
    prices = []
    first: dict[tuple[str, str], str] = {}
    for table in file.prices:
        price = _Table(file, table, known, reader).read()
        if price is None:
            continue
        place = file.table_place(table)
        other = first.setdefault((price.provider, price.model.casefold()), place)
        if other != place:
            reader.problems.append(
                f"{place}: there is a price for {price.model!r} already at {other}: keep one"
            )
        prices.append(price)
    return tuple(prices)


class _Table:
    """One entry of the list."""

    def __init__(
        self, file: ConfigFile, table: ListedTable, providers: set[str], reader: ValueReader
    ) -> None:
        self._file = file
        self._table = table
        self._providers = providers
        self._reader = reader
        self._is_good = True

    def read(self) -> PriceSettings | None:
        """The price; None after a problem."""
        model = self._text("model")
        if not model and "model" not in self._table.entries:
            self._refuse("", "says no model: add `model = ...`, in which * stands for any text")
        provider = self._text("provider")
        if provider and provider not in self._providers:
            near = nearest(provider, self._providers)
            self._refuse("provider", f"{provider!r} is no provider's name or type{near}")
        rates = {name: self._rate(name) for name in RATE_KEYS}
        if self._is_good and rates["input"] is None and rates["output"] is None:
            self._refuse(
                "", "has neither `input` nor `output`, in micro-dollars per million tokens"
            )
        if not self._is_good:
            return None
        origin = str(Origin("file", f"{self._file.path}:{self._table.key}"))
        return PriceSettings(model=model, provider=provider, origin=origin, **rates)

    def _text(self, key: str) -> str:
        if key not in self._table.entries:
            return ""
        value = self._table.entries[key].value
        if not isinstance(value, str):
            self._refuse(key, "must be text: put it in quotes")
            return ""
        if not value.strip() and key == "provider":
            return ""
        if (
            not value.isprintable()
            or value != value.strip()
            or not 1 <= len(value) <= LONGEST_PATTERN
        ):
            self._refuse(
                key, f"use 1 to {LONGEST_PATTERN} visible characters, no space at either end"
            )
        return value

    def _rate(self, key: str) -> int | None:
        if key not in self._table.entries:
            return None
        value = self._table.entries[key].value
        if isinstance(value, float) or (isinstance(value, str) and value.strip()):
            self._refuse(
                key,
                f"{value!r} is no whole number: prices are in micro-dollars per million tokens, "
                "so $3.00 is 3000000",
            )
        elif isinstance(value, bool) or not isinstance(value, int):
            self._refuse(key, "must be a whole number of micro-dollars per million tokens")
        elif not 0 <= value <= HIGHEST_RATE:
            self._refuse(
                key, f"must be from 0 to {HIGHEST_RATE}, in micro-dollars per million tokens"
            )
        else:
            if 0 < value < _SUSPICIOUS:
                self._reader.warnings.append(
                    f"{self._place(key)}: {value} micro-dollars per million tokens are "
                    f"${value / 1_000_000:.6f}; if dollars are meant, write {value * 1_000_000}"
                )
            return value
        return None

    def _refuse(self, key: str, problem: str) -> None:
        self._is_good = False
        self._reader.problems.append(f"{self._place(key)}: {problem}")

    def _place(self, key: str) -> str:
        return self._file.table_place(self._table, key)
