"""The service's own figures in an answer to InvokeModel, and the usage that they make complete."""

from __future__ import annotations

from typing import Any

import msgspec

from aigw.wire.converse import usage_fact
from aigw.wire.facts import ResponseFact, UsageFact
from aigw.wire.floor import estimate

METRICS = "amazon-bedrock-invocationMetrics"
"""The member of an answer's last event that has them."""

_MEASURED = {
    "inputTokenCount": "inputTokens",
    "outputTokenCount": "outputTokens",
    "cacheReadInputTokenCount": "cacheReadInputTokens",
    "cacheWriteInputTokenCount": "cacheWriteInputTokens",
}
"""The counts in `amazon-bedrock-invocationMetrics`, and those of Converse that they stand for."""


def complete_usage(
    facts: list[ResponseFact], counts: dict[str, Any], metrics: dict[str, Any], *, is_final: bool
) -> None:
    """Add the usage that the facts lack: the service's own figures, else those of the family."""
    measured = {name: metrics[key] for key, name in _MEASURED.items() if key in metrics}
    place = next((i for i, fact in enumerate(facts) if isinstance(fact, UsageFact)), None)
    if place is None:
        if measured or counts:
            stated = usage_fact(measured or counts)
            facts.append(stated if is_final else estimate(stated, 0))
    elif measured:
        facts[place] = _with_cache(facts[place], usage_fact(measured))


def _with_cache(stated: ResponseFact, measured: UsageFact) -> ResponseFact:
    """The usage with all counts as measured, if only that knows of the cache, or counted at all.

    All of them: only together do they tell what is part of what.
    """
    if not isinstance(stated, UsageFact):
        return stated
    if not stated.is_estimate and (_cached(stated) or not _cached(measured)):
        return stated
    return msgspec.structs.replace(
        measured,
        reasoning_tokens=stated.reasoning_tokens,
        extra=stated.extra | measured.extra,
        service_tier=stated.service_tier,
    )


def _cached(usage: UsageFact) -> int:
    return usage.cache_read_input_tokens + usage.cache_write_input_tokens
