"""A model's price, and what a response costs by it: exact, in integers, rounded once.

Rates are whole micro-dollars (millionths of a US dollar) per million tokens, as Coder's AI Gateway
has them; of searches and requests per thousand. So a response's cost is a sum of integers over one million, and
nothing is rounded but the sum, half up.

What a usage has and a price has not:

- Reasoning is part of the output and is never charged again.
- Tokens read from or written to a cache without a rate of their own are charged as input: there is
  no provider whose cache reads cost more, and one without a price for writing asks none on top.
- Tokens written for an hour without a rate of their own: twice the input rate where writing costs
  more than input. Only Anthropic's models have the two lifetimes, and that is their rule:
  https://platform.claude.com/docs/en/build-with-claude/prompt-caching#pricing
- Input, output, audio, and searches without a rate make the whole response unpriced. Audio is not
  charged as text: it costs up to twenty times as much. So does what never has a rate: a code
  interpreter is paid by the container, which several responses may share, a generated image by
  another model's tokens.
- A class of service without rates of its own makes it unpriced too: a fast one costs up to six times
  the standard one, and a patient one half of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from aigw.wire.facts import UsageFact

_MILLION = 1_000_000
MOST_MICROS = 1_000_000 * _MILLION
"""A million dollars for one response: a provider that states absurd counts must not make the sums of
millions of responses too large for the store."""

_PER_THOUSAND = 1000
"""A rate per thousand, times this, is one per million."""

_UNRATED = frozenset({"code_interpreter_calls", "hosted_shell_calls", "image_generation_calls"})
"""Kinds of use that cost money, and nobody can tell from one response how much."""

_FURTHER = _UNRATED | {
    "web_search_requests", "web_search_preview_requests", "file_search_requests", "prompt_audio",
    "completion_audio",
}  # fmt: skip
"""What `_further` asks for: nearly all responses have other counts, or none."""

TIERS_OF_SERVICE = ("batch", "flex", "priority", "fast")
"""Classes of service that providers charge otherwise than the standard one, and say so."""


class Rates(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Micro-dollars per million tokens, of searches and requests per thousand. None: no such rate.

    `cache_write` is for five minutes, or for as long as a provider without a choice keeps it.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None
    web_search: int | None = None
    web_search_preview: int | None = None
    file_search: int | None = None
    request: int | None = None


class Tier(msgspec.Struct, frozen=True, gc=False):
    """Rates for responses whose whole input, cached tokens too, is more than `above` tokens.

    They are for all of the response's tokens, not only for those beyond the threshold.
    """

    above: int
    rates: Rates


class Price(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a model costs.

    Attributes:
        rates: of the standard class of service.
        tiers: where long inputs cost otherwise, by rising threshold.
        services: of other classes of service, by name, each complete.
        has_one_rate: whether classes of service that `services` has not cost what the standard one
            does; else nobody knows what they cost.
        context_window: most input tokens that the model takes; None where nobody says.
        us_percent: what tokens cost, in percent, where the model was asked to run in the USA only.
    """

    rates: Rates
    tiers: tuple[Tier, ...] = ()
    services: dict[str, Price] = {}
    has_one_rate: bool = False
    context_window: int | None = None
    us_percent: int = 100

    def rates_for(self, input_tokens: int, service: str = "") -> Rates | None:
        """The rates that a whole input of so many tokens comes under, in a class of service.

        None where it is not known what that class costs.
        """
        price = self.services.get(service)
        if price is None:
            if service and not self.has_one_rate:
                return None
            price = self
        found = price.rates
        for tier in price.tiers:
            if input_tokens <= tier.above:
                break
            found = tier.rates
        return found


