"""The records of the store in commit order: the last ones, all of them, or those after a point.

Commit order is `seq`, over all tables. Three ways lead to the wanted records, whichever is cheap:

- nothing on the interception asked: the ends of the tables are read and merged;
- few interceptions match (a session, a rare model): their records, through the index of each table;
- many match: the ends of the tables again, each row's interception looked up.

A text is searched in the full-text index first, and the other filters are put to what it finds.
All functions read with short transactions: a slow consumer never holds back a checkpoint.
"""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from aigw.records import Record
from aigw.store.filters import Condition, Filters, joined
from aigw.store.reader import snapshot
from aigw.store.rows import Row
from aigw.store.schema import SEARCHED
from aigw.store.search import TextMatch
from aigw.store.sources import SOURCES, Source

FEW = 1_000
"""Up to this many matching interceptions are followed one by one: some milliseconds. More matches
than that lie so close together that reading from the end finds enough of them soon."""

CLOCK_SLACK = 600_000_000
"""Microseconds. A record's time precedes its commit by less than this, clock corrections included;
`since` and `until` may therefore skip what was committed well before or after."""

WINDOW = 512
LARGEST_WINDOW = 16_384
"""How many seqs are read in one step where all is wanted: the window grows while it finds little."""

FETCHED = 512
"""Records fetched by seq in one step."""


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Seqs strictly between `low` and `high` are considered."""

    low: int
    high: int


_ALL = _Bounds(-1, 1 << 62)


def last_seq(connection: sqlite3.Connection) -> int:
    """The highest seq handed out; 0 in a store without records."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'next_seq'").fetchone()
    return row[0] - 1 if row else 0


def tail(connection: sqlite3.Connection, filters: Filters, limit: int) -> Iterator[Record]:
    """The last `limit` matching records, oldest first; with 0 all of them, read piece by piece.

    Raises (while iterating):
        ValueError: `filters.text` holds no word.
    """
    if limit == 0:
        for records, _ in after(connection, filters, _ALL.low):
            yield from records
        return
    with snapshot(connection):
        seqs = list(islice(_newest_seqs(connection, filters, limit), limit))
    yield from _fetch_all(connection, filters, seqs[::-1])


def after(
    connection: sqlite3.Connection, filters: Filters, seq: int
) -> Iterator[tuple[list[Record], int]]:
    """Matching records after `seq`, in pieces: (records in order, how far they reach).

    The last piece reaches to what was the store's last record at the call, so that following goes
    on from there; pieces may be empty. Records committed while iterating are left for the next call.
    """
    with snapshot(connection):
        end = last_seq(connection)
        seqs = _selected_after(connection, filters, seq)
    if seqs is not None:
        for first in range(0, len(seqs), FETCHED):
            part = seqs[first : first + FETCHED]
            yield _fetch(connection, filters, part), part[-1]
        yield [], max(seq, end)
        return
    with snapshot(connection):
        low = max(seq, _time_bounds(connection, filters).low, _first_seq(connection) - 1)
    yield from _windows(connection, filters, low, end)
    yield [], max(seq, end)


def _windows(
    connection: sqlite3.Connection, filters: Filters, low: int, end: int
) -> Iterator[tuple[list[Record], int]]:
    size = WINDOW
    while low < end:
        high = min(low + size, end)
        bounds = _Bounds(low, high + 1)
        with snapshot(connection):
            found = [
                (row[0], source.make(row[1:]))
                for source in _wanted(filters)
                for row in _rows(connection, source, filters, bounds)
            ]
        found.sort(key=lambda pair: pair[0])
        yield [record for _, record in found], high
        low = high
        size = min(size * 2, LARGEST_WINDOW) if len(found) < WINDOW else WINDOW


def _selected_after(
    connection: sqlite3.Connection, filters: Filters, seq: int
) -> list[int] | None:
    """All matching seqs above `seq` where a search or a few interceptions lead to them."""
    bounds = _Bounds(max(seq, _time_bounds(connection, filters).low), _ALL.high)
    if filters.text is not None:
        chunks = TextMatch(connection, filters.text).after(bounds.low)
        return [s for chunk in chunks for s in sorted(_passing(connection, filters, chunk))]
    few = _few(connection, filters, bounds)
    if few is None:
        return None
    return list(heapq.merge(*_per_source(connection, filters, bounds, few, "ASC", -1)))


def _newest_seqs(
    connection: sqlite3.Connection, filters: Filters, limit: int
) -> Iterator[int]:
    bounds = _time_bounds(connection, filters)
    few = _few(connection, filters, bounds)
    if filters.text is not None:
        return _newest_matches(connection, filters, bounds, few)
    found = _per_source(connection, filters, bounds, few, "DESC", limit)
    return heapq.merge(*found, reverse=True)


def _newest_matches(
    connection: sqlite3.Connection, filters: Filters, bounds: _Bounds, few: list[int] | None
) -> Iterator[int]:
    assert filters.text is not None
    low = bounds.low
    if few is not None:
        # A record comes after its interception's start, so the first of them bounds the search.
        low = max(low, min(few, default=_ALL.high))
    for chunk in TextMatch(connection, filters.text).before(bounds.high):
        yield from sorted(_passing(connection, filters, chunk), reverse=True)
        if chunk[-1] <= low:
            return


def _passing(connection: sqlite3.Connection, filters: Filters, seqs: Sequence[int]) -> Iterator[int]:
    """Which of the seqs are of the wanted types and pass the other filters."""
    chosen = json.dumps(seqs)
    for source in _wanted(filters):
        condition = joined([_in_list(source.seq, chosen), *_conditions(source, filters)])
        for (seq,) in _select(connection, source, source.seq, condition):
            yield seq


