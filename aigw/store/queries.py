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
from bisect import bisect_left
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING

from aigw.store.filters import Condition, Filters, joined
from aigw.store.reader import snapshot
from aigw.store.schema import SEARCHED, last_seq
from aigw.store.search import TextMatch, match_expression, matches_after, matching
from aigw.store.selection import EVERYTHING, Bounds, few_interceptions, time_bounds
from aigw.store.sources import SOURCES, Source
from aigw.store.text_room import TEXT_AT_ONCE, parts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from aigw.records import Record
    from aigw.store.rows import Row

WINDOW = 2_048
LARGEST_WINDOW = 16_384
"""How many seqs are read in one step where all is wanted: the window grows while it finds little."""

FETCHED = 512
"""Records fetched by seq in one step."""


def tail(
    connection: sqlite3.Connection, filters: Filters, limit: int, *, end: int | None = None
) -> Iterator[Record]:
    """The last `limit` matching records, oldest first; with 0 all of them, read piece by piece.

    Records after the seq `end` do not count, when it is given.

    Raises (while iterating):
        ValueError: `filters.text` holds no word.
    """
    if limit == 0:
        for records, _ in after(connection, filters, EVERYTHING.low, end=end):
            yield from records
        return
    with snapshot(connection):
        newest = _newest_seqs(connection, filters, limit, end)
        seqs = list(islice(newest, limit))
    for records, _ in _pieces(connection, filters, seqs[::-1]):
        yield from records


def after(
    connection: sqlite3.Connection, filters: Filters, seq: int, *, end: int | None = None
) -> Iterator[tuple[list[Record], int]]:
    """Matching records after `seq`, in pieces: (records in order, how far they reach).

    The last piece reaches to `end`, or to what was the store's last record at the call, so that
    following goes on from there; pieces may be empty. Records committed while iterating are left
    for the next call.
    """
    with snapshot(connection):
        end = last_seq(connection) if end is None else end
        bounds = time_bounds(connection, filters, Bounds(seq, end + 1))
        few = few_interceptions(connection, filters, bounds)
        chosen = None if few is None else _of_few(connection, filters, bounds, few)
        first = _first_seq(connection)
    if chosen is not None:
        yield from _pieces(connection, filters, chosen)
    elif filters.text is not None:
        yield from _found(connection, filters, bounds)
    else:
        yield from _windows(connection, filters, max(bounds.low, first - 1), bounds.high - 1)
    yield [], max(seq, end)


def _found(
    connection: sqlite3.Connection, filters: Filters, bounds: Bounds
) -> Iterator[tuple[list[Record], int]]:
    """The records with the text as the index gives them: of a common word there are millions."""
    assert filters.text is not None
    for chunk in matches_after(connection, match_expression(filters.text), bounds.low):
        inside = chunk[: bisect_left(chunk, bounds.high)]
        yield from _pieces(connection, filters, sorted(_passing(connection, filters, inside)))
        if len(inside) < len(chunk):
            return
        yield [], chunk[-1]


def _pieces(
    connection: sqlite3.Connection, filters: Filters, seqs: Sequence[int]
) -> Iterator[tuple[list[Record], int]]:
    """The records with these seqs in pieces, and how far each reaches."""
    for first in range(0, len(seqs), FETCHED):
        for part in _parts(connection, filters, seqs[first : first + FETCHED]):
            yield _fetch(connection, filters, part), part[-1]


def _windows(
    connection: sqlite3.Connection, filters: Filters, low: int, end: int
) -> Iterator[tuple[list[Record], int]]:
    size = WINDOW
    while low < end:
        with snapshot(connection):
            found, high = _window(connection, filters, Bounds(low, min(low + size, end) + 1))
        yield found, high
        low = high
        size = min(size * 2, LARGEST_WINDOW) if len(found) < WINDOW else WINDOW


def _window(
    connection: sqlite3.Connection, filters: Filters, bounds: Bounds
) -> tuple[list[Record], int]:
    """The records within the bounds, and how far they reach: less far where texts are long."""
    low, high = bounds.low, bounds.high
    found: list[tuple[int, Record]] = []
    for source in _wanted(filters):
        room = TEXT_AT_ONCE
        for seq, *values in _rows(connection, source, filters, Bounds(low, high)):
            record = source.make(tuple(values))
            found.append((seq, record))
            if source.table in SEARCHED:
                room -= len(getattr(record, SEARCHED[source.table]))
                if room < 0:
                    high = seq + 1
                    break
    found.sort(key=itemgetter(0))
    return [record for seq, record in found if seq < high], high - 1


def _of_few(
    connection: sqlite3.Connection, filters: Filters, bounds: Bounds, few: list[int]
) -> list[int]:
    """All matching seqs of a few interceptions."""
    if filters.text is None:
        return list(heapq.merge(*_per_source(connection, filters, bounds, few, "ASC")))
    return _matches_among(connection, filters, bounds, few, match_expression(filters.text))


