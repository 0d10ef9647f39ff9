"""What an application sees of an answer, as plain values that can be compared."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulator.plan import Plan, make_plan

if TYPE_CHECKING:
    from tests.e2e.store import Interception

WEATHER_CHAT = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
WEATHER_RESPONSES = {"type": "function", "strict": False, **WEATHER_CHAT["function"]}  # type: ignore[dict-item]
WEATHER_MESSAGES = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}

_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "date", "keep-alive"})


@dataclass(frozen=True)
class Case:
    """One call of an SDK: `features` steer the simulator, `more` are further arguments."""

    name: str
    features: str
    stream: bool = False
    more: dict[str, Any] = field(default_factory=dict)


def headers(response: Any) -> list[tuple[str, str]]:
    """An answer's headers but for those of the connection."""
    return [
        (name.lower(), value)
        for name, value in response.headers.multi_items()
        if name.lower() not in _FRAMING
    ]


def failure(error: Any) -> dict[str, Any]:
    """What a program can learn from an SDK's exception."""
    seen: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    for name in ("status_code", "code", "param", "body", "request_id"):
        if hasattr(error, name):
            seen[name] = getattr(error, name)
    if (response := getattr(error, "response", None)) is not None:
        seen["headers"] = headers(response)
    return seen


def check_tokens(found: Interception, plan: Plan, api: str) -> None:
    """One usage record with the final figures of the plan."""
    (usage,) = found.token_usages
    cache_write = plan.cache_write_tokens if api == "messages" else 0
    assert usage["input_tokens"] == plan.input_tokens - plan.cached_tokens
    assert usage["output_tokens"] == plan.output_tokens
    assert usage["cache_read_input_tokens"] == plan.cached_tokens
    assert usage["cache_write_input_tokens"] == cache_write
    extra = usage["metadata"]
    if api == "chat":
        assert extra.get("prompt_cached", 0) == plan.cached_tokens
        assert extra.get("completion_reasoning", 0) == plan.reasoning_tokens
    elif api == "responses":
        assert extra.get("input_cached", 0) == plan.cached_tokens
        assert extra.get("output_reasoning", 0) == plan.reasoning_tokens
        assert extra["total_tokens"] == plan.input_tokens + plan.output_tokens
    else:
        assert extra.get("cache_read_input", 0) == plan.cached_tokens
        assert extra.get("cache_ephemeral_5m_input", 0) == plan.cache_write_tokens
        assert extra.get("web_search_requests", 0) == (1 if plan.has("search") else 0)


def check_recorded(
    found: Interception, conversation: Any, api: str, *, prompt: str | None, streaming: bool
) -> None:
    """All records of a successful exchange, against what the simulator had planned to say."""
    plan = make_plan({"model": found.start["model"], _FIELD[api]: conversation})
    ended = found.ended
    assert found.start["route"] == _ROUTE[api]
    assert ended["status"] == "completed"
    assert ended["status_code"] == 200
    assert ended["streaming"] is streaming
    assert ended["duration_ms"] >= (ended["time_to_first_byte_ms"] or 0) >= 0
    response_id = _RESPONSE_ID[api] + plan.token
    assert [(each["prompt"], each["msg_id"]) for each in found.prompts] == (
        [] if prompt is None else [(prompt, response_id)]
    )
    if plan.has("nousage"):
        # What came can be counted all the same.
        assert [usage["output_tokens"] > 0 for usage in found.token_usages] == [True]
    else:
        check_tokens(found, plan, api)
        assert found.token_usages[0]["msg_id"] == response_id
    check_calls(found, plan, api)
    assert [(each["metadata"]["source"], each["content"]) for each in found.thoughts] == (
        _thoughts(plan, api)
    )


def check_calls(found: Interception, plan: Plan, api: str) -> None:
    """Every tool call of the plan, in order."""
    prefix = "toolu_" if api == "messages" else "call_"
    expected = [
        (call.call_id.replace("call_", prefix), call.name, call.arguments) for call in plan.calls
    ]
    if api == "responses" and plan.custom and not plan.calls:
        patch = f"*** Begin Patch\n+ {plan.token}\n*** End Patch"
        expected = [(plan.custom.call_id, plan.custom.name, patch)]  # type: ignore[list-item]
    seen = [
        (call["tool_call_id"], call["tool"], json.loads(call["input"]))
        for call in found.tool_usages
        if not call["tool_call_id"].startswith("srvtoolu_")
    ]
    assert seen == expected
    if api == "responses" and plan.calls:
        assert [call["item_id"] for call in found.tool_usages] == [
            call.item_id for call in plan.calls
        ]


def _thoughts(plan: Plan, api: str) -> list[tuple[str, str]]:
    thoughts = []
    if plan.thinking:
        thoughts.append((_THINKING[api], "".join(plan.thinking)))
    if api == "responses" and plan.has("commentary"):
        thoughts.append(("commentary", "I will look at the files first."))
    return thoughts


_FIELD = {"chat": "messages", "responses": "input", "messages": "messages"}
_ROUTE = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
_RESPONSE_ID = {"chat": "chatcmpl-", "responses": "resp_", "messages": "msg_"}
_THINKING = {"chat": "reasoning_content", "responses": "reasoning_summary", "messages": "thinking"}
