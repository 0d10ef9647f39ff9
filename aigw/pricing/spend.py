"""What was spent so far, read from the store: at a start, for a new budget, and for a report.

The sums of `usage_quarters`, and after them (`store.rollup`) the interceptions that ended since and
the token records of those that run. Sessions are not in `usage_quarters`; theirs come from the
interceptions of the period. Dollars that a plan covers are left out, tokens are not.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from aigw.pricing.budget import Kind, session_holder
from aigw.pricing.ledger import Series
from aigw.store.rollup import QUARTER, rolled_seq
from aigw.store.schema import last_seq

_TOKENS = "{0}.input_tokens + {0}.cache_read_input_tokens + {0}.cache_write_input_tokens + {0}.output_tokens"

_QUARTERS = f"""
SELECT q.initiator_id, q.api_key_id, q.client,
  sum(CASE WHEN q.plan = '' THEN q.cost_micros ELSE 0 END), sum({_TOKENS.format("q")})
FROM usage_quarters AS q WHERE q.quarter >= ?1 GROUP BY 1, 2, 3
"""  # noqa: S608 (our own names)

_TAIL = f"""
SELECT i.initiator_id, ifnull(i.api_key_id, ''), i.client,
  sum(CASE WHEN i.plan IS NULL THEN ifnull(i.cost_micros, 0) ELSE 0 END), sum({_TOKENS.format("i")})
FROM interceptions AS i WHERE i.end_seq > ?2 AND i.started_at >= ?1 GROUP BY 1, 2, 3
"""  # noqa: S608

_RUNNING = f"""
SELECT i.initiator_id, ifnull(i.api_key_id, ''), i.client,
  sum(CASE WHEN i.plan IS NULL THEN ifnull(t.cost_micros, 0) ELSE 0 END), sum({_TOKENS.format("t")})
FROM interceptions AS i JOIN token_usages AS t ON t.interception_seq = i.seq
WHERE i.end_seq IS NULL AND i.started_at >= ?1 GROUP BY 1, 2, 3
"""  # noqa: S608

# The plus keeps SQLite from reading all interceptions in the order of their sessions. A thread of a
# client that names no session is one in the store, but no session's budget holds it.
_SESSIONS = f"""
SELECT s.initiator_id, s.id, sum(x.micros), sum(x.tokens) FROM (
  SELECT +i.session_seq AS session_seq, sum(CASE WHEN i.plan IS NULL THEN ifnull(i.cost_micros, 0) ELSE 0 END)
    AS micros, sum({_TOKENS.format("i")}) AS tokens
  FROM interceptions AS i WHERE i.started_at >= ?1 AND i.end_seq IS NOT NULL
    AND i.client_session_id IS NOT NULL
  GROUP BY +i.session_seq
  UNION ALL
  SELECT i.session_seq, sum(CASE WHEN i.plan IS NULL THEN ifnull(t.cost_micros, 0) ELSE 0 END),
    sum({_TOKENS.format("t")})
  FROM interceptions AS i JOIN token_usages AS t ON t.interception_seq = i.seq
  WHERE i.end_seq IS NULL AND i.started_at >= ?1 AND i.client_session_id IS NOT NULL GROUP BY 1
) AS x JOIN sessions AS s ON s.seq = x.session_seq GROUP BY s.seq
"""  # noqa: S608

# The same of some sessions alone, by their ids: found by their index.
_SOME_SESSIONS = _SESSIONS.replace(
    "i.client_session_id IS NOT NULL",
    "i.client_session_id IS NOT NULL AND i.session_seq IN"
    " (SELECT n.seq FROM sessions AS n WHERE n.id IN (SELECT value FROM json_each(?2)))",
)

_UNPRICED = """
SELECT (SELECT ifnull(sum(unpriced), 0) FROM usage_quarters WHERE quarter >= ?1 / ?3)
  + (SELECT ifnull(sum(unpriced), 0) FROM interceptions WHERE end_seq > ?2 AND started_at >= ?1)
"""

_NEW_RECORDS = "SELECT id FROM token_usages WHERE seq > ?"


class Fact(NamedTuple):
    """Paid micro-dollars and tokens of somebody. `session` is empty in sums over sessions."""

    user: str
    key: str
    client: str
    micros: int
    tokens: int


class Mark(NamedTuple):
    """A place in the store's records, before which everything was committed."""

    seq: int


def mark(connection: sqlite3.Connection) -> Mark:
    """How far the store has come."""
    return Mark(last_seq(connection))


def records_since(connection: sqlite3.Connection, before: Mark) -> set[str]:
    """The ids of the token records committed since."""
    return {row[0] for row in connection.execute(_NEW_RECORDS, before)}


def unpriced_since(connection: sqlite3.Connection, start: int) -> int:
    """Responses of interceptions begun at `start` (microseconds) or later that have no price."""
    found: int = connection.execute(_UNPRICED, (start, rolled_seq(connection), QUARTER)).fetchone()[
        0
    ]
    return found


def fill(
    connection: sqlite3.Connection,
    series: Iterable[Series],
    sessions: Collection[str] | None = None,
) -> None:
    """Add to series what the store holds of their current periods.

    With `sessions`, the ids of some, only theirs are added to the series of sessions: reading all
    takes a second where a period has half a million requests.

    Sums of several statements agree only where one snapshot holds them all: the caller's.

    Raises:
        sqlite3.Error: as SQLite says.
    """
    spans: dict[int, list[Series]] = defaultdict(list)
    for each in series:
        spans[each.span.start].append(each)
    for start, group in spans.items():
        by_session = [each for each in group if each.need.kind is Kind.SESSION]
        others = [each for each in group if each.need.kind is not Kind.SESSION]
        if by_session:
            _fill_sessions(connection, start, by_session, sessions)
        if others:
            facts = _facts(connection, start)
            for each in others:
                _fill_from(each, facts)


def _facts(connection: sqlite3.Connection, start: int) -> list[Fact]:
    rows = connection.execute(_QUARTERS, (start // QUARTER,)).fetchall()
    rows += connection.execute(_TAIL, (start, rolled_seq(connection))).fetchall()
    rows += connection.execute(_RUNNING, (start,)).fetchall()
    return [Fact(*row) for row in rows]


_HOLDERS: dict[Kind, Callable[[Fact], str | None]] = {
    Kind.USER: lambda fact: fact.user,
    Kind.KEY: lambda fact: fact.key or None,
    Kind.CLIENT: lambda fact: fact.client,
    Kind.ALL: lambda _: "",
}


def _fill_from(series: Series, facts: list[Fact]) -> None:
    holder_of = _HOLDERS[series.need.kind]
    for fact in facts:
        holder = holder_of(fact)
        if holder is not None:
            _add(series, holder, fact.micros, fact.tokens)


def _fill_sessions(
    connection: sqlite3.Connection,
    start: int,
    series: list[Series],
    sessions: Collection[str] | None,
) -> None:
    if sessions is None:
        rows = connection.execute(_SESSIONS, (start,))
    else:
        rows = connection.execute(_SOME_SESSIONS, (start, json.dumps(list(sessions))))
    for user, session, micros, tokens in rows:
        for each in series:
            _add(each, session_holder(user, session), micros, tokens)


def _add(series: Series, holder: str, micros: int, tokens: int) -> None:
    if micros or tokens:
        spent = series.meter(holder).spent
        spent[0] += micros
        spent[1] += tokens
