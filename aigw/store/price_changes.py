"""Setting, unsetting and importing prices: what `aigw prices` does to the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aigw.errors import StoreError
from aigw.store.changes import changing
from aigw.store.prices import PRICE_COLUMNS, PriceSource, StoredPrice, read_prices
from aigw.store.reader import NoDatabase, reading

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path


class Imported(NamedTuple):
    """What an import wrote, and what it left: prices that were set by hand go before imported ones."""

    written: int
    kept: list[StoredPrice]


def list_prices(path: Path) -> list[StoredPrice]:
    """All prices; none where there is no database.

    Raises:
        StoreError: the database cannot be read.
    """
    try:
        with reading(path) as connection:
            return read_prices(connection)
    except NoDatabase:
        return []


def set_price(path: Path, price: StoredPrice) -> StoredPrice | None:
    """Set a price; returns the one it replaces. The database is made where there is none.

    Raises:
        StoreError: the database cannot be written.
    """
    with changing(path) as connection:
        before = _find(connection, price.provider, price.model)
        _write(connection, [price])
    return before


def unset_price(path: Path, provider: str, model: str) -> StoredPrice:
    """Forget a price, set or imported.

    Raises:
        StoreError: there is none for just this provider and model, or the database cannot be written.
    """
    with changing(path) as connection:
        found = _find(connection, provider, model)
        if found is None:
            raise StoreError(_missing(connection, provider, model))
        connection.execute(
            "DELETE FROM model_prices WHERE provider = ? AND model = ?",
            (found.provider, found.model),
        )
        _raise_version(connection)
    return found


def import_prices(path: Path, prices: Sequence[StoredPrice]) -> Imported:
    """Write prices, all or none, but not over those set by hand.

    Raises:
        StoreError: the database cannot be written.
    """
    with changing(path) as connection:
        by_hand = {
            (price.provider, price.model.casefold()): price
            for price in read_prices(connection)
            if price.source is PriceSource.SET
        }
        kept: list[StoredPrice] = []
        new: list[StoredPrice] = []
        for price in prices:
            own = by_hand.get((price.provider, price.model.casefold()))
            (new if own is None else kept).append(own or price)
        _write(connection, new)
    return Imported(len(new), kept)


def _write(connection: sqlite3.Connection, prices: Sequence[StoredPrice]) -> None:
    # Upper and lower case are the same model, so there is never a price for each. SQLite's NOCASE
    # knows ASCII only, and would go through the whole table for each price, while the daemon waits.
    new = {(price.provider, price.model.casefold()) for price in prices}
    others = [p for p in read_prices(connection) if (p.provider, p.model.casefold()) in new]
    connection.executemany(
        "DELETE FROM model_prices WHERE provider = ? AND model = ?",
        [(other.provider, other.model) for other in others],
    )
    connection.executemany(
        f"INSERT INTO model_prices ({PRICE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (our own names)
        [
            (
                price.provider, price.model, price.input_price, price.output_price,
                price.cache_read_price, price.cache_write_price, price.cache_write_1h_price,
                price.source, price.updated_at,
            )
            for price in prices
        ],
    )  # fmt: skip
    _raise_version(connection)


def _find(connection: sqlite3.Connection, provider: str, model: str) -> StoredPrice | None:
    wanted = (provider, model.casefold())
    prices = read_prices(connection)
    return next((p for p in prices if (p.provider, p.model.casefold()) == wanted), None)


def _missing(connection: sqlite3.Connection, provider: str, model: str) -> str:
    others = [p for p in read_prices(connection) if p.model.casefold() == model.casefold()]
    where = f" for provider {provider!r}" if provider else ""
    message = f"no price is set for {model!r}{where}"
    if not others:
        return f"{message}: `aigw prices list` shows those that are."
    names = ", ".join(f"--provider {p.provider!r}" if p.provider else "no provider" for p in others)
    return f"{message}, but there is one with {names}."


def _raise_version(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('prices_version', 1)"
        " ON CONFLICT (key) DO UPDATE SET value = value + 1"
    )
