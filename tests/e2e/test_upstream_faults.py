"""What clients see and what is recorded when a provider misbehaves."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import openai
import pytest

from tests.e2e.asking import (
    APIS,
    CHAT,
    EVENT_STREAM,
    JSON_HEADERS,
    MESSAGES,
    Api,
    check_error,
    post,
    stream_events,
)
from tests.e2e.daemon import Daemon
from tests.e2e.raw import Connection, ask
from tests.simulator import Gate, Script, Send, Simulator

if TYPE_CHECKING:
    from tests.e2e.conftest import StartDaemon
    from tests.simulator.script import Ending, Framing

Model = Callable[[str], str]

by_api = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)


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
    answer = post(unreachable, api, api.body(name, stream=stream))
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
    check_error(post(gateway, api, api.body(name, stream=True)), api.provider, 502)
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
    check_error(post(strict, api, api.body(name)), api.provider, 504)
    _check_failed(strict, name, 504, "upstream_timeout")
    # Before the gate opens: an answer that is on its way ends the provider's watch.
    assert simulator.wait_for(name.encode()).disconnected.wait(30)
    gate.release()


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
    answer = post(strict, api, api.body(name, stream=True))
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
    answer = post(gateway, api, api.body(name, stream=True))
    assert answer.status == 200
    assert not answer.complete
    assert api.terminal not in answer.body
    _check_failed(gateway, name, 200, "upstream_disconnected")


@by_api
def test_a_blocking_answer_that_breaks_off(gateway: Daemon, model: Model, api: Api) -> None:
    name = model("cut+tools-2")
    answer = post(gateway, api, api.body(name))
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
    post(gateway, api, api.body(name, stream=True))
    assert gateway.only(name).status == "failed"


@pytest.mark.parametrize("ending", ["reset", "close"])
def test_a_reused_connection_that_was_closed_is_tried_once_more(
    simulator: Simulator, start_daemon: StartDaemon, model: Model, ending: Ending
) -> None:
    daemon = start_daemon()
    warm, name, twice = model("text"), model("text"), model("text")
    assert post(daemon, CHAT, CHAT.body(warm)).status == 200
    lost = Script(ending=ending, only_reused=True)
    simulator.script(lost, match=name.encode())
    assert post(daemon, CHAT, CHAT.body(name)).status == 200
    first, second = simulator.matching(name.encode())
    assert first.body == second.body
    assert first.headers == second.headers
    assert daemon.only(name).status == "completed"
    simulator.script(lost, Script(ending=ending), match=twice.encode())
    check_error(post(daemon, CHAT, CHAT.body(twice)), "openai", 502)
    assert len(simulator.matching(twice.encode())) == 2
    assert daemon.only(twice).status == "failed"


def test_no_second_try_on_a_new_connection_or_after_a_byte(
    simulator: Simulator, start_daemon: StartDaemon, model: Model
) -> None:
    daemon = start_daemon()
    fresh, begun = model("text"), model("text")
    simulator.script(Script(ending="reset"), match=fresh.encode())
    check_error(post(daemon, MESSAGES, MESSAGES.body(fresh)), "anthropic", 502)
    assert len(simulator.matching(fresh.encode())) == 1
    assert post(daemon, MESSAGES, MESSAGES.body(model("text"))).status == 200
    simulator.script(Script(ending="close", cut=-2, only_reused=True), match=begun.encode())
    check_error(post(daemon, MESSAGES, MESSAGES.body(begun)), "anthropic", 502)
    assert len(simulator.matching(begun.encode())) == 1


def test_connections_that_a_provider_dropped_while_idle_do_no_harm(
    simulator: Simulator, start_daemon: StartDaemon, model: Model
) -> None:
    daemon = start_daemon()
    for _ in range(5):
        for api in APIS:
            assert post(daemon, api, api.body(model("text"))).status == 200
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
    answer = post(gateway, api, api.body(name))
    assert (answer.status, answer.body, answer.complete) == (200, body, True)
    found = gateway.only(name)
    assert found.end is not None
    assert [prompt["prompt"] for prompt in found.prompts] == ["hello"]
