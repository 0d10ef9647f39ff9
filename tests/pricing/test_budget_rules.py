"""Which budgets count: the table of precedence."""

from __future__ import annotations

import pytest

from aigw.pricing.budget import EACH, Budget, Period, Scope, Unit, Who
from aigw.pricing.budget_rules import BudgetRules
from tests.pricing.tariff import budget

WHO = Who("ada", "Claude Code", "key1", "s1")
MEMBERS = {"dev": frozenset({"ada", "bob"}), "ops": frozenset({"ada"})}
RANKED = [
    budget(Scope.SESSION, "s1"),
    budget(Scope.SESSION, EACH),
    budget(Scope.KEY, "key1"),
    budget(Scope.KEY, EACH),
    budget(Scope.USER, "ada"),
    budget(Scope.USER, EACH),
    budget(Scope.CLIENT, "Claude Code"),
    budget(Scope.CLIENT, EACH),
    budget(Scope.GROUP, "dev"),
    budget(Scope.EVERYONE),
]
"""The most specific first."""


@pytest.mark.parametrize("first", range(len(RANKED)))
def test_the_most_specific_counts(first: int) -> None:
    # In any order of the table.
    for budgets in (RANKED[first:], RANKED[:first:-1] + RANKED[first : first + 1]):
        assert BudgetRules(budgets, MEMBERS).applying(WHO) == [RANKED[first]]


def test_of_several_groups_the_highest_amount_counts() -> None:
    low, high = budget(Scope.GROUP, "dev", 5), budget(Scope.GROUP, "ops", 7)
    for budgets in ([low, high], [high, low]):
        rules = BudgetRules(budgets, MEMBERS)
        assert rules.applying(WHO) == [high]
        assert rules.applying(Who("bob", "x")) == [low]
        assert rules.applying(Who("eve", "x")) == []
    # A more specific one counts though it is lower, and though it is higher.
    own = budget(Scope.USER, "ada", 1)
    assert BudgetRules([low, high, own], MEMBERS).applying(WHO) == [own]


def test_each_period_and_unit_has_its_own() -> None:
    a_day = budget(Scope.EVERYONE, period=Period.DAY)
    a_month = budget(Scope.EVERYONE, period=Period.MONTH)
    tokens = budget(Scope.EVERYONE, unit=Unit.TOKENS, period=Period.DAY)
    mine = budget(Scope.USER, "ada", period=Period.DAY)
    found = BudgetRules([a_day, a_month, tokens, mine]).applying(WHO)
    assert sorted(found, key=id) == sorted([mine, a_month, tokens], key=id)


def test_shared_ones_apply_besides() -> None:
    every = budget(Scope.EVERYONE, shared=True)
    team = budget(Scope.GROUP, "dev", shared=True)
    mine = budget(Scope.USER, "ada", 100)
    rules = BudgetRules([every, team, mine], MEMBERS)
    assert rules.applying(WHO) == [mine, team, every]
    assert rules.applying(Who("eve", "x")) == [every]


@pytest.mark.parametrize(
    ("who", "scope", "subject"),
    [
        (Who("eve", "x"), Scope.USER, "ada"),
        (Who("ada", "x"), Scope.KEY, EACH),
        (Who("ada", "x"), Scope.SESSION, EACH),
        (Who("ada", "x", "key2"), Scope.KEY, "key1"),
        (Who("ada", "claude code"), Scope.CLIENT, "Claude Code"),
    ],
)
def test_what_does_not_fit(who: Who, scope: Scope, subject: str) -> None:
    assert BudgetRules([budget(scope, subject)]).applying(who) == []


def test_titles() -> None:
    titles = [each.title for each in RANKED]
    assert titles[:4] == ["session s1", "each session", "key key1", "each key"]
    assert titles[8:] == ["each member of group dev", "each user"]
    shared: list[Budget] = [
        budget(Scope.GROUP, "dev", shared=True),
        budget(Scope.EVERYONE, shared=True),
    ]
    assert [each.title for each in shared] == ["group dev together", "everyone together"]
