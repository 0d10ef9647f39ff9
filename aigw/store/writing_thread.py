"""The patient lane of the writer: a thread that may wait for locks and disks, and does the upkeep."""

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
from typing import Any, TypeAlias

from aigw.errors import StoreError
from aigw.records import InterceptionStart, Record
from aigw.store.checkpoint import CheckpointThread
from aigw.store.rollup import roll_up
from aigw.store.search import index_batch, merge_step
from aigw.store.transaction import Transaction

_log = logging.getLogger("aigw.store")

RETRY_SECONDS = 5.0
"""How long a write is tried again while the file is locked or full before its requests get a 503.
Long enough for a backup or a prune in another process, short enough for a person to wait. While
the store keeps failing, later batches are tried once each."""

CARRIED_RECORDS = 50_000
"""Most records of running answers kept in memory while the store cannot write; older ones are
given up first. Protects the machine's memory when a disk stays full."""

INDEX_BATCH = 256
"""Records indexed for full-text search in one go: a few milliseconds in which commits wait."""

UPKEEP_SECONDS = 0.5
"""How long new records may wait for the full-text index and the sums, and the log for a checkpoint.
Bigger batches are cheaper; readers cover the rest by themselves."""

_Work: TypeAlias = Callable[[sqlite3.Connection], Any]
Future: TypeAlias = asyncio.Future[Any]
_Settled: TypeAlias = tuple[Future, Any, Exception | None]


class Item:
    """Something for the writer to do: commit records, or run `work` on the connection.

    `again` marks records that were handed in before, and could not be committed then.
    """

    __slots__ = ("again", "future", "records", "work")

    def __init__(
        self,
        records: Sequence[Record],
        future: Future | None,
        work: _Work | None = None,
        *,
        again: bool = False,
    ) -> None:
        self.again = again
        self.records = records
        self.future = future
        self.work = work


