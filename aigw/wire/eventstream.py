"""Frames of `application/vnd.amazon.eventstream`: bytes in, whole frames out.

Follows Smithy's "Amazon Event Stream" specification: a prelude (total length, length of the headers,
CRC-32 of both), the headers, the payload, and a CRC-32 of all before it; integers are big-endian.
There is no mark to find the next frame by: after a broken one nothing more can be read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from types import MappingProxyType
from typing import TypeAlias
from zlib import crc32

import msgspec

CONTENT_TYPE = "application/vnd.amazon.eventstream"

PAYLOAD_LIMIT = 24 * 1024 * 1024
"""Bytes of one payload beyond which a stream counts as broken. The specification allows 16 MiB, but
AWS's SDK for Python takes 24: what a client can read must not be missing from the record. It bounds
what one stream can make the gateway hold."""

HEADERS_LIMIT = 128 * 1024
"""Bytes of one frame's headers beyond which a stream counts as broken: the specification's figure."""

_CACHED_HEADERS = 1024
"""Longer header blocks are parsed anew each time: those of events are about 90 bytes, and a cache of
errors' texts would only hold memory."""

HeaderValue: TypeAlias = bool | int | bytes | str


class FrameHeaders(msgspec.Struct, frozen=True):
    """A frame's headers.

    `message_type` is `event`, `exception` or `error`. `name` says which: the event's type, the
    exception's type or the error's code. Timestamps are milliseconds, a UUID is its 16 bytes.
    """

    message_type: str
    name: str
    values: Mapping[str, HeaderValue]


class Frame(msgspec.Struct, gc=False):
    """One frame whose checksums are right."""

    headers: FrameHeaders
    payload: bytes


_PRELUDE = Struct("!III")
_PRELUDE_LENGTH = 12
_CHECKED_LENGTH = 8
"""The prelude without its own checksum."""
_CRC = Struct("!I")
_CRC_LENGTH = 4
_OVERHEAD = _PRELUDE_LENGTH + _CRC_LENGTH


class EventStreamDecoder:
    """Cuts a stream into frames. Any split of the same bytes gives the same frames.

    It never raises. At the first frame that is broken (a checksum, a length, its headers) `error`
    says what is wrong with it, and nothing more is read. The frames before it are given all the
    same, which is why this is an attribute and no exception.
    """

    __slots__ = ("_buffer", "_needed", "error")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = _PRELUDE_LENGTH
        self.error: str | None = None

    @property
    def unfinished_length(self) -> int:
        """How many bytes have come of a frame that is not whole yet; 0 between frames."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete, in order."""
        frames: list[Frame] = []
        if self.error is not None:
            return frames
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < self._needed:
                return frames
            data = bytes(buffer)
            buffer.clear()
        start = self._cut(data, frames)
        if start < len(data):
            buffer += data[start:] if start else data
        return frames

    def _cut(self, data: bytes, frames: list[Frame]) -> int:
        """Append the whole frames of the data; where what is to be kept of it begins."""
        view = memoryview(data)
        start, end = 0, len(data)
        while end - start >= _PRELUDE_LENGTH:
            total, length, checksum = _PRELUDE.unpack_from(data, start)
            body = start + _PRELUDE_LENGTH
            if crc32(data[start : start + _CHECKED_LENGTH]) != checksum:
                return self._break("the checksum of a frame's prelude is wrong", end)
            if length > HEADERS_LIMIT or not 0 <= total - length - _OVERHEAD <= PAYLOAD_LIMIT:
                return self._break("a frame's lengths are out of bounds", end)
            stop = start + total
            if stop > end:
                self._needed = total
                return start
            tail = stop - _CRC_LENGTH
            # The first checksum is the right start for the second, which covers the prelude too.
            if (
                crc32(view[start + _CHECKED_LENGTH : tail], checksum)
                != _CRC.unpack_from(data, tail)[0]
            ):
                return self._break("a frame's checksum is wrong", end)
            headers = _headers_of(data[body : body + length])
            if headers is None:
                return self._break("a frame's headers cannot be read", end)
            frames.append(Frame(headers, data[body + length : tail]))
            start = stop
        self._needed = _PRELUDE_LENGTH
        return start

    def _break(self, error: str, end: int) -> int:
        self.error = error
        return end


def _headers_of(block: bytes) -> FrameHeaders | None:
    return _cached(block) if len(block) <= _CACHED_HEADERS else _parsed(block)


def _parsed(block: bytes) -> FrameHeaders | None:
    """The headers in a block; None when it breaks the rules, which leaves nothing to rely on."""
    try:
        values = _parse(block)
    except (struct.error, ValueError, IndexError):
        return None
    kind = _text(values, ":message-type") or "event"
    name = _text(values, ":error-code" if kind == "error" else f":{kind}-type")
    return FrameHeaders(kind, name, MappingProxyType(values))


# The headers of a stream's events are the same bytes again and again.
_cached = lru_cache(maxsize=256)(_parsed)


def _text(values: dict[str, HeaderValue], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


_TRUE, _FALSE, _BYTES, _STRING, _UUID = 0, 1, 6, 7, 9
_UUID_LENGTH = 16
_NUMBERS = {2: Struct("!b"), 3: Struct("!h"), 4: Struct("!i"), 5: Struct("!q"), 8: Struct("!q")}
"""Byte, short, integer, long and timestamp (milliseconds since 1970)."""
_LENGTH = Struct("!H")


def _parse(block: bytes) -> dict[str, HeaderValue]:
    """Name, type and value of each header.

    Raises:
        ValueError, IndexError, struct.error: a value is cut off, its type is unknown (so that its
            length is), a text is no UTF-8, or a name comes twice.
    """
    values: dict[str, HeaderValue] = {}
    position = 0
    while position < len(block):
        start = position + 1
        position = start + block[position]
        name = block[start:position].decode()
        value, position = _value(block, block[position], position + 1)
        if name in values or position > len(block):
            raise ValueError(name)
        values[name] = value
    return values


def _value(block: bytes, kind: int, position: int) -> tuple[HeaderValue, int]:
    """The value at a position, and where it ends."""
    if kind in (_STRING, _BYTES):
        start = position + _LENGTH.size
        end = start + _LENGTH.unpack_from(block, position)[0]
        content = block[start:end]
        return (content.decode() if kind == _STRING else content), end
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, position
    if kind == _UUID:
        end = position + _UUID_LENGTH
        return block[position:end], end
    number = _NUMBERS.get(kind)
    if number is None:
        raise ValueError(kind)
    return number.unpack_from(block, position)[0], position + number.size
