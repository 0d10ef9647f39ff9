"""Content codings (RFC 9110, section 8.4) undone for reading, incrementally and with a limit.

The relay passes compressed bytes on as they came; only the copy that is read goes through here.
"""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Protocol

import brotli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

OUTPUT_LIMIT = 256 * 1024 * 1024
"""Decompressed bytes of one body beyond which it is refused, unless the caller says otherwise: a
64 MiB request (the default limit) may hold a bomb of a thousand times its size."""

_CHUNK = 256 * 1024
"""Bytes decompressed at a time, so that the limit is seen before the memory is taken."""

_ZLIB_HEADER = 2
_CODINGS_LIMIT = 4
"""No one stacks more than two; each further one multiplies what a bomb can do."""

# RFC 9659: windows of zstd content are at most 8 MiB. A frame may ask for far more.
_ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}


class _Coding(Protocol):
    """One coding: `feed` yields pieces of at most about `_CHUNK` bytes."""

    def feed(self, data: bytes) -> Iterator[bytes]: ...

    def is_whole(self) -> bool: ...


class Decoder:
    """Undoes one or more codings. Any split of the input gives the same output."""

    def __init__(self, codings: list[_Coding], limit: int) -> None:
        self._codings = codings
        self._room = limit
        self._limit = limit
        self._fed = False

    def feed(self, data: bytes) -> bytes:
        """The bytes that this input yields, in one piece.

        Raises:
            ValueError: the data is corrupt, or yields more than the limit.
        """
        return b"".join(self.pieces(data))

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The bytes that this input yields, piece by piece: a few kilobytes may hold a gigabyte.

        Raises (while iterating):
            ValueError: the data is corrupt, or yields more than the limit.
        """
        if not data:
            return
        self._fed = True
        try:
            for piece in self._through(0, data):
                self._room -= len(piece)
                if self._room < 0:
                    raise ValueError(f"the body decompresses to more than {self._limit} bytes")
                yield piece
        except (zlib.error, brotli.error, zstd.ZstdError, EOFError) as error:
            raise ValueError(f"the compressed body is corrupt: {error}") from error

    def finish(self) -> bytes:
        """The end of the input. Everything was already given by `feed`; an empty body is whole.

        Raises:
            ValueError: the input was cut off.
        """
        if self._fed and not all(coding.is_whole() for coding in self._codings):
            raise ValueError("the compressed body is cut off")
        return b""

    def _through(self, stage: int, data: bytes) -> Iterator[bytes]:
        if stage == len(self._codings):
            yield data
            return
        for piece in self._codings[stage].feed(data):
            yield from self._through(stage + 1, piece)


def decoder(content_encoding: str, limit: int = OUTPUT_LIMIT) -> Decoder | None:
    """A decoder for the value of `Content-Encoding`; None where nothing has to be undone.

    Raises:
        ValueError: a coding is not known (the message names it), or there are too many.
    """
    names = [name.strip().lower() for name in content_encoding.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if len(names) > _CODINGS_LIMIT:
        raise ValueError(f"more than {_CODINGS_LIMIT} content codings")
    codings: list[_Coding] = []
    for name in reversed(names):
        if name not in _CODINGS:
            raise ValueError(f"unknown content coding {name[:40]!r}")
        codings.append(_CODINGS[name]())
    return Decoder(codings, limit) if codings else None


def decode_body(content_encoding: str, body: bytes, limit: int = OUTPUT_LIMIT) -> bytes:
    """A whole body without its content codings.

    Raises:
        ValueError: a coding is not known, or the body is corrupt, cut off or too large.
    """
    undo = decoder(content_encoding, limit)
    if undo is None:
        return body
    decoded = undo.feed(body)
    undo.finish()
    return decoded


class _Gzip:
    """Any number of gzip members in a row, with zero padding between and after them."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._between = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._between:
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._member = zlib.decompressobj(wbits=31)
                self._between = False
            yield from _inflate(self._member, data)
            self._between = self._member.eof
            data = self._member.unused_data

    def is_whole(self) -> bool:
        return self._between


class _Deflate:
    """Zlib data as the standard says, or raw deflate as some servers send it."""

    def __init__(self) -> None:
        self._start = b""
        self._stream: zlib._Decompress | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            self._start += data
            if len(self._start) < _ZLIB_HEADER:
                return
            data, self._start = self._start, b""
            self._stream = zlib.decompressobj(wbits=15 if _is_zlib(data) else -15)
        if self._stream.eof:
            raise zlib.error("data after the end of the stream")
        yield from _inflate(self._stream, data)
        if self._stream.unused_data:
            raise zlib.error("data after the end of the stream")

    def is_whole(self) -> bool:
        return self._stream is not None and self._stream.eof


def _is_zlib(data: bytes) -> bool:
    """RFC 1950, section 2.2: the method is 8, and the header a multiple of 31."""
    return data[0] & 0x0F == zlib.DEFLATED and (data[0] << 8 | data[1]) % 31 == 0


def _inflate(stream: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    while True:
        piece = stream.decompress(data, _CHUNK)
        if piece:
            yield piece
        data = stream.unconsumed_tail
        if stream.eof or (not data and len(piece) < _CHUNK):
            return


class _Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._stream.is_finished():
            raise brotli.error("data after the end of the stream")
        while True:
            piece = self._stream.process(data, output_buffer_limit=_CHUNK)
            if piece:
                yield piece
            data = b""
            if self._stream.is_finished() or not piece:
                return

    def is_whole(self) -> bool:
        finished: bool = self._stream.is_finished()
        return finished


class _Zstd:
    """Any number of zstd frames in a row, skippable ones included."""

    def __init__(self) -> None:
        self._frame = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
        self._between = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data or not (self._between or self._frame.needs_input):
            if self._between:
                self._frame = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
                self._between = False
            piece = self._frame.decompress(data, _CHUNK)
            if piece:
                yield piece
            self._between = self._frame.eof
            data = self._frame.unused_data if self._between else b""

    def is_whole(self) -> bool:
        return self._between


_CODINGS: dict[str, Callable[[], _Coding]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}
