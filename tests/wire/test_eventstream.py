"""AWS's event stream: what the decoder makes of right, broken and arbitrary bytes."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from aigw.wire import eventstream
from aigw.wire.eventstream import EventStreamDecoder, Frame
from tests.simulator import eventstream as encoder

from .exchange import cut

EVENT = encoder.frame("chunk", b'{"a":1}')


def message(headers: bytes, payload: bytes = b"") -> bytes:
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    head = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return head + struct.pack("!I", zlib.crc32(head))


def header(name: bytes, kind: int, value: bytes) -> bytes:
    return bytes([len(name)]) + name + bytes([kind]) + value


def decoded(*pieces: bytes) -> tuple[list[Frame], str | None]:
    decoder = EventStreamDecoder()
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return frames, decoder.error


values = st.one_of(
    st.just((0, b"", True)),
    st.just((1, b"", False)),
    st.integers(-(2**7), 2**7 - 1).map(lambda n: (2, struct.pack("!b", n), n)),
    st.integers(-(2**15), 2**15 - 1).map(lambda n: (3, struct.pack("!h", n), n)),
    st.integers(-(2**31), 2**31 - 1).map(lambda n: (4, struct.pack("!i", n), n)),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: (5, struct.pack("!q", n), n)),
    st.binary(max_size=300).map(lambda b: (6, struct.pack("!H", len(b)) + b, b)),
    st.text(max_size=50).map(lambda t: (7, struct.pack("!H", len(t.encode())) + t.encode(), t)),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: (8, struct.pack("!q", n), n)),
    st.binary(min_size=16, max_size=16).map(lambda b: (9, b, b)),
)
names = st.text(min_size=1, max_size=20)
messages = st.tuples(st.dictionaries(names, values, max_size=5), st.binary(max_size=300))
places = st.lists(st.integers(0, 1 << 16), max_size=8)


@given(written=st.lists(messages, max_size=4), places=places)
def test_frames_are_those_of_the_aws_sdk_however_they_are_cut(
    written: list[tuple[dict[str, tuple[int, bytes, Any]], bytes]], places: list[int]
) -> None:
    data = b"".join(
        message(b"".join(header(n.encode(), k, v) for n, (k, v, _) in headers.items()), payload)
        for headers, payload in written
    )
    frames, error = decoded(*cut(data, places))
    assert error is None
    found = [(dict(frame.headers.values), frame.payload) for frame in frames]
    assert found == [
        ({name: value for name, (_, _, value) in headers.items()}, payload)
        for headers, payload in written
    ]
    reference = EventStreamBuffer()
    reference.add_data(data)
    assert found == [(event.headers, event.payload) for event in reference]


@given(pieces=st.lists(st.binary(max_size=60), max_size=6))
def test_arbitrary_bytes_never_raise(pieces: list[bytes]) -> None:
    assert decoded(*pieces) == decoded(b"".join(pieces))


@given(
    place=st.integers(0, 1 << 16),
    byte=st.integers(1, 255),
    cuts=places,
)
def test_a_changed_byte_is_seen_and_costs_no_frame_before_it(
    place: int, byte: int, cuts: list[int]
) -> None:
    data = bytearray(EVENT * 3)
    place %= len(data)
    data[place] ^= byte
    frames, error = decoded(*cut(bytes(data), cuts))
    # A changed length may also ask for more than there is; the prelude's checksum tells first.
    assert error is not None
    assert len(frames) == place // len(EVENT)


@given(length=st.integers(0, len(EVENT) - 1))
def test_an_unfinished_frame_is_no_error(length: int) -> None:
    decoder = EventStreamDecoder()
    assert len(decoder.feed(EVENT + EVENT[:length])) == 1
    assert decoder.error is None
    assert decoder.unfinished_length == length
    assert len(decoder.feed(EVENT[length:])) == 1
    assert decoder.unfinished_length == 0


def test_nothing_is_read_after_a_broken_frame() -> None:
    decoder = EventStreamDecoder()
    assert decoder.feed(EVENT[:-1] + b"?") == []
    assert decoder.error is not None
    assert decoder.feed(EVENT) == []
    assert decoder.unfinished_length == 0


def prelude(total: int, headers: int) -> bytes:
    lengths = struct.pack("!II", total, headers)
    return lengths + struct.pack("!I", zlib.crc32(lengths))


@pytest.mark.parametrize(
    ("total", "headers"),
    [
        (0, 0),
        (15, 0),
        (16, 1),
        (2**32 - 1, 0),
        (16 + eventstream.HEADERS_LIMIT + 1, eventstream.HEADERS_LIMIT + 1),
        (16 + eventstream.PAYLOAD_LIMIT + 1, 0),
    ],
)
def test_lengths_out_of_bounds_are_refused_before_anything_is_held(
    total: int, headers: int
) -> None:
    decoder = EventStreamDecoder()
    decoder.feed(prelude(total, headers))
    assert decoder.error == "a frame's lengths are out of bounds"


def test_the_largest_frame_is_read() -> None:
    payload = b"x" * eventstream.PAYLOAD_LIMIT
    data = message(b"", payload)
    frames, error = decoded(data[:1000], data[1000:])
    assert error is None
    assert frames[0].payload == payload


@pytest.mark.parametrize(
    "headers",
    [
        b"\x05abc",
        header(b"a", 10, b""),
        header(b"a", 7, b"\x00"),
        header(b"a", 7, b"\x00\x05abc"),
        header(b"a", 7, b"\x00\x01\xff"),
        header(b"a", 9, b"short"),
        header(b"a", 4, b"abc"),
        header(b"a", 0, b"") * 2,
        header(b"\xff", 0, b""),
        b"\x01a",
    ],
)
def test_broken_headers_are_an_error(headers: bytes) -> None:
    assert decoded(EVENT + message(headers) + EVENT) == (
        decoded(EVENT)[0],
        "a frame's headers cannot be read",
    )


@pytest.mark.parametrize(
    ("headers", "kind", "name"),
    [
        ({":message-type": "event", ":event-type": "chunk"}, "event", "chunk"),
        ({":message-type": "exception", ":exception-type": "x"}, "exception", "x"),
        ({":message-type": "error", ":error-code": "c"}, "error", "c"),
        ({":message-type": "event", ":exception-type": "x"}, "event", ""),
        ({":event-type": "chunk"}, "event", "chunk"),
        ({"x" * 200: "y" * 2000}, "event", ""),
        ({}, "event", ""),
    ],
)
def test_what_the_headers_say(headers: dict[str, str], kind: str, name: str) -> None:
    (frame,), _ = decoded(encoder.message(headers, b""))
    assert (frame.headers.message_type, frame.headers.name) == (kind, name)
    assert frame.headers.values == headers


def test_names_of_another_type_are_no_text() -> None:
    (frame,), _ = decoded(message(header(b":event-type", 4, b"\x00\x00\x00\x01")))
    assert frame.headers.name == ""
