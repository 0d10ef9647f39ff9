"""Reading what is exported, piece by piece: memory stays the same however much there is.

Every piece is a short transaction, so an export of hours never holds back the daemon's
checkpoints. What was written after the export began is left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from aigw.store.filters import Condition, Filters, joined
from aigw.store.queries import after
from aigw.store.reader import snapshot
from aigw.store.record_views import INTERCEPTIONS
from aigw.store.schema import SEARCHED, last_seq
from aigw.store.search import match_expression, matches_after
from aigw.store.selection import EVERYTHING, Bounds, time_bounds
from aigw.store.text_room import TEXT_AT_ONCE, parts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence

    from aigw.records import Record
    from aigw.store.view import Column, View

Rows: TypeAlias = "list[tuple[Any, ...]]"
T = TypeVar("T")

WINDOW = 8_192
"""Seqs looked at in one transaction: some milliseconds, and a few thousand rows in memory."""


_TEXT_LENGTHS = (
    "SELECT seq, sum(size) FROM ("  # noqa: S608 (our own names)
    + " UNION ALL ".join(
        f"SELECT interception_seq AS seq, length({column}) AS size FROM {table}"  # noqa: S608
        " WHERE interception_seq IN (SELECT value FROM json_each(?1))"
        for table, column in SEARCHED.items()
    )
    + ") GROUP BY seq"
)


def _silent(part: float) -> None:
    del part


@dataclass
class Reading:
    """The records or interceptions that pass the filters, oldest first. Read it once.

    Attributes:
        connection: a reader's, in autocommit mode.
        filters: for interceptions `since` and `until` mean when they started, and a text is that of
            any of their records.
        progress: called with the part that has been read, from 0 to 1.
        end: the last seq that was there at the start.
    """

    connection: sqlite3.Connection
    filters: Filters
    progress: Callable[[float], None] = _silent
    end: int = field(init=False)
    _begin: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        with snapshot(self.connection):
            self.end = last_seq(self.connection)

    def records(self) -> Iterator[list[Record]]:
        """The records in pieces, in the order of commit: those that `aigw logs` shows."""
        low = EVERYTHING.low
        for records, reach in after(self.connection, self.filters, low, end=self.end):
            yield records
            self._tell(reach)

    def interceptions(self, columns: Sequence[Column]) -> Iterator[Rows]:
        """The interceptions in pieces, as rows of columns of `v_interceptions`, times raw."""
        return self.completed(columns, WINDOW, lambda rows: rows)

    def completed(
        self, columns: Sequence[Column], window: int, complete: Callable[[Rows], T]
    ) -> Iterator[T]:
        """What `complete` makes of each piece, `window` seqs long at most.

        It is called within the piece's transaction, to read what belongs to the rows. Where `seq`
        is among the columns, a piece has no more text than `TEXT_AT_ONCE`, or one interception.
        """
        select = INTERCEPTIONS.select(columns, raw_times=True)
        for condition, reach in self._windows(window):
            where, values = joined([condition, *self._conditions()])
            with snapshot(self.connection):
                sql = f"{select} WHERE {where} ORDER BY i.seq"
                rows = self.connection.execute(sql, values).fetchall()
                first, *others = self._parts(columns, rows)
                found = complete(first)
            # Not within it: whoever takes this may be slow.
            yield found
            for part in others:
                with snapshot(self.connection):
                    found = complete(part)
                yield found
            self._tell(reach)

    def _parts(self, columns: Sequence[Column], rows: Rows) -> list[Rows]:
        """The rows in parts, at least one."""
        place = next((n for n, column in enumerate(columns) if column.name == "seq"), None)
        if place is None:
            return [rows]
        chosen = json.dumps([row[place] for row in rows])
        lengths = dict(self.connection.execute(_TEXT_LENGTHS, (chosen,)).fetchall())
        sizes = (lengths.get(row[place], 0) for row in rows)
        return [list(part) for part in parts(rows, sizes, TEXT_AT_ONCE)]

    def of_interceptions(self, view: View, columns: Sequence[Column], seqs: Sequence[int]) -> Rows:
        """Rows of another view that belong to these interceptions, in the order of writing."""
        sql = (
            f"{view.select(columns, raw_times=True)} WHERE t.interception_seq IN"  # noqa: S608
            " (SELECT value FROM json_each(?)) ORDER BY t.seq"
        )
        return self.connection.execute(sql, (json.dumps(seqs),)).fetchall()

    def _tell(self, reach: int) -> None:
        # From where the first piece ended: with `since`, that is far along.
        if self._begin is None:
            self._begin = reach
        self.progress(min(1.0, (reach - self._begin) / max(1, self.end - self._begin)))

    def _conditions(self) -> list[Condition]:
        filters = self.filters
        found = [filters.on_interception]
        if filters.since is not None:
            found.append(("i.started_at >= ?", [filters.since]))
        if filters.until is not None:
            found.append(("i.started_at < ?", [filters.until]))
        return [condition for condition in found if condition[0]]

    def _windows(self, size: int) -> Iterator[tuple[Condition, int]]:
        """Conditions that select all wanted interceptions, one piece each, and how far each reaches."""
        if self.filters.text is not None:
            yield from self._found_windows(match_expression(self.filters.text))
            return
        with snapshot(self.connection):
            bounds = time_bounds(
                self.connection, self.filters, Bounds(EVERYTHING.low, self.end + 1)
            )
            (first,) = self.connection.execute("SELECT min(seq) FROM interceptions").fetchone()
        low = max(bounds.low, (first or 0) - 1)
        while low < bounds.high - 1:
            high = min(low + size, bounds.high - 1)
            yield ("i.seq > ? AND i.seq <= ?", [low, high]), high
            low = high

    def _found_windows(self, expression: str) -> Iterator[tuple[Condition, int]]:
        """The same for those that a text was found in.

        They are ticked off in a list of all seqs, a byte each: 5 MB of a million interceptions.
        """
        (first,) = self.connection.execute("SELECT min(seq) FROM interceptions").fetchone()
        if first is None:
            return
        marks = bytearray(max(0, self.end - first + 1))
        for chunk in matches_after(self.connection, expression, EVERYTHING.low):
            for seq in self._owners(chunk):
                marks[seq - first] = 1
        part: list[int] = []
        position = marks.find(1)
        while position >= 0:
            part.append(position + first)
            position = marks.find(1, position + 1)
            if len(part) == WINDOW // 8 or position < 0:
                yield ("i.seq IN (SELECT value FROM json_each(?))", [json.dumps(part)]), part[-1]
                part = []

    def _owners(self, seqs: list[int]) -> list[int]:
        """The interceptions that these records belong to, but for those that came after the start."""
        chosen = json.dumps([seq for seq in seqs if seq <= self.end])
        sql = " UNION ".join(
            f"SELECT interception_seq FROM {table} WHERE seq IN (SELECT value FROM json_each(?1))"  # noqa: S608
            for table in SEARCHED
        )
        return [row[0] for row in self.connection.execute(sql, (chosen,))]
