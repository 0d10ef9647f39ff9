"""The usage of Anthropic's Messages API, as facts.

The total input is `input_tokens` plus what was read from the cache plus what was written to it
(platform.claude.com, "Prompt caching").
"""

from __future__ import annotations

from typing import Any

import msgspec

from aigw.wire.facts import UsageFact
from aigw.wire.lenient import count_of, dict_of, list_of, text_of, tier_of

_BESIDE = ("compaction", "advisor_message")
"""Samplings whose tokens are not in the answer's own counts, though paid for: the summary of a
conversation that grew too long, and a second model's advice ("Compaction", "Advisor tool")."""

_FALLBACK = "fallback_message"
_SERVING = ("message", _FALLBACK)
"""Samplings that answer, the last of them with what the client gets ("Refusals and fallback")."""

_BESIDE_LIMIT = 64
"""Such samplings taken from one answer: an advisor speaks a few times."""


def usage_facts(usage: dict[str, Any]) -> list[UsageFact]:
    """The facts of a usage object, that of the answer itself first; none where it is empty."""
    if not usage:
        return []
    tools = dict_of(usage.get("server_tool_use"))
    tier = "fast" if usage.get("speed") == "fast" else tier_of(usage.get("service_tier"))
    geo = tier_of(usage.get("inference_geo"))
    # Fetched pages cost nothing but their tokens ("Web fetch tool"), searches do.
    searches = count_of(tools.get("web_search_requests")) or 0
    facts = [_fact(usage, tier, geo, {"web_search_requests": searches})]
    iterations = [dict_of(each) for each in list_of(usage.get("iterations"))]
    served = [each for each in iterations if each.get("type") in _SERVING]
    if served and served[-1].get("type") == _FALLBACK:
        # The model that was asked has declined, and another one answered at its own price.
        facts[0] = msgspec.structs.replace(facts[0], model=text_of(served[-1].get("model")))
    beside = [each for each in iterations if each.get("type") in _BESIDE]
    facts += [_fact(each, tier, geo, {}) for each in beside[:_BESIDE_LIMIT]]
    return facts


def _fact(usage: dict[str, Any], tier: str, geo: str, tools: dict[str, int]) -> UsageFact:
    written = dict_of(usage.get("cache_creation"))
    output = dict_of(usage.get("output_tokens_details"))
    thinking = count_of(output.get("thinking_tokens")) or 0
    cache_read = count_of(usage.get("cache_read_input_tokens")) or 0
    hour = count_of(written.get("ephemeral_1h_input_tokens")) or 0
    short = count_of(written.get("ephemeral_5m_input_tokens")) or 0
    # The sum of the lifetimes, where only those are stated.
    cache_write = count_of(usage.get("cache_creation_input_tokens")) or hour + short
    extra = {
        **tools,
        "cache_creation_input": cache_write,
        "cache_read_input": cache_read,
        "cache_ephemeral_1h_input": hour,
        "cache_ephemeral_5m_input": short,
        "output_reasoning": thinking,
    }
    return UsageFact(
        input_tokens=count_of(usage.get("input_tokens")) or 0,
        output_tokens=count_of(usage.get("output_tokens")) or 0,
        cache_read_input_tokens=cache_read,
        cache_write_input_tokens=cache_write,
        reasoning_tokens=thinking,
        extra={name: value for name, value in extra.items() if value},
        service_tier=tier,
        inference_geo=geo,
        model=text_of(usage.get("model")) if usage.get("type") == "advisor_message" else "",
    )
