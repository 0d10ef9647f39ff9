"""Deleting old interceptions, in steps small enough that nobody waits.

What is old is decided by an interception's `started_at`, and all its records go with it. Each step
is one short transaction, so the daemon's commits fit in between, also when another process prunes.
Freed pages are then given back to the file system, again a few at a time.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aigw.store.linking import remove_empty
from aigw.store.schema import CHILD_TABLES, SEARCHED, keep_last_seq
from aigw.store.search import indexed_seq

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

BATCH = 100
"""Interceptions in one step: some 10 ms in which commits wait."""

VACUUM_PAGES = 100
"""Pages given back in one step (400 KB): some milliseconds."""

TABLES = ("interceptions", *CHILD_TABLES)


@dataclass(slots=True)
class PruneResult:
    """Rows deleted by table, and how much smaller the database became.

    Of a dry run: rows that would be deleted, and the bytes of their text and numbers, about.
    """

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TABLES, 0))
    bytes_freed: int = 0

    def add(self, rows: dict[str, int]) -> None:
        """Count one step's rows."""
        for table, count in rows.items():
            self.rows[table] += count


def prune(
    connection: sqlite3.Connection,
    cutoff: int,
    batch: int = BATCH,
    *,
    dry_run: bool = False,
    pause: Callable[[float], None] = time.sleep,
) -> PruneResult:
    """Delete all interceptions started before `cutoff` (microseconds), then give the space back.

    Between two steps it pauses as long as the step took, so that the daemon gets its turn.

    Raises:
        sqlite3.Error: as SQLite says; the steps done so far stay done.
    """
    result = PruneResult()
    if dry_run:
        _estimate(connection, cutoff, result)
        return result
    before = _file_size(connection)
    while True:
        began = time.monotonic()
        rows = prune_batch(connection, cutoff, batch)
        result.add(rows)
        if rows["interceptions"] < batch:
            break
        pause(time.monotonic() - began)
    while release_space(connection):
        pause(0.001)
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    result.bytes_freed = max(0, before - _file_size(connection))
    return result


def prune_batch(connection: sqlite3.Connection, cutoff: int, limit: int = BATCH) -> dict[str, int]:
    """Delete up to `limit` interceptions started before `cutoff`, oldest first, in one transaction.

    Returns the rows deleted by table; fewer than `limit` interceptions means that none is left.
    The connection writes and is in autocommit mode.

    Raises:
        sqlite3.Error: as SQLite says; nothing was changed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        rows = connection.execute(
            "SELECT seq, session_seq FROM interceptions WHERE started_at < ? AND end_seq IS NOT NULL"
            " ORDER BY started_at LIMIT ?",
            (cutoff, limit),
        ).fetchall()
        chosen = json.dumps([row[0] for row in rows])
        keep_last_seq(connection)
        _unindex(connection, chosen)
        deleted = {
            table: connection.execute(
                f"DELETE FROM {table} WHERE interception_seq IN (SELECT value FROM json_each(?))",  # noqa: S608
                (chosen,),
            ).rowcount
            for table in CHILD_TABLES
        }
        deleted["interceptions"] = connection.execute(
            "DELETE FROM interceptions WHERE seq IN (SELECT value FROM json_each(?))", (chosen,)
        ).rowcount
        remove_empty(connection, {row[1] for row in rows})
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return deleted


def release_space(connection: sqlite3.Connection, pages: int = VACUUM_PAGES) -> bool:
    """Give up to `pages` unused pages back to the file system; False when none is left.

    The file itself shrinks at the next checkpoint.
    """
    before = _free_pages(connection)
    if before == 0:
        return False
    # The pragma frees a page per step and gives rows without columns, of which `execute` would
    # take only the first.
    connection.executescript(f"PRAGMA incremental_vacuum({pages})")
    # A database made without auto_vacuum keeps its pages for reuse: no progress, no endless loop.
    return 0 < _free_pages(connection) < before


def _unindex(connection: sqlite3.Connection, chosen: str) -> None:
    """Take rows out of the full-text index, which wants to see the text once more for that.

    What is not indexed yet must not be taken out: the index would be corrupted.
    """
    indexed = indexed_seq(connection)
    for table, column in SEARCHED.items():
        connection.execute(
            f"INSERT INTO search (search, rowid, text) SELECT 'delete', seq, {column}"  # noqa: S608
            f" FROM {table} WHERE interception_seq IN (SELECT value FROM json_each(?))"
            " AND +seq <= ?",
            (chosen, indexed),
        )


def _estimate(connection: sqlite3.Connection, cutoff: int, result: PruneResult) -> None:
    whole = 0
    for table in TABLES:
        where = (
            "seq IN (SELECT seq FROM interceptions WHERE started_at < ? AND end_seq IS NOT NULL)"
            if table == "interceptions"
            else "interception_seq IN (SELECT seq FROM interceptions WHERE started_at < ? AND end_seq IS NOT NULL)"
        )
        result.rows[table] = connection.execute(
            f"SELECT count(*) FROM {table} WHERE {where}",  # noqa: S608
            (cutoff,),
        ).fetchone()[0]
        whole += connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
    if whole:
        share = sum(result.rows.values()) / whole
        result.bytes_freed = int(_file_size(connection) * share)


def _free_pages(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return count


def _file_size(connection: sqlite3.Connection) -> int:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages) * int(size)
