"""Anthropic messages: the blocking object and the stream's events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulator.sse import named_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.plan import Plan


def message(plan: Plan) -> dict[str, Any]:
    """The answer in one piece."""
    content = [block for block, _ in _blocks(plan)]
    return _frame(plan) | {
        "content": content,
        "stop_reason": _stop_reason(plan),
        "usage": _usage(plan, plan.output_tokens),
    }


def events(plan: Plan) -> Iterator[bytes]:
    """The answer as events; output tokens in `message_delta` are cumulative, as the API says."""
    opening = _frame(plan) | {"content": [], "usage": _usage(plan, 1, final=False)}
    yield named_event({"type": "message_start", "message": opening})
    yield named_event({"type": "ping"})
    for index, (block, deltas) in enumerate(_blocks(plan)):
        opened = {"type": "content_block_start", "index": index, "content_block": _empty(block)}
        yield named_event(opened)
        for delta in deltas:
            yield named_event({"type": "content_block_delta", "index": index, "delta": delta})
            if plan.has("break"):
                yield named_event(
                    {"type": "error", "error": broken(), "request_id": _request(plan)}
                )
                return
        yield named_event({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": _stop_reason(plan), "stop_sequence": None}
    final = _usage(plan, plan.output_tokens)
    for name in ("cache_creation", "service_tier"):
        del final[name]
    yield named_event({"type": "message_delta", "delta": ending, "usage": final})
    yield named_event({"type": "message_stop"})


def broken() -> dict[str, Any]:
    """The error object in the middle of a stream."""
    return {"type": "overloaded_error", "message": "Overloaded"}


def _request(plan: Plan) -> str:
    return f"req_{plan.token}"


def _frame(plan: Plan) -> dict[str, Any]:
    return {
        "id": f"msg_{plan.token}",
        "type": "message",
        "role": "assistant",
        "model": plan.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _usage(plan: Plan, output: int, *, final: bool = True) -> dict[str, Any]:
    result: dict[str, Any] = {
        "input_tokens": plan.input_tokens - plan.cached_tokens,
        "cache_creation_input_tokens": plan.cache_write_tokens,
        "cache_read_input_tokens": plan.cached_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": plan.cache_write_tokens,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": output,
        "service_tier": "standard",
    }
    if final and plan.has("search"):
        result["server_tool_use"] = {"web_search_requests": 1, "web_fetch_requests": 0}
    return result


def _stop_reason(plan: Plan) -> str:
    if plan.calls:
        return "tool_use"
    if plan.has("refusal"):
        return "refusal"
    return "max_tokens" if plan.has("length") else "end_turn"


def _blocks(plan: Plan) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each content block, whole and as deltas."""
    if plan.thinking:
        signature = f"sig{plan.token}"
        deltas = [{"type": "thinking_delta", "thinking": part} for part in plan.thinking]
        deltas.append({"type": "signature_delta", "signature": signature})
        thinking = {"type": "thinking", "thinking": "".join(plan.thinking), "signature": signature}
        yield thinking, deltas
    if plan.has("redacted"):
        yield {"type": "redacted_thinking", "data": f"opaque{plan.token}"}, []
    if plan.has("search"):
        yield from _search(plan)
    text_deltas = [{"type": "text_delta", "text": word} for word in plan.words]
    yield {"type": "text", "text": plan.text}, text_deltas
    for call in plan.calls:
        call_id = call.call_id.replace("call_", "toolu_")
        block = {"type": "tool_use", "id": call_id, "name": call.name, "input": call.arguments}
        deltas = [{"type": "input_json_delta", "partial_json": ""}]
        deltas += [{"type": "input_json_delta", "partial_json": part} for part in call.fragments()]
        yield block, deltas


def _search(plan: Plan) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    call_id = f"srvtoolu_{plan.token}"
    query = {"query": "weather in Oslo"}
    call = {"type": "server_tool_use", "id": call_id, "name": "web_search", "input": query}
    yield call, [{"type": "input_json_delta", "partial_json": '{"query": "weather in Oslo"}'}]
    page = {
        "type": "web_search_result",
        "title": "Weather",
        "url": "https://weather.example/oslo",
        "encrypted_content": "opaque",
        "page_age": None,
    }
    yield {"type": "web_search_tool_result", "tool_use_id": call_id, "content": [page]}, []


def _empty(block: dict[str, Any]) -> dict[str, Any]:
    """A block as it is opened in a stream, before its deltas."""
    if block["type"] == "text":
        return block | {"text": ""}
    if block["type"] == "thinking":
        return block | {"thinking": "", "signature": ""}
    if block["type"] in {"tool_use", "server_tool_use"}:
        return block | {"input": {}}
    return block
