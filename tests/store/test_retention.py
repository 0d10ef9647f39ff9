from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from aigw.store.reader import open_reader
from aigw.store.retention import TABLES, prune, prune_batch, release_space
from aigw.store.schema import CHILD_TABLES
from tests.store.rows import DAY, NOON, Store


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    return {t: connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in TABLES}


def no_pause(seconds: float) -> None:
    assert seconds >= 0


def test_old_interceptions_go_with_all_their_records(store: Store) -> None:
    for n in range(5):
        store.whole(NOON + n * DAY)
    result = prune(store.connection, NOON + 2 * DAY, batch=1, pause=no_pause)
    assert result.rows == dict.fromkeys(TABLES, 2)
    assert counts(store.connection) == dict.fromkeys(TABLES, 3)


def test_dry_run_counts_and_changes_nothing(store: Store) -> None:
    store.whole(NOON)
    store.whole(NOON + DAY)
    with closing(open_reader(store.path)) as reader:
        result = prune(reader, NOON + 1, dry_run=True)
    assert result.rows == dict.fromkeys(TABLES, 1)
    assert result.bytes_freed > 0
    assert counts(store.connection) == dict.fromkeys(TABLES, 2)


def test_batch_takes_the_oldest(store: Store) -> None:
    late, early = store.whole(NOON + DAY), store.whole(NOON)
    assert prune_batch(store.connection, NOON + 2 * DAY, 1)["interceptions"] == 1
    assert store.connection.execute("SELECT id FROM interceptions").fetchall() == [(late,)]
    assert early != late
    assert prune_batch(store.connection, NOON + 2 * DAY, 5)["interceptions"] == 1
    assert prune_batch(store.connection, NOON + 2 * DAY, 5) == dict.fromkeys(TABLES, 0)


def test_space_goes_back(store: Store) -> None:
    for n in range(200):
        store.whole(NOON + n, prompt=f"{n} " * 2000)
    store.index()
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = store.path.stat().st_size
    result = prune(store.connection, NOON + DAY, pause=no_pause)
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    freed = before - store.path.stat().st_size
    assert freed > before / 2
    assert result.bytes_freed == freed
    assert not release_space(store.connection)


def test_daemon_writes_between_the_steps(store: Store) -> None:
    for n in range(10):
        store.whole(NOON + n)
    written: list[str] = []
    with closing(sqlite3.connect(store.path, timeout=0, isolation_level=None)) as other:

        def write(_seconds: float) -> None:
            written.append(store.whole(NOON + DAY))

        prune(other, NOON + DAY, batch=2, pause=write)
    assert len(written) >= 5
    assert counts(store.connection)["interceptions"] == len(written)


def test_failed_step_changes_nothing(store: Store) -> None:
    store.whole()
    store.connection.execute(
        "CREATE TRIGGER refuse BEFORE DELETE ON interceptions BEGIN SELECT raise(ABORT, 'no'); END"
    )
    with pytest.raises(sqlite3.IntegrityError, match="no"):
        prune_batch(store.connection, NOON + DAY)
    assert not store.connection.in_transaction
    assert counts(store.connection) == dict.fromkeys(("interceptions", *CHILD_TABLES), 1)


def test_what_is_still_running_is_not_pruned(store: Store) -> None:
    running = store.start(NOON)
    store.whole(NOON)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        assert prune_batch(connection, NOON + DAY)["interceptions"] == 1
        assert connection.execute("SELECT id FROM interceptions").fetchall() == [(running,)]
