"""Prices that somebody has set or imported: the table `model_prices`.

`price_changes` writes them. Each change raises `prices_version` in `meta`, in its own transaction: a
running daemon looks at that number and reads the prices anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


class PriceSource(StrEnum):
    """How a price came into the table."""

    SET = "set"
    IMPORT = "import"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPrice:
    """A row. Prices are in micro-dollars per million tokens, None: not given; times in microseconds.

    `provider` is a configured provider's name or a type, empty for any. `model` may contain `*`.
    """

    provider: str
    model: str
    input_price: int | None = None
    output_price: int | None = None
    cache_read_price: int | None = None
    cache_write_price: int | None = None
    cache_write_1h_price: int | None = None
    source: PriceSource
    updated_at: int


PRICE_COLUMNS = (
    "provider, model, input_price, output_price, cache_read_price, cache_write_price,"
    " cache_write_1h_price, source, updated_at"
)


def prices_version(connection: sqlite3.Connection) -> int:
    """A number that grows with every change to the prices; 0 before the first."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'prices_version'").fetchone()
    return 0 if row is None else int(row[0])


def read_prices(connection: sqlite3.Connection) -> list[StoredPrice]:
    """All prices, by provider and model.

    Raises:
        sqlite3.Error: as SQLite says.
        ValueError: a row was not written by aigw.
    """
    query = f"SELECT {PRICE_COLUMNS} FROM model_prices ORDER BY provider, model"  # noqa: S608 (our own names)
    return [
        StoredPrice(
            provider=row[0],
            model=row[1],
            input_price=row[2],
            output_price=row[3],
            cache_read_price=row[4],
            cache_write_price=row[5],
            cache_write_1h_price=row[6],
            source=PriceSource(row[7]),
            updated_at=row[8],
        )
        for row in connection.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class SeenModel:
    """A model that a configured provider was asked for, and how often.

    `unpriced` counts responses whose price was not known when they were recorded.
    """

    provider: str
    model: str
    requests: int
    unpriced: int


def seen_models(connection: sqlite3.Connection) -> list[SeenModel]:
    """The models in the store, the most asked for first.

    The sums by quarters of an hour are read, and after them what upkeep has not summed up yet.
    """
    rows = connection.execute(_SEEN)
    return [SeenModel(*row) for row in rows]


_SEEN = """
WITH seen (provider_name, model, requests, unpriced) AS (
  SELECT provider_name, model, requests, unpriced FROM usage_quarters
  UNION ALL
  SELECT provider_name, model, 1, ifnull(unpriced, 0) FROM interceptions
  WHERE end_seq IS NULL OR end_seq > (SELECT value FROM meta WHERE key = 'rolled_seq')
)
SELECT provider_name, model, sum(requests), sum(unpriced) FROM seen WHERE model != ''
GROUP BY provider_name, model ORDER BY sum(requests) DESC, provider_name, model
"""
