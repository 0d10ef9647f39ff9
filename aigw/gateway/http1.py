"""HTTP/1.1 to a provider over aiohttp's connections, parser and pool, without its client session.

The session's work per request (header merging, cookies, redirects, tracing, a task to write, the
response object) takes longer than everything else the gateway does for a small request, and is of
no use to a relay. What remains is ours: the head, written byte for byte as the client sent it, and
the body behind it. Connections, TLS, proxies and parsing stay aiohttp's.
"""

from __future__ import annotations

import asyncio
import base64
import urllib.request
from functools import lru_cache, partial
from typing import Any

import aiohttp
from aiohttp import ClientRequest, StreamReader, hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from aigw.tasks import spawn

WRITTEN_AT_ONCE = 256 * 1024
"""Bodies up to this size are handed to the transport whole; longer ones in pieces of it, as the
provider takes them, so that many large uploads do not all sit in memory twice."""

HEADER_LIMIT = 128 * 1024
"""The longest header line accepted from providers and clients. aiohttp's own 8 KiB is less than
some agents send; nginx and node allow 8 to 32 KiB in practice, a gateway must not be the tightest."""

HEADER_COUNT = 512
"""The most header lines: four times aiohttp's own bound, for proxies that add their own."""

READ_BUFFER = 256 * 1024
"""How far an answer may be read ahead of a slow client, times two: enough to keep the connection
busy, small enough for a thousand slow clients."""

INTERIM_ANSWERS = 16
"""Answers of class 1xx that may come before the real one. A hundred and one of them are no help to
anybody, and each would be parsed and thrown away while everybody else waits."""

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_SWITCHING_PROTOCOLS = 101
_FINAL = 200


class InvalidAnswerError(aiohttp.ClientError):
    """The provider sent something that is not HTTP."""


class UpstreamProtocol(ResponseHandler):
    """aiohttp's side of a connection, which also knows whether the provider has said anything.

    `heard` is false from the moment a connection is free until the first byte after that. On an
    idle connection such a byte belongs to no request; on a busy one it forbids to ask again.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.heard = False
        self.reused = False

    def data_received(self, data: bytes) -> None:
        """Bytes from the provider; none when aiohttp's parser is to go on with those it has."""
        if data:
            self.heard = True
        ResponseHandler.data_received(self, data)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading, if that was paused: aiohttp calls this for every piece that was read.

        Its own method then has the parser look for bytes that a pause left there, each time.
        """
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    @property
    def is_clean(self) -> bool:
        """Whether a request may be sent on it: nothing has come that answers none."""
        return not (self.heard or self.should_close)


class Connector(aiohttp.TCPConnector):
    """aiohttp's pool, of our connections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(UpstreamProtocol, loop=self._loop)  # type: ignore[assignment]


class Route:
    """How to reach one origin: the pool's key, the proxy, and what of the head depends on them."""

    __slots__ = ("absolute", "connecting", "host", "proxy_authorization")

    def __init__(self, url: URL, proxy: URL | None) -> None:
        authorization = None
        if proxy is not None and proxy.user is not None:
            pair = f"{proxy.user}:{proxy.password or ''}".encode()
            authorization = "Basic " + base64.b64encode(pair).decode()
            proxy = proxy.with_user(None)
        headers = {hdrs.PROXY_AUTHORIZATION: authorization} if authorization else None
        self.host = url.raw_authority
        # Connecting asks a request object for the pool's key, the address and the proxy.
        self.connecting = ClientRequest(
            "GET",
            url.origin(),
            proxy=proxy,
            proxy_headers=headers if url.scheme == "https" else None,
        )
        # An HTTP proxy on the way to an http:// origin gets the whole URL (RFC 9112, 3.2.2).
        self.absolute = f"{url.scheme}://{self.host}" if proxy and url.scheme == "http" else ""
        self.proxy_authorization = authorization if self.absolute else None


@lru_cache(maxsize=256)  # one per configured provider; bounded as everything is
def route_to(origin: str) -> Route:
    """The route to an origin (`scheme://host:port`), by HTTP(S)_PROXY and NO_PROXY.

    aiohttp's own `trust_env` also reads ~/.netrc and would add credentials from it.
    """
    url = URL(origin, encoded=True)
    proxy = None
    if not urllib.request.proxy_bypass(url.raw_authority):
        proxy = urllib.request.getproxies().get(url.scheme)
    return Route(url, URL(proxy) if proxy else None)


