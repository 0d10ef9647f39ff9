"""OpenAI chat completions: the blocking object and the stream's chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulator.plan import CREATED, Plan
from tests.simulator.sse import data_event

if TYPE_CHECKING:
    from collections.abc import Iterator


def completion(plan: Plan, body: dict[str, Any]) -> dict[str, Any]:
    """The answer in one piece, with `n` choices if the request asked for them."""
    message: dict[str, Any] = {"role": "assistant", "content": plan.text, "refusal": None}
    if plan.has("refusal"):
        message |= {"content": None, "refusal": "I cannot help with that."}
    if plan.thinking:
        message["reasoning_content"] = "".join(plan.thinking)
    if plan.calls:
        message |= {"content": None, "tool_calls": [_call(call) for call in plan.calls]}
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": _finish(plan)}
        for index in range(body.get("n") or 1)
    ]
    result = _frame(plan, "chat.completion") | {"choices": choices}
    return result if plan.has("nousage") else result | {"usage": usage(plan)}


def chunks(plan: Plan, body: dict[str, Any]) -> Iterator[bytes]:
    """The answer as events. Usage comes, and is named on every chunk, only if it was asked for."""
    options = body.get("stream_options")
    with_usage = isinstance(options, dict) and options.get("include_usage") is True
    frame = _frame(plan, "chat.completion.chunk")
    if with_usage:
        frame["usage"] = None

    def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return data_event(frame | {"choices": [choice]})

    choices = range(body.get("n") or 1)
    for index in choices:
        yield chunk({"role": "assistant", "content": "", "refusal": None}, index=index)
        for delta in _deltas(plan):
            yield chunk(delta, index=index)
            if plan.has("break"):
                yield data_event({"error": broken()})
                return
    for index in choices:
        yield chunk({}, _finish(plan), index=index)
    if with_usage and not plan.has("nousage"):
        yield data_event(frame | {"choices": [], "usage": usage(plan)})
    yield b"data: [DONE]\n\n"


def broken() -> dict[str, Any]:
    """The error object in the middle of a stream."""
    return {
        "message": "The server had an error while processing your request",
        "type": "server_error",
        "param": None,
        "code": "server_error",
    }


def usage(plan: Plan) -> dict[str, Any]:
    """Token counts with their details."""
    return {
        "prompt_tokens": plan.input_tokens,
        "completion_tokens": plan.output_tokens,
        "total_tokens": plan.input_tokens + plan.output_tokens,
        "prompt_tokens_details": {"cached_tokens": plan.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": plan.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _frame(plan: Plan, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{plan.token}",
        "object": kind,
        "created": CREATED,
        "model": plan.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulator",
    }


def _finish(plan: Plan) -> str:
    if plan.calls:
        return "tool_calls"
    return "length" if plan.has("length") else "stop"


def _call(call: Any) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.json()}
    return {"id": call.call_id, "type": "function", "function": function}


def _deltas(plan: Plan) -> Iterator[dict[str, Any]]:
    for thought in plan.thinking:
        yield {"reasoning_content": thought}
    if plan.has("refusal"):
        yield {"refusal": "I cannot "}
        yield {"refusal": "help with that."}
        return
    if not plan.calls:
        for word in plan.words:
            yield {"content": word}
        return
    for index, call in enumerate(plan.calls):
        start = {"name": call.name, "arguments": ""}
        opened = {"index": index, "id": call.call_id, "type": "function", "function": start}
        yield {"tool_calls": [opened]}
        for fragment in call.fragments():
            yield {"tool_calls": [{"index": index, "function": {"arguments": fragment}}]}
