"""A consistent copy of the database, made while it is in use.

One read transaction is held open from the first page to the last, so the copy is of one moment,
and SQLite's backup need not start anew when the daemon commits (as it does between steps with a
transaction each; at hundreds of commits a second it would never end). In WAL mode a reader holds
up no writer. What it holds up is the log's new start: the log grows by what is written meanwhile.

`VACUUM INTO` would hold the same snapshot several times as long, as it builds each table and
index anew, and could not tell how far it is.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from aigw.errors import StoreError
from aigw.store.reader import open_reader, snapshot, translated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Progress = Callable[[float], None]

PAGES = 1_024
"""Copied in one step, 4 MiB: some milliseconds, after which Ctrl-C is heard."""

CHECKED_EVERY = 1_000_000
"""Steps of SQLite's machine between two listenings for Ctrl-C while the copy is checked."""

COMPANIONS = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, by the end of the name."""


def refuse_own(database: Path, target: Path) -> None:
    """Check that a file at `target` takes nothing of the database's place.

    Raises:
        StoreError: it is the database itself or belongs to it.
    """
    own = [database, *(database.with_name(database.name + end) for end in COMPANIONS)]
    if any(_is_same(target, path) for path in own):
        raise StoreError(f"{target} is the database itself: name another file.")


def refuse_target(database: Path, target: Path) -> None:
    """Check that a copy may be put at `target`.

    Raises:
        StoreError: it is the database itself or belongs to it, or is a database in use.
    """
    refuse_own(database, target)
    for end in COMPANIONS:
        if target.with_name(target.name + end).exists():
            # SQLite would take it for the copy's log, and put old pages into the copy.
            raise StoreError(
                f"beside {target} is {target.name}{end}: a database there is in use or was not "
                "closed. Name another file."
            )


def _is_same(one: Path, other: Path) -> bool:
    if one.absolute() == other.absolute() or one.resolve() == other.resolve():
        return True
    return one.exists() and other.exists() and one.samefile(other)


def copy_database(database: Path, target: Path, progress: Progress) -> int:
    """Copy the database into `target`, an empty file, and give how many interceptions it has.

    `progress` is called with the part done, from 0 to 1.

    Raises:
        StoreError: the database cannot be read, the copy cannot be written.
    """
    with translated(target), closing(_open_target(target)) as copy:
        with closing(open_reader(database)) as source, translated(database), snapshot(source):
            # The snapshot begins with the first read.
            source.execute("SELECT count(*) FROM meta").fetchone()
            source.backup(
                copy,
                pages=PAGES,
                progress=lambda _, left, total: progress(1 - left / max(1, total)),
            )
        # One file, whole by itself: the next daemon makes it a WAL database again.
        copy.execute("PRAGMA journal_mode = DELETE")
        found: int = copy.execute("SELECT count(*) FROM interceptions").fetchone()[0]
    return found


def check_copy(path: Path) -> None:
    """Read the whole copy and see that it is intact.

    Raises:
        StoreError: it is not; the message says what SQLite found.
    """
    with translated(path), closing(_open_target(path)) as copy:
        # Called now and then, so that Ctrl-C is heard; SQLite knows it as an interruption only.
        copy.set_progress_handler(lambda: 0, CHECKED_EVERY)
        try:
            (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
            broken = copy.execute("PRAGMA foreign_key_check").fetchone()
        except sqlite3.OperationalError as error:
            if str(error) == "interrupted":
                raise KeyboardInterrupt from error
            raise
    if found != "ok" or broken is not None:
        what = found if found != "ok" else f"a row of {broken[0]} refers to none of {broken[2]}"
        raise StoreError(
            f"the copy is damaged ({what}), and so the database may be. Try again; if it stays so, "
            "restore an older copy."
        )


def _open_target(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    # A copy that did not come to its end is thrown away: no journal is needed to undo it.
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    return connection
