"""Claude on Amazon Bedrock for the `anthropic` package: what it sees, what AWS sees, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import anthropic
import pytest

from tests.e2e import bedrock
from tests.e2e.asking import JSON_HEADERS
from tests.e2e.daemon import Daemon
from tests.e2e.raw import ask
from tests.e2e.sdk import WEATHER_MESSAGES, Case, check_calls, check_tokens
from tests.simulator import sigv4
from tests.simulator.plan import Plan, make_plan

if TYPE_CHECKING:
    from tests.e2e.store import Interception
    from tests.simulator import Received, Simulator

Model = Callable[[str], str]
TOOLS = {"tools": [WEATHER_MESSAGES]}
PROVIDERS = ("anthropic", "aws", "claude")
"""Served from Bedrock by the single options, by its type, and by its settings."""

TABLE = {
    "claude-two-*": "anthropic.sim-think+tools-2",
    "claude-arn-*": f"{bedrock.ARN}sim-text",
}

CASES = [
    Case("text", "text"),
    Case("everything", "think+redacted+cached+tools-2", more=TOOLS),
    Case("stream", "words-30", stream=True),
    Case("stream of everything", "think+redacted+cached+tools-2", stream=True, more=TOOLS),
    Case("stream in fragments", "think+tools-2+split-3", stream=True, more=TOOLS),
]
_CLIENT: dict[str, Any] = {"api_key": bedrock.CLIENT_KEY, "max_retries": 0, "timeout": 20}
by_provider = pytest.mark.parametrize("provider", PROVIDERS)


@pytest.fixture(scope="module")
def daemon(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with every way to Bedrock."""
    keys = {
        "bedrock_access_key": sigv4.ACCESS_KEY,
        "bedrock_access_key_secret": sigv4.SECRET_KEY,
        "bedrock_region": bedrock.REGION,
    }
    runtime = keys | {"bedrock_base_url": simulator.url, "bedrock_models": TABLE}
    mantle = keys | {"bedrock_base_url": simulator.mantle_url, "bedrock_protocol": "mantle"}
    with Daemon(
        tmp_path_factory.mktemp("bedrock"),
        simulator.openai_url,
        "",
        *bedrock.legacy(simulator),
        configuration=(
            bedrock.table("bedrock", "aws", runtime)
            + bedrock.table("anthropic", "claude", runtime)
            + bedrock.table("bedrock", "mantle", mantle)
        ),
        environment={"ANTHROPIC_API_KEY": bedrock.ANTHROPIC_KEY},
    ) as running:
        yield running


def _client(url: str, **more: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, **_CLIENT, **more)


def _arguments(name: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"ask {name}"}]
    return {"model": name, "max_tokens": 500, "messages": messages, **more}


