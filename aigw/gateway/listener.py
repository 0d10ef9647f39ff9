"""Listening: aiohttp's HTTP server, set up so that nothing of a request is changed or told."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from aigw.errors import DaemonError
from aigw.gateway.errors import error_response
from aigw.gateway.http1 import HEADER_COUNT, HEADER_LIMIT
from aigw.option_values import Address
from aigw.providers.provider import ErrorShape

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


CLOSING_SECONDS = 1.0
"""How long connections have to close after their answers were given up: they have nothing to do."""


class Listener:
    """An address that is listened on.

    Args:
        handler: answers the requests.
        address: where; port 0 takes a free one.
        flag: the option to name when the address cannot be had.
        shutdown: how long answers in flight get at the end.
        give_up: called when they have had it, before those that remain are cancelled.
        tls: speak TLS, with this context.
    """

    def __init__(
        self,
        handler: Handler,
        address: Address,
        flag: str,
        *,
        shutdown: timedelta = timedelta(0),
        give_up: Callable[[], None] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._handler = handler
        self._address = address
        self._flag = flag
        self._shutdown = shutdown
        self._give_up = give_up
        self._tls = tls
        self._running: set[asyncio.Task[Any]] = set()

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[str]:
        """Listen; yields the address as a URL, with the port that was really taken.

        What is not TLS on a listener that speaks it is hung up on.

        Raises:
            DaemonError: it cannot be listened on.
        """
        server = _Server(
            self._handle,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
            max_headers=HEADER_COUNT,
        )
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=CLOSING_SECONDS)
        await runner.setup()
        site = web.TCPSite(
            runner,
            self._address.host,
            self._address.port,
            ssl_context=self._tls,
            backlog=BACKLOG,
        )
        try:
            await self._start(site)
            taken = Address(self._address.host, _port(runner.addresses))
            yield f"{'http' if self._tls is None else 'https'}://{taken}"
            await site.stop()
            server.pre_shutdown()
            await self._let_finish()
        finally:
            await runner.cleanup()

    async def _start(self, site: web.TCPSite) -> None:
        try:
            await site.start()
        except OSError as error:
            # asyncio puts the address and its own words around the system's.
            why = os.strerror(error.errno) if error.errno else str(error)
            raise DaemonError(
                f"cannot listen on {self._address}: {why}. Stop what uses the port, or name another "
                f"address with {self._flag}."
            ) from error

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            return await self._handler(request)
        finally:
            self._running.discard(task)

    async def _let_finish(self) -> None:
        """Wait for the answers in flight, then cancel those that remain.

        aiohttp's own waiting takes its bound twice, and zero for none.
        """
        if not self._running:
            return
        # The tasks are those of connections, which end when told that no request will follow.
        _, late = await asyncio.wait(set(self._running), timeout=self._shutdown.total_seconds())
        late &= self._running
        if late:
            if self._give_up is not None:
                self._give_up()
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=CLOSING_SECONDS)


def _port(addresses: Sequence[tuple[Any, ...]]) -> int:
    """The port taken: that of IPv4, where a name stands for both and port 0 took one of each."""
    found: int = min(addresses, key=len)[1]
    return found


def local_url(url: str) -> str:
    """The URL at which programs on this machine reach a listener.

    >>> local_url("http://0.0.0.0:4001"), local_url("https://[::]:1"), local_url("http://a:1")
    ('http://127.0.0.1:4001', 'https://[::1]:1', 'http://a:1')
    """
    parts = urlsplit(url)
    host = parts.hostname or "0.0.0.0"  # noqa: S104 (read, not bound: no host is every interface)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return url
    if not address.is_unspecified:
        return url
    loopback = "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004
    return f"{parts.scheme}://{Address(loopback, parts.port or 0)}"
