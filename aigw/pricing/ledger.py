"""What was spent and what is reserved, in memory: the arithmetic behind every budget.

Spending is counted by *series*: of each kind of holder (user, key, client, session, all) in the
current period of each length and time zone that a budget asks for. So a budget that is changed
finds its figures there. A request counts in the period that it began in, as in the store's sums.

Nothing here waits, reads a clock or knows the store. A request reserves the most it is likely to
cost, and gives that back when what it did cost has been counted, or nothing will be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from aigw.pricing.budget import Budget, Kind, Period, Scope, Unit, Who
from aigw.pricing.budget_period import Span, span_of, zone_of
from aigw.pricing.budget_rules import BudgetRules


class Estimate(NamedTuple):
    """The most that a request is likely to cost. A request covered by a plan costs no dollars."""

    micros: int = 0
    tokens: int = 0


class Meter:
    """One holder's figures in one period: index 0 micro-dollars, 1 tokens."""

    __slots__ = ("reserved", "spent")

    def __init__(self) -> None:
        self.spent = [0, 0]
        self.reserved = [0, 0]


_INDEX = {Unit.MICROS: 0, Unit.TOKENS: 1}


class Need(NamedTuple):
    """What a series counts."""

    kind: Kind
    period: Period
    time_zone: str


class Series:
    """The meters of one kind of holder in the current period."""

    def __init__(self, need: Need, now: int) -> None:
        self.need = need
        self._zone = zone_of(need.time_zone)
        self.span = span_of(need.period, self._zone, now)
        self._meters: dict[str, Meter] = {}

    def advance(self, now: int) -> Span:
        """Begin the next period when its time has come. A clock that goes back changes nothing."""
        if now >= self.span.end:
            self.span = span_of(self.need.period, self._zone, now)
            self._meters = {}
        return self.span

    def meter(self, holder: str) -> Meter:
        """A holder's, made where there is none."""
        found = self._meters.get(holder)
        if found is None:
            found = self._meters[holder] = Meter()
        return found

    def holders(self) -> Iterable[tuple[str, Meter]]:
        """All that have a meter."""
        return self._meters.items()

    def seen(self, holder: str) -> Meter:
        """A holder's, for a look: not kept where nothing was spent."""
        return self._meters.get(holder) or Meter()


@dataclass(frozen=True, slots=True)
class Pot:
    """A budget as it stands for one holder. `holder` is empty where all share it."""

    budget: Budget
    holder: str
    spent: int
    reserved: int
    span: Span

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left."""
        return self.spent >= self.budget.amount

    @property
    def is_full(self) -> bool:
        """Whether what is left is reserved for requests that run."""
        return self.spent + self.reserved >= self.budget.amount


class Reservation:
    """What a request holds back until it is over. `None` of it is left after `Ledger.release`."""

    __slots__ = ("estimate", "meters", "who")

    def __init__(self, who: Who, estimate: Estimate) -> None:
        self.who = who
        self.estimate = estimate
        self.meters: list[Meter] = []


class Ledger:
    """Rules, and the figures that they are held against. Times are microseconds since the epoch."""

    def __init__(self) -> None:
        self.rules = BudgetRules()
        self._series: dict[Need, Series] = {}
        self._running: set[Reservation] = set()

    def missing(self, rules: BudgetRules) -> set[Need]:
        """What has to be counted for these rules and is not yet."""
        return {need_of(budget) for budget in rules.budgets} - self._series.keys()

    def count(self, series: Iterable[Series]) -> None:
        """Count these too from now on, requests that run now included."""
        for each in series:
            self._series[each.need] = each
            for reservation in self._running:
                _reserve(reservation, each)

    def use(self, rules: BudgetRules) -> None:
        """Go by other rules. All that they need is counted already; the rest is forgotten."""
        assert not self.missing(rules), "count first"
        self.rules = rules
        needed = {need_of(budget) for budget in rules.budgets}
        self._series = {need: each for need, each in self._series.items() if need in needed}

    def spend(self, who: Who, started_at: int, micros: int, tokens: int) -> None:
        """Count what a response cost. What began in an earlier period is that one's."""
        paid = 0 if who.is_covered else micros
        for series in self._series.values():
            holder = who.holder(series.need.kind)
            if holder is not None and started_at >= series.advance(started_at).start:
                spent = series.meter(holder).spent
                spent[0] += paid
                spent[1] += tokens

    def pots(self, who: Who, now: int) -> list[Pot]:
        """The pots that must have room for a request."""
        return [pot for pot in self._applying(who, now) if _counts(pot.budget, who)]

    def _applying(self, who: Who, now: int) -> Iterator[Pot]:
        for budget in self.rules.applying(who):
            series = self._series[need_of(budget)]
            span = series.advance(now)
            index = _INDEX[budget.unit]
            holder = "" if budget.is_shared else who.holder(budget.kind) or ""
            meters = [series.seen(name) for name in self._names(budget, holder, who)]
            yield Pot(
                budget,
                holder,
                sum(meter.spent[index] for meter in meters),
                sum(meter.reserved[index] for meter in meters),
                span,
            )

    def _names(self, budget: Budget, holder: str, who: Who) -> Iterable[str]:
        if budget.is_shared and budget.scope is Scope.GROUP:
            return self.rules.members.get(budget.subject, ())
        return (who.holder(budget.kind) or "",) if budget.is_shared else (holder,)

    def reserve(self, who: Who, estimate: Estimate, now: int) -> Reservation:
        """Hold back what a request may cost, of every pot that it will be counted in."""
        reservation = Reservation(who, estimate)
        for series in self._series.values():
            series.advance(now)
            _reserve(reservation, series)
        self._running.add(reservation)
        return reservation

    def release(self, reservation: Reservation) -> bool:
        """Give it back; whether that had not been done before."""
        if reservation not in self._running:
            return False
        self._running.discard(reservation)
        for meter in reservation.meters:
            meter.reserved[0] -= reservation.estimate.micros
            meter.reserved[1] -= reservation.estimate.tokens
        reservation.meters = []
        return True


def need_of(budget: Budget) -> Need:
    """What has to be counted for a budget."""
    return Need(budget.kind, budget.period, budget.time_zone)


def _reserve(reservation: Reservation, series: Series) -> None:
    holder = reservation.who.holder(series.need.kind)
    if holder is not None:
        meter = series.meter(holder)
        meter.reserved[0] += reservation.estimate.micros
        meter.reserved[1] += reservation.estimate.tokens
        reservation.meters.append(meter)


def _counts(budget: Budget, who: Who) -> bool:
    """Whether a budget holds a request: dollars are not spent on what a plan covers, but 0 blocks."""
    return budget.unit is Unit.TOKENS or not who.is_covered or not budget.amount
