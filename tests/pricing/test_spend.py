"""What was spent, from a store's sums, its tail, and what runs: the same as counting each record."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from aigw.pricing.budget import Kind, Period, Scope, Unit, Who, who_of
from aigw.pricing.budget_rules import BudgetRules
from aigw.pricing.ledger import MOST_PLANS, Estimate, Ledger, Need, Series
from aigw.pricing.spend import fill
from aigw.records import CostBasis, InterceptionStart, Record, TokenUsage
from aigw.store.rollup import roll_up
from aigw.store.transaction import Transaction
from tests.pricing.tariff import budget
from tests.store.rows import DAY, NOON, Store, end, new_store, start

NEEDS = [Need(kind, period, "Europe/Berlin") for kind in Kind for period in Period]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with new_store(tmp_path / "aigw.db") as made:
        yield made


def figures(series: Series) -> dict[str, list[int]]:
    return {holder: meter.spent for holder, meter in series.holders() if any(meter.spent)}


def usage(key: str, at: int, number: int, micros: int | None) -> TokenUsage:
    return TokenUsage(
        interception_id=key,
        created_at=at,
        id=f"{key}-{number}",
        msg_id="m",
        input_tokens=number,
        output_tokens=2,
        cache_read_input_tokens=3,
        cache_write_input_tokens=4,
        cost_micros=micros,
        cost_basis=CostBasis.UNPRICED if micros is None else CostBasis.WIRE,
    )


def random_interception(
    source: random.Random, number: int
) -> tuple[InterceptionStart, list[TokenUsage]]:
    at = NOON - source.randrange(40 * DAY)
    begun = start(
        f"i-{number}",
        at,
        initiator_id=source.choice(["ada", "bob", "local"]),
        api_key_id=source.choice(["key1", "key2", None]),
        client=source.choice(["Codex", "Claude Code"]),
        client_session_id=source.choice(["s1", "s2"]),
        plan=source.choice([None, None, "claude"]),
    )
    prices = (None, 0, 7, 1000)
    return begun, [usage(f"i-{number}", at, n, source.choice(prices)) for n in range(1, 3)]


@pytest.mark.parametrize("seed", range(5))
def test_sums_tail_and_running_ones_make_the_whole(store: Store, seed: int) -> None:
    source = random.Random(seed)
    expected = [Series(need, NOON) for need in NEEDS]
    for number in range(120):
        begun, usages = random_interception(source, number)
        records: list[Record] = [begun, *usages]
        if source.random() < 0.8:
            # Times of end have no bearing on the period.
            records.append(
                end(
                    begun.interception_id,
                    NOON,
                    input_tokens=sum(u.input_tokens for u in usages),
                    output_tokens=sum(u.output_tokens for u in usages),
                    cache_read_input_tokens=sum(u.cache_read_input_tokens for u in usages),
                    cache_write_input_tokens=sum(u.cache_write_input_tokens for u in usages),
                    cost_micros=sum(u.cost_micros or 0 for u in usages),
                )
            )
        store.write(*records)
        if source.random() < 0.1:
            roll_up(store.connection, limit=source.randrange(1, 50))
        _count(expected, begun, usages)
    found = [Series(need, NOON) for need in NEEDS]
    fill(store.connection, found)
    assert [figures(each) for each in found] == [figures(each) for each in expected]
    assert any(figures(each) for each in found)
    some = [Series(need, NOON) for need in NEEDS]
    fill(store.connection, some, {"s2", "gone"})
    for need, each, whole in zip(NEEDS, some, found, strict=True):
        is_kept = "\ts2" if need.kind is Kind.SESSION else ""
        kept = {name: spent for name, spent in figures(whole).items() if name.endswith(is_kept)}
        assert figures(each) == kept


def test_some_sessions_are_found_without_reading_all(store: Store) -> None:
    asked: list[str] = []
    store.connection.set_trace_callback(asked.append)
    fill(store.connection, [Series(Need(Kind.SESSION, Period.MONTH, "UTC"), NOON)], {"s1"})
    store.connection.set_trace_callback(None)
    plan = [row[3] for row in store.connection.execute(f"EXPLAIN QUERY PLAN {asked[0]}")]
    assert any("i USING INDEX interceptions_session_seq (session_seq=?" in line for line in plan)
    assert not any(line.startswith("SCAN i") for line in plan)


def _count(series: list[Series], begun: InterceptionStart, usages: list[TokenUsage]) -> None:
    """By the plain rule, record by record."""
    who = who_of(begun)
    for each in series:
        holder = who.holder(each.need.kind)
        if holder is None or begun.started_at < each.span.start:
            continue
        meter = each.meter(holder)
        for record in usages:
            meter.spent[0] += 0 if begun.plan else record.cost_micros or 0
            meter.spent[1] += record.input_tokens + record.output_tokens + 7


def test_what_a_killed_daemon_left_open_keeps_its_cost(store: Store) -> None:
    begun = start("i-1", NOON, initiator_id="ada")
    store.write(begun, usage("i-1", NOON, 1, 500), usage("i-1", NOON, 2, None))
    Transaction(store.connection).end_orphans(NOON + DAY)
    row = store.connection.execute(
        "SELECT status, cost_micros, unpriced, input_tokens, output_tokens FROM interceptions"
    ).fetchone()
    assert row == ("aborted", 500, 1, 3, 4)
    series = Series(Need(Kind.USER, Period.DAY, "UTC"), NOON)
    fill(store.connection, [series])
    assert figures(series) == {"ada": [500, 3 + 4 + 14]}


def test_a_new_period_begins_with_nothing() -> None:
    ledger = Ledger()

    rules = BudgetRules([budget(amount=100, period=Period.DAY)])
    ledger.count(Series(need, NOON) for need in ledger.missing(rules))
    ledger.use(rules)
    ada = Who("ada", "x")
    ledger.spend(ada, NOON, 100, 1)
    assert ledger.pots(ada, NOON)[0].is_spent
    # What began yesterday and is answered today is yesterday's.
    (today,) = ledger.pots(ada, NOON + DAY)
    assert (today.spent, today.span.start) == (0, NOON + DAY // 2)
    ledger.spend(ada, NOON, 100, 1)
    assert ledger.pots(ada, NOON + DAY)[0].spent == 0
    ledger.spend(ada, NOON + DAY, 40, 1)
    assert ledger.pots(ada, NOON + DAY)[0].spent == 40
    # A clock that goes back does not open yesterday again.
    assert ledger.pots(ada, NOON)[0].spent == 40


def test_a_plan_pays_no_dollars_but_counts_tokens_and_is_blocked_by_nothing_left() -> None:

    ledger = Ledger()
    covered = Who("ada", "x", is_covered=True)

    def use(*budgets: Any) -> None:
        rules = BudgetRules(budgets)
        ledger.count(Series(need, NOON) for need in ledger.missing(rules))
        ledger.use(rules)

    use(budget(amount=10), budget(amount=10, unit=Unit.TOKENS))
    ledger.spend(covered, NOON, 1000, 4)
    assert [(pot.budget.unit, pot.spent) for pot in ledger.pots(covered, NOON)] == [
        (Unit.TOKENS, 4)
    ]
    paying = Who("ada", "x")
    assert [pot.spent for pot in ledger.pots(paying, NOON)] == [0, 4]
    use(budget(amount=0))
    assert ledger.pots(covered, NOON)[0].is_spent


def test_a_group_shares_one_pot() -> None:

    rules = BudgetRules(
        [budget(Scope.GROUP, "dev", 100, shared=True), budget(Scope.EVERYONE, amount=80)],
        {"dev": frozenset({"ada", "bob"})},
    )
    ledger = Ledger()
    ledger.count(Series(need, NOON) for need in ledger.missing(rules))
    ledger.use(rules)
    ada, bob, eve = (Who(name, "x") for name in ("ada", "bob", "eve"))
    ledger.spend(ada, NOON, 60, 1)
    ledger.spend(eve, NOON, 70, 1)
    held = ledger.reserve(bob, Estimate(45, 0), NOON)
    own, team = ledger.pots(ada, NOON)
    assert (own.spent, own.reserved, own.is_full) == (60, 0, False)
    assert (team.spent, team.reserved, team.is_full, team.is_spent) == (60, 45, True, False)
    assert [pot.spent for pot in ledger.pots(eve, NOON)] == [70]
    assert ledger.release(held)
    assert not ledger.release(held)
    assert not ledger.pots(ada, NOON)[1].is_full


def test_a_group_changes_its_members_while_requests_run() -> None:
    def rules(*members: str) -> BudgetRules:
        return BudgetRules(
            [budget(Scope.GROUP, "dev", 100, shared=True)], {"dev": frozenset(members)}
        )

    def team(now: int = NOON) -> tuple[int, int]:
        (pot,) = ledger.pots(ada, now)
        return pot.spent, pot.reserved

    ledger = Ledger()
    ledger.count(Series(need, NOON) for need in ledger.missing(rules("ada")))
    ledger.use(rules("ada", "bob"))
    ada, bob = Who("ada", "x"), Who("bob", "x")
    ledger.spend(ada, NOON, 10, 1)
    ledger.spend(bob, NOON, 20, 1)
    held = ledger.reserve(bob, Estimate(5, 0), NOON)
    assert team() == (30, 5)
    ledger.use(rules("ada"))
    assert team() == (10, 0)
    ledger.use(rules("ada", "bob"))
    assert team() == (30, 5)
    assert ledger.release(held)
    assert team() == (30, 0)
    held = ledger.reserve(bob, Estimate(5, 0), NOON)
    ledger.use(rules("ada"))
    assert ledger.release(held)
    assert team() == (10, 0)


def test_a_reservation_of_an_earlier_period_is_none_of_the_new_totals() -> None:
    rules = BudgetRules(
        [budget(Scope.GROUP, "dev", 100, shared=True, period=Period.DAY)],
        {"dev": frozenset({"ada"})},
    )
    ledger = Ledger()
    ledger.count(Series(need, NOON) for need in ledger.missing(rules))
    ledger.use(rules)
    ada = Who("ada", "x")
    held = ledger.reserve(ada, Estimate(5, 0), NOON)
    (pot,) = ledger.pots(ada, NOON + DAY)
    assert (pot.spent, pot.reserved) == (0, 0)
    ledger.use(rules)
    assert ledger.release(held)
    (pot,) = ledger.pots(ada, NOON + DAY)
    assert (pot.spent, pot.reserved) == (0, 0)


def test_who_asks_is_remembered_only_so_long() -> None:
    rules = BudgetRules([budget(amount=100)])
    ledger = Ledger()
    ledger.count(Series(need, NOON) for need in ledger.missing(rules))
    ledger.use(rules)
    for number in range(MOST_PLANS + 10):
        (pot,) = ledger.pots(Who(f"user-{number}", "x"), NOON)
        assert pot.holder == f"user-{number}"
    assert len(ledger._plans) <= MOST_PLANS
    # A look keeps nothing of who spends nothing.
    assert not list(next(iter(ledger._series.values())).holders())
