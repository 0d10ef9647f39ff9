"""The `openai` package sees through the gateway what it sees without it, and all is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.e2e.sdk import (
    WEATHER_CHAT,
    WEATHER_RESPONSES,
    Case,
    check_recorded,
    failure,
    headers,
)
from tests.simulator import Script

if TYPE_CHECKING:
    from tests.e2e.daemon import Daemon
    from tests.simulator import Simulator

Model = Callable[[str], str]
USAGE = {"stream_options": {"include_usage": True}}
TOOLS = {"tools": [WEATHER_CHAT]}
RESPONSE_TOOLS = {"tools": [WEATHER_RESPONSES]}

CHAT = [
    Case("text", "text"),
    Case("many choices", "text", more={"n": 2}),
    Case("tools", "tools-3", more=TOOLS),
    Case("reasoning", "think"),
    Case("cached", "cached"),
    Case("refusal", "refusal"),
    Case("no usage", "nousage"),
    Case("gzip", "words-40+gzip"),
    Case("stream", "words-30", stream=True),
    Case("stream with usage", "words-30", stream=True, more=USAGE),
    Case("stream without usage", "nousage", stream=True, more=USAGE),
    Case("stream of choices", "words-3", stream=True, more={"n": 2}),
    Case("stream of tools", "tools-3", stream=True, more=TOOLS),
    Case("stream of reasoning and tools", "think+tools-2+cached", stream=True, more=TOOLS),
    Case("stream in fragments", "tools-2+split-7", stream=True, more=TOOLS),
    Case("compressed stream", "words-30+br", stream=True, more=USAGE),
]
RESPONSES = [
    Case("text", "text"),
    Case("tools", "think+tools-3", more=RESPONSE_TOOLS),
    Case("custom tool", "custom"),
    Case("commentary", "think+commentary+tools-1+cached", more=RESPONSE_TOOLS),
    Case("zstd", "words-40+zstd"),
    Case("stream", "words-30", stream=True),
    Case("stream of everything", "think+commentary+cached+tools-3", stream=True),
    Case("stream of a custom tool", "custom", stream=True),
    Case("stream of a refusal", "refusal", stream=True),
    Case("stream in fragments", "think+tools-2+split-5", stream=True),
    Case("compressed stream", "words-30+deflate", stream=True),
]
_CLIENT: dict[str, Any] = {"api_key": "sk-client", "max_retries": 0, "timeout": 20}


def _by_name(case: Case) -> str:
    return case.name


def _arguments(case: Case, name: str) -> dict[str, Any]:
    return {"model": name, "extra_headers": {"X-Custom": "kept"}, **case.more}


def _chat_arguments(case: Case, name: str) -> dict[str, Any]:
    return _arguments(case, name) | {"messages": [{"role": "user", "content": f"ask {name}"}]}


def _ask(resource: Any, case: Case, arguments: dict[str, Any]) -> dict[str, Any]:
    raw = resource.with_raw_response.create(stream=case.stream, **arguments)
    parsed = raw.parse()
    events = list(parsed) if case.stream else [parsed]
    return {"events": [each.model_dump() for each in events], "headers": headers(raw)}


async def _ask_async(resource: Any, case: Case, arguments: dict[str, Any]) -> dict[str, Any]:
    raw = await resource.with_raw_response.create(stream=case.stream, **arguments)
    parsed = raw.parse()
    events = [each async for each in parsed] if case.stream else [parsed]
    return {"events": [each.model_dump() for each in events], "headers": headers(raw)}


@pytest.mark.parametrize("case", CHAT, ids=_by_name)
def test_chat(simulator: Simulator, gateway: Daemon, model: Model, case: Case) -> None:
    arguments = _chat_arguments(case, model(case.features))
    with openai.OpenAI(base_url=simulator.openai_url, **_CLIENT) as client:
        direct = _ask(client.chat.completions, case, arguments)
    with openai.OpenAI(base_url=gateway.openai_url, **_CLIENT) as client:
        assert _ask(client.chat.completions, case, arguments) == direct
    _check_chat(gateway, case, arguments)


@pytest.mark.parametrize("case", CHAT, ids=_by_name)
async def test_chat_async(simulator: Simulator, gateway: Daemon, model: Model, case: Case) -> None:
    arguments = _chat_arguments(case, model(case.features))
    async with openai.AsyncOpenAI(base_url=simulator.openai_url, **_CLIENT) as client:
        direct = await _ask_async(client.chat.completions, case, arguments)
    async with openai.AsyncOpenAI(base_url=gateway.openai_url, **_CLIENT) as client:
        assert await _ask_async(client.chat.completions, case, arguments) == direct
    _check_chat(gateway, case, arguments)


def test_a_compressed_stream_whose_usage_is_kept_back_comes_uncompressed(
    simulator: Simulator, gateway: Daemon, model: Model
) -> None:
    # A chunk can only be left out of readable bytes: the one case in which a coding is taken off.
    case = Case("", "words-30+gzip", stream=True)
    arguments = _chat_arguments(case, model(case.features))
    with openai.OpenAI(base_url=simulator.openai_url, **_CLIENT) as client:
        direct = _ask(client.chat.completions, case, arguments)
    with openai.OpenAI(base_url=gateway.openai_url, **_CLIENT) as client:
        through = _ask(client.chat.completions, case, arguments)
    assert through["events"] == direct["events"]
    assert through["headers"] == [
        (name, value) for name, value in direct["headers"] if name != "content-encoding"
    ]
    _check_chat(gateway, case, arguments)


def _check_chat(gateway: Daemon, case: Case, arguments: dict[str, Any]) -> None:
    found = gateway.only(arguments["model"])
    messages = arguments["messages"]
    prompt = messages[-1]["content"]
    check_recorded(found, messages, "chat", prompt=prompt, streaming=case.stream)
    assert found.start["credential_kind"] == "byok"
    assert found.start["provider"] == found.start["provider_name"] == "openai"
    assert "OpenAI/Python" in found.start["metadata"]["request_user_agent"]


@pytest.mark.parametrize("case", RESPONSES, ids=_by_name)
def test_responses(simulator: Simulator, gateway: Daemon, model: Model, case: Case) -> None:
    arguments = _arguments(case, model(case.features)) | {"input": "what weather?"}
    with openai.OpenAI(base_url=simulator.openai_url, **_CLIENT) as client:
        direct = _ask(client.responses, case, arguments)
    with openai.OpenAI(base_url=gateway.openai_url, **_CLIENT) as client:
        assert _ask(client.responses, case, arguments) == direct
    found = gateway.only(arguments["model"])
    check_recorded(
        found, "what weather?", "responses", prompt="what weather?", streaming=case.stream
    )


@pytest.mark.parametrize("case", RESPONSES, ids=_by_name)
async def test_responses_async(
    simulator: Simulator, gateway: Daemon, model: Model, case: Case
) -> None:
    arguments = _arguments(case, model(case.features)) | {"input": "what weather?"}
    async with openai.AsyncOpenAI(base_url=simulator.openai_url, **_CLIENT) as client:
        direct = await _ask_async(client.responses, case, arguments)
    async with openai.AsyncOpenAI(base_url=gateway.openai_url, **_CLIENT) as client:
        assert await _ask_async(client.responses, case, arguments) == direct
    found = gateway.only(arguments["model"])
    check_recorded(
        found, "what weather?", "responses", prompt="what weather?", streaming=case.stream
    )


def test_usage_is_recorded_where_the_client_did_not_ask_for_it(
    simulator: Simulator, gateway: Daemon, model: Model
) -> None:
    name = model("words-5")
    messages: Any = [{"role": "user", "content": "hello"}]
    with openai.OpenAI(base_url=gateway.openai_url, **_CLIENT) as client:
        stream = client.chat.completions.create(model=name, messages=messages, stream=True)
        chunks = list(stream)
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)
    assert gateway.only(name).token_usages
    (request,) = simulator.matching(name.encode())
    assert request.json()["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True], ids=["blocking", "streaming"])
def test_errors(
    simulator: Simulator, gateway: Daemon, model: Model, status: int, stream: bool
) -> None:
    name = model(f"error-{status}")
    seen = []
    for url in (simulator.openai_url, gateway.openai_url):
        with openai.OpenAI(base_url=url, **_CLIENT) as client:
            with pytest.raises(openai.APIStatusError) as caught:
                client.chat.completions.create(
                    model=name, messages=[{"role": "user", "content": "hello"}], stream=stream
                )
            seen.append(failure(caught.value))
    assert seen[0] == seen[1]
    assert seen[0]["status_code"] == status
    found = gateway.only(name)
    assert found.status == "failed"
    assert found.ended["status_code"] == status
    assert found.ended["error_message"] == "The simulator was asked to fail."
    assert [prompt["prompt"] for prompt in found.prompts] == ["hello"]
    assert found.token_usages == []


def test_the_sdk_s_own_retries_are_interceptions_of_their_own(
    gateway: Daemon, simulator: Simulator, model: Model
) -> None:
    name = model("text")
    simulator.script(
        Script(status=500, headers=[("retry-after-ms", "1")], body=b"{}"), match=name.encode()
    )
    with openai.OpenAI(base_url=gateway.openai_url, api_key="k", max_retries=2) as client:
        client.responses.create(model=name, input="again")
    assert [found.status for found in gateway.recorded(name)] == ["failed", "completed"]


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_an_error_in_the_middle_of_a_stream(
    simulator: Simulator, gateway: Daemon, model: Model, api: str
) -> None:
    name = model("words-9+break")
    seen = []
    for url in (simulator.openai_url, gateway.openai_url):
        with openai.OpenAI(base_url=url, **_CLIENT) as client:
            seen.append(_events_until_error(client, api, name))
    assert seen[0] == seen[1]
    found = gateway.only(name)
    assert found.status == "failed"
    assert found.ended["error_type"] == "server_error"
    assert found.ended["status_code"] == 200
    assert found.prompts


def _events_until_error(client: openai.OpenAI, api: str, name: str) -> list[Any]:
    seen: list[Any] = []
    messages: Any = [{"role": "user", "content": "x"}]
    try:
        stream: Any = (
            client.chat.completions.create(model=name, messages=messages, stream=True)
            if api == "chat"
            else client.responses.create(model=name, input="x", stream=True)
        )
        seen.extend(event.model_dump() for event in stream)
    except openai.APIError as error:
        seen.append(failure(error))
    return seen


@pytest.mark.parametrize("stream", [False, True], ids=["blocking", "streaming"])
@pytest.mark.parametrize(
    ("feature", "status", "error_type"),
    [("failed", "failed", "server_error"), ("incomplete", "completed", "max_output_tokens")],
)
def test_responses_that_fail_or_stop_early(
    simulator: Simulator,
    gateway: Daemon,
    model: Model,
    feature: str,
    status: str,
    error_type: str,
    stream: bool,
) -> None:
    case = Case(feature, f"words-9+{feature}", stream)
    arguments = {"model": model(case.features), "input": "go on"}
    with openai.OpenAI(base_url=simulator.openai_url, **_CLIENT) as client:
        direct = _ask(client.responses, case, arguments)
    with openai.OpenAI(base_url=gateway.openai_url, **_CLIENT) as client:
        assert _ask(client.responses, case, arguments) == direct
    found = gateway.only(arguments["model"])
    assert (found.status, found.ended["error_type"]) == (status, error_type)
    assert len(found.token_usages) == 1


def test_an_agent_s_loop_with_tool_results(gateway: Daemon, model: Model) -> None:
    name = model("tools-2")
    messages: list[Any] = [{"role": "user", "content": "compare the weather"}]
    with openai.OpenAI(base_url=gateway.openai_url, **_CLIENT) as client:
        first = client.chat.completions.create(model=name, messages=messages)
        calls = first.choices[0].message.tool_calls or []
        messages.append(first.choices[0].message.model_dump(exclude_none=True))
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": f"{turn} degrees"}
            for turn, call in enumerate(calls)
        ]
        client.chat.completions.create(model=name, messages=messages)
    asked, continued = gateway.recorded(name)
    assert [call["tool_call_id"] for call in asked.tool_usages] == [call.id for call in calls]
    assert continued.prompts == []
    assert continued.start["correlating_tool_call_id"] == calls[-1].id
    assert "1 degrees" in [result["content"] for result in continued.tool_results]


def test_responses_with_tool_outputs(gateway: Daemon, model: Model) -> None:
    name = model("tools-2")
    with openai.OpenAI(base_url=gateway.openai_url, **_CLIENT) as client:
        first = client.responses.create(model=name, input="compare")
        outputs: Any = [
            {"type": "function_call_output", "call_id": item.call_id, "output": "3 degrees"}
            for item in first.output
            if item.type == "function_call"
        ]
        client.responses.create(model=name, input=outputs, previous_response_id=first.id)
    _, continued = gateway.recorded(name)
    assert continued.prompts == []
    assert continued.start["correlating_tool_call_id"] == outputs[-1]["call_id"]
    assert {result["content"] for result in continued.tool_results} == {"3 degrees"}


def test_the_streaming_helpers(simulator: Simulator, gateway: Daemon, model: Model) -> None:
    name = model("think+tools-2")
    seen = []
    for url in (simulator.openai_url, gateway.openai_url):
        with openai.OpenAI(base_url=url, **_CLIENT) as client:
            with client.responses.stream(model=name, input="x") as responses:
                events = [event.model_dump() for event in responses]
            with client.chat.completions.stream(
                model=name, messages=[{"role": "user", "content": "x"}]
            ) as chat:
                events += [event.model_dump() for event in chat]
        seen.append(events)
    assert seen[0] == seen[1]
    assert len(gateway.recorded(name)) == 2


def test_what_is_passed_through(simulator: Simulator, gateway: Daemon) -> None:
    before = len(gateway.interceptions())
    seen = []
    for url in (simulator.openai_url, gateway.openai_url):
        with openai.OpenAI(base_url=url, **_CLIENT) as client:
            client.responses.delete("resp_1")
            seen.append(
                [
                    [each.model_dump() for each in client.models.list()],
                    client.models.retrieve("sim-text").model_dump(),
                    client.models.retrieve("a model: with odd~chars").model_dump(),
                    client.responses.retrieve("resp_1").model_dump(),
                    [each.model_dump() for each in client.responses.input_items.list("resp_1")],
                    client.responses.cancel("resp_1").model_dump(),
                    client.responses.input_tokens.count(model="m", input="x").model_dump(),
                    client.conversations.create(metadata={"k": "v"}).model_dump(),
                    client.conversations.retrieve("conv_7").model_dump(),
                    [each.model_dump() for each in client.conversations.items.list("conv_7")],
                    client.conversations.delete("conv_7").model_dump(),
                ]
            )
    assert seen[0] == seen[1]
    assert len(gateway.interceptions()) == before
