from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.wire.usage_chunk import UsageChunkFilter

from .exchange import cut

USAGE = b'{"id":"x","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}'
TEXT = b'{"id":"x","choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}'
TEXT_BEFORE = b'{"id":"x","choices":[{"index":0,"delta":{"content":"a"}}]}'


def filtered(*pieces: bytes, limit: int = 1000) -> bytes:
    chosen = UsageChunkFilter(limit)
    return b"".join([*(chosen.feed(piece) for piece in pieces), chosen.finish()])


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: " + USAGE + b"\n\ndata: [DONE]\n\n", b"data: [DONE]\n\n"),
        (b"data: " + TEXT + b"\n\n", b"data: " + TEXT_BEFORE + b"\n\n"),
        (b"data:" + TEXT + b"\r\n\r\n", b"data:" + TEXT_BEFORE + b"\r\n\r\n"),
        (b"event: e\rdata: " + USAGE + b"\r\r: c\r\r", b": c\r\r"),
        (b'data: {"usage":null,"choices":[1]}\n\n', b'data: {"choices":[1]}\n\n'),
        (b'data: { "a":1 , "usage" : null , "b":2}\n\n', b'data: { "a":1 , "b":2}\n\n'),
        (b'data: {"usage":null}\n\n', b'data: {"usage":null}\n\n'),
        (b'data: {"usage":null,"usage":null}\n\n', b'data: {"usage":null,"usage":null}\n\n'),
        (b'data: {"a":{"usage":null}}\n\n', b'data: {"a":{"usage":null}}\n\n'),
        (b'data: {"a":"\\",\\"usage\\":null}"}\n\n', b'data: {"a":"\\",\\"usage\\":null}"}\n\n'),
        (b'data: {"choices":[1],"usage":{}}\n\n', b'data: {"choices":[1],"usage":{}}\n\n'),
        (b'data: {"choices":[]}\n\n', b'data: {"choices":[]}\n\n'),
        (b'data: {"usage":{}}\n\n', b'data: {"usage":{}}\n\n'),
        (b'data: {"usage"\n\n', b'data: {"usage"\n\n'),
        (b'data: {"choices":[],\ndata: "usage":{"a":1}}\n\nx', b"x"),
        (b"data: " + USAGE, b"data: " + USAGE),
        (b"data: " + USAGE + b"\n", b"data: " + USAGE + b"\n"),
        (b"\n\n\ndata: " + USAGE + b"\n\n\n\n", b"\n\n\n\n"),
    ],
)
def test_filter(stream: bytes, expected: bytes) -> None:
    assert filtered(stream) == expected
    assert filtered(*(stream[i : i + 1] for i in range(len(stream)))) == expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"data: " + USAGE, b"data: " + TEXT, b"data: [DONE]", b": c", b"", b"x" * 90]
            ),
            st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r", b"\n", b"\r\n", b"\r"]),
        ),
        max_size=8,
    ),
    st.lists(st.integers(0, 800), max_size=6),
    st.sampled_from([10, 79, 80, 1000]),
)
def test_any_split(stream: list[tuple[bytes, bytes]], places: list[int], limit: int) -> None:
    data = b"".join(line + end for line, end in stream)
    assert filtered(*cut(data, places), limit=limit) == filtered(data, limit=limit)


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_arbitrary_bytes_pass(pieces: list[bytes]) -> None:
    assert filtered(*pieces) == b"".join(pieces)


@given(
    st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=4),
    st.integers(0, 4),
)
def test_only_the_member_goes(fields: dict[str, object], place: int) -> None:
    fields = {"choices": [1], **fields}
    fields.pop("usage", None)
    items = list(fields.items())
    items.insert(place, ("usage", None))
    payload = json.dumps(dict(items)).encode()
    found = filtered(b"data: " + payload + b"\n\n")
    assert json.loads(found[6:]) == fields


def test_an_event_over_the_limit_is_released() -> None:
    chosen = UsageChunkFilter(limit=100)
    released = chosen.feed(b"data: " + b"x" * 1000)
    assert len(released) > 900
    rest = chosen.feed(b"\n\ndata: " + USAGE + b"\n\n") + chosen.finish()
    assert released + rest == b"data: " + b"x" * 1000 + b"\n\n"
