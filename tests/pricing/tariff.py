"""A price for every model, so that a test knows what a request costs."""

from __future__ import annotations

from collections.abc import Mapping

from aigw.pricing.budget import Budget, Period, Scope, Unit
from aigw.pricing.cost import UNPRICED, Cost
from aigw.pricing.price import Price, Rates, lacking
from aigw.records import InterceptionStart
from aigw.wire.facts import RequestFacts, UsageFact

SEARCHES = "web_search_requests"
SEARCH = 10_000
"""Micro-dollars of a web search: a cent."""

PLAIN = Price(rates=Rates(input=1, output=1, web_search=1, file_search=1))


class Tariff:
    """Micro-dollars for a token of any kind, and for a search. Models whose name holds `free` have no price."""

    def __init__(self, rate: int) -> None:
        self.rate = rate

    def cost(self, start: InterceptionStart, usage: UsageFact) -> Cost:
        """What a response costs."""
        if "free" in start.model:
            return UNPRICED
        tokens = usage.input_tokens + usage.output_tokens
        tokens += usage.cache_read_input_tokens + usage.cache_write_input_tokens
        searches = usage.extra.get(SEARCHES, 0)
        return Cost(tokens * self.rate + searches * SEARCH, "tariff")

    def estimate_micros(
        self,
        provider_name: str,
        model: str,
        input_tokens: int,
        output_tokens: int,
        facts: RequestFacts,
        calls: Mapping[str, int] = {},
    ) -> int | None:
        """What so many tokens and calls cost."""
        del provider_name, facts
        if "free" in model:
            return None
        return (input_tokens + output_tokens) * self.rate + calls.get(SEARCHES, 0) * SEARCH

    def lacking(self, provider_name: str, model: str, facts: RequestFacts) -> str | None:
        """What has no price: like a real price with nothing but the standard class of service."""
        del provider_name
        if "free" in model or not model:
            return ""
        return lacking(PLAIN, facts.service_tier, facts.server_tools())


def budget(
    scope: Scope = Scope.EVERYONE,
    subject: str = "*",
    amount: int = 5_000_000,
    *,
    number: int = 0,
    period: Period = Period.MONTH,
    unit: Unit = Unit.MICROS,
    time_zone: str = "UTC",
    shared: bool = False,
) -> Budget:
    """A budget of five dollars a month, unless a test says otherwise."""
    return Budget(
        id=number,
        scope=scope,
        subject=subject,
        period=period,
        unit=unit,
        amount=amount,
        time_zone=time_zone,
        is_shared=shared,
    )
