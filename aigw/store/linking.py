"""Threads and sessions: where an interception stands among the others, found as it is written.

The rules, on which the order of arrival has no bearing:

- The *parent* of an interception is the one that made the tool call whose result it brings
  (`correlating_tool_call_id`). It must be of the same initiator, client and client session, and
  have begun earlier; of several the latest counts, as some clients use their call ids again.
- A *thread* is an interception without a parent (the human's prompt) and all its descendants.
- A *session* is named by the client; where it names none, each thread is a session of its own,
  with the id of the interception that begins it. One name of two initiators is two sessions.

An interception is nearly always written after the call that it answers, and is then in its place
from the start (`place`). Where the call comes later, what stands on it is moved by the upkeep
within a second (`adopt`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from aigw.records import InterceptionStart
from aigw.store.rows import Place

SAME_CALL_ID = 50
"""How many uses of one call id are looked at, the latest first. Ids are unique with all providers;
servers that number calls anew in each answer must not make each write slower than the one before."""

_PARENT = f"""
SELECT a.seq, a.thread_seq, a.session_seq
FROM (SELECT interception_seq FROM tool_usages WHERE tool_call_id = ?1 AND tool_call_id != ''
      ORDER BY seq DESC LIMIT {SAME_CALL_ID}) AS t
CROSS JOIN interceptions AS a ON a.seq = t.interception_seq
WHERE a.initiator_id = ?2 AND a.client = ?3 AND a.client_session_id IS ?4
  AND (a.started_at, a.id) < (?5, ?6)
ORDER BY a.started_at DESC, a.id DESC LIMIT 1
"""  # noqa: S608 (our own number)

# Rows that stand on a call which came after them: nearly always none.
_AWAITED = f"""
SELECT t.interception_seq, b.seq
FROM tool_usages AS t
CROSS JOIN interceptions AS b ON b.seq IN (
  SELECT seq FROM interceptions WHERE correlating_tool_call_id = t.tool_call_id
  ORDER BY seq DESC LIMIT {SAME_CALL_ID})
CROSS JOIN interceptions AS a ON a.seq = t.interception_seq
LEFT JOIN interceptions AS p ON p.seq = b.parent_seq
WHERE t.seq > ?1 AND t.seq <= ?2 AND t.tool_call_id != '' AND b.parent_seq IS NOT a.seq
  AND b.initiator_id = a.initiator_id AND b.client = a.client
  AND b.client_session_id IS a.client_session_id
  AND (b.started_at, b.id) > (a.started_at, a.id)
  AND (p.seq IS NULL OR (p.started_at, p.id) < (a.started_at, a.id))
ORDER BY a.started_at, a.id
"""  # noqa: S608

_SUBTREE = """
WITH RECURSIVE tree (seq) AS (
  VALUES (?1)
  UNION
  SELECT b.seq FROM tree
  CROSS JOIN tool_usages AS t ON t.interception_seq = tree.seq AND t.tool_call_id != ''
  CROSS JOIN interceptions AS b
    ON b.correlating_tool_call_id = t.tool_call_id AND b.parent_seq = tree.seq
)
SELECT seq FROM tree
"""


class _Standing(NamedTuple):
    """Where a row of `interceptions` stands now."""

    thread_seq: int
    session_seq: int
    client_session_id: str | None


class Linker:
    """Finds places on the writing connection, within the transaction that its caller has open."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def place(self, seq: int, start: InterceptionStart) -> Place:
        """Where an interception that is about to be written as `seq` stands."""
        parent = self._parent(start)
        if parent is not None and start.client_session_id is None:
            return Place(session_seq=parent[2], thread_seq=parent[1], parent_seq=parent[0])
        session = self._session(start)
        if parent is None:
            return Place(session, seq)
        return Place(session, parent[1], parent[0])

    def adopt(self, after: int, until: int) -> None:
        """Put what stands on the tool calls of these seqs in its place."""
        rows = self._connection.execute(_AWAITED, (after, until)).fetchall()
        # In the order of their makers: the latest of several is the last one to adopt.
        for maker, child in rows:
            self._move(child, maker)

    def _parent(self, start: InterceptionStart) -> tuple[int, int, int] | None:
        if start.correlating_tool_call_id is None:
            return None
        found: tuple[int, int, int] | None = self._connection.execute(
            _PARENT,
            (
                start.correlating_tool_call_id,
                start.initiator_id,
                start.client,
                start.client_session_id,
                start.started_at,
                start.interception_id,
            ),
        ).fetchone()
        return found

    def _session(self, start: InterceptionStart) -> int:
        """The session of the client's name, or a new one for a new thread."""
        name = start.client_session_id
        if name is not None:
            row = self._connection.execute(
                "SELECT seq, parent_id FROM sessions WHERE id = ? AND initiator_id = ?",
                (name, start.initiator_id),
            ).fetchone()
            if row is not None:
                if row[1] is None and start.parent_session_id is not None:
                    self._connection.execute(
                        "UPDATE sessions SET parent_id = ? WHERE seq = ?",
                        (start.parent_session_id, row[0]),
                    )
                found: int = row[0]
                return found
        made = self._connection.execute(
            "INSERT INTO sessions (id, initiator_id, parent_id, started_at, last_active_at)"
            " VALUES (?1, ?2, ?3, ?4, ?4)",
            (
                name or start.interception_id,
                start.initiator_id,
                start.parent_session_id,
                start.started_at,
            ),
        ).lastrowid
        assert made is not None
        return made

    def _standing(self, seq: int) -> _Standing:
        row = self._connection.execute(
            "SELECT thread_seq, session_seq, client_session_id FROM interceptions WHERE seq = ?",
            (seq,),
        ).fetchone()
        return _Standing(*row)

    def _move(self, seq: int, parent: int) -> None:
        """Hang an interception and its descendants below a parent."""
        old, new = self._standing(seq), self._standing(parent)
        moved = [row[0] for row in self._connection.execute(_SUBTREE, (seq,))]
        chosen = json.dumps(moved)
        self._connection.execute(
            "UPDATE interceptions SET parent_seq = ? WHERE seq = ?", (parent, seq)
        )
        self._connection.execute(
            "UPDATE interceptions SET thread_seq = ?, session_seq = ?"
            " WHERE seq IN (SELECT value FROM json_each(?))",
            (new.thread_seq, new.session_seq, chosen),
        )
        if old.session_seq != new.session_seq:
            note_activity(self._connection, [new.session_seq])
            remove_empty(self._connection, [old.session_seq])


def note_activity(connection: sqlite3.Connection, sessions: Iterable[int]) -> None:
    """Work out anew when the sessions began and were last active."""
    connection.execute(
        "UPDATE sessions SET (started_at, last_active_at) ="
        " (SELECT min(i.started_at), max(max(i.started_at, ifnull(i.ended_at, 0)))"
        " FROM interceptions AS i WHERE i.session_seq = sessions.seq)"
        " WHERE seq IN (SELECT value FROM json_each(?))",
        (json.dumps(list(sessions)),),
    )


def remove_empty(connection: sqlite3.Connection, sessions: Iterable[int]) -> None:
    """Delete those of the sessions that no interception is in any more."""
    connection.execute(
        "DELETE FROM sessions WHERE seq IN (SELECT value FROM json_each(?))"
        " AND NOT EXISTS (SELECT 1 FROM interceptions WHERE session_seq = sessions.seq)",
        (json.dumps(list(sessions)),),
    )
