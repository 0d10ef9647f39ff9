"""Asking the provider: a pool of connections, one careful retry, faults as UpstreamError."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import truststore
from aiohttp.connector import Connection
from multidict import CIMultiDict

from aigw.errors import UpstreamError
from aigw.gateway.faults import upstream_error
from aigw.gateway.http1 import Connector, Delivery, Route, UpstreamAnswer, exchange, route_to
from aigw.gateway.idle import Deadline

KEEPALIVE_SECONDS = 30.0
"""How long an idle upstream connection is kept: less than the 60 s and more of common servers, so
that it is rarely the server that closes first."""

_FAULTS = (aiohttp.ClientError, OSError, ValueError)


class Upstream:
    """Sends requests to providers.

    Args:
        connect_timeout: seconds for DNS, TCP and TLS.
        idle_timeout: seconds without a byte from the provider after which the answer has stalled.
    """

    def __init__(self, connect_timeout: float, idle_timeout: float) -> None:
        self.idle_timeout = idle_timeout
        self.abandoned = False
        """Whether a stop has waited long enough and gives up the answers still in flight."""
        # Reading has its own limit (IdleWatch): aiohttp's sets a timer for every chunk.
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout)
        self._connector = Connector(
            limit=0,
            ssl=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            keepalive_timeout=KEEPALIVE_SECONDS,
            ttl_dns_cache=60,
        )

    async def send(
        self,
        method: str,
        url: str,
        headers: CIMultiDict[str],
        body: bytes,
        delivery: Delivery | None = None,
    ) -> UpstreamAnswer:
        """Send a request and return as soon as the answer's head is here.

        A request whose reused connection turns out to have been closed before any byte of an
        answer is sent once more on a new one: servers close idle connections at any moment.
        `delivery` tells, should this be cancelled, whether the provider has the request.

        Raises:
            UpstreamError: there is no answer; its message names the host but no secret.
        """
        origin, target = _split(url)
        route = route_to(origin)
        try:
            with Deadline(self.idle_timeout):
                connection = await self._connect(route)
                protocol: Any = connection.protocol
                reused = protocol.reused
                try:
                    return await exchange(
                        connection, method, target, route, headers, body, delivery
                    )
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                    if not reused or protocol.heard:
                        raise
                connection = await self._connect(route, fresh=True)
                return await exchange(connection, method, target, route, headers, body, delivery)
        except _FAULTS as error:
            raise upstream_error(urlsplit(url).netloc, error) from error

    async def _connect(self, route: Route, *, fresh: bool = False) -> Connection:
        while True:
            try:
                connection = await self._connector.connect(route.connecting, [], self._timeout)
            except TimeoutError as error:
                raise aiohttp.ConnectionTimeoutError from error
            protocol: Any = connection.protocol
            # Where the server has closed one idle connection, others of its age are no better; and
            # one on which something came unasked would give it out as the next request's answer.
            if protocol.is_clean and not (fresh and protocol.reused):
                return connection
            connection.close()

    @staticmethod
    def broken(answer: UpstreamAnswer, error: Exception, *, stalled: bool) -> UpstreamError:
        """The error of an answer that broke off, or `stalled`, after it had begun."""
        return upstream_error(answer.host, TimeoutError() if stalled else error)

    def abandon(self) -> None:
        """From now on a cancelled exchange was ended by us, not by its client."""
        self.abandoned = True

    async def close(self) -> None:
        """Close all connections."""
        await self._connector.close()


def _split(url: str) -> tuple[str, str]:
    """A URL as origin and target; what is behind the authority goes on the wire as it stands."""
    scheme, _, rest = url.partition("://")
    authority, slash, target = rest.partition("/")
    return f"{scheme}://{authority}", (slash + target) or "/"


def unread(content: aiohttp.StreamReader) -> bytes:
    """What had arrived when reading failed: aiohttp raises the error before it hands that out."""
    try:
        return content._read_nowait(-1)  # noqa: SLF001 (there is no other way to it)
    except Exception:  # noqa: BLE001 (nothing is left, or a later aiohttp keeps it elsewhere)
        return b""
