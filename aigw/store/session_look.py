"""A look at a whole session: its threads, what they come to, and how they hang together.

Only short columns are read for every interception. What sub-agents are told apart by, prompts and
tool inputs, is read where a call was made that can start one or a thread failed at once.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from aigw.store.schema import SEARCHED
from aigw.store.search import match_expression, matching
from aigw.store.session_origins import (
    Beginning,
    Links,
    Moment,
    PromptingCall,
    link,
    normal,
    origin_of,
)
from aigw.store.session_parts import Child, Event, Figures, Origin, SessionRow, Thread

_LOOK = """
SELECT seq, id, ifnull(thread_seq, seq), started_at, ended_at, status, agent_id, parent_agent_id,
  plan, ifnull(input_tokens, 0), ifnull(output_tokens, 0),
  ifnull(cache_read_input_tokens, 0), ifnull(cache_write_input_tokens, 0),
  ifnull(reasoning_tokens, 0), ifnull(cost_micros, 0), ifnull(unpriced, 0), ifnull(estimated, 0)
FROM interceptions WHERE session_seq = ? ORDER BY started_at, id
"""

# Only what can hold one of the arguments is parsed: doing that with every input costs more.
_PROMPTING = """
WITH made AS MATERIALIZED (
  SELECT i.started_at AS at, i.id AS id, t.seq AS seq, i.seq AS maker, t.tool_call_id AS call,
    t.input AS input
  FROM interceptions AS i CROSS JOIN tool_usages AS t ON t.interception_seq = i.seq
  WHERE i.session_seq = ? AND t.tool_call_id != ''
    AND (instr(t.input, '"prompt"') OR instr(t.input, '"message"'))
    AND CASE WHEN json_valid(t.input) THEN json_type(t.input) = 'object' END
), read AS (
  SELECT at, id, seq, maker, call, CASE 'text'
    WHEN json_type(input, '$.prompt') THEN json_extract(input, '$.prompt')
    WHEN json_type(input, '$.message') THEN json_extract(input, '$.message') END AS prompt
  FROM made
)
SELECT maker, call, CAST(prompt AS BLOB) FROM read WHERE prompt IS NOT NULL ORDER BY at, id, seq
"""

_ANSWERED = """
SELECT t.tool_call_id, min(i.started_at)
FROM interceptions AS i CROSS JOIN tool_results AS t ON t.interception_seq = i.seq
WHERE i.session_seq = ?1 AND t.tool_call_id IN (SELECT value FROM json_each(?2))
GROUP BY t.tool_call_id
"""

_CHILDREN = """
SELECT s.seq, s.id, s.initiator_id, s.parent_id, s.started_at, s.last_active_at,
  count(i.seq), count(*) FILTER (WHERE i.status = 'failed'),
  count(*) FILTER (WHERE i.status = 'aborted'), count(i.seq) FILTER (WHERE i.end_seq IS NULL),
  ifnull(sum(i.input_tokens), 0), ifnull(sum(i.output_tokens), 0),
  ifnull(sum(i.cache_read_input_tokens), 0), ifnull(sum(i.cache_write_input_tokens), 0),
  ifnull(sum(i.reasoning_tokens), 0),
  ifnull(sum(i.cost_micros) FILTER (WHERE i.plan IS NULL), 0),
  ifnull(sum(i.cost_micros) FILTER (WHERE i.plan IS NOT NULL), 0),
  ifnull(sum(i.unpriced), 0), ifnull(sum(i.estimated), 0)