def _ask(url: str, case: Case, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    with _client(url) as client:
        answer = client.messages.create(stream=case.stream, **arguments)
        events = list(answer) if case.stream else [answer]
    return [_without_measures(each.model_dump()) for each in events]


def _without_measures(event: dict[str, Any]) -> dict[str, Any]:
    event.pop("amazon-bedrock-invocationMetrics", None)
    return event


def _plan(name: str, arguments: dict[str, Any]) -> Plan:
    return make_plan(arguments | {"model": name})


def _check_recorded(found: Interception, plan: Plan, prompt: str) -> None:
    assert (found.status, found.ended["status_code"]) == ("completed", 200)
    assert [each["prompt"] for each in found.prompts] == [prompt]
    check_tokens(found, plan, "messages")
    check_calls(found, plan, "messages")
    thinking = ["".join(plan.thinking)] if plan.thinking else []
    assert [each["content"] for each in found.thoughts] == thinking
    bedrock.check_credential(found, "AKIA...0001")


@by_provider
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_messages(
    simulator: Simulator, daemon: Daemon, model: Model, provider: str, case: Case
) -> None:
    name = model(case.features)
    arguments = _arguments(name, **case.more)
    direct = _ask(simulator.anthropic_url, case, arguments)
    asked = arguments | {"model": f"eu.anthropic.{name}"}
    assert _ask(f"{daemon.address}/{provider}", case, asked) == direct
    found = daemon.only(f"eu.anthropic.{name}")
    _check_recorded(found, _plan(name, arguments), f"ask {name}")
    assert found.ended["streaming"] is case.stream
    assert found.start["route"] == "/v1/messages"
    assert found.start["provider_name"] == provider
    assert found.start["requested_model"] is None
    bedrock.check_signed(_upstream(simulator, name))


def _upstream(simulator: Simulator, name: str) -> Received:
    """The one request for a model of Bedrock's."""
    (request,) = [each for each in simulator.requests if f"anthropic.{name}/" in unquote(each.path)]
    return request


@by_provider
def test_the_streaming_helper(
    simulator: Simulator, daemon: Daemon, model: Model, provider: str
) -> None:
    name = model("think+tools-2")
    seen = []
    for url, prefix in ((simulator.url, ""), (f"{daemon.address}/{provider}", "anthropic.")):
        arguments = _arguments(prefix + name, **TOOLS)
        arguments["messages"] = [{"role": "user", "content": "the same"}]
        with _client(url) as client, client.messages.stream(**arguments) as stream:
            events = [event.type for event in stream]
            seen.append((events, stream.get_final_message().model_dump()["content"]))
    assert seen[0] == seen[1]
    assert len(daemon.only(f"anthropic.{name}").tool_usages) == 2


def test_the_table_chooses_the_model(simulator: Simulator, daemon: Daemon, model: Model) -> None:
    for kind, chosen in (("two", TABLE["claude-two-*"]), ("arn", TABLE["claude-arn-*"])):
        name = f"claude-{kind}-{model('text')}"
        with _client(f"{daemon.address}/aws") as client:
            assert client.messages.create(**_arguments(name)).content
        start = daemon.requested(name).start
        assert (start["model"], start["model_rule"]) == (chosen, f"bedrock table claude-{kind}-*")
        bedrock.check_signed(simulator.wait_for(name.encode()))


def test_names_of_claude_are_mapped_by_the_single_options(
    simulator: Simulator, daemon: Daemon, model: Model
) -> None:
    for given, chosen, rule in (
        ("claude-sonnet", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock model"),
        (
            "claude-haiku",
            "global.anthropic.claude-haiku-4-5-20251001-v1:0",
            "bedrock small fast model",
        ),
    ):
        name = f"{given}-{model('text')}"
        with _client(daemon.anthropic_url) as client:
            assert client.messages.create(**_arguments(name)).content
        start = daemon.requested(name).start
        assert (start["model"], start["model_rule"]) == (chosen, rule)
        request = simulator.wait_for(name.encode())
        assert request.path == f"/model/{chosen.replace(':', '%3A')}/invoke"
        bedrock.check_signed(request)


@by_provider
@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (503, anthropic.InternalServerError, "overloaded_error"),
        (500, anthropic.InternalServerError, "api_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_have_anthropic_s_form(
    daemon: Daemon,
    model: Model,
    provider: str,
    status: int,
    error: type[anthropic.APIStatusError],
    kind: str,
    stream: bool,
) -> None:
    name = f"anthropic.{model(f'error-{status}')}"
    with _client(f"{daemon.address}/{provider}") as client, pytest.raises(error) as caught:
        client.messages.create(stream=stream, **_arguments(name))
    assert caught.value.status_code == status
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == kind
    assert "asked to fail" in str(caught.value)
    ended = daemon.only(name).ended
    assert (ended["status"], ended["status_code"]) == ("failed", status)
    assert "asked to fail" in ended["error_message"]


@by_provider
def test_an_exception_in_the_stream(daemon: Daemon, model: Model, provider: str) -> None:
    name = f"anthropic.{model('words-5+break')}"
    with _client(f"{daemon.address}/{provider}") as client:
        events = client.messages.create(stream=True, **_arguments(name))
        with pytest.raises(anthropic.APIStatusError) as caught:
            list(events)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"] == {"type": "rate_limit_error", "message": "Overloaded"}
    ended = daemon.when_ended(name).ended
    assert ended["status"] == "failed"
    assert "Overloaded" in ended["error_message"]


@by_provider
@pytest.mark.parametrize("ending", ["cut", "reset"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_cut_answer(
    daemon: Daemon, model: Model, provider: str, ending: str, stream: bool
) -> None:
    name = f"anthropic.{model(f'words-50+{ending}')}"
    with _client(f"{daemon.address}/{provider}") as client, pytest.raises(Exception) as caught:  # noqa: PT011 (the SDK does not wrap what its HTTP library raises while a stream is read)
        list(client.messages.create(stream=stream, **_arguments(name)))
    assert isinstance(caught.value, anthropic.APIError) or "httpx" in type(caught.value).__module__
    assert daemon.when_ended(name).status == "failed"


@by_provider
def test_tokens_are_counted(
    simulator: Simulator, daemon: Daemon, model: Model, provider: str
) -> None:
    name = model("text")
    arguments = _arguments(f"global.anthropic.{name}")
    del arguments["max_tokens"]
    with _client(f"{daemon.address}/{provider}") as client:
        count = client.messages.count_tokens(**arguments)
    assert count.input_tokens > 10
    request = _upstream(simulator, name)
    assert unquote(request.path) == f"/model/anthropic.{name}/count-tokens"
    bedrock.check_signed(request)


def test_tokens_of_an_arn_without_a_model_cannot_be_counted(daemon: Daemon) -> None:
    arn = "arn:aws:bedrock:eu-west-3:123456789012:application-inference-profile/abc"
    with (
        _client(daemon.anthropic_url) as client,
        pytest.raises(anthropic.BadRequestError, match="does not name its model"),
    ):
        client.messages.count_tokens(model=arn, messages=[{"role": "user", "content": "x"}])


@by_provider
def test_models_are_those_of_the_configuration(daemon: Daemon, provider: str) -> None:
    with _client(f"{daemon.address}/{provider}") as client:
        names = [each.id for each in client.models.list()]
        assert "global.anthropic.claude-haiku-4-5-20251001-v1:0" in names
        assert client.models.retrieve(names[0]).id == names[0]
        with pytest.raises(anthropic.NotFoundError):
            client.models.retrieve("claude-unknown")


@pytest.mark.parametrize("coding", [b"gzip, deflate, br, zstd", b"*", b"identity;q=0"])
def test_what_the_client_accepts_does_not_reach_aws(
    simulator: Simulator, daemon: Daemon, model: Model, coding: bytes
) -> None:
    name = model("words-20")
    body = json.dumps(_arguments(f"anthropic.{name}", stream=True)).encode()
    headers = [*JSON_HEADERS, (b"Accept-Encoding", coding)]
    answer = ask(daemon.port, "POST", "/aws/v1/messages", body, headers)
    assert answer.status == 200
    assert answer.values("content-type") == ["text/event-stream; charset=utf-8"]
    assert answer.body.count(b"event: content_block_delta") == 21
    request = _upstream(simulator, name)
    assert request.values("accept-encoding") == ["identity"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_mantle(simulator: Simulator, daemon: Daemon, model: Model, case: Case) -> None:
    name = model(case.features)
    arguments = _arguments(name, **case.more)
    direct = _ask(simulator.anthropic_url, case, arguments)
    simulator.forget()
    assert _ask(f"{daemon.address}/mantle", case, arguments) == direct
    _check_recorded(daemon.only(name), _plan(name, arguments), f"ask {name}")
    (request,) = simulator.matching(name.encode())
    assert request.path == "/mantle/anthropic/v1/messages"
    bedrock.check_signed(request, service="bedrock-mantle")


def test_mantle_counts_tokens_and_relays_errors(
    simulator: Simulator, daemon: Daemon, model: Model
) -> None:
    name = model("error-429")
    with _client(f"{daemon.address}/mantle") as client:
        with pytest.raises(anthropic.RateLimitError):
            client.messages.create(**_arguments(name))
        arguments = _arguments(model("text"))
        del arguments["max_tokens"]
        assert client.messages.count_tokens(**arguments).input_tokens > 10
    bedrock.check_signed(simulator.requests[-1], service="bedrock-mantle")
    assert daemon.only(name).ended["status_code"] == 429


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_anthropic_s_bedrock_client(
    simulator: Simulator, daemon: Daemon, model: Model, case: Case
) -> None:
    name = model(case.features)
    arguments = _arguments(f"anthropic.{name}", **case.more)
    seen = []
    for url, key, secret in (
        (simulator.url, sigv4.ACCESS_KEY, sigv4.SECRET_KEY),
        (f"{daemon.address}/aws", bedrock.CLIENT_ACCESS_KEY, bedrock.CLIENT_SECRET),
    ):
        with anthropic.AnthropicBedrock(
            aws_access_key=key,
            aws_secret_key=secret,
            aws_region=bedrock.REGION,
            base_url=url,
            max_retries=0,
            timeout=20,
        ) as client:
            answer = client.messages.create(stream=case.stream, **arguments)
            events = list(answer) if case.stream else [answer]
            seen.append([each.model_dump() for each in events])
    assert seen[0] == seen[1]
    found = daemon.only(f"anthropic.{name}")
    _check_recorded(found, _plan(name, arguments), f"ask anthropic.{name}")
    assert found.ended["streaming"] is case.stream
    operation = "invoke-with-response-stream" if case.stream else "invoke"
    assert found.start["route"] == f"/model/*/{operation}"
    bedrock.check_signed(simulator.requests[-1])
