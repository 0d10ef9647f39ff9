"""Letting requests through as far as budgets reach.

A request goes on where all its pots have something left after what other requests have reserved.
Where only reservations stand in its way it waits, first come first served: the others may cost less
than they reserved. So however many run at a time, a pot is overrun by one request's cost at most.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from aigw import clock
from aigw.pricing.budget import Unit, Who, who_of
from aigw.pricing.budget_estimate import (
    EarlierResponses,
    Estimator,
    most_calls,
    most_input,
    most_output,
)
from aigw.pricing.ledger import Estimate, Ledger, Pot, Reservation
from aigw.records import InterceptionEnd, InterceptionStart, Record, TokenUsage
from aigw.wire.facts import RequestFacts

_log = logging.getLogger("aigw.budgets")

PATIENCE_SECONDS = 60.0
"""How long a request waits for those that run: most answers are whole by then, and no client has
given up yet (the SDKs wait ten minutes)."""

MOST_WAITING = 500
"""Requests that may wait together: each holds its body in memory, and is looked at whenever another
one ends."""


class OverBudget(Exception):  # noqa: N818 (an outcome more than an error)
    """A pot has nothing left; or, where it `is_reserved`, no more than running requests need."""

    def __init__(self, pot: Pot, *, is_reserved: bool) -> None:
        super().__init__(pot.budget.title)
        self.pot = pot
        self.is_reserved = is_reserved


class Admission:
    """A request's reservation, given back at the end of a `with` block, however that ends."""

    __slots__ = ("_gate", "_reservation")

    def __init__(self, gate: BudgetGate | None, reservation: Reservation | None) -> None:
        self._gate = gate
        self._reservation = reservation

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give it back now. Harmless the second time."""
        if self._gate is not None and self._reservation is not None:
            self._gate.release(self._reservation)


FREE = Admission(None, None)
"""Of a gateway without budgets."""


class _Waiter:
    __slots__ = ("estimate", "future", "who")

    def __init__(self, who: Who, estimate: Estimate, future: asyncio.Future[Reservation]) -> None:
        self.who = who
        self.estimate = estimate
        self.future = future


class BudgetGate:
    """The budgets of one daemon, used on its event loop. It is a `recorder.Observer`.

    Args:
        estimator: says what a request may cost; None: nobody knows, and no dollars are reserved.
        patience: seconds that a request may wait for others.
        now: the wall clock in microseconds.
    """

    def __init__(
        self,
        estimator: Estimator | None = None,
        *,
        patience: float = PATIENCE_SECONDS,
        now: Callable[[], int] = clock.now,
    ) -> None:
        self.ledger = Ledger()
        self.estimator = estimator
        self.on_spent: Callable[[Who], None] | None = None
        """Called when somebody has spent something, or is refused: thresholds may be passed."""
        self.on_record: Callable[[TokenUsage, Who, int], None] | None = None
        """Called with each token record and when its interception began: for sums being read."""
        self._patience = patience
        self._now = now
        self._waiting: list[_Waiter] = []
        self._earlier = EarlierResponses()

    @property
    def waiting(self) -> int:
        """How many requests wait for others."""
        return len(self._waiting)

    def estimate(
        self, who: Who, provider_name: str, model: str, size: int, facts: RequestFacts
    ) -> Estimate:
        """What a request with a body of `size` bytes may cost at most, as a rule."""
        if not self.ledger.rules:
            return Estimate()
        calls = most_calls(facts)
        read = most_input(size, calls)
        if facts.continues:
            read += self._earlier.tokens(facts.continues)
        written = most_output(facts)
        micros = None
        if self.estimator is not None and not who.is_covered:
            micros = self.estimator.estimate_micros(
                provider_name, model, read, written, facts, calls
            )
        return Estimate(micros or 0, read + written)

    def without_price(
        self, who: Who, provider_name: str, model: str, facts: RequestFacts
    ) -> tuple[Pot, str] | None:
        """A pot of dollars that cannot count a request, and what has no price (`price.lacking`).

        None where all has one, a plan pays (no pot of dollars counts then), or a spent pot refuses the
        request anyway.
        """
        pots = self.ledger.pots(who, self._now()) if self.ledger.rules else []
        in_dollars = [pot for pot in pots if pot.budget.unit is Unit.MICROS]
        if not in_dollars or any(pot.is_spent for pot in pots):
            return None
        estimator = self.estimator
        part = "" if estimator is None else estimator.lacking(provider_name, model, facts)
        return None if part is None else (in_dollars[0], part)

    def holds(self, who: Who) -> bool:
        """Whether there is any budget for who asks."""
        return bool(self.ledger.rules) and bool(self.ledger.pots(who, self._now()))

    async def admit(self, who: Who, estimate: Estimate) -> Admission:
        """Let a request through, as soon as there is room for it.

        Raises:
            OverBudget: there is none, or will be none for too long.
        """
        if not self.ledger.rules:
            return FREE
        # Before who has just come, those who wait: a new period may have begun.
        self.wake()
        reservation = self._try(who, estimate)
        if reservation is None:
            reservation = await self._wait(who, estimate)
        return Admission(self, reservation)

    def release(self, reservation: Reservation) -> None:
        """A request is over: what it cost, if anything, has been counted."""
        if self.ledger.release(reservation):
            self.wake()

    def wake(self) -> None:
        """Something has changed: let through, or refuse, who waits for it."""
        for waiter in tuple(self._waiting):
            if waiter.future.done():
                continue
            try:
                reservation = self._try(waiter.who, waiter.estimate)
            except OverBudget as error:
                self._waiting.remove(waiter)
                waiter.future.set_exception(error)
            else:
                if reservation is not None:
                    self._waiting.remove(waiter)
                    waiter.future.set_result(reservation)

    def _try(self, who: Who, estimate: Estimate) -> Reservation | None:
        """A reservation; None where there may be room later.

        Raises:
            OverBudget: a pot is spent.
        """
        now = self._now()
        full = None
        for pot in self.ledger.pots(who, now):
            if pot.is_spent:
                self._told(who)
                raise OverBudget(pot, is_reserved=False)
            if pot.is_full and _takes(estimate, pot):
                full = pot
        return self.ledger.reserve(who, estimate, now) if full is None else None

    async def _wait(self, who: Who, estimate: Estimate) -> Reservation:
        if len(self._waiting) >= MOST_WAITING:
            raise self._reserved(who, estimate)
        future: asyncio.Future[Reservation] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(who, estimate, future)
        self._waiting.append(waiter)
        try:
            await asyncio.wait((future,), timeout=self._patience)
        except BaseException:
            # The client has left, perhaps at the very moment at which it was let through.
            self._withdraw(waiter)
            raise
        if future.done():
            return future.result()
        self._waiting.remove(waiter)
        reservation = self._try(who, estimate)
        if reservation is None:
            raise self._reserved(who, estimate)
        return reservation

    def _withdraw(self, waiter: _Waiter) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        elif waiter.future.exception() is None:
            self.release(waiter.future.result())

    def _reserved(self, who: Who, estimate: Estimate) -> OverBudget:
        pots = self.ledger.pots(who, self._now())
        full = next(pot for pot in pots if pot.is_full and _takes(estimate, pot))
        return OverBudget(full, is_reserved=True)

    def started(self, start: InterceptionStart) -> None:
        """An interception begins."""

    def recorded(self, start: InterceptionStart, records: Sequence[Record]) -> None:
        """Count what responses cost."""
        if not self.ledger.rules and self.on_record is None:
            return
        who = who_of(start)
        found = False
        for record in records:
            if type(record) is TokenUsage:
                found = True
                self._earlier.add(record.msg_id, tokens_of(record))
                self.ledger.spend(who, start.started_at, record.cost_micros or 0, tokens_of(record))
                if self.on_record is not None:
                    self.on_record(record, who, start.started_at)
        if found:
            self._told(who)

    def ended(self, start: InterceptionStart, end: InterceptionEnd) -> None:
        """An interception is over."""

    def _told(self, who: Who) -> None:
        if self.on_spent is None:
            return
        try:
            self.on_spent(who)
        except Exception:  # noqa: BLE001 (a notice must cost no request and no record)
            _log.exception("looking for thresholds failed")


def tokens_of(usage: TokenUsage) -> int:
    """Tokens of all kinds. Reasoning is a part of the output."""
    return (
        usage.input_tokens
        + usage.cache_read_input_tokens
        + usage.cache_write_input_tokens
        + usage.output_tokens
    )


def _takes(estimate: Estimate, pot: Pot) -> bool:
    """Whether a request draws on a pot at all: an unpriced one need not wait for dollars."""
    return bool(estimate.tokens if pot.budget.unit is Unit.TOKENS else estimate.micros)
