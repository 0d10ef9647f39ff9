"""A simulated provider that costs as little as can be: raw asyncio protocols, answers made in advance.

It reads of a request only where its head and body end, whether it is one of Bedrock's, and the header
`x-bench` (for Bedrock `x-amzn-bedrock-bench`), whose words are the answer wanted, for streams their
number of events, and the request's number:

    small, large     the JSON answers of `payloads`
    burst N          a stream of N events, all at once
    step N           a stream that sends its next event when the client has the one before (`advance`)
    paced N          a stream of 20 events a second; `sent` remembers when each left

A stream is one of server-sent events, or for a path of Bedrock's of the same events in frames.

It runs inside the load generator's process: so a `step` stream can be told that its event arrived,
and the delay of a `paced` event is the difference of two readings of one clock.
"""

from __future__ import annotations

import asyncio
import time
from functools import cache
from typing import Final, cast

from benchmarks.bedrock_payloads import stream_frames
from benchmarks.payloads import FRAMING_EVENTS, LARGE_ANSWER, SMALL_ANSWER, stream_events

PACE: Final = 0.05
"""Seconds between two events of a paced stream."""

_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"request-id: req_bench\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_FRAMES_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n"
    b"x-amzn-requestid: req_bench\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_BEDROCK_PATH: Final = b"post /model/"
_LAST_CHUNK: Final = b"0\r\n\r\n"


def _json_answer(body: bytes) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_bench\r\n"
        "x-ratelimit-remaining-requests: 9999\r\nopenai-processing-ms: 1\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


_ANSWERS: Final = {b"small": _json_answer(SMALL_ANSWER), b"large": _json_answer(LARGE_ANSWER)}


@cache
def _chunks(events: int, *, framed: bool) -> tuple[bytes, ...]:
    """The events as HTTP chunks, the head before the first and the closing chunk after the last."""
    pieces = (stream_frames if framed else stream_events)(events - FRAMING_EVENTS)
    made = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    made[0] = (_FRAMES_HEAD if framed else _STREAM_HEAD) + made[0]
    made[-1] += _LAST_CHUNK
    return tuple(made)


class Upstream:
    """The provider: its address, and its streams in flight by the request's number."""

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        self.requests = 0
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> str:
        """Listen on loopback and return `host:port`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", port, backlog=2048
        )
        host, bound = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{bound}"

    async def stop(self) -> None:
        """Stop listening; open connections end with their clients."""
        if self._server is not None:
            self._server.close()

    def advance(self, number: int) -> None:
        """The client has the last event of stream `number`: send the next."""
        stream = self.streams.get(number)
        if stream is not None:
            stream.send_next()


class Stream:
    """One streamed answer. `sent` holds the moment each event of a paced stream was written."""

    __slots__ = ("_chunks", "_connection", "_next", "_number", "sent")

    def __init__(self, connection: _Connection, number: int, chunks: tuple[bytes, ...]) -> None:
        self._connection = connection
        self._number = number
        self._chunks = chunks
        self._next = 0
        self.sent: list[float] = []

    def send_next(self) -> bool:
        """Write the next event; False when it was the last or the client has gone."""
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            self._connection.upstream.streams.pop(self._number, None)
            return False
        transport.write(self._chunks[self._next])
        self._next += 1
        if self._next == len(self._chunks):
            self._connection.upstream.streams.pop(self._number, None)
            return False
        return True

    def send_paced(self) -> None:
        """Write one event now and the rest on a fixed schedule, which lateness does not shift."""
        now = time.perf_counter()
        self.sent.append(now)
        if self.send_next():
            due = self.sent[0] + self._next * PACE
            asyncio.get_running_loop().call_later(max(0.0, due - now), self.send_paced)


class _Connection(asyncio.Protocol):
    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.transport: asyncio.WriteTransport | None = None
        self._buffer = b""
        self._left = 0
        self._chunked = False
        self._framed = False
        self._wanted: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's, so isinstance would not do.
        self.transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the base's signature)
        self.transport = None

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._left -= len(data)
        elif self._chunked:
            self._buffer = (self._buffer + data)[-len(_LAST_CHUNK) :]
            self._chunked = self._buffer != _LAST_CHUNK
        else:
            self._read_head(self._buffer + data if self._buffer else data)
            if not self._wanted:
                return
        if self._left <= 0 and not self._chunked:
            self._buffer = b""
            wanted, self._wanted = self._wanted, []
            self._answer(wanted)

    def _read_head(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = data
            return
        head = data[: end + 2].lower()
        self._framed = head.startswith(_BEDROCK_PATH)
        mark = b"\r\nx-amzn-bedrock-bench: " if self._framed else b"\r\nx-bench: "
        self._wanted = _field(head, mark).split() or [b"small"]
        length = _field(head, b"\r\ncontent-length: ")
        self._left = int(length or 0) - (len(data) - end - 4)
        if not length and b"\r\ntransfer-encoding: chunked" in head:
            self._left = 0
            self._buffer = data[-len(_LAST_CHUNK) :]
            self._chunked = self._buffer != _LAST_CHUNK

    def _answer(self, wanted: list[bytes]) -> None:
        self.upstream.requests += 1
        whole = _ANSWERS.get(wanted[0])
        if self.transport is None:
            return
        if whole is not None:
            self.transport.write(whole)
            return
        chunks = _chunks(int(wanted[1]), framed=self._framed)
        if wanted[0] == b"burst":
            self.transport.writelines(chunks)
        else:
            number = int(wanted[2])
            stream = Stream(self, number, chunks)
            self.upstream.streams[number] = stream
            if wanted[0] == b"paced":
                stream.send_paced()
            else:
                stream.send_next()


def _field(head: bytes, name: bytes) -> bytes:
    start = head.find(name)
    if start < 0:
        return b""
    start += len(name)
    return head[start : head.find(b"\r\n", start)]


async def _serve(port: int) -> None:
    upstream = Upstream()
    print(f"http://{await upstream.start(port)}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Run alone, for trials by hand: `python -m benchmarks.upstream [PORT]`."""
    import sys  # noqa: PLC0415

    from benchmarks.machine import run  # noqa: PLC0415

    run(_serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))


if __name__ == "__main__":
    main()