def _per_source(
    connection: sqlite3.Connection,
    filters: Filters,
    bounds: _Bounds,
    few: list[int] | None,
    order: str,
    limit: int,
) -> list[Iterator[int]]:
    """For each wanted type the matching seqs in order; with a `limit` of -1 all."""
    chosen = None if few is None else json.dumps(few)
    return [
        _source_seqs(connection, source, filters, bounds, chosen, f"{order} LIMIT {limit}")
        for source in _wanted(filters)
    ]


def _source_seqs(
    connection: sqlite3.Connection,
    source: Source,
    filters: Filters,
    bounds: _Bounds,
    chosen: str | None,
    order: str,
) -> Iterator[int]:
    ordering = f"ORDER BY {source.seq} {order}"
    if chosen is None:
        condition = joined([_between(source.seq, bounds), *_conditions(source, filters)])
    else:
        # The unary plus keeps SQLite from walking the table by seq: the index leads here.
        owner = "t.interception_seq" if source.is_child else "i.seq"
        condition = joined(
            [_in_list(owner, chosen), _between(f"+{source.seq}", bounds), _times(source, filters)]
        )
    return (row[0] for row in _select(connection, source, source.seq, condition, ordering))


def _rows(
    connection: sqlite3.Connection, source: Source, filters: Filters, bounds: _Bounds
) -> Iterable[Row]:
    condition = joined([_between(source.seq, bounds), *_conditions(source, filters)])
    return _select(connection, source, f"{source.seq}, {source.columns}", condition)


def _fetch_all(
    connection: sqlite3.Connection, filters: Filters, seqs: Sequence[int]
) -> Iterator[Record]:
    for first in range(0, len(seqs), FETCHED):
        yield from _fetch(connection, filters, seqs[first : first + FETCHED])


def _fetch(
    connection: sqlite3.Connection, filters: Filters, seqs: Sequence[int]
) -> list[Record]:
    """The records with these seqs, in order; those pruned in the meantime are left out."""
    chosen = json.dumps(seqs)
    found: dict[int, Record] = {}
    with snapshot(connection):
        for source in _wanted(filters):
            columns = f"{source.seq}, {source.columns}"
            for row in _select(connection, source, columns, _in_list(source.seq, chosen)):
                found[row[0]] = source.make(row[1:])
    return [found[seq] for seq in seqs if seq in found]


def _select(
    connection: sqlite3.Connection,
    source: Source,
    columns: str,
    condition: Condition,
    ordering: str = "",
) -> Iterator[Row]:
    origin = "interceptions AS i"
    if source.is_child:
        # CROSS JOIN: SQLite keeps this order, the child's rows first.
        origin = f"{source.table} AS t CROSS JOIN interceptions AS i ON i.seq = t.interception_seq"
    where, values = condition
    sql = f"SELECT {columns} FROM {origin} WHERE {where} {ordering}"  # noqa: S608 (our own names)
    return connection.execute(sql, values)


def _wanted(filters: Filters) -> list[Source]:
    return [
        source
        for source in SOURCES
        if source.kind in filters.types and (filters.text is None or source.table in SEARCHED)
    ]


def _conditions(source: Source, filters: Filters) -> list[Condition]:
    return [c for c in (filters.on_interception, _times(source, filters)) if c[0]]


def _times(source: Source, filters: Filters) -> Condition:
    found: list[Condition] = [("1", [])]
    if filters.since is not None:
        found.append((f"{source.time} >= ?", [filters.since]))
    if filters.until is not None:
        found.append((f"{source.time} < ?", [filters.until]))
    return joined(found)


def _between(column: str, bounds: _Bounds) -> Condition:
    return f"{column} > ? AND {column} < ?", [bounds.low, bounds.high]


def _in_list(column: str, chosen: str) -> Condition:
    return f"{column} IN (SELECT value FROM json_each(?))", [chosen]


def _few(
    connection: sqlite3.Connection, filters: Filters, bounds: _Bounds
) -> list[int] | None:
    """The matching interceptions when they are few; None when they are many or all."""
    where, values = filters.on_interception
    if not where:
        return None
    rows = connection.execute(
        f"SELECT i.seq FROM interceptions AS i WHERE {where} AND i.seq < ?"  # noqa: S608
        " ORDER BY i.seq DESC LIMIT ?",
        [*values, bounds.high, FEW + 1],
    ).fetchall()
    return [row[0] for row in rows] if len(rows) <= FEW else None


def _first_seq(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT min(seq) FROM interceptions").fetchone()
    return row[0] or 0


def _time_bounds(connection: sqlite3.Connection, filters: Filters) -> _Bounds:
    """Seqs that records of the wanted times lie between.

    Interceptions are committed as they start, so the neighbour of the first one after `since` was
    committed before it, and all records before that neighbour too.
    """
    low, high = _ALL.low, _ALL.high
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
            _ALL.high if first is None else first,
        )
        low = _ALL.low if before is None else before - 1
    if filters.until is not None:
        last = _one(
            connection,
            "SELECT max(seq) FROM interceptions INDEXED BY interceptions_started_at"
            " WHERE started_at < ?",
            filters.until + CLOCK_SLACK,
        )
        following = _one(
            connection, "SELECT min(seq) FROM interceptions WHERE seq > ?", last or _ALL.low
        )
        high = _ALL.high if following is None else following
    return _Bounds(low, high)


def _one(connection: sqlite3.Connection, sql: str, value: int) -> Any:
    return connection.execute(sql, (value,)).fetchone()[0]
