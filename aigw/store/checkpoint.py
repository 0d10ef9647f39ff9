"""Copying the write-ahead log into the database, without making commits wait for the disk.

SQLite's own checkpoint runs inside the commit that makes the log too long, and syncs the disk
there. This one runs beside the commits on a connection of its own (PASSIVE takes no lock that they
need). Only under unbroken load, when the log never stands still long enough to be started anew,
does one checkpoint take the writer's turn.

It has a thread of its own: the disk may take seconds to sync, and commits that went to the writing
thread must not wait for that.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

LOG_BYTES = 4 * 1024 * 1024
"""A log shorter than this is left alone (SQLite's own default, 1,000 pages)."""

LONGEST_LOG_PAGES = 16_384
"""A log this long (64 MB) is copied with commits waiting, so that it starts anew. Long logs slow readers
and fill the disk; at this length the pause comes less than once in ten thousand requests."""

PAUSE_SECONDS = 0.5
"""Between two checkpoints: each syncs the disk, which has other users too."""


class Checkpointer:
    """Keeps a database's write-ahead log short. Used by one thread at a time."""

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


class CheckpointThread:
    """Runs a `Checkpointer` whenever it is nudged.

    Args:
        path: the database.
        writing: the writing connection, used only while holding `turn`.
        turn: the lock of who uses that connection.
        note: told of what goes wrong; the next nudge tries again.
    """

    def __init__(
        self,
        path: Path,
        writing: sqlite3.Connection,
        turn: threading.Lock,
        note: Callable[[Exception], None],
    ) -> None:
        self._checkpointer = Checkpointer(path)
        self._writing = writing
        self._turn = turn
        self._note = note
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aigw-checkpoint", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def nudge(self) -> None:
        """Have the log looked at soon."""
        self._due.set()

    def stop(self) -> None:
        """End the thread, and wait for that."""
        self._stopping.set()
        self._due.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._due.wait()
                self._due.clear()
                try:
                    self._checkpointer.run(self._writing, self._turn)
                except sqlite3.Error as error:
                    self._note(error)
                self._stopping.wait(PAUSE_SECONDS)
        finally:
            self._checkpointer.close()


def _checkpoint(connection: sqlite3.Connection) -> tuple[int, int, int]:
    row: tuple[int, int, int] = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return row
