"""Following the store: new records soon after their commit, whatever happens to the file.

Whether something was committed is asked with `PRAGMA data_version`, which reads a counter in shared
memory and no table. The file may be pruned, replaced, or not be there yet: it is opened again when
it is another one than before.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from aigw.errors import StoreError
from aigw.store.queries import after, tail
from aigw.store.reader import NoDatabase, open_reader, translated
from aigw.store.schema import last_seq

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aigw.records import Record
    from aigw.store.filters import Filters

POLL_SECONDS = 0.1
"""A record is seen this long after its commit at most; records are to be shown within 250 ms."""

PATIENCE_SECONDS = 10.0
"""How long a database that cannot be opened is tried again: it may just be being replaced."""


class Follower:
    """Reads a database's last records, then its new ones. Close it at the end.

    Args:
        path: the database; it need not exist yet.
        filters: which records.
        notice: called with a line for a person when the database is missing or was replaced.
        pause: sleeps for some seconds.
    """

    def __init__(
        self,
        path: Path,
        filters: Filters,
        notice: Callable[[str], None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._filters = filters
        self._notice = notice
        self._pause = pause
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._version = -1
        self._seq = 0
        # An interception that this file had: another file at the same path will not have it.
        self._anchor: tuple[int, str] | None = None

    def last(self, limit: int) -> Iterator[Record]:
        """The last records as of now (see `tail`), none when there is no database yet.

        Raises:
            StoreError: the database cannot be read.
        """
        with contextlib.suppress(NoDatabase):
            self._open()
        if self._connection is None:
            return
        with translated(self._path):
            # Taken first: what is committed while the last records are read is new.
            end = last_seq(self._connection)
            self._set_anchor(self._connection)
            yield from tail(self._connection, self._filters, limit, end=end)
            self._seq = end

    def new(self) -> Iterator[list[Record]]:
        """Records committed since, in pieces, for ever: an empty one after each look.

        Raises:
            StoreError: the database cannot be read, and could not be for `PATIENCE_SECONDS`.
        """
        failing_since: float | None = None
        while True:
            try:
                yield from self._look()
                failing_since = None
            except NoDatabase:
                failing_since = None
            except StoreError:
                self.close()
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > PATIENCE_SECONDS:
                    raise
            yield []
            self._pause(POLL_SECONDS)

    def close(self) -> None:
        """Close the database. Harmless when it is not open."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _look(self) -> Iterator[list[Record]]:
        if self._connection is None or self._identity() != self._file:
            self._reopen()
        connection = self._connection
        assert connection is not None
        with translated(self._path):
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if version == self._version:
                return
            for records, reached in after(connection, self._filters, self._seq):
                self._seq = reached
                if records:
                    yield records
            self._version = version
            self._set_anchor(connection)

    def _reopen(self) -> None:
        had_one = self._file is not None
        if had_one and self._connection is not None:
            self.close()
            self._notice(f"{self._path} was replaced or removed: following what is there now")
        elif not had_one and not self._path.exists():
            self._file = (-1, -1)
            self._notice(f"waiting for a database at {self._path}")
        self._open()
        assert self._connection is not None
        if not self._is_same_store(self._connection):
            self._seq = 0

    def _open(self) -> None:
        # The identity first: a file replaced in between is then noticed at the next look.
        identity = self._identity()
        self._connection = open_reader(self._path)
        self._file = identity
        self._version = -1

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _set_anchor(self, connection: sqlite3.Connection) -> None:
        row = connection.execute(
            "SELECT seq, id FROM interceptions ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        self._anchor = row or self._anchor

    def _is_same_store(self, connection: sqlite3.Connection) -> bool:
        if self._anchor is None:
            return last_seq(connection) >= self._seq
        row = connection.execute(
            "SELECT 1 FROM interceptions WHERE seq = ? AND id = ?", self._anchor
        ).fetchone()
        return row is not None
