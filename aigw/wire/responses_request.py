"""Requests to OpenAI's Responses API (`POST /v1/responses`)."""

from __future__ import annotations

from typing import Any

import msgspec

from aigw.wire.facts import RequestFacts, ToolResultFact
from aigw.wire.lenient import Shape, bound_of, dict_of, json_text, list_of, parse, text_of, tier_of
from aigw.wire.prompts import TURN_LIMIT, NewInput, block_texts, tool_result


class _Body(msgspec.Struct, gc=False):
    model: Any = None
    stream: Any = None
    input: str | list[msgspec.Raw] | None = None
    client_metadata: Any = None
    prompt_cache_key: Any = None
    max_output_tokens: Any = None
    service_tier: Any = None
    background: Any = None
    tools: list[msgspec.Raw] | None = None
    max_tool_calls: Any = None
    previous_response_id: Any = None
    conversation: Any = None


class _Item(msgspec.Struct, gc=False):
    type: Any = None
    role: Any = None
    content: Any = None
    id: Any = None
    call_id: Any = None
    output: Any = None
    tools: Any = None
    status: Any = None


_BODY = Shape(_Body)
_ITEM = Shape(_Item)

_RESULT_TYPES = ("tool_search_output",)
_MODEL_TYPES = frozenset(
    {
        "reasoning",
        "compaction",
        "compaction_summary",
        "program",
        "program_output",
        "mcp_list_tools",
        "mcp_approval_request",
        "item_reference",
    }
)
"""Items that the model's turns left behind, beside messages of the assistant and `*_call`."""

_NEW_TASK = "Message Type: NEW_TASK"
_PAYLOAD = "\nPayload:\n"
"""How Codex frames what one of its agents tells another. Its client tells what the kinds are; that a
payload is sealed for the model alone, as the call that it is from has it, is said in
https://github.com/openai/codex/pull/26210."""


def read_request(body: bytes) -> RequestFacts:
    """The facts of a request body; all defaults where it is not a JSON object."""
    found = _BODY.read(body)
    if found is None:
        return RequestFacts()
    new = _new_input(found.input)
    session = text_of(dict_of(found.client_metadata).get("session_id")).strip()
    return RequestFacts(
        model=_model(found.model),
        streaming=_is_true(found.stream),
        prompt=new.prompt(),
        tool_results=new.tool_results(),
        correlating_tool_call_id=new.correlating_tool_call_id(),
        session_key=session or None,
        prompt_cache_key=text_of(found.prompt_cache_key) or None,
        max_output_tokens=bound_of(found.max_output_tokens),
        service_tier=tier_of(found.service_tier),
        in_background=_is_true(found.background),
        tools=found.tools or (),
        max_tool_calls=bound_of(found.max_tool_calls),
        continues=text_of(found.previous_response_id) or _conversation(found.conversation),
    )


def _conversation(value: Any) -> str:
    return text_of(value) or text_of(dict_of(value).get("id"))


def _model(value: Any) -> str:
    """The API's model is a string; a number or a bool is shown as its JSON text."""
    if isinstance(value, (bool, int, float)):
        return json_text(value)
    return text_of(value)


def _is_true(value: Any) -> bool:
    """A switch read as leniently as some services do: `"true"`, `"1"` and numbers count."""
    if isinstance(value, str):
        return value.lower() in ("true", "t", "1")
    return isinstance(value, (bool, int, float)) and bool(value)


def _new_input(given: str | list[msgspec.Raw] | None) -> NewInput:
    """What stands after the model's last item."""
    new = NewInput()
    if isinstance(given, str):
        new.add_texts([given])
        return new
    is_told = False
    for raw in reversed((given or [])[-TURN_LIMIT:]):
        item = _ITEM.read(raw)
        if item is None or not _add_item(new, item):
            break
        # An agent that Codex forks has its parent's history, and is told there what it is: the
        # results before that are the parent's.
        if is_told and item.role == "developer":
            break
        is_told |= item.type == "agent_message" and bool(_task(item.content))
    return new


def _add_item(new: NewInput, item: _Item) -> bool:
    """Take in one item; False when it is the model's: the client's new ones are then all read."""
    kind = item.type if isinstance(item.type, str) else ""
    if kind.endswith("_call_output") or kind in _RESULT_TYPES:
        new.add_result(_result(item))
        return True
    if item.role == "assistant" or kind.endswith("_call") or kind in _MODEL_TYPES:
        return False
    if item.role == "user" and kind in ("", "message"):
        texts = block_texts(item.content, ("input_text", "text"))
        new.add_texts(["\n".join(texts)])
    elif kind == "agent_message" and (task := _task(item.content)):
        new.add_texts([task])
    return True


def _task(content: Any) -> str:
    """What another agent wants this one to do, word for word; empty where it says something else.

    A sealed one is kept as it is: the parent's `spawn_agent` has the same, and so they are found to
    belong together.
    """
    parts = [dict_of(part) for part in list_of(content)]
    text = "".join(
        text_of(part.get("text")) or text_of(part.get("encrypted_content")) for part in parts
    )
    head, _, payload = text.partition(_PAYLOAD)
    return payload if _NEW_TASK in head.splitlines() else ""


def _result(item: _Item) -> ToolResultFact:
    content = item.tools if item.output is None else item.output
    is_error = item.status == "failed" or _says_failure(content)
    if isinstance(content, dict) and "content" in content:
        content = content["content"]
    return tool_result(item.call_id or item.id, content, is_error=is_error)


def _says_failure(output: Any) -> bool:
    """Whether a tool's output states its own failure.

    Codex sends `{"content": ..., "success": false}` or JSON text with `metadata.exit_code`; the
    shell tool's output is a list with an `outcome` for each command.
    """
    if isinstance(output, str) and output.startswith("{") and '"exit_code"' in output:
        output = parse(output.encode("utf-8", "replace"))
    if isinstance(output, dict):
        code = dict_of(output.get("metadata")).get("exit_code")
        return output.get("success") is False or code not in (None, 0)
    outcomes = [dict_of(dict_of(part).get("outcome")) for part in list_of(output)]
    return any(o.get("type") == "timeout" or o.get("exit_code") not in (None, 0) for o in outcomes)
