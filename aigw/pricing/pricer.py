"""What the recorder asks for costs: in memory, and never much behind the store.

A price is looked up once for a provider and model, and kept. Whether prices were set, imported or
refreshed meanwhile is a look at one number and at one file's date, some twenty microseconds, when
somebody asks and the last look is a second old.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aigw import clock
from aigw.errors import AigwError, StoreError
from aigw.price_settings import PriceSettings
from aigw.pricing.catalogue import Catalogue, load_catalogue
from aigw.pricing.cost import UNPRICED, Cost
from aigw.pricing.overrides import Override, configured, stored
from aigw.pricing.price import MOST_MICROS, Price, Rates, cost_micros, lacking, most_micros
from aigw.pricing.price_list import PriceList, Quote
from aigw.pricing.refresh import read_refreshed, refreshed_path
from aigw.provider_settings import ProviderSettings
from aigw.store.prices import prices_version, read_prices
from aigw.store.reader import open_reader, snapshot
from aigw.wire.facts import RequestFacts, UsageFact

if TYPE_CHECKING:
    from aigw.records import InterceptionStart

_log = logging.getLogger("aigw.prices")

CHECK_SECONDS = 1.0
"""How long a new price may take to count. Who sets one looks at the next request, not at this one."""

STARTING_PATIENCE = 5.0
"""Seconds that the first read may wait for a lock. Later ones, on the event loop, wait for none."""

MOST_QUOTES = 2000
"""Prices kept. Model names are the clients' choice: whoever sends a new one each time costs a look in
the price list and no memory."""


_RESERVED = Price(rates=Rates(input=15_000_000, output=75_000_000))
"""Reserved for where only the answer will tell what is charged (OpenRouter's `:nitro`): the price of
Claude Opus 4.1, the dearest model in common use."""


class _Stamp(NamedTuple):
    """Tells one version of a file from another."""

    modified_at: int
    size: int
    inode: int


class Pricer:
    """Implements `recorder.Pricing`. Create it, `load` it in a thread, `open` it, use it on one thread.

    Args:
        path: the database, which exists at the current schema.
        providers: what the settings say of every provider, by name.
        prices: the configuration's own.
        monotonic: the clock, in seconds, by which looks are due.
    """

    def __init__(
        self,
        path: Path,
        providers: Mapping[str, ProviderSettings],
        prices: Sequence[PriceSettings] = (),
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._monotonic = monotonic
        self._connection: sqlite3.Connection | None = None
        self._version: int | None = None
        self._stored: list[Override] = []
        self._configured = configured(prices)
        self._providers = providers
        self._catalogue = Catalogue((), "", "the price list is not loaded")
        self._loaded: Catalogue | None = None
        self._loading: threading.Thread | None = None
        self._stamp: _Stamp | None = None
        self._looked_at = 0.0
        self._failing = False
        self._stumbled = False
        self._quotes: dict[tuple[str, str], Quote] = {}
        self._list = PriceList(providers, [], self._catalogue)

    def load(self) -> None:
        """Load the list prices, which takes a quarter of a second: in a thread, before listening."""
        self._stamp = self._file_stamp()
        self._loaded = _load(self._path)

    def open(self) -> None:
        """Read the prices of the store for the first time.

        Raises:
            StoreError: they cannot be read.
        """
        try:
            self._look(STARTING_PATIENCE)
        except (sqlite3.Error, ValueError) as error:
            self.close()
            raise StoreError(f"cannot read the prices in {self._path}: {error}") from error

    def close(self) -> None:
        """Give the connection back. A load that still runs is let go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def use(
        self, providers: Mapping[str, ProviderSettings], prices: Sequence[PriceSettings]
    ) -> None:
        """Go by a reloaded configuration."""
        self._providers = providers
        self._configured = configured(prices)
        self._renew()

    def cost(self, start: InterceptionStart, usage: UsageFact) -> Cost:
        """The cost of one response. Never raises, and never waits."""
        try:
            self._refresh()
            model = usage.model or start.model
            quote = self._quote(start.provider_name, model, start.started_at)
            window = None if quote.price is None else quote.price.context_window
            if quote.charger and usage.charged_micros is not None:
                return Cost(min(usage.charged_micros, MOST_MICROS), quote.charger, window)
            micros = None if quote.price is None else cost_micros(quote.price, usage)
            return Cost(micros, "" if micros is None else quote.source, window)
        except Exception:  # noqa: BLE001 (whatever it is, the request goes on)
            # A fault here costs the figure, not the record.
            if not self._stumbled:
                self._stumbled = True
                _log.exception("a response's cost could not be worked out: it is unpriced")
            return UNPRICED

    def estimate_micros(
        self,
        provider_name: str,
        model: str,
        input_tokens: int,
        output_tokens: int,
        facts: RequestFacts,
        calls: Mapping[str, int] = {},
    ) -> int | None:
        """The most that a request may cost with so many tokens and calls now; None where there is no price.

        Never raises, and never waits: what budgets reserve for a request.
        """
        try:
            self._refresh()
            quote = self._quote(provider_name, model, clock.now())
            price = quote.price
            if price is None and quote.charger:
                price = _RESERVED
            if price is None:
                return None
            return most_micros(
                price,
                input_tokens,
                output_tokens,
                facts.service_tier,
                keeps_for_hour=facts.keeps_for_hour,
                calls=calls,
            )
        except Exception:  # noqa: BLE001 (a request is not refused for it)
            return None

    def lacking(self, provider_name: str, model: str, facts: RequestFacts) -> str | None:
        """What of a request has no price, as `price.lacking` says it; None where all has one.

        Never raises, and never waits. What cannot be found out has none.
        """
        try:
            self._refresh()
            quote = self._quote(provider_name, model, clock.now())
            if quote.price is None:
                return ""
            if quote.charger:
                # The answer will say what tools and classes of service came to.
                return lacking(quote.price, "", ())
            return lacking(quote.price, facts.service_tier, facts.server_tools())
        except Exception:  # noqa: BLE001 (it is not known then what the request would cost)
            return ""

    def _quote(self, provider_name: str, model: str, at: int) -> Quote:
        key = (provider_name, model)
        found = self._quotes.get(key)
        if found is not None and found.holds_at(at):
            return found
        if len(self._quotes) >= MOST_QUOTES:
            self._quotes.clear()
        self._quotes[key] = found = self._list.quote(*key, at)
        return found

    def _renew(self) -> None:
        self._quotes.clear()
        overrides = [*self._configured, *self._stored]
        self._list = PriceList(self._providers, overrides, self._catalogue)

    def _refresh(self) -> None:
        """Look for changes when that is due."""
        if self._monotonic() - self._looked_at < CHECK_SECONDS:
            return
        try:
            self._look(0.0)
        except (sqlite3.Error, StoreError, ValueError) as error:
            self.close()
            if not self._failing:
                self._failing = True
                _log.warning("cannot read the prices, those known stay in force: %s", error)
            return
        if self._failing:
            self._failing = False
            _log.info("the prices can be read again")

    def _look(self, patience: float) -> None:
        self._looked_at = self._monotonic()
        self._take_loaded()
        if self._connection is None:
            self._connection = open_reader(self._path, patience=patience)
            self._connection.execute("PRAGMA busy_timeout = 0")
        connection = self._connection
        if prices_version(connection) == self._version:
            return
        with snapshot(connection):
            self._version = prices_version(connection)
            self._stored = stored(read_prices(connection))
        self._renew()

    def _take_loaded(self) -> None:
        """Go by list prices that have been loaded, and have new ones loaded where the file changed."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            self._catalogue = loaded
            self._renew()
        if self._loading is not None and self._loading.is_alive():
            return
        stamp = self._file_stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            self._loading = threading.Thread(target=self._load, name="prices", daemon=True)
            self._loading.start()

    def _load(self) -> None:
        self._loaded = _load(self._path)
        _log.info("list prices are now those of %s", self._loaded.source or "nobody")

    def _file_stamp(self) -> _Stamp | None:
        try:
            found = refreshed_path(self._path).stat()
        except OSError:
            return None
        return _Stamp(found.st_mtime_ns, found.st_size, found.st_ino)


def _load(path: Path) -> Catalogue:
    """The refreshed catalogue, or the package's where there is none or it is unusable."""
    try:
        refreshed = read_refreshed(path)
    except AigwError as error:
        _log.warning("%s", error)
        refreshed = None
    catalogue = load_catalogue(refreshed)
    if catalogue.missing:
        _log.warning("costs are not known: %s", catalogue.missing)
    return catalogue
