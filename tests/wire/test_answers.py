"""What the readers do with answers that are cut off, too large, or errors under a good status."""

from __future__ import annotations

import pytest

from aigw.records import Status
from aigw.wire import answers
from aigw.wire.apis import Api, is_event_stream, response_reader
from aigw.wire.facts import Outcome
from tests.simulator import eventstream

from .exchange import read_answer

EVERY_API = pytest.mark.parametrize("api", list(Api))
JSON = "application/json"


@EVERY_API
@pytest.mark.parametrize("body", [b"", b'{"id":"x","usage":{"input_tok', b"<html>"])
def test_a_cut_document_has_no_verdict(api: Api, body: bytes) -> None:
    found = read_answer(api, [body], content_type=JSON)
    assert (found["outcome"], found["facts"]) == (None, [])


@EVERY_API
def test_an_error_under_a_good_status(api: Api) -> None:
    found = read_answer(api, [b'{"error":{"type":"t","message":"m"}}'], content_type=JSON)
    assert found["outcome"] == {"status": "failed", "error_type": "t", "error_message": "m"}


@EVERY_API
def test_a_huge_document_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "KEPT_LIMIT", 1000)
    reader = response_reader(api, 200, JSON)
    for _ in range(100):
        assert reader.feed(b"x" * 100) == []
    assert reader.finish() == []
    assert reader.outcome() == Outcome(Status.COMPLETED)


def test_an_endless_thought_is_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "KEPT_LIMIT", 10_000)
    reader = response_reader(Api.CHAT_COMPLETIONS, 200, "text/event-stream")
    for _ in range(1000):
        reader.feed(
            b'data: {"choices":[{"delta":{"reasoning_content":"' + b"x" * 100 + b'"}}]}\n\n'
        )
    thought, _usage = reader.finish()
    assert 0 < len(thought.content) < 10_000  # type: ignore[union-attr]


def test_an_endless_thought_in_frames_is_kept_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "KEPT_LIMIT", 10_000)
    reader = response_reader(Api.CONVERSE, 200, eventstream.CONTENT_TYPE)
    payload = b'{"delta":{"reasoningContent":{"text":"' + b"x" * 100 + b'"}}}'
    for _ in range(1000):
        reader.feed(eventstream.frame("contentBlockDelta", payload))
    thought, _usage = reader.finish()
    assert 0 < len(thought.content) < 10_000  # type: ignore[union-attr]
    for index in range(1000):
        payload = f'{{"contentBlockIndex":{index},"start":{{"toolUse":{{"name":"x"}}}}}}'.encode()
        reader.feed(eventstream.frame("contentBlockStart", payload))
    assert len(reader.finish()) < 100


@pytest.mark.parametrize(
    ("api", "content_type", "body"),
    [
        (Api.MESSAGES, "text/event-stream", b'event: error\ndata: {"a"'),
        (Api.MESSAGES, "", b'event: error\ndata: {"a"'),
        (Api.INVOKE, eventstream.CONTENT_TYPE, eventstream.frame("chunk", b"{}")[:-1]),
        (Api.INVOKE, "", eventstream.frame("chunk", b"{}")[:-1]),
        (Api.MESSAGES, JSON, b"{"),
    ],
)
def test_what_is_unfinished(api: Api, content_type: str, body: bytes) -> None:
    """Of an event's lines a client may act on the first; of a frame or a document it cannot."""
    reader = response_reader(api, 200, content_type)
    assert (reader.unfinished, reader.unfinished_length) == (b"", 0)
    reader.feed(body)
    assert reader.unfinished == (body if body.startswith(b"event") else b"")
    assert reader.unfinished_length == (0 if content_type == JSON else len(body))


@pytest.mark.parametrize(
    ("content_type", "streams"),
    [
        ("text/event-stream", True),
        (" Text/Event-Stream ; charset=utf-8", True),
        (eventstream.CONTENT_TYPE, True),
        (JSON, False),
        ("", False),
    ],
)
def test_event_streams(content_type: str, streams: bool) -> None:
    assert is_event_stream(content_type) is streams


