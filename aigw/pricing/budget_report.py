"""How budgets stand, worked out from the store: for `aigw budgets show`, with or without a daemon."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aigw.pricing.budget import EACH, Budget, Scope, Unit
from aigw.pricing.budget_period import Span
from aigw.pricing.budget_rules import BudgetRules
from aigw.pricing.ledger import Need, Series, need_of
from aigw.pricing.spend import fill
from aigw.store.reader import snapshot


class Holding(NamedTuple):
    """What one holder has spent of a budget. `holder` is empty where all share it."""

    holder: str
    spent: int


class Standing(NamedTuple):
    """A budget in its current period: who has spent how much of it, the largest first."""

    budget: Budget
    span: Span
    holdings: list[Holding]


def standings(
    connection: sqlite3.Connection,
    rules: BudgetRules,
    budgets: Iterable[Budget],
    now: int,
    holder: str | None = None,
) -> list[Standing]:
    """How budgets stand at a moment (microseconds); with a `holder`, a user's or session's name, for it alone.

    Holders that spent nothing are left out where nobody names them.

    Raises:
        sqlite3.Error: as SQLite says.
    """
    chosen = list(budgets)
    series = {need: Series(need, now) for need in {need_of(budget) for budget in chosen}}
    with snapshot(connection):
        fill(connection, series.values(), _sessions(chosen, holder))
    found = [_standing(budget, rules, series) for budget in chosen]
    return found if holder is None else [_only(each, holder) for each in found]


def _sessions(budgets: list[Budget], holder: str | None) -> set[str] | None:
    """The ids of the sessions that anything is to be said of; None for all."""
    named = {budget.subject for budget in budgets if budget.scope is Scope.SESSION}
    if EACH not in named:
        return named
    return None if holder is None else named - {EACH} | {holder}


def _only(standing: Standing, holder: str) -> Standing:
    if standing.budget.is_shared:
        return standing
    # Of sessions the user stands before the name.
    kept = [each for each in standing.holdings if each.holder.rpartition("\t")[2] == holder]
    return standing._replace(holdings=kept or [Holding(holder, 0)])


def _standing(budget: Budget, rules: BudgetRules, series: dict[Need, Series]) -> Standing:
    counted = series[need_of(budget)]
    index = 0 if budget.unit is Unit.MICROS else 1
    spent = {name: meter.spent[index] for name, meter in counted.holders()}
    holdings = [Holding(name, spent.get(name, 0)) for name in _holders(budget, rules, spent)]
    if budget.is_shared:
        holdings = [Holding("", sum(holding.spent for holding in holdings))]
    holdings.sort(key=lambda holding: (-holding.spent, holding.holder))
    return Standing(budget, counted.span, holdings)


def _holders(budget: Budget, rules: BudgetRules, seen: dict[str, int]) -> Iterator[str]:
    if budget.scope is Scope.GROUP:
        yield from rules.members.get(budget.subject, ())
    elif budget.scope is Scope.SESSION and budget.subject != EACH:
        yield from (name for name in seen if name.endswith(f"\t{budget.subject}"))
    elif budget.subject == EACH:
        yield from (name for name, spent in seen.items() if spent)
    else:
        yield budget.subject
