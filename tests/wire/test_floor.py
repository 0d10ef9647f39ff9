"""Answers without the provider's figures: never more than they had, and never nothing."""

from __future__ import annotations

import base64
import gzip
import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.wire.apis import Api, response_reader
from aigw.wire.facts import UsageFact
from aigw.wire.floor import BYTES_PER_TOKEN, READ_LIMIT, estimate, request_tokens, text_tokens
from tests.simulator import chat, converse, eventstream, messages, responses
from tests.simulator.plan import Plan, make_plan

EVENTS = "text/event-stream"
JSON = "application/json"


def name_of(value: object) -> str:
    return value if isinstance(value, Api) else "-"


def plan(features: str = "think+words-20+tools-2+cached") -> tuple[Plan, dict[str, Any]]:
    body = {
        "model": f"sim-{features}",
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "hello " * 100}],
    }
    return make_plan(body), body


def streams(features: str = "think+words-20+tools-2+cached") -> list[tuple[Api, str, list[bytes]]]:
    made, body = plan(features)
    return [
        (Api.MESSAGES, EVENTS, list(messages.events(made))),
        (Api.CHAT_COMPLETIONS, EVENTS, list(chat.chunks(made, body))),
        (Api.RESPONSES, EVENTS, list(responses.events(made, body))),
        (Api.CONVERSE, eventstream.CONTENT_TYPE, list(converse.frames(made))),
        (Api.INVOKE, eventstream.CONTENT_TYPE, [_framed(event) for event in messages.events(made)]),
    ]


def _framed(event: bytes) -> bytes:
    """A named event as InvokeModel frames it."""
    return eventstream.chunk(event.partition(b"data: ")[2].strip())


def usage_after(api: Api, content_type: str, pieces: list[bytes]) -> UsageFact | None:
    """The usage of an answer that ends after these pieces."""
    reader = response_reader(api, 200, content_type)
    facts = [fact for piece in pieces for fact in reader.feed(piece)] + reader.finish()
    assert reader.finish() == []
    found = [fact for fact in facts if isinstance(fact, UsageFact)]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(("api", "content_type", "events"), streams(), ids=name_of)
def test_a_stream_that_ends_anywhere(api: Api, content_type: str, events: list[bytes]) -> None:
    final = usage_after(api, content_type, events)
    assert final is not None
    assert not final.is_estimate
    before = 0
    for end in range(len(events)):
        usage = usage_after(api, content_type, events[:end])
        if usage is None:
            assert before == 0
            continue
        assert before <= usage.output_tokens <= final.output_tokens
        before = usage.output_tokens
        if usage.is_estimate:
            assert usage.total_input_tokens in (0, final.total_input_tokens)
        else:
            assert usage == final
    assert before > final.output_tokens // 4


@pytest.mark.parametrize(("api", "content_type", "events"), streams("words-9"), ids=name_of)
def test_each_event_with_text_is_a_token(api: Api, content_type: str, events: list[bytes]) -> None:
    made, _ = plan("words-9")
    texts = [index for index, event in enumerate(events) if _has_word(event, made)]
    assert len(texts) == 10
    usage = usage_after(api, content_type, events[: texts[6] + 1])
    assert usage is not None
    assert (usage.output_tokens, usage.is_estimate) == (7, True)


def _has_word(event: bytes, made: Plan) -> bool:
    inner = event
    if b'"bytes":"' in event:
        inner = base64.b64decode(event.split(b'"bytes":"')[1].split(b'"')[0])
    if b"response.output_text.done" in inner or b".done" in inner or b"completed" in inner:
        return False
    return any(word.strip().encode() in inner for word in made.words)


EMPTY: list[tuple[Api, str, bytes]] = [
    (
        Api.MESSAGES,
        EVENTS,
        (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"text_delta","text":""}}\n\n'
        ),
    ),
    (
        Api.MESSAGES,
        EVENTS,
        (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"input_json_delta","partial_json":""}}\n\n'
        ),
    ),
    (
        Api.MESSAGES,
        EVENTS,
        (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"signature_delta","signature":"abc"}}\n\n'
        ),
    ),
    (
        Api.CHAT_COMPLETIONS,
        EVENTS,
        b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    ),
    (Api.CHAT_COMPLETIONS, EVENTS, b": OPENROUTER PROCESSING\n\n"),
    (
        Api.RESPONSES,
        EVENTS,
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":""}\n\n',
    ),
    (
        Api.RESPONSES,
        EVENTS,
        b'event: response.created\ndata: {"type":"response.created","response":{"id":"r"}}\n\n',
    ),
    (
        Api.CONVERSE,
        eventstream.CONTENT_TYPE,
        eventstream.frame("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":""}}'),
    ),
]


@pytest.mark.parametrize(("api", "content_type", "event"), EMPTY)
def test_what_brings_no_output_costs_nothing(api: Api, content_type: str, event: bytes) -> None:
    assert usage_after(api, content_type, [event]) is None


