from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from aigw import clock
from aigw.store import maintenance
from aigw.store.maintenance import Pruning, prune_once, prune_regularly
from aigw.store.schema import CHILD_TABLES
from aigw.store.writer import Writer
from aigw.tasks import spawn
from tests.store.rows import DAY, children, end, new_store, start
from tests.store.writing import begun, ended, read, said, until

OLD = 10_000
MONTH = timedelta(days=30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "aigw.db"


@pytest.fixture
async def writer(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Writer]:
    monkeypatch.setattr(maintenance, "PAUSE_SECONDS", 0.001)
    made = Writer(path)
    made.open(clock.now())
    yield made
    await made.close()


def fill(path: Path, count: int, at: int) -> None:
    """Interceptions with a record of every type, fully indexed."""
    with new_store(path) as store:
        for first in range(0, count, 1000):
            records = []
            for number in range(first, min(count, first + 1000)):
                key = f"old-{number}"
                records += [start(key, at), *children(key, at, f"word{number}"), end(key, at + 1)]
            store.write(*records)
        store.index()


def size_of(path: Path) -> int:
    return path.stat().st_size


def counts(path: Path) -> dict[str, int]:
    tables = ("interceptions", *CHILD_TABLES)
    return {t: int(str(read(path, f"SELECT count(*) FROM {t}")[0][0])) for t in tables}


@pytest.mark.timeout(60)
async def test_ten_thousand_are_pruned_while_commits_go_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "PAUSE_SECONDS", 0.001)
    fill(path, OLD, clock.now() - 60 * DAY)
    size = size_of(path)
    writer = Writer(path)
    writer.open(clock.now())
    pruning = spawn("prune", prune_once(writer, MONTH))
    waits: list[float] = []
    number = 0
    while not pruning.done():
        began = time.monotonic()
        await writer.commit(
            [start(f"new-{number}", clock.now()), end(f"new-{number}", clock.now())]
        )
        waits.append(time.monotonic() - began)
        number += 1
        await asyncio.sleep(0.002)
    assert await pruning == OLD * 6
    await writer.close()
    # A commit waits for one small step of a hundred at most, so many find a gap.
    assert statistics.median(waits) < 0.5
    assert len(waits) > 50
    assert counts(path) == dict.fromkeys(CHILD_TABLES, 0) | {"interceptions": number}
    assert size_of(path) < size / 2
    assert read(path, "SELECT count(*) FROM search WHERE search MATCH 'word7 OR word9999'") == [
        (0,)
    ]


async def test_only_what_is_old_goes(writer: Writer, path: Path) -> None:
    now = clock.now()
    for number, age in enumerate((31, 29, 0)):
        key = f"i-{number}"
        at = now - age * DAY
        await writer.commit([start(key, at), *children(key, at, "x"), end(key, at)])
    assert await prune_once(writer, MONTH) == 6
    assert read(path, "SELECT id FROM interceptions ORDER BY seq") == [("i-1",), ("i-2",)]
    assert await prune_once(writer, MONTH) == 0


async def test_zero_keeps_for_ever(writer: Writer, path: Path) -> None:
    await writer.commit([begun(0), said(0, "old"), ended(0)])
    async with asyncio.timeout(10):
        await prune_regularly(writer, timedelta(0))
    assert read(path, "SELECT count(*) FROM interceptions") == [(1,)]


async def test_pruning_comes_back_and_survives_failures(
    writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(maintenance, "EVERY_SECONDS", 0.01)
    await writer.call(
        lambda c: c.execute(
            "CREATE TEMP TRIGGER refuse BEFORE DELETE ON interceptions"
            " BEGIN SELECT raise(ABORT, 'not now'); END"
        )
    )
    old = clock.now() - 60 * DAY
    await writer.commit([start("i", old), *children("i", old, "x"), end("i", old)])
    task = spawn("retention", prune_regularly(writer, MONTH))
    await until(lambda: "pruning failed: not now" in caplog.text, "a failure")
    assert counts(path)["user_prompts"] == 1
    await writer.call(lambda c: c.execute("DROP TRIGGER refuse"))
    await until(lambda: counts(path)["interceptions"] == 0, "the pruning")
    task.cancel()
    await asyncio.wait([task])


async def test_what_is_not_indexed_yet_can_be_pruned(path: Path) -> None:
    old = clock.now() - 60 * DAY
    with new_store(path) as store:
        store.whole(old, prompt="indexed")
        store.index()
        store.whole(old, prompt="not yet")
    writer = Writer(path)
    writer.open(clock.now())
    await prune_once(writer, MONTH)
    await writer.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO search (search) VALUES ('integrity-check')")
        assert connection.execute("SELECT count(*) FROM search('indexed OR yet')").fetchone() == (
            0,
        )


async def test_the_retention_may_change_while_it_prunes(
    writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age in (50, 10):
        at = clock.now() - age * DAY
        await writer.commit([start(f"i-{age}", at), end(f"i-{age}", at)])
    pruning = Pruning(writer)
    pruning.keep(timedelta(0))
    pruning.keep(MONTH)
    await until(lambda: counts(path)["interceptions"] == 1, "the first pruning")
    # The same once more does not begin anew: a storm of reloads is no storm of prunings.
    monkeypatch.setattr(maintenance, "prune_regularly", None)
    pruning.keep(MONTH)
    monkeypatch.undo()
    pruning.keep(timedelta(days=5))
    await until(lambda: counts(path)["interceptions"] == 0, "the second pruning")
    pruning.stop()
    pruning.stop()
