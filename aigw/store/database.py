"""Opening the database file for writing: permissions, pragmas, schema."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from aigw.errors import StoreError
from aigw.store.reader import snapshot
from aigw.store.schema import migrate, schema_version

OPENING_SECONDS = 5.0
"""How long opening waits for another program's lock. Afterwards SQLite itself waits for none: the
writer commits on the event loop, and its thread does the waiting."""

OLDEST_SQLITE = (3, 35, 0)
"""UPDATE ... FROM came with 3.33, the planner fixes for it with 3.35."""


def open_for_writing(path: Path, synchronous: str) -> sqlite3.Connection:
    """Open or create the database (0600, in a folder of 0700 if that is new) at the current schema.

    The connection is in autocommit mode and may be used from another thread than this one.

    Raises:
        StoreError: what is wrong with the place or the file, and what to do.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(
            f"this Python has SQLite {sqlite3.sqlite_version}; aigw needs 3.35 or newer. "
            "Use a newer Python."
        )
    _make_file(path)
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(
            path,
            timeout=OPENING_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        _refuse_foreign(path, connection)
        # Only a database without tables yet takes this; pruned space then returns to the system.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if synchronous == 'full' else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        migrate(connection)
        connection.execute("UPDATE meta SET value = value WHERE key = 'next_seq'")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # checkpoint.py does it
        connection.execute("PRAGMA busy_timeout = 0")
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise StoreError(explain(path, error)) from error
    except StoreError:
        if connection is not None:
            connection.close()
        raise
    return connection


def _refuse_foreign(path: Path, connection: sqlite3.Connection) -> None:
    """Keep aigw's tables, and its pruning, out of other programs' databases."""
    # One snapshot: another process may be making the tables at this moment.
    with snapshot(connection):
        version = schema_version(connection)
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version == 0 and tables:
        raise StoreError(f"{path} is the database of another program. Name another file with --db.")


def _make_file(path: Path) -> None:
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(
            f"cannot write the database {path}: {error.strerror}. Name another place with --db."
        ) from error
    # SQLite gives its -wal and -shm files the mode of the database, so this covers them too.
    with contextlib.suppress(OSError):
        path.chmod(0o600)


def explain(path: Path, error: sqlite3.Error) -> str:
    """What is wrong with a database that cannot be opened, and what to do."""
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return (
            f"{path} is not an intact SQLite database ({text}). "
            "Move it away or restore a copy, then start again."
        )
    if "locked" in text:
        return f"{path} is locked by another program. Close it, then start again."
    if "no such module: fts5" in text:
        return "this Python's SQLite lacks FTS5, which aigw needs. Use another Python build."
    return f"cannot open the database {path}: {text}. Name another place with --db."
