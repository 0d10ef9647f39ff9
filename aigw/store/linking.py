"""Threads and sessions: where an interception stands among the others, found as it is written.

The rules, on which the order of arrival has no bearing:

- The *parent* of an interception is the one that made the tool call whose result it brings
  (`correlating_tool_call_id`). It must be of the same initiator, client and client session, and
  have begun earlier; of several the latest counts, as some clients use their call ids again.
- A *thread* is an interception without a parent (the human's prompt) and all its descendants.
- A *session* is named by the client; where it names none, each thread is a session of its own,
  with the id of the interception that begins it. One name of two initiators is two sessions.
- The session that started another is the one that its interceptions name as such; of several names
  (no client is known to send them) the first by the alphabet.

An interception is nearly always written after the call that it answers, and is then in its place
from the start (`place`). Where the call comes later, what stands on it is moved by the upkeep
within a second (`adopt`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from aigw.records import InterceptionStart
from aigw.store.rows import Place, Row, execute_with_rows

Starts: TypeAlias = Sequence[tuple[int, InterceptionStart]]
"""Interceptions with the `seq` that they are about to be written as."""

SAME_CALL_ID = 50
"""How many uses of one call id are looked at, the latest first. Ids are unique with all providers;
servers that number calls anew in each answer must not make each write slower than the one before."""

LOOKED_THROUGH = 200
"""Interceptions of a client's session that are looked through for a call that is not among those:
between a call and its result others may have used its id any number of times. Some 0.5 ms."""

FURTHER_USES = 1_000
"""Uses of the call id that are looked at for it where the client names no session. Some 2 ms."""

# Who may have made a call, and when they began. The latest is chosen outside: sorting one row in
# SQLite costs more than finding it.
_MAKERS = """
SELECT a.started_at, a.id, a.seq, a.thread_seq, a.session_seq
FROM (SELECT interception_seq FROM tool_usages WHERE tool_call_id = ?1 AND tool_call_id != ''
      ORDER BY seq DESC LIMIT ?7) AS t
CROSS JOIN interceptions AS a ON a.seq = t.interception_seq
WHERE a.initiator_id = ?2 AND a.client = ?3 AND a.client_session_id IS ?4
  AND (a.started_at, a.id) < (?5, ?6)
"""

# The same among the latest of the session that the client names, whatever others call theirs.
_MAKERS_IN_SESSION = """
SELECT a.started_at, a.id, a.seq, a.thread_seq, a.session_seq
FROM (SELECT * FROM interceptions
      WHERE session_seq = (SELECT seq FROM sessions WHERE id = ?4 AND initiator_id = ?2)
        AND (started_at, id) < (?5, ?6)
      ORDER BY started_at DESC LIMIT ?7) AS a
CROSS JOIN tool_usages AS t ON t.interception_seq = a.seq
WHERE t.tool_call_id = ?1 AND t.tool_call_id != '' AND a.client = ?3 AND a.client_session_id = ?4
"""

_KNOWN_SESSIONS = (
    "SELECT s.id, s.initiator_id, s.seq FROM (VALUES {rows}) AS v"
    " CROSS JOIN sessions AS s ON s.id = v.column1 AND s.initiator_id = v.column2"
)

_NEW_SESSIONS = (
    "INSERT INTO sessions (seq, id, initiator_id, started_at, last_active_at) VALUES {rows}"
    " ON CONFLICT (id, initiator_id) DO NOTHING"
)

# Who waits for a call that has only come now: nearly always nobody, so their index is empty.
_AWAITING = f"""
SELECT a.started_at, a.id, a.seq, b.seq
FROM tool_usages AS t
CROSS JOIN interceptions AS b ON b.seq IN (
  SELECT seq FROM interceptions
  WHERE correlating_tool_call_id = t.tool_call_id AND parent_seq IS NULL
  ORDER BY seq DESC LIMIT {SAME_CALL_ID})
