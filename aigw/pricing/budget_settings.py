"""What the configuration says of budgets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aigw.secrets import Secret

THRESHOLDS = (85, 100)
"""Percent of a budget; those of Coder's gateway."""


NO_WEBHOOK = Secret()


class Refusal(StrEnum):
    """The form of a refusal: the values of `--budget-refusal`."""

    FORBIDDEN = "forbidden"
    """403, as in Coder's gateway."""
    BILLING_ERROR = "billing-error"
    """429 of the type of errors about money in Anthropic's API."""
    USAGE_LIMIT = "usage-limit"
    """429 of the type of ChatGPT's plans, in OpenAI's API: Codex then stops at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """How budgets refuse and warn.

    Attributes:
        refusal: in which form.
        refuses_unpriced: whether budgets in dollars refuse what has no price.
        thresholds: percentages that are told of when spending passes them, ascending.
        webhook: the URL that is told; empty: none. It may hold a token, so it is a secret.
        command: the words of the command that is told; empty: none.
    """

    refusal: Refusal = Refusal.FORBIDDEN
    refuses_unpriced: bool = False
    thresholds: tuple[int, ...] = THRESHOLDS
    webhook: Secret = NO_WEBHOOK
    command: tuple[str, ...] = ()
