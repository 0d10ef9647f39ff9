"""Which sessions match a query: counted, and a page of them, at the least cost.

Filters on interceptions have no index of their own. Three ways lead to the sessions:

- the sums per quarter of an hour (`usage_quarters`) say that the wanted kind is rare: the
  interceptions of the quarters in which it occurs are read;
- few sessions come into question (one user's, the last day's), or a page without a count fills up
  soon: each session's interceptions are looked at, from the newest session on;
- else all interceptions are read once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from aigw.store.filters import RUNNING, Condition, Filters, joined, may_be_family, named
from aigw.store.rollup import QUARTER, rolled_seq
from aigw.store.selection import EVERYTHING, time_bounds
from aigw.store.session_text import RARE, TextSessions

if TYPE_CHECKING:
    import sqlite3

    from aigw.store.session_query import SessionQuery

WALKED = 5_000
"""Sessions whose interceptions are looked at one by one: some 80 ms. Reading all interceptions of a
large store takes longer, and in nearly every store a page is full before that."""

NARROWED = 50_000
"""Interceptions read through the index of their times: as long as reading some 200,000 in a row."""

Place: TypeAlias = tuple[int, str]
"""Where a session stands in the order: its last activity, and its id."""

_STATUS_SUMS = {
    "failed": "q.errors > 0",
    "aborted": "q.aborted > 0",
    "completed": "q.requests > q.errors + q.aborted",
}

FIRST_BATCH = 200
"""Sessions searched for a common text at first: enough for a page, in some 20 ms."""

SEARCHED_FIRST = 1_000
"""Sessions searched for a page without a count, where so many records at least hold the text, before
all of those are looked at: some 100 ms."""

_ORDER = "ORDER BY s.last_active_at DESC, s.id DESC"


class Matches:
    """The sessions that match, by their `seq`. All reads are in the transaction of the caller.

    Args:
        connection: reads.
        on_session: the conditions on the session's own row, alias `s`.
        query: says the rest.
    """

    def __init__(
        self, connection: sqlite3.Connection, on_session: Condition, query: SessionQuery
    ) -> None:
        self._connection = connection
        self._on_session = on_session
        self._query = query
        self._on_interception = _on_interception(query)
        self._text: TextSessions | None = None
        if query.text is not None:
            self._text = TextSessions(connection, query.text, self._on_interception)
        self._few: bool | None = None
        self._is_narrowed = False
        self._all: list[int] | None = None

    def count(self) -> int:
        """How many sessions match."""
        condition = self._condition()
        if self._all is not None and self._on_session == ("1", []):
            return len(self._all)
        return self._count(condition)

    def page(self, after: Place | None, offset: int, limit: int) -> list[int]:
        """The sessions after a place in the order, the last active first."""
        text = self._text
        if text is not None and not self._is_narrowed and text.all(SEARCHED_FIRST) is None:
            found, is_page = self._walk_text(text, after, offset, limit, SEARCHED_FIRST)
            if is_page:
                return found
        self._narrow()
        if self._all is None:
            if text is not None:
                return self._walk_text(text, after, offset, limit)[0]
            if self._on_interception[0] and not self._are_few():
                found = self._walk(after, offset, limit)
                if len(found) == limit:
                    return found
        condition = joined([self._condition(), _following(after)])
        return [row[0] for row in self._rows(condition, offset, limit)]

    def _condition(self) -> Condition:
        """All of the query as a condition on `s`."""
        self._narrow()
        if self._all is None:
            if self._text is not None:
                self._all = self._text.all() or []
            elif not self._on_interception[0]:
                return self._on_session
            elif self._are_few():
                return joined([self._on_session, self._exists()])
            else:
                self._all = self._read_all()
        chosen = "s.seq IN (SELECT value FROM json_each(?))"
        return joined([(chosen, [json.dumps(self._all)]), self._on_session])

    def _narrow(self) -> None:
        """Find all that match, where they are found soon."""
        if self._is_narrowed:
            return
        self._is_narrowed = True
        found = self._rare() if self._on_interception[0] else None
        if self._text is not None:
            found = self._text.all(RARE) if found is None else list(self._text.among(found))
        self._all = found

    def _exists(self) -> Condition:
        where, values = self._on_interception
        # INDEXED BY: of a status SQLite may think that its own index leads there sooner.
        sql = (
            "EXISTS (SELECT 1 FROM interceptions AS i INDEXED BY interceptions_session_seq"  # noqa: S608
            f" WHERE i.session_seq = s.seq AND {where})"
        )
        return sql, values

    def _are_few(self) -> bool:
        """Whether few sessions come into question before interceptions are looked at."""
        if self._few is None:
            where, values = self._on_session
            sql = f"SELECT 1 FROM sessions AS s WHERE {where} LIMIT {WALKED + 1}"  # noqa: S608
            self._few = self._count((sql, values), is_select=True) <= WALKED
        return self._few

    def _walk(self, after: Place | None, offset: int, limit: int) -> list[int]:
        """As much of the page as the newest sessions that come into question yield."""
        where, values = joined([self._on_session, _following(after)])
        exists, wanted = self._exists()
        return self._seqs(
            "SELECT s.seq FROM (SELECT s.seq, s.last_active_at, s.id FROM sessions AS s"  # noqa: S608
            f" WHERE {where} {_ORDER} LIMIT {WALKED}) AS s WHERE {exists} {_ORDER} LIMIT ? OFFSET ?",
            [*values, *wanted, limit, offset],
        )

    def _walk_text(
        self,
        text: TextSessions,
        after: Place | None,
        offset: int,
        limit: int,
        most: int | None = None,
    ) -> tuple[list[int], bool]:
        """The page, from the newest sessions on: the text is common, so most have it.

        With `most`, so many sessions are searched; whether that made the whole page.
        """
        found: list[int] = []
        size, searched = max(FIRST_BATCH, offset + limit), 0
        while len(found) < offset + limit:
            if most is not None and searched + size > most:
                return [], False
            batch = self._rows(joined([self._on_session, _following(after)]), 0, size)
            having = text.among([row[0] for row in batch])
            found += [row[0] for row in batch if row[0] in having]
            if len(batch) < size:
                break
            after = batch[-1][1], batch[-1][2]
            searched += size
            size = max(size, min(2 * size, WALKED))
        return found[offset : offset + limit], True

    def _rows(self, condition: Condition, offset: int, limit: int) -> list[tuple[int, int, str]]:
        """Key and place of sessions, the last active first."""
        where, values = condition
        return self._connection.execute(
            f"SELECT s.seq, s.last_active_at, s.id FROM sessions AS s WHERE {where} {_ORDER}"  # noqa: S608
            " LIMIT ? OFFSET ?",
            [*values, limit, offset],
        ).fetchall()

    def _read_all(self) -> list[int]:
        """Every session with an interception that matches.

        Those of sessions that began at a time were written after it.
        """
        after = time_bounds(self._connection, Filters(since=self._query.started_after), EVERYTHING)
        where, values = joined([("i.seq > ?", [after.low]), self._on_interception])
        # NOT INDEXED: SQLite would go by session, one look into the table for each interception.
        return self._seqs(
            f"SELECT DISTINCT i.session_seq FROM interceptions AS i NOT INDEXED WHERE {where}",  # noqa: S608
            values,
        )

    def _rare(self) -> list[int] | None:
        """As `_read_all`, where few interceptions come into question; else None."""
        where, values = self._on_interception
        running = (
            f"SELECT i.session_seq FROM interceptions AS i WHERE i.end_seq IS NULL AND {where}"  # noqa: S608
        )
        if self._query.status == RUNNING:
            return list(set(self._seqs(running, values)))
        quarters = self._quarters()
        if quarters is None:
            return None
        rolled = rolled_seq(self._connection)
        return self._seqs(
            "SELECT i.session_seq FROM json_each(?) AS j"  # noqa: S608
            " CROSS JOIN interceptions AS i INDEXED BY interceptions_started_at"
            f" ON i.started_at >= j.value * {QUARTER} AND i.started_at < (j.value + 1) * {QUARTER}"
            f" WHERE {where}"
            f" UNION SELECT i.session_seq FROM interceptions AS i WHERE i.end_seq > ? AND {where}"
            f" UNION {running}",
            [json.dumps(quarters), *values, rolled, *values, *values],
        )

    def _quarters(self) -> list[int] | None:
        """The quarters of an hour in which the wanted kind occurs; None where that is no help.

        They are told from the sums, which lack what has not ended or was not rolled up yet.
        """
        where, values = self._on_quarter()
        if not where:
            return None
        rows = self._connection.execute(
            "SELECT quarter, (SELECT sum(requests) FROM usage_quarters WHERE quarter = q.quarter)"  # noqa: S608
            f" FROM usage_quarters AS q WHERE {where} GROUP BY quarter",
            values,
        )
        found, requests = [], 0
        for quarter, sum_ in rows:
            found.append(quarter)
            requests += sum_
            if requests > NARROWED:
                return None
        return found

    def _on_quarter(self) -> Condition:
        query = self._query
        found = _names(query, ("q.provider_name", "q.model", "q.client"))
        wildcards = query.wildcards
        family, either = query.provider, query.any_provider
        if family is not None and not may_be_family(family, wildcards=wildcards):
            found.append(("0", []))
        if either is not None and not may_be_family(either, wildcards=wildcards):
            found.append(named("q.provider_name", either, wildcards=wildcards))
        if found and query.initiator is not None:
            found.append(named("q.initiator_id", query.initiator, wildcards=wildcards))
        if query.status in _STATUS_SUMS:
            found.append((_STATUS_SUMS[query.status], []))
        return joined(found)

    def _count(self, condition: Condition, *, is_select: bool = False) -> int:
        sql, values = condition
        if not is_select:
            sql = f"SELECT 1 FROM sessions AS s WHERE {sql}"  # noqa: S608
        found: int = self._connection.execute(f"SELECT count(*) FROM ({sql})", values).fetchone()[0]  # noqa: S608
        return found

    def _seqs(self, sql: str, values: list[object]) -> list[int]:
        return [row[0] for row in self._connection.execute(sql, values)]


def _following(after: Place | None) -> Condition:
    if after is None:
        return "1", []
    # The first half is what the index is searched with.
    sql = "s.last_active_at <= ? AND (s.last_active_at, s.id) < (?, ?)"
    return sql, [after[0], *after]


def _names(query: SessionQuery, columns: tuple[str, ...]) -> list[Condition]:
    """Conditions on those of the columns that the query has a name for."""
    return [
        named(column, wanted, wildcards=query.wildcards)
        for column in columns
        if (wanted := getattr(query, column.partition(".")[2])) is not None
    ]


def _on_interception(query: SessionQuery) -> Condition:
    """The conditions that one interception (alias `i`) must fulfil; empty for none."""
    found = _names(query, ("i.provider", "i.provider_name", "i.model", "i.client"))
    if query.any_provider is not None:
        arms = [
            named(column, query.any_provider, wildcards=query.wildcards)
            for column in ("i.provider", "i.provider_name")
        ]
        sql = " OR ".join(text for text, _ in arms)
        found.append((f"({sql})", [value for _, values in arms for value in values]))
    if query.status == RUNNING:
        found.append(("i.end_seq IS NULL", []))
    elif query.status is not None:
        found.append(("i.status = ?", [query.status]))
    return joined(found)
