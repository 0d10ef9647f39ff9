"""What providers see and what is recorded when a client misbehaves."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.e2e.asking import (
    APIS,
    CHAT,
    EVENT_STREAM,
    JSON_HEADERS,
    MESSAGES,
    RESPONSES,
    Api,
    check_error,
    post,
    stream_events,
)
from tests.e2e.daemon import Daemon, fetch
from tests.e2e.polling import until
from tests.e2e.raw import Connection, ask
from tests.simulator import Gate, Script, Simulator

if TYPE_CHECKING:
    from tests.e2e.conftest import StartDaemon

Model = Callable[[str], str]

_POST = b"POST /openai/v1/responses HTTP/1.1\r\nHost: localhost\r\n"

by_api = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)


@by_api
@pytest.mark.parametrize("moment", ["before the head", "in the middle"])
@pytest.mark.parametrize("abrupt", [False, True], ids=["closing", "resetting"])
def test_a_client_that_leaves(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api, moment: str, abrupt: bool
) -> None:
    name, gate = model("words-20"), Gate()
    events = stream_events(simulator, api, name)
    hold = {-1 if moment == "before the head" else 5: gate}
    script = Script(headers=EVENT_STREAM, body=events, framing="chunked", hold=hold)
    simulator.script(script, match=name.encode())
    with Connection(gateway.port) as connection:
        connection.send("POST", api.path, api.body(name, stream=True), JSON_HEADERS)
        assert gate.reached.wait(30)
        if moment == "in the middle":
            assert connection.receive_head().status == 200
            assert connection.read_some()
        if abrupt:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert simulator.wait_for(name.encode(), count=2).disconnected.wait(30)
    found = gateway.when_ended(name)
    assert found.status == "aborted"
    assert [prompt["prompt"] for prompt in found.prompts] == ["hello"]


def test_what_was_seen_before_the_client_left_is_recorded(
    simulator: Simulator, gateway: Daemon, model: Model
) -> None:
    name, gate = model("think+tools-2"), Gate()
    events = stream_events(simulator, MESSAGES, name)
    last = next(i for i, event in enumerate(events) if b"message_delta" in event)
    script = Script(headers=EVENT_STREAM, body=events, framing="chunked", hold={last: gate})
    simulator.script(script, match=name.encode())
    with Connection(gateway.port) as connection:
        connection.send("POST", MESSAGES.path, MESSAGES.body(name, stream=True), JSON_HEADERS)
        assert gate.reached.wait(30)
        seen = b""
        while events[last - 1] not in seen:
            seen += connection.read_some()
    found = gateway.when_ended(name)
    assert found.status == "aborted"
    assert len(found.thoughts) == 1
    assert len(found.tool_usages) == 2
    assert found.prompts[0]["msg_id"].startswith("msg_")


def test_a_client_that_leaves_before_its_request_is_whole(
    simulator: Simulator, gateway: Daemon, model: Model
) -> None:
    name = model("text")
    body = CHAT.body(name)
    with Connection(gateway.port) as connection:
        lines = f"POST {CHAT.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body) + 9}"
        connection.socket.sendall(f"{lines}\r\n\r\n".encode() + body)
    assert fetch(f"{gateway.address}/healthz")[0] == 200
    assert simulator.matching(name.encode()) == []
    assert gateway.recorded(name) == []


def test_a_slow_reader_slows_the_provider(
    simulator: Simulator, gateway: Daemon, model: Model
) -> None:
    name = model("text")
    piece, count = b"data: " + b"x" * 65_000 + b"\n\n", 1_000
    script = Script(headers=EVENT_STREAM, body=[piece] * count, framing="chunked")
    simulator.script(script, match=name.encode())
    process = psutil.Process(gateway.process.pid)
    before = process.memory_info().rss
    with Connection(gateway.port, timeout=30, receive_buffer=65536) as connection:
        connection.send("POST", RESPONSES.path, RESPONSES.body(name, stream=True), JSON_HEADERS)
        answer = connection.receive_head()
        request = simulator.wait_for(name.encode())
        sent = _settled(lambda: request.sent)
        # What both kernels buffer is not ours to bound: up to 10 MB a connection on Linux.
        assert sent < 30_000_000, f"{sent} bytes were read ahead of the client"
        assert process.memory_info().rss - before < 20_000_000
        connection.receive_body(answer)
    assert answer.complete
    assert answer.body == piece * count


def _settled(look: Callable[[], int]) -> int:
    """A number once it has not changed for 20 looks."""
    seen: list[int] = []

    def same() -> bool:
        seen.append(look())
        return len(seen) > 20 and seen[-1] > 0 and len(set(seen[-20:])) == 1

    until(same, 20, "a standstill")
    return seen[-1]


def test_nothing_is_left_open_by_clients_that_leave(
    simulator: Simulator, start_daemon: StartDaemon, model: Model
) -> None:
    daemon = start_daemon()
    assert post(daemon, CHAT, CHAT.body(model("text"))).status == 200
    process = psutil.Process(daemon.process.pid)
    before = len(process.net_connections())
    names = [model("words-50+slow-20") for _ in range(40)]
    for turn, name in enumerate(names):
        api = APIS[turn % 3]
        with Connection(daemon.port) as connection:
            connection.send("POST", api.path, api.body(name, stream=True), JSON_HEADERS)
            simulator.wait_for(name.encode())
    until(lambda: all(found.end for found in daemon.interceptions()), what="every end")
    until(lambda: len(process.net_connections()) <= before + 1, what="the end of connections")
    assert {daemon.only(name).status for name in names} == {"aborted"}
    status = json.loads(fetch(f"{daemon.address}/api/v2/aibridge/status")[1])
    assert status["in_flight"] == 0


@by_api
@pytest.mark.parametrize("framing", ["length", "chunked", "expecting"])
def test_a_body_over_the_limit(
    simulator: Simulator, strict: Daemon, model: Model, api: Api, framing: str
) -> None:
    name = model("text")
    body = api.body(name, prompt="x" * 1_100_000)
    with Connection(strict.port) as connection:
        if framing == "expecting":
            headers = f"Host: localhost\r\nExpect: 100-continue\r\nContent-Length: {len(body)}"
            connection.socket.sendall(f"POST {api.path} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
        else:
            chunks = [65536] if framing == "chunked" else None
            # The answer may come while we are still sending, and end the connection.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.send("POST", api.path, body, JSON_HEADERS, chunks=chunks)
        answer = connection.receive()
    check_error(answer, api.provider, 413)
    assert answer.interim == []
    assert simulator.matching(name.encode()) == []
    assert fetch(f"{strict.address}/healthz")[0] == 200


def test_a_body_just_below_the_limit(strict: Daemon, model: Model) -> None:
    body = CHAT.body(model("text"), prompt="x" * 1_040_000)
    assert post(strict, CHAT, body).status == 200


def test_expect_100_continue(simulator: Simulator, gateway: Daemon, model: Model) -> None:
    name = model("text")
    body = CHAT.body(name)
    with Connection(gateway.port) as connection:
        headers = f"Host: localhost\r\nExpect: 100-continue\r\nContent-Length: {len(body)}"
        connection.socket.sendall(f"POST {CHAT.path} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
        assert connection.read_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.socket.sendall(body)
        answer = connection.receive()
    assert answer.status == 200
    assert simulator.wait_for(name.encode()).body == body


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET\r\n\r\n",
        _POST + b"Content-Length: nine\r\n\r\n",
        _POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        _POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"GET /openai/v1/models HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 2_000_000 + b"\r\n\r\n",
    ],
    ids=["binary", "no target", "length", "smuggling", "two lengths", "header name", "huge"],
)
def test_malformed_requests(simulator: Simulator, gateway: Daemon, sent: bytes) -> None:
    before = len(simulator.requests)
    with Connection(gateway.port) as connection:
        try:
            connection.socket.sendall(sent)
            answer = connection.receive()
        except ConnectionError:
            pass
        else:
            assert 400 <= answer.status < 500
    assert len(simulator.requests) == before
    assert fetch(f"{gateway.address}/healthz")[0] == 200


def test_a_bad_chunk_in_a_request(simulator: Simulator, gateway: Daemon) -> None:
    before = len(simulator.requests)
    lines = f"POST {CHAT.path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Connection(gateway.port) as connection:
        connection.socket.sendall(lines.encode() + b"zz\r\nabc\r\n0\r\n\r\n")
        answer = connection.receive()
    assert 400 <= answer.status < 500
    assert len(simulator.requests) == before


@by_api
@pytest.mark.parametrize(
    "body", [b"", b"\x00\xff", b"[]", b'"text"', b'{"model": [], "messages": 7, "input": {}}']
)
def test_requests_that_cannot_be_read_are_the_provider_s_to_judge(
    simulator: Simulator, gateway: Daemon, api: Api, body: bytes
) -> None:
    agent = f"odd-{api.name}-{len(body)}-{body[:1].hex()}".encode()
    direct = ask(simulator.port, "POST", api.upstream, body)
    answer = ask(gateway.port, "POST", api.path, body, [(b"User-Agent", agent)])
    assert (answer.status, answer.body) == (direct.status, direct.body)
    found = [
        each
        for each in gateway.interceptions()
        if each.start["metadata"].get("request_user_agent") == agent.decode()
    ]
    assert len(found) == 1
    assert found[0].ended["status_code"] == direct.status
