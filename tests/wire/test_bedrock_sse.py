"""A Bedrock answer as the Messages API gives it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aigw.providers.call import Translation
from aigw.wire.apis import Api
from aigw.wire.bedrock_errors import error_type
from aigw.wire.bedrock_sse import ERROR_LIMIT, MessagesTranslation
from aigw.wire.sse import SseReader
from tests.simulator import eventstream as encoder

from .exchange import cut, read_answer

START = b'{"type":"message_start","message":{"id":"msg_1","usage":{"input_tokens":3,"output_tokens":1}}}'
DELTA = '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\u00e4 ä"}}'.encode()
STOP = b'{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":3}}'
STREAM = b"".join(map(encoder.chunk, (START, DELTA, STOP)))
EVENTS = (
    b"event: message_start\ndata: " + START + b"\n\n"
    b"event: content_block_delta\ndata: " + DELTA + b"\n\n"
    b"event: message_stop\ndata: " + STOP + b"\n\n"
)
JSON = "application/json"
REQUEST_ID = "0f6b5a4c-1"


def begun(
    status: int = 200, kind: str = encoder.CONTENT_TYPE, **headers: str
) -> tuple[MessagesTranslation, CIMultiDict[str]]:
    translation = MessagesTranslation()
    given = {"Content-Type": kind, **{name.replace("_", "-"): v for name, v in headers.items()}}
    upstream = CIMultiDict(given)
    answered = translation.begin(status, upstream)
    assert upstream == CIMultiDict(given)
    return translation, answered


def translated(*pieces: bytes, **headers: Any) -> bytes:
    translation, _ = begun(**headers)
    return b"".join([translation.feed(piece) for piece in pieces]) + translation.finish()


def only_error(data: bytes) -> dict[str, Any]:
    """The error of the last event, which is the only one of its kind."""
    events = SseReader().feed(data)
    assert [event.event for event in events].count("error") == 1
    body = json.loads(events[-1].data)
    assert body["type"] == "error"
    return dict(body["error"])


places = st.lists(st.integers(0, 1 << 16), max_size=8)


def test_it_is_a_translation() -> None:
    translation: Translation = MessagesTranslation()
    assert translation.feed(b"not begun") == b"not begun"


@given(places=places)
def test_the_events_json_is_unchanged_however_the_frames_are_cut(places: list[int]) -> None:
    assert translated(*cut(STREAM, places)) == EVENTS


def test_what_was_translated_reads_as_the_frames_do() -> None:
    frames = read_answer(Api.MESSAGES, [STREAM], content_type=encoder.CONTENT_TYPE)
    assert read_answer(Api.MESSAGES, [translated(STREAM)]) == frames
    assert frames["ended"]


def test_headers_of_a_stream() -> None:
    _, headers = begun(Content_Length="5", X_Amzn_RequestId=REQUEST_ID, X_Other="kept")
    assert {name.lower(): value for name, value in headers.items()} == {
        "content-type": "text/event-stream; charset=utf-8",
        "x-amzn-requestid": REQUEST_ID,
        "request-id": REQUEST_ID,
        "x-other": "kept",
    }
    assert len(headers) == 4


def test_a_request_id_of_its_own_is_kept() -> None:
    _, headers = begun(X_Amzn_RequestId=REQUEST_ID, Request_Id="req_1")
    assert headers.getall("request-id") == ["req_1"]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b'{ "type" : "ping" }', b'event: ping\ndata: { "type" : "ping" }\n\n'),
        (b'{"index":1,"type":"something_new"}', b'event: something_new\ndata: {"index":1,"type":"something_new"}\n\n'),
        (b'{"type":"a\\nb"}', b'data: {"type":"a\\nb"}\n\n'),
        (b'{"type":5}', b'data: {"type":5}\n\n'),
        (b"[1]", b"data: [1]\n\n"),
        (b'{\n"type":\r\n"ping"\r}', b'event: ping\ndata: {\ndata: "type":\ndata: "ping"\ndata: }\n\n'),
        (b"", b""),
    ],
)  # fmt: skip
def test_odd_events_pass_as_events(event: bytes, expected: bytes) -> None:
    assert begun()[0].feed(encoder.chunk(event)) == expected


def test_frames_that_are_no_chunks_are_left_out() -> None:
    assert begun()[0].feed(encoder.frame("initial-response", b"{}")) == b""
    assert begun()[0].feed(encoder.frame("chunk", b'{"p":"padding only"}')) == b""
    assert begun()[0].feed(encoder.frame("x", b"{}", message_type="new")) == b""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("throttlingException", "rate_limit_error"),
        ("serviceUnavailableException", "overloaded_error"),
        ("modelTimeoutException", "timeout_error"),
        ("validationException", "invalid_request_error"),
        ("modelStreamErrorException", "api_error"),
        ("internalServerException", "api_error"),
        ("somethingNewException", "api_error"),
    ],
)
@given(places=places)
def test_an_exception_becomes_one_error_event(name: str, kind: str, places: list[int]) -> None:
    exception = encoder.frame(
        name, '{"message":"as AWS said: ä"}'.encode(), message_type="exception"
    )
    data = encoder.chunk(START) + exception + exception + encoder.chunk(STOP)
    found = translated(*cut(data, places), x_amzn_requestid=REQUEST_ID)
    assert only_error(found) == {"type": kind, "message": "as AWS said: ä"}
    assert found.endswith(b'"request_id":"' + REQUEST_ID.encode() + b'"}\n\n')


def test_an_error_that_the_service_does_not_model() -> None:
    headers = {":message-type": "error", ":error-code": "Odd", ":error-message": "went wrong"}
    assert only_error(translated(encoder.message(headers, b""))) == {
        "type": "api_error",
        "message": "went wrong",
    }
    nameless = encoder.frame("throttlingException", b"{}", message_type="exception")
    assert only_error(translated(nameless)) == {
        "type": "rate_limit_error",
        "message": "Amazon Bedrock ended the stream: throttlingException",
    }


@given(places=places)
def test_a_broken_checksum_becomes_an_error_event(places: list[int]) -> None:
    data = encoder.chunk(START) + encoder.chunk(DELTA)[:-1] + b"?" + encoder.chunk(STOP)
    found = translated(*cut(data, places))
    assert "checksum" in only_error(found)["message"]
    assert found.startswith(b"event: message_start\n")


def test_a_chunk_that_cannot_be_read_becomes_an_error_event() -> None:
    for payload in (b'{"bytes":"!"}', b"[]", b"", b'{"bytes":{}}'):
        found = translated(encoder.frame("chunk", payload), encoder.chunk(STOP))
        assert only_error(found)["type"] == "api_error"


def test_a_stream_that_stops_without_its_end_becomes_an_error_event() -> None:
    assert only_error(translated(encoder.chunk(START)))["type"] == "api_error"
    assert only_error(translated())["type"] == "api_error"


def test_a_stream_that_ends_within_a_frame_ends_with_an_error() -> None:
    # HTTP says that all has come: nothing else would tell the client. A cut connection tells itself.
    found = translated(encoder.chunk(START) + encoder.chunk(STOP)[:-1])
    assert found.startswith(b"event: message_start\ndata: " + START + b"\n\nevent: error\n")


def test_the_models_own_error_event_is_the_only_one() -> None:
    event = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    assert translated(encoder.chunk(event)) == b"event: error\ndata: " + event + b"\n\n"


@given(pieces=st.lists(st.binary(max_size=60), max_size=5), status=st.sampled_from([200, 400]))
def test_arbitrary_bytes_never_raise(pieces: list[bytes], status: int) -> None:
    for kind in (encoder.CONTENT_TYPE, JSON, ""):
        whole = translated(b"".join(pieces), status=status, kind=kind)
        assert translated(*pieces, status=status, kind=kind) == whole


@pytest.mark.parametrize(
    ("status", "kind", "more"),
    [
        (200, JSON, {}),
        (200, "text/event-stream", {}),
        (200, encoder.CONTENT_TYPE, {"Content_Encoding": "gzip"}),
        (204, "", {}),
        (302, JSON, {}),
        (403, "text/html", {}),
        (500, JSON, {"Content_Encoding": "gzip"}),
        (500, JSON, {"Content_Length": str(ERROR_LIMIT + 1)}),
        (500, JSON, {"Content_Length": "9" * 5000}),
    ],
)
def test_what_passes_unchanged(status: int, kind: str, more: dict[str, str]) -> None:
    more = {"Content_Length": "17", **more}
    body = b'{"message":"same"}'
    assert translated(body[:5], body[5:], status=status, kind=kind, **more) == body
    _, headers = begun(status, kind, X_Amzn_RequestId=REQUEST_ID, **more)
    assert headers["Content-Type"] == kind
    assert headers["Content-Length"] == more["Content_Length"]
    assert headers["request-id"] == REQUEST_ID


@pytest.mark.parametrize(
    ("status", "name", "body", "kind"),
    [
        (429, "ThrottlingException", b'{"message":"m"}', "rate_limit_error"),
        (400, "ValidationException:http://internal.amazon.com/coral/", b'{"message":"m"}', "invalid_request_error"),
        (403, "", b'{"Message":"m"}', "permission_error"),
        (403, "UnrecognizedClientException", b'{"message":"m"}', "authentication_error"),
        (404, "", b'{"message":"m","__type":"com.amazon.coral#ResourceNotFoundException"}', "not_found_error"),
        (400, "", b'{"__type":"com.amazon.coral#ServiceQuotaExceededException","message":"m"}', "rate_limit_error"),
        (424, "ModelErrorException", b'{"message":"m","originalStatusCode":500}', "api_error"),
        (500, "", b'{"message":"m"}', "api_error"),
    ],
)  # fmt: skip
@given(places=places)
def test_errors(status: int, name: str, body: bytes, kind: str, places: list[int]) -> None:
    more = {"x_amzn_errortype": name} if name else {}
    for content_type in (JSON, "application/x-amz-json-1.1", "application/json; charset=utf-8"):
        found = translated(
            *cut(body, places), status=status, kind=content_type, x_amzn_requestid="r", **more
        )
        assert json.loads(found) == {
            "type": "error",
            "error": {"type": kind, "message": "m"},
            "request_id": "r",
        }


def test_headers_of_an_error() -> None:
    _, headers = begun(400, "application/x-amz-json-1.1", Content_Length="9", X_Amzn_ErrorType="E")
    assert headers == CIMultiDict({"Content-Type": JSON, "X-Amzn-ErrorType": "E"})


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"error","error":{"type":"x","message":"y"},"message":"z"}',
        b'{"message":5}',
        b'["message"]',
        b"<html>",
        b"",
        b'{"message":"' + b"x" * ERROR_LIMIT + b'"}',
    ],
)
@given(places=places)
def test_other_error_bodies_pass_as_they_came(body: bytes, places: list[int]) -> None:
    assert translated(*cut(body, places), status=500, kind=JSON) == body


def test_a_long_error_body_is_not_held() -> None:
    translation, _ = begun(500, JSON)
    assert translation.feed(b"x" * ERROR_LIMIT) == b""
    assert translation.feed(b"y") == b"x" * ERROR_LIMIT + b"y"
    assert translation.feed(b"z") == b"z"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
    ],
)
def test_types_by_status(status: int, kind: str) -> None:
    assert error_type("", status) == kind
    assert error_type("SomethingNewException", status) == kind
