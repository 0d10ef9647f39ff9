from __future__ import annotations

import pytest

from aigw.records import Status
from aigw.wire.apis import Api, response_reader
from aigw.wire.errors import MESSAGE_LIMIT
from aigw.wire.facts import Outcome


def outcome(body: bytes, status: int = 500) -> Outcome | None:
    reader = response_reader(Api.MESSAGES, status, "application/json")
    for i in range(0, len(body), 1000):
        assert reader.feed(body[i : i + 1000]) == []
    assert reader.outcome() is None
    assert reader.finish() == []
    return reader.outcome()


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (
            b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}',
            "overloaded_error",
            "m",
        ),
        (
            b'{"error":{"message":"m","type":"invalid_request_error","code":"c"}}',
            "invalid_request_error",
            "m",
        ),
        (b'{"error":{"message":"m","type":null,"code":"c"}}', "c", "m"),
        (
            b'{"error":{"message":"m","code":429,"status":"RESOURCE_EXHAUSTED"}}',
            "RESOURCE_EXHAUSTED",
            "m",
        ),
        (b'[{"error":{"message":"m","code":429}}]', "429", "m"),
        (b'{"error":"text"}', "http_500", "text"),
        (b'{"code":"500","message":"m"}', "500", "m"),
        (b'{"detail":"m"}', "http_500", "m"),
        (b'{"message":"m"}', "http_500", "m"),
        (b'{"Message":"m"}', "http_500", "m"),
        (b'{"__type":"com.amazon.coral#XException","message":"m"}', "XException", "m"),
        (b'{"other":1}', "http_500", '{"other":1}'),
        (b"<html>Bad gateway</html>", "http_500", "<html>Bad gateway</html>"),
        (b"", "http_500", None),
        (b"\xff\xff", "http_500", "\ufffd\ufffd"),
        (b'{"error":{"message":"\\ud800","type":"x"}}', "x", "\ufffd"),
    ],
)
def test_shapes(body: bytes, kind: str, message: str | None) -> None:
    assert outcome(body) == Outcome(Status.FAILED, kind, message)


@pytest.mark.parametrize(
    "body", [b"x" * 3_000_000, b'{"error":{"message":"' + b"x" * 500_000 + b'"}}']
)
def test_long_messages_are_cut(body: bytes) -> None:
    found = outcome(body)
    assert found is not None
    assert found.error_message is not None
    assert len(found.error_message) == MESSAGE_LIMIT


def test_a_redirect_is_no_answer() -> None:
    assert outcome(b"", 302) == Outcome(Status.FAILED, "http_302", None)