class UpstreamAnswer:
    """A provider's answer: its head, and its body to be read from `content`.

    The connection goes back to the pool by itself at the end of the body; `close` drops it when
    that has not come.
    """

    __slots__ = ("_connection", "_writing", "content", "headers", "host", "reason", "status")

    def __init__(
        self,
        message: Any,
        content: StreamReader,
        connection: Connection,
        host: str,
        writing: asyncio.Task[None] | None,
    ) -> None:
        self.status: int = message.code
        self.reason: str = message.reason
        self.headers: CIMultiDictProxy[str] = message.headers
        self.content = content
        self.host = host
        self._connection: Connection | None = connection
        self._writing = writing
        content.on_eof(self._end)

    @property
    def content_length(self) -> int | None:
        """What the head says of the body's length."""
        value = self.headers.get(hdrs.CONTENT_LENGTH)
        return int(value) if value is not None and value.isdecimal() else None

    async def peek(self, limit: int, seconds: float) -> bytes:
        """The whole body, which stays to be read; nothing of it may have been read before.

        Empty when it is longer than `limit`, not whole within `seconds`, or breaks off: whoever
        reads it then will see.
        """
        content = self.content
        if (self.content_length or 0) > limit or content.exception() is not None:
            return b""
        try:
            async with asyncio.timeout(seconds):
                await content.wait_eof()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return b""
        if content.total_bytes > limit:
            return b""
        # Taking it out and putting it back is what aiohttp is about to remove; an empty body's
        # reader has no buffer at all.
        return b"".join(getattr(content, "_buffer", ()))

    def close(self) -> None:
        """Drop the connection if the answer is not at its end; whoever reads gets an error."""
        if self._connection is None:
            return
        if not self.content.is_eof():
            self.content.set_exception(aiohttp.ClientConnectionError("the answer was closed"))
        connection, self._connection = self._connection, None
        self._stop_writing()
        connection.close()

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        protocol: Any = connection.protocol
        if protocol is not None:
            protocol.heard = False
            protocol.reused = True
        if self._stop_writing():
            # The answer came before the whole request was sent: the rest would be taken for another.
            connection.close()
        else:
            connection.release()

    def _stop_writing(self) -> bool:
        return self._writing is not None and self._writing.cancel()


class Delivery:
    """Where a request is: whether its provider has all of it, and has not answered."""

    __slots__ = ("_is_sent", "_writing")

    def __init__(self) -> None:
        self._is_sent = False
        self._writing: asyncio.Task[None] | None = None

    @property
    def is_unanswered(self) -> bool:
        """Whether the provider may be at work on it: no answer has begun, and nothing has failed."""
        return self._is_sent and (self._writing is None or self._writing.done())

    def sent(self, writing: asyncio.Task[None] | None) -> None:
        """It is on its way; a long body when `writing` is done."""
        self._is_sent = True
        self._writing = writing

    def over(self) -> None:
        """An answer has begun, or there will be none."""
        self._is_sent = False
        self._writing = None


def head_bytes(
    method: str, target: str, route: Route, headers: CIMultiDict[str], length: int | None
) -> bytes:
    """The request's head. `target` is the path with its query, as it goes on the wire.

    Raises:
        ValueError: a name or value holds a line break.
    """
    lines = [f"{method} {route.absolute}{target} HTTP/1.1", f"Host: {route.host}"]
    lines += map(": ".join, headers.items())
    if route.proxy_authorization:
        lines.append(f"Proxy-Authorization: {route.proxy_authorization}")
    if length is not None:
        lines.append(f"Content-Length: {length}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or "\0" in head:
        raise ValueError("a header holds a line break or a NUL")
    # Bytes that are not UTF-8 came in as lone surrogates and go out as what they were.
    return (head + "\r\n\r\n").encode("utf-8", "surrogateescape")


async def exchange(
    connection: Connection,
    method: str,
    target: str,
    route: Route,
    headers: CIMultiDict[str],
    body: bytes,
    delivery: Delivery | None = None,
) -> UpstreamAnswer:
    """Send a request on a connection and wait for the head of the answer.

    The connection is the answer's afterwards; when anything is raised it is closed. A cancellation
    leaves `delivery` as it is.

    Raises:
        aiohttp.ClientError, OSError, ValueError: as `gateway.faults` knows them.
    """
    writing: asyncio.Task[None] | None = None
    delivery = delivery or Delivery()
    try:
        protocol: Any = connection.protocol
        length = len(body) if body or method in _WITH_BODY else None
        head = head_bytes(method, target, route, headers, length)
        protocol.set_response_params(
            skip_payload=method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=READ_BUFFER,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
            max_headers=HEADER_COUNT,
        )
        transport = _open_transport(protocol)
        if len(body) <= WRITTEN_AT_ONCE:
            transport.writelines((head, body) if body else (head,))
        else:
            transport.write(head)
            writing = spawn("upload", _write(protocol, body))
        delivery.sent(writing)
        message, content = await _final_answer(protocol)
        delivery.over()
        return UpstreamAnswer(message, content, connection, route.host, writing)
    except BaseException as error:
        if writing is not None:
            writing.cancel()
        connection.close()
        if isinstance(error, Exception):
            delivery.over()
        if isinstance(error, HttpProcessingError):
            raise InvalidAnswerError from error
        raise


async def _final_answer(protocol: Any) -> tuple[Any, StreamReader]:
    """The head of the answer proper, after those of class 1xx."""
    for _ in range(INTERIM_ANSWERS + 1):
        message, content = await protocol.read()
        if message.code >= _FINAL:
            return message, content
        if message.code == _SWITCHING_PROTOCOLS:
            break
    # Nobody asked for another protocol, and a real answer is not to be expected any more.
    raise InvalidAnswerError


def _open_transport(protocol: Any) -> Any:
    transport = protocol.transport
    if transport is None or transport.is_closing():
        raise aiohttp.ServerDisconnectedError
    return transport


async def _write(protocol: Any, body: bytes) -> None:
    """Write a long body as the provider takes it."""
    view = memoryview(body)
    try:
        for start in range(0, len(view), WRITTEN_AT_ONCE):
            if protocol.transport is None:
                return
            protocol.transport.write(view[start : start + WRITTEN_AT_ONCE])
            await protocol._drain_helper()  # noqa: SLF001 (what aiohttp's own writer awaits)
    except (aiohttp.ClientError, OSError):
        # The reading side learns of it, and says so.
        return
