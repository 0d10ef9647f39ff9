"""A client on the gateway's own event loop that sees bytes as they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from aigw.tasks import spawn

LONG = 20.0
"""Seconds for what must happen, on a machine with a lot to do."""

QUIET = 0.15
"""Seconds in which what must not happen would have happened."""

Headers = list[tuple[str, str]]


class Client:
    """One connection; `received` grows by itself."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.received = b""
        self.closed = False
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._task = spawn("client", self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(65536):
                self.received += data
                self._changed.set()
        except ConnectionError:
            pass
        self.closed = True
        self._changed.set()

    async def send(
        self, method: str, target: str, body: bytes | None = None, headers: Headers | None = None
    ) -> None:
        """Send a request."""
        lines = [f"{method} {target} HTTP/1.1"]
        given = headers or []
        if "host" not in {name.lower() for name, _ in given}:
            lines.append(f"Host: 127.0.0.1:{self.port}")
        lines += [f"{name}: {value}" for name, value in given]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b""))
        await self._writer.drain()

    async def leave(self) -> None:
        """End the connection as a client does that was killed."""
        transport = self._writer.transport
        transport.abort()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something about what was received."""
        async with asyncio.timeout(LONG):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def answer(self) -> Self:
        """Wait until the answer is whole or the connection over."""
        await self.until(lambda: self.complete or self.closed)
        return self

    @property
    def head(self) -> bytes:
        """Status line and headers, as far as they are there."""
        return self.received.partition(b"\r\n\r\n")[0]

    @property
    def status(self) -> int:
        """The status; 0 when there is none yet."""
        return int(self.head.split(b" ")[1]) if self.head else 0

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None

    @property
    def body(self) -> bytes:
        """As much of the body as is there, without chunk framing."""
        return self._parsed()[0]

    @property
    def complete(self) -> bool:
        """Whether the framing says that nothing more comes."""
        return self._parsed()[1]

    def _parsed(self) -> tuple[bytes, bool]:
        _, mark, rest = self.received.partition(b"\r\n\r\n")
        if not mark:
            return b"", False
        if (self.header("Transfer-Encoding") or "").lower() == "chunked":
            return _without_chunks(rest)
        length = self.header("Content-Length")
        if length is not None:
            return rest, len(rest) >= int(length)
        return rest, self.closed or self.status in {204, 304}


def _without_chunks(rest: bytes) -> tuple[bytes, bool]:
    body = b""
    while True:
        line, mark, rest = rest.partition(b"\r\n")
        if not mark:
            return body, False
        size = int(line, 16)
        if size == 0:
            return body, rest.startswith(b"\r\n")
        body += rest[:size]
        if len(rest) < size + 2:
            return body, False
        rest = rest[size + 2 :]
