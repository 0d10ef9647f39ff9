"""The tables, and how an older database becomes a current one.

Identity: every record gets a `seq` from one counter of the store's single writer, so `seq` is the
commit order over all tables, unique across them, and never reused: the next one follows the highest
there is, or `next_seq` in `meta`, which retention raises when it deletes. It is each table's integer primary key,
the rowid of a record's entry in the full-text index, and the cursor of `aigw logs -f`.
`interceptions` holds two records in one row: `seq` is the start's, `end_seq` the end's.

Times are integer microseconds UTC. Text is UTF-8. `metadata` is a JSON object.

Each migration runs in one transaction together with its `user_version`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from aigw.errors import StoreError
from aigw.store.migrations import MIGRATIONS

SCHEMA_VERSION = len(MIGRATIONS)

CHILD_TABLES = ("token_usages", "user_prompts", "tool_usages", "tool_results", "model_thoughts")
"""The tables whose rows belong to one interception."""

SEARCHED: dict[str, str] = {
    "user_prompts": "prompt",
    "tool_usages": "input",
    "tool_results": "content",
    "model_thoughts": "content",
}
"""Which column of which table is in the full-text index `search`, by rowid = seq."""


def schema_version(connection: sqlite3.Connection) -> int:
    """The version of an open database; 0 for a new one."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


_LAST_SEQS = " UNION ALL ".join(
    [
        "SELECT value - 1 AS last FROM meta WHERE key = 'next_seq'",
        "SELECT max(end_seq) FROM interceptions",
        *(f"SELECT max(seq) FROM {table}" for table in ("interceptions", *CHILD_TABLES)),  # noqa: S608
    ]
)


def last_seq(connection: sqlite3.Connection) -> int:
    """The highest `seq` handed out; 0 in a store that never held a record."""
    last: int | None = connection.execute(f"SELECT max(last) FROM ({_LAST_SEQS})").fetchone()[0]  # noqa: S608
    return last or 0


def keep_last_seq(connection: sqlite3.Connection) -> None:
    """Note how far `seq` has come, in the transaction of the caller, who is about to delete rows."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('next_seq', ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (last_seq(connection) + 1,),
    )


def check_version(connection: sqlite3.Connection) -> None:
    """Refuse a database that a newer aigw has made.

    Raises:
        StoreError: the database's version is newer than this program's.
    """
    version = schema_version(connection)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the database has schema version {version}, this aigw knows up to {SCHEMA_VERSION}: "
            "it was written by a newer aigw. Upgrade aigw, or name another database with --db."
        )


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to the current schema. Two processes may do so at once: one waits.

    Raises:
        StoreError: the database is newer than this program.
    """
    check_version(connection)
    if 0 < (found := schema_version(connection)) < SCHEMA_VERSION:
        import logging  # noqa: PLC0415 - readers start without it

        logging.getLogger("aigw.store").info(
            "bringing the database from schema version %d to %d: about a minute for a million requests",
            found,
            SCHEMA_VERSION,
        )
    while (version := schema_version(connection)) < SCHEMA_VERSION:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have been first while this one waited for its turn.
            if schema_version(connection) == version:
                for statement in _statements(MIGRATIONS[version]):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _statements(script: str) -> Iterator[str]:
    # Not executescript: it commits what is open first, and the check above must be inside.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