class WritingThread:
    """Takes batches through `put`; `turn` is held whenever the connection is used.

    Args:
        path: the database, for the checkpoints' own connection.
        connection: the writing connection, closed at the end of the thread.
        transaction: writes batches on that connection.
        turn: the lock that the quick lane takes for its commits.
        loop: where futures are resolved.
        done: called on the loop with how many batches have been dealt with.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        transaction: Transaction,
        turn: threading.Lock,
        loop: asyncio.AbstractEventLoop,
        done: Callable[[int], None],
    ) -> None:
        self.last_error: tuple[float, str] | None = None
        self._path = path
        self._connection = connection
        self._transaction = transaction
        self._turn = turn
        self._loop = loop
        self._done = done
        self._queue: queue.SimpleQueue[list[Item] | None] = queue.SimpleQueue()
        self._carried: list[Record] = []
        self._failing = False
        self._nudged = False
        self._outcomes: list[_Settled] = []
        self._thread = threading.Thread(target=self._run, name="aigw-writer", daemon=True)

    @property
    def has_carried(self) -> bool:
        """Whether records wait in memory for a store that could not write them."""
        return bool(self._carried)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, items: list[Item]) -> None:
        """Hand over a batch."""
        self._queue.put(items)

    def nudge(self) -> None:
        """Something was committed elsewhere: the upkeep has work soon."""
        if not self._nudged:
            self._nudged = True
            self._queue.put([])

    def stop(self) -> None:
        """End the thread when all that was handed over is done."""
        self._queue.put(None)

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join()

    # From here on everything runs in the thread.

    def _run(self) -> None:
        checkpoints = CheckpointThread(self._path, self._connection, self._turn, self._note)
        checkpoints.start()
        upkeep_at: float | None = None
        try:
            while True:
                wait = None if upkeep_at is None else max(0.0, upkeep_at - time.monotonic())
                batches, is_last = self._take(wait)
                if batches:
                    self._process(batches)
                if is_last:
                    break
                if upkeep_at is None:
                    upkeep_at = time.monotonic() + UPKEEP_SECONDS
                elif time.monotonic() >= upkeep_at:
                    # Told again from here on; what comes meanwhile is seen by this very upkeep.
                    self._nudged = False
                    upkeep_at = self._upkeep()
                    checkpoints.nudge()
        finally:
            checkpoints.stop()
            if self._carried:
                self._retry_carried()
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()

    def _take(self, wait: float | None) -> tuple[list[list[Item]], bool]:
        """All batches that were handed over, waiting for the first; whether they are the last.

        All at once: the upkeep comes after them, and none of them should wait for it.
        """
        batches: list[list[Item]] = []
        try:
            batch = self._queue.get(timeout=wait)
            while batch is not None:
                if batch:
                    batches.append(batch)
                batch = self._queue.get_nowait()
        except queue.Empty:
            return batches, False
        return batches, True

    def _process(self, batches: list[list[Item]]) -> None:
        items = [item for batch in batches for item in batch]
        commits = [item for item in items if item.work is None]
        with self._turn:
            if commits:
                self._commit(commits)
            for item in items:
                if item.work is not None:
                    self._work(item, item.work)
        # Only now, with the turn given back, may who waited go on: what it commits next is quick.
        outcomes, self._outcomes = self._outcomes, []
        self._loop_call(self._hand_back, outcomes, len(batches))

    def _hand_back(self, outcomes: list[_Settled], count: int) -> None:
        """The one part that runs on the loop: resolve the futures of so many batches."""
        self._done(count)
        for future, result, error in outcomes:
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def _commit(self, items: list[Item]) -> None:
        records = [record for item in items for record in item.records]
        error = self._write([*self._carried, *records])
        if error is None:
            self._carried = []
            self._settle(items, None)
        elif isinstance(error, sqlite3.OperationalError):
            self._give_up(items, error)
        else:
            self._commit_one_by_one(items)

    def _write(self, records: list[Record]) -> Exception | None:
        """One transaction, tried again while the cause may pass."""
        deadline = time.monotonic() + (0.0 if self._failing else RETRY_SECONDS)
        pause = 0.002
        while True:
            try:
                self._transaction.write(records)
            except sqlite3.OperationalError as error:
                self._note(error)
                if time.monotonic() >= deadline:
                    self._failing = True
                    return error
                time.sleep(pause)
                pause = min(pause * 2, 0.1)
            except Exception as error:  # noqa: BLE001 (any bad value must cost only its own record)
                self._note(error)
                return error
            else:
                self._failing = False
                return None

    def _give_up(self, items: list[Item], error: Exception) -> None:
        """The store cannot write: tell those who wait, keep what nobody waits for."""
        for item in items:
            if item.future is None:
                self._carried.extend(item.records)
        if (excess := len(self._carried) - CARRIED_RECORDS) > 0:
            del self._carried[:excess]
            _log.error("the store cannot write: %d records are lost", excess)
        failure = StoreError(f"the store cannot write: {error}")
        self._settle(items, failure)

    def _commit_one_by_one(self, items: list[Item]) -> None:
        """A record in the batch is bad: let every other one through."""
        carried, self._carried = self._carried, []
        for item in [Item(carried, None), *items]:
            error = self._write(list(item.records))
            if error is not None and not isinstance(error, sqlite3.OperationalError):
                error = self._commit_singly(item)
            elif error is not None and item.future is None:
                self._carried.extend(item.records)
            failure = None if error is None else StoreError(f"the store cannot write: {error}")
            self._settle([item], failure)

    def _commit_singly(self, item: Item) -> Exception | None:
        """Write each record alone. One that can never be stored is logged and costs only itself.

        Returns what keeps the item from counting as committed: a fault of the store, or the start
        of an interception among the refused.
        """
        failure: Exception | None = None
        for record in item.records:
            error = self._write([record])
            if error is None:
                continue
            if isinstance(error, sqlite3.OperationalError):
                failure = error
                if item.future is None:
                    self._carried.append(record)
            else:
                _log.error("a record was refused by the store: %s", error)
                if type(record) is InterceptionStart:
                    failure = error
        return failure

    def _work(self, item: Item, work: _Work) -> None:
        assert item.future is not None
        try:
            result = work(self._connection)
        except Exception as error:  # noqa: BLE001 (whatever it is belongs to the one who asked)
            self._rollback()
            self._outcomes.append((item.future, None, error))
        else:
            self._outcomes.append((item.future, result, None))

    def _upkeep(self) -> float | None:
        """Index, sum up, retry what is carried; returns when to come back, if known."""
        try:
            with self._turn:
                if self._carried:
                    self._retry_carried()
                more = index_batch(self._connection, INDEX_BATCH) >= INDEX_BATCH
            with self._turn:
                more = roll_up(self._connection) or more
            with self._turn:
                more = merge_step(self._connection) or more
        except sqlite3.Error as error:
            self._rollback()
            self._note(error)
            return time.monotonic() + UPKEEP_SECONDS
        if more:
            return time.monotonic()
        return time.monotonic() + UPKEEP_SECONDS if self._carried else None

    def _retry_carried(self) -> None:
        error = self._write(list(self._carried))
        if error is None:
            self._carried = []
        elif not isinstance(error, sqlite3.OperationalError):
            self._commit_one_by_one([])

    def _rollback(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _note(self, error: Exception) -> None:
        self.last_error = (time.time(), f"{type(error).__name__}: {error}")

    def _settle(self, items: list[Item], error: Exception | None) -> None:
        self._outcomes += [(item.future, None, error) for item in items if item.future is not None]

    def _loop_call(self, function: Callable[..., None], *args: Any) -> None:
        # The loop may be gone when the last batch is written during shutdown.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *args)
