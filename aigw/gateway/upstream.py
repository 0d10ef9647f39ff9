"""Asking the provider: one client session, proxies from the environment, faults as UpstreamError."""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import truststore
from multidict import CIMultiDict
from yarl import URL

from aigw.errors import UpstreamError

LARGE_BODY = 256 * 1024
"""Bodies above this are written in pieces, so that one upload neither blocks the loop nor is
copied into the socket buffer whole."""

HEADER_LIMIT = 128 * 1024
"""The longest header line accepted from providers and clients. aiohttp's own 8 KiB is less than
some agents send; nginx and node allow 8 to 32 KiB in practice, a gateway must not be the tightest."""

KEEPALIVE_SECONDS = 30.0
"""How long an idle upstream connection is kept: less than the 60 s and more of common servers, so
that it is rarely the server that closes first."""

# Everything aiohttp would add by itself: the provider sees the client's headers only.
_NO_AUTO_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Upstream:
    """Sends requests to providers.

    Args:
        connect_timeout: seconds for DNS, TCP and TLS.
        idle_timeout: seconds without a byte from the provider after which the answer has stalled.
    """

    def __init__(self, connect_timeout: float, idle_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        self._proxies: dict[str, str | None] = {}
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                ssl=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                keepalive_timeout=KEEPALIVE_SECONDS,
                ttl_dns_cache=60,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_NO_AUTO_HEADERS,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=connect_timeout, sock_read=idle_timeout
            ),
            trace_configs=[trace],
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
            read_bufsize=128 * 1024,
        )

    async def send(
        self, method: str, url: str, headers: CIMultiDict[str], body: bytes
    ) -> aiohttp.ClientResponse:
        """Send a request and return as soon as the answer's headers are here.

        A request whose reused connection turns out to have been closed before any byte of an
        answer is sent once more on a new one: servers close idle connections at any moment.

        Raises:
            UpstreamError: there is no answer; its message names the host but no secret.
        """
        note = SimpleNamespace(reused=False)
        try:
            return await self._send(method, url, headers, body, note)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if not note.reused or _answer_had_begun(error) or _never_connected(error):
                raise _translate(url, error, self._connect_timeout, self._idle_timeout) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _translate(url, error, self._connect_timeout, self._idle_timeout) from error
        try:
            return await self._send(method, url, headers, body, note)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _translate(url, error, self._connect_timeout, self._idle_timeout) from error

    async def _send(
        self, method: str, url: str, headers: CIMultiDict[str], body: bytes, note: SimpleNamespace
    ) -> aiohttp.ClientResponse:
        data: Any = body or None
        if len(body) > LARGE_BODY:
            headers["Content-Length"] = str(len(body))
            data = _pieces(body)
        return await self._session.request(
            method,
            URL(url, encoded=True),
            headers=headers,
            data=data,
            allow_redirects=False,
            proxy=self._proxy(url),
            trace_request_ctx=note,
        )

    def _proxy(self, url: str) -> str | None:
        """The proxy for a URL, by HTTP(S)_PROXY and NO_PROXY, looked up once per origin.

        aiohttp's own `trust_env` also reads ~/.netrc and would add credentials from it.
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._proxies:
            proxy = urllib.request.getproxies().get(parts.scheme)
            bypass = urllib.request.proxy_bypass(parts.netloc)
            self._proxies[origin] = None if bypass else proxy
        return self._proxies[origin]

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


async def _note_reuse(_session: object, context: Any, _params: object) -> None:
    context.trace_request_ctx.reused = True


async def _pieces(body: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(body)
    for start in range(0, len(view), LARGE_BODY):
        yield view[start : start + LARGE_BODY]


def _answer_had_begun(error: Exception) -> bool:
    # aiohttp puts what it parsed of an incomplete answer into the error, and a text otherwise.
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


def _never_connected(error: Exception) -> bool:
    return isinstance(error, aiohttp.ClientConnectorError)


def broken_answer(url: str, error: Exception, idle_timeout: float) -> UpstreamError:
    """The error of an answer that broke off or stalled after it had begun."""
    return _translate(url, error, 0.0, idle_timeout)


def _translate(
    url: str, error: Exception, connect_timeout: float, idle_timeout: float
) -> UpstreamError:
    host = urlsplit(url).netloc
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamError(
            504, "upstream_timeout", f"no connection to {host} within {connect_timeout:g} seconds"
        )
    if isinstance(error, asyncio.TimeoutError):
        return UpstreamError(
            504, "upstream_timeout", f"{host} sent nothing for {idle_timeout:g} seconds"
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return UpstreamError(
            502, "upstream_unreachable", f"the host name of {host} cannot be resolved"
        )
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return UpstreamError(502, "upstream_tls", f"TLS with {host} failed: {_cause(error)}")
    if isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return UpstreamError(
            502, "upstream_proxy", f"the HTTP proxy on the way to {host} failed: {_cause(error)}"
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamError(502, "upstream_unreachable", f"cannot connect to {host}: {_cause(error)}")
    if isinstance(error, aiohttp.ClientResponseError):
        return UpstreamError(
            502, "upstream_invalid", f"{host} sent something that is not a valid HTTP answer"
        )
    return UpstreamError(502, "upstream_disconnected", f"{host} closed the connection early")


def _cause(error: Exception) -> str:
    """The system's words, without URLs, which may hold a proxy's password."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"it answered {error.status}"
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return getattr(inner, "strerror", None) or type(inner).__name__
