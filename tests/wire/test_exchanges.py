"""Whole exchanges of every API: what their requests and answers yield, however they are cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.wire.apis import Api, read_request, response_reader
from tests.simulator import eventstream

from .exchange import EXCHANGES, Exchange, cut, read_answer, stated

places = st.lists(st.integers(0, 1 << 16), max_size=8)
streamed = [exchange for exchange in EXCHANGES if "event-stream" in exchange.content_type]
framed = [exchange for exchange in EXCHANGES if exchange.content_type == eventstream.CONTENT_TYPE]


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda e: e.name)
def test_request_facts(exchange: Exchange) -> None:
    assert stated(read_request(exchange.api, exchange.request)) == exchange.request_facts


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda e: e.name)
def test_answer_facts(exchange: Exchange) -> None:
    # Fields at their default are not stated, zero counts among them.
    expected = json.loads(json.dumps(exchange.answer_facts))
    found = read_answer(exchange.api, [exchange.answer], exchange.status, exchange.content_type)
    assert found == expected


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda e: e.name)
def test_every_single_byte(exchange: Exchange) -> None:
    pieces = [exchange.answer[i : i + 1] for i in range(len(exchange.answer))]
    found = read_answer(exchange.api, pieces, exchange.status, exchange.content_type)
    assert found == exchange.answer_facts


@given(exchange=st.sampled_from(EXCHANGES), places=places)
def test_any_split_gives_the_same_facts(exchange: Exchange, places: list[int]) -> None:
    pieces = cut(exchange.answer, places)
    found = read_answer(exchange.api, pieces, exchange.status, exchange.content_type)
    assert found == exchange.answer_facts


@given(exchange=st.sampled_from(streamed), places=places, end=st.sampled_from(["\r\n", "\r"]))
def test_line_ends_do_not_matter(exchange: Exchange, places: list[int], end: str) -> None:
    pieces = cut(exchange.answer.replace(b"\n", end.encode()), places)
    assert read_answer(exchange.api, pieces) == exchange.answer_facts


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/octet-stream"])
@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda e: e.name)
def test_odd_content_types_are_told_by_the_body(exchange: Exchange, content_type: str) -> None:
    found = read_answer(exchange.api, [b"\n", exchange.answer], exchange.status, content_type)
    assert found == exchange.answer_facts


@pytest.mark.parametrize(
    "exchange", [e for e in streamed if e.answer_facts["ended"]], ids=lambda e: e.name
)
def test_ended_with_the_terminal_event_and_not_before(exchange: Exchange) -> None:
    reader = response_reader(exchange.api, 200, exchange.content_type)
    for event in exchange.answer.split(b"\n\n"):
        reader.feed(event + b"\n")
        before = reader.ended
        reader.feed(b"\n")
        if reader.ended:
            assert not before
            break
    assert reader.ended
    assert any(word in event for word in (b"DONE", b"stop", b"error", b"failed", b"complete"))


@pytest.mark.parametrize(
    "exchange", [e for e in framed if e.answer_facts["ended"]], ids=lambda e: e.name
)
def test_ended_with_the_last_byte_of_the_terminal_frame(exchange: Exchange) -> None:
    reader = response_reader(exchange.api, 200, exchange.content_type)
    ends = []
    for position in range(len(exchange.answer)):
        reader.feed(exchange.answer[position : position + 1])
        if reader.ended:
            ends.append(position + 1)
    # Where frames begin: each starts with its length.
    begins, start = [0], 0
    while start < ends[0]:
        start += int.from_bytes(exchange.answer[start : start + 4], "big")
        begins.append(start)
    assert ends[0] == begins[-1]


@given(
    api=st.sampled_from(Api),
    pieces=st.lists(st.binary(max_size=200), max_size=5),
    status=st.sampled_from([200, 500]),
    content_type=st.sampled_from(
        ["", "application/json", "text/event-stream", eventstream.CONTENT_TYPE]
    ),
)
def test_arbitrary_bytes_never_raise(
    api: Api, pieces: list[bytes], status: int, content_type: str
) -> None:
    read_answer(api, pieces, status, content_type)
    read_request(api, b"".join(pieces))


mutations = st.lists(
    st.tuples(
        st.integers(0, 1 << 16),
        st.integers(0, 12),
        st.sampled_from(
            [
                b"",
                b'"',
                b"{",
                b"}",
                b"[",
                b"]",
                b",",
                b"null",
                b"0",
                b"-1e999",
                b"NaN",
                b"true",
                b"\xff",
                b"\\ud800",
                b"\n\n",
                b"\r",
                b'{"a":1}',
                b"9" * 30,
                b"[1]",
                b'"x"',
            ]
        ),
    ),
    min_size=1,
    max_size=6,
)


def mutated(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for place, length, replacement in changes:
        start = place % (len(data) + 1)
        data = data[:start] + replacement + data[start + length :]
    return data


@given(exchange=st.sampled_from(EXCHANGES), changes=mutations, places=places)
def test_broken_exchanges_never_raise(
    exchange: Exchange, changes: list[tuple[int, int, bytes]], places: list[int]
) -> None:
    json.dumps(stated(read_request(exchange.api, mutated(exchange.request, changes))))
    answer = mutated(exchange.answer, changes)
    whole = read_answer(exchange.api, [answer], exchange.status, exchange.content_type)
    parts = cut(answer, places)
    assert read_answer(exchange.api, parts, exchange.status, exchange.content_type) == whole
    json.dumps(whole, ensure_ascii=False).encode()


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "index",
                    "delta",
                    "content_block",
                    "message",
                    "usage",
                    "error",
                    "id",
                    "choices",
                    "tool_calls",
                    "function",
                    "arguments",
                    "name",
                    "input",
                    "output",
                    "item",
                    "output_index",
                    "response",
                    "summary",
                    "content",
                    "text",
                    "role",
                    "thinking",
                    "partial_json",
                    "messages",
                    "model",
                    "stream",
                    "metadata",
                    "user_id",
                    "tool_use_id",
                    "call_id",
                    "contentBlockIndex",
                    "start",
                    "toolUse",
                    "toolUseId",
                    "toolResult",
                    "reasoningContent",
                    "metadata",
                    "contentBlockStart",
                    "contentBlockDelta",
                    "prompt_token_count",
                    "amazon-bedrock-invocationMetrics",
                    "inputTokenCount",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
kinds = st.sampled_from(
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "error",
        "response.created",
        "response.output_item.added",
        "response.output_item.done",
        "response.completed",
        "response.function_call_arguments.delta",
        "response.failed",
        "message",
        "tool_use",
        "tool_result",
    ]
)


events = st.lists(
    st.sampled_from(
        [
            "messageStart",
            "contentBlockStart",
            "contentBlockDelta",
            "contentBlockStop",
            "messageStop",
            "metadata",
        ]
    )
)


@given(
    api=st.sampled_from(Api),
    values=st.lists(any_json, max_size=4),
    kinds=st.lists(kinds),
    converse_events=events,
)
def test_any_json_never_raises(
    api: Api, values: list[object], kinds: list[str], converse_events: list[str]
) -> None:
    typed = [
        {**value, "type": kind} if isinstance(value, dict) else value
        for value, kind in zip(values, kinds + ["error"] * len(values), strict=False)
    ]
    lines = [json.dumps(value).encode() for value in typed]
    read_answer(api, [b"data: " + line + b"\n\n" for line in lines])
    frames = [eventstream.chunk(line) for line in lines] + [
        eventstream.frame(name, line) for name, line in zip(converse_events, lines, strict=False)
    ]
    read_answer(api, frames, content_type=eventstream.CONTENT_TYPE)
    for line in lines:
        json.dumps(stated(read_request(api, line)), ensure_ascii=False).encode()
        found = read_answer(api, [line], content_type="application/json")
        json.dumps(found, ensure_ascii=False).encode()
