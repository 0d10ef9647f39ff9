from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw import records
from aigw.records import (
    RECORD_TYPES,
    IdSource,
    InterceptionEnd,
    InterceptionStart,
    ModelThought,
    PromptUsage,
    Record,
    RecordType,
    Status,
    TokenUsage,
    ToolResult,
    ToolUsage,
    kept_call_id,
    log_object,
    record_time,
    rfc3339,
)
from tests.store.rows import NOON, children, end, start

EVERY: list[Record] = [start("i"), *children("i", NOON + 1, "hello"), end("i", NOON + 2)]

# The "interception log" contract, and what this gateway adds to it. A field is removed or renamed
# here only with a note for everyone whose rules match on it.
FIELDS: dict[type[msgspec.Struct], list[str]] = {
    InterceptionStart: [
        "interception_id", "started_at", "initiator_id", "provider", "provider_name", "route",
        "model", "client", "api_key_id", "client_session_id", "correlating_tool_call_id",
        "credential_kind", "credential_hint", "requested_model", "model_rule", "plan",
        "agent_id", "parent_agent_id", "parent_session_id", "metadata",
    ],
    InterceptionEnd: [
        "interception_id", "ended_at", "status", "status_code", "error_type", "error_message",
        "duration_ms", "time_to_first_byte_ms", "streaming", "attempts", "served_hint",
    ],
    TokenUsage: [
        "interception_id", "created_at", "msg_id", "input_tokens", "output_tokens",
        "cache_read_input_tokens", "cache_write_input_tokens", "cost_micros", "cost_basis",
        "price_source", "metadata",
    ],
    PromptUsage: ["interception_id", "created_at", "msg_id", "prompt", "metadata"],
    ToolUsage: [
        "interception_id", "created_at", "msg_id", "tool_call_id", "tool", "input", "item_id",
        "server_url", "injected", "invocation_error", "metadata",
    ],
    ToolResult: [
        "interception_id", "created_at", "tool_call_id", "is_error", "size", "content",
        "truncated", "metadata",
    ],
    ModelThought: ["interception_id", "created_at", "content", "metadata"],
}  # fmt: skip


def test_every_type_is_listed() -> None:
    assert set(RECORD_TYPES) == set(FIELDS) == {type(record) for record in EVERY}
    assert sorted(RECORD_TYPES.values()) == sorted(RecordType)


@pytest.mark.parametrize("record", EVERY, ids=lambda record: type(record).__name__)
def test_the_json_form(record: Record) -> None:
    found = log_object(record)
    kind = type(record)
    assert list(found) == ["time", "level", "message", "record_type", *FIELDS[kind]]
    assert found["level"] == "info"
    assert found["message"] == "interception log"
    assert found["record_type"] == RECORD_TYPES[kind].value
    assert found["time"] == rfc3339(record_time(record))
    assert json.loads(msgspec.json.encode(found)) == found


def test_long_ids_of_calls_stay_different_and_become_short() -> None:
    for short in ("", "toolu_1", "x" * records.CALL_ID_LIMIT):
        assert kept_call_id(short) == short
    long = ["x" * 100_000, "x" * 100_001, "x" * 99_999 + "y", "\u00e9" * 1000]
    kept = [kept_call_id(each) for each in long]
    assert {len(each) for each in kept} == {records.CALL_ID_LIMIT}
    assert len(set(kept)) == len(long)
    assert kept == [kept_call_id(each) for each in kept]


def test_the_moment_of_a_record() -> None:
    moments = {type(record): record_time(record) for record in EVERY}
    assert moments.pop(InterceptionStart) == NOON
    assert moments.pop(InterceptionEnd) == NOON + 2
    assert set(moments.values()) == {NOON + 1}


def test_defaults_are_not_shared() -> None:
    first, second = (
        PromptUsage(interception_id="i", created_at=0, id="", msg_id="", prompt="")
        for _ in range(2)
    )
    first.metadata["x"] = 1
    assert second.metadata == {}


def test_statuses_are_the_words_that_others_match_on() -> None:
    assert [status.value for status in Status] == ["completed", "failed", "aborted"]


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (NOON, "2026-01-01T12:00:00.000000Z"),
        (1_767_268_800_123_456, "2026-01-01T12:00:00.123456Z"),
        (951_825_600_000_000, "2000-02-29T12:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_rfc3339(microseconds: int, text: str) -> None:
    assert rfc3339(microseconds) == text


@given(st.integers(0, 4_102_444_800_000_000))
def test_rfc3339_reads_back(microseconds: int) -> None:
    text = rfc3339(microseconds)
    moment = datetime.fromisoformat(text)
    assert (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000 == pytest.approx(
        microseconds, abs=1
    )
    assert len(text) == len("2026-01-01T12:00:00.000000Z")


def test_ids_are_uuids_of_version_7() -> None:
    source = IdSource()
    for now in (0, 1_767_268_800_123_456, NOON):
        text = source.new(now)
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert parsed.version == 7
        assert parsed.variant == uuid.RFC_4122
    assert uuid.UUID(IdSource().new(NOON)).int >> 80 == NOON // 1000


@given(st.lists(st.integers(-5_000, 5_000), min_size=1, max_size=200))
def test_ids_never_sort_before_earlier_ones(steps: list[int]) -> None:
    source, now, ids = IdSource(), NOON, []
    for step in steps:
        now += step
        ids.append(source.new(now))
    assert ids == sorted(set(ids))


def test_more_ids_in_a_millisecond_than_the_counter_holds() -> None:
    source = IdSource()
    ids = [source.new(NOON) for _ in range(3 * (records._LAST_COUNT + 1))]
    assert ids == sorted(set(ids))
    # The clock's part runs ahead by as little as it must, and time catches up with it.
    assert uuid.UUID(ids[-1]).int >> 80 == NOON // 1000 + 2


def test_a_clock_that_jumps_back_a_day() -> None:
    source = IdSource()
    before = source.new(NOON)
    after = [source.new(NOON - 86_400_000_000) for _ in range(100)]
    assert [before, *after] == sorted({before, *after})


def test_sources_do_not_repeat_each_other() -> None:
    sources = [IdSource() for _ in range(20)]
    ids = [source.new(NOON) for source in sources for _ in range(300)]
    assert len(set(ids)) == len(ids)
