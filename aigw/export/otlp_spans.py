"""Spans by OpenTelemetry's conventions for generative AI, from rows of the store.

    trace                   a thread: a prompt and the loop that followed it
      invoke_agent CLIENT     the thread
        chat MODEL              an interception
          execute_tool TOOL       a tool call, from its making to when its result came back

All ids are derived from ours, so exporting again gives the same. Source of the names:
https://github.com/open-telemetry/semantic-conventions-genai (docs/gen-ai). Ours begin with `aigw.`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any, TypeAlias
from uuid import UUID

Span: TypeAlias = dict[str, Any]
Facts: TypeAlias = dict[str, Any]
"""A row by the names of its columns, times in microseconds."""

_PROVIDERS = {"bedrock": "aws.bedrock"}
"""The conventions' names where ours differ."""


class _Kind(IntEnum):
    """Of spans, by the protocol."""

    INTERNAL = 1
    CLIENT = 3


_INPUT = ("input_tokens", "cache_read_input_tokens", "cache_write_input_tokens")
_LARGEST = (1 << 63) - 1

_ERROR = 2
"""The status of a span that failed; one that did not leaves it out."""

_FAILED = frozenset({"failed", "aborted"})


def trace_id(thread_id: str) -> str:
    """The id of a thread's trace: that of its first interception, without the dashes."""
    try:
        return UUID(thread_id).hex
    except ValueError:
        return hashlib.sha256(thread_id.encode()).hexdigest()[:32]


def span_id(kind: str, name: str) -> str:
    """The id of the span for the thing that `name` tells apart from others of its `kind`."""
    return hashlib.sha256(f"{kind}\0{name}".encode()).hexdigest()[:16]


def thread_span(root: Facts, ended_at: int) -> Span:
    """The whole thread that an interception begins; `ended_at` is when the last one of it ended."""
    return _span(
        root,
        ("thread", root["id"]),
        None,
        f"invoke_agent {root['client']}",
        _Kind.INTERNAL,
        (root["started_at"], ended_at),
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": _provider(root),
            "gen_ai.agent.name": root["client"],
            "gen_ai.agent.id": root["agent_id"],
            "aigw.parent_session_id": root["parent_session_id"],
            **_common(root),
        },
    )


def chat_span(
    found: Facts,
    prompts: list[Facts],
    thoughts: list[Facts],
    calls: list[Facts],
    response_id: str,
    encode: Callable[[Any], bytes],
) -> Span:
    """One interception, with the records that belong to it."""
    first_byte = found["time_to_first_byte_ms"]
    counted = [found[name] for name in _INPUT if found[name] is not None]
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _provider(found),
        "gen_ai.request.model": found["requested_model"] or found["model"],
        "gen_ai.request.stream": found["streaming"],
        "gen_ai.agent.name": found["client"],
        "gen_ai.agent.id": found["agent_id"],
        "gen_ai.response.id": response_id or None,
        # Seconds, as a floating point number.
        "gen_ai.response.time_to_first_chunk": None if first_byte is None else first_byte / 1000,
        # The conventions count cached input in, our figure leaves it out.
        "gen_ai.usage.input_tokens": min(sum(counted), _LARGEST) if counted else None,
        "gen_ai.usage.output_tokens": found["output_tokens"],
        "gen_ai.usage.cache_read.input_tokens": found["cache_read_input_tokens"],
        "gen_ai.usage.cache_creation.input_tokens": found["cache_write_input_tokens"],
        "gen_ai.usage.reasoning.output_tokens": found["reasoning_tokens"],
        "gen_ai.input.messages": _input(prompts, encode),
        "gen_ai.output.messages": _output(thoughts, calls, encode),
        "http.response.status_code": found["status_code"],
        "url.path": found["route"],
        "error.type": _error_type(found),
        **_common(found),
        "aigw.interception_id": found["id"],
        "aigw.status": found["status"],
        "aigw.model": found["model"],
        "aigw.provider_name": found["provider_name"],
        "aigw.credential_kind": found["credential_kind"],
        "aigw.plan": found["plan"],
        "aigw.cost_usd": found["cost_usd"],
        "aigw.unpriced": found["unpriced"],
        "aigw.estimated": found["estimated"],
    }
    span = _span(
        found,
        ("interception", found["id"]),
        ("thread", found["thread_id"]),
        f"chat {found['requested_model'] or found['model']}",
        _Kind.CLIENT,
        (found["started_at"], found["ended_at"] or found["started_at"]),
        attributes,
    )
    if found["status"] in _FAILED:
        span["status"] = {"code": _ERROR, "message": found["error_message"] or ""}
    return span


