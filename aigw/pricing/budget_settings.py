"""What the configuration says of budgets."""

from __future__ import annotations

from dataclasses import dataclass

from aigw.secrets import Secret

THRESHOLDS = (85, 100)
"""Percent of a budget; those of Coder's gateway."""


NO_WEBHOOK = Secret()


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """How budgets refuse and warn.

    Attributes:
        is_billing_error: refuse with 429 `billing_error` in place of 403.
        thresholds: percentages that are told of when spending passes them, ascending.
        webhook: the URL that is told; empty: none. It may hold a token, so it is a secret.
        command: the words of the command that is told; empty: none.
    """

    is_billing_error: bool = False
    thresholds: tuple[int, ...] = THRESHOLDS
    webhook: Secret = NO_WEBHOOK
    command: tuple[str, ...] = ()
