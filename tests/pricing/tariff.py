"""A price for every model, so that a test knows what a request costs."""

from __future__ import annotations

from aigw.pricing.budget import Budget, Period, Scope, Unit
from aigw.pricing.cost import UNPRICED, Cost
from aigw.records import InterceptionStart
from aigw.wire.facts import RequestFacts, UsageFact


class Tariff:
    """Micro-dollars for a token of any kind. Models whose name holds `free` have no price."""

    def __init__(self, rate: int) -> None:
        self.rate = rate

    def cost(self, start: InterceptionStart, usage: UsageFact) -> Cost:
        """What a response costs."""
        if "free" in start.model:
            return UNPRICED
        tokens = usage.input_tokens + usage.output_tokens
        tokens += usage.cache_read_input_tokens + usage.cache_write_input_tokens
        return Cost(tokens * self.rate, "tariff")

    def estimate_micros(
        self,
        provider_name: str,
        model: str,
        input_tokens: int,
        output_tokens: int,
        facts: RequestFacts,
    ) -> int | None:
        """What so many tokens cost."""
        del provider_name, facts
        return None if "free" in model else (input_tokens + output_tokens) * self.rate


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
