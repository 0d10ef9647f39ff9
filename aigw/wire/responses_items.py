"""Output items and usage of OpenAI's Responses API, as facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aigw.wire.charged import charged_micros
from aigw.wire.facts import ResponseFact, ThoughtFact, ToolCallFact, UsageFact
from aigw.wire.lenient import arguments_text, count_of, dict_of, json_text, list_of, text_of

_CALL = "_call"
_PLAIN_INPUTS = ("action", "actions", "operation")
"""Where built-in tools keep their input: shells, the computer, web search, apply_patch."""
_NAMED_INPUTS = ("queries", "code", "revised_prompt")
"""Inputs that are no object by themselves: file search, the code interpreter, image generation."""


def add_item(item: dict[str, Any], facts: list[ResponseFact]) -> None:
    """Append the facts of one output item: a tool call, reasoning, or the model's commentary."""
    kind = item.get("type")
    if kind == "reasoning":
        _add_texts(item.get("summary"), None, "reasoning_summary", facts)
        _add_texts(item.get("content"), "reasoning_text", "reasoning_content", facts)
    elif kind == "message":
        if item.get("phase") == "commentary" and item.get("role", "assistant") == "assistant":
            _add_texts(item.get("content"), "output_text", "commentary", facts)
    elif isinstance(kind, str) and kind.endswith(_CALL):
        _add_call(kind, item, facts)


def _add_texts(parts: Any, kind: str | None, source: str, facts: list[ResponseFact]) -> None:
    for part in list_of(parts):
        found = dict_of(part)
        text = text_of(found.get("text"))
        if text and kind in (None, found.get("type")):
            facts.append(ThoughtFact(text, source))


def _add_call(kind: str, item: dict[str, Any], facts: list[ResponseFact]) -> None:
    """A call of a function or custom tool by its name; of a built-in tool by its type."""
    named = kind in ("function_call", "custom_tool_call", "mcp_call")
    tool = text_of(item.get("name")) or ("" if named else kind.removesuffix(_CALL))
    if tool:
        item_id = text_of(item.get("id"))
        call_id = text_of(item.get("call_id")) or item_id
        facts.append(ToolCallFact(call_id, tool, _input(kind, item), item_id))


def _input(kind: str, item: dict[str, Any]) -> str:
    if kind == "custom_tool_call":
        return json_text(text_of(item.get("input")))
    arguments = item.get("arguments")
    if isinstance(arguments, str):
        return arguments_text(arguments)
    if arguments is not None:
        return json_text(arguments)
    for key in _PLAIN_INPUTS:
        if item.get(key) is not None:
            return json_text(item[key])
    return json_text({key: item[key] for key in _NAMED_INPUTS if item.get(key) is not None})


_BILLED = {
    "web_search_call": "web_search_requests",
    "file_search_call": "file_search_requests",
}
"""Built-in tools that cost money beside their tokens, by the name under which they are counted
(developers.openai.com, "Pricing")."""

_BILLED_APART = {
    "code_interpreter_call": "code_interpreter_calls",
    "image_generation_call": "image_generation_calls",
    "shell_call": "hosted_shell_calls",
}
"""Those whose price the answer does not tell: an interpreter's and a shell's is per container, which
several answers may share, an image's depends on another model's tokens. A shell on the client's machine
costs nothing. Of these whatever was not refused counts: images are "generating" when they are done."""

PREVIEW = "web_search_preview"
"""How the type of the older web search tool begins, which costs more with some models."""


def billed_tool(item: dict[str, Any]) -> str | None:
    """The name under which an output item's tool call is counted; None where it costs nothing.

    Of web searches those that search cost, not the pages opened and looked through then ("Web
    search", output and citations); answers of the older tool have no `action`, and always searched.
    """
    kind = item.get("type")
    if not isinstance(kind, str):
        return None
    if kind in _BILLED_APART and item.get("status") != "failed":
        is_local = kind == "shell_call" and not _is_hosted(item.get("environment"))
        return None if is_local else _BILLED_APART[kind]
    if item.get("status") not in (None, "completed"):
        return None
    if kind == "web_search_call" and dict_of(item.get("action")).get("type") not in (
        None,
        "search",
    ):
        return None
    return _BILLED.get(kind)


def _is_hosted(environment: Any) -> bool:
    return text_of(dict_of(environment).get("type")).startswith("container")


def counted_tools(tools: Mapping[str, int], offered: Any) -> dict[str, int]:
    """The billed tools under their final names, by the `tools` that an answer says it was offered.

    A search does not say which of the two tools it is of; where both were offered, the newer counts.
    """
    found = dict(tools)
    kinds = [text_of(dict_of(tool).get("type")) for tool in list_of(offered)]
    searching = [kind for kind in kinds if kind.startswith("web_search")]
    if searching and all(kind.startswith(PREVIEW) for kind in searching):
        searches = found.pop("web_search_requests", 0)
        found |= {f"{PREVIEW}_requests": searches} if searches else {}
    return found


def usage_fact(usage: dict[str, Any], tools: Mapping[str, int], tier: str) -> UsageFact:
    """The figures of a usage object, with the billed tools that were counted.

    The API's `input_tokens` includes what was read from and written to the cache; the fact's does
    not. `output_tokens` includes the reasoning.
    """
    details = dict_of(usage.get("input_tokens_details"))
    lifetimes = dict_of(details.get("cache_write_tokens_details"))
    cached = count_of(details.get("cached_tokens")) or 0
    written = count_of(details.get("cache_write_tokens")) or 0
    output = dict_of(usage.get("output_tokens_details"))
    reasoning = count_of(output.get("reasoning_tokens")) or 0
    extra = {
        "input_cached": cached,
        "output_reasoning": reasoning,
        "cache_write_30m_input": count_of(lifetimes.get("ttl_30m_tokens")),
        "cache_write_12h_input": count_of(lifetimes.get("ttl_12h_tokens")),
        "total_tokens": count_of(usage.get("total_tokens")),
        **tools,
    }
    return UsageFact(
        input_tokens=max((count_of(usage.get("input_tokens")) or 0) - cached - written, 0),
        output_tokens=count_of(usage.get("output_tokens")) or 0,
        cache_read_input_tokens=cached,
        cache_write_input_tokens=written,
        reasoning_tokens=reasoning,
        extra={name: value for name, value in extra.items() if value},
        service_tier=tier,
        charged_micros=charged_micros(usage),
    )