@pytest.mark.parametrize(
    ("api", "content_type", "event"),
    [
        # Services that do not name their events.
        (
            Api.MESSAGES,
            EVENTS,
            b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}\n\n',
        ),
        (Api.RESPONSES, EVENTS, b'data: {"type":"response.output_text.delta","delta":"a"}\n\n'),
        (Api.CHAT_COMPLETIONS, EVENTS, b'data: {"choices":[{"delta":{"refusal":"a"}}]}\n\n'),
        (Api.CHAT_COMPLETIONS, EVENTS, b'data: {"choices":[{"delta":{"reasoning":"a"}}]}\n\n'),
    ],
)
def test_output_in_other_forms(api: Api, content_type: str, event: bytes) -> None:
    usage = usage_after(api, content_type, [event] * 3)
    assert usage is not None
    assert (usage.output_tokens, usage.is_estimate) == (3, True)


def test_what_the_provider_says_of_the_bill_stays() -> None:
    stated = UsageFact(0, 0, model="claude-other", charged_micros=500_000)
    found = estimate(stated, 7)
    assert (found.output_tokens, found.model, found.charged_micros) == (7, "claude-other", 500_000)


def test_a_messages_input_is_exact_from_its_start() -> None:
    made, _ = plan("words-5+cached")
    usage = usage_after(Api.MESSAGES, EVENTS, list(messages.events(made))[:1])
    assert usage is not None
    assert usage.is_estimate
    assert usage.total_input_tokens == made.input_tokens + made.cache_write_tokens
    assert usage.output_tokens == 1


@pytest.mark.parametrize("done", [True, False])
def test_running_figures_are_not_the_last_word(done: bool) -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":9,"completion_tokens":%d}}\n\n'
    pieces = [chunk % number for number in (1, 2, 3)]
    if done:
        pieces.append(b"data: [DONE]\n\n")
    usage = usage_after(Api.CHAT_COMPLETIONS, EVENTS, pieces)
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (9, 3)
    assert usage.is_estimate is not done


def whole() -> list[tuple[Api, bytes]]:
    made, body = plan()
    documents: list[tuple[Api, Any]] = [
        (Api.MESSAGES, messages.message(made)),
        (Api.CHAT_COMPLETIONS, chat.completion(made, body)),
        (Api.RESPONSES, responses.response(made, body)),
        (Api.CONVERSE, converse.answer(made)),
        (Api.INVOKE, messages.message(made)),
    ]
    return [(api, json.dumps(document).encode()) for api, document in documents]


@pytest.mark.parametrize(("api", "body"), whole(), ids=name_of)
def test_a_document_that_is_cut(api: Api, body: bytes) -> None:
    final = usage_after(api, JSON, [body])
    assert final is not None
    assert not final.is_estimate
    before = 0
    for end in range(0, len(body), 7):
        usage = usage_after(api, JSON, [body[:end]])
        if usage is not None:
            assert usage.is_estimate
            assert usage.output_tokens >= before
            before = usage.output_tokens
        else:
            assert before == 0
    assert before > 0


def test_a_document_without_usage_stays_without() -> None:
    body = b'{"id":"r","status":"queued","output":[],"usage":null,"tools":[{"type":"function"}]}'
    assert usage_after(Api.RESPONSES, JSON, [body]) is None


TEXT = "The quick brown fox (of 1887) jumps over the lazy dog.\n"


def test_text_is_counted_by_its_bytes() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": TEXT * 100}]}).encode()
    assert text_tokens(body) == len(body) // BYTES_PER_TOKEN


@pytest.mark.parametrize("break_lines", [False, True])
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_base64_is_left_out(prefix: str, break_lines: bool) -> None:
    image = os.urandom(30_000)
    data = (base64.encodebytes if break_lines else base64.b64encode)(image).decode()
    with_it, without = (
        json.dumps({"messages": [{"content": [{"text": TEXT}, {"image": prefix + each}]}]})
        for each in (data, "")
    )
    assert 0 <= text_tokens(with_it.encode()) - text_tokens(without.encode()) <= 1
    # In the middle of what comes after it too.
    assert text_tokens(with_it.encode() + b" " * 600) - text_tokens(with_it.encode()) in (100, 101)


@given(st.binary(max_size=3000))
def test_any_bytes(data: bytes) -> None:
    assert 0 <= text_tokens(data) <= len(data) // BYTES_PER_TOKEN


def test_a_limit_to_what_is_looked_at() -> None:
    assert text_tokens(b". " * READ_LIMIT) == READ_LIMIT // BYTES_PER_TOKEN


def test_a_compressed_request() -> None:
    body = json.dumps({"input": TEXT * 100}).encode()
    assert request_tokens(body, "") == text_tokens(body)
    assert request_tokens(body, "identity") == text_tokens(body)
    packed = gzip.compress(body)
    assert request_tokens(packed, "gzip") == text_tokens(body)
    assert 0 <= request_tokens(packed[:-20], "gzip") <= text_tokens(body)
    assert request_tokens(body, "gzip") == 0
    assert request_tokens(body, "rot13") == 0
    bomb = gzip.compress(b". " * 10 * READ_LIMIT, 1)
    assert 0 < request_tokens(bomb, "gzip") <= READ_LIMIT // BYTES_PER_TOKEN
