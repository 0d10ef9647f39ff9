"""One keep-alive HTTP connection of the load generator: sends whole messages, finds answers' ends.

It understands only what the servers under test send: a head, then Content-Length or chunks. An event
of a stream is recognised by the blank line behind it, wherever the pieces were cut.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol, cast

_CHUNKED_END = b"0\r\n\r\n"


class Listener(Protocol):
    """Who drives a connection."""

    def received(self, connection: Connection, events: int) -> None:
        """A piece of an answer's body came, and that many events ended in it."""

    def answered(self, connection: Connection) -> None:
        """The answer is whole."""

    def lost(self, connection: Connection) -> None:
        """The connection ended; `connection.busy` tells whether an answer was due."""


class Connection(asyncio.Protocol):
    """A connection and the answer it is reading. Times are readings of `time.perf_counter`.

    `event_end` is the two bytes that end each event of a stream.
    """

    def __init__(self, listener: Listener, event_end: bytes = b"\n\n") -> None:
        self._listener = listener
        self._event_end = event_end
        self._transport: asyncio.WriteTransport | None = None
        self._reset(0)
        self.busy = False

    def _reset(self, number: int) -> None:
        self.number = number
        self.status = 0
        self.size = 0
        self.events = 0
        self.sent_at = self.first_at = 0.0
        self._head: bytes | None = b""
        self._length = -1
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's, so isinstance would not do.
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the base's signature)
        self._transport = None
        self._listener.lost(self)

    def send(self, number: int, message: bytes) -> None:
        """Send a request; the answer before it must be whole."""
        assert self._transport is not None
        self._reset(number)
        self.busy = True
        self.sent_at = time.perf_counter()
        self._transport.write(message)

    @property
    def alive(self) -> bool:
        """Whether the server has left it open."""
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            data = self._read_head(self._head + data if self._head else data)
            if not data:
                if self._length == 0:
                    self._finish()
                return
        if not self.first_at:
            self.first_at = time.perf_counter()
        self.size += len(data)
        if self._length >= 0:
            self._listener.received(self, 0)
            if self.size >= self._length:
                self._finish()
        else:
            self._read_chunks(data)

    def _read_head(self, data: bytes) -> bytes:
        """Take the head if it is whole, and return what of the body came with it."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._head = data
            return b""
        self._head = None
        head = data[: end + 2].lower()
        self.status = int(head[9:12])
        start = head.find(b"\r\ncontent-length: ")
        if start >= 0:
            start += 18
            self._length = int(head[start : head.find(b"\r\n", start)])
        return data[end + 4 :]

    def _read_chunks(self, data: bytes) -> None:
        end = self._event_end
        events = data.count(end) + (self._tail[-1:] == end[:1] and data[:1] == end[1:])
        self.events += events
        if len(data) >= len(_CHUNKED_END):
            self._tail = data[-len(_CHUNKED_END) :]
        else:
            self._tail = (self._tail + data)[-len(_CHUNKED_END) :]
        self._listener.received(self, events)
        if self._tail == _CHUNKED_END:
            self._finish()

    def _finish(self) -> None:
        self.busy = False
        self._listener.answered(self)
