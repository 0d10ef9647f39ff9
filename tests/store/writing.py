"""A `Writer` as the tests of the writing side use it, and a look at what it does."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Self, TypeVar

from aigw.records import InterceptionEnd, InterceptionStart, PromptUsage
from aigw.store.schema import CHILD_TABLES
from aigw.store.writer import Writer
from tests.store.rows import NOON, end, prompt, start

_T = TypeVar("_T")


class Statements:
    """What the writing connection executed: each statement with the name of its thread."""

    def __init__(self, writer: Writer) -> None:
        self._seen: list[tuple[str, str]] = []
        writer._transaction._connection.set_trace_callback(self._note)

    def _note(self, sql: str) -> None:
        self._seen.append((threading.current_thread().name, sql))

    def transactions(self) -> list[str]:
        """The threads of the transactions that wrote an interception's start or end, in order."""
        threads, current = [], False
        for thread, sql in list(self._seen):
            if sql.startswith("BEGIN"):
                current = False
            elif sql.startswith(("INSERT INTO interceptions", "UPDATE interceptions")):
                current = True
            elif sql == "COMMIT" and current:
                threads.append(thread)
        return threads


def begun(number: int) -> InterceptionStart:
    """The start of interception `number`."""
    return start(f"i-{number}", NOON + number)


def ended(number: int) -> InterceptionEnd:
    """The end of interception `number`."""
    return end(f"i-{number}", NOON + number + 1)


def said(number: int, text: str) -> PromptUsage:
    """A prompt of interception `number`, with an id of its own."""
    return prompt(f"i-{number}", text, NOON + number)


def read(path: Path, sql: str) -> list[tuple[object, ...]]:
    """Rows of a database, through a connection of their own."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql).fetchall()


def all_seqs(path: Path) -> list[int]:
    """Every `seq` in use, over all tables, sorted."""
    parts = ["SELECT seq FROM interceptions", "SELECT end_seq FROM interceptions WHERE end_seq"]
    parts += [f"SELECT seq FROM {table}" for table in CHILD_TABLES]
    found = read(path, " UNION ALL ".join(parts))
    return sorted(int(str(row[0])) for row in found)


async def until(look: Callable[[], _T], what: str, patience: float = 30.0) -> _T:
    """Look again and again, leaving the loop to others, until `look` gives something true."""
    deadline = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        await asyncio.sleep(0.005)
    return found


class Locked:
    """Holds the database's write lock from another connection, as `with` says."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def __enter__(self) -> Self:
        self._connection.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let others write."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._connection.close()
