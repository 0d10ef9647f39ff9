"""Budgets as text: sentences, tables, and their JSON form."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aigw.cli.text import visible
from aigw.pricing.budget import EACH, Scope, text_of_amount

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from aigw.pricing.budget import Budget
    from aigw.pricing.budget_report import Holding, Standing

SHOWN_HOLDERS = 20
"""Lines of one allowance: those that have spent most. `--json` has all."""

_BOLD = "1"
_FULL = 100


Names = Mapping[str, str]
"""The names of gateway keys by their ids."""


def key_names(path: Path) -> Names:
    """Those of a store."""
    from aigw.store.key_changes import list_keys

    return {key.id: key.name for key in list_keys(path)}


def named(budget: Budget, names: Names) -> str:
    """What a budget is for; keys by their names."""
    if budget.scope is Scope.KEY and budget.subject != EACH:
        return f"key {visible(names.get(budget.subject, budget.subject))}"
    return visible(budget.title)


def described(budget: Budget, names: Names) -> str:
    """A budget in a sentence."""
    amount = text_of_amount(budget.unit, budget.amount)
    return f"{named(budget, names)}: {amount} per {budget.period} ({budget.time_zone})"


def budget_object(budget: Budget, names: Names) -> dict[str, Any]:
    """The JSON form of a budget. `amount` is in micro-dollars or tokens, as `unit` says."""
    from aigw.records import rfc3339

    return {
        "id": budget.id,
        "scope": budget.scope.value,
        "subject": budget.subject,
        "name": _name(budget, names),
        "shared": budget.is_shared,
        "period": budget.period.value,
        "time_zone": budget.time_zone,
        "unit": budget.unit.value,
        "amount": budget.amount,
        "updated_at": rfc3339(budget.updated_at),
    }


def _name(budget: Budget, names: Names) -> str:
    if budget.scope is Scope.KEY:
        return names.get(budget.subject, budget.subject)
    return budget.subject


def standing_object(standing: Standing, names: Names) -> dict[str, Any]:
    """The JSON form of how a budget stands."""
    from aigw.records import rfc3339

    amount = standing.budget.amount
    return {
        **budget_object(standing.budget, names),
        "period_start": rfc3339(standing.span.start),
        "resets_at": rfc3339(standing.span.end),
        "pots": [
            {
                "holder": holding.holder.rpartition("\t")[2],
                "name": _holder(standing.budget, holding, names),
                "spent": holding.spent,
                "left": max(0, amount - holding.spent),
            }
            for holding in standing.holdings
        ],
    }


def _holder(budget: Budget, holding: Holding, names: Names) -> str:
    if budget.is_shared:
        return "all"
    if budget.scope is Scope.KEY:
        return names.get(holding.holder, holding.holder)
    user, tab, session = holding.holder.partition("\t")
    return f"{session} of {user}" if tab else user


def print_budgets(budgets: Iterable[Budget], names: Names) -> None:
    """A line for each budget under a head line, on stdout."""
    rows = [
        (
            named(budget, names),
            text_of_amount(budget.unit, budget.amount),
            budget.period.value,
            visible(budget.time_zone),
        )
        for budget in budgets
    ]
    print_aligned([("for", "amount", "per", "time zone"), *rows])


def print_standings(standings: Iterable[Standing], names: Names) -> None:
    """A block for each budget, on stdout: its head line, then who has spent how much of it."""
    from aigw.cli.messages import paint

    for number, standing in enumerate(standings):
        gap = "\n" if number else ""
        head = f"{described(standing.budget, names)}, resets {_moment(standing.span.end)}"
        sys.stdout.write(f"{gap}{paint(head, _BOLD, sys.stdout)}\n")
        shown = standing.holdings[:SHOWN_HOLDERS]
        rows = [_line(standing.budget, holding, names) for holding in shown]
        if rows:
            print_aligned(rows, head=False)
        else:
            sys.stdout.write("  nothing spent\n")
        if more := len(standing.holdings) - len(shown):
            sys.stdout.write(f"  and {more} more, shown by --json\n")


def _line(budget: Budget, holding: Holding, names: Names) -> tuple[str, ...]:
    left = max(0, budget.amount - holding.spent)
    percent = f"{holding.spent * _FULL // budget.amount} %" if budget.amount else "blocked"
    return (
        f"  {visible(_holder(budget, holding, names))}",
        f"{text_of_amount(budget.unit, holding.spent)} spent",
        percent,
        f"{text_of_amount(budget.unit, left)} left",
    )


def print_aligned(rows: Sequence[Sequence[str]], *, head: bool = True) -> None:
    """Lines of columns; the first is emphasised where it is a head line."""
    from rich.cells import cell_len

    from aigw.cli.messages import paint

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        cells = [
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        ]
        line = "  ".join(cells).rstrip()
        is_head = head and not number
        sys.stdout.write(f"{paint(line, _BOLD, sys.stdout) if is_head else line}\n")


def _moment(microseconds: int) -> str:
    from aigw.records import rfc3339

    return f"{rfc3339(microseconds)[:19]}Z"
