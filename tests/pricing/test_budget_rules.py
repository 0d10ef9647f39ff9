"""Which budgets count: the table of precedence."""

from __future__ import annotations

import pytest

from aigw.pricing.budget import EACH, Budget, Period, Scope, Unit, Who
from aigw.pricing.budget_rules import BudgetRules
from tests.pricing.tariff import budget

WHO = Who("ada", "Claude Code", "key1", "s1")
MEMBERS = {"dev": frozenset({"ada", "bob"}), "ops": frozenset({"ada"})}
RANKED = [
    budget(Scope.KEY, "key1"),
    budget(Scope.KEY, EACH),
    budget(Scope.USER, "ada"),
    budget(Scope.USER, EACH),
    budget(Scope.GROUP, "dev"),
    budget(Scope.EVERYONE),
]
"""Of who asks, the most specific first."""
SESSIONS = [budget(Scope.SESSION, "s1"), budget(Scope.SESSION, EACH)]
CLIENTS = [budget(Scope.CLIENT, "Claude Code"), budget(Scope.CLIENT, EACH)]


@pytest.mark.parametrize("ranked", [RANKED, SESSIONS, CLIENTS])
def test_the_most_specific_counts(ranked: list[Budget]) -> None:
    for first in range(len(ranked)):
        # In any order of the table.
        for budgets in (ranked[first:], ranked[:first:-1] + ranked[first : first + 1]):
            assert BudgetRules(budgets, MEMBERS).applying(WHO) == [ranked[first]]


def test_what_clients_say_of_themselves_lifts_no_limit() -> None:
    rules = BudgetRules([*RANKED, *SESSIONS, *CLIENTS], MEMBERS)
    assert rules.applying(WHO) == [SESSIONS[0], CLIENTS[0], RANKED[0]]
    assert rules.applying(Who("ada", "another", "key1", "s2")) == [
        SESSIONS[1], CLIENTS[1], RANKED[0],
    ]  # fmt: skip


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
    titles = [each.title for each in [*SESSIONS, *RANKED]]
    assert titles[:4] == ["session s1", "each session", "key key1", "each key"]
    assert titles[6:] == ["each member of group dev", "each user"]
    shared: list[Budget] = [
        budget(Scope.GROUP, "dev", shared=True),
        budget(Scope.EVERYONE, shared=True),
    ]
    assert [each.title for each in shared] == ["group dev together", "everyone together"]
