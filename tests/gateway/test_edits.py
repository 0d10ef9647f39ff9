"""The one edit of a body, and how it is undone on the answer."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from multidict import CIMultiDict

from aigw.gateway.edits import ChatUsageEdit

SSE = "text/event-stream; charset=utf-8"
CHUNK = b'data: {"id":"1","choices":[{"delta":{"content":"hi"}}],"usage":null}\n\n'
SHOWN = b'data: {"id":"1","choices":[{"delta":{"content":"hi"}}]}\n\n'
USAGE = b'data: {"id":"1","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = CHUNK + USAGE + DONE


async def test_usage_is_asked_for_without_another_change() -> None:
    plain = b'{ "stream" : true, "model":"m",\n "messages":[ ] }'
    headers = CIMultiDict({"Content-Type": "application/json"})
    body = await ChatUsageEdit.apply(plain, headers)
    assert body is not None
    asked = json.loads(body)
    assert asked.pop("stream_options") == {"include_usage": True}
    assert asked == json.loads(plain)
    # Spliced in: what the client wrote is still there as it wrote it.
    assert b'"stream" : true, "model":"m",\n "messages":[ ]' in body
    assert list(headers.items()) == [("Content-Type", "application/json")]


async def test_a_compressed_body_goes_on_readable() -> None:
    headers = CIMultiDict([("Content-Encoding", "gzip"), ("Accept-Encoding", "gzip, br")])
    assert await ChatUsageEdit.apply(b'{"stream":true}', headers) is not None
    assert list(headers.items()) == [("Accept-Encoding", "identity")]


@pytest.mark.parametrize("plain", [b"", b"[]", b"nonsense", b'{"stream":true', b'"text"'])
async def test_what_cannot_be_changed_safely_is_left(plain: bytes) -> None:
    headers = CIMultiDict([("Content-Encoding", "gzip"), ("Accept-Encoding", "gzip")])
    assert await ChatUsageEdit.apply(plain, headers) is None
    assert list(headers.items()) == [("Content-Encoding", "gzip"), ("Accept-Encoding", "gzip")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_the_answer_loses_what_the_client_did_not_ask_for(size: int) -> None:
    edit = ChatUsageEdit()
    assert edit.begin(200, SSE, "") == ("content-length",)
    shown = b"".join(edit.feed(STREAM[at : at + size]) for at in range(0, len(STREAM), size))
    assert shown + edit.finish() == SHOWN + DONE


def test_a_compressed_answer_is_shown_uncompressed() -> None:
    edit = ChatUsageEdit()
    assert edit.begin(200, SSE, "gzip") == ("content-length", "content-encoding")
    packer = zlib.compressobj(wbits=31)
    shown = b""
    for event in (CHUNK, USAGE, DONE):
        # Flushed event by event, and seen event by event.
        shown += edit.feed(packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH))
        assert shown.endswith(SHOWN if event != DONE else DONE)
    shown += edit.feed(packer.flush()) + edit.finish()
    assert shown == SHOWN + DONE


@pytest.mark.parametrize(
    ("status", "content_type", "coding", "body"),
    [
        (400, "application/json", "", b'{"error":{"message":"no stream_options here"}}'),
        (400, SSE, "", STREAM),
        (200, "application/json", "gzip", gzip.compress(b'{"choices":[]}', mtime=0)),
        (200, "application/json", "", b'{"choices":[],"usage":null}'),
        (200, SSE, "secret-coding", STREAM),
        (502, "text/html", "", b"<html>"),
    ],
)
def test_other_answers_are_not_touched(
    status: int, content_type: str, coding: str, body: bytes
) -> None:
    edit = ChatUsageEdit()
    assert edit.begin(status, content_type, coding) == ()
    assert edit.feed(body) + edit.finish() == body


def test_an_event_that_never_ends_is_shown_at_the_end() -> None:
    edit = ChatUsageEdit()
    edit.begin(200, SSE, "")
    half = CHUNK[:20]
    assert edit.feed(SHOWN + half) == SHOWN
    assert edit.finish() == half