def cost_micros(price: Price, usage: UsageFact) -> int | None:
    """What a response costs, in micro-dollars; None where the price lacks a rate that it takes."""
    fresh = usage.input_tokens
    read = usage.cache_read_input_tokens
    written = usage.cache_write_input_tokens
    rates = price.rates_for(fresh + read + written, usage.service_tier)
    if rates is None:
        return None
    if rates.input is None and fresh + read + written:
        return None
    if rates.output is None and usage.output_tokens:
        return None
    input_rate = rates.input or 0
    total = fresh * input_rate + usage.output_tokens * (rates.output or 0)
    total += (rates.request or 0) * _PER_THOUSAND
    if read:
        total += read * _or(rates.cache_read, input_rate)
    if written:
        total += _writing(rates, input_rate, written, usage)
    percent = price.us_percent if usage.inference_geo == "us" else 100
    total *= percent
    if not _FURTHER.isdisjoint(usage.extra):
        further = _further(rates, input_rate, usage)
        if further is None:
            return None
        total += further * 100
    return min((total + 50 * _MILLION) // (100 * _MILLION), MOST_MICROS)


def most_micros(
    price: Price,
    input_tokens: int,
    output_tokens: int,
    service: str = "",
    *,
    keeps_for_hour: bool = False,
    calls: Mapping[str, int] = {},
) -> int | None:
    """The most that a request can cost whose input and output are no longer than this.

    Nobody knows before the answer how much of the input is written to a cache, which costs more than
    reading it anew; where the model runs; and whether the class of service that was asked for is given.

    Args:
        price: the model's.
        input_tokens: all of the input.
        output_tokens: the longest answer.
        service: the class of service that the request asks for.
        keeps_for_hour: whether it asks for something to be cached for an hour.
        calls: of tools, under their names in a usage; those without a rate are left out.
    """
    charged = {
        name: count
        for name, count in calls.items()
        if cost_micros(price, UsageFact(0, 0, extra={name: count})) is not None
    }
    lasting = {"cache_ephemeral_1h_input": input_tokens} if keeps_for_hour else {}
    found = [
        cost_micros(price, usage)
        for tier in dict.fromkeys(("", service))
        for usage in (
            UsageFact(input_tokens, output_tokens, 0, 0, 0, charged, tier, inference_geo="us"),
            UsageFact(
                0, output_tokens, 0, input_tokens, 0, lasting | charged, tier, inference_geo="us"
            ),
        )
    ]
    return max((micros for micros in found if micros is not None), default=None)


def lacking(price: Price, service: str, calls: Iterable[str]) -> str | None:
    """What of a request has no price, as the end of a sentence; None where all has one.

    Args:
        price: the model's.
        service: the class of service that the request asks for.
        calls: the tools that it allows, under their names in a usage.
    """
    if cost_micros(price, UsageFact(1, 1)) is None:
        return ""
    if cost_micros(price, UsageFact(1, 1, service_tier=service)) is None:
        return f" in the class of service {service!r}"
    for name in calls:
        if cost_micros(price, UsageFact(1, 1, service_tier=service, extra={name: 1})) is None:
            tool = _TOOLS.get(name, name)
            return f" for calls of the tool {tool}"
    return None


_TOOLS = {
    "web_search_requests": "web_search",
    "web_search_preview_requests": "web_search_preview",
    "file_search_requests": "file_search",
    "code_interpreter_calls": "code_interpreter",
    "image_generation_calls": "image_generation",
}


def _or(rate: int | None, fallback: int) -> int:
    return fallback if rate is None else rate


def _writing(rates: Rates, input_rate: int, written: int, usage: UsageFact) -> int:
    """What was written to the cache. Only the lifetime of an hour is told apart; it is in the sum."""
    rate = _or(rates.cache_write, input_rate)
    lasting = min(usage.extra.get("cache_ephemeral_1h_input", 0), written)
    lasting_rate = rates.cache_write_1h
    if lasting_rate is None:
        lasting_rate = 2 * input_rate if rate > input_rate else rate
    return (written - lasting) * rate + lasting * lasting_rate


def _further(rates: Rates, input_rate: int, usage: UsageFact) -> int | None:
    """Searches, and what audio costs more than text; None where a rate is missing."""
    extra = usage.extra
    if not _UNRATED.isdisjoint(extra):
        return None
    total = 0
    for count, rate in (
        (extra.get("web_search_requests", 0), rates.web_search),
        (extra.get("web_search_preview_requests", 0), rates.web_search_preview),
        (extra.get("file_search_requests", 0), rates.file_search),
    ):
        if count:
            if rate is None:
                return None
            total += count * rate * _PER_THOUSAND
    # Audio is part of the input and the output. Of what was cached nobody says how much was audio.
    for count, rate, text_rate in (
        (min(extra.get("prompt_audio", 0), usage.input_tokens), rates.input_audio, input_rate),
        (
            min(extra.get("completion_audio", 0), usage.output_tokens),
            rates.output_audio,
            rates.output or 0,
        ),
    ):
        if count:
            if rate is None:
                return None
            total += count * (rate - text_rate)
    return total
