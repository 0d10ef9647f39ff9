"""Threads and sessions: where an interception stands among the others, found as it is written.

The rules, on which the order of arrival has no bearing:

- The *parent* of an interception is the one that made the tool call whose result it brings
  (`correlating_tool_call_id`). It must be of the same initiator, client and client session, and
  have begun earlier; of several the latest counts, as some clients use their call ids again.
- A *thread* is an interception without a parent (the human's prompt) and all its descendants.
- A *session* is named by the client; where it names none, each thread is a session of its own,
  with the id of the interception that begins it. One name of two initiators is two sessions.

An interception is mostly written after the call it answers. Where the call comes later, what
stands on it moves: `Linker.adopt`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from aigw.records import InterceptionStart, ToolUsage
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

_SESSION = """
INSERT INTO sessions (id, initiator_id, parent_id, started_at, last_active_at)
VALUES (?1, ?2, ?3, ?4, ?4)
ON CONFLICT (id, initiator_id) DO UPDATE SET
  parent_id = ifnull(parent_id, excluded.parent_id),
  started_at = min(started_at, excluded.started_at),
  last_active_at = max(last_active_at, excluded.last_active_at)
RETURNING seq
"""

_CHILDREN = f"""
SELECT b.seq, b.id, b.started_at, b.client_session_id, b.thread_seq, b.session_seq,
  p.started_at, p.id
FROM (SELECT seq FROM interceptions WHERE correlating_tool_call_id = ?1
      ORDER BY seq DESC LIMIT {SAME_CALL_ID}) AS found
CROSS JOIN interceptions AS b ON b.seq = found.seq
LEFT JOIN interceptions AS p ON p.seq = b.parent_seq
WHERE b.initiator_id = ?2 AND b.client = ?3 AND b.client_session_id IS ?4
  AND (b.started_at, b.id) > (?5, ?6)
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


class _Maker(NamedTuple):
    """An interception that made tool calls."""

    seq: int
    id: str
    initiator: str
    client: str
    client_session: str | None
    started_at: int
    thread_seq: int
    session_seq: int


class Linker:
    """Finds places on the writing connection, within the transaction that its caller has open."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def place(self, seq: int, start: InterceptionStart) -> Place:
        """Where an interception that is about to be written as `seq` stands."""
        parent = self._parent(start)
        if start.client_session_id is None and parent is not None:
            parent_seq, thread, session = parent
            self._connection.execute(
                "UPDATE sessions SET last_active_at = max(last_active_at, ?) WHERE seq = ?",
                (start.started_at, session),
            )
            return Place(session, thread, parent_seq)
        session = self._session(
            start.client_session_id or start.interception_id,
            start.initiator_id,
            start.parent_session_id,
            start.started_at,
        )
        if parent is None:
            return Place(session, seq)
        return Place(session, parent[1], parent[0])

    def adopt(self, calls: Sequence[tuple[int, ToolUsage]]) -> None:
        """Put what stands on these new calls (with their interception's seq) in its place.

        All rows of the transaction have been written.
        """
        for maker, call_id in self._awaited(calls):
            values = (
                call_id, maker.initiator, maker.client, maker.client_session, maker.started_at, maker.id,
            )  # fmt: skip
            for row in self._connection.execute(_CHILDREN, values).fetchall():
                seq, _, _, client_session, _, session, parent_started, parent_id = row
                if parent_id is None or (parent_started, parent_id) < (maker.started_at, maker.id):
                    # The maker may have moved with an earlier one.
                    self._move(seq, maker.seq, session if client_session is None else None)

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

    def _session(self, name: str, initiator: str, parent: str | None, at: int) -> int:
        rows = self._connection.execute(_SESSION, (name, initiator, parent, at)).fetchall()
        seq: int = rows[0][0]
        return seq

    def _awaited(self, calls: Sequence[tuple[int, ToolUsage]]) -> list[tuple[_Maker, str]]:
        """Those of the calls that an interception already here stands on: nearly always none."""
        by_id: dict[str, set[int]] = {}
        for seq, call in calls:
            if call.tool_call_id:
                by_id.setdefault(call.tool_call_id, set()).add(seq)
        if not by_id:
            return []
        known = self._connection.execute(
            "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM interceptions"
            " WHERE correlating_tool_call_id = value)",
            (json.dumps(list(by_id)),),
        ).fetchall()
        return [
            (self._maker(seq), call_id) for (call_id,) in known for seq in sorted(by_id[call_id])
        ]

    def _maker(self, seq: int) -> _Maker:
        row: tuple[Any, ...] = self._connection.execute(
            "SELECT seq, id, initiator_id, client, client_session_id, started_at, thread_seq,"
            " session_seq FROM interceptions WHERE seq = ?",
            (seq,),
        ).fetchone()
        return _Maker(*row)

    def _move(self, seq: int, parent: int, left: int | None) -> None:
        """Hang an interception and its descendants below a parent; `left`: out of this session."""
        maker = self._maker(parent)
        moved = [row[0] for row in self._connection.execute(_SUBTREE, (seq,)).fetchall()]
        self._connection.execute(
            "UPDATE interceptions SET parent_seq = ? WHERE seq = ?", (parent, seq)
        )
        chosen = json.dumps(moved)
        self._connection.execute(
            "UPDATE interceptions SET thread_seq = ?, session_seq = ?"
            " WHERE seq IN (SELECT value FROM json_each(?))",
            (maker.thread_seq, maker.session_seq, chosen),
        )
        if left is None or left == maker.session_seq:
            return
        self._connection.execute(
            "UPDATE sessions SET (started_at, last_active_at) = (SELECT min(sessions.started_at,"
            " min(i.started_at)), max(sessions.last_active_at, max(max(i.started_at,"
            " ifnull(i.ended_at, 0)))) FROM interceptions AS i WHERE i.seq IN (SELECT value FROM"
            " json_each(?2))) WHERE seq = ?1",
            (maker.session_seq, chosen),
        )
        remove_empty(self._connection, [left])


def remove_empty(connection: sqlite3.Connection, sessions: Iterable[int]) -> None:
    """Delete those of the sessions that no interception is in any more."""
    connection.execute(
        "DELETE FROM sessions WHERE seq IN (SELECT value FROM json_each(?))"
        " AND NOT EXISTS (SELECT 1 FROM interceptions WHERE session_seq = sessions.seq)",
        (json.dumps(list(sessions)),),
    )
