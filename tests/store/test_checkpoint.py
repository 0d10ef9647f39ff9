"""The write-ahead log stays short, and commits do not wait for that."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aigw.store import checkpoint, writing_thread
from aigw.store.checkpoint import Checkpointer
from aigw.store.writer import QUICK_TEXT, Writer
from aigw.tasks import spawn
from tests.store.rows import NOON, Store, new_store
from tests.store.writing import begun, ended, said, until

PAGE = 4096
FRAME = PAGE + 24


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "LOG_BYTES", 100 * FRAME)
    monkeypatch.setattr(checkpoint, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "LONGEST_LOG_PAGES", 400)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path / "aigw.db") as made:
        yield made


@pytest.fixture
async def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Writer]:
    monkeypatch.setattr(writing_thread, "UPKEEP_SECONDS", 0.01)
    made = Writer(tmp_path / "aigw.db")
    made.open(NOON)
    yield made
    await made.close()


def log_size(path: Path) -> int:
    return path.with_name(path.name + "-wal").stat().st_size


def test_a_short_log_is_left_alone(store: Store) -> None:
    store.start()
    checkpointer = Checkpointer(store.path)
    before = store.path.stat().st_size
    checkpointer.run(store.connection, threading.Lock())
    assert checkpointer._connection is None
    assert store.path.stat().st_size == before
    checkpointer.close()


def test_a_long_log_is_copied_and_begins_anew(store: Store) -> None:
    checkpointer = Checkpointer(store.path)
    for n in range(20):
        store.whole(NOON + n, prompt="x" * 50_000)
    length = log_size(store.path)
    assert length > 100 * FRAME
    checkpointer.run(store.connection, threading.Lock())
    for n in range(5):
        store.whole(NOON + 100 + n, prompt="x" * 50_000)
    # The new records went to the beginning of the old log.
    assert log_size(store.path) == length
    checkpointer.close()


def test_no_log_is_no_error(tmp_path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        checkpointer = Checkpointer(tmp_path / "none.db")
        checkpointer.run(connection, threading.Lock())
        checkpointer.close()
    assert list(tmp_path.iterdir()) == []


def test_commits_go_on_while_it_runs(store: Store) -> None:
    for n in range(20):
        store.whole(NOON + n, prompt="x" * 50_000)
    checkpointer = Checkpointer(store.path)
    written: list[str] = []
    with closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        # A progress handler is called within the checkpoint's own statements.
        checkpointer._connection = connection
        connection.set_trace_callback(lambda _: written.append(store.start(NOON + 1000)))
        checkpointer.run(store.connection, threading.Lock())
    assert len(written) == 1


def test_the_log_is_bounded_where_commits_never_pause(store: Store) -> None:
    """What is committed during a checkpoint keeps the log from beginning anew after it."""
    turn = threading.Lock()
    granted = threading.Semaphore(0)
    done = threading.Semaphore(0)
    rounds, commits = 60, 50

    def load() -> None:
        for number in range(rounds * commits):
            granted.acquire()
            with turn:
                store.write(begun(number), said(number, "x" * 20_000), ended(number))
            done.release()

    loader = threading.Thread(target=load)
    loader.start()
    checkpointer = Checkpointer(store.path)
    longest = 0
    for _ in range(rounds):
        granted.release(commits)
        checkpointer.run(store.connection, turn)
        for _ in range(commits):
            done.acquire()
        longest = max(longest, log_size(store.path) // FRAME)
    loader.join()
    checkpointer.close()
    of_one_round = commits * 12
    assert longest < checkpoint.LONGEST_LOG_PAGES + 3 * of_one_round


async def test_the_log_is_bounded_under_unbroken_load(writer: Writer) -> None:
    stopping = False
    committed = 0

    async def client(number: int) -> None:
        nonlocal committed
        turn = 0
        while not stopping:
            turn += 1
            key = number * 1_000_000 + turn
            await writer.commit([begun(key), said(key, "x" * 20_000)])
            await writer.commit([ended(key)])
            committed += 1
            # A commit that is done at once does not yield, which between requests a loop does.
            await asyncio.sleep(0)

    clients = [spawn("load", client(n)) for n in range(4)]
    await until(lambda: committed > 1200, "enough commits", patience=60)
    stopping = True
    await asyncio.gather(*clients)
    written = committed * 20_000 // PAGE
    assert written > 10 * checkpoint.LONGEST_LOG_PAGES
    assert log_size(writer.path) < written * FRAME / 2


async def test_a_disk_that_is_slow_to_sync_holds_up_no_commit(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_to_sync, synced = threading.Event(), threading.Event()

    def stuck(*_: object) -> None:
        begun_to_sync.set()
        synced.wait(30)

    monkeypatch.setattr(checkpoint.Checkpointer, "run", stuck)
    try:
        await writer.commit([begun(0)])
        await until(begun_to_sync.is_set, "a checkpoint")
        # So long that it goes to the thread, which used to run the checkpoints.
        await asyncio.wait_for(writer.commit([said(0, "x" * (QUICK_TEXT + 1))]), 10)
        assert not synced.is_set()
    finally:
        synced.set()
