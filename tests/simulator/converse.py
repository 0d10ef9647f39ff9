"""Bedrock's Converse: the blocking object, the frames of its stream, and its requests as Messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulator.eventstream import frame
from tests.simulator.sse import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.plan import Call, Plan

_LATENCY = {"latencyMs": 120}


def as_messages(body: dict[str, Any]) -> dict[str, Any]:
    """What of a request a plan is made from."""
    turns = [
        {"role": turn.get("role"), "content": [_block(block) for block in turn.get("content", [])]}
        for turn in body.get("messages", [])
    ]
    tools = body.get("toolConfig", {}).get("tools", [])
    names = [{"name": tool["toolSpec"]["name"]} for tool in tools if "toolSpec" in tool]
    return {"messages": turns, "tools": names}


def answer(plan: Plan) -> dict[str, Any]:
    """The answer in one piece."""
    content: list[dict[str, Any]] = []
    if plan.thinking:
        text = {"text": "".join(plan.thinking), "signature": f"sig{plan.token}"}
        content.append({"reasoningContent": {"reasoningText": text}})
    content.append({"text": plan.text})
    content += [{"toolUse": _call(call) | {"input": call.arguments}} for call in plan.calls]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _stop_reason(plan),
        "usage": _usage(plan),
        "metrics": _LATENCY,
    }


def frames(plan: Plan) -> Iterator[bytes]:
    """The answer as the frames of ConverseStream."""
    yield _event("messageStart", {"role": "assistant"})
    for index, (start, deltas) in enumerate(_blocks(plan)):
        if start is not None:
            yield _event("contentBlockStart", {"start": start, "contentBlockIndex": index})
        for delta in deltas:
            yield _event("contentBlockDelta", {"delta": delta, "contentBlockIndex": index})
            if plan.has("break"):
                failure = to_json({"message": "Overloaded"})
                yield frame("throttlingException", failure, message_type="exception")
                return
        yield _event("contentBlockStop", {"contentBlockIndex": index})
    yield _event("messageStop", {"stopReason": _stop_reason(plan)})
    yield _event("metadata", {"usage": _usage(plan), "metrics": _LATENCY})


def _blocks(plan: Plan) -> Iterator[tuple[dict[str, Any] | None, list[dict[str, Any]]]]:
    if plan.thinking:
        deltas = [{"reasoningContent": {"text": part}} for part in plan.thinking]
        deltas.append({"reasoningContent": {"signature": f"sig{plan.token}"}})
        yield None, deltas
    yield None, [{"text": word} for word in plan.words]
    for call in plan.calls:
        fragments = [{"toolUse": {"input": part}} for part in call.fragments()]
        yield {"toolUse": _call(call)}, fragments


def _event(kind: str, value: dict[str, Any]) -> bytes:
    return frame(kind, to_json(value | {"p": "abcdefgh"}))


def _call(call: Call) -> dict[str, Any]:
    return {"toolUseId": call.call_id.replace("call_", "tooluse_"), "name": call.name}


def _stop_reason(plan: Plan) -> str:
    if plan.calls:
        return "tool_use"
    return "max_tokens" if plan.has("length") else "end_turn"


def _usage(plan: Plan) -> dict[str, int]:
    fresh = plan.input_tokens - plan.cached_tokens
    usage = {
        "inputTokens": fresh,
        "outputTokens": plan.output_tokens,
        "totalTokens": plan.input_tokens + plan.output_tokens,
    }
    if plan.cached_tokens:
        usage["cacheReadInputTokens"] = plan.cached_tokens
        usage["cacheWriteInputTokens"] = plan.cache_write_tokens
    return usage


def _block(block: dict[str, Any]) -> dict[str, Any]:
    if "toolResult" in block:
        return {"type": "tool_result", "tool_use_id": block["toolResult"].get("toolUseId")}
    return block
