"""Listening: aiohttp's HTTP server, set up so that nothing of a request is changed or told."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from aiohttp import web

from aigw.errors import DaemonError
from aigw.gateway.errors import error_response
from aigw.gateway.http1 import HEADER_COUNT, HEADER_LIMIT
from aigw.providers.provider import ErrorShape

if TYPE_CHECKING:
    from aigw.option_values import Address

_log = logging.getLogger("aigw.gateway")

BACKLOG = 1024
"""Connections that may wait to be accepted: a thousand clients may well come at once."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Connection(web.RequestHandler):
    """One client connection. Its answer to what is not HTTP quotes none of it."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be read.

        aiohttp's own method logs and sends the offending line, which may hold a credential.
        """
        del message
        _log.info("a request was refused with %d: %s", status, type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun: it cannot become another one")
        response = error_response(
            ErrorShape.OPENAI,
            status,
            "bad_request" if status < 500 else "gateway_error",  # noqa: PLR2004
            "the request is not valid HTTP, or a header of it is too long",
        )
        response.force_close()
        return response


class _Server(web.Server):
    """Makes our connections."""

    def __call__(self) -> web.RequestHandler:
        """The protocol of a new connection."""
        return _Connection(self, loop=self._loop, **self._kwargs)


@contextlib.asynccontextmanager
async def listen(
    handler: Handler, address: Address, shutdown: timedelta, flag: str
) -> AsyncIterator[str]:
    """Listen on an address; yields it with the port that was really taken.

    At the end no connection is accepted any more, and answers in flight get `shutdown`. `flag` is
    the option to name when the address cannot be had.

    Raises:
        DaemonError: it cannot be listened on.
    """
    server = _Server(
        handler,
        handler_cancellation=True,
        auto_decompress=False,
        access_log=None,
        max_line_size=HEADER_LIMIT,
        max_field_size=HEADER_LIMIT,
        max_headers=HEADER_COUNT,
    )
    runner = web.ServerRunner(
        server, handle_signals=False, shutdown_timeout=shutdown.total_seconds()
    )
    await runner.setup()
    site = web.TCPSite(runner, address.host, address.port, backlog=BACKLOG)
    try:
        try:
            await site.start()
        except OSError as error:
            # asyncio puts the address and its own words around the system's.
            why = os.strerror(error.errno) if error.errno else str(error)
            raise DaemonError(
                f"cannot listen on {address}: {why}. Stop what uses the port, or name another "
                f"address with {flag}."
            ) from error
        port = runner.addresses[0][1]
        host = f"[{address.host}]" if ":" in address.host else address.host
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()
