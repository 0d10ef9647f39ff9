"""Running a person's own SQL: it reads the store and reaches nothing else.

What SQLite compiles is judged by an authorizer, so it does not matter how a statement is written.
Allowed is reading, from the views and the store's own tables; not allowed is all the rest: writing,
other databases and files, loading code, settings, and the hashes of gateway keys. The connection is
read-only besides.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aigw.errors import StoreError
from aigw.store.reader import open_reader, translated
from aigw.store.views import VIEWS, create_views

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

LARGEST_VALUE = 256 * 1024 * 1024
"""Bytes of one value or row. Recorded texts are far below; `zeroblob(1000000000)` does not fill the
memory of the machine that the daemon runs on."""

CHECKED_EVERY = 1_000
"""Steps of SQLite's machine between two looks at the clock and at Ctrl-C: well below a millisecond, but
for steps that make a value of `LARGEST_VALUE` each. Those are why a timer ends a statement as well."""

_HIDDEN = {("gateway_keys", "secret_hash")}
_READABLE_BESIDES = {
    "sqlite_master",
    "sqlite_schema",
    "json_each",
    "json_tree",
    "generate_series",
    "pragma_table_info",
    "pragma_table_xinfo",
    "pragma_index_list",
    "pragma_index_info",
}
_PRAGMAS = {"table_info", "table_xinfo", "index_list", "index_info", "data_version"}
"""Those that tell of tables; full-text search asks for the last one."""
_FUNCTIONS_REFUSED = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}


class SqlError(StoreError):
    """A statement is wrong, not allowed, or took too long."""


@dataclass
class _Guard:
    """The authorizer, which keeps what it last refused in words."""

    readable: set[str]
    refused: str = ""

    def __call__(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        reason = self._judge(action, first or "", second or "")
        if not reason:
            return sqlite3.SQLITE_OK
        self.refused = reason
        return sqlite3.SQLITE_DENY

    def explaining(self, function: Callable[[str], int]) -> Callable[[str], int]:
        """The function, whose ValueError would be lost in SQLite: its words are kept."""

        def explained(text: str) -> int:
            try:
                return function(text)
            except ValueError as error:
                self.refused = str(error)
                raise

        return explained

    def _judge(self, action: int, first: str, second: str) -> str:
        if action in {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE}:
            return ""
        if action == sqlite3.SQLITE_READ:
            if (first.lower(), second.lower()) in _HIDDEN:
                return _hidden_text(first, second)
            # Without a column rows are counted, perhaps those of a name in a WITH.
            is_free = not second or first.lower() in self.readable
            return "" if is_free else f"{first} may not be read"
        if action == sqlite3.SQLITE_FUNCTION:
            is_refused = second.lower() in _FUNCTIONS_REFUSED
            return f"the function {second} is not allowed" if is_refused else ""
        if action == sqlite3.SQLITE_PRAGMA:
            return "" if first.lower() in _PRAGMAS else f"PRAGMA {first} is not allowed"
        return "only reading is allowed: give a SELECT"


@dataclass
class Answer:
    """What a statement gives: the names of its columns, and its rows as they are read.

    Close the rows before the reader.
    """

    columns: list[str]
    rows: Generator[tuple[Any, ...], None, None]


@dataclass
class GuardedReader:
    """A connection that runs only what may be run. Used by one thread, for one statement at a time."""

    connection: sqlite3.Connection
    _guard: _Guard
    _deadline: float = field(default=float("inf"))
    _is_interrupted: bool = False

    def run(self, sql: str, timeout: float | None = None) -> Answer:
        """Compile a statement and begin it. Its rows come one by one, within `timeout` seconds of now.

        While rows remain, this reader's view of the database stands still and the daemon's log
        cannot start anew: that is whom the timeout protects.

        Raises (also while the rows are read):
            SqlError: what is wrong with the statement, or that it took too long.
            KeyboardInterrupt: it was interrupted.
        """
        self._deadline = float("inf") if timeout is None else time.monotonic() + timeout
        self._guard.refused = ""
        self._is_interrupted = False
        _refuse_hidden(sql)
        with self._explained(timeout), self._ended_after(timeout):
            cursor = self.connection.execute(sql)
        if cursor.description is None:
            raise SqlError("there is no statement: give a SELECT")
        return Answer(
            unique([column[0] for column in cursor.description]), self._rows(cursor, timeout)
        )

    def _rows(
        self, cursor: sqlite3.Cursor, timeout: float | None
    ) -> Generator[tuple[Any, ...], None, None]:
        left = None if timeout is None else max(0.0, self._deadline - time.monotonic())
        with contextlib.closing(cursor), self._explained(timeout), self._ended_after(left):
            yield from cursor

    @contextlib.contextmanager
    def _ended_after(self, seconds: float | None) -> Iterator[None]:
        """Have SQLite told of the deadline from outside: between two of its rows it hears that."""
        if seconds is None:
            yield
            return
        timer = threading.Timer(seconds, self.connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def look(self) -> int:
        """SQLite calls this as it works; anything but 0 ends the statement."""
        try:
            return int(time.monotonic() > self._deadline)
        except KeyboardInterrupt:
            self._is_interrupted = True
            return 1

    @contextlib.contextmanager
    def _explained(self, timeout: float | None) -> Iterator[None]:
        try:
            yield
        # Python 3.11 warns of a second statement where later ones raise an error.
        except (sqlite3.Error, sqlite3.Warning) as error:
            if str(error) == "interrupted":
                if time.monotonic() > self._deadline:
                    raise SqlError(
                        f"the statement took longer than {timeout:g} s: narrow it down by "
                        "started_us or id, or give it longer with --timeout"
                    ) from error
                raise KeyboardInterrupt from error
            raise SqlError(self._guard.refused or _worded(error)) from error


def _worded(error: sqlite3.Error | sqlite3.Warning) -> str:
    """As SQLite says, and where a table is not there, which views are."""
    text = str(error)
    if text.startswith("no such table: "):
        text += f". The views are {', '.join(view.name for view in VIEWS)}."
    return text


@contextlib.contextmanager
def guarded_reader(
    path: Path, functions: dict[str, Callable[[str], int]] | None = None
) -> Iterator[GuardedReader]:
    """A reader of the store at `path` with the views. `functions` of one argument are added.

    Raises:
        StoreError: as `reader.open_reader`.
    """
    connection = open_reader(path)
    with contextlib.closing(connection):
        with translated(path):
            guard = _Guard(_readable(connection))
            create_views(connection)
            _connect_virtual_tables(connection)
        for name, function in (functions or {}).items():
            connection.create_function(name, 1, guard.explaining(function), deterministic=True)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        # What a client sent may be no UTF-8, and a statement can cut any text in the middle.
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        reader = GuardedReader(connection, guard)
        connection.set_progress_handler(reader.look, CHECKED_EVERY)
        connection.set_authorizer(guard)
        yield reader


def _refuse_hidden(sql: str) -> None:
    """SQLite asks no authorizer about the columns of USING: by joining, a value could be guessed.

    Names stand in a statement letter by letter (ASCII, in any case), so it is enough to look for them.
    """
    text = sql.lower()
    for table, column in _HIDDEN:
        if table in text and column in text:
            raise SqlError(_hidden_text(table, column))


def _hidden_text(table: str, column: str) -> str:
    return f"{table}.{column} may not be read: name the other columns"


_VIRTUAL_TABLES = (
    "search",
    "json_each('[]')",
    "json_tree('[]')",
    "pragma_table_info('meta')",
    "pragma_table_xinfo('meta')",
    "pragma_index_list('meta')",
    "pragma_index_info('sessions_id')",
)


def _connect_virtual_tables(connection: sqlite3.Connection) -> None:
    # On first use they declare their columns with a CREATE TABLE, which the authorizer would refuse.
    for table in _VIRTUAL_TABLES:
        connection.execute(f"SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1)")  # noqa: S608


def _readable(connection: sqlite3.Connection) -> set[str]:
    """The store's own tables, by their names in lower case, the views and what describes them."""
    rows = connection.execute(
        "SELECT lower(name) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    )
    return {row[0] for row in rows} | {view.name for view in VIEWS} | _READABLE_BESIDES


def unique(names: list[str]) -> list[str]:
    """The names of columns, those that come again with a number.

    >>> unique(["id", "id", "n"])
    ['id', 'id_2', 'n']
    """
    found: list[str] = []
    for name in names:
        free, number = name, 1
        while free in found:
            number += 1
            free = f"{name}_{number}"
        found.append(free)
    return found
