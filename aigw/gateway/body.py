"""Reading a client's body, whole but bounded, and a readable copy of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from aigw.wire.content_coding import decode_body

THREADED_READING = 1024 * 1024
"""Bodies above this are read in a thread. Real requests take a millisecond a megabyte; one made of
a million tiny parts takes seconds, in which the loop would serve nobody."""


_T = TypeVar("_T")


class BodyTooLargeError(Exception):
    """The client's body exceeds the limit; the rest of it was not read."""


async def read_body(request: web.BaseRequest, limit: int) -> bytes:
    """The body as it was sent, still compressed if it is.

    Raises:
        BodyTooLargeError: it is longer than `limit` bytes.
    """
    if (request.content_length or 0) > limit:
        raise BodyTooLargeError
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    content = request.content
    first = await content.readany()
    if content.at_eof():
        if len(first) > limit:
            raise BodyTooLargeError
        return first
    chunks = [first]
    size = len(first)
    while not content.at_eof():
        chunk = await content.readany()
        size += len(chunk)
        if size > limit:
            raise BodyTooLargeError
        chunks.append(chunk)
    return b"".join(chunks)


async def readable_copy(body: bytes, content_encoding: str, limit: int) -> bytes:
    """The body decompressed, for reading; empty when it cannot be (the provider is the judge of it)."""
    if not content_encoding or content_encoding.strip().lower() == "identity":
        return body
    try:
        # Always in a thread: how much comes out cannot be told from how much goes in.
        return await asyncio.to_thread(decode_body, content_encoding, body, limit)
    except ValueError:
        return b""


async def read_aside(reader: Callable[[bytes], _T], body: bytes) -> _T:
    """What a reader makes of a body; a long one is read in a thread."""
    if len(body) > THREADED_READING:
        return await asyncio.to_thread(reader, body)
    return reader(body)
