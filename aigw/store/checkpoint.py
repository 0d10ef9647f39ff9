"""Copying the write-ahead log into the database, without making commits wait for the disk.

SQLite's own checkpoint runs inside the commit that makes the log too long, and syncs the disk
there. This one runs beside the commits on a connection of its own (PASSIVE takes no lock that they
need). Only under unbroken load, when the log never stands still long enough to be started anew,
does one checkpoint take the writer's turn.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path

LOG_BYTES = 4 * 1024 * 1024
"""A log shorter than this is left alone (SQLite's own default, 1,000 pages)."""

LONGEST_LOG_PAGES = 16_384
"""A log this long (64 MB) is copied with commits waiting, so that it starts anew. Long logs slow readers
and fill the disk; at this length the pause comes less than once in ten thousand requests."""


class Checkpointer:
    """Keeps a database's write-ahead log short. Used by the writing thread alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._connection: sqlite3.Connection | None = None

    def run(self, writing: sqlite3.Connection, turn: threading.Lock) -> None:
        """Copy the log if it has grown enough; `writing` is used only while holding `turn`."""
        try:
            size = self._log.stat().st_size
        except OSError:
            return
        if size < LOG_BYTES:
            return
        if self._connection is None:
            self._connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False
            )
        _, frames, _ = _checkpoint(self._connection)
        # Both counts of a checkpoint are those at its start: what was committed meanwhile, and keeps
        # the log from starting anew, shows in neither. So the length alone decides.
        if frames > LONGEST_LOG_PAGES:
            with turn:
                _checkpoint(writing)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()


def _checkpoint(connection: sqlite3.Connection) -> tuple[int, int, int]:
    row: tuple[int, int, int] = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return row
