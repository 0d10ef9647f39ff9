"""Requests to Bedrock's Converse API (`POST /model/{id}/converse` and `/converse-stream`)."""

from __future__ import annotations

from typing import Any

import msgspec

from aigw.wire.facts import RequestFacts
from aigw.wire.lenient import Shape, bound_of, dict_of, json_text, list_of, tier_of
from aigw.wire.prompts import TURN_LIMIT, NewInput, tool_result


class _Body(msgspec.Struct, gc=False, rename="camel"):
    messages: list[msgspec.Raw] = []
    inference_config: Any = None
    service_tier: Any = None


class _Message(msgspec.Struct, gc=False):
    role: Any = None
    content: Any = None


_BODY = Shape(_Body)
_MESSAGE = Shape(_Message)


def read_request(body: bytes) -> RequestFacts:
    """The facts of a request body; all defaults where it is not a JSON object.

    The path names the model, and whether the answer is a stream: `model` and `streaming` stay at
    their defaults.
    """
    found = _BODY.read(body)
    if found is None:
        return RequestFacts()
    new = _new_input(found.messages)
    # The second name is that of Amazon's models with InvokeModel.
    limits = dict_of(found.inference_config)
    return RequestFacts(
        prompt=new.prompt(),
        tool_results=new.tool_results(),
        correlating_tool_call_id=new.correlating_tool_call_id(),
        max_output_tokens=bound_of(limits.get("maxTokens"), limits.get("max_new_tokens")),
        service_tier=tier_of(dict_of(found.service_tier).get("type")),
    )


def _new_input(messages: list[msgspec.Raw]) -> NewInput:
    """What stands after the last assistant message."""
    new = NewInput()
    for raw in reversed(messages[-TURN_LIMIT:]):
        message = _MESSAGE.read(raw)
        if message is None or message.role == "assistant":
            break
        if message.role == "user":
            _add_user_message(new, message.content)
    return new


def _add_user_message(new: NewInput, content: Any) -> None:
    """As in a request to the Messages API, only the texts after the tool results are new words."""
    blocks: list[Any] = [{"text": content}] if isinstance(content, str) else list_of(content)
    results = [
        position
        for position, block in enumerate(blocks)
        if isinstance(block, dict) and isinstance(block.get("toolResult"), dict)
    ]
    after = blocks[results[-1] + 1 :] if results else blocks
    new.add_texts([text for block in after if isinstance(text := _text(block), str)])
    for position in reversed(results[-TURN_LIMIT:]):
        result = blocks[position]["toolResult"]
        new.add_result(
            tool_result(
                result.get("toolUseId"),
                [_part(part) for part in list_of(result.get("content"))],
                is_error=result.get("status") == "error",
            )
        )


def _text(block: Any) -> Any:
    """The text of a content block, also of one that is marked for a guardrail."""
    found = dict_of(block)
    guarded = dict_of(dict_of(found.get("guardContent")).get("text"))
    return guarded.get("text") if guarded else found.get("text")


def _part(part: Any) -> Any:
    """A part of a tool result as text: a block's one key names its type, as in `{"image": ...}`."""
    found = dict_of(part)
    if "json" in found:
        return json_text(found["json"])
    if isinstance(found.get("text"), str):
        return found["text"]
    return {"type": next(iter(found), "")}
