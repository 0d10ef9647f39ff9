"""Content encodings, whole and as streams that flush at every event."""

from __future__ import annotations

import gzip
import sys
import zlib
from typing import TYPE_CHECKING, Protocol

import brotli

if TYPE_CHECKING:
    from collections.abc import Iterable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ENCODINGS = ("gzip", "deflate", "br", "zstd")


class Encoder(Protocol):
    """Compresses a stream; what `encode` returns can be read in full by a decoder at once."""

    def encode(self, data: bytes) -> bytes:
        """Compress and flush."""

    def end(self) -> bytes:
        """The closing bytes."""


class _Identity:
    def encode(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


class _Zlib:
    def __init__(self, wbits: int) -> None:
        self._compressor = zlib.compressobj(wbits=wbits)

    def encode(self, data: bytes) -> bytes:
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._compressor.flush()


class _Brotli:
    def __init__(self) -> None:
        self._compressor = brotli.Compressor(quality=4)

    def encode(self, data: bytes) -> bytes:
        result: bytes = self._compressor.process(data) + self._compressor.flush()
        return result

    def end(self) -> bytes:
        result: bytes = self._compressor.finish()
        return result


class _Zstd:
    def __init__(self) -> None:
        self._compressor = zstd.ZstdCompressor()

    def encode(self, data: bytes) -> bytes:
        return self._compressor.compress(data, zstd.ZstdCompressor.FLUSH_BLOCK)

    def end(self) -> bytes:
        return self._compressor.flush()


def encoder(name: str) -> Encoder:
    """An encoder by its HTTP name; the empty name compresses nothing."""
    if name == "gzip":
        return _Zlib(wbits=31)
    if name == "deflate":
        return _Zlib(wbits=15)
    if name == "br":
        return _Brotli()
    if name == "zstd":
        return _Zstd()
    return _Identity()


def compress_chunks(name: str, chunks: Iterable[bytes]) -> list[bytes]:
    """Each chunk compressed and flushed on its own, the closing bytes with the last."""
    coder = encoder(name)
    result = [coder.encode(chunk) for chunk in chunks]
    ending = coder.end()
    if ending:
        result[-1:] = [result[-1] + ending] if result else [ending]
    return result


def compress(name: str, data: bytes) -> bytes:
    """A whole body compressed."""
    return b"".join(compress_chunks(name, [data]))


def decompress(name: str, data: bytes) -> bytes:
    """A whole body decompressed. Raises what the codec raises on broken input."""
    if name in {"gzip", "x-gzip"}:
        return gzip.decompress(data)
    if name == "deflate":
        return zlib.decompress(data)
    if name == "br":
        result: bytes = brotli.decompress(data)
        return result
    if name == "zstd":
        return zstd.decompress(data)
    return data
