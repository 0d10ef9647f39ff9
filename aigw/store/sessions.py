"""The sessions of the store, the last active first: which ones there are, and what each came to.

A page is found in the table `sessions` by the index of `last_active_at`; its figures are added up
from the interceptions of those sessions alone. Filters on interceptions (provider, model, client,
status) must all hold for one interception of a session; `session_matches` says how such are found.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from aigw.store.filters import Condition, joined, named
from aigw.store.reader import snapshot
from aigw.store.session_matches import Matches
from aigw.store.session_query import SessionQuery

if TYPE_CHECKING:
    import sqlite3

__all__ = [
    "BY_A_PERSON",
    "SHOWN_PROMPT",
    "SessionPage",
    "SessionQuery",
    "SessionSummary",
    "UnknownCursorError",
    "has_sessions",
    "list_sessions",
    "summarise",
    "unique_beginning",
]

BY_A_PERSON = "i.agent_id IS NULL AND substr(p.prompt, 1, 9) != '<session>'"
"""Of interceptions `i` and prompts `p`: no agent's task, and not Claude Code's request for a title, which
it makes beside a prompt with the user's words in this tag."""

SHOWN_PROMPT = 2_000
"""Characters of a prompt in a summary. A prompt may hold a whole file, and a page 1,000 sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSummary:
    """One session and the sums over its interceptions. Times are in microseconds.

    Attributes:
        seq: its key in the store.
        metadata: of its first interception.
        id: the client's, or that of the interception which began it.
        parent_id: the session whose agent started this one.
        clients, providers, models: what occurs, in the order of appearance; `providers` are
            configured names.
        ended_at: when the last answer ended; None while one is running.
        last_active_at: as the store's upkeep knows it, which may be half a second late.
        threads: how many human prompts with all that followed from each.
        errors, aborted, running: requests that failed, broke off, or have not ended.
        cost_micros: millionths of a dollar paid per token; no plan covers them.
        plan_micros: the list price of what a plan covers.
        unpriced, estimated: token records without a known price, and with estimated counts.
        tools: calls by the tool's name, the most called first.
        first_prompt, last_prompt: the first `SHOWN_PROMPT` characters; None where there is none.
            Those of sub-agents only where there are no others.
    """

    seq: int
    id: str
    initiator_id: str
    parent_id: str | None
    clients: tuple[str, ...]
    providers: tuple[str, ...]
    models: tuple[str, ...]
    started_at: int
    ended_at: int | None
    last_active_at: int
    threads: int
    requests: int
    errors: int
    aborted: int
    running: int
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cache_write_input_tokens: int
    reasoning_tokens: int
    cost_micros: int
    plan_micros: int
    unpriced: int
    estimated: int
    tools: dict[str, int]
    metadata: dict[str, Any]
    first_prompt: str | None
    last_prompt: str | None


@dataclass(frozen=True, slots=True)
class SessionPage:
    """`count` is how many sessions match on all pages; None where they were not counted."""

    count: int | None
    sessions: list[SessionSummary]


class UnknownCursorError(ValueError):
    """`after_session_id` names no session that may be seen, or several."""


def list_sessions(connection: sqlite3.Connection, query: SessionQuery) -> SessionPage:
    """One page of matching sessions, read in one transaction. The connection is in autocommit mode.

    Raises:
        UnknownCursorError: there is no going on from `after_session_id`.
        ValueError: `text` holds no word to search for.
    """
    with snapshot(connection):
        after = _position(connection, query)
        matches = Matches(connection, _on_session(query), query)
        count = matches.count() if query.is_counted else None
        chosen = matches.page(after, query.offset, query.limit)
        return SessionPage(count, _summaries(connection, chosen))


def unique_beginning(connection: sqlite3.Connection, session_id: str, shortest: int) -> str:
    """So much of a session's id, `shortest` characters at least, that `find_session` knows it by."""
    needed = shortest
    for sql in (
        "SELECT max(id) FROM sessions WHERE id < ?",
        "SELECT min(id) FROM sessions WHERE id > ?",
    ):
        (neighbour,) = connection.execute(sql, (session_id,)).fetchone()
        if neighbour is not None:
            pairs = takewhile(lambda pair: pair[0] == pair[1], zip(session_id, neighbour))  # noqa: B905
            needed = max(needed, sum(1 for _ in pairs) + 1)
    return session_id[:needed]


def summarise(connection: sqlite3.Connection, seq: int) -> SessionSummary | None:
    """What the session of this `seq` came to; None where it has just been pruned."""
    found = _summaries(connection, [seq])
    return found[0] if found else None


def has_sessions(connection: sqlite3.Connection, name: str, owner: str | None = None) -> bool:
    """Whether any session is of this initiator, upper and lower case being the same.

    With an `owner` only that one's are looked at.
    """
    where, values = _on_session(SessionQuery(owner=owner, initiator=name))
    sql = f"SELECT 1 FROM sessions AS s WHERE {where} LIMIT 1"  # noqa: S608
    return connection.execute(sql, values).fetchone() is not None


def _on_session(query: SessionQuery) -> Condition:
    """The conditions on the row of `sessions` (alias `s`); always true without any."""
    found: list[Condition] = [("1", [])]
    if query.owner is not None:
        found.append(("s.initiator_id = ?", [query.owner]))
    for column, wanted in (("s.initiator_id", query.initiator), ("s.id", query.session_id)):
        if wanted is not None:
            found.append(named(column, wanted, wildcards=query.wildcards))
    for condition, moment in (
        ("s.started_at >= ?", query.started_after),
        ("s.started_at <= ?", query.started_before),
        ("s.last_active_at >= ?", query.active_since),
        ("s.started_at < ?", query.active_until),
    ):
        if moment is not None:
            found.append((condition, [moment]))
    return joined(found)


