"""Answering a client with exactly what a provider sent, and cutting the answer short when it was."""

from __future__ import annotations

import socket
import struct
from typing import Any

from aiohttp import ClientConnectionResetError, hdrs, web
from aiohttp.http_writer import _serialize_headers
from multidict import CIMultiDict


class RelayedResponse(web.StreamResponse):
    """A streamed response that adds nothing to the provider's headers but framing."""

    def __init__(self, status: int, reason: str | None, headers: CIMultiDict[str]) -> None:
        super().__init__(status=status, reason=reason, headers=headers)

    async def _prepare_headers(self) -> None:
        # aiohttp fills in Content-Type, Date and Server where they are absent; absent they stay.
        headers = self.headers
        absent = [
            name for name in (hdrs.CONTENT_TYPE, hdrs.DATE, hdrs.SERVER) if name not in headers
        ]
        await super()._prepare_headers()
        for name in absent:
            headers.popall(name, None)

    def send(self, data: bytes) -> bool:
        """Write a piece of a body whose length is not known, at once; True: await `drained` then.

        `write` does the same through four functions, for each event of a stream.

        Raises:
            ConnectionError: the client has closed the connection.
        """
        if not data:
            # As a chunk it would be the one that ends the body.
            return False
        writer: Any = self._payload_writer
        protocol = writer.protocol
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("the client has closed the connection")
        if writer.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        writer.output_size += len(data)
        transport.write(data)
        return protocol._paused  # type: ignore[no-any-return]  # noqa: SLF001 (as its writer does)

    async def drained(self) -> None:
        """Wait until the client has taken some of what was sent."""
        writer: Any = self._payload_writer
        await writer.drain()


class WholeResponse(RelayedResponse):
    """One whose body is there already: head and body leave in one write."""

    _send_headers_immediately = False

    async def send_whole(self, request: web.BaseRequest, body: bytes) -> None:
        """Answer with the head and this body.

        Raises:
            ConnectionError: the client has closed the connection.
        """
        if self._needs_framing(request):
            await self.prepare(request)
            await self.write_eof(body)
            return
        # What aiohttp does then in a dozen steps: nothing of the head is to be changed.
        writer: Any = request.writer
        head = _serialize_headers(f"HTTP/1.1 {self.status} {self.reason}", self.headers)
        writer._writelines((head, body))  # noqa: SLF001 (one write, of which its owner knows)
        self._keep_alive = True
        self._eof_sent = True
        await writer.drain()

    def _needs_framing(self, request: web.BaseRequest) -> bool:
        """Whether the head lacks what tells the body's end, or what becomes of the connection."""
        return (
            hdrs.CONTENT_LENGTH not in self.headers
            or self.status in _EMPTY
            or request.version != _USUAL
            or not request.keep_alive
        )


_EMPTY = frozenset({204, 304})
_USUAL = (1, 1)


def cut(request: web.BaseRequest) -> None:
    """End the connection without the mark of a complete body, so that no truncation looks whole.

    A close is enough where the body is framed by length or chunks; an HTTP/1.0 client takes the
    close itself for the end, and gets a reset.
    """
    transport = request.transport
    if transport is None:
        return
    if request.version < (1, 1):
        connection = transport.get_extra_info("socket")
        if connection is not None:
            # A close with nothing to linger for is a reset (POSIX, SO_LINGER).
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
