"""How much a whole answer says, where its provider has counted nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aigw.wire.facts import UsageFact
from aigw.wire.floor import BYTES_PER_TOKEN
from aigw.wire.lenient import json_text, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aigw.wire.facts import ResponseFact

_TEXTS = frozenset({"text", "content", "thinking", "reasoning", "reasoning_content", "refusal", "generation"})  # fmt: skip
_INPUTS = frozenset({"input", "arguments"})
"""Members that hold what a model wrote: texts, and what it calls tools with."""

_FOUND = frozenset({"results", "outputs", "annotations"})
"""Members that hold what a provider's own tool found, which is input."""


def is_counted(facts: Iterable[ResponseFact]) -> bool:
    """Whether a usage among the facts says that anything was read or written."""
    return any(
        isinstance(fact, UsageFact) and (fact.total_input_tokens or fact.output_tokens)
        for fact in facts
    )


def said_tokens(body: bytes, names: Sequence[str]) -> int:
    """The tokens that an answer's output has at least; 0 where it has none.

    Args:
        body: a JSON document.
        names: the members that hold the output.
    """
    document = parse(body)
    if not isinstance(document, dict):
        return 0
    try:
        length = sum(_length(document.get(name), name) for name in names)
    except RecursionError:
        return 1
    return max(length // BYTES_PER_TOKEN, 1) if length else 0


def _length(value: Any, name: str) -> int:
    """Bytes of what the model wrote in a member's value."""
    if name in _INPUTS:
        return len(value if isinstance(value, str) else json_text(value)) if value else 0
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace")) if name in _TEXTS else 0
    if isinstance(value, list):
        return sum(_length(each, name) for each in value)
    if isinstance(value, dict) and not str(value.get("type")).endswith("_result"):
        return sum(_length(each, key) for key, each in value.items() if key not in _FOUND)
    return 0
