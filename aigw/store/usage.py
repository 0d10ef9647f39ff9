"""Sums of requests and tokens over time, provider, model, client, initiator or session.

One table is read: the recorder keeps each interception's sums on its row. The rows are read in
slices of at most a day along the index on `started_at`. A slice lies within one period of the
asked time zone, so periods are exact for any offset, and grouping within a slice sorts few rows.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, TypeAlias

from aigw.store.reader import snapshot

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

COLUMNS: dict[str, str] = {
    "provider": "provider_name",
    "model": "model",
    "client": "client",
    "initiator": "initiator_id",
    "session": "client_session_id",
}
PERIODS = ("hour", "day", "week", "month")
DIMENSIONS = (*PERIODS, *COLUMNS)
"""What sums can be grouped by."""

_SECOND = 1_000_000

Key: TypeAlias = tuple[str, ...]


@dataclass(slots=True)
class Sums:
    """Requests and tokens. `errors` are failed requests, `aborted` those that clients broke off."""

    requests: int = 0
    input_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    errors: int = 0
    aborted: int = 0

    def add(self, other: Sums) -> None:
        """Add another's figures to these."""
        for name in FIGURES:
            setattr(self, name, getattr(self, name) + getattr(other, name))


FIGURES = tuple(field.name for field in fields(Sums))

# total() and not sum() would give floats; an interception still running has NULL sums.
_SUMS = (
    "count(*), ifnull(sum(input_tokens), 0), ifnull(sum(cache_read_input_tokens), 0),"
    " ifnull(sum(cache_write_input_tokens), 0), ifnull(sum(output_tokens), 0),"
    " ifnull(sum(reasoning_tokens), 0), count(*) FILTER (WHERE status = 'failed'),"
    " count(*) FILTER (WHERE status = 'aborted')"
)


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
    columns = [COLUMNS[name] for name in by if name in COLUMNS]
    periods = [name for name in by if name in PERIODS]
    with snapshot(connection):
        span = _span(connection, since, until)
        if span is None:
            return {}
        for begin, end, local in _slices(*span, zone, hourly="hour" in by):
            labels = {name: period_label(name, local) for name in periods}
            for row in _slice_sums(connection, columns, begin, end):
                names = iter(row[: len(columns)])
                key = tuple(labels.get(name) or next(names) or "" for name in by)
                found.setdefault(key, Sums()).add(Sums(*row[len(columns) :]))
    return dict(sorted(found.items()))


def total(sums: Sequence[Sums]) -> Sums:
    """All of them added up."""
    result = Sums()
    for part in sums:
        result.add(part)
    return result


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
    """The part of the asked time that has interceptions; None when there are none."""
    low = -(1 << 62) if since is None else since
    high = 1 << 62 if until is None else until
    where = "FROM interceptions WHERE started_at >= ? AND started_at < ?"
    # Two statements: SQLite takes min() or max() from an index, but not both at once.
    first = connection.execute(f"SELECT min(started_at) {where}", (low, high)).fetchone()[0]
    last = connection.execute(f"SELECT max(started_at) {where}", (low, high)).fetchone()[0]
    return None if first is None else (first, last + 1)


def _slices(
    begin: int, end: int, zone: tzinfo | None, *, hourly: bool
) -> Iterator[tuple[int, int, datetime]]:
    """Cut at local midnights, or at full local hours: (begin, end, local time of the begin)."""
    while begin < end:
        local = datetime.fromtimestamp(begin // _SECOND, zone)
        following = begin // _SECOND * _SECOND
        if hourly:
            following += (3600 - local.minute * 60 - local.second) * _SECOND
        else:
            following = _midnight(local.date() + timedelta(days=1), zone)
        # A clock change at midnight may make the next midnight ambiguous: always move on.
        following = max(min(following, end), begin + 1)
        yield begin, following, local
        begin = following


def _midnight(day: date, zone: tzinfo | None) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * _SECOND


def _slice_sums(
    connection: sqlite3.Connection, columns: Sequence[str], begin: int, end: int
) -> list[tuple[Any, ...]]:
    names = "".join(f"{name}, " for name in columns)
    grouping = f"GROUP BY {', '.join(columns)}" if columns else "HAVING count(*) > 0"
    return connection.execute(
        f"SELECT {names}{_SUMS} FROM interceptions"  # noqa: S608 (our own names)
        f" WHERE started_at >= ? AND started_at < ? {grouping}",
        (begin, end),
    ).fetchall()
