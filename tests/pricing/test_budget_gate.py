"""Waiting for room, in the orders that a network rarely shows; and budgets that come while it runs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aigw import clock
from aigw.pricing.budget import Budget, Period, Scope, Unit, Who
from aigw.pricing.budget_estimate import DEFAULT_OUTPUT_TOKENS
from aigw.pricing.budget_gate import (
    FREE,
    Admission,
    BudgetGate,
    OverBudget,
)
from aigw.pricing.budget_rules import BudgetRules
from aigw.pricing.budget_table import set_budget
from aigw.pricing.budget_watch import BudgetWatch
from aigw.pricing.ledger import Estimate, Series
from aigw.records import CostBasis, InterceptionStart, Record, TokenUsage
from aigw.store.writer import Writer
from aigw.tasks import spawn
from aigw.wire.facts import RequestFacts
from tests.pricing.tariff import Tariff, budget
from tests.store.rows import NOON, start

ADA, BOB = Who("ada", "x"), Who("bob", "x")
SOME = Estimate(600, 1)


class Clock:
    now = NOON

    def __call__(self) -> int:
        return self.now


def use(gate: BudgetGate, *budgets: Budget) -> None:
    rules = BudgetRules(budgets, {"dev": frozenset({"ada", "bob"})})
    gate.ledger.count(Series(need, gate._now()) for need in gate.ledger.missing(rules))
    gate.ledger.use(rules)
    gate.wake()


def gate_of(*budgets: Budget, patience: float = 20.0) -> BudgetGate:
    gate = BudgetGate(patience=patience, now=Clock())
    use(gate, *budgets)
    return gate


def asking(gate: BudgetGate, who: Who = ADA, estimate: Estimate = SOME) -> asyncio.Task[Admission]:
    return spawn("request", gate.admit(who, estimate))


async def settle() -> None:
    """Let everything that can happen happen."""
    for _ in range(5):
        await asyncio.sleep(0)


def reserved(gate: BudgetGate, who: Who = ADA) -> int:
    return max(pot.reserved for pot in gate.ledger.pots(who, gate._now()))


async def test_without_budgets_nothing_is_reserved() -> None:
    gate = BudgetGate()
    assert await gate.admit(ADA, SOME) is FREE
    assert gate.estimate(ADA, "openai", "gpt-5", 300, RequestFacts()) == (0, 0)


async def test_first_come_first_served() -> None:
    gate = gate_of(budget(amount=1000, unit=Unit.MICROS))
    first, second = await gate.admit(ADA, SOME), await gate.admit(ADA, SOME)
    tasks = [asking(gate) for _ in range(4)]
    await settle()
    assert [task.done() for task in tasks] == [False] * 4
    first.release()
    await settle()
    assert [task.done() for task in tasks] == [True, False, False, False]
    # Another user's pot is another matter.
    with await gate.admit(BOB, SOME):
        assert gate.waiting == 3
    second.release()
    (await tasks[0]).release()
    await settle()
    assert [task.done() for task in tasks] == [True, True, True, False]
    for task in tasks:
        (await task).release()
    assert (gate.waiting, reserved(gate)) == (0, 0)


async def test_one_that_leaves_as_it_is_let_through_gives_its_place_back() -> None:
    gate = gate_of(budget(amount=500))
    first = await gate.admit(ADA, SOME)
    leaving, staying = asking(gate), asking(gate)
    await settle()
    # Let through, and gone before it could notice.
    first.release()
    leaving.cancel()
    await settle()
    assert leaving.cancelled()
    (await staying).release()
    assert (gate.waiting, reserved(gate)) == (0, 0)


async def test_one_that_leaves_as_it_is_refused_leaves_nothing() -> None:
    gate = gate_of(budget(amount=500))
    first = await gate.admit(ADA, SOME)
    leaving, staying = asking(gate), asking(gate)
    await settle()
    gate.ledger.spend(ADA, NOON, 500, 1)
    first.release()
    leaving.cancel()
    await settle()
    assert leaving.cancelled()
    with pytest.raises(OverBudget) as refused:
        await staying
    assert not refused.value.is_reserved
    assert (gate.waiting, reserved(gate)) == (0, 0)


async def test_a_raised_budget_lets_who_waits_through_and_a_lowered_one_refuses() -> None:
    gate = gate_of(budget(amount=500))
    held = await gate.admit(ADA, SOME)
    first, second = asking(gate), asking(gate)
    await settle()
    use(gate, budget(amount=1000))
    await settle()
    assert (first.done(), second.done()) == (True, False)
    use(gate, budget(amount=0))
    with pytest.raises(OverBudget):
        await second
    # What runs has been let through, and still gives back.
    held.release()
    (await first).release()
    assert reserved(gate) == 0


async def test_a_new_period_is_noticed() -> None:
    gate = gate_of(budget(amount=500))
    held = await gate.admit(ADA, SOME)
    waiting = asking(gate)
    await settle()
    gate._now.now = NOON + 40 * 86_400_000_000  # type: ignore[attr-defined]
    (await gate.admit(BOB, SOME)).release()
    await settle()
    (await waiting).release()
    held.release()
    assert reserved(gate) == 0


async def test_patience_ends() -> None:
    gate = gate_of(budget(amount=500), patience=0.01)
    with await gate.admit(ADA, SOME):
        with pytest.raises(OverBudget) as refused:
            await gate.admit(ADA, SOME)
        assert refused.value.is_reserved
        assert refused.value.pot.reserved == 600
    assert gate.waiting == 0


async def test_budgets_that_come_while_requests_run_hold_these_too() -> None:
    gate = gate_of(budget(amount=10_000))
    held = await gate.admit(ADA, SOME)
    team = budget(Scope.GROUP, "dev", 500, shared=True, period=Period.DAY)
    use(gate, budget(amount=10_000), team)
    waiting = asking(gate, BOB)
    await settle()
    assert not waiting.done()
    held.release()
    (await waiting).release()


def test_estimates() -> None:
    gate = gate_of(budget())
    gate.estimator = Tariff(2)
    facts = RequestFacts(max_output_tokens=49)
    assert gate.estimate(ADA, "openai", "gpt-5", 300, facts) == (400, 200)
    assert (
        gate.estimate(ADA, "openai", "gpt-5", 0, RequestFacts()).tokens == 1 + DEFAULT_OUTPUT_TOKENS
    )
    assert gate.estimate(ADA, "openai", "free", 300, facts) == (0, 200)
    covered = Who("ada", "x", is_covered=True)
    assert gate.estimate(covered, "openai", "gpt-5", 300, facts) == (0, 200)


@pytest.mark.parametrize("seed", range(20))
async def test_any_order_of_events_keeps_the_promise(seed: int) -> None:
    """Requests of several users come, cost, fail and leave: no pot is overrun by more than one."""
    source = random.Random(seed)
    gate = gate_of(
        budget(amount=3000),
        budget(Scope.GROUP, "dev", 5000, shared=True),
        budget(Scope.EVERYONE, amount=7000, shared=True),
    )
    whos = [ADA, BOB, Who("eve", "x")]

    async def request() -> int:
        who, most = source.choice(whos), source.randrange(1, 500)
        try:
            admission = await gate.admit(who, Estimate(most, 1))
        except OverBudget:
            return 0
        with admission:
            for _ in range(source.randrange(4)):
                await asyncio.sleep(0)
            if source.random() < 0.7:
                gate.ledger.spend(who, NOON, cost := source.randrange(most + 1), 1)
                return cost
        return 0

    tasks = [spawn("request", request()) for _ in range(200)]
    while not all(task.done() for task in tasks):
        if source.random() < 0.3:
            source.choice(tasks).cancel()
        await asyncio.sleep(0)
    await asyncio.wait(tasks)
    for who in whos:
        for pot in gate.ledger.pots(who, NOON):
            assert pot.spent < pot.budget.amount + 500
            assert pot.reserved == 0
    assert gate.waiting == 0


class Interrupted(Writer):
    """A writer that does something whenever it is asked whether all is committed."""

    during: Callable[[], None] | None = None

    def commit(self, records: Sequence[Record]) -> asyncio.Future[None]:
        committed = super().commit(records)
        if self.during is not None and not records:
            self.during()
        return committed


@asynccontextmanager
async def interrupted(path: Path) -> AsyncIterator[Interrupted]:
    writer = Interrupted(path)
    writer.open(clock.now())
    try:
        yield writer
    finally:
        await writer.close()


def usage(begun: InterceptionStart, number: int) -> TokenUsage:
    return TokenUsage(
        interception_id=begun.interception_id,
        created_at=begun.started_at,
        id=f"usage-{number}",
        msg_id="m",
        input_tokens=number,
        output_tokens=0,
        cost_micros=number,
        cost_basis=CostBasis.WIRE,
    )


async def test_what_is_recorded_while_sums_are_read_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "aigw.db"
    async with interrupted(path) as writer:
        gate = BudgetGate()
        watch = BudgetWatch(path, gate, writer)
        watch.open()
        begun = start("i-1", clock.now(), initiator_id="ada")

        def record(number: int, *, posted: bool = True) -> None:
            """As the recorder does: observers first, then the store, without a pause."""
            gate.recorded(begun, [usage(begun, number)])
            if posted:
                writer.post([usage(begun, number)])

        await writer.commit([begun])
        record(1)

        def meanwhile() -> None:
            record(10)
            # Still on its way to the store when the sums are read.
            record(100, posted=False)

        writer.during = meanwhile
        set_budget(path, budget())
        # The first record written during the read is in its sums, the second is not.
        await watch.look()
        writer.during = None
        writer.post([usage(begun, 100)])
        record(1000)
        (pot,) = gate.ledger.pots(Who("ada", "Claude Code"), clock.now())
        assert pot.spent == 1111
        watch.close()


async def test_the_same_with_the_record_in_the_sums(tmp_path: Path) -> None:
    path = tmp_path / "aigw.db"
    async with interrupted(path) as writer:
        gate = BudgetGate()
        watch = BudgetWatch(path, gate, writer)
        watch.open()
        begun = start("i-1", clock.now(), initiator_id="ada")
        await writer.commit([begun])
        inside: list[asyncio.Future[None]] = []

        def meanwhile() -> None:
            if not inside:
                gate.recorded(begun, [usage(begun, 10)])
                inside.append(Writer.commit(writer, [usage(begun, 10)]))

        writer.during = meanwhile
        set_budget(path, budget())
        await watch.look()
        await inside[0]
        (pot,) = gate.ledger.pots(Who("ada", "Claude Code"), clock.now())
        assert pot.spent == 10
        watch.close()
