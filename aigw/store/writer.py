"""The one writer: a thread that commits whatever has been handed in since its last commit.

The event loop hands in records and goes on; the thread takes everything that waits, writes it in
one transaction and resolves the waiting futures with one call into the loop. A commit so costs the
same for one request as for fifty, and neither a locked file nor a slow disk stops the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from aigw.errors import StoreError
from aigw.records import Record
from aigw.store.database import open_for_writing
from aigw.store.search import index_batch
from aigw.store.transaction import Transaction

_T = TypeVar("_T")
_log = logging.getLogger("aigw.store")

BATCH_RECORDS = 512
"""Most records in one transaction: bounds how long the last of them waits (a few milliseconds)."""

RETRY_SECONDS = 5.0
"""How long a write is tried again while the file is locked or full before its requests get a 503.
Long enough for a backup or a prune in another process, short enough for a person to wait."""

CARRIED_RECORDS = 50_000
"""Most records of running answers kept in memory while the store cannot write; older ones are
given up first. Protects the machine's memory when a disk stays full."""

INDEX_BATCH = 256
"""Records indexed for full-text search in one go: a few milliseconds in which commits wait."""

INDEX_EVERY_SECONDS = 0.5
"""How long new records may wait for the full-text index under load. Bigger batches are cheaper;
searches cover the rest by themselves."""

CHECKPOINT_PAGES = 4_000
"""The write-ahead log is copied into the database every 16 MB: less often than SQLite's 4 MB,
because each copy syncs the disk and the commits behind it wait."""

_Work: TypeAlias = Callable[[sqlite3.Connection], Any]


class _Item:
    """Something for the writer to do: commit records, or run `work` on the connection."""

    __slots__ = ("future", "records", "work")

    def __init__(
        self,
        records: Sequence[Record],
        future: asyncio.Future[Any] | None,
        work: _Work | None = None,
    ) -> None:
        self.records = records
        self.future = future
        self.work = work


