"""The `anthropic` package sees through the gateway what it sees without it, and all is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anthropic
import pytest

from tests.e2e.sdk import WEATHER_MESSAGES, Case, check_recorded, failure, headers

if TYPE_CHECKING:
    from tests.e2e.daemon import Daemon
    from tests.simulator import Simulator

Model = Callable[[str], str]
TOOLS = {"tools": [WEATHER_MESSAGES]}

MESSAGES = [
    Case("text", "text"),
    Case("tools", "tools-3", more=TOOLS),
    Case("thinking", "think+redacted+cached+tools-2", more=TOOLS),
    Case("server tools", "search"),
    Case("refusal", "refusal"),
    Case("gzip", "words-40+gzip"),
    Case("stream", "words-30", stream=True),
    Case("stream of tools", "tools-3", stream=True, more=TOOLS),
    Case("stream of everything", "think+redacted+search+cached+tools-2", stream=True, more=TOOLS),
    Case("stream in fragments", "think+tools-2+split-3", stream=True, more=TOOLS),
    Case("compressed stream", "words-30+zstd", stream=True),
]
_CLIENT: dict[str, Any] = {"api_key": "sk-ant-client", "max_retries": 0, "timeout": 20}


def _by_name(case: Case) -> str:
    return case.name


def _arguments(case: Case, name: str) -> dict[str, Any]:
    return {
        "model": name,
        "max_tokens": 500,
        "messages": [{"role": "user", "content": f"ask {name}"}],
        "extra_headers": {"anthropic-beta": "context-1m-2025-08-07"},
        **case.more,
    }


def _ask(resource: Any, case: Case, arguments: dict[str, Any]) -> dict[str, Any]:
    raw = resource.with_raw_response.create(stream=case.stream, **arguments)
    parsed = raw.parse()
    events = list(parsed) if case.stream else [parsed]
    return {"events": [each.model_dump() for each in events], "headers": headers(raw)}


async def _ask_async(resource: Any, case: Case, arguments: dict[str, Any]) -> dict[str, Any]:
    raw = await resource.with_raw_response.create(stream=case.stream, **arguments)
    parsed = await raw.parse()
    events = [each async for each in parsed] if case.stream else [parsed]
    return {"events": [each.model_dump() for each in events], "headers": headers(raw)}


def _check(gateway: Daemon, case: Case, arguments: dict[str, Any]) -> None:
    found = gateway.only(arguments["model"])
    messages = arguments["messages"]
    prompt = messages[-1]["content"]
    check_recorded(found, messages, "messages", prompt=prompt, streaming=case.stream)
    assert found.start["provider"] == found.start["provider_name"] == "anthropic"
    assert found.start["credential_kind"] == "byok"


@pytest.mark.parametrize("case", MESSAGES, ids=_by_name)
def test_messages(simulator: Simulator, gateway: Daemon, model: Model, case: Case) -> None:
    arguments = _arguments(case, model(case.features))
    with anthropic.Anthropic(base_url=simulator.anthropic_url, **_CLIENT) as client:
        direct = _ask(client.messages, case, arguments)
    with anthropic.Anthropic(base_url=gateway.anthropic_url, **_CLIENT) as client:
        assert _ask(client.messages, case, arguments) == direct
    _check(gateway, case, arguments)


@pytest.mark.parametrize("case", MESSAGES, ids=_by_name)
async def test_messages_async(
    simulator: Simulator, gateway: Daemon, model: Model, case: Case
) -> None:
    arguments = _arguments(case, model(case.features))
    async with anthropic.AsyncAnthropic(base_url=simulator.anthropic_url, **_CLIENT) as client:
        direct = await _ask_async(client.messages, case, arguments)
    async with anthropic.AsyncAnthropic(base_url=gateway.anthropic_url, **_CLIENT) as client:
        assert await _ask_async(client.messages, case, arguments) == direct
    _check(gateway, case, arguments)


def test_the_streaming_helper(simulator: Simulator, gateway: Daemon, model: Model) -> None:
    arguments = _arguments(Case("", ""), model("think+tools-2+cached"))
    seen = []
    for url in (simulator.anthropic_url, gateway.anthropic_url):
        with (
            anthropic.Anthropic(base_url=url, **_CLIENT) as client,
            client.messages.stream(**arguments) as stream,
        ):
            events = [event.model_dump() for event in stream]
            events.append(stream.get_final_message().model_dump())
        seen.append(events)
    assert seen[0] == seen[1]
    (found,) = gateway.recorded(arguments["model"])
    assert found.status == "completed"
    assert len(found.tool_usages) == 2


def test_the_beta_query_arrives(simulator: Simulator, gateway: Daemon, model: Model) -> None:
    arguments = _arguments(Case("", ""), model("text"))
    with anthropic.Anthropic(base_url=gateway.anthropic_url, **_CLIENT) as client:
        client.messages.create(**arguments, extra_query={"beta": "true"})
    (request,) = simulator.matching(arguments["model"].encode())
    assert request.target == "/v1/messages?beta=true"
    assert request.values("anthropic-beta") == ["context-1m-2025-08-07"]
    assert gateway.only(arguments["model"]).start["route"] == "/v1/messages"


def test_a_token_in_the_bearer_header(simulator: Simulator, gateway: Daemon, model: Model) -> None:
    arguments = _arguments(Case("", ""), model("text"))
    with anthropic.Anthropic(
        base_url=gateway.anthropic_url, api_key=None, auth_token="oauth-token-of-a-subscription"
    ) as client:
        client.messages.create(**arguments)
    (request,) = simulator.matching(arguments["model"].encode())
    assert request.values("authorization") == ["Bearer oauth-token-of-a-subscription"]
    assert request.values("x-api-key") == []
    found = gateway.only(arguments["model"])
    assert found.start["credential_kind"] == "byok"
    assert found.start["credential_hint"] == "oaut...tion"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 529])
@pytest.mark.parametrize("stream", [False, True], ids=["blocking", "streaming"])
def test_errors(
    simulator: Simulator, gateway: Daemon, model: Model, status: int, stream: bool
) -> None:
    arguments = _arguments(Case("", ""), model(f"error-{status}"))
    seen = []
    for url in (simulator.anthropic_url, gateway.anthropic_url):
        with anthropic.Anthropic(base_url=url, **_CLIENT) as client:
            with pytest.raises(anthropic.APIStatusError) as caught:
                client.messages.create(stream=stream, **arguments)
            seen.append(failure(caught.value))
    assert seen[0] == seen[1]
    assert seen[0]["status_code"] == status
    found = gateway.only(arguments["model"])
    assert found.status == "failed"
    assert found.ended["status_code"] == status
    assert found.ended["error_message"] == "The simulator was asked to fail."
    assert len(found.prompts) == 1


def test_an_error_that_is_no_json(simulator: Simulator, gateway: Daemon, model: Model) -> None:
    arguments = _arguments(Case("", ""), model("html-502"))
    seen = []
    for url in (simulator.anthropic_url, gateway.anthropic_url):
        with anthropic.Anthropic(base_url=url, **_CLIENT) as client:
            with pytest.raises(anthropic.InternalServerError) as caught:
                client.messages.create(**arguments)
            seen.append(failure(caught.value) | {"text": caught.value.response.text})
    assert seen[0] == seen[1]
    assert gateway.only(arguments["model"]).ended["status_code"] == 502


def test_an_error_in_the_middle_of_a_stream(
    simulator: Simulator, gateway: Daemon, model: Model
) -> None:
    arguments = _arguments(Case("", ""), model("words-9+break"))
    seen = []
    for url in (simulator.anthropic_url, gateway.anthropic_url):
        events: list[Any] = []
        with anthropic.Anthropic(base_url=url, **_CLIENT) as client:
            with pytest.raises(anthropic.APIStatusError) as caught:
                events.extend(
                    event.model_dump() for event in client.messages.create(stream=True, **arguments)
                )
            events.append(failure(caught.value))
        seen.append(events)
    assert seen[0] == seen[1]
    found = gateway.only(arguments["model"])
    assert found.status == "failed"
    assert found.ended["error_type"] == "overloaded_error"
    assert found.ended["error_message"] == "Overloaded"
    assert found.ended["status_code"] == 200


def test_an_agent_s_loop_with_tool_results(gateway: Daemon, model: Model) -> None:
    name = model("tools-2+think")
    messages: list[Any] = [{"role": "user", "content": "compare the weather"}]
    with anthropic.Anthropic(base_url=gateway.anthropic_url, **_CLIENT) as client:
        first = client.messages.create(model=name, max_tokens=9, messages=messages)
        calls = [block for block in first.content if block.type == "tool_use"]
        results: list[Any] = [
            {"type": "tool_result", "tool_use_id": calls[0].id, "content": "3 degrees"},
            {
                "type": "tool_result",
                "tool_use_id": calls[1].id,
                "content": [{"type": "text", "text": "no such city"}],
                "is_error": True,
            },
            {"type": "text", "text": "<system-reminder>Be brief.</system-reminder>"},
        ]
        messages += [
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": results},
        ]
        client.messages.create(model=name, max_tokens=9, messages=messages)
        results[-1]["text"] = "and in feet?"
        client.messages.create(model=name, max_tokens=9, messages=messages)
    asked, continued, asked_more = gateway.recorded(name)
    assert [call["tool_call_id"] for call in asked.tool_usages] == [call.id for call in calls]
    assert continued.prompts == []
    assert continued.start["correlating_tool_call_id"] == calls[1].id
    assert [
        (each["content"], each["is_error"], each["size"]) for each in continued.tool_results
    ] == [
        ("3 degrees", False, 9),
        ("no such city", True, 12),
    ]
    assert [each["tool_call_id"] for each in continued.tool_results] == [call.id for call in calls]
    assert [prompt["prompt"] for prompt in asked_more.prompts] == ["and in feet?"]


def test_what_is_passed_through(simulator: Simulator, gateway: Daemon) -> None:
    before = len(gateway.interceptions())
    messages: Any = [{"role": "user", "content": "count me"}]
    seen = []
    for url in (simulator.anthropic_url, gateway.anthropic_url):
        with anthropic.Anthropic(base_url=url, **_CLIENT) as client:
            seen.append(
                [
                    [each.model_dump() for each in client.models.list(limit=3)],
                    client.models.retrieve("sim-text").model_dump(),
                    client.messages.count_tokens(model="m", messages=messages).model_dump(),
                    client.beta.messages.count_tokens(model="m", messages=messages).model_dump(),
                    client.post("/api/event_logging/batch", cast_to=object, body={"events": []}),
                ]
            )
    assert seen[0] == seen[1]
    assert len(gateway.interceptions()) == before
