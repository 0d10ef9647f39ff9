"""Answers that broke off before their provider had counted: what the records say that they had."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e import bedrock
from tests.e2e.asking import (
    APIS,
    CHAT,
    EVENT_STREAM,
    JSON_HEADERS,
    MESSAGES,
    RESPONSES,
    Api,
    post,
    stream_events,
)
from tests.e2e.daemon import Daemon
from tests.e2e.raw import Connection, ask
from tests.e2e.store import Interception
from tests.simulator import Gate, Script, Simulator

if TYPE_CHECKING:
    from tests.e2e.conftest import StartDaemon

Model = Callable[[str], str]
by_api = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)

PROMPT = "Tell me of the sea, and of all that is in it. " * 40
LEAST_INPUT = len(PROMPT) // 8
"""Tokens that a prompt of English has at any rate; an estimate is near it, and below the real number."""
MOST_INPUT = len(PROMPT) // 4

FRAMES = [("Content-Type", "application/vnd.amazon.eventstream")]


def usage_of(daemon: Daemon, found: Interception) -> tuple[dict[str, Any], int]:
    """The one usage record of an interception, and how many of its records are estimates."""
    (usage,) = found.token_usages
    with closing(sqlite3.connect(daemon.database, timeout=10)) as connection:
        row = connection.execute("SELECT estimated FROM interceptions WHERE id = ?", (found.id,))
        return usage, row.fetchone()[0]


def check_estimate(daemon: Daemon, name: str, least: int, most: int, *, exact: bool) -> None:
    """The usage is a floor: of `least` to `most` output tokens; `exact` where the input was stated."""
    found = daemon.when_ended(name)
    usage, estimates = usage_of(daemon, found)
    assert estimates == 1
    assert least <= usage["output_tokens"] <= most
    if not exact:
        assert LEAST_INPUT <= usage["input_tokens"] <= MOST_INPUT


def stream(api: Api, name: str) -> bytes:
    return api.body(name, stream=True, prompt=PROMPT)


@by_api
def test_a_client_that_leaves(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api
) -> None:
    name, gate = model("words-20"), Gate()
    events = stream_events(simulator, api, name)
    script = Script(headers=EVENT_STREAM, body=events, framing="chunked", hold={12: gate})
    simulator.script(script, match=name.encode())
    with Connection(gateway.port) as connection:
        connection.send("POST", api.path, stream(api, name), JSON_HEADERS)
        assert gate.reached.wait(30)
        assert connection.receive_head().status == 200
        assert connection.read_some()
    check_estimate(gateway, name, 6, 12, exact=api is MESSAGES)
    gate.release()


@by_api
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_a_provider_that_breaks_off(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api, encoding: str
) -> None:
    name = model("words-20")
    script = Script(
        headers=EVENT_STREAM,
        body=stream_events(simulator, api, name),
        framing="chunked",
        encoding=encoding,
    )
    cut = len(b"".join(script.pieces()[:12])) + 3
    script = Script(
        headers=EVENT_STREAM,
        body=script.body,
        framing="chunked",
        encoding=encoding,
        ending="reset",
        cut=cut,
    )
    simulator.script(script, match=name.encode())
    assert not post(gateway, api, stream(api, name)).complete
    check_estimate(gateway, name, 6, 12, exact=api is MESSAGES)


@by_api
def test_a_provider_that_states_an_error(gateway: Daemon, model: Model, api: Api) -> None:
    name = model("words-20+break")
    post(gateway, api, stream(api, name))
    # A response has begun its message by then, and no word of it yet.
    words = 0 if api is RESPONSES else 1
    check_estimate(gateway, name, words, words, exact=api is MESSAGES)
    assert gateway.only(name).status == "failed"


@by_api
def test_a_gateway_that_stops(
    simulator: Simulator, start_daemon: StartDaemon, model: Model, api: Api
) -> None:
    daemon = start_daemon("--shutdown-timeout", "100ms")
    name, gate = model("words-20"), Gate()
    events = stream_events(simulator, api, name)
    script = Script(headers=EVENT_STREAM, body=events, framing="chunked", hold={12: gate})
    simulator.script(script, match=name.encode())
    with Connection(daemon.port) as connection:
        connection.send("POST", api.path, stream(api, name), JSON_HEADERS)
        assert gate.reached.wait(30)
        assert connection.receive_head().status == 200
        assert connection.read_some()
        daemon.stop()
    check_estimate(daemon, name, 6, 12, exact=api is MESSAGES)
    assert daemon.only(name).status == "aborted"
    gate.release()


@by_api
def test_a_document_that_breaks_off(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api
) -> None:
    name = model("words-200")
    whole = ask(simulator.port, "POST", api.upstream, api.body(name)).body
    script = Script(
        headers=[("Content-Type", "application/json")],
        body=whole,
        ending="close",
        cut=len(whole) - 300,
    )
    simulator.script(script, match=name.encode())
    assert not post(gateway, api, api.body(name, prompt=PROMPT)).complete
    # Two hundred words of seven letters, and what stands around them.
    check_estimate(gateway, name, 100, 300, exact=False)


@by_api
def test_a_compressed_request_is_read_for_it(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api
) -> None:
    name = model("words-20")
    events = stream_events(simulator, api, name)
    cut = len(b"".join(events[:12]))
    script = Script(headers=EVENT_STREAM, body=events, framing="chunked", ending="close", cut=cut)
    mark = f"packed-{name}".encode()
    simulator.script(script, match=mark)
    headers = [*JSON_HEADERS, (b"Content-Encoding", b"gzip"), (b"X-Mark", mark)]
    ask(gateway.port, "POST", api.path, gzip.compress(stream(api, name)), headers)
    check_estimate(gateway, name, 6, 12, exact=api is MESSAGES)


@by_api
@pytest.mark.parametrize("status", [400, 429, 529])
def test_errors_before_any_output_cost_nothing(
    gateway: Daemon, model: Model, api: Api, status: int
) -> None:
    name = model(f"error-{status}")
    post(gateway, api, stream(api, name))
    assert gateway.when_ended(name).token_usages == []


@by_api
def test_a_stream_without_an_event_costs_nothing(
    simulator: Simulator, gateway: Daemon, model: Model, api: Api
) -> None:
    name = model("text")
    script = Script(headers=EVENT_STREAM, body=b": hello\n\n", framing="chunked")
    simulator.script(script, match=name.encode())
    post(gateway, api, stream(api, name))
    assert gateway.when_ended(name).token_usages == []


@by_api
def test_a_whole_answer_is_no_estimate(gateway: Daemon, model: Model, api: Api) -> None:
    name = model("words-5")
    post(gateway, api, stream(api, name))
    _, estimates = usage_of(gateway, gateway.when_ended(name))
    assert estimates == 0


@pytest.fixture(scope="module")
def on_aws(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose Anthropic models are Bedrock's."""
    folder = tmp_path_factory.mktemp("estimates")
    with Daemon(folder, simulator.openai_url, "", *bedrock.legacy(simulator)) as running:
        yield running


