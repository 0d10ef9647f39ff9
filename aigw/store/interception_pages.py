"""Which interceptions are on a page, and how many match on all pages, at the least cost.

Filters by name have no index of their own. But `usage_quarters` knows how many requests of each kind
every quarter of an hour has. So the count is a sum of those, completed from the records like any
other (see `usage`), and a page is looked for only in quarters that have something of it. The sums
do not know a provider's family: of that all interceptions are read once to be counted.

All reads are in the transaction of the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from aigw.store.filters import Condition, joined, named
from aigw.store.rollup import QUARTER, ROLLED_SEQ

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiosqlite

WALKED = 20_000
"""Interceptions looked at one by one, from the newest on, before anything is added up: some 20 ms."""

_FIRST, _END = -(1 << 62), 1 << 62
"""Before and after all times."""

_ORDER = "ORDER BY i.started_at DESC, i.id DESC LIMIT ? OFFSET ?"
_ROLLED = f"ifnull((SELECT value FROM meta WHERE key = '{ROLLED_SEQ}'), 0)"  # noqa: S608

Quarter: TypeAlias = tuple[int, int]
"""A quarter of an hour and how many matching interceptions began in it, at least one."""

Cursor: TypeAlias = tuple[int, str]
"""When the interception that the page before ended with began, and its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """Which interceptions, and which page of them. Times are inclusive, in microseconds.

    `after_id` is the id that the page before ended with; `offset` counts from the newest. `owner` is
    the initiator, letter by letter, whose interceptions alone may be seen; None for everybody's.
    Whether those on all pages are counted, which takes longer than a page, says `is_counted`.
    """

    owner: str | None = None
    initiator: str | None = None
    provider: str | None = None
    provider_name: str | None = None
    model: str | None = None
    client: str | None = None
    session_id: str | None = None
    started_after: int | None = None
    started_before: int | None = None
    after_id: str | None = None
    offset: int = 0
    limit: int = 100
    is_counted: bool = True


async def find_page(
    connection: aiosqlite.Connection, query: PageQuery
) -> tuple[int | None, list[int]]:
    """How many match on all pages, if that is asked, and the `seq`s of one page, newest first."""
    search = _Search(connection, query)
    if query.session_id is not None:
        return await search.in_session()
    if query.is_counted:
        return await search.counted()
    return None, await search.uncounted()


async def all_rows(connection: aiosqlite.Connection, sql: str, values: list[Any]) -> list[Any]:
    """The rows of a statement."""
    return list(await connection.execute_fetchall(sql, values))


def owned(alias: str, owner: str | None) -> Condition:
    """The condition that a row may be seen by its owner; always true without one."""
    return ("1", []) if owner is None else (f"{alias}.initiator_id = ?", [owner])


def _names(query: PageQuery, alias: str, *, family: bool) -> Condition:
    """The conditions on names; that on the provider's family only where the table has it."""
    found = [owned(alias, query.owner)]
    for column, wanted in (
        ("initiator_id", query.initiator),
        ("provider", query.provider if family else None),
        ("provider_name", query.provider_name),
        ("model", query.model),
        ("client", query.client),
    ):
        if wanted is not None:
            found.append(named(f"{alias}.{column}", wanted))
    return joined(found)


