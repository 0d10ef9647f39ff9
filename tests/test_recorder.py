"""The lifecycle of an interception against a real store, and against one that cannot write."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aigw.errors import StoreError
from aigw.recorder import CLIENT_LEFT, Ending, Interception, Recorder
from aigw.records import InterceptionEnd, InterceptionStart, PromptUsage, Record, Status
from aigw.store.writer import Writer
from aigw.tasks import spawn
from aigw.wire.facts import (
    Outcome,
    ResponseFact,
    ThoughtFact,
    ToolCallFact,
    ToolResultFact,
    UsageFact,
)
from tests.store.rows import NOON, start
from tests.store.writing import Locked

DONE = Ending(Outcome(Status.COMPLETED), 200, 40, 10, streaming=True)
FACTS: list[ResponseFact] = [
    ThoughtFact("hm", "thinking"),
    ToolCallFact("call_1", "Bash", "{}", "fc_1"),
    UsageFact(1, 2, 3, 4, 5, {"completion_reasoning": 5}),
]


class Watcher:
    """An observer that writes down what it is told, with the number of records by then."""

    def __init__(self) -> None:
        self.running = 0
        self.records: list[Record] = []
        self.ends: list[InterceptionEnd] = []

    def started(self, start: InterceptionStart) -> None:
        assert start.interception_id
        self.running += 1

    def recorded(self, start: InterceptionStart, records: Sequence[Record]) -> None:
        assert {record.interception_id for record in records} == {start.interception_id}
        self.records += records

    def ended(self, start: InterceptionStart, end: InterceptionEnd) -> None:
        assert end.interception_id == start.interception_id
        self.running -= 1
        self.ends.append(end)


class FailingSink:
    """A `RecordSink` that refuses every commit and keeps what is posted."""

    def __init__(self) -> None:
        self.posted: list[tuple[bool, Record]] = []

    def post(self, records: Sequence[Record], *, again: bool = False) -> None:
        self.posted += [(again, record) for record in records]

    def commit(self, records: Sequence[Record]) -> Awaitable[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_exception(StoreError(f"disk full, {len(records)} records"))
        return future


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[Writer]:
    made = Writer(tmp_path / "aigw.db")
    made.open(NOON)
    yield made
    await made.close()


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def recorder(writer: Writer, watcher: Watcher) -> Recorder:
    times = iter(range(NOON, NOON + 1000))
    return Recorder(writer, observers=[watcher], now=lambda: next(times))


def read(writer: Writer, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(writer.path)) as connection:
        return connection.execute(sql).fetchall()


async def begin(recorder: Recorder, **more: Any) -> Interception:
    now = recorder.now()
    return await recorder.start(start(recorder.new_id(now), now), **more)


async def test_a_whole_interception(writer: Writer, recorder: Recorder, watcher: Watcher) -> None:
    results = [ToolResultFact("call_0", "no such file", 12, is_error=True)]
    interception = await begin(recorder, prompt="hello", tool_results=results)
    # Committed when `start` returns: readable from another connection.
    assert read(writer, "SELECT id, end_seq FROM interceptions") == [(interception.id, None)]
    assert read(writer, "SELECT tool_call_id, is_error, size FROM tool_results") == [
        ("call_0", 1, 12)
    ]
    assert watcher.running == 1
    interception.add(FACTS[:2], "msg_1")
    await interception.end(DONE, FACTS[2:], "msg_1")
    assert interception.ended
    assert read(writer, "SELECT prompt, msg_id FROM user_prompts") == [("hello", "msg_1")]
    assert read(writer, "SELECT tool, item_id, msg_id FROM tool_usages") == [
        ("Bash", "fc_1", "msg_1")
    ]
    assert read(writer, "SELECT content, metadata FROM model_thoughts") == [
        ("hm", '{"source":"thinking"}')
    ]
    assert read(writer, "SELECT input_tokens, metadata FROM token_usages") == [
        (1, '{"completion_reasoning":5}')
    ]
    row = read(
        writer,
        "SELECT status, status_code, duration_ms, time_to_first_byte_ms, streaming, input_tokens,"
        " output_tokens, cache_read_input_tokens, cache_write_input_tokens, reasoning_tokens"
        " FROM interceptions",
    )
    assert row == [("completed", 200, 40, 10, 1, 1, 2, 3, 4, 5)]
    assert watcher.running == 0
    assert len(watcher.records) == 4


async def test_the_end_sums_all_usage(recorder: Recorder, watcher: Watcher) -> None:
    interception = await begin(recorder)
    interception.add([UsageFact(1, 2, 3, 4, 5)], "m1")
    await interception.end(DONE, [UsageFact(10, 20, 30, 40, 50)], "m2")
    (end,) = watcher.ends
    assert (end.input_tokens, end.output_tokens) == (11, 22)
    assert (end.cache_read_input_tokens, end.cache_write_input_tokens) == (33, 44)
    assert end.reasoning_tokens == 55


async def test_the_prompt_waits_for_the_responses_id(writer: Writer, recorder: Recorder) -> None:
    interception = await begin(recorder, prompt="hello")
    waiting = []
    for msg_id in ("", "msg_1"):
        interception.add(FACTS[:1], msg_id)
        waiting.append(interception.awaits_response_id)
    assert waiting == [True, False]
    interception.add([], "msg_2")
    await interception.end(DONE, [], "msg_2")
    assert read(writer, "SELECT prompt, msg_id FROM user_prompts") == [("hello", "msg_1")]


async def test_a_prompt_without_answer_is_recorded_all_the_same(
    writer: Writer, recorder: Recorder
) -> None:
    interception = await begin(recorder, prompt="hello")
    await interception.end(Ending(Outcome(Status.FAILED, "overloaded_error"), 529))
    assert read(writer, "SELECT prompt, msg_id FROM user_prompts") == [("hello", "")]
    assert read(writer, "SELECT status, error_type FROM interceptions") == [
        ("failed", "overloaded_error")
    ]


async def test_an_abandoned_one_is_recorded_without_waiting(
    writer: Writer, recorder: Recorder, watcher: Watcher
) -> None:
    interception = await begin(recorder, prompt="hello")
    interception.abandon(Ending(CLIENT_LEFT), FACTS, "msg_1")
    assert interception.ended
    assert watcher.running == 0
    await writer.commit([])
    assert read(writer, "SELECT status, error_type FROM interceptions") == [
        ("aborted", "client_disconnected")
    ]
    assert read(writer, "SELECT count(*) FROM tool_usages") == [(1,)]


async def test_an_interception_ends_once(recorder: Recorder) -> None:
    interception = await begin(recorder)
    await interception.end(DONE)
    with pytest.raises(AssertionError):
        interception.abandon(Ending(CLIENT_LEFT))


async def test_a_start_that_fails_is_refused(watcher: Watcher) -> None:
    sink = FailingSink()
    with pytest.raises(StoreError, match="disk full"):
        await begin(Recorder(sink, observers=[watcher]), prompt="hello")
    assert sink.posted == []
    assert watcher.running == 0


async def test_a_start_goes_on_where_the_operator_wants_it(watcher: Watcher) -> None:
    sink = FailingSink()
    interception = await begin(Recorder(sink, observers=[watcher], fail_open=True), prompt="hello")
    await interception.end(DONE, FACTS, "msg_1")
    # In memory until the store can write again, the start first, nothing twice.
    kinds = [type(record) for _, record in sink.posted]
    assert kinds[0] is InterceptionStart
    assert kinds[-1] is InterceptionEnd
    assert len(kinds) == 6
    assert all(again for again, _ in sink.posted)
    assert watcher.running == 0


async def test_an_end_that_fails_is_kept_and_told(watcher: Watcher, writer: Writer) -> None:
    recorder = Recorder(writer, observers=[watcher])
    interception = await begin(recorder, prompt="hello")
    sink = FailingSink()
    recorder.sink = sink
    with pytest.raises(StoreError, match="disk full"):
        await interception.end(DONE, FACTS, "msg_1")
    kinds = [type(record) for _, record in sink.posted]
    assert kinds[0] is PromptUsage
    assert kinds[-1] is InterceptionEnd
    assert all(again for again, _ in sink.posted)
    assert watcher.running == 0


async def test_a_client_that_leaves_during_the_start(writer: Writer, watcher: Watcher) -> None:
    """Its interception is written with a start and an end, and counted up and down."""
    recorder = Recorder(writer, observers=[watcher])
    with Locked(writer.path):
        task = spawn("asking", begin(recorder, prompt="hello"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await writer.commit([])
    assert read(writer, "SELECT status FROM interceptions") == [("aborted",)]
    assert read(writer, "SELECT prompt FROM user_prompts") == [("hello",)]
    assert watcher.running == 0
    assert len(watcher.ends) == 1


async def test_structured_log_lines_come_once_also_after_a_failure(tmp_path: Path) -> None:
    told: list[Record] = []
    writer = Writer(tmp_path / "aigw.db", on_records=told.extend)
    writer.open(NOON)
    recorder = Recorder(writer)
    interception = await begin(recorder)
    await writer.close()
    told.clear()
    with pytest.raises(StoreError):
        await interception.end(DONE, FACTS)
    assert told == []


async def test_a_clock_that_goes_backwards_keeps_the_order(writer: Writer) -> None:
    times = iter([NOON - second * 1_000_000 for second in range(10_000)])
    recorder = Recorder(writer, now=lambda: next(times))
    ids = []
    for _ in range(20):
        interception = await begin(recorder, prompt="hello")
        ids.append(interception.id)
        interception.add(FACTS, "msg")
        await interception.end(DONE)
    assert ids == sorted(set(ids))
    assert read(writer, "SELECT id FROM interceptions ORDER BY seq") == [(one,) for one in ids]
    for table in ("tool_usages", "model_thoughts", "token_usages", "user_prompts"):
        found = [row[0] for row in read(writer, f"SELECT id FROM {table} ORDER BY seq")]
        assert found == sorted(set(found))
