"""Budgets before a request is sent: who spends, how much is reserved, and what a refusal says."""

from __future__ import annotations

import asyncio
import shlex
import time
from datetime import UTC, datetime

from aigw.errors import RefusedError
from aigw.gateway.admitted import Admitted
from aigw.gateway.errors import NO_RETRY
from aigw.pricing.budget import EACH, Budget, Scope, Who, text_of_amount
from aigw.pricing.budget_gate import Admission, BudgetGate, OverBudget
from aigw.pricing.budget_settings import BudgetSettings, Refusal
from aigw.providers.provider import ErrorShape
from aigw.telemetry.budget_metrics import BudgetMetrics
from aigw.wire.facts import RequestFacts

CODE = "budget_exceeded"
NOT_PRICED = "model_not_priced"
IN_BACKGROUND = "background_not_counted"
BILLING = "billing_error"
"""The type of errors about money in Anthropic's API, and ours by choice for all."""

USAGE_LIMIT = "usage_limit_reached"
"""The type of the error of ChatGPT's plans, which Codex does not try again."""

PROMO_HEADER = "x-codex-promo-message"
"""Where Codex finds the words to show with such an error; those of the body it does not show."""

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
        if self._settings.refuses_unpriced:
            self._check_price(admitted, facts, who, model, began)
        try:
            admission = await self._gate.admit(
                who, self._gate.estimate(who, name, model, size, facts)
            )
        except OverBudget as over:
            pot = over.pot
            group = pot.budget.subject if pot.budget.scope is Scope.GROUP else ""
            self._metrics.blocked(group, who.user, pot.span.end / _SECOND)
            self._metrics.checked("blocked", time.monotonic() - began)
            shape, key = admitted.target.shape, admitted.caller.key
            message = _message(over, "" if key is None else key.name)
            raise refusal(CODE, message, shape, self._settings.refusal) from over
        except asyncio.CancelledError:
            self._metrics.checked("left", time.monotonic() - began)
            raise
        self._metrics.allowed(who.user)
        self._metrics.checked("allowed", time.monotonic() - began)
        return admission

    def _check_price(
        self, admitted: Admitted, facts: RequestFacts, who: Who, model: str, began: float
    ) -> None:
        """Refuse what a budget in dollars cannot count.

        Raises:
            RefusedError: there is such a budget for who asks.
        """
        found = self._gate.without_price(who, admitted.provider.name, model, facts)
        if found is None:
            return
        pot, part = found
        self._metrics.checked("blocked", time.monotonic() - began)
        key = admitted.caller.key
        title = _title(pot.budget, "" if key is None else key.name)
        message = _not_priced(model[:_LONGEST_NAME], part, f"{title} per {pot.budget.period}")
        raise refusal(NOT_PRICED, message, admitted.target.shape, self._settings.refusal)


def refusal(code: str, message: str, shape: ErrorShape, form: Refusal) -> RefusedError:
    """What the client is told.

    AWS's clients try each 429 again, whatever it says: theirs is always 403. No `Retry-After` says
    when the budget begins anew: Codex would wait for that, hours or days, without a word.
    """
    if form is Refusal.FORBIDDEN or shape is ErrorShape.AWS:
        return RefusedError(403, code, message, headers=NO_RETRY)
    if form is Refusal.USAGE_LIMIT and shape is ErrorShape.OPENAI:
        words = "".join(c if c.isascii() and c.isprintable() else "?" for c in message)
        headers = {**NO_RETRY, PROMO_HEADER: words.rstrip(".")}
        return RefusedError(429, code, message, kind=USAGE_LIMIT, headers=headers)
    code = BILLING if code == CODE else code
    return RefusedError(429, code, message, kind=BILLING, headers=NO_RETRY)


_LONGEST_NAME = 200
"""Characters of a model's name that are repeated: it goes into a header, and is the client's choice."""


def _title(budget: Budget, key_name: str) -> str:
    """What a budget is called to whom it holds: a key by its name. Its id says nothing to its user."""
    if budget.scope is Scope.KEY and budget.subject != EACH and key_name:
        return f"key {key_name}"
    return budget.title


def _not_priced(model: str, part: str, title: str) -> str:
    """What cannot be counted, and what to do; `part` as `price.lacking` says it."""
    subject = f"The model {model}" if model else "A request that names no model"
    if not model:
        advice = "Name the model beside the stored prompt"
    elif part:
        advice = "Ask without that"
    else:
        name = shlex.quote(model)
        advice = f"Set its price with `aigw prices set {name} --input DOLLARS --output DOLLARS`"
    return (
        f"{subject} has no price{part}, so a budget in dollars ({title}) cannot count it. "
        f"{advice}, or have a budget in tokens in place of the one in dollars."
    )


def _message(over: OverBudget, key_name: str) -> str:
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
        f"(Budget of {_title(budget, key_name)} per {budget.period}: {each}; it resets at "
        f"{_moment(pot.span.end)}.)"
    )


def _moment(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds // _SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"