class _Search:
    """One query. Times are from `_begin` on and before `_end`."""

    def __init__(self, connection: aiosqlite.Connection, query: PageQuery) -> None:
        self._connection = connection
        self._query = query
        self._names = _names(query, "i", family=True)
        self._begin = _FIRST if query.started_after is None else query.started_after
        self._end = _END if query.started_before is None else query.started_before + 1
        self._is_summed = query.provider is None

    async def in_session(self) -> tuple[int, list[int]]:
        """Those of one session: few, and found by its index."""
        query = self._query
        of_session, values = named("s.id", str(query.session_id))
        chosen = f"i.session_seq IN (SELECT s.seq FROM sessions AS s WHERE {of_session})"  # noqa: S608
        condition = joined([self._between(self._begin, self._end), (chosen, values)])
        where, values = condition
        (count,) = await self._row(f"SELECT count(*) FROM interceptions AS i WHERE {where}", values)  # noqa: S608
        rest = joined([condition, self._following(await self._cursor())])
        return count, await self._page("interceptions AS i", rest, query.limit, query.offset)

    async def counted(self) -> tuple[int, list[int]]:
        """The count of all, and the page where the counting has shown it to be."""
        if self._is_summed:
            quarters = await self._quarters()
            count = sum(part for _, part in quarters)
            return count, await self._of_quarters(quarters)
        where, values = self._between(self._begin, self._end)
        sql = f"SELECT count(*) FROM {self._all()} WHERE {where}"  # noqa: S608
        (count,) = await self._row(sql, values)
        # Looking for a page of nothing would take as long again.
        return count, await self.uncounted() if count else []

    async def uncounted(self) -> list[int]:
        """The page, from the newest interceptions on; where those yield too little, as it may be."""
        cursor = await self._cursor()
        end = self._end if cursor is None else min(self._end, cursor[0] + 1)
        row = await self._row(
            "SELECT started_at FROM interceptions WHERE started_at >= ? AND started_at < ?"
            " ORDER BY started_at DESC LIMIT 1 OFFSET ?",
            [self._begin, end, WALKED],
        )
        low = self._begin if row is None else row[0]
        query = self._query
        walked = joined([self._between(low, end), self._following(cursor)])
        by_time = "interceptions AS i INDEXED BY interceptions_started_at"
        found = await self._page(by_time, walked, query.limit, query.offset)
        if row is None or len(found) == query.limit:
            return found
        if self._is_summed:
            return await self._of_quarters(await self._quarters())
        rest = joined([self._between(self._begin, end), self._following(cursor)])
        return await self._page(self._all(), rest, query.limit, query.offset)

    def _all(self) -> str:
        """How all rows of the time asked for are read: those of all times sooner without an index."""
        is_all = self._begin == _FIRST and self._end == _END
        index = "NOT INDEXED" if is_all else "INDEXED BY interceptions_started_at"
        return f"interceptions AS i {index}"

    async def _quarters(self) -> list[Quarter]:
        """The quarters in which something matches, the newest first."""
        first, last = -(-self._begin // QUARTER), self._end // QUARTER
        if first >= last:
            arms = [self._records(self._begin, self._end)]
        else:
            low, high = first * QUARTER, last * QUARTER
            names, values = _names(self._query, "q", family=False)
            sums = (
                "SELECT q.quarter AS quarter, sum(q.requests) AS requests FROM usage_quarters AS q"
            )
            arms = [
                (
                    f"{sums} WHERE q.quarter >= ? AND q.quarter < ? AND {names} GROUP BY 1",
                    [first, last, *values],
                ),
                # What is in no sum yet: ended after the upkeep's last round, or still running.
                self._records(low, high, "interceptions_end_seq", f"i.end_seq > {_ROLLED}"),
                self._records(low, high, "interceptions_end_seq", "i.end_seq IS NULL"),
                # The edges.
                self._records(self._begin, low),
                self._records(high, self._end),
            ]
        text = " UNION ALL ".join(sql for sql, _ in arms)
        return await all_rows(
            self._connection,
            f"SELECT quarter, sum(requests) FROM ({text}) GROUP BY 1 ORDER BY 1 DESC",  # noqa: S608
            [value for _, values in arms for value in values],
        )

    def _records(
        self,
        begin: int,
        end: int,
        index: str = "interceptions_started_at",
        condition: str = "1",
    ) -> Condition:
        """A SELECT of the quarters of a time, counted one interception after the other.

        Left to itself, SQLite would look for the few that a sum lacks by their times.
        """
        where, values = joined([(condition, []), self._between(begin, end)])
        sql = (
            f"SELECT i.started_at / {QUARTER} AS quarter, count(*) AS requests"  # noqa: S608
            f" FROM interceptions AS i INDEXED BY {index} WHERE {where} GROUP BY 1"
        )
        return sql, values

    async def _of_quarters(self, quarters: list[Quarter]) -> list[int]:
        """The page, from the quarters that it is in."""
        cursor = await self._cursor()
        if cursor is not None:
            quarters = [each for each in quarters if each[0] <= cursor[0] // QUARTER]
        offset, skipped = self._query.offset, 0
        while skipped < len(quarters) and quarters[skipped][1] <= offset:
            offset -= quarters[skipped][1]
            skipped += 1
        found: list[int] = []
        for low, high in _runs(quarters[skipped:]):
            begin, end = max(self._begin, low * QUARTER), min(self._end, high * QUARTER)
            condition = joined([self._between(begin, end), self._following(cursor)])
            origin = "interceptions AS i INDEXED BY interceptions_started_at"
            found += await self._page(origin, condition, self._query.limit - len(found), offset)
            offset = 0
            if len(found) == self._query.limit:
                break
        return found

    async def _cursor(self) -> Cursor | None:
        """The place of `after_id`. An id that is not there, or may not be seen, has nothing after it."""
        after_id = self._query.after_id
        if after_id is None:
            return None
        seen, owner = owned("i", self._query.owner)
        sql = f"SELECT i.started_at, i.id FROM interceptions AS i WHERE i.id = ? AND {seen}"  # noqa: S608
        return await self._row(sql, [after_id, *owner]) or (_FIRST, "")

    async def _page(self, origin: str, condition: Condition, limit: int, offset: int) -> list[int]:
        where, values = condition
        sql = f"SELECT i.seq FROM {origin} WHERE {where} {_ORDER}"  # noqa: S608 (our own names)
        rows = await all_rows(self._connection, sql, [*values, limit, offset])
        return [row[0] for row in rows]

    async def _row(self, sql: str, values: list[Any]) -> Any:
        rows = await all_rows(self._connection, sql, values)
        return rows[0] if rows else None

    def _between(self, begin: int, end: int) -> Condition:
        """The names, and a time."""
        times: Condition = "i.started_at >= ? AND i.started_at < ?", [begin, end]
        return joined([times, self._names])

    def _following(self, cursor: Cursor | None) -> Condition:
        if cursor is None:
            return "1", []
        # The first half is what the index is searched with.
        return "i.started_at <= ? AND (i.started_at, i.id) < (?, ?)", [cursor[0], *cursor]


def _runs(quarters: list[Quarter]) -> Iterator[tuple[int, int]]:
    """Stretches of quarters next to each other, falling: the first, and the one after the last."""
    low = high = None
    for quarter, _ in quarters:
        if low is None or high is None or quarter != low - 1:
            if low is not None and high is not None:
                yield low, high
            high = quarter + 1
        low = quarter
    if low is not None and high is not None:
        yield low, high
