"""What the readers do with answers that are cut off, too large, or errors under a good status."""

from __future__ import annotations

import pytest

from aigw.records import Status
from aigw.wire import answers
from aigw.wire.apis import Api, response_reader
from aigw.wire.facts import Outcome

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
    (thought,) = reader.finish()
    assert 0 < len(thought.content) < 10_000  # type: ignore[union-attr]


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