def tool_span(found: Facts, call: Facts) -> Span:
    """A tool call of the interception `found`: without a result it has no length."""
    result_at = call["result_at"]
    is_error = bool(call["result_is_error"]) or call["invocation_error"] is not None
    span = _span(
        found,
        ("tool", f"{found['id']}\0{call['seq']}"),
        ("interception", found["id"]),
        f"execute_tool {call['tool']}",
        _Kind.INTERNAL,
        (call["created_at"], call["created_at"] if result_at is None else result_at),
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call["tool"],
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": call["tool_call_id"] or None,
            "gen_ai.tool.call.arguments": call["input"],
            "gen_ai.tool.call.result": call["result"],
            "error.type": "tool_error" if is_error else None,
            **_common(found),
            "aigw.server_url": call["server_url"],
            "aigw.injected": bool(call["injected"]),
            "aigw.result_truncated": _boolean(call["result_truncated"]),
        },
    )
    if is_error:
        span["status"] = {"code": _ERROR, "message": call["invocation_error"] or ""}
    return span


def _common(found: Facts) -> dict[str, Any]:
    return {
        "gen_ai.conversation.id": found["session_id"],
        "session.id": found["session_id"],
        "user.id": found["initiator_id"],
    }


def _provider(found: Facts) -> str:
    provider: str = found["provider"]
    return _PROVIDERS.get(provider, provider)


def _error_type(found: Facts) -> str | None:
    if found["status"] not in _FAILED:
        return None
    # What the conventions say where nothing better is known.
    return found["error_type"] or str(found["status_code"] or "_OTHER")


def _boolean(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _input(prompts: list[Facts], encode: Callable[[Any], bytes]) -> str | None:
    if not prompts:
        return None
    messages = [
        {"role": "user", "parts": [{"type": "text", "content": prompt["prompt"]}]}
        for prompt in prompts
    ]
    return encode(messages).decode()


def _output(
    thoughts: list[Facts], calls: list[Facts], encode: Callable[[Any], bytes]
) -> str | None:
    """What is recorded of the answer: its text is not."""
    parts: list[dict[str, Any]] = [
        {"type": "reasoning", "content": thought["content"]} for thought in thoughts
    ]
    parts += [
        {"type": "tool_call", "id": c["tool_call_id"], "name": c["tool"], "arguments": c["input"]}
        for c in calls
    ]
    if not parts:
        return None
    reason = "tool_call" if calls else "stop"
    return encode([{"role": "assistant", "parts": parts, "finish_reason": reason}]).decode()


def _span(
    found: Facts,
    own: tuple[str, str],
    parent: tuple[str, str] | None,
    name: str,
    kind: _Kind,
    times: tuple[int, int],
    attributes: dict[str, Any],
) -> Span:
    started_at, ended_at = times
    span: Span = {
        "traceId": trace_id(found["thread_id"]),
        "spanId": span_id(*own),
        "name": name,
        "kind": int(kind),
        # 64-bit numbers are text in the protocol's JSON.
        "startTimeUnixNano": _nanoseconds(started_at),
        "endTimeUnixNano": _nanoseconds(max(started_at, ended_at)),
        "attributes": attribute_list(attributes.items()),
    }
    if parent is not None:
        span["parentSpanId"] = span_id(*parent)
    return span


def _nanoseconds(moment: int) -> str:
    # The protocol has no time before 1970: only a wrong clock gives one.
    return str(max(0, moment) * 1000)


def attribute_list(pairs: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Attributes in the protocol's JSON; those without a value are left out."""
    return [{"key": key, "value": _any_value(value)} for key, value in pairs if value is not None]


def _any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value}
