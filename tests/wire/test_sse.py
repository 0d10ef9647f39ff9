from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.wire.sse import SseEvent, SseReader

from .exchange import cut


def events(*pieces: bytes, limit: int = 1000) -> list[tuple[str, bytes]]:
    reader = SseReader(limit)
    found: list[SseEvent] = []
    for piece in pieces:
        found += reader.feed(piece)
    found += reader.finish()
    return [(event.event, event.data) for event in found]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [("", b"a")]),
        (b"data:a\n\n", [("", b"a")]),
        (b"data:  a\n\n", [("", b" a")]),
        (b"event: e\ndata: a\n\n", [("e", b"a")]),
        (b"data: a\nevent: e\n\n", [("e", b"a")]),
        (b"event: one\nevent: two\ndata: a\n\n", [("two", b"a")]),
        (b"data: a\ndata:\ndata: b\n\n", [("", b"a\n\nb")]),
        (b"data\n\ndata:\n\nevent: e\n\n", []),
        (b"event: e\n\ndata: a\n\n", [("", b"a")]),
        (b": note\nid: 1\nretry: 2\nother: x\ndata: a\n\n", [("", b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [("", b"a")]),
        (b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\r\n", [("", b"a"), ("", b"b"), ("", b"c")]),
        (b"data: a\r\ndata: b\r\n\r\n", [("", b"a\nb")]),
        (b"data: a\n\ndata: b\n", [("", b"a")]),
        (b"data: a\n\ndata: b", [("", b"a")]),
        (b"event: \xff\ndata: \xff\n\n", [("\ufffd", b"\xff")]),
        (b" data: a\n\nDATA: b\n\n", []),
    ],
)
def test_the_standard(stream: bytes, expected: list[tuple[str, bytes]]) -> None:
    assert events(stream) == expected
    assert events(*(stream[i : i + 1] for i in range(len(stream)))) == expected


lines = st.sampled_from(
    [b"data: a", b"data:", b"event: e", b":", b"", b"\xef\xbb\xbf", b"data: bcde"]
)
ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(
    st.lists(st.tuples(lines, ends), max_size=12),
    st.lists(st.integers(0, 200), max_size=6),
    st.sampled_from([4, 8, 14, 1000]),
)
def test_any_split(stream: list[tuple[bytes, bytes]], places: list[int], limit: int) -> None:
    data = b"".join(line + end for line, end in stream)
    assert events(*cut(data, places), limit=limit) == events(data, limit=limit)


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_an_event_over_the_limit_is_skipped(size: int) -> None:
    stream = b"data: a\n\ndata: " + b"x" * 1000 + b"\n\ndata: b\n\n"
    pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
    assert events(*pieces, limit=500) == [("", b"a"), ("", b"b")]


def test_an_endless_event_holds_no_memory() -> None:
    reader = SseReader(limit=1000)
    for _ in range(100):
        assert reader.feed(b"data: " + b"x" * 500) == []
    assert len(reader._buffer) <= 1001
    assert reader.feed(b"\n\ndata: b\n\n") == [SseEvent("", b"b")]
