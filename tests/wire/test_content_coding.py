from __future__ import annotations

import gzip
import sys
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw.wire.content_coding import decode_body, decoder

from .exchange import cut

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "br": brotli.compress,
    "zstd": zstd.compress,
    " GZIP , br": lambda data: brotli.compress(gzip.compress(data)),
    "zstd,identity,deflate": lambda data: zlib.compress(zstd.compress(data)),
}
EVERY_CODING = pytest.mark.parametrize("coding", CODINGS)
LIMIT = 10_000_000


@EVERY_CODING
@given(
    data=st.binary(max_size=300),
    times=st.integers(1, 50),
    places=st.lists(st.integers(0, 999), max_size=5),
)
@settings(max_examples=30)
def test_any_split(coding: str, data: bytes, times: int, places: list[int]) -> None:
    plain = data * times
    body = CODINGS[coding](plain)
    undo = decoder(coding, LIMIT)
    assert undo is not None
    assert b"".join([*map(undo.feed, cut(body, places)), undo.finish()]) == plain


@EVERY_CODING
def test_a_large_body(coding: str) -> None:
    plain = bytes(range(256)) * 20_000
    assert decode_body(coding, CODINGS[coding](plain), len(plain)) == plain


@EVERY_CODING
def test_a_bomb_is_refused(coding: str) -> None:
    body = CODINGS[coding](bytes(LIMIT + 1))
    assert len(body) < LIMIT // 100
    with pytest.raises(ValueError, match="more than 10000000 bytes"):
        decode_body(coding, body, LIMIT)


@EVERY_CODING
def test_a_cut_body_is_told(coding: str) -> None:
    body = CODINGS[coding](b"hello world" * 100)
    undo = decoder(coding)
    assert undo is not None
    undo.feed(body[:-1])
    with pytest.raises(ValueError, match="cut off"):
        undo.finish()


@EVERY_CODING
@given(data=st.binary(min_size=1, max_size=50), place=st.integers(0, 100))
@settings(max_examples=30)
def test_corrupt_bodies_raise_nothing_else(coding: str, data: bytes, place: int) -> None:
    body = CODINGS[coding](b"some text " * 20)
    place %= len(body)
    for broken in (data, body[:place] + data, body[:place] + data + body[place:], body + data):
        with suppress(ValueError):
            decode_body(coding, broken, 100_000)


def test_members_and_frames_in_a_row() -> None:
    one, two = b"one " * 10, b"two " * 10
    gzipped = gzip.compress(one) + b"\0\0" + gzip.compress(two) + b"\0"
    assert decode_body("gzip", gzipped, LIMIT) == one + two
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    framed = zstd.compress(one) + skippable + zstd.compress(b"") + zstd.compress(two)
    assert decode_body("zstd", framed, LIMIT) == one + two
    pieces = [framed[i : i + 1] for i in range(len(framed))]
    undo = decoder("zstd", LIMIT)
    assert undo is not None
    assert b"".join(map(undo.feed, pieces)) == one + two
    assert undo.finish() == b""


@pytest.mark.parametrize("encoding", ["", "identity", " , Identity"])
def test_nothing_to_undo(encoding: str) -> None:
    assert decoder(encoding) is None
    assert decode_body(encoding, b"x", 0) == b"x"


def test_an_empty_body_is_whole() -> None:
    assert decode_body("gzip", b"", LIMIT) == b""


def test_unknown_codings_are_named() -> None:
    with pytest.raises(ValueError, match="'compress'"):
        decoder("gzip, compress")
    with pytest.raises(ValueError, match="more than 4"):
        decoder(",".join(["gzip"] * 5))


def test_a_zstd_window_over_what_http_allows_is_refused() -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 27}
    stream = zstd.ZstdCompressor(options=options)
    body = stream.compress(bytes(100)) + stream.flush()
    with pytest.raises(ValueError, match="corrupt"):
        decode_body("zstd", body, LIMIT)
