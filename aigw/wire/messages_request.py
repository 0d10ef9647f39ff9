"""Requests to Anthropic's Messages API (`POST /v1/messages`)."""

from __future__ import annotations

from typing import Any

import msgspec

from aigw.wire.facts import RequestFacts
from aigw.wire.lenient import (
    Shape,
    bound_of,
    clean,
    dict_of,
    list_of,
    parse,
    text_of,
    tier_of,
)
from aigw.wire.prompts import TURN_LIMIT, NewInput, block_texts, tool_result


class _Body(msgspec.Struct, gc=False):
    model: Any = None
    stream: Any = None
    messages: list[msgspec.Raw] = []
    metadata: Any = None
    max_tokens: Any = None
    speed: Any = None
    tools: list[msgspec.Raw] | None = None


class _Message(msgspec.Struct, gc=False):
    role: Any = None
    content: Any = None


_BODY = Shape(_Body)
_MESSAGE = Shape(_Message)


def read_request(body: bytes) -> RequestFacts:
    """The facts of a request body; all defaults where it is not a JSON object."""
    found = _BODY.read(body)
    if found is None:
        return RequestFacts()
    new = _new_input(found.messages)
    return RequestFacts(
        model=text_of(found.model),
        streaming=found.stream is True,
        prompt=new.prompt(),
        tool_results=new.tool_results(),
        correlating_tool_call_id=new.correlating_tool_call_id(),
        session_key=_session_key(dict_of(found.metadata).get("user_id")),
        max_output_tokens=bound_of(found.max_tokens),
        service_tier=tier_of(found.speed),
        tools=found.tools or (),
    )


def _new_input(messages: list[msgspec.Raw]) -> NewInput:
    """What stands after the last assistant message.

    Mostly that is one user message; clients also send several, and system messages between them.
    """
    new = NewInput()
    for raw in reversed(messages[-TURN_LIMIT:]):
        message = _MESSAGE.read(raw)
        if message is None or message.role == "assistant":
            break
        if message.role == "user":
            _add_user_message(new, message.content)
    return new


def _add_user_message(new: NewInput, content: Any) -> None:
    """Tool results come first in a user message's content; the texts after them are new words."""
    blocks = list_of(content)
    results = [
        position
        for position, block in enumerate(blocks)
        if isinstance(block, dict) and block.get("type") == "tool_result"
    ]
    after = blocks[results[-1] + 1 :] if results else content
    new.add_texts(block_texts(after, ("text",)))
    for position in reversed(results[-TURN_LIMIT:]):
        block = blocks[position]
        new.add_result(
            tool_result(
                block.get("tool_use_id"),
                block.get("content"),
                is_error=block.get("is_error") is True,
            )
        )


def _session_key(user_id: Any) -> str | None:
    """Claude Code's session: JSON with `session_id`, in older versions text after `_session_`."""
    if not isinstance(user_id, str):
        return None
    found = parse(user_id.encode("utf-8", "replace")) if user_id.lstrip()[:1] == "{" else None
    if isinstance(found, dict) and "session_id" in found:
        return text_of(found["session_id"]).strip() or None
    return clean(user_id.partition("_session_")[2]).strip() or None