@EVERY_API
def test_an_empty_stream_has_no_verdict(api: Api) -> None:
    assert read_answer(api, [])["outcome"] is None
    assert read_answer(api, [b"\n\n"], content_type="")["outcome"] is None


@EVERY_API
def test_an_error_event_that_is_no_json(api: Api) -> None:
    found = read_answer(api, [b"event: error\ndata: upstream went away\n\n"])
    assert found["outcome"]["error_message"] == "upstream went away"
    assert found["ended"]


@pytest.mark.parametrize(
    ("stated", "counted"),
    [
        ("5", 5),
        ("5.0", 5),
        ("-5", 0),
        ("true", 0),
        ('"5"', 0),
        ("null", 0),
        ("1e999", 0),
        ("9" * 30, 2**40),
        ("9" * 5000, 0),
    ],
)
def test_counts(stated: str, counted: int) -> None:
    body = f'{{"id":"r","output":[],"usage":{{"input_tokens":1,"output_tokens":{stated}}}}}'
    (fact,) = read_answer(Api.RESPONSES, [body.encode()], content_type=JSON)["facts"]
    # `stated` leaves out the defaults only, and this field has none.
    assert fact["UsageFact"]["output_tokens"] == counted


def test_a_cancelled_response_failed() -> None:
    body = b'{"id":"r","status":"cancelled","error":null,"output":[]}'
    found = read_answer(Api.RESPONSES, [body], content_type=JSON)
    assert found["outcome"] == {"status": "failed", "error_type": "cancelled"}


def _message_event(data: bytes, line_end: bytes = b"\n") -> bytes:
    lines = (b"event: content_block_delta", b"data: " + data, b"", b"")
    return line_end.join(lines)


def _response_event(data: bytes, line_end: bytes = b"\n") -> bytes:
    lines = (b"event: response.output_text.delta", b"data: " + data, b"", b"")
    return line_end.join(lines)


_TEXT = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}'
_NO_TEXT = _TEXT.replace(b'"a"', b'""')
_INPUT = b'{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"text_delta"}}'
_OUTPUT = b'{"type":"response.output_text.delta","delta":"a"}'
_NO_OUTPUT = b'{"type":"response.output_text.delta","delta":""}'

_MANY_FORMS = {
    Api.MESSAGES: [
        _message_event(_TEXT),
        _message_event(_TEXT),
        _message_event(_NO_TEXT),
        _message_event(_TEXT, b"\r\n"),
        _message_event(_TEXT, b"\r"),
        _message_event(_TEXT).replace(b"\ndata", b"\nid: 1\ndata"),
        _message_event(_TEXT[:20] + b"\ndata: " + _TEXT[20:]),
        _message_event(_INPUT),
        b": a comment\n\n" + _message_event(_TEXT),
        b"event: content_block_delta\n\n",
        b"event: content_block_delta\ndata: \n\n",
        _message_event(_TEXT) + _message_event(_TEXT),
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        _message_event(_TEXT),
    ],
    Api.RESPONSES: [
        _response_event(_OUTPUT),
        _response_event(_OUTPUT),
        _response_event(_NO_OUTPUT),
        _response_event(_OUTPUT, b"\r\n"),
        _response_event(_OUTPUT).replace(b"\ndata", b"\nid: 1\ndata"),
        _response_event(_OUTPUT) + _response_event(_OUTPUT),
        b'event: response.failed\ndata: {"type":"response.failed","response":{}}\n\n',
        _response_event(_OUTPUT),
    ],
}


@pytest.mark.parametrize("api", _MANY_FORMS)
def test_text_counts_the_same_however_it_comes(api: Api) -> None:
    """One event at a time is the short way; what is counted shows where an answer breaks off."""
    pieces = _MANY_FORMS[api]
    for length in range(len(pieces) + 1):
        whole = b"".join(pieces[:length])
        ways = (pieces[:length], [whole], [whole[i : i + 1] for i in range(len(whole))])
        one_by_one, at_once, in_bytes = (read_answer(api, way) for way in ways)
        assert one_by_one == at_once == in_bytes
    counted = read_answer(api, pieces[:2])["facts"]
    assert counted[0]["UsageFact"]["output_tokens"] == 2
