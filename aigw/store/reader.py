"""Opening the database for reading: read-only, beside a running daemon or without one.

A reader never creates a file, never migrates and never holds up the writer: the database is in WAL
mode, so both work at once. Errors of SQLite become `StoreError`s here and nowhere else.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from aigw.errors import StoreError
from aigw.store.schema import SCHEMA_VERSION, check_version, schema_version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_SECONDS = 5.0
"""How long a reader waits where SQLite wants a lock even in WAL mode: at recovery after a crash."""

CACHE_KIB = 32_768
"""The page cache of one reader. Reports over many rows profit; the default of 2 MB thrashes."""


class NoDatabase(StoreError):  # noqa: N818 (a state more than an error, as NotRunningError)
    """There is no database here, or nothing has been made in it yet."""


def database_uri(path: Path, *, immutable: bool = False) -> str:
    """The `file:` URI that opens a database read-only, any character in its path escaped."""
    return f"{path.absolute().as_uri()}?{'immutable=1' if immutable else 'mode=ro'}"


def open_reader(
    path: Path, *, shared: bool = False, patience: float = BUSY_SECONDS
) -> sqlite3.Connection:
    """A read-only connection in autocommit mode to a database of the current schema.

    Only a `shared` one may be used by another thread than this one. It waits `patience` seconds
    for a lock, on opening and later.

    Raises:
        NoDatabase: the file is missing or still empty.
        StoreError: it is no database, of another version, locked, or may not be read.
    """
    if not path.exists():
        raise NoDatabase(
            f"there is no database at {path}. The daemon makes it: run "
            "`aigw serve --aibridge-enabled`, or name another database with --db."
        )
    if not path.is_file():
        raise StoreError(f"cannot open {path}: it is not a file.")
    with translated(path):
        connection = _connect(path, shared, patience)
        try:
            _check(path, connection)
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection as from `open_reader`, closed at the end, SQLite's errors translated."""
    connection = open_reader(path)
    with contextlib.closing(connection), translated(path):
        yield connection


@contextlib.contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """All reads inside see one state of the database. Keep it short: it holds back checkpoints."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors about the database at `path` into `StoreError`s."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(_explanation(path, error)) from error


def _connect(path: Path, shared: bool, patience: float) -> sqlite3.Connection:
    connection = _opened(database_uri(path), shared, patience)
    try:
        schema_version(connection)
    except sqlite3.OperationalError:
        connection.close()
        # A closed database on a read-only medium: SQLite cannot make its shared memory file there.
        # Without a write-ahead log nothing is missing, and nobody can be writing.
        if path.with_name(path.name + "-wal").exists():
            raise
        connection = _opened(database_uri(path, immutable=True), shared, patience)
    return connection


def _opened(uri: str, shared: bool, patience: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri,
        uri=True,
        timeout=patience,
        isolation_level=None,
        check_same_thread=not shared,
    )
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return connection


def _check(path: Path, connection: sqlite3.Connection) -> None:
    check_version(connection)
    version = schema_version(connection)
    if version == SCHEMA_VERSION:
        return
    if version:
        raise StoreError(
            f"{path} has schema version {version}, this aigw needs {SCHEMA_VERSION}. "
            "Start the daemon once: it brings the database up to date."
        )
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(f"{path} is a SQLite database, but not one of aigw's.")
    raise NoDatabase(f"{path} is empty: no daemon has used it yet.")


_EXPLAINED = (
    ("not a database", "{path} is not a SQLite database. Name aigw's database with --db."),
    (
        "malformed",
        "{path} is damaged ({text}). Restore a copy, or move it away and start anew.",
    ),
    ("locked", "{path} is locked by another program. Try again, or close what holds it."),
    (
        "unable to open",
        "cannot open {path}: it may not be read, or its folder may not be written.",
    ),
    ("readonly", "cannot write {path}: it is read-only for this user."),
    (
        "no such module: fts5",
        "this Python's SQLite lacks FTS5, which aigw needs. Use another Python build.",
    ),
)


def _explanation(path: Path, error: sqlite3.Error) -> str:
    text = str(error)
    for part, explained in _EXPLAINED:
        if part in text:
            return explained.format(path=path, text=text)
    return f"cannot read {path}: {text}"
