"""The stable views of the store: what `aigw sql` offers, and what tables are exported from.

The tables behind them may change with any version; a view keeps its columns and their meaning, and
may gain new ones at the end. docs/export.md lists them all, kept in step by a test.

Views are made as TEMP views on a reader's own connection, so the database itself is not touched.
Columns that a query does not name cost nothing: SQLite leaves out their subqueries and joins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigw.store.record_views import INTERCEPTIONS, PROMPTS, THOUGHTS, TOKEN_USAGES, TOOL_CALLS
from aigw.store.sum_views import DAILY_USAGE, SESSIONS, THREADS

if TYPE_CHECKING:
    import sqlite3

    from aigw.store.view import View

VIEWS: tuple[View, ...] = (
    INTERCEPTIONS,
    SESSIONS,
    THREADS,
    PROMPTS,
    TOOL_CALLS,
    THOUGHTS,
    TOKEN_USAGES,
    DAILY_USAGE,
)
"""In the order of the documentation."""


def create_views(connection: sqlite3.Connection) -> None:
    """Make the views on a reader's connection, for its lifetime.

    Raises:
        sqlite3.Error: as SQLite says.
    """
    # For query_only, a TEMP view counts as a change too.
    connection.execute("PRAGMA query_only = OFF")
    try:
        for view in VIEWS:
            connection.execute(f"CREATE TEMP VIEW {view.name} AS {view.select()}")
    finally:
        connection.execute("PRAGMA query_only = ON")