def _position(connection: sqlite3.Connection, query: SessionQuery) -> tuple[int, str] | None:
    """Where the page before ended: last activity and id."""
    wanted = query.after_session_id
    if wanted is None:
        return None
    if query.after_active_at is not None:
        return query.after_active_at, wanted
    # The filters are not asked: a session may have stopped to match since.
    owned, values = _on_session(SessionQuery(owner=query.owner))
    rows = connection.execute(
        f"SELECT s.last_active_at FROM sessions AS s WHERE s.id = ? AND {owned} LIMIT 2",  # noqa: S608
        [wanted, *values],
    ).fetchall()
    if not rows:
        raise UnknownCursorError(f'session "{wanted}" not found')
    if len(rows) > 1:
        raise UnknownCursorError(
            f'session "{wanted}" is the name of several users\' sessions: '
            "give after_active_at too, the last_active_at of the one that the page ended with"
        )
    return rows[0][0], wanted


# One row for each session: what json_group_array gathers comes in the order of the index, which is
# that of arrival.
_FIGURES = """
SELECT s.seq, s.id, s.initiator_id, s.parent_id, s.started_at, s.last_active_at,
  json_group_array(DISTINCT i.client) FILTER (WHERE i.client != ''),
  json_group_array(DISTINCT i.provider_name),
  json_group_array(DISTINCT i.model) FILTER (WHERE i.model != ''),
  max(i.ended_at), count(DISTINCT i.thread_seq), count(*),
  count(*) FILTER (WHERE i.status = 'failed'), count(*) FILTER (WHERE i.status = 'aborted'),
  count(*) FILTER (WHERE i.end_seq IS NULL),
  ifnull(sum(i.input_tokens), 0), ifnull(sum(i.output_tokens), 0),
  ifnull(sum(i.cache_read_input_tokens), 0), ifnull(sum(i.cache_write_input_tokens), 0),
  ifnull(sum(i.reasoning_tokens), 0),
  ifnull(sum(i.cost_micros) FILTER (WHERE i.plan IS NULL), 0),
  ifnull(sum(i.cost_micros) FILTER (WHERE i.plan IS NOT NULL), 0),
  ifnull(sum(i.unpriced), 0), ifnull(sum(i.estimated), 0),
  (SELECT metadata FROM interceptions WHERE session_seq = s.seq ORDER BY seq LIMIT 1)
FROM json_each(?) AS j
CROSS JOIN sessions AS s ON s.seq = j.value
CROSS JOIN interceptions AS i ON i.session_seq = s.seq
GROUP BY s.seq
"""

_TOOLS = """
SELECT i.session_seq, t.tool, count(*)
FROM json_each(?) AS j
CROSS JOIN interceptions AS i ON i.session_seq = j.value
CROSS JOIN tool_usages AS t ON t.interception_seq = i.seq
GROUP BY 1, 2 ORDER BY 3 DESC, 2
"""

# The index is walked from one end until there is a prompt: mostly one step. What nobody typed is
# shown only where there is nothing else.
_FIRST_OF_ALL = """
(SELECT substr(p.prompt, 1, ?2) FROM interceptions AS i
 CROSS JOIN user_prompts AS p ON p.interception_seq = i.seq
 WHERE i.session_seq = j.value ORDER BY i.seq, p.seq LIMIT 1)
"""
_FIRST_OF_MAIN = _FIRST_OF_ALL.replace("j.value", f"j.value AND {BY_A_PERSON}")
_FIRST_PROMPT = f"ifnull({_FIRST_OF_MAIN}, {_FIRST_OF_ALL})"
_LAST_PROMPT = _FIRST_PROMPT.replace("i.seq, p.seq", "i.seq DESC, p.seq DESC")
_PROMPTS = f"SELECT j.value, {_FIRST_PROMPT}, {_LAST_PROMPT} FROM json_each(?1) AS j"  # noqa: S608


def _summaries(connection: sqlite3.Connection, seqs: list[int]) -> list[SessionSummary]:
    chosen = json.dumps(seqs)
    tools: dict[int, dict[str, int]] = {}
    for seq, tool, calls in connection.execute(_TOOLS, (chosen,)):
        tools.setdefault(seq, {})[tool] = calls
    prompts = {seq: ends for seq, *ends in connection.execute(_PROMPTS, (chosen, SHOWN_PROMPT))}
    found = {
        row[0]: _summary(row, tools.get(row[0], {}), prompts[row[0]])
        for row in connection.execute(_FIGURES, (chosen,))
    }
    return [found[seq] for seq in seqs if seq in found]


def _summary(
    row: tuple[Any, ...], tools: dict[str, int], prompts: list[str | None]
) -> SessionSummary:
    clients, providers, models = (tuple(json.loads(names)) for names in row[6:9])
    running = row[14]
    return SessionSummary(
        seq=row[0],
        id=row[1],
        initiator_id=row[2],
        parent_id=row[3],
        clients=clients,
        providers=providers,
        models=models,
        started_at=row[4],
        ended_at=None if running else row[9],
        last_active_at=row[5],
        threads=row[10],
        requests=row[11],
        errors=row[12],
        aborted=row[13],
        running=running,
        input_tokens=row[15],
        output_tokens=row[16],
        cache_read_input_tokens=row[17],
        cache_write_input_tokens=row[18],
        reasoning_tokens=row[19],
        cost_micros=row[20],
        plan_micros=row[21],
        unpriced=row[22],
        estimated=row[23],
        tools=tools,
        metadata=json.loads(row[24]),
        first_prompt=prompts[0],
        last_prompt=prompts[1],
    )
