"""Asking the provider: one client session, proxies from the environment, faults as UpstreamError."""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import truststore
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

from aigw.errors import UpstreamError

LARGE_BODY = 256 * 1024
"""Bodies above this are written in pieces, so that one upload neither blocks the loop nor is
copied into the socket buffer whole."""

HEADER_LIMIT = 128 * 1024
"""The longest header line accepted from providers and clients. aiohttp's own 8 KiB is less than
some agents send; nginx and node allow 8 to 32 KiB in practice, a gateway must not be the tightest."""

READ_BUFFER = 256 * 1024
"""How far an answer may be read ahead of a slow client, times two: enough to keep the connection
busy, small enough for a thousand slow clients."""

KEEPALIVE_SECONDS = 30.0
"""How long an idle upstream connection is kept: less than the 60 s and more of common servers, so
that it is rarely the server that closes first."""

# Everything aiohttp would add by itself: the provider sees the client's headers only.
_NO_AUTO_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class _Attempt:
    """One try of a request: whether its connection had served another one before."""

    __slots__ = ("reused",)

    def __init__(self) -> None:
        self.reused = False


_attempt: ContextVar[_Attempt] = ContextVar("attempt")


class _Connector(aiohttp.TCPConnector):
    """Notes in the running attempt whether the connection it got is a used one.

    aiohttp's tracing would tell as well, but costs some ten coroutines a request.
    """

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        connection = await super().connect(*args, **kwargs)
        protocol: Any = connection.protocol
        _attempt.get().reused = getattr(protocol, "aigw_used", False)
        protocol.aigw_used = True
        return connection


class Upstream:
    """Sends requests to providers.

    Args:
        connect_timeout: seconds for DNS, TCP and TLS.
        idle_timeout: seconds without a byte from the provider after which the answer has stalled.
    """

    def __init__(self, connect_timeout: float, idle_timeout: float) -> None:
        self.idle_timeout = idle_timeout
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=0,
                ssl=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                keepalive_timeout=KEEPALIVE_SECONDS,
                ttl_dns_cache=60,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_NO_AUTO_HEADERS,
            auto_decompress=False,
            # Reading has its own limit (IdleWatch): aiohttp's sets a timer for every chunk.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout),
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
            read_bufsize=READ_BUFFER,
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
        attempt = _Attempt()
        _attempt.set(attempt)
        try:
            return await self._send(method, url, headers, body)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if not attempt.reused or _answer_had_begun(error) or _never_connected(error):
                raise _translate(url, error) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _translate(url, error) from error
        try:
            return await self._send(method, url, headers, body)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _translate(url, error) from error

    async def _send(
        self, method: str, url: str, headers: CIMultiDict[str], body: bytes
    ) -> aiohttp.ClientResponse:
        target, proxy = _destination(url)
        data: Any = body or None
        if len(body) > LARGE_BODY:
            headers["Content-Length"] = str(len(body))
            data = _pieces(body)
        async with asyncio.timeout(self.idle_timeout or None):
            return await self._session.request(
                method, target, headers=headers, data=data, allow_redirects=False, proxy=proxy
            )

    @staticmethod
    def broken(answer: aiohttp.ClientResponse, error: Exception, *, stalled: bool) -> UpstreamError:
        """The error of an answer that broke off, or `stalled`, after it had begun."""
        return _translate(str(answer.url), TimeoutError() if stalled else error)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


@lru_cache(maxsize=256)  # the few URLs without variable parts; bounded because paths vary
def _destination(url: str) -> tuple[URL, str | None]:
    """The URL as it stands, and its proxy by HTTP(S)_PROXY and NO_PROXY.

    aiohttp's own `trust_env` also reads ~/.netrc and would add credentials from it.
    """
    target = URL(url, encoded=True)
    authority = target.raw_authority
    proxy = None
    if not urllib.request.proxy_bypass(authority):
        proxy = urllib.request.getproxies().get(target.scheme)
    return target, proxy


async def _pieces(body: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(body)
    for start in range(0, len(view), LARGE_BODY):
        yield view[start : start + LARGE_BODY]


def unread(content: aiohttp.StreamReader) -> bytes:
    """What had arrived when reading failed: aiohttp raises the error before it hands that out."""
    try:
        return content._read_nowait(-1)  # noqa: SLF001 (there is no other way to it)
    except Exception:  # noqa: BLE001 (nothing left, or a later aiohttp keeps it elsewhere)
        return b""


def _answer_had_begun(error: Exception) -> bool:
    # aiohttp puts what it parsed of an incomplete answer into the error, and a text otherwise.
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


def _never_connected(error: Exception) -> bool:
    return isinstance(error, aiohttp.ClientConnectorError)


_Words = Callable[[str, Exception], str]

# Most specific first. Each: what was raised, the client's status, the error's kind, the words.
_FAULTS: tuple[tuple[tuple[type[Exception], ...], int, str, _Words], ...] = (
    (
        (aiohttp.ConnectionTimeoutError,),
        504,
        "upstream_timeout",
        lambda host, _: f"no connection to {host} within the connect timeout",
    ),
    (
        (TimeoutError,),
        504,
        "upstream_timeout",
        lambda host, _: f"{host} sent nothing for as long as the idle timeout allows",
    ),
    (
        (aiohttp.ClientConnectorDNSError,),
        502,
        "upstream_unreachable",
        lambda host, _: f"the host name of {host} cannot be resolved",
    ),
    (
        (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError),
        502,
        "upstream_tls",
        lambda host, error: f"TLS with {host} failed: {_cause(error)}",
    ),
    (
        (aiohttp.ClientHttpProxyError, aiohttp.ClientProxyConnectionError),
        502,
        "upstream_proxy",
        lambda host, error: f"the HTTP proxy on the way to {host} failed: {_cause(error)}",
    ),
    (
        (aiohttp.ClientConnectorError,),
        502,
        "upstream_unreachable",
        lambda host, error: f"cannot connect to {host}: {_cause(error)}",
    ),
    (
        (aiohttp.ClientResponseError,),
        502,
        "upstream_invalid",
        lambda host, _: f"{host} sent something that is not a valid HTTP answer",
    ),
    (
        (Exception,),
        502,
        "upstream_disconnected",
        lambda host, _: f"{host} closed the connection early",
    ),
)


def _translate(url: str, error: Exception) -> UpstreamError:
    host = urlsplit(url).netloc
    for kinds, status, kind, words in _FAULTS:
        if isinstance(error, kinds):
            return UpstreamError(status, kind, words(host, error))
    raise AssertionError


def _cause(error: Exception) -> str:
    """The system's words, without URLs, which may hold a proxy's password."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"it answered {error.status}"
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return getattr(inner, "strerror", None) or type(inner).__name__
