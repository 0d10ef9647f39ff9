"""One batch of records as one transaction, and the counters that go with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from aigw.records import (
    STOPPED_MESSAGE,
    STOPPED_TYPE,
    InterceptionEnd,
    InterceptionStart,
    Record,
    Status,
)
from aigw.store import rows
from aigw.store.linking import Linker
from aigw.store.schema import last_seq

_ORPHANS = """
SELECT i.id, i.seq, i.started_at, ifnull(sum(t.input_tokens), 0), ifnull(sum(t.output_tokens), 0),
  ifnull(sum(t.cache_read_input_tokens), 0), ifnull(sum(t.cache_write_input_tokens), 0),
  ifnull(sum(t.cost_micros), 0), count(*) FILTER (WHERE t.cost_basis = 'unpriced'),
  count(*) FILTER (WHERE t.cost_basis = 'estimated')
FROM interceptions AS i LEFT JOIN token_usages AS t ON t.interception_seq = i.seq
WHERE i.end_seq IS NULL GROUP BY i.seq ORDER BY i.seq
"""


class Transaction:
    """Writes batches on the one writing connection and hands out `seq` in commit order."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.records_written = 0
        self._connection = connection
        self._next = last_seq(connection) + 1
        # Interceptions begun and not ended: their children and their end need the start's seq.
        self._open: dict[str, int] = {}
        self._linker = Linker(connection)

    @property
    def open_count(self) -> int:
        """How many interceptions have begun and not ended."""
        return len(self._open)

    def write(self, records: Sequence[Record]) -> None:
        """Commit all records or none.

        Raises:
            sqlite3.Error: as SQLite says; nothing was written.
            OverflowError, UnicodeError: a record holds a value SQLite cannot store.
        """
        first = self._next
        opened: dict[str, int] = {}
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            tables, ends = self._rows(records, opened)
            for table, values in tables.items():
                rows.insert(connection, table, values)
            if ends:
                rows.close(connection, ends)
            connection.execute("COMMIT")
        except BaseException:
            self._next = first
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self.records_written += self._next - first
        self._open.update(opened)
        for record in records:
            if type(record) is InterceptionEnd:
                self._open.pop(record.interception_id, None)

    def _rows(
        self, records: Sequence[Record], opened: dict[str, int]
    ) -> tuple[dict[str, list[rows.Row]], list[rows.Row]]:
        # Parents first: a child's row refers to its interception's.
        tables: dict[str, list[rows.Row]] = {"interceptions": []}
        starts: list[tuple[int, InterceptionStart]] = []
        ends: list[rows.Row] = []
        seq = self._next
        for record in records:
            kind = type(record)
            if kind is InterceptionStart:
                assert isinstance(record, InterceptionStart)
                opened[record.interception_id] = seq
                starts.append((seq, record))
            else:
                parent = opened.get(record.interception_id) or self._open.get(
                    record.interception_id
                )
                if parent is None:
                    # Its start was never stored (fail open): there is nothing to attach it to.
                    continue
                if kind is InterceptionEnd:
                    assert isinstance(record, InterceptionEnd)
                    ends.append(rows.end_row(parent, seq, record))
                else:
                    table, row = rows.CHILD_ROWS[kind]
                    tables.setdefault(table, []).append(row(seq, parent, record))
            seq += 1
        tables["interceptions"] = [
            rows.start_row(*start, place)
            for start, place in zip(starts, self._linker.place(starts), strict=True)
        ]
        self._next = seq
        return tables, ends

    def end_orphans(self, now: int) -> list[Record]:
        """End what an earlier daemon left open when it was killed; returns the ends.

        Holding the daemon lock, no other process can have an interception running.
        """
        orphans = self._connection.execute(_ORPHANS).fetchall()
        self._open = {orphan[0]: orphan[1] for orphan in orphans}
        ends: list[Record] = [
            InterceptionEnd(
                interception_id=interception_id,
                ended_at=now,
                status=Status.ABORTED,
                error_type=STOPPED_TYPE,
                error_message=STOPPED_MESSAGE,
                duration_ms=max(0, now - started_at) // 1000,
                # What its answer yielded before the kill was paid for.
                input_tokens=sums[0],
                output_tokens=sums[1],
                cache_read_input_tokens=sums[2],
                cache_write_input_tokens=sums[3],
                cost_micros=sums[4],
                unpriced=sums[5],
                estimated=sums[6],
            )
            for interception_id, _, started_at, *sums in orphans
        ]
        self.write(ends)
        return ends
