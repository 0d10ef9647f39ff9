"""The usage of OpenAI's Chat Completions API, and of services that imitate it, as facts."""

from __future__ import annotations

from typing import Any

from aigw.wire.charged import charged_micros
from aigw.wire.facts import UsageFact
from aigw.wire.lenient import count_of, dict_of


def usage_fact(usage: dict[str, Any], tier: str = "") -> UsageFact:
    """The figures of a usage object.

    `prompt_tokens` includes what was read from and written to the cache, `input_tokens` does not.
    `completion_tokens` includes reasoning and rejected predictions (OpenAI); at Google and xAI it is
    without the reasoning, which only `total_tokens` has in it ("Reasoning for Grok Models"). So may
    a gateway before Claude leave the cache out of the prompt.
    """
    prompt = dict_of(usage.get("prompt_tokens_details"))
    completion = dict_of(usage.get("completion_tokens_details"))
    cached = _cached(usage, prompt)
    written = count_of(prompt.get("cache_write_tokens")) or 0
    reasoning = count_of(completion.get("reasoning_tokens")) or 0
    read = count_of(usage.get("prompt_tokens")) or 0
    output = count_of(usage.get("completion_tokens")) or 0
    unlisted = (count_of(usage.get("total_tokens")) or 0) - read - output
    if unlisted > 0 and unlisted == cached + written:
        read += unlisted
    elif unlisted > 0:
        output += unlisted
        reasoning = reasoning or unlisted
    extra = {
        "prompt_audio": count_of(prompt.get("audio_tokens")),
        "prompt_cached": cached,
        "completion_accepted_prediction": count_of(completion.get("accepted_prediction_tokens")),
        "completion_rejected_prediction": count_of(completion.get("rejected_prediction_tokens")),
        "completion_audio": count_of(completion.get("audio_tokens")),
        "completion_reasoning": reasoning,
    }
    return UsageFact(
        input_tokens=max(read - cached - written, 0),
        output_tokens=output,
        cache_read_input_tokens=cached,
        cache_write_input_tokens=written,
        reasoning_tokens=reasoning,
        extra={name: value for name, value in extra.items() if value},
        service_tier=tier,
        charged_micros=charged_micros(usage),
    )


def says_something(usage: dict[str, Any]) -> bool:
    """Whether a usage counts anything: some services end with an empty one."""
    return any(count_of(value) for value in usage.values())


def _cached(usage: dict[str, Any], prompt: dict[str, Any]) -> int:
    """What was read from the cache; DeepSeek and Moonshot state it beside the details."""
    found = (
        prompt.get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),
        usage.get("cached_tokens"),
    )
    return next((count for value in found if (count := count_of(value))), 0)
