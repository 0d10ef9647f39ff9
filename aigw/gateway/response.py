"""Answering a client with exactly what a provider sent, and cutting the answer short when it was."""

from __future__ import annotations

import socket
import struct

from aiohttp import hdrs, web
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


class WholeResponse(RelayedResponse):
    """One whose body is there already: head and body leave in one write."""

    _send_headers_immediately = False


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