CROSS JOIN interceptions AS a ON a.seq = t.interception_seq
WHERE t.seq > ?1 AND t.seq <= ?2 AND t.tool_call_id != ''
  AND b.initiator_id = a.initiator_id AND b.client = a.client
  AND b.client_session_id IS a.client_session_id
  AND (b.started_at, b.id) > (a.started_at, a.id)
"""  # noqa: S608

# Who hangs below an earlier maker (`p`) of a call id that has been used again.
_MISPLACED = f"""
SELECT a.started_at, a.id, a.seq, b.seq
FROM tool_usages AS t
CROSS JOIN tool_usages AS earlier ON earlier.seq IN (
  SELECT seq FROM tool_usages WHERE tool_call_id = t.tool_call_id AND tool_call_id != ''
  ORDER BY seq DESC LIMIT {SAME_CALL_ID}) AND earlier.interception_seq != t.interception_seq
CROSS JOIN interceptions AS a ON a.seq = t.interception_seq
CROSS JOIN interceptions AS p ON p.seq = earlier.interception_seq
CROSS JOIN interceptions AS b ON b.parent_seq = p.seq
WHERE t.seq > ?1 AND t.seq <= ?2 AND t.tool_call_id != ''
  AND p.initiator_id = a.initiator_id AND p.client = a.client
  AND p.client_session_id IS a.client_session_id
  AND (p.started_at, p.id) < (a.started_at, a.id)
  AND b.correlating_tool_call_id = t.tool_call_id
  AND (b.started_at, b.id) > (a.started_at, a.id)
"""  # noqa: S608

# An interception and all that is below it. A parent is older than its children: there are no circles.
_SUBTREE = """
WITH RECURSIVE tree (seq) AS (
  VALUES (?1)
  UNION ALL
  SELECT b.seq FROM tree CROSS JOIN interceptions AS b ON b.parent_seq = tree.seq
)
SELECT seq FROM tree
"""

# What a session is by all that is in it.
_WORK_OUT_SESSION = """
UPDATE sessions SET (started_at, last_active_at, parent_id) = (
  SELECT min(i.started_at), max(max(i.started_at, ifnull(i.ended_at, 0))),
    min(nullif(i.parent_session_id, sessions.id))
  FROM interceptions AS i WHERE i.session_seq = sessions.seq
) WHERE seq IN (?, ?)
"""

_SessionKey: TypeAlias = tuple[str, str]
"""A session's id and its initiator."""


class _Parent(NamedTuple):
    """A row of `interceptions` that another hangs below, and where it stands."""

    seq: int
    thread_seq: int
    session_seq: int