FROM sessions AS s LEFT JOIN interceptions AS i ON i.session_seq = s.seq
WHERE s.parent_id = ? AND s.initiator_id = ? AND s.seq != ?
GROUP BY s.seq ORDER BY s.started_at, s.id
"""

_FIRST_PROMPT = """
SELECT p.prompt FROM interceptions AS i CROSS JOIN user_prompts AS p ON p.interception_seq = i.seq
WHERE i.session_seq = ? ORDER BY i.started_at, i.id, p.seq LIMIT 1
"""


class _Row(NamedTuple):
    """The columns of `_LOOK`."""

    seq: int
    id: str
    thread: int
    started_at: int
    ended_at: int | None
    status: str | None
    agent_id: str | None
    parent_agent_id: str | None
    plan: str | None
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cache_write_input_tokens: int
    reasoning_tokens: int
    cost_micros: int
    unpriced: int
    estimated: int


@dataclass(slots=True)
class Look:
    """What was seen. A thread's key is `thread_seq`; all mappings of threads are in order of time.

    `threads` has the seqs of their steps, `ids` those of their first interceptions, `tops` the
    threads at the top of their families.
    """

    row: SessionRow
    rows: dict[int, _Row]
    threads: dict[int, list[int]]
    ids: dict[int, str]
    places: dict[int, int]
    calls: list[PromptingCall]
    links: Links
    tops: dict[int, int]

    def place_of(self, interception_id: str, *, top: bool) -> int | None:
        """Where in order of time the thread of an interception is, or the top of its family."""
        wanted = interception_id.strip().lower()
        for row in self.rows.values():
            if row.id == wanted:
                return self.places[self.tops[row.thread] if top else row.thread]
        return None

    def thread(self, key: int, steps: Sequence[Event]) -> Thread:
        """A thread with its steps."""
        first = self.rows[self.threads[key][0]]
        call, tried = self.links.calls.get(key), self.links.retries.get(key)
        return Thread(
            id=first.id,
            agent_id=first.agent_id,
            parent_agent_id=first.parent_agent_id,
            origin=None if call is None else call.origin,
            retry_of=None if tried is None else self.ids[tried],
            figures=_figures(self.rows[seq] for seq in self.threads[key]),
            steps=list(steps),
        )


def look_at(connection: sqlite3.Connection, session: SessionRow) -> Look | None:
    """Look at a session; None when nothing is left of it."""
    rows = {row[0]: _Row(*row) for row in connection.execute(_LOOK, (session.seq,))}
    if not rows:
        return None
    threads: dict[int, list[int]] = {}
    for row in rows.values():
        threads.setdefault(row.thread, []).append(row.seq)
    calls = _prompting_calls(connection, session.seq, rows)
    beginnings = [_beginning(rows, key, seqs) for key, seqs in threads.items()]
    if calls or any(each.dead_at is not None for each in beginnings):
        beginnings = _with_prompts(connection, beginnings, threads)
    links = link(beginnings, calls)
    tops: dict[int, int] = {}
    for key in threads:
        # A call comes before what it starts, so its thread has been here.
        tops[key] = tops[links.calls[key].thread] if key in links.calls else key
    return Look(
        row=session,
        rows=rows,
        threads=threads,
        ids={key: rows[seqs[0]].id for key, seqs in threads.items()},
        places={key: place for place, key in enumerate(threads)},
        calls=calls,
        links=links,
        tops=tops,
    )


def matching_threads(connection: sqlite3.Connection, session_seq: int, text: str) -> set[int]:
    """The keys of the threads with a record that matches, as `aigw logs -q` would find it.

    Raises:
        ValueError: there is no word to search for.
    """
    expression = match_expression(text)
    arms = " UNION ALL ".join(
        f"SELECT t.seq AS seq, t.{column} AS text FROM interceptions AS i"  # noqa: S608
        f" CROSS JOIN {table} AS t ON t.interception_seq = i.seq WHERE i.session_seq = ?1"
        for table, column in SEARCHED.items()
    )
    found = json.dumps(matching(connection.execute(arms, (session_seq,)), expression))
    makers = " UNION ".join(
        f"SELECT interception_seq FROM {table} WHERE seq IN (SELECT value FROM json_each(?1))"  # noqa: S608
        for table in SEARCHED
    )
    rows = connection.execute(
        f"SELECT DISTINCT ifnull(thread_seq, seq) FROM interceptions WHERE seq IN ({makers})",  # noqa: S608
        (found,),
    )
    return {row[0] for row in rows}


def _beginning(rows: dict[int, _Row], key: int, seqs: Sequence[int]) -> Beginning:
    first = rows[seqs[0]]
    is_dead = len(seqs) == 1 and first.status in ("failed", "aborted")
    return Beginning(
        thread=key,
        moment=Moment(first.started_at, first.id),
        agent_id=first.agent_id,
        parent_agent_id=first.parent_agent_id,
        prompt="",
        dead_at=(first.ended_at or first.started_at) if is_dead else None,
    )


def _with_prompts(
    connection: sqlite3.Connection, beginnings: list[Beginning], threads: dict[int, list[int]]
) -> list[Beginning]:
    first = {seqs[0]: key for key, seqs in threads.items()}
    prompts = {
        first[seq]: normal(prompt)
        for seq, prompt in connection.execute(
            "SELECT interception_seq, prompt FROM user_prompts"
            " WHERE interception_seq IN (SELECT value FROM json_each(?)) ORDER BY seq",
            (json.dumps(list(first)),),
        )
    }
    return [replace(each, prompt=prompts.get(each.thread, "")) for each in beginnings]


def _prompting_calls(
    connection: sqlite3.Connection, session_seq: int, rows: dict[int, _Row]
) -> list[PromptingCall]:
    found = connection.execute(_PROMPTING, (session_seq,)).fetchall()
    if not found:
        return []
    ids = json.dumps([row[1] for row in found])
    answered = dict(connection.execute(_ANSWERED, (session_seq, ids)).fetchall())
    return [
        PromptingCall(
            origin=Origin(rows[seq].id, call_id),
            made=Moment(rows[seq].started_at, rows[seq].id),
            thread=rows[seq].thread,
            agent_id=rows[seq].agent_id,
            prompt=normal(_argument(prompt)),
            answered_at=answered.get(call_id),
        )
        for seq, call_id, prompt in found
    ]


def _argument(raw: bytes) -> str:
    r"""An argument's text, in the form in which the sub-agent's prompt was recorded.

    What a model writes may end within an emoji (`"\ud83d"`), of which SQLite makes no valid UTF-8.
    """
    text = raw.decode("utf-8", "surrogatepass")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _figures(rows: Iterable[_Row]) -> Figures:
    sums = Figures()
    for row in rows:
        sums.requests += 1
        sums.errors += row.status == "failed"
        sums.aborted += row.status == "aborted"
        sums.running += row.status is None
        for name in (
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_write_input_tokens",
            "reasoning_tokens",
            "unpriced",
            "estimated",
        ):
            setattr(sums, name, getattr(sums, name) + getattr(row, name))
        if row.plan is None:
            sums.cost_micros += row.cost_micros
        else:
            sums.plan_micros += row.cost_micros
    return sums


def children_of(
    connection: sqlite3.Connection, session: SessionRow, calls: Sequence[PromptingCall]
) -> list[Child]:
    """The sessions that this one started, with the calls that did where those are known."""
    found: list[Child] = []
    for row in connection.execute(
        _CHILDREN, (session.id, session.initiator_id, session.seq)
    ).fetchall():
        child = SessionRow(*row[:6])
        # Read only where there is a call that it could be compared with.
        prompt = normal(_text(connection, _FIRST_PROMPT, child.seq)) if calls else ""
        origin = origin_of(prompt, Moment(child.started_at, "~"), calls)
        found.append(Child(child, Figures(*row[6:]), origin))
    return found


def _text(connection: sqlite3.Connection, sql: str, session_seq: int) -> str | None:
    row = connection.execute(sql, (session_seq,)).fetchone()
    return row[0] if row else None
