"""The listener: its address, TLS, and what is not TLS."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from aigw.errors import DaemonError
from aigw.gateway.listener import Listener, local_url
from aigw.gateway.tls import listener_context, reload_context
from aigw.option_values import Address
from tests.certificates import Pair, new_pair

LOOPBACK = Address("127.0.0.1", 0)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return new_pair(tmp_path)


async def hello(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text=f"hello {request.path}")


@asynccontextmanager
async def listening(
    context: ssl.SSLContext | None = None, address: Address = LOOPBACK
) -> AsyncIterator[str]:
    listener = Listener(
        hello, address, "--http-address", tls=context, shutdown=timedelta(seconds=5)
    )
    async with listener.listen() as url:
        yield url


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def client_context(pair: Pair) -> ssl.SSLContext:
    """Checks the certificate's name and signature, as SDKs do."""
    return ssl.create_default_context(cafile=pair.cert)


async def ask(url: str, context: ssl.SSLContext | None = None) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        port_of(url),
        ssl=context,
        server_hostname="localhost" if context else None,
    )
    try:
        writer.write(b"GET /you HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return await reader.read()
    finally:
        writer.close()


async def test_the_address_is_a_url() -> None:
    async with listening() as url:
        assert url.startswith("http://127.0.0.1:")
        assert (await ask(url)).endswith(b"hello /you")


async def test_tls(pair: Pair) -> None:
    async with listening(listener_context(pair.cert, pair.key)) as url:
        assert url.startswith("https://127.0.0.1:")
        assert (await ask(url, client_context(pair))).endswith(b"hello /you")


async def test_the_protocol_is_agreed_on(pair: Pair) -> None:
    context = client_context(pair)
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with listening(listener_context(pair.cert, pair.key)) as url:
        _, writer = await asyncio.open_connection(
            "localhost", port_of(url), ssl=context, family=socket.AF_INET
        )
        found = writer.get_extra_info("ssl_object")
        assert found.selected_alpn_protocol() == "http/1.1"
        writer.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_tls_is_refused(pair: Pair) -> None:
    context = client_context(pair)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with listening(listener_context(pair.cert, pair.key)) as url:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(url, context)


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x00", b"\0" * 500, b""]
)
async def test_what_is_not_tls_is_hung_up_on(
    pair: Pair, caplog: pytest.LogCaptureFixture, said: bytes
) -> None:
    caplog.set_level(logging.INFO)
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, found: complaints.append(found))
    async with listening(listener_context(pair.cert, pair.key)) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
        writer.write(said)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 10)
        assert not answer.startswith(b"HTTP")
        writer.close()
        assert (await ask(url, client_context(pair))).endswith(b"hello /you")
    assert complaints == []
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_connections_outlive_a_new_certificate(pair: Pair, tmp_path: Path) -> None:
    context = listener_context(pair.cert, pair.key)
    old_client = client_context(pair)
    async with listening(context) as url:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port_of(url), ssl=old_client, server_hostname="localhost"
        )
        pair.write(new_pair(tmp_path, "second"))
        reload_context(context, pair.cert, pair.key)
        writer.write(b"GET /old HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"hello /old")
        writer.close()
        assert (await ask(url, client_context(pair))).endswith(b"hello /you")
        with pytest.raises(ssl.SSLCertVerificationError):
            await ask(url, old_client)


async def test_idle_tls_connections_do_not_hold_up_the_end(pair: Pair) -> None:
    async with listening(listener_context(pair.cert, pair.key)) as url:
        port = port_of(url)
        _, unspoken = await asyncio.open_connection("127.0.0.1", port)
        _, idle = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(pair), server_hostname="localhost"
        )
        began = time.monotonic()
    # Half of what asyncio gives each TLS connection to say good-bye.
    assert time.monotonic() - began < 15
    for writer in (unspoken, idle):
        writer.close()


async def test_a_taken_address() -> None:
    async with listening() as url:
        taken = Address("127.0.0.1", port_of(url))
        with pytest.raises(DaemonError, match=f"cannot listen on {taken}: .*--http-address"):
            async with listening(address=taken):
                pass


@pytest.mark.parametrize(
    ("listened", "reached"),
    [
        ("http://127.0.0.1:4001", "http://127.0.0.1:4001"),
        ("https://0.0.0.0:4001", "https://127.0.0.1:4001"),
        ("http://[::]:4001", "http://[::1]:4001"),
        ("http://:4001", "http://127.0.0.1:4001"),
        ("https://192.0.2.7:4001", "https://192.0.2.7:4001"),
        ("https://gateway.example:4001", "https://gateway.example:4001"),
        ("http://[2001:db8::1]:80", "http://[2001:db8::1]:80"),
    ],
)
def test_where_this_machine_reaches_it(listened: str, reached: str) -> None:
    assert local_url(listened) == reached


@pytest.mark.parametrize("host", ["0.0.0.0", "", "localhost"])
async def test_listening_everywhere(host: str) -> None:
    async with listening(address=Address(host, 0)) as url:
        assert url.startswith(f"http://{host}:")
        assert (await ask(local_url(url))).endswith(b"hello /you")
