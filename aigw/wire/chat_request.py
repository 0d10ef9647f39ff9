"""Requests to OpenAI's Chat Completions API (`POST /v1/chat/completions`)."""

from __future__ import annotations

from typing import Any

import msgspec

from aigw.wire.facts import RequestFacts
from aigw.wire.lenient import Shape, bound_of, dict_of, text_of, tier_of
from aigw.wire.prompts import TURN_LIMIT, NewInput, block_texts, tool_result


class _Body(msgspec.Struct, gc=False):
    model: Any = None
    stream: Any = None
    stream_options: Any = None
    messages: list[msgspec.Raw] = []
    prompt_cache_key: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    n: Any = None
    service_tier: Any = None


class _Message(msgspec.Struct, gc=False):
    role: Any = None
    content: Any = None
    tool_call_id: Any = None


_CHOICES_LIMIT = 128
"""The API takes no more; what another number means is the service's secret."""

_BODY = Shape(_Body)
_MESSAGE = Shape(_Message)


def read_request(body: bytes) -> RequestFacts:
    """The facts of a request body; all defaults where it is not a JSON object."""
    found = _BODY.read(body)
    if found is None:
        return RequestFacts()
    new = _new_input(found.messages)
    streaming = found.stream is True
    return RequestFacts(
        model=text_of(found.model),
        streaming=streaming,
        prompt=new.prompt(),
        tool_results=new.tool_results(),
        correlating_tool_call_id=new.correlating_tool_call_id(),
        prompt_cache_key=text_of(found.prompt_cache_key) or None,
        lacks_usage=streaming and dict_of(found.stream_options).get("include_usage") is not True,
        max_output_tokens=_max_output(found),
        service_tier=tier_of(found.service_tier),
    )


def _max_output(body: _Body) -> int | None:
    """The bound of each choice, times the choices. `max_tokens` is the older name."""
    bound = bound_of(body.max_completion_tokens, body.max_tokens)
    if bound is None or type(body.n) is not int or not 1 < body.n <= _CHOICES_LIMIT:
        return bound
    return bound * body.n


def _new_input(messages: list[msgspec.Raw]) -> NewInput:
    """What stands after the last assistant message: the results of parallel calls, then words."""
    new = NewInput()
    for raw in reversed(messages[-TURN_LIMIT:]):
        message = _MESSAGE.read(raw)
        if message is None or message.role == "assistant":
            break
        if message.role in ("tool", "function"):
            new.add_result(tool_result(message.tool_call_id, message.content))
        elif message.role == "user":
            new.add_texts(block_texts(message.content, ("text",)))
    return new
