"""Narrowing a read down before it begins: by time, and to a few interceptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aigw.store.occurrence import occurs

if TYPE_CHECKING:
    import sqlite3

    from aigw.store.filters import Filters

FEW = 1_000
"""Up to this many matching interceptions are followed one by one: some milliseconds. More matches
than that lie so close together that reading from the end finds enough of them soon."""

NARROW = 20_000
"""In so short a stretch of seqs every record is looked at sooner than a selection is made. So a
follower's looks at a few new records stay cheap whatever the filters are."""

CLOCK_SLACK = 600_000_000
"""Microseconds. A record's time precedes its commit by less than this, clock corrections included;
`since` and `until` may therefore skip what was committed well before or after."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seqs strictly between `low` and `high` are considered."""

    low: int
    high: int


EVERYTHING = Bounds(-1, 1 << 62)


def few_interceptions(
    connection: sqlite3.Connection, filters: Filters, bounds: Bounds
) -> list[int] | None:
    """The seqs of the matching interceptions when they are few; None when they are many or all."""
    where, values = filters.on_interception
    if not where or bounds.high - bounds.low <= NARROW:
        return None
    if not occurs(connection, filters.on_quarter, (where, values)):
        return []
    rows = connection.execute(
        f"SELECT i.seq FROM interceptions AS i WHERE {where} AND i.seq < ?"  # noqa: S608
        " ORDER BY i.seq DESC LIMIT ?",
        [*values, bounds.high, FEW + 1],
    ).fetchall()
    return [row[0] for row in rows] if len(rows) <= FEW else None


def time_bounds(connection: sqlite3.Connection, filters: Filters, within: Bounds) -> Bounds:
    """Seqs that records of the wanted times lie between, `within` others.

    Interceptions are committed as they start, so the neighbour of the first one after `since` was
    committed before it, and all records before that neighbour too.
    """
    if within.high - within.low <= NARROW:
        return within
    low, high = EVERYTHING.low, EVERYTHING.high
    if filters.since is not None:
        # INDEXED BY: for min() SQLite would rather walk the table from its oldest row.
        first = _one(
            connection,
            "SELECT min(seq) FROM interceptions INDEXED BY interceptions_started_at"
            " WHERE started_at >= ?",
            filters.since - CLOCK_SLACK,
        )
        before = _one(
            connection,
            "SELECT max(seq) FROM interceptions WHERE seq < ?",
            EVERYTHING.high if first is None else first,
        )
        low = EVERYTHING.low if before is None else before - 1
    if filters.until is not None:
        last = _one(
            connection,
            "SELECT max(seq) FROM interceptions INDEXED BY interceptions_started_at"
            " WHERE started_at < ?",
            filters.until + CLOCK_SLACK,
        )
        following = _one(
            connection,
            "SELECT min(seq) FROM interceptions WHERE seq > ?",
            EVERYTHING.low if last is None else last,
        )
        high = EVERYTHING.high if following is None else following
    return Bounds(max(low, within.low), min(high, within.high))


def _one(connection: sqlite3.Connection, sql: str, value: int) -> int | None:
    found: int | None = connection.execute(sql, (value,)).fetchone()[0]
    return found
