"""One session's figures at this moment: what it has cost, and how full its context is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aigw.store.reader import snapshot
from aigw.store.usage import RECORD_SUMS, Sums

if TYPE_CHECKING:
    import sqlite3

# Of equal ids of several initiators the one active last, as everywhere.
_ONE = "SELECT seq FROM sessions WHERE id = ?1 ORDER BY last_active_at DESC, seq DESC LIMIT 1"

# With the sessions of sub-agents that are sessions of their own. UNION: clients choose the ids, so
# they may name each other in a circle.
_FAMILY = f"""
WITH RECURSIVE family (seq, id, initiator_id) AS (
  SELECT seq, id, initiator_id FROM sessions WHERE seq = ({_ONE})
  UNION
  SELECT s.seq, s.id, s.initiator_id FROM family
  JOIN sessions AS s ON s.parent_id = family.id AND s.initiator_id = family.initiator_id
)
"""  # noqa: S608 (our own names)

_SUMS = (
    f"{_FAMILY} SELECT {RECORD_SUMS} FROM interceptions"  # noqa: S608 (our own names)
    " WHERE session_seq IN (SELECT seq FROM family)"
)

# Sub-agents have contexts of their own; failed requests tell nothing of the context, and those that
# were given up before an answer less than the one before them: their input is the least it can be.
_LAST = f"""
SELECT model, input_tokens + cache_read_input_tokens + cache_write_input_tokens AS tokens,
  context_window
FROM interceptions
WHERE session_seq = ({_ONE}) AND tokens > 0
  AND (estimated = 0 OR output_tokens > 0)
ORDER BY agent_id IS NULL DESC, started_at DESC LIMIT 1
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class SessionSums:
    """Sums of a session and its sub-agents, and its last request.

    `context_tokens` went in with that request, cached ones included; `context_window` is the model's.
    They are None, and `model` is empty, while no request has been answered.
    """

    id: str
    sums: Sums
    model: str = ""
    context_tokens: int | None = None
    context_window: int | None = None


def session_sums(connection: sqlite3.Connection, session_id: str) -> SessionSums | None:
    """The figures of the session with this id; None when there is none."""
    with snapshot(connection):
        sums = Sums(*connection.execute(_SUMS, (session_id,)).fetchone())
        last = connection.execute(_LAST, (session_id,)).fetchone()
    if not sums.requests:
        return None
    return SessionSums(session_id, sums, *(last or ()))


def latest_session(connection: sqlite3.Connection, since: int) -> str | None:
    """The id of the session that was active last, at `since` (microseconds) or later."""
    row = connection.execute(
        "SELECT id FROM sessions WHERE last_active_at >= ? ORDER BY last_active_at DESC LIMIT 1",
        (since,),
    ).fetchone()
    return row[0] if row else None