class Writer:
    """The store's writing side. Create it, `open` it, then use it from one event loop.

    Args:
        path: the database file.
        synchronous: SQLite's setting: `normal` survives a crash of the program, `full` a power cut.
        on_records: called in the writer's thread with each batch before it is written, once.
    """

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str = "normal",
        on_records: Callable[[Sequence[Record]], None] | None = None,
    ) -> None:
        self.path = path
        self.records_written = 0
        self.last_error: tuple[float, str] | None = None
        self._synchronous = synchronous
        self._on_records = on_records
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._carried: list[Record] = []
        self._indexed_at = 0.0
        self._index_due = True
        self._closed = False

    def open(self, now: int) -> None:
        """Open or create the database, bring it to the current schema, start the thread.

        Interceptions that an earlier daemon left open are ended as aborted at `now` (microseconds).

        Raises:
            StoreError: the file cannot be opened or written, is no database, or is too new.
        """
        self._loop = asyncio.get_running_loop()
        self._connection = open_for_writing(self.path, self._synchronous)
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        self._transaction = Transaction(self._connection)
        self._transaction.end_orphans(now)
        self._thread = threading.Thread(target=self._run, name="aigw-writer", daemon=True)
        self._thread.start()

    def post(self, records: Sequence[Record]) -> None:
        """Have records committed soon. They are in the store before any later `commit` returns."""
        self._queue.put(_Item(records, None))

    def commit(self, records: Sequence[Record]) -> asyncio.Future[None]:
        """Have records committed. Awaiting the future waits for that.

        Raises (from the future):
            StoreError: they could not be written within `RETRY_SECONDS`.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        self._hand_in(_Item(records, future))
        return future

    def call(self, work: Callable[[sqlite3.Connection], _T]) -> asyncio.Future[_T]:
        """Run something on the writing connection, between two commits."""
        future: asyncio.Future[_T] = self._loop.create_future()
        self._hand_in(_Item((), future, work))
        return future

    def _hand_in(self, item: _Item) -> None:
        if self._closed and item.future is not None:
            item.future.set_exception(StoreError("the store is closed: the daemon is stopping"))
            return
        self._queue.put(item)

    async def close(self) -> None:
        """Commit what waits, close the database, end the thread."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    # From here on everything runs in the writer's thread.

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()

    def _turn(self) -> bool:
        """Take what waits and do it. False at the end."""
        batch, going_on = self._take()
        commits = [item for item in batch if item.work is None]
        if commits:
            self._commit(commits)
        for item in batch:
            if item.work is not None:
                self._work(item)
        self._index()
        return going_on

    def _take(self) -> tuple[list[_Item], bool]:
        try:
            item = self._queue.get(timeout=INDEX_EVERY_SECONDS if self._index_due else None)
        except queue.Empty:
            return [], True
        batch: list[_Item] = []
        count = 0
        while item is not None:
            batch.append(item)
            count += len(item.records)
            if count >= BATCH_RECORDS:
                break
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
        return batch, item is not None

    def _commit(self, items: list[_Item]) -> None:
        records = [record for item in items for record in item.records]
        if self._on_records is not None and records:
            try:
                self._on_records(records)
            except Exception:
                _log.exception("writing structured log lines failed")
        error = self._write([*self._carried, *records])
        if error is None:
            self._carried.clear()
            self._resolve([(item.future, None) for item in items if item.future is not None])
        elif isinstance(error, sqlite3.OperationalError):
            self._give_up(items, error)
        else:
            self._commit_one_by_one(items)

    def _write(self, records: list[Record]) -> Exception | None:
        """One transaction, tried again while the cause may pass."""
        deadline = time.monotonic() + RETRY_SECONDS
        pause = 0.005
        while True:
            try:
                self._transaction.write(records)
            except sqlite3.OperationalError as error:
                self._failed(error)
                if time.monotonic() >= deadline:
                    return error
                time.sleep(pause)
                pause = min(pause * 2, 0.25)
            except Exception as error:  # noqa: BLE001 (any bad value must cost only its own record)
                self._failed(error)
                return error
            else:
                self.records_written += len(records)
                self._index_due = True
                return None

    def _give_up(self, items: list[_Item], error: Exception) -> None:
        """The store cannot write: tell those who wait, keep what nobody waits for."""
        for item in items:
            if item.future is None:
                self._carried.extend(item.records)
        if (excess := len(self._carried) - CARRIED_RECORDS) > 0:
            del self._carried[:excess]
            _log.error("the store cannot write: %d records are lost", excess)
        failure = StoreError(f"the store cannot write: {error}")
        self._resolve([(item.future, failure) for item in items if item.future is not None])

    def _commit_one_by_one(self, items: list[_Item]) -> None:
        """A record in the batch is bad: let every other one through."""
        carried, self._carried = self._carried, []
        for item in [_Item([record], None) for record in carried] + items:
            error = self._write(list(item.records))
            if item.future is not None:
                failure = None if error is None else StoreError(f"a record was refused: {error}")
                self._resolve([(item.future, failure)])
            elif error is not None:
                _log.error("%d records were refused by the store: %s", len(item.records), error)

    def _work(self, item: _Item) -> None:
        assert item.work is not None
        assert item.future is not None
        try:
            result = item.work(self._connection)
        except Exception as error:  # noqa: BLE001 (whatever it is belongs to the one who asked)
            self._rollback()
            self._resolve([(item.future, error)])
        else:
            self._loop_call(_set_result, item.future, result)

    def _index(self) -> None:
        """Feed the full-text index: at once when idle, else every `INDEX_EVERY_SECONDS`."""
        if not self._index_due:
            return
        now = time.monotonic()
        if not self._queue.empty() and now - self._indexed_at < INDEX_EVERY_SECONDS:
            return
        try:
            self._index_due = index_batch(self._connection, INDEX_BATCH) >= INDEX_BATCH
        except sqlite3.Error as error:
            self._rollback()
            self._failed(error)
        if not self._index_due:
            self._indexed_at = now

    def _rollback(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _failed(self, error: Exception) -> None:
        self.last_error = (time.time(), f"{type(error).__name__}: {error}")

    def _resolve(self, futures: list[tuple[asyncio.Future[Any] | None, Exception | None]]) -> None:
        if futures:
            self._loop_call(_settle, futures)

    def _loop_call(self, function: Callable[..., None], *args: Any) -> None:
        # The loop may be gone when the last batch is written during shutdown.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *args)


def _settle(futures: list[tuple[asyncio.Future[Any], Exception | None]]) -> None:
    for future, error in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def _set_result(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)
