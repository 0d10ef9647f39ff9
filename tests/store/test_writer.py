"""Group commit, its two lanes, and what happens when the database cannot be written."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from aigw.errors import StoreError
from aigw.records import Record, TokenUsage
from aigw.store import database, writing_thread
from aigw.store import writer as writer_module
from aigw.store.retention import prune_batch
from aigw.store.writer import BUSY_INTERCEPTIONS, QUICK_RECORDS, QUICK_TEXT, Writer
from tests.store.rows import DAY, NOON, new_store
from tests.store.writing import Locked, Statements, all_seqs, begun, ended, read, said, until

THREAD = "aigw-writer"
LOOP = "MainThread"
TOO_LARGE = 2**63
LONE_SURROGATE = "half \ud800"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "aigw.db"


@pytest.fixture(autouse=True)
def _a_quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine stalls now and then, which would change the lane in the middle of a test."""
    monkeypatch.setattr(writer_module, "SLOW_COMMIT_SECONDS", 60.0)


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[Writer]:
    made = Writer(path)
    made.open(NOON)
    yield made
    await made.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a locked file up soon, and come back to it soon."""
    monkeypatch.setattr(writing_thread, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(writing_thread, "UPKEEP_SECONDS", 0.02)


def poisoned(number: int) -> TokenUsage:
    return TokenUsage(
        interception_id=f"i-{number}",
        created_at=NOON,
        id="k",
        msg_id="m",
        input_tokens=TOO_LARGE,
        output_tokens=1,
    )


def prompts(path: Path) -> list[str]:
    return [str(row[0]) for row in read(path, "SELECT prompt FROM user_prompts ORDER BY seq")]


async def test_commits_of_one_turn_are_one_transaction(writer: Writer, path: Path) -> None:
    company = [begun(number) for number in range(100, 100 + BUSY_INTERCEPTIONS)]
    await writer.commit(company)
    statements = Statements(writer)
    await asyncio.gather(*(writer.commit([begun(number)]) for number in range(100)))
    assert statements.transactions() == [LOOP]
    await asyncio.gather(*(writer.commit([ended(number)]) for number in range(100)))
    assert statements.transactions() == [LOOP, LOOP]
    assert all_seqs(path) == list(range(1, 201 + len(company)))
    assert writer.records_written == 200 + len(company)


async def test_a_lone_commit_waits_for_nothing(writer: Writer) -> None:
    assert writer.commit([begun(0)]).done()


async def test_a_commit_covers_what_was_posted_before_it(writer: Writer, path: Path) -> None:
    writer.post([begun(0), said(0, "one")])
    writer.post([said(0, "two")])
    await writer.commit([ended(0)])
    assert prompts(path) == ["one", "two"]
    assert read(path, "SELECT end_seq FROM interceptions") == [(4,)]


@pytest.mark.parametrize(
    "slow",
    [
        [said(0, "x" * (QUICK_TEXT + 1))],
        [said(0, "x")] * (QUICK_RECORDS + 1),
    ],
    ids=["long", "many"],
)
async def test_what_takes_long_goes_to_the_thread(writer: Writer, slow: Sequence[Record]) -> None:
    statements = Statements(writer)
    await writer.commit([begun(0)])
    await writer.commit([*slow, begun(1)])
    await writer.commit([ended(0)])
    assert statements.transactions() == [LOOP, THREAD, LOOP]


async def test_nothing_overtakes_what_the_thread_has(writer: Writer, path: Path) -> None:
    await writer.commit([begun(0)])
    writer.post([said(0, "x" * (QUICK_TEXT + 1))])
    await asyncio.sleep(0)
    assert writer._handed_over == 1
    await writer.commit([said(0, "small")])
    assert [len(text) for text in prompts(path)] == [QUICK_TEXT + 1, len("small")]


async def test_all_that_waits_for_the_thread_is_one_transaction(writer: Writer) -> None:
    """The upkeep between two of many batches would make the last one wait for seconds."""
    statements = Statements(writer)
    began, busy = threading.Event(), threading.Event()
    held = writer.call(lambda _: (began.set(), busy.wait(60)))
    # Else a thread slow to wake takes the first commits along with the call.
    await asyncio.to_thread(began.wait)
    waiting = []
    for number in range(20):
        waiting.append(writer.commit([begun(number)]))
        await asyncio.sleep(0)
    assert writer._handed_over == 21
    busy.set()
    await asyncio.gather(held, *waiting)
    assert statements.transactions() == [THREAD]
    # And afterwards the loop commits for itself again.
    await writer.commit([ended(0)])
    assert statements.transactions() == [THREAD, LOOP]


async def test_records_keep_their_order_over_both_lanes(writer: Writer, path: Path) -> None:
    dice = random.Random(3)
    statements = Statements(writer)
    handed_in: list[int] = []
    await writer.commit([begun(0)])
    for number in range(120):
        text = f"{number:06}"
        if dice.random() < 0.1:
            text += "x" * QUICK_TEXT
        handed_in.append(number)
        writer.post([said(0, text)])
        if dice.random() < 0.5:
            await asyncio.sleep(0)
        if dice.random() < 0.2:
            await writer.commit([begun(number + 1)])
    await writer.commit([ended(0)])
    assert [int(text[:6]) for text in prompts(path)] == handed_in
    assert set(statements.transactions()) == {LOOP, THREAD}


async def test_synchronous_full_leaves_every_sync_to_the_thread(path: Path) -> None:
    writer = Writer(path, synchronous="full")
    writer.open(NOON)
    statements = Statements(writer)
    for number in range(5):
        await writer.commit([begun(number)])
    assert statements.transactions() == [THREAD] * 5
    assert writer._transaction._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    await writer.close()


async def test_a_slow_commit_leaves_the_next_ones_to_the_thread(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = Statements(writer)
    monkeypatch.setattr(writer_module, "SLOW_COMMIT_SECONDS", -1.0)
    await writer.commit([begun(0)])
    await writer.commit([begun(1)])
    await writer.commit([begun(2)])
    assert statements.transactions() == [LOOP, THREAD, THREAD]


async def test_patience_ends(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    statements = Statements(writer)
    monkeypatch.setattr(writer_module, "SLOW_COMMIT_SECONDS", -1.0)
    monkeypatch.setattr(writer_module, "PATIENCE_SECONDS", 0.0)
    await writer.commit([begun(0)])
    await writer.commit([begun(1)])
    assert statements.transactions() == [LOOP, LOOP]


async def test_a_locked_file_holds_up_commits_but_not_the_loop(writer: Writer, path: Path) -> None:
    await writer.commit([begun(0)])
    with Locked(path):
        commit = writer.commit([ended(0)])
        await until(lambda: writer.last_error, "a failed attempt")
        loop = asyncio.get_running_loop()
        beats = [loop.time()]
        for _ in range(50):
            await asyncio.sleep(0.002)
            beats.append(loop.time())
        assert not commit.done()
    await commit
    assert read(path, "SELECT end_seq FROM interceptions") == [(2,)]
    gaps = [after - before for before, after in itertools.pairwise(beats)]
    assert max(gaps) < writing_thread.RETRY_SECONDS * 0.8, "the loop waited for the lock"


@pytest.mark.usefixtures("impatient")
async def test_a_file_locked_for_long(writer: Writer, path: Path) -> None:
    await writer.commit([begun(0)])
    with Locked(path):
        writer.post([said(0, "carried")])
        await asyncio.sleep(0)
        with pytest.raises(StoreError, match="locked"):
            await writer.commit([begun(1)])
        writer.post([said(0, "carried too")])
        with pytest.raises(StoreError, match="locked"):
            await writer.commit([begun(2)])
        assert writer.last_error is not None
    # Nobody asks for anything: the thread comes back to what it carries by itself.
    await until(lambda: len(prompts(path)) == 2, "the carried records")
    await writer.commit([ended(0)])
    assert prompts(path) == ["carried", "carried too"]
    assert read(path, "SELECT id, end_seq FROM interceptions") == [("i-0", 4)]


@pytest.mark.usefixtures("impatient")
async def test_what_is_carried_comes_before_later_commits(
    writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing_thread, "UPKEEP_SECONDS", 3600.0)
    await writer.commit([begun(0)])
    with Locked(path):
        writer.post([said(0, "first")])
        with pytest.raises(StoreError):
            await writer.commit([])
    await writer.commit([said(0, "second"), ended(0)])
    assert prompts(path) == ["first", "second"]


@pytest.mark.usefixtures("impatient")
async def test_carried_records_are_written_at_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing_thread, "UPKEEP_SECONDS", 3600.0)
    writer = Writer(path)
    writer.open(NOON)
    await writer.commit([begun(0)])
    with Locked(path):
        writer.post([said(0, "carried"), ended(0)])
        with pytest.raises(StoreError):
            await writer.commit([])
    await writer.close()
    assert prompts(path) == ["carried"]
    assert read(path, "SELECT status FROM interceptions") == [("completed",)]


@pytest.mark.usefixtures("impatient")
async def test_what_is_carried_is_bounded(
    writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing_thread, "CARRIED_RECORDS", 3)
    await writer.commit([begun(0)])
    with Locked(path):
        for text in "abcde":
            writer.post([said(0, text)])
            with pytest.raises(StoreError):
                await writer.commit([])
    await until(lambda: prompts(path), "the carried records")
    assert prompts(path) == ["c", "d", "e"]


@pytest.mark.parametrize("poison", [poisoned(0), said(0, LONE_SURROGATE)], ids=["int", "text"])
async def test_a_poison_record_costs_only_itself(
    writer: Writer, path: Path, poison: Record, caplog: pytest.LogCaptureFixture
) -> None:
    await writer.commit([begun(0)])
    writer.post([said(0, "before"), poison, said(0, "after")])
    other = writer.commit([begun(1)])
    waited_for = writer.commit([begun(2), poison])
    last = writer.commit([ended(0)])
    # A wire reader's bug may not cost a client its answer: the rest counts as committed.
    await asyncio.gather(other, waited_for, last)
    assert prompts(path) == ["before", "after"]
    assert read(path, "SELECT id FROM interceptions ORDER BY seq") == [
        ("i-0",),
        ("i-1",),
        ("i-2",),
    ]
    assert read(path, "SELECT status FROM interceptions WHERE id = 'i-0'") == [("completed",)]
    assert "refused" in caplog.text


@pytest.mark.usefixtures("impatient")
async def test_a_poison_record_among_those_carried(writer: Writer, path: Path) -> None:
    await writer.commit([begun(0)])
    with Locked(path):
        writer.post([said(0, "good"), poisoned(0), said(0, "good too")])
        with pytest.raises(StoreError):
            await writer.commit([])
    await until(lambda: len(prompts(path)) == 2, "the good ones")
    assert prompts(path) == ["good", "good too"]


async def test_every_record_is_told_of_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: Counter[str] = Counter()
    writer = Writer(path, on_records=lambda records: told.update(map(repr, records)))
    writer.open(NOON)
    retried: list[Record] = [begun(0), said(0, "posted")]
    with Locked(path):
        commit = writer.commit(retried)
        await until(lambda: writer.last_error, "a failed attempt")
    await commit
    monkeypatch.setattr(writing_thread, "RETRY_SECONDS", 0.05)
    carried: list[Record] = [said(0, "carried")]
    refused: list[Record] = [said(0, "handed in twice"), ended(0)]
    with Locked(path):
        writer.post(carried)
        with pytest.raises(StoreError):
            await writer.commit(refused)
        writer.post(refused, again=True)
    await writer.commit([begun(1), poisoned(1)])
    await writer.close()
    assert told == Counter(map(repr, [*retried, *carried, *refused, begun(1), poisoned(1)]))
    assert prompts(path) == ["posted", "carried", "handed in twice"]


async def test_a_listener_that_fails_costs_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(records: Sequence[Record]) -> None:
        raise RuntimeError(len(records))

    writer = Writer(path, on_records=fail)
    writer.open(NOON)
    await writer.commit([begun(0)])
    await writer.close()
    assert all_seqs(path)[0] == 1
    assert "structured log lines failed" in caplog.text


async def test_closing_commits_what_waits(path: Path) -> None:
    writer = Writer(path)
    writer.open(NOON)
    writer.post([begun(0), said(0, "x" * (QUICK_TEXT + 1))])
    waiting = writer.commit([ended(0)])
    await writer.close()
    assert waiting.done()
    assert waiting.exception() is None
    assert all_seqs(path) == [1, 2, 3]
    await writer.close()


async def test_after_closing_nothing_is_taken(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer(path)
    writer.open(NOON)
    await writer.close()
    with pytest.raises(StoreError, match="closed"):
        await writer.commit([begun(0)])
    writer.post([begun(1)])
    assert "after the store was closed" in caplog.text
    assert all_seqs(path) == []


async def test_seq_is_never_given_twice(path: Path) -> None:
    highest = 0
    for turn in range(3):
        writer = Writer(path)
        writer.open(NOON)
        await writer.commit([begun(turn), said(turn, "x"), ended(turn)])
        found = all_seqs(path)
        assert found == [highest + 1, highest + 2, highest + 3]
        highest = found[-1]
        deleted = await writer.call(lambda connection: prune_batch(connection, NOON + DAY))
        assert deleted["interceptions"] == 1
        await writer.close()
        assert all_seqs(path) == []


async def test_what_an_earlier_daemon_left_open_is_ended(path: Path) -> None:
    with new_store(path) as store:
        store.start(NOON)
        store.start(NOON + 1)
        store.whole(NOON + 2)
    writer = Writer(path)
    writer.open(NOON + 5_000_000)
    rows = read(
        path, "SELECT status, error_type, ended_at, duration_ms FROM interceptions ORDER BY seq"
    )
    assert rows[:2] == [
        ("aborted", "gateway_stopped", NOON + 5_000_000, duration) for duration in (5000, 4999)
    ]
    assert rows[2][0] == "completed"
    await writer.commit([begun(0)])
    seqs = all_seqs(path)
    assert len(set(seqs)) == len(seqs)
    await writer.close()


async def test_orphans_do_not_end_before_they_began(path: Path) -> None:
    with new_store(path) as store:
        store.start(NOON)
    writer = Writer(path)
    writer.open(NOON - DAY)
    assert read(path, "SELECT duration_ms FROM interceptions") == [(0,)]
    await writer.close()


async def test_work_runs_between_commits_and_cannot_leave_a_transaction_open(
    writer: Writer,
) -> None:
    await writer.commit([begun(0)])
    counted = await writer.call(
        lambda c: c.execute("SELECT count(*) FROM interceptions").fetchone()
    )
    assert counted == (1,)
    with pytest.raises(ZeroDivisionError):
        await writer.call(lambda c: [c.execute("BEGIN IMMEDIATE"), 1 // 0])
    await writer.commit([ended(0)])


async def test_records_become_searchable_by_themselves(
    writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing_thread, "UPKEEP_SECONDS", 0.01)
    await writer.commit([begun(0), said(0, "findable"), ended(0)])

    def found() -> list[tuple[object, ...]]:
        return read(path, "SELECT rowid FROM search WHERE search MATCH 'findable'")

    assert await until(found, "the index") == [(2,)]


async def test_a_commit_whose_waiter_left_is_written_all_the_same(
    writer: Writer, path: Path
) -> None:
    writer.commit([begun(0)]).cancel()
    writer.commit([begun(1), said(1, "x" * (QUICK_TEXT + 1))]).cancel()
    await writer.commit([])
    assert read(path, "SELECT count(*) FROM interceptions") == [(2,)]


async def test_a_start_that_cannot_write_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program takes the lock between the opening and the first write."""
    opened = database.open_for_writing

    def open_and_lose(place: Path, synchronous: str) -> object:
        connection = opened(place, synchronous)
        locked.__enter__()
        return connection

    with new_store(path):
        pass
    locked = Locked(path)
    monkeypatch.setattr(writer_module, "open_for_writing", open_and_lose)
    try:
        with pytest.raises(StoreError, match="locked"):
            Writer(path).open(NOON)
    finally:
        locked.release()


async def test_in_company_commits_wait_for_each_other(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough for a busy machine to hand in all of them meanwhile.
    monkeypatch.setattr(writer_module, "BUSY_SECONDS", 1.0)
    for number in range(BUSY_INTERCEPTIONS):
        await writer.commit([begun(number)])
    batches: list[int] = []
    write = writer._transaction.write

    def counted(records: Sequence[Record]) -> None:
        batches.append(len(records))
        write(records)

    monkeypatch.setattr(writer._transaction, "write", counted)
    waiting = []
    for number in range(BUSY_INTERCEPTIONS):
        waiting.append(writer.commit([ended(number)]))
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert batches == [BUSY_INTERCEPTIONS]
    await writer.commit([begun(BUSY_INTERCEPTIONS)])
    await writer.commit([ended(BUSY_INTERCEPTIONS)])
    assert batches == [BUSY_INTERCEPTIONS, 1, 1]
