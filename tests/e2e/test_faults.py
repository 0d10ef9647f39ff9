"""What clients see and what is recorded when a provider or a client misbehaves."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import openai
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
    stream_events,
)
from tests.e2e.daemon import Daemon, fetch
from tests.e2e.polling import until
from tests.e2e.raw import Answer, Connection, ask
from tests.simulator import Gate, Script, Send, Simulator

if TYPE_CHECKING:
    from tests.e2e.conftest import StartDaemon
    from tests.simulator.script import Ending, Framing

Model = Callable[[str], str]
_POST = b"POST /openai/v1/responses HTTP/1.1\r\nHost: localhost\r\n"
by_api = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)


@pytest.fixture(scope="module")
def strict(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with small limits."""
    with Daemon(
        tmp_path_factory.mktemp("strict"),
        simulator.openai_url,
        simulator.anthropic_url,
        *("--upstream-idle-timeout", "1s", "--max-body-size", "1MiB"),
    ) as running:
        yield running


@pytest.fixture(scope="module")
def unreachable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose OpenAI refuses connections and whose Anthropic has no address."""
    # Bound but not listening: the port refuses, and nobody else can take it.
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        with Daemon(
            tmp_path_factory.mktemp("unreachable"),
            f"http://127.0.0.1:{taken.getsockname()[1]}/v1/",
            "http://no-such-host.invalid/",
        ) as running:
            yield running


def _post(daemon: Daemon, api: Api, body: bytes) -> Answer:
    return ask(daemon.port, "POST", api.path, body, JSON_HEADERS)


def _check_failed(daemon: Daemon, model: str, status: int, kind: str) -> None:
    found = daemon.when_ended(model)
    assert found.status == "failed"
    assert found.ended["status_code"] == status
    assert found.ended["error_type"] == kind
    assert found.ended["error_message"]
    assert [prompt["prompt"] for prompt in found.prompts] == ["hello"]


@by_api
@pytest.mark.parametrize("stream", [False, True], ids=["blocking", "streaming"])
def test_a_provider_that_cannot_be_reached(
    unreachable: Daemon, model: Model, api: Api, stream: bool
) -> None:
    name = model("text")
    answer = _post(unreachable, api, api.body(name, stream=stream))
    message = check_error(answer, api.provider, 502)
    assert ("resolve" if api.provider == "anthropic" else "connect") in message
    _check_failed(unreachable, name, 502, "upstream_unreachable")


def test_passed_through_routes_say_so_too(unreachable: Daemon) -> None:
    check_error(ask(unreachable.port, "GET", "/openai/v1/models"), "openai", 502)
    check_error(ask(unreachable.port, "GET", "/anthropic/v1/models"), "anthropic", 502)


@by_api
@pytest.mark.parametrize(
    "script",
    [
        Script(ending="reset", cut=-1),
        Script(ending="close", cut=-1),
        Script(ending="close", cut=-2, headers=EVENT_STREAM, framing="chunked"),
        Script(raw=[Send(b"\x16\x03\x01 this is no HTTP\r\n\r\n")]),
        Script(raw=[Send(b"HTTP/1.1 banana\r\n\r\n")]),
    ],
    ids=["reset", "closed", "half a head", "garbage", "bad status"],
)
def test_a_provider_that_breaks_off_before_its_answer(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api, script: Script
) -> None:
    name = model("text")
    # Twice, in case the first one met a reused connection and was tried again.
    simulator.script(script, script, match=name.encode())
    check_error(_post(gateway, api, api.body(name, stream=True)), api.provider, 502)
    simulator.clear_scripts()
    found = gateway.when_ended(name)
    assert found.status == "failed"
    assert found.ended["status_code"] == 502
    assert found.prompts


@by_api
def test_a_provider_that_never_answers(
    simulator: Simulator, strict: Daemon, model: Model, api: Api
) -> None:
    name, gate = model("text"), Gate()
    simulator.script(Script(hold={-1: gate}), match=name.encode())
    check_error(_post(strict, api, api.body(name)), api.provider, 504)
    gate.release()
    _check_failed(strict, name, 504, "upstream_timeout")
    assert simulator.wait_for(name.encode()).disconnected.wait(5)


@by_api
def test_a_provider_that_stalls_in_the_middle(
    simulator: Simulator, strict: Daemon, model: Model, api: Api
) -> None:
    name, gate = model("words-8"), Gate()
    events = stream_events(simulator, api, name)
    simulator.script(
        Script(headers=EVENT_STREAM, body=events, framing="chunked", hold={4: gate}),
        match=name.encode(),
    )
    answer = _post(strict, api, api.body(name, stream=True))
    gate.release()
    assert answer.status == 200
    assert not answer.complete
    # The gateway may keep back what it asked for itself, never what the client is waiting for.
    assert answer.body.startswith(events[0][:20])
    _check_failed(strict, name, 200, "upstream_timeout")


@by_api
@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_stream_that_breaks_off(
    simulator: Simulator,
    gateway: Daemon,
    model: Model,
    api: Api,
    ending: Ending,
    framing: Framing,
) -> None:
    name = model("words-20")
    events = stream_events(simulator, api, name)
    sent = len(b"".join(events[:8])) + 5
    script = Script(headers=EVENT_STREAM, body=events, framing=framing, ending=ending, cut=sent)
    simulator.script(script, match=name.encode())
    answer = _post(gateway, api, api.body(name, stream=True))
    assert answer.status == 200
    assert not answer.complete
    assert api.terminal not in answer.body
    _check_failed(gateway, name, 200, "upstream_disconnected")


@by_api
def test_a_blocking_answer_that_breaks_off(gateway: Daemon, model: Model, api: Api) -> None:
    name = model("cut+tools-2")
    answer = _post(gateway, api, api.body(name))
    assert not answer.complete
    _check_failed(gateway, name, 200, "upstream_disconnected")


def test_an_old_client_sees_a_truncation_too(
    simulator: Simulator, gateway: Daemon, model: Model
) -> None:
    # To HTTP/1.0 the end of the connection is the end of the body: only a reset tells.
    name = model("words-20+cut")
    body = MESSAGES.body(name, stream=True)
    with Connection(gateway.port) as connection:
        lines = f"POST {MESSAGES.path} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.socket.sendall(lines.encode() + body)
        received = iter(lambda: connection.socket.recv(65536), b"")
        with pytest.raises(ConnectionResetError):
            list(received)
    assert simulator.matching(name.encode())
    assert gateway.when_ended(name).status == "failed"


def test_the_sdk_sees_an_incomplete_read(gateway: Daemon, model: Model) -> None:
    with openai.OpenAI(base_url=gateway.openai_url, api_key="k", max_retries=0) as client:
        stream = client.responses.create(model=model("words-20+cut"), input="x", stream=True)
        with pytest.raises(openai.APIConnectionError):
            list(stream)


@by_api
def test_a_stream_without_its_last_event_is_no_success(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api
) -> None:
    name = model("words-5")
    events = stream_events(simulator, api, name)[:4]
    simulator.script(
        Script(headers=EVENT_STREAM, body=events, framing="chunked"), match=name.encode()
    )
    _post(gateway, api, api.body(name, stream=True))
    assert gateway.only(name).status == "failed"


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
        assert gate.reached.wait(5)
        if moment == "in the middle":
            assert connection.receive_head().status == 200
            assert connection.read_some()
        if abrupt:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert simulator.wait_for(name.encode(), count=2).disconnected.wait(2)
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
        assert gate.reached.wait(5)
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


@pytest.mark.parametrize("ending", ["reset", "close"])
def test_a_reused_connection_that_was_closed_is_tried_once_more(
    simulator: Simulator, start_daemon: StartDaemon, model: Model, ending: Ending
) -> None:
    daemon = start_daemon()
    warm, name, twice = model("text"), model("text"), model("text")
    assert _post(daemon, CHAT, CHAT.body(warm)).status == 200
    lost = Script(ending=ending, only_reused=True)
    simulator.script(lost, match=name.encode())
    assert _post(daemon, CHAT, CHAT.body(name)).status == 200
    first, second = simulator.matching(name.encode())
    assert first.body == second.body
    assert first.headers == second.headers
    assert daemon.only(name).status == "completed"
    simulator.script(lost, Script(ending=ending), match=twice.encode())
    check_error(_post(daemon, CHAT, CHAT.body(twice)), "openai", 502)
    assert len(simulator.matching(twice.encode())) == 2
    assert daemon.only(twice).status == "failed"


def test_no_second_try_on_a_new_connection_or_after_a_byte(
    simulator: Simulator, start_daemon: StartDaemon, model: Model
) -> None:
    daemon = start_daemon()
    fresh, begun = model("text"), model("text")
    simulator.script(Script(ending="reset"), match=fresh.encode())
    check_error(_post(daemon, MESSAGES, MESSAGES.body(fresh)), "anthropic", 502)
    assert len(simulator.matching(fresh.encode())) == 1
    assert _post(daemon, MESSAGES, MESSAGES.body(model("text"))).status == 200
    simulator.script(Script(ending="close", cut=-2, only_reused=True), match=begun.encode())
    check_error(_post(daemon, MESSAGES, MESSAGES.body(begun)), "anthropic", 502)
    assert len(simulator.matching(begun.encode())) == 1


def test_connections_that_a_provider_dropped_while_idle_do_no_harm(
    simulator: Simulator, start_daemon: StartDaemon, model: Model
) -> None:
    daemon = start_daemon()
    for _ in range(5):
        for api in APIS:
            assert _post(daemon, api, api.body(model("text"))).status == 200
        simulator.reset_connections()
    assert {found.status for found in daemon.interceptions()} == {"completed"}


@by_api
def test_an_answer_that_does_not_wait_for_the_body(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api
) -> None:
    # As providers do that refuse an upload by its head: they answer, and never read the rest.
    mark = model("text").encode()
    refusal = b'{"error": {"type": "request_too_large", "message": "no"}, "type": "error"}'
    script = Script(status=413, reason="Too Large", body=refusal, keep_alive=False, early=True)
    simulator.script(script, match=mark)
    body = api.body(model("text"), prompt="x" * 8_000_000)
    answer = ask(gateway.port, "POST", api.path, body, [*JSON_HEADERS, (b"X-Mark", mark)])
    assert (answer.status, answer.body) == (413, refusal)


def test_nothing_is_left_open_by_clients_that_leave(
    simulator: Simulator, start_daemon: StartDaemon, model: Model
) -> None:
    daemon = start_daemon()
    assert _post(daemon, CHAT, CHAT.body(model("text"))).status == 200
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
    assert _post(strict, CHAT, body).status == 200


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
    answer = _post(gateway, api, api.body(name))
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


@by_api
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([("Content-Type", "application/json")], b'{"id": '),
        ([("Content-Type", "application/json")], b""),
        ([("Content-Type", "application/json")], b"[1, 2]"),
        ([("Content-Type", "text/event-stream")], b"data: {broken\n\ndata: [DONE]\n\n"),
        ([("Content-Type", "text/event-stream")], b"\xff\xfe\x00" * 50),
        ([("Content-Type", "application/json"), ("Content-Encoding", "gzip")], b"not gzip"),
        ([("Content-Type", "application/json"), ("Content-Encoding", "rot13")], b"{}"),
    ],
    ids=["half JSON", "empty", "list", "broken event", "binary", "false gzip", "unknown coding"],
)
def test_answers_that_cannot_be_read_still_flow(
    simulator: Simulator,
    gateway: Daemon,
    model: Model,
    api: Api,
    headers: list[tuple[str, str]],
    body: bytes,
) -> None:
    name = model("text")
    simulator.script(Script(headers=headers, body=body), match=name.encode())
    answer = _post(gateway, api, api.body(name))
    assert (answer.status, answer.body, answer.complete) == (200, body, True)
    found = gateway.only(name)
    assert found.end is not None
    assert [prompt["prompt"] for prompt in found.prompts] == ["hello"]


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