def _newest_seqs(
    connection: sqlite3.Connection, filters: Filters, limit: int, end: int | None
) -> Iterator[int]:
    within = EVERYTHING if end is None else Bounds(EVERYTHING.low, end + 1)
    bounds = time_bounds(connection, filters, within)
    few = few_interceptions(connection, filters, bounds)
    if filters.text is None:
        found = _per_source(connection, filters, bounds, few, f"DESC LIMIT {limit}")
        yield from heapq.merge(*found, reverse=True)
        return
    expression = match_expression(filters.text)
    if few is not None:
        yield from reversed(_matches_among(connection, filters, bounds, few, expression))
        return
    for chunk in TextMatch(connection, expression).before(bounds.high):
        yield from sorted(_passing(connection, filters, chunk), reverse=True)
        if chunk[-1] <= bounds.low:
            return


def _matches_among(
    connection: sqlite3.Connection,
    filters: Filters,
    bounds: Bounds,
    few: list[int],
    expression: str,
) -> list[int]:
    """The seqs of those records of a few interceptions whose text matches: read, not looked up.

    A common word is in millions of other records, which the index would have to be walked through.
    """
    chosen = json.dumps(few)
    rows = (
        row
        for source in _wanted(filters)
        for row in _select(
            connection,
            source,
            f"{source.seq}, t.{SEARCHED[source.table]}",
            _of_interceptions(source, filters, bounds, chosen),
        )
    )
    return matching(rows, expression)


def _passing(
    connection: sqlite3.Connection, filters: Filters, seqs: Sequence[int]
) -> Iterator[int]:
    """Which of the seqs are of the wanted types and pass the other filters."""
    chosen = json.dumps(seqs)
    for source in _wanted(filters):
        condition = joined([_in_list(source.seq, chosen), *_conditions(source, filters)])
        for (seq,) in _select(connection, source, source.seq, condition):
            yield seq


def _per_source(
    connection: sqlite3.Connection,
    filters: Filters,
    bounds: Bounds,
    few: list[int] | None,
    order: str,
) -> list[Iterator[int]]:
    """For each wanted type the matching seqs, in the order that the end of an ORDER BY says."""
    chosen = None if few is None else json.dumps(few)
    found: list[Iterator[int]] = []
    for source in _wanted(filters):
        if chosen is None:
            condition = joined([_between(source.seq, bounds), *_conditions(source, filters)])
        else:
            condition = _of_interceptions(source, filters, bounds, chosen)
        ordering = f"ORDER BY {source.seq} {order}"
        rows = _select(connection, source, source.seq, condition, ordering)
        found.append(map(itemgetter(0), rows))
    return found


def _rows(
    connection: sqlite3.Connection, source: Source, filters: Filters, bounds: Bounds
) -> Iterable[Row]:
    condition = joined([_between(source.seq, bounds), *_conditions(source, filters)])
    columns = f"{source.seq}, {source.columns}"
    return _select(connection, source, columns, condition, f"ORDER BY {source.seq}")


def _parts(
    connection: sqlite3.Connection, filters: Filters, seqs: Sequence[int]
) -> Iterator[Sequence[int]]:
    """The seqs in order, in parts with no more text than there is room for, or one record."""
    chosen = json.dumps(seqs)
    lengths: dict[int, int] = {}
    for source in _wanted(filters):
        if source.table in SEARCHED:
            columns = f"{source.seq}, length(t.{SEARCHED[source.table]})"
            lengths.update(_select(connection, source, columns, _in_list(source.seq, chosen)))
    yield from parts(seqs, (lengths.get(seq, 0) for seq in seqs), TEXT_AT_ONCE)


def _fetch(connection: sqlite3.Connection, filters: Filters, seqs: Sequence[int]) -> list[Record]:
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


def _of_interceptions(source: Source, filters: Filters, bounds: Bounds, chosen: str) -> Condition:
    # The unary plus keeps SQLite from walking the table by seq: the index leads here.
    owner = "t.interception_seq" if source.is_child else "i.seq"
    return joined(
        [_in_list(owner, chosen), _between(f"+{source.seq}", bounds), _times(source, filters)]
    )


def _times(source: Source, filters: Filters) -> Condition:
    found: list[Condition] = [("1", [])]
    if filters.since is not None:
        found.append((f"{source.time} >= ?", [filters.since]))
    if filters.until is not None:
        found.append((f"{source.time} < ?", [filters.until]))
    return joined(found)


def _between(column: str, bounds: Bounds) -> Condition:
    return f"{column} > ? AND {column} < ?", [bounds.low, bounds.high]


def _in_list(column: str, chosen: str) -> Condition:
    return f"{column} IN (SELECT value FROM json_each(?))", [chosen]  # noqa: S608


def _first_seq(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT min(seq) FROM interceptions").fetchone()
    return row[0] or 0
