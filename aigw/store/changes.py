"""A command's own short change to the database, beside a running daemon or without one.

Write-ahead logging lets another process write between the daemon's commits. The database is made
where there is none, and brought up to date where no daemon uses it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING

from aigw.errors import StoreError
from aigw.store.database import open_for_writing
from aigw.store.lock import is_locked
from aigw.store.reader import database_uri, translated
from aigw.store.schema import SCHEMA_VERSION, schema_version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_SECONDS = 30.0
"""How long a command waits for the daemon's commits, which take milliseconds each."""

STARTING_SECONDS = 5.0
"""How long a daemon that has just started may take to bring its database up to date."""


@contextlib.contextmanager
def changing(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection inside one transaction, committed at the end, rolled back on any exception.

    What is committed outlives a power failure: a revoked key must not come back.

    Raises:
        StoreError: the database cannot be made or written, is newer than this program, or is used
            by the daemon of an older aigw.
    """
    _bring_up_to_date(path)
    # mode=rw and not rwc: a database that has gone meanwhile is not made anew.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with translated(path):
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def _bring_up_to_date(path: Path) -> None:
    deadline = time.monotonic() + STARTING_SECONDS
    while (version := _version(path)) != SCHEMA_VERSION:
        if not 0 < version < SCHEMA_VERSION or not is_locked(path):
            # Says also what is wrong with a file that is newer or no database.
            open_for_writing(path, "normal").close()
            return
        if time.monotonic() > deadline:
            raise StoreError(
                f"the daemon of an older aigw uses {path} (schema version {version}, this aigw "
                f"has {SCHEMA_VERSION}). Stop that daemon, or restart it with this aigw."
            )
        time.sleep(0.05)


def _version(path: Path) -> int:
    """The version of the database; 0 where there is none, or none that can be read."""
    if not path.is_file():
        return 0
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(database_uri(path), uri=True)
        with contextlib.closing(connection):
            return schema_version(connection)
    return 0
