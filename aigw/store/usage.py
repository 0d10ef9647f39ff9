"""Sums of requests, tokens and cost over time, and over what tells requests apart.

Nearly all of it is read from `usage_quarters`, the sums that the store's upkeep keeps for each
quarter of an hour. The records themselves are read where those do not reach: what ended after the
upkeep's last round or still runs (the tail), the edges of a time that begins or ends within a
quarter, and sums by session. The result is always what adding up the interceptions would give.

Time is gone through in slices that lie within one period of the asked time zone, so periods are
exact for any offset.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta, tzinfo
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from aigw.store.reader import snapshot
from aigw.store.rollup import QUARTER, rolled_seq

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

COLUMNS: dict[str, str] = {
    "provider": "provider_name",
    "model": "model",
    "client": "client",
    "initiator": "initiator_id",
    "key": "api_key_id",
    "plan": "plan",
    "session": "session_seq",
}
PERIODS = ("hour", "day", "week", "month")
DIMENSIONS = (*PERIODS, *COLUMNS)
"""What sums can be grouped by. `key` is the gateway key, by its name where that is known; `plan` the
subscription that covers a request; `session` the client's, or a thread that is one by itself."""

_SECOND = 1_000_000

Key: TypeAlias = tuple[str, ...]


@dataclass(slots=True)
class Sums:
    """Requests, tokens and cost.

    `errors` are failed requests, `aborted` those that clients broke off. `cost_micros` is what is
    paid for, `plan_micros` the list price of what a subscription covers, both in millionths of a US
    dollar. `unpriced` responses have no known price and are in neither; those of `estimated`
    broke off before the provider counted, or it counts nothing; `plan_estimated` of them are covered by a
    plan.
    """

    requests: int = 0
    input_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    errors: int = 0
    aborted: int = 0
    cost_micros: int = 0
    plan_micros: int = 0
    unpriced: int = 0
    estimated: int = 0
    plan_estimated: int = 0

    def add(self, other: Sums) -> None:
        """Add another's figures to these."""
        for name, figure in zip(FIGURES, _figures(other), strict=True):
            setattr(self, name, getattr(self, name) + figure)


FIGURES = tuple(field.name for field in fields(Sums))
_figures: Callable[[Sums], tuple[int, ...]] = attrgetter(*FIGURES)

# total() and not sum() would give floats; an interception still running has NULL sums.
RECORD_SUMS = (
    "count(*), ifnull(sum(input_tokens), 0), ifnull(sum(cache_read_input_tokens), 0),"
    " ifnull(sum(cache_write_input_tokens), 0), ifnull(sum(output_tokens), 0),"
    " ifnull(sum(reasoning_tokens), 0), count(*) FILTER (WHERE status = 'failed'),"
    " count(*) FILTER (WHERE status = 'aborted'),"
    " ifnull(sum(cost_micros) FILTER (WHERE plan IS NULL), 0),"
    " ifnull(sum(cost_micros) FILTER (WHERE plan IS NOT NULL), 0),"
    " ifnull(sum(unpriced), 0), ifnull(sum(estimated), 0),"
    " ifnull(sum(estimated) FILTER (WHERE plan IS NOT NULL), 0)"
)
"""The figures of `Sums`, in their order, from rows of `interceptions`."""

_QUARTER_SUMS = (
    "sum(requests), sum(input_tokens), sum(cache_read_input_tokens),"
    " sum(cache_write_input_tokens), sum(output_tokens), sum(reasoning_tokens), sum(errors),"
    " sum(aborted), ifnull(sum(cost_micros) FILTER (WHERE plan = ''), 0),"
    " ifnull(sum(cost_micros) FILTER (WHERE plan != ''), 0), sum(unpriced), sum(estimated),"
    " ifnull(sum(estimated) FILTER (WHERE plan != ''), 0)"
)

_Row: TypeAlias = tuple[Any, ...]
"""The values of the columns asked for, then the figures of `Sums`."""


