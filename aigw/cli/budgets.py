"""`aigw budgets`: set, list, show and unset budgets."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from aigw.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from aigw.pricing.budget import Budget, Period, Scope
    from aigw.pricing.budget_rules import BudgetRules

app = typer.Typer(
    help="Say how much may be spent, by whom, in which time.",
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

_Database = Annotated[
    str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
]
_Scope = Annotated[
    str,
    typer.Argument(
        metavar="SCOPE", help="everyone, group, user, key, client or session.", show_default=False
    ),
]
_Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="Which one; '*' for each user, key, client or session by itself. Not for everyone.",
        show_default=False,
    ),
]
_Per = Annotated[
    str | None,
    typer.Option(
        metavar="PERIOD", help="day, week or month. Default: --ai-budget-period of the settings."
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
_NONE = "there are no budgets: `aigw budgets set everyone --usd 50` makes one\n"


@app.callback()
def _budgets() -> None:
    """Say how much may be spent, by whom, in which time."""


@app.command("set")
def set_one(
    scope: _Scope,
    name: _Name = None,
    usd: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="US dollars: 5.00. 0 lets nothing through.")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Tokens of all kinds: 500k, 2M.")
    ] = None,
    per: _Per = None,
    timezone: Annotated[
        str, typer.Option(metavar="TZ", help="Whose days: UTC, Europe/Berlin.")
    ] = "UTC",
    shared: Annotated[
        bool,
        typer.Option("--shared", help="One pot for all, which applies beside other budgets."),
    ] = False,
    json: _Json = False,
    db: _Database = None,
) -> None:
    """Set a budget, or change it. A running gateway goes by it within a second.

    aigw budgets set session '*' --usd 5 --per day

    aigw budgets set user anna@example.com --usd 250

    A budget of a group or of everyone is an allowance of each member by itself, unless --shared.
    Of several for the same period the most specific counts: a key's, then a user's, a group's,
    everyone's. Those of sessions and clients apply besides.
    """
    from aigw import clock
    from aigw.cli.budget_lines import budget_object, described, key_names
    from aigw.cli.budget_words import amount, time_zone
    from aigw.cli.text import prepare_stdout, print_json
    from aigw.pricing.budget import Budget
    from aigw.pricing.budget_table import set_budget
    from aigw.settings import database_path

    unit, number = amount(usd, tokens)
    path = database_path(db, os.environ)
    kind, subject = _subject(path, scope, name, is_shared=shared)
    period = _period(per)
    made = set_budget(
        path,
        Budget(
            id=0,
            scope=kind,
            subject=subject,
            period=period,
            unit=unit,
            amount=number,
            time_zone=time_zone(timezone),
            is_shared=shared,
            updated_at=clock.now(),
        ),
    )
    _warn_of_retention(period)
    names = key_names(path)
    prepare_stdout()
    if json:
        print_json(budget_object(made, names))
    else:
        sys.stderr.write(f"{described(made, names)}\n")


@app.command("list")
def list_all(json: _Json = False, db: _Database = None) -> None:
    """List the budgets."""
    from aigw.cli.budget_lines import budget_object, key_names, print_budgets
    from aigw.cli.text import prepare_stdout, print_json
    from aigw.pricing.budget_table import list_rules
    from aigw.settings import database_path

    path = database_path(db, os.environ)
    budgets, names = list_rules(path).budgets, key_names(path)
    prepare_stdout()
    if json:
        print_json([budget_object(budget, names) for budget in budgets])
    elif budgets:
        print_budgets(budgets, names)
    else:
        sys.stderr.write(_NONE)


@app.command()
def show(
    scope: Annotated[
        str | None, typer.Argument(metavar="SCOPE", help="Only those of this scope.")
    ] = None,
    name: _Name = None,
    json: _Json = False,
    db: _Database = None,
) -> None:
    """Show what was spent of budgets, what is left, and when they begin anew."""
    from aigw import clock
    from aigw.cli.budget_lines import key_names, print_standings, standing_object
    from aigw.cli.text import prepare_stdout, print_json
    from aigw.pricing.budget import EACH, Unit
    from aigw.pricing.budget_report import standings
    from aigw.pricing.budget_table import list_rules
    from aigw.pricing.spend import unpriced_since
    from aigw.settings import database_path
    from aigw.store.reader import reading

    path = database_path(db, os.environ)
    rules = list_rules(path)
    chosen, holder = _chosen(path, rules.budgets, scope, name), None
    if scope is not None and name is not None and name != EACH:
        # What holds one: that is seldom its own budget alone.
        chosen, holder = _holding(path, rules, chosen, scope, name)
    found, unpriced = [], 0
    if chosen:
        with reading(path) as connection:
            found = standings(connection, rules, chosen, clock.now(), holder)
            starts = [each.span.start for each in found if each.budget.unit is Unit.MICROS]
            unpriced = unpriced_since(connection, min(starts)) if starts else 0
    names = key_names(path)
    prepare_stdout()
    if json:
        print_json([standing_object(each, names) for each in found])
    elif found:
        print_standings(found, names)
        if unpriced:
            said = "response has" if unpriced == 1 else "responses have"
            sys.stderr.write(f"{unpriced:,} {said} no known price and count for no dollars\n")
    elif rules.budgets:
        sys.stderr.write("no budget holds that: `aigw budgets list` shows all there are\n")
    else:
        sys.stderr.write(_NONE)


@app.command()
def unset(
    scope: _Scope,
    name: _Name = None,
    per: Annotated[
        str | None, typer.Option(metavar="PERIOD", help="Only that of day, week or month.")
    ] = None,
    usd: Annotated[bool, typer.Option("--usd", help="Only that in dollars.")] = False,
    tokens: Annotated[bool, typer.Option("--tokens", help="Only that in tokens.")] = False,
    shared: Annotated[bool, typer.Option("--shared", help="Only the shared one.")] = False,
    db: _Database = None,
) -> None:
    """Remove budgets: all of a scope and name, or those that the options choose."""
    from aigw.cli.budget_lines import key_names, named
    from aigw.pricing.budget import Unit
    from aigw.pricing.budget_table import list_rules, unset_budgets
    from aigw.settings import database_path

    path = database_path(db, os.environ)
    period = None if per is None else _period(per)
    units = {unit for unit, given in ((Unit.MICROS, usd), (Unit.TOKENS, tokens)) if given}
    found = [
        budget
        for budget in _chosen(path, list_rules(path).budgets, scope, name, exact=True)
        if (period is None or budget.period is period)
        and (not units or budget.unit in units)
        and (budget.is_shared or not shared)
    ]
    if not found:
        raise StoreError("there is no such budget: `aigw budgets list` shows all.")
    unset_budgets(path, {budget.id for budget in found})
    names = key_names(path)
    for budget in found:
        sys.stderr.write(f"the budget of {named(budget, names)} was removed\n")


def _subject(path: Path, scope: str, name: str | None, *, is_shared: bool) -> tuple[Scope, str]:
    """What a budget is for, as stored; unknown names are told of."""
    from aigw.cli import messages
    from aigw.cli.budget_words import scope_of, subject_of, unknown
    from aigw.pricing.budget import EACH, Scope

    kind = scope_of(scope)
    subject = subject_of(path, kind, name)
    if is_shared and subject == EACH and kind is not Scope.EVERYONE:
        raise ConfigError(
            f"--shared makes one pot of each {kind}: for a cap on all use `everyone --shared`"
        )
    if problem := unknown(path, kind, subject):
        messages.warn(problem)
    return kind, subject


def _chosen(
    path: Path,
    budgets: tuple[Budget, ...],
    scope: str | None,
    name: str | None,
    *,
    exact: bool = False,
) -> list[Budget]:
    """The budgets of a scope and name; without a name all of the scope, unless `exact`."""
    from aigw.cli.budget_words import scope_of, subject_of
    from aigw.pricing.budget import Scope

    if scope is None:
        return list(budgets)
    kind = scope_of(scope)
    found = [budget for budget in budgets if budget.scope is kind]
    if name is None and not exact and kind is not Scope.EVERYONE:
        return found
    subject = subject_of(path, kind, name, is_new=False)
    return [budget for budget in found if budget.subject == subject]


def _holding(
    path: Path, rules: BudgetRules, own: list[Budget], scope: str, name: str
) -> tuple[list[Budget], str | None]:
    """The budgets to show for a name, and as whom they know it; None: as nobody but themselves.

    A user's are all that count for a request of that user. Others have their own, or those for each.
    """
    from aigw.cli.budget_words import scope_of, subject_of
    from aigw.pricing.budget import EACH, Scope, Who

    kind = scope_of(scope)
    subject = subject_of(path, kind, name, is_new=False)
    if kind is Scope.USER:
        scopes = (Scope.USER, Scope.GROUP, Scope.EVERYONE)
        found = rules.applying(Who(subject, ""))
        return [budget for budget in found if budget.scope in scopes], subject
    if own:
        return own, None
    return [each for each in rules.budgets if (each.scope, each.subject) == (kind, EACH)], subject


def _period(text: str | None) -> Period:
    from aigw.pricing.budget import Period
    from aigw.settings import resolve_one

    if text is None:
        return Period(resolve_one("budget_period", None, os.environ))
    try:
        return Period(text.lower())
    except ValueError:
        raise ConfigError(f"--per {text!r} is not a period: use day, week or month") from None


def _warn_of_retention(period: Period) -> None:
    """Sums are those of the records there are: what is pruned within a period is not counted."""
    from datetime import timedelta

    from aigw.cli import messages
    from aigw.errors import AigwError
    from aigw.pricing.budget import Period
    from aigw.settings import resolve_one

    days = {Period.DAY: 1, Period.WEEK: 7, Period.MONTH: 31}[period]
    try:
        retention = resolve_one("retention", None, os.environ)
    except AigwError:
        return
    if retention and retention < timedelta(days=days):
        messages.warn(
            f"records are kept for less than a {period} (--aibridge-retention): after a restart, "
            "what was pruned no longer counts as spent"
        )
