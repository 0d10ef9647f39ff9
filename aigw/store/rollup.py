"""What is worked out from the records a moment after they were written: the store's upkeep.

- `usage_quarters`: requests, tokens and cost for each quarter of an hour and kind of request, from
  which reports and budgets add up any day of any time zone.
- `sessions.last_active_at`, by which the latest sessions are found.
- Links of interceptions that were written before the tool call they answer.

`meta.rolled_seq` says how far this has come; readers add what is after it from the records, so that
sums are always exact. Deleting an interception takes it out of the sums again (a trigger).
"""

from __future__ import annotations

import sqlite3

from aigw.store.schema import last_seq

ROLLED_SEQ = "rolled_seq"

BATCH = 4_096
"""Seqs dealt with in one go: some milliseconds in which commits wait."""

FIGURES = (
    "requests",
    "input_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "errors",
    "aborted",
    "cost_micros",
    "unpriced",
    "estimated",
)
"""The sums of `usage_quarters`, in the order of its columns."""

KINDS = ("provider_name", "model", "client", "initiator_id", "api_key_id", "plan")
"""What `usage_quarters` tells apart beside the time."""

QUARTER = 900_000_000
"""Microseconds."""

_KINDS = "i.provider_name, i.model, i.client, i.initiator_id, ifnull(i.api_key_id, ''), ifnull(i.plan, '')"

SUMS = (
    "count(*), sum(i.input_tokens), sum(i.cache_read_input_tokens),"
    " sum(i.cache_write_input_tokens), sum(i.output_tokens), sum(i.reasoning_tokens),"
    " count(*) FILTER (WHERE i.status = 'failed'), count(*) FILTER (WHERE i.status = 'aborted'),"
    " sum(i.cost_micros), sum(i.unpriced), sum(i.estimated)"
)
"""The figures of ended interceptions (alias `i`), in the order of `FIGURES`."""

_ROLL = (
    f"INSERT INTO usage_quarters SELECT i.started_at / {QUARTER}, {_KINDS}, {SUMS}"  # noqa: S608
    " FROM interceptions AS i WHERE i.end_seq > ?1 AND i.end_seq <= ?2"
    " GROUP BY 1, 2, 3, 4, 5, 6, 7"
    " ON CONFLICT DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in FIGURES)
)

_ACTIVE = """
UPDATE sessions SET
  started_at = min(sessions.started_at, seen.first),
  last_active_at = max(sessions.last_active_at, seen.last)
FROM (
  SELECT session_seq, min(started_at) AS first, max(moment) AS last FROM (
    SELECT session_seq, started_at, started_at AS moment FROM interceptions
    WHERE seq > ?1 AND seq <= ?2
    UNION ALL
    SELECT session_seq, started_at, ended_at FROM interceptions
    WHERE end_seq > ?1 AND end_seq <= ?2
  ) GROUP BY session_seq
) AS seen
WHERE sessions.seq = seen.session_seq
"""


def rolled_seq(connection: sqlite3.Connection) -> int:
    """The sums hold every interception that ended with a `seq` up to this one."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (ROLLED_SEQ,)).fetchone()
    return row[0] if row else 0


def roll_up(connection: sqlite3.Connection, limit: int = BATCH) -> bool:
    """Deal with the next `limit` seqs in one transaction; whether there are more.

    The connection writes and is in autocommit mode.

    Raises:
        sqlite3.Error: as SQLite says; nothing was changed.
    """
    after, last = rolled_seq(connection), last_seq(connection)
    if after >= last:
        return False
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been first while this one waited for its turn.
        after = rolled_seq(connection)
        until = min(last, after + limit)
        if until > after:
            roll(connection, after, until)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return until < last


def roll(connection: sqlite3.Connection, after: int, until: int) -> None:
    """Deal with the seqs after `after` up to `until`, in the transaction of the caller."""
    from aigw.store.linking import Linker  # noqa: PLC0415 - readers of the sums start without it

    connection.execute(_ROLL, (after, until))
    connection.execute(_ACTIVE, (after, until))
    Linker(connection).adopt(after, until)
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (ROLLED_SEQ, until),
    )