def usage(
    connection: sqlite3.Connection,
    by: Sequence[str],
    since: int | None,
    until: int | None,
    zone: tzinfo | None,
) -> dict[Key, Sums]:
    """The sums of each group, by its names in the order of `by`, sorted.

    Args:
        connection: a reader's.
        by: any of `DIMENSIONS`; empty for one group of all.
        since: first `started_at` counted, microseconds; None for the oldest.
        until: first `started_at` no longer counted; None for no end.
        zone: in which hours, days, weeks and months are meant; None for this machine's.
    """
    found: dict[Key, Sums] = {}
    columns = [name for name in by if name in COLUMNS]
    count = len(columns)
    with snapshot(connection):
        span = _span(connection, since, until)
        if span is None:
            return {}
        source = _source(connection, columns)
        names = [_names(connection, name) for name in columns]
        for begin, end, local in _slices(connection, *span, zone, _step(by)):
            # Of each name in `by` where it is in a row, or what all rows of the slice have.
            parts = [
                columns.index(name) if name in COLUMNS else period_label(name, local) for name in by
            ]
            for row in source.rows(begin, end):
                key = tuple(
                    part if isinstance(part, str) else names[part].get(row[part], row[part]) or ""
                    for part in parts
                )
                if key in found:
                    found[key].add(Sums(*row[count:]))
                else:
                    found[key] = Sums(*row[count:])
    return dict(sorted(found.items()))


def total(sums: Iterable[Sums]) -> Sums:
    """All of them added up."""
    return Sums(*map(sum, zip(*map(_figures, sums), strict=True)))


def period_label(period: str, local: datetime) -> str:
    """The name of the hour, day, ISO week (by its Monday) or month that a local time is in.

    An hour carries its offset from UTC: where clocks go back, there are two of the same name.
    """
    if period == "hour":
        offset = f"{local.astimezone():%z}" if local.tzinfo is None else f"{local:%z}"
        return f"{local:%Y-%m-%dT%H:00}{offset[:3]}:{offset[3:5]}"
    if period == "day":
        return f"{local:%Y-%m-%d}"
    if period == "week":
        return str(local.date() - timedelta(days=local.weekday()))
    return f"{local:%Y-%m}"


