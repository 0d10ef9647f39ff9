"""Reading beside the relay: whatever is wrong with an answer costs its facts and nothing else."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import brotli
import pytest
from multidict import CIMultiDict

from aigw.gateway import answer as answer_module
from aigw.gateway.answer import Answer, stated_tier
from aigw.records import Status
from aigw.wire.apis import Api
from aigw.wire.facts import UsageFact
from tests.simulator.encodings import compress_chunks

SSE = "text/event-stream"
JSON = "application/json"
BODY = json.dumps(
    {"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}
).encode()
STREAM = [
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","usage":{"input_tokens":5}}}\n\n',
    b'event: message_delta\ndata: {"type":"message_delta","delta":{},"usage":{"output_tokens":7}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]


TIER = "x-amzn-bedrock-service-tier"
LATENCY = "x-amzn-bedrock-performanceconfig-latency"


@pytest.mark.parametrize(
    ("headers", "tier"),
    [
        ({}, ""),
        ({TIER: "default", LATENCY: "standard"}, ""),
        ({TIER: "flex"}, "flex"),
        ({LATENCY: "optimized"}, "optimized"),
        ({TIER: "default", LATENCY: "optimized"}, "optimized"),
        ({TIER: "priority", LATENCY: "optimized"}, "priority"),
    ],
)
def test_the_class_of_service_may_be_in_the_head(headers: dict[str, str], tier: str) -> None:
    """As Bedrock's InvokeModel has it."""
    found = stated_tier(CIMultiDict(headers))
    assert found == tier
    answer = Answer(Api.CHAT_COMPLETIONS, 200, JSON, "", service_tier=found)
    answer.feed(BODY)
    (usage,) = answer.finish()
    assert isinstance(usage, UsageFact)
    assert usage.service_tier == tier


def test_a_document() -> None:
    answer = Answer(Api.CHAT_COMPLETIONS, 200, JSON, "")
    assert answer.feed(BODY) == []
    assert not answer.ended
    (usage,) = answer.finish()
    assert isinstance(usage, UsageFact)
    assert (usage.input_tokens, usage.output_tokens) == (5, 7)
    assert answer.response_id == "chatcmpl-1"
    assert answer.outcome().status is Status.COMPLETED


@pytest.mark.parametrize("coding", ["", "gzip", "deflate", "br", "zstd"])
def test_a_stream_in_every_coding(coding: str) -> None:
    pieces = compress_chunks(coding, STREAM) if coding else STREAM
    answer = Answer(Api.MESSAGES, 200, SSE, coding)
    facts = [fact for piece in pieces for fact in answer.feed(piece)]
    assert answer.ended
    facts += answer.finish()
    assert [
        (fact.input_tokens, fact.output_tokens) for fact in facts if isinstance(fact, UsageFact)
    ] == [(5, 7)]
    assert answer.response_id == "msg_1"
    assert answer.outcome().status is Status.COMPLETED


def test_a_stream_ends_with_its_terminal_event_and_not_before() -> None:
    answer = Answer(Api.MESSAGES, 200, SSE, "")
    whole = b"".join(STREAM)
    for at in range(len(whole)):
        assert not answer.ended or at >= len(whole) - 1, at
        answer.feed(whole[at : at + 1])
    assert answer.ended


@pytest.mark.parametrize(
    ("status", "content_type", "coding", "pieces", "outcome"),
    [
        (200, SSE, "", STREAM[:2], (Status.FAILED, "incomplete_answer")),
        (200, SSE, "", [], (Status.FAILED, "incomplete_answer")),
        (200, SSE, "gzip", [b"not gzip at all"], (Status.COMPLETED, "unreadable_answer")),
        (200, SSE, "unheard-of", STREAM, (Status.COMPLETED, "unreadable_answer")),
        (200, JSON, "gzip", [gzip.compress(BODY)[:20]], (Status.COMPLETED, "unreadable_answer")),
        (200, JSON, "", [b"\xff\xfe"], (Status.COMPLETED, "unreadable_answer")),
        (200, JSON, "", [], (Status.COMPLETED, "unreadable_answer")),
        (200, "", "", [], (Status.COMPLETED, "unreadable_answer")),
    ],
)
def test_answers_without_a_verdict(
    status: int,
    content_type: str,
    coding: str,
    pieces: list[bytes],
    outcome: tuple[Status, str],
) -> None:
    answer = Answer(Api.MESSAGES, status, content_type, coding)
    for piece in pieces:
        answer.feed(piece)
    answer.finish()
    found = answer.outcome()
    assert (found.status, found.error_type) == outcome


@pytest.mark.parametrize("status", [301, 400, 401, 429, 500, 529])
def test_errors_fail(status: int) -> None:
    answer = Answer(Api.MESSAGES, status, "text/html", "")
    answer.feed(b"<html>no</html>")
    answer.finish()
    assert answer.outcome().status is Status.FAILED


def test_what_came_before_the_trouble_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    pieces = compress_chunks("gzip", STREAM)
    answer = Answer(Api.MESSAGES, 200, SSE, "gzip")
    facts = answer.feed(pieces[0]) + answer.feed(pieces[1])
    facts += answer.feed(b"secret words that are no gzip")
    assert answer.feed(pieces[2]) == []
    facts += answer.finish()
    assert any(isinstance(fact, UsageFact) for fact in facts)
    assert answer.response_id == "msg_1"
    assert "relayed all the same" in caplog.text
    assert "secret words" not in caplog.text


def test_a_bomb_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_module, "DECODED_LIMIT", 100_000)
    answer = Answer(Api.MESSAGES, 200, JSON, "gzip")
    answer.feed(gzip.compress(b" " * 10_000_000))
    answer.finish()
    assert answer.outcome().error_type == "unreadable_answer"


def test_a_bug_in_a_reader_costs_the_facts_only(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        ended = False
        response_id = ""

        def feed(self, data: bytes) -> list[UsageFact]:
            raise RuntimeError(data)

        finish = outcome = feed

    answer = Answer(Api.MESSAGES, 200, SSE, "")
    answer._reader = Broken()  # type: ignore[assignment]
    assert answer.feed(STREAM[0]) == []
    assert answer.finish() == []
    assert answer.outcome().error_type == "unreadable_answer"
    assert "message_start" not in caplog.text


def test_a_bomb_is_not_unpacked() -> None:
    packed = brotli.compress(bytes(96 << 20), quality=1)
    answer = Answer(Api.MESSAGES, 200, SSE, "br")
    tracemalloc.start()
    assert answer.feed(packed) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 48 << 20
    assert answer.finish() == []
    assert answer.outcome().error_type == "unreadable_answer"


def test_no_content_is_an_answer() -> None:
    answer = Answer(Api.MESSAGES, 204, "", "")
    assert answer.finish() == []
    assert answer.outcome().status is Status.COMPLETED
    assert answer.outcome().error_type is None
