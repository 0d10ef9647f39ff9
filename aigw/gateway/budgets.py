"""Budgets before a request is sent: who spends, how much is reserved, and what a refusal says."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from aigw.errors import RefusedError
from aigw.gateway.admitted import Admitted
from aigw.gateway.errors import NO_RETRY
from aigw.pricing.budget import Scope, Who, text_of_amount
from aigw.pricing.budget_gate import Admission, BudgetGate, OverBudget
from aigw.pricing.budget_settings import BudgetSettings
from aigw.providers.provider import ErrorShape
from aigw.telemetry.budget_metrics import BudgetMetrics
from aigw.wire.facts import RequestFacts

CODE = "budget_exceeded"
IN_BACKGROUND = "background_not_counted"
BILLING = "billing_error"
"""The type of errors about money in Anthropic's API, and ours by choice for all."""

_SECOND = 1_000_000

_NOT_COUNTED = (
    "a response in the background is told its tokens only when it is fetched later, so no budget can "
    "count it: ask without `background`"
)


class Budgets:
    """Checks requests of the relay against the budgets of a gate."""

    def __init__(
        self, gate: BudgetGate, metrics: BudgetMetrics, settings: BudgetSettings | None = None
    ) -> None:
        self._gate = gate
        self._metrics = metrics
        self._settings = settings or BudgetSettings()

    @property
    def is_active(self) -> bool:
        """Whether there is any budget."""
        return bool(self._gate.ledger.rules)

    def status(self) -> dict[str, int]:
        """What the status page shows: how many there are, and how many requests wait for others."""
        return {"count": len(self._gate.ledger.rules.budgets), "waiting": self._gate.waiting}

    def configure(self, settings: BudgetSettings) -> None:
        """Refuse in another form from now on."""
        self._settings = settings

    async def admit(
        self, admitted: Admitted, facts: RequestFacts, who: Who, model: str, size: int
    ) -> Admission:
        """Let a request through, and reserve what it may cost until the end of the `with` block.

        Args:
            admitted: the request.
            facts: what it says.
            who: who spends.
            model: the one that the provider is asked for.
            size: of the body, decompressed.

        Raises:
            RefusedError: a budget is spent: the message says which, and when it begins anew. Or the
                request is one that cannot be counted.
        """
        began = time.monotonic()
        if facts.in_background and self._gate.holds(who):
            self._metrics.checked("blocked", time.monotonic() - began)
            raise RefusedError(403, IN_BACKGROUND, _NOT_COUNTED, headers=NO_RETRY)
        name = admitted.provider.name
        try:
            admission = await self._gate.admit(
                who, self._gate.estimate(who, name, model, size, facts)
            )
        except OverBudget as over:
            pot = over.pot
            group = pot.budget.subject if pot.budget.scope is Scope.GROUP else ""
            self._metrics.blocked(group, who.user, pot.span.end / _SECOND)
            self._metrics.checked("blocked", time.monotonic() - began)
            raise refusal(over, admitted.target.shape, self._settings) from over
        except asyncio.CancelledError:
            self._metrics.checked("left", time.monotonic() - began)
            raise
        self._metrics.allowed(who.user)
        self._metrics.checked("allowed", time.monotonic() - began)
        return admission


def refusal(over: OverBudget, shape: ErrorShape, settings: BudgetSettings) -> RefusedError:
    """What the client is told.

    AWS's clients try each 429 again, whatever it says: theirs is always 403. No `Retry-After` says
    when the budget begins anew: Codex would wait for that, hours or days, without a word.
    """
    message = _message(over)
    if not settings.is_billing_error or shape is ErrorShape.AWS:
        return RefusedError(403, CODE, message, headers=NO_RETRY)
    return RefusedError(429, BILLING, message, kind=BILLING, headers=NO_RETRY)


def _message(over: OverBudget) -> str:
    """The words of Coder's gateway, and then which budget, how much, until when."""
    pot = over.pot
    budget = pot.budget
    amount = text_of_amount(budget.unit, budget.amount)
    spent = text_of_amount(budget.unit, pot.spent)
    each = f"{spent} spent"
    if over.is_reserved:
        each += f", {text_of_amount(budget.unit, pot.reserved)} reserved for requests that run now"
    return (
        f"AI budget of {amount} exceeded. Please contact an administrator for more details. "
        f"(Budget of {budget.title} per {budget.period}: {each}; it resets at "
        f"{_moment(pot.span.end)}.)"
    )


def _moment(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds // _SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"