def _span(
    connection: sqlite3.Connection, since: int | None, until: int | None
) -> tuple[int, int] | None:
    """The part of the asked time that has interceptions, in whole quarters where that is possible.

    None when there are none.
    """
    low = -(1 << 62) if since is None else since
    high = 1 << 62 if until is None else until
    where = "FROM interceptions WHERE started_at >= ? AND started_at < ?"
    # Two statements: SQLite takes min() or max() from an index, but not both at once.
    first = connection.execute(f"SELECT min(started_at) {where}", (low, high)).fetchone()[0]
    last = connection.execute(f"SELECT max(started_at) {where}", (low, high)).fetchone()[0]
    if first is None:
        return None
    return max(low, first // QUARTER * QUARTER), min(high, (last // QUARTER + 1) * QUARTER)


def _step(by: Sequence[str]) -> str:
    """How long a slice may be: grouping by session sorts fewer rows in shorter ones."""
    if "hour" in by:
        return "hour"
    return "day" if "session" in by or any(name in PERIODS for name in by) else ""


def _slices(
    connection: sqlite3.Connection, begin: int, end: int, zone: tzinfo | None, step: str
) -> Iterator[tuple[int, int, datetime]]:
    """Cut at local midnights, or at full local hours: (begin, end, local time of the begin).

    Time without interceptions is left out.
    """
    while begin < end:
        local = datetime.fromtimestamp(begin // _SECOND, zone)
        following = begin // _SECOND * _SECOND
        if step == "hour":
            following += (3600 - local.minute * 60 - local.second) * _SECOND
        elif step == "day":
            following = _midnight(local.date() + timedelta(days=1), zone)
        else:
            following = end
        # A clock change at midnight may make the next midnight ambiguous: always move on.
        following = max(min(following, end), begin + 1)
        yield begin, following, local
        begin = _next(connection, following, end)


def _next(connection: sqlite3.Connection, begin: int, end: int) -> int:
    """From where the next interception is found, at a full quarter where that is possible."""
    sql = "SELECT min(started_at) FROM interceptions WHERE started_at >= ? AND started_at < ?"
    first = connection.execute(sql, (begin, end)).fetchone()[0]
    return end if first is None else max(begin, first // QUARTER * QUARTER)


def _midnight(day: date, zone: tzinfo | None) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * _SECOND


def _names(connection: sqlite3.Connection, dimension: str) -> dict[Any, str]:
    """What the values of a column are called, where they have another name than themselves."""
    if dimension == "key":
        return dict(connection.execute("SELECT id, name FROM gateway_keys"))
    if dimension == "session":
        return dict(connection.execute("SELECT seq, id FROM sessions"))
    return {}


def _source(connection: sqlite3.Connection, columns: Sequence[str]) -> _Records | _Quarters:
    records = _Records(connection, columns)
    return records if "session" in columns else _Quarters(connection, columns, records)


class _Records:
    """Sums of interceptions, read one by one."""

    def __init__(self, connection: sqlite3.Connection, columns: Sequence[str]) -> None:
        self._connection = connection
        names = [COLUMNS[name] for name in columns]
        self._columns = "".join(f"{name}, " for name in names)
        self._grouping = f"GROUP BY {', '.join(names)}" if names else "HAVING count(*) > 0"

    def rows(self, begin: int, end: int) -> Iterable[_Row]:
        """Of those started from `begin` on and before `end`."""
        return self._connection.execute(
            f"SELECT {self._columns}{RECORD_SUMS} FROM interceptions"  # noqa: S608 (our own names)
            f" WHERE started_at >= ? AND started_at < ? {self._grouping}",
            (begin, end),
        )

    def tail(self) -> list[tuple[int, _Row]]:
        """Of those that are not in `usage_quarters` yet: (quarter, sums), by quarter."""
        found: list[tuple[int, _Row]] = []
        for condition, values in (
            ("end_seq > ?", [rolled_seq(self._connection)]),
            ("end_seq IS NULL", []),
        ):
            rows = self._connection.execute(
                f"SELECT started_at / {QUARTER}, {self._columns}{RECORD_SUMS} FROM interceptions"  # noqa: S608
                f" WHERE {condition} GROUP BY {self._columns}1",
                values,
            )
            found += [(row[0], row[1:]) for row in rows]
        return sorted(found, key=_quarter_of)


class _Quarters:
    """Sums of whole quarters of an hour, completed from the records."""

    def __init__(
        self, connection: sqlite3.Connection, columns: Sequence[str], records: _Records
    ) -> None:
        self._connection = connection
        self._records = records
        self._tail = records.tail()
        names = [COLUMNS[name] for name in columns]
        self._columns = "".join(f"{name}, " for name in names)
        self._grouping = f"GROUP BY {', '.join(names)}" if names else "HAVING count(*) > 0"

    def rows(self, begin: int, end: int) -> Iterator[_Row]:
        """Of what started from `begin` on and before `end`."""
        first, last = -(-begin // QUARTER), end // QUARTER
        if first >= last:
            yield from self._records.rows(begin, end)
            return
        if begin < first * QUARTER:
            yield from self._records.rows(begin, first * QUARTER)
        yield from self._connection.execute(
            f"SELECT {self._columns}{_QUARTER_SUMS} FROM usage_quarters"  # noqa: S608
            f" WHERE quarter >= ? AND quarter < ? {self._grouping}",
            (first, last),
        )
        low = bisect_left(self._tail, first, key=_quarter_of)
        high = bisect_left(self._tail, last, key=_quarter_of)
        yield from (row for _, row in self._tail[low:high])
        if last * QUARTER < end:
            yield from self._records.rows(last * QUARTER, end)


def _quarter_of(entry: tuple[int, _Row]) -> int:
    return entry[0]
