"""OpenAI responses: the blocking object and the stream's events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulator.plan import CREATED, Plan
from tests.simulator.sse import named_event

if TYPE_CHECKING:
    from collections.abc import Iterator

_Item = tuple[dict[str, Any], list[dict[str, Any]]]


def response(plan: Plan, body: dict[str, Any]) -> dict[str, Any]:
    """The answer in one piece: completed, failed or incomplete."""
    return _final(plan, body, [item for item, _ in _items(plan)])


def events(plan: Plan, body: dict[str, Any]) -> Iterator[bytes]:
    """The answer as numbered events."""
    number = 0

    def event(value: dict[str, Any]) -> bytes:
        nonlocal number
        number += 1
        return named_event(value | {"sequence_number": number - 1})

    running = _frame(plan, body) | {"status": "in_progress", "output": [], "usage": None}
    yield event({"type": "response.created", "response": running})
    yield event({"type": "response.in_progress", "response": running})
    done = []
    for index, (item, parts) in enumerate(_items(plan)):
        opened = item | _OPENED[item["type"]]
        yield event({"type": "response.output_item.added", "output_index": index, "item": opened})
        for part in parts:
            yield event(part | {"output_index": index, "item_id": item["id"]})
            if plan.has("break"):
                yield event({"type": "error"} | broken())
                return
        yield event({"type": "response.output_item.done", "output_index": index, "item": item})
        done.append(item)
    final = _final(plan, body, done)
    yield event({"type": f"response.{final['status']}", "response": final})


def broken() -> dict[str, Any]:
    """The flat error event in the middle of a stream."""
    return {"code": "server_error", "message": "The model stumbled.", "param": None}


_OPENED: dict[str, dict[str, Any]] = {
    "message": {"content": [], "status": "in_progress"},
    "reasoning": {"summary": []},
    "function_call": {"arguments": "", "status": "in_progress"},
    "custom_tool_call": {"input": "", "status": "in_progress"},
}


def _final(plan: Plan, body: dict[str, Any], output: list[dict[str, Any]]) -> dict[str, Any]:
    usage = None if plan.has("nousage") else _usage(plan)
    result = _frame(plan, body) | {"status": "completed", "output": output, "usage": usage}
    if plan.has("failed"):
        error = {"code": "server_error", "message": "The model failed to produce an answer."}
        result |= {"status": "failed", "error": error}
    elif plan.has("incomplete"):
        details = {"reason": "max_output_tokens"}
        result |= {"status": "incomplete", "incomplete_details": details}
    return result


def _frame(plan: Plan, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"resp_{plan.token}",
        "object": "response",
        "created_at": CREATED,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "model": plan.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
    }


def _usage(plan: Plan) -> dict[str, Any]:
    return {
        "input_tokens": plan.input_tokens,
        "input_tokens_details": {"cached_tokens": plan.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": plan.output_tokens,
        "output_tokens_details": {"reasoning_tokens": plan.reasoning_tokens},
        "total_tokens": plan.input_tokens + plan.output_tokens,
    }


def _items(plan: Plan) -> Iterator[_Item]:
    """Each output item, whole and as the events between its opening and its end."""
    if plan.thinking:
        yield _reasoning(plan)
    if plan.has("commentary"):
        yield _message(plan, "cm", ["I will look ", "at the files first."], "commentary")
    if plan.calls:
        for call in plan.calls:
            yield _function_call(call)
    elif plan.custom:
        yield _custom_call(plan)
    else:
        phase = "final_answer" if plan.has("commentary") else None
        yield _message(plan, "msg", plan.words, phase)


def _reasoning(plan: Plan) -> _Item:
    text = "".join(plan.thinking)
    part = {"type": "summary_text", "text": text}
    item = {"type": "reasoning", "id": f"rs_{plan.token}", "summary": [part]}
    kind = "response.reasoning_summary"
    events: list[dict[str, Any]] = [
        {"type": f"{kind}_part.added", "summary_index": 0, "part": part | {"text": ""}}
    ]
    events += [
        {"type": f"{kind}_text.delta", "summary_index": 0, "delta": piece}
        for piece in plan.thinking
    ]
    events.append({"type": f"{kind}_text.done", "summary_index": 0, "text": text})
    events.append({"type": f"{kind}_part.done", "summary_index": 0, "part": part})
    return item, events


def _message(plan: Plan, prefix: str, words: list[str], phase: str | None) -> _Item:
    text = "".join(words)
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    deltas = [
        {"type": "response.output_text.delta", "content_index": 0, "delta": word, "logprobs": []}
        for word in words
    ]
    done = {"type": "response.output_text.done", "content_index": 0, "text": text, "logprobs": []}
    if plan.has("refusal") and phase is None:
        text = "I cannot help with that."
        part = {"type": "refusal", "refusal": text}
        deltas = [{"type": "response.refusal.delta", "content_index": 0, "delta": text}]
        done = {"type": "response.refusal.done", "content_index": 0, "refusal": text}
    item: dict[str, Any] = {
        "type": "message",
        "id": f"{prefix}_{plan.token}",
        "status": "incomplete" if plan.has("incomplete") else "completed",
        "role": "assistant",
        "content": [part],
    }
    if phase:
        item["phase"] = phase
    empty = part | ({"refusal": ""} if part["type"] == "refusal" else {"text": ""})
    opened = {"type": "response.content_part.added", "content_index": 0, "part": empty}
    closed = {"type": "response.content_part.done", "content_index": 0, "part": part}
    return item, [opened, *deltas, done, closed]


def _function_call(call: Any) -> _Item:
    item = {
        "type": "function_call",
        "id": call.item_id,
        "call_id": call.call_id,
        "name": call.name,
        "arguments": call.json(),
        "status": "completed",
    }
    kind = "response.function_call_arguments"
    events: list[dict[str, Any]] = [
        {"type": f"{kind}.delta", "delta": fragment} for fragment in call.fragments()
    ]
    events.append({"type": f"{kind}.done", "name": call.name, "arguments": call.json()})
    return item, events


def _custom_call(plan: Plan) -> _Item:
    call = plan.custom
    assert call is not None
    text = f"*** Begin Patch\n+ {plan.token}\n*** End Patch"
    item = {
        "type": "custom_tool_call",
        "id": call.item_id,
        "call_id": call.call_id,
        "name": call.name,
        "input": text,
        "status": "completed",
    }
    kind = "response.custom_tool_call_input"
    events: list[dict[str, Any]] = [
        {"type": f"{kind}.delta", "delta": text[start : start + 12]}
        for start in range(0, len(text), 12)
    ]
    events.append({"type": f"{kind}.done", "input": text})
    return item, events
