"""Which requests are served, which are refused, and what connections carry."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.asking import (
    APIS,
    CHAT,
    RESPONSES,
    Api,
    check_error,
    post,
)
from tests.e2e.raw import Connection, ask
from tests.simulator import Script, Simulator

if TYPE_CHECKING:
    from tests.e2e.daemon import Daemon

Model = Callable[[str], str]

by_api = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)


@by_api
@pytest.mark.parametrize("stream", [False, True], ids=["blocking", "streaming"])
def test_an_old_client_gets_the_whole_answer(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api, stream: bool
) -> None:
    name = model("words-20+tools-1")
    body = api.body(name, stream=stream)
    direct = ask(simulator.port, "POST", api.upstream, body)
    with Connection(gateway.port) as connection:
        lines = f"POST {api.path} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.socket.sendall(lines.encode() + body)
        answer = connection.receive()
        assert connection.is_closed()
    assert answer.values("transfer-encoding") == []
    assert answer.body == direct.body


@by_api
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_wrong_methods(simulator: Simulator, gateway: Daemon, api: Api, method: str) -> None:
    before = len(simulator.requests)
    answer = ask(gateway.port, method, api.path)
    check_error(answer, api.provider, 405)
    assert answer.values("allow") == ["POST"]
    assert len(simulator.requests) == before


@pytest.mark.parametrize(
    ("method", "path", "provider"),
    [
        ("POST", "/openai/v1/embeddings", "openai"),
        ("POST", "/openai/v1/completions", "openai"),
        ("GET", "/openai/v1/files", "openai"),
        ("POST", "/openai/chat/completions", "openai"),
        ("GET", "/openai/v1/models/../files", "openai"),
        ("GET", "/openai/v1/models/%2e%2e/files", "openai"),
        ("GET", "/openai/v1/models//x", "openai"),
        ("POST", "/api/v2/aibridge/anthropic/v1/complete", "anthropic"),
        ("GET", "/api/v2/ai-gateway/anthropic/v1/organizations", "anthropic"),
        ("POST", "/anthropic/v1/messages/batches", "anthropic"),
        ("POST", "/api/v2/aibridge/nobody/v1/models", "openai"),
        ("GET", "/favicon.ico", "openai"),
        ("POST", "/v1/chat/completions", "openai"),
    ],
)
def test_unknown_routes(
    simulator: Simulator, gateway: Daemon, method: str, path: str, provider: str
) -> None:
    before = len(simulator.requests)
    message = check_error(ask(gateway.port, method, path), provider, 404)
    matched = re.fullmatch(r"route not supported: ([A-Z]+) (/\S*)", message)
    assert matched
    assert matched[1] == method
    assert path.endswith(matched[2])
    assert len(simulator.requests) == before


@by_api
@pytest.mark.parametrize(
    "headers",
    [
        [(b"Host", b"evil.example")],
        [(b"Host", b"evil.example:4001")],
        [(b"Host", b"127.0.0.1.evil.example")],
        [(b"Host", b"localhost"), (b"Origin", b"https://evil.example")],
        [(b"Host", b"localhost"), (b"Origin", b"null")],
        [(b"Host", b"localhost"), (b"Sec-Fetch-Site", b"cross-site")],
    ],
)
def test_web_pages_are_kept_out(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api, headers: Any
) -> None:
    name = model("text")
    body = api.body(name)
    answer = ask(gateway.port, "POST", api.path, body, headers, host=False)
    check_error(answer, api.provider, 403)
    assert simulator.matching(name.encode()) == []
    assert gateway.recorded(name) == []


@pytest.mark.parametrize(
    "path",
    [
        "/openai/v1/models",
        "/healthz",
        "/api/v2/aibridge/status",
        "/api/v2/aibridge/interceptions",
    ],
)
def test_web_pages_cannot_read_either(gateway: Daemon, path: str) -> None:
    assert (
        ask(gateway.port, "GET", path, headers=[(b"Host", b"evil.example")], host=False).status
        == 403
    )
    assert (
        ask(gateway.port, "GET", path, headers=[(b"Sec-Fetch-Site", b"cross-site")]).status == 403
    )
    answer = ask(gateway.port, "GET", path)
    assert answer.status == 200
    assert answer.values("access-control-allow-origin") == []


@pytest.mark.parametrize("host", [b"localhost", b"LOCALHOST:4001", b"[::1]:4001", b"127.0.0.1"])
def test_loopback_names_are_let_in(gateway: Daemon, model: Model, host: bytes) -> None:
    body = CHAT.body(model("text"))
    assert ask(gateway.port, "POST", CHAT.path, body, [(b"Host", host)], host=False).status == 200


def test_head(simulator: Simulator, gateway: Daemon) -> None:
    before = len(simulator.requests)
    with Connection(gateway.port) as connection:
        for path in ("/", "/api/v2/aibridge/anthropic", "/anthropic/", "/openai/v1", "/healthz"):
            connection.send("HEAD", path)
            answer = connection.receive(method="HEAD")
            assert answer.status == 200, path
        assert len(simulator.requests) == before
        connection.send("HEAD", "/openai/v1/models")
        relayed = connection.receive(method="HEAD")
        assert relayed.status == 200
        assert int(relayed.values("content-length")[0]) > 0
        connection.send("GET", "/healthz")
        assert connection.receive().status == 200
    assert [request.method for request in simulator.requests[before:]] == ["HEAD"]


@by_api
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_relayed(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api, status: int
) -> None:
    name = model("text")
    simulator.script(
        Script(status=status, reason="Elsewhere", headers=[("Location", "/v1/elsewhere?a=b")]),
        match=name.encode(),
    )
    answer = post(gateway, api, api.body(name))
    assert (answer.status, answer.values("location")) == (status, ["/v1/elsewhere?a=b"])
    assert len(simulator.matching(name.encode())) == 1
    assert gateway.only(name).ended["status_code"] == status


def test_a_connection_serves_many_requests(gateway: Daemon, model: Model) -> None:
    with Connection(gateway.port) as connection:
        for turn in range(30):
            api = APIS[turn % 3]
            connection.send("POST", api.path, api.body(model("words-3"), stream=turn % 2 == 0))
            answer = connection.receive()
            assert (answer.status, answer.complete) == (200, True)


def test_pipelined_requests_are_answered_in_order(gateway: Daemon, model: Model) -> None:
    names = [model("late-30"), model("text"), model("words-3")]
    with Connection(gateway.port) as connection:
        for name in names:
            connection.send("POST", CHAT.path, CHAT.body(name))
        answers = [connection.receive() for _ in names]
    assert [json.loads(answer.body)["model"] for answer in answers] == names


def test_a_websocket_is_refused_cleanly(simulator: Simulator, gateway: Daemon) -> None:
    before = len(simulator.requests)
    headers = [
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    answer = ask(gateway.port, "GET", RESPONSES.path, headers=headers)
    assert 400 <= answer.status < 500
    assert answer.complete
    assert json.loads(answer.body)["error"]["message"]
    assert len(simulator.requests) == before
