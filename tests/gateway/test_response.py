from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from multidict import CIMultiDict

from aigw.gateway.response import RelayedResponse
from tests.gateway.client import LONG

PIECE = b"x" * 16_384
EVENTS = {"Content-Type": "text/event-stream"}
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """The port on which a handler answers."""
    server = await asyncio.get_running_loop().create_server(web.Server(handler), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ask(port: int, version: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET / HTTP/{version}\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
    return reader, writer


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_client_that_does_not_read_is_waited_for(version: str) -> None:
    full = asyncio.Event()
    sent = 0

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        response = RelayedResponse(200, "OK", CIMultiDict(EVENTS))
        await response.prepare(request)
        is_full = False
        while not is_full:
            is_full = response.send(PIECE)
            sent += 1
            # The transport writes between two turns of the loop.
            await asyncio.sleep(0)
        full.set()
        await response.drained()
        await response.write_eof()
        return response

    async with serving(handle) as port, asyncio.timeout(LONG):
        reader, writer = await ask(port, version)
        await full.wait()
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert head.startswith(b"HTTP/" + version.encode())
    if version == "1.1":
        assert b"Transfer-Encoding: chunked" in head
        assert body == b"4000\r\n%b\r\n" % PIECE * sent + b"0\r\n\r\n"
    else:
        assert body == PIECE * sent


async def test_an_empty_piece_does_not_end_the_body() -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        response = RelayedResponse(200, "OK", CIMultiDict(EVENTS))
        await response.prepare(request)
        assert not response.send(b"one")
        assert not response.send(b"")
        assert not response.send(b"two")
        await response.write_eof()
        return response

    async with serving(handle) as port, asyncio.timeout(LONG):
        reader, writer = await ask(port, "1.1")
        _, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_a_client_that_has_left_is_noticed() -> None:
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        response = RelayedResponse(200, "OK", CIMultiDict(EVENTS))
        await response.prepare(request)
        try:
            while True:
                response.send(b"x")
                await asyncio.sleep(0)
        except ConnectionError as error:
            outcome.set_result(str(error))
            raise

    async with serving(handle) as port, asyncio.timeout(LONG):
        reader, writer = await ask(port, "1.1")
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert "closed" in await outcome