class Linker:
    """Finds places on the writing connection, within the transaction that its caller has open."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def place(self, starts: Starts) -> list[Place]:
        """Where interceptions that are about to be written stand, in their order.

        Sessions are made for those that begin one, with the `seq` of the interception.
        """
        parents = self._parents(starts)
        sessions = self._sessions([s for s in starts if s[0] not in parents])
        places: list[Place] = []
        for seq, start in starts:
            parent = parents.get(seq)
            if parent is None:
                place = Place(sessions[_session_key(start)], seq)
            else:
                # It is of the parent's session also where the client names that one.
                place = Place(parent.session_seq, parent.thread_seq, parent.seq)
            if start.parent_session_id is not None:
                self._name_parent(place.session_seq, start.parent_session_id)
            places.append(place)
        return places

    def adopt(self, after: int, until: int) -> None:
        """Put what stands on the tool calls of these seqs in its place."""
        rows = [
            *self._connection.execute(_AWAITING, (after, until)),
            *self._connection.execute(_MISPLACED, (after, until)),
        ]
        # In the order of their makers: the latest of several is the last one to adopt.
        for *_, maker, child in sorted(rows):
            self._move(child, maker)

    def _parents(self, starts: Starts) -> dict[int, _Parent]:
        """Those of the interceptions that have one, by `seq`."""
        found: dict[int, _Parent] = {}
        for seq, start in starts:
            if start.correlating_tool_call_id is None:
                continue
            makers = self._makers(start)
            if makers:
                found[seq] = _Parent(*max(makers)[2:])
        return found

    def _makers(self, start: InterceptionStart) -> list[Row]:
        """Who may have made the call whose result this brings."""
        asked = (
            start.correlating_tool_call_id,
            start.initiator_id,
            start.client,
            start.client_session_id,
            start.started_at,
            start.interception_id,
        )
        found = self._connection.execute(_MAKERS, (*asked, SAME_CALL_ID)).fetchall()
        if found:
            return found
        if start.client_session_id is None:
            return self._connection.execute(_MAKERS, (*asked, FURTHER_USES)).fetchall()
        return self._connection.execute(_MAKERS_IN_SESSION, (*asked, LOOKED_THROUGH)).fetchall()

    def _sessions(self, roots: Starts) -> dict[_SessionKey, int]:
        """The sessions of interceptions without a parent; those not there yet are made."""
        named = {_session_key(start) for _, start in roots if start.client_session_id is not None}
        sessions = self._known(named)
        made: dict[_SessionKey, Row] = {}
        for seq, start in roots:
            key = _session_key(start)
            if key not in sessions:
                sessions[key] = seq
                made[key] = (seq, *key, start.started_at, start.started_at)
        changed = self._connection.total_changes
        execute_with_rows(self._connection, _NEW_SESSIONS, list(made.values()))
        if self._connection.total_changes - changed < len(made):
            # A client has named its session like another one's first interception.
            sessions |= self._known(made)
        return sessions

    def _known(self, keys: Collection[_SessionKey]) -> dict[_SessionKey, int]:
        found = execute_with_rows(self._connection, _KNOWN_SESSIONS, list(keys))
        return {(row[0], row[1]): row[2] for row in found}

    def _name_parent(self, session_seq: int, parent_id: str) -> None:
        """Note which session started this one. Of several names the first by the alphabet stays."""
        self._connection.execute(
            "UPDATE sessions SET parent_id = ?1"
            " WHERE seq = ?2 AND id != ?1 AND (parent_id IS NULL OR parent_id > ?1)",
            (parent_id, session_seq),
        )

    def _standing(self, seq: int) -> _Parent:
        row = self._connection.execute(
            "SELECT seq, thread_seq, session_seq FROM interceptions WHERE seq = ?", (seq,)
        ).fetchone()
        return _Parent(*row)

    def _move(self, seq: int, parent: int) -> None:
        """Hang an interception and its descendants below a parent."""
        old, new = self._standing(seq), self._standing(parent)
        moved = [row[0] for row in self._connection.execute(_SUBTREE, (seq,))]
        self._connection.execute(
            "UPDATE interceptions SET parent_seq = ? WHERE seq = ?", (parent, seq)
        )
        self._connection.execute(
            "UPDATE interceptions SET thread_seq = ?, session_seq = ?"
            " WHERE seq IN (SELECT value FROM json_each(?))",
            (new.thread_seq, new.session_seq, json.dumps(moved)),
        )
        if old.session_seq != new.session_seq:
            remove_empty(self._connection, [old.session_seq])
            self._connection.execute(_WORK_OUT_SESSION, (old.session_seq, new.session_seq))


def _session_key(start: InterceptionStart) -> _SessionKey:
    """The session of an interception without a parent."""
    name = start.client_session_id
    return start.interception_id if name is None else name, start.initiator_id


def remove_empty(connection: sqlite3.Connection, sessions: Iterable[int]) -> None:
    """Delete those of the sessions that no interception is in any more."""
    connection.execute(
        "DELETE FROM sessions WHERE seq IN (SELECT value FROM json_each(?))"
        " AND NOT EXISTS (SELECT 1 FROM interceptions WHERE session_seq = sessions.seq)",
        (json.dumps(list(sessions)),),
    )
