"""Which sessions say something: a text in the prompts, tools and thoughts of their interceptions.

A rare text is looked up in the full-text index and each record found leads to its session. Of a
common text that would be most of the store: then the sessions in question are taken in batches, and
their records held against the part of the index that they lie in.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aigw.store.schema import SEARCHED
from aigw.store.search import TextMatch, match_expression
from aigw.store.selection import EVERYTHING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from aigw.store.filters import Condition

RARE = 50_000
"""Up to so many records are followed to their sessions, in some 200 ms."""

_RECORDS = " UNION ALL ".join(
    f"SELECT t.interception_seq FROM {table} AS t"  # noqa: S608 (our own names)
    " WHERE t.seq IN (SELECT value FROM json_each(?1))"
    for table in SEARCHED
)


class TextSessions:
    """The sessions with a record that holds the text, its interception fulfilling a condition.

    Raises:
        ValueError: the text holds no word to search for.
    """

    def __init__(
        self, connection: sqlite3.Connection, text: str, on_interception: Condition
    ) -> None:
        self._connection = connection
        self._match = TextMatch(connection, match_expression(text))
        sql, self._values = on_interception
        self._where = f" AND {sql}" if sql else ""

    def all(self, most: int | None = None) -> list[int] | None:
        """Every such session; None where more than `most` records hold the text."""
        records = 0
        chunks = []
        for chunk in self._match.before(EVERYTHING.high):
            records += len(chunk)
            if most is not None and records > most:
                return None
            chunks.append(chunk)
        return list({seq for chunk in chunks for seq in self._sessions_of(chunk)})

    def among(self, sessions: Iterable[int]) -> set[int]:
        """Those of the sessions that are such."""
        owners = self._records_of(sessions)
        missing = set(owners.values())
        found: set[int] = set()
        if not owners:
            return found
        low = min(owners)
        for chunk in self._match.before(max(owners) + 1):
            found.update(owners[seq] for seq in chunk if seq in owners)
            if chunk[-1] <= low or len(found) == len(missing):
                break
        return found

    def _records_of(self, sessions: Iterable[int]) -> dict[int, int]:
        """The session of each of their searchable records."""
        chosen = json.dumps(list(sessions))
        owners: dict[int, int] = {}
        for table in SEARCHED:
            owners.update(
                self._connection.execute(
                    "SELECT t.seq, i.session_seq FROM json_each(?) AS j"  # noqa: S608
                    " CROSS JOIN interceptions AS i INDEXED BY interceptions_session_seq"
                    f" ON i.session_seq = j.value CROSS JOIN {table} AS t"
                    f" ON t.interception_seq = i.seq WHERE 1{self._where}",
                    [chosen, *self._values],
                )
            )
        return owners

    def _sessions_of(self, records: list[int]) -> list[int]:
        rows = self._connection.execute(
            f"SELECT DISTINCT i.session_seq FROM (SELECT DISTINCT * FROM ({_RECORDS})) AS t"  # noqa: S608
            f" CROSS JOIN interceptions AS i ON i.seq = t.interception_seq WHERE 1{self._where}",
            [json.dumps(records), *self._values],
        )
        return [row[0] for row in rows]