def _converse(name: str) -> tuple[str, dict[str, Any]]:
    return f"/model/{name}/converse-stream", {
        "messages": [{"role": "user", "content": [{"text": PROMPT}]}]
    }


def _invoke(name: str) -> tuple[str, dict[str, Any]]:
    return f"/model/{name}/invoke-with-response-stream", {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": PROMPT}],
    }


def _translated(name: str) -> tuple[str, dict[str, Any]]:
    return "/v1/messages", json.loads(MESSAGES.body(name, stream=True, prompt=PROMPT))


@pytest.mark.parametrize(
    ("make", "exact"), [(_converse, False), (_invoke, True), (_translated, True)]
)
def test_bedrocks_answers(
    on_aws: Daemon,
    model: Model,
    make: Callable[[str], tuple[str, dict[str, Any]]],
    exact: bool,
) -> None:
    name = f"anthropic.{model('words-20+cut')}"
    path, body = make(name)
    answer = ask(on_aws.port, "POST", f"/anthropic{path}", json.dumps(body).encode(), JSON_HEADERS)
    assert answer.status == 200
    assert not answer.complete
    check_estimate(on_aws, name, 1, 21, exact=exact)


def test_the_tools_of_a_response_are_counted(
    simulator: Simulator, gateway: Daemon, model: Model
) -> None:
    name = model("text")
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "x"},
    }
    answer = {
        "id": "resp_1",
        "status": "completed",
        "service_tier": "flex",
        "output": [search],
        "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15},
    }
    script = Script(
        headers=[("Content-Type", "application/json")], body=json.dumps(answer).encode()
    )
    simulator.script(script, match=name.encode())
    post(gateway, RESPONSES, RESPONSES.body(name))
    (usage,) = gateway.when_ended(name).token_usages
    assert usage["metadata"] == {
        "total_tokens": 15,
        "web_search_requests": 1,
        "service_tier": "flex",
    }


@pytest.mark.parametrize(
    ("api", "token", "plan"),
    [
        (MESSAGES, b"sk-ant-oat01-0123456789", "claude"),
        (MESSAGES, b"sk-ant-api03-0123456789", None),
        (
            CHAT,
            (
                b"eyJhbGciOiJub25lIn0.eyJodHRwczovL2FwaS5vcGVuYWkuY29tL2F1dGgiOnsiY2hhdGdwdF9hY2NvdW50X2lkIjoi"
                b"YSJ9fQ.c2ln"
            ),
            "chatgpt",
        ),
        (CHAT, b"sk-svcacct-0123456789", None),
    ],
)
def test_a_record_says_which_plan_covers_it(
    gateway: Daemon, model: Model, api: Api, token: bytes, plan: str | None
) -> None:
    name = model("text")
    headers = [*JSON_HEADERS, (b"Authorization", b"Bearer " + token)]
    assert ask(gateway.port, "POST", api.path, api.body(name), headers).status == 200
    found = gateway.when_ended(name)
    with closing(sqlite3.connect(gateway.database, timeout=10)) as connection:
        rows = connection.execute("SELECT plan FROM interceptions WHERE id = ?", (found.id,))
        assert rows.fetchone() == (plan,)
