"""What a provider may do to a connection, and what then reaches whom."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from multidict import CIMultiDict

from aigw.errors import UpstreamError
from aigw.gateway.http1 import INTERIM_ANSWERS, UpstreamAnswer
from aigw.gateway.upstream import Upstream
from tests.gateway.client import LONG

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Provider:
    """Answers each request with the next of `answers`, whatever it is, and counts."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests = 0
        self.connections: list[asyncio.StreamWriter] = []
        self.reset_after: set[int] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                number, self.requests = self.requests, self.requests + 1
                writer.write(self.answers[min(number, len(self.answers) - 1)])
                await writer.drain()
                if number in self.reset_after:
                    end = writer.get_extra_info("socket")
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def provider(*answers: bytes) -> AsyncIterator[tuple[Provider, Callable[[], object]]]:
    made = Provider(*answers)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    upstream = Upstream(connect_timeout=5.0, idle_timeout=5.0)

    async def ask() -> UpstreamAnswer:
        return await upstream.send("GET", f"http://127.0.0.1:{port}/v1/models", CIMultiDict(), b"")

    try:
        yield made, ask
    finally:
        await upstream.close()
        for writer in made.connections:
            writer.close()
        server.close()


async def body(ask: Callable[[], object]) -> bytes:
    async with asyncio.timeout(LONG):
        answer: UpstreamAnswer = await ask()  # type: ignore[misc]
        try:
            return await answer.content.read()
        finally:
            answer.close()


async def test_connections_are_kept() -> None:
    async with provider(OK) as (made, ask):
        for _ in range(3):
            assert await body(ask) == b"ok"
        assert (made.requests, len(made.connections)) == (3, 1)


async def test_an_answer_nobody_asked_for_is_given_to_nobody() -> None:
    mine = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine"
    async with provider(OK, mine, mine) as (made, ask):
        assert await body(ask) == b"ok"
        made.connections[0].write(b"HTTP/1.1 408 Timeout\r\nContent-Length: 6\r\n\r\npoison")
        await made.connections[0].drain()
        # On loopback what was written has arrived; the loop has to take it from the socket.
        for _ in range(5):
            await asyncio.sleep(0.01)
        assert await body(ask) == b"mine"
        assert await body(ask) == b"mine"
        assert len(made.connections) == 2


async def test_an_answer_that_follows_another_at_once_is_given_to_nobody() -> None:
    async with provider(OK + OK.replace(b"ok", b"no"), OK) as (made, ask):
        assert await body(ask) == b"ok"
        assert await body(ask) == b"ok"
        assert len(made.connections) == 2


@pytest.mark.parametrize(
    "begun",
    [b"HTTP/1.1 200 OK\r\nContent-Ty", b"HTTP/1.1 103 Early Hints\r\n\r\n", b"H"],
    ids=["part of a head", "an interim answer", "one byte"],
)
async def test_no_second_try_once_the_provider_has_said_anything(begun: bytes) -> None:
    async with provider(OK, begun) as (made, ask):
        made.reset_after = {1}
        assert await body(ask) == b"ok"
        with pytest.raises(UpstreamError) as caught:
            await body(ask)
        assert caught.value.status == 502
        assert made.requests == 2


async def test_a_second_try_when_a_kept_connection_was_reset_in_silence() -> None:
    async with provider(OK, b"", OK) as (made, ask):
        made.reset_after = {1}
        assert await body(ask) == b"ok"
        assert await body(ask) == b"ok"
        assert (made.requests, len(made.connections)) == (3, 2)


async def test_some_interim_answers_are_passed_over() -> None:
    async with provider(b"HTTP/1.1 103 Early Hints\r\n\r\n" * INTERIM_ANSWERS + OK) as (_, ask):
        assert await body(ask) == b"ok"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 + OK,
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"what?\r\n\r\n",
    ],
    ids=["a flood", "another protocol", "not HTTP"],
)
async def test_what_is_no_answer(answer: bytes) -> None:
    async with provider(answer) as (_, ask):
        with pytest.raises(UpstreamError) as caught:
            await body(ask)
        assert (caught.value.status, caught.value.kind) == (502, "upstream_invalid")


def whole(text: bytes) -> bytes:
    return b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


@pytest.mark.parametrize(
    ("answer", "seen", "read"),
    [
        (whole(b"a body"), b"a body", b"a body"),
        (whole(b"x" * 64), b"x" * 64, b"x" * 64),
        (whole(b"x" * 65), b"", b"x" * 65),
        (whole(b""), b"", b""),
        (
            b"HTTP/1.1 403 F\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            b"abc",
            b"abc",
        ),
        (
            b"HTTP/1.1 403 F\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n%b\r\n0\r\n\r\n" % (b"x" * 65),
            b"",
            b"x" * 65,
        ),
    ],
    ids=["short", "at the limit", "over it", "empty", "chunked", "chunked over it"],
)  # fmt: skip
async def test_a_body_that_was_looked_at_is_still_to_be_read(
    answer: bytes, seen: bytes, read: bytes
) -> None:
    async with provider(answer, OK) as (made, ask), asyncio.timeout(LONG):
        got: UpstreamAnswer = await ask()  # type: ignore[misc]
        assert await got.peek(64, 5.0) == seen
        assert await got.content.read() == read
        assert await body(ask) == b"ok"
        assert len(made.connections) == 1


async def test_looking_at_a_body_that_stalls_or_breaks_off() -> None:
    begun = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nbeg"
    async with provider(begun) as (made, ask), asyncio.timeout(LONG):
        got: UpstreamAnswer = await ask()  # type: ignore[misc]
        assert await got.peek(64, 0.01) == b""
        made.connections[0].write(b"un, ok")
        assert await got.content.read() == b"begun, ok"
        got = await ask()  # type: ignore[misc]
        made.connections[0].close()
        assert await got.peek(64, 5.0) == b""
        assert await got.peek(64, 5.0) == b""
        with pytest.raises(aiohttp.ClientError):
            await got.content.read()
        got.close()
