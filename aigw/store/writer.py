"""The one writer: commits everything handed in since its last commit as one transaction.

Two lanes lead to one connection, and records keep their order over both.

The *quick lane* commits on the event loop itself: at once for a lone request, together for many. With the write-ahead
log a commit is a write to the page cache (tens of microseconds, no disk sync), which costs far less
than waking a thread and passing the interpreter lock back and forth for every request.

The *patient lane* is a thread. It gets whatever might take long: batches with much text, commits
while another process holds the lock, while the disk is slow or full, or that sync the disk
(`synchronous = full`), and all upkeep: the full-text index, retention, checkpoints. One slow commit
sends everything there for a while, so a bad disk costs the loop one stall, not one per request.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from aigw.errors import StoreError
from aigw.records import ModelThought, PromptUsage, Record, ToolResult, ToolUsage
from aigw.store.database import explain, open_for_writing
from aigw.store.transaction import Transaction
from aigw.store.writing_thread import Item, WritingThread

_T = TypeVar("_T")
_log = logging.getLogger("aigw.store")

QUICK_RECORDS = 256
"""Most records committed on the loop in one go: about two milliseconds in which no byte moves."""

QUICK_TEXT = 128 * 1024
"""Most characters of one record committed on the loop; more is copied and hashed for too long."""

BUSY_INTERCEPTIONS = 8
BUSY_SECONDS = 0.001
"""With this many interceptions running, commits are a millisecond apart at least. A commit costs
about the same for one request as for ten; a request that waits in such company waits anyway."""

SLOW_COMMIT_SECONDS = 0.025
"""A commit on the loop that took this long is one stall too many: half of what a person notices in
a stream. The disk is then given `PATIENCE_SECONDS` in which only the thread waits for it."""

PATIENCE_SECONDS = 10.0


class Writer:
    """The store's writing side. Create it, `open` it, then use it from one event loop.

    Args:
        path: the database file.
        synchronous: SQLite's setting: `normal` survives a crash of the program, `full` a power cut.
        on_records: called with each batch of records before it is written, once.
    """

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str = "normal",
        on_records: Callable[[Sequence[Record]], None] | None = None,
    ) -> None:
        self.path = path
        self._synchronous = synchronous
        self._on_records = on_records
        self._waiting: list[Item] = []
        self._quick_after = 0.0 if synchronous == "normal" else float("inf")
        self._handed_over = 0
        self._flushed_at = 0.0
        self._closed = False

    def open(self, now: int) -> None:
        """Open or create the database, bring it to the current schema, start the thread.

        Interceptions that an earlier daemon left open are ended as aborted at `now` (microseconds).

        Raises:
            StoreError: the file cannot be opened or written, is no database, or is too new.
        """
        self._loop = asyncio.get_running_loop()
        connection = open_for_writing(self.path, self._synchronous)
        try:
            self._transaction = Transaction(connection)
            orphans = self._transaction.end_orphans(now)
        except sqlite3.Error as error:
            connection.close()
            raise StoreError(explain(self.path, error)) from error
        if self._on_records is not None and orphans:
            self._on_records(orphans)
        self._turn = threading.Lock()
        self._thread = WritingThread(
            self.path, connection, self._transaction, self._turn, self._loop, self._taken_back
        )
        self._thread.start()

    @property
    def records_written(self) -> int:
        """How many records this writer has committed."""
        return self._transaction.records_written

    @property
    def last_error(self) -> tuple[float, str] | None:
        """When a write last failed (seconds since the epoch), and how."""
        return self._thread.last_error

    def post(self, records: Sequence[Record], *, again: bool = False) -> None:
        """Have records committed soon. They are in the store before any later `commit` returns.

        `again` says that a `commit` of these records failed: they were told of already.
        """
        self._hand_in(Item(records, None, again=again))

    def commit(self, records: Sequence[Record]) -> asyncio.Future[None]:
        """Have records committed. Awaiting the future waits for that.

        Raises (from the future):
            StoreError: they could not be written, however often it was tried.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        self._hand_in(Item(records, future))
        return future

    def call(self, work: Callable[[sqlite3.Connection], _T]) -> asyncio.Future[_T]:
        """Run something on the writing connection, in the thread, between two commits."""
        future: asyncio.Future[_T] = self._loop.create_future()
        self._hand_in(Item((), future, work))
        return future

    async def close(self) -> None:
        """Commit what waits, close the database, end the thread."""
        if self._closed:
            return
        self._flush()
        self._closed = True
        self._thread.stop()
        await asyncio.to_thread(self._thread.join)

    def _hand_in(self, item: Item) -> None:
        if self._closed:
            if item.future is not None:
                item.future.set_exception(StoreError("the store is closed: the daemon is stopping"))
            else:
                _log.error("%d records came after the store was closed", len(item.records))
            return
        is_first = not self._waiting
        self._waiting.append(item)
        if self._transaction.open_count >= BUSY_INTERCEPTIONS:
            if is_first:
                self._loop.call_at(self._flushed_at + BUSY_SECONDS, self._flush)
        elif item.future is not None:
            # Somebody waits and there is nobody to share the commit with: not even the loop's next
            # turn is worth waiting for.
            self._flush()
        elif is_first:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Commit all that was handed in since the last time."""
        items, self._waiting = self._waiting, []
        if not items:
            return
        self._flushed_at = self._loop.time()
        records = [record for item in items for record in item.records]
        if self._on_records is not None:
            self._tell(self._on_records, items)
        if self._is_quick(items, records) and self._commit_here(records):
            for item in items:
                if item.future is not None and not item.future.done():
                    item.future.set_result(None)
            return
        self._handed_over += 1
        self._thread.put(items)

    @staticmethod
    def _tell(listener: Callable[[Sequence[Record]], None], items: Sequence[Item]) -> None:
        new = [record for item in items if not item.again for record in item.records]
        if not new:
            return
        try:
            listener(new)
        except Exception:  # noqa: BLE001 (a log's failure is not the store's)
            _log.exception("writing structured log lines failed")

    def _taken_back(self, count: int) -> None:
        """The thread has dealt with so many batches (called on the loop)."""
        self._handed_over -= count

    def _is_quick(self, items: Sequence[Item], records: Sequence[Record]) -> bool:
        # A batch must not overtake one that the thread still has.
        if self._handed_over or self._thread.has_carried or len(records) > QUICK_RECORDS:
            return False
        if self._quick_after and time.monotonic() < self._quick_after:
            return False
        return not any(map(_is_long, records)) and all(item.work is None for item in items)

    def _commit_here(self, records: Sequence[Record]) -> bool:
        if not self._turn.acquire(blocking=False):
            return False
        began = time.monotonic()
        try:
            self._transaction.write(records)
        except Exception:  # noqa: BLE001 (the thread tries again, and knows what to do then)
            return False
        finally:
            self._turn.release()
        took = time.monotonic() - began
        if took > SLOW_COMMIT_SECONDS:
            _log.debug("a commit took %.0f ms: the loop leaves them to the thread", took * 1000)
            self._quick_after = began + took + PATIENCE_SECONDS
        self._thread.nudge()
        return True


_LONG_FIELDS: dict[type, str] = {
    PromptUsage: "prompt",
    ToolUsage: "input",
    ToolResult: "content",
    ModelThought: "content",
}


def _is_long(record: Record) -> bool:
    field = _LONG_FIELDS.get(type(record))
    return field is not None and len(getattr(record, field)) > QUICK_TEXT
