"""What was spent and what is reserved, in memory: the arithmetic behind every budget.

Spending is counted by *series*: of each kind of holder (user, key, client, session, all) in the
current period of each length and time zone that a budget asks for. So a budget that is changed
finds its figures there. A request counts in the period that it began in, as in the store's sums.

Nothing here waits, reads a clock or knows the store. A request reserves the most it is likely to
cost, and gives that back when what it did cost has been counted, or nothing will be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import msgspec

from aigw.pricing.budget import Budget, Kind, Period, Scope, Unit, Who
from aigw.pricing.budget_period import Span, span_of, zone_of
from aigw.pricing.budget_rules import BudgetRules

MOST_PLANS = 1000
"""Askers remembered with the budgets that they keep to; more than ask within minutes in one place.
Sessions are the clients' choice, so the number needs a bound."""


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

    def add(self, other: Meter) -> None:
        """Add another's figures."""
        for index in range(2):
            self.spent[index] += other.spent[index]
            self.reserved[index] += other.reserved[index]


_NOTHING = Meter()
"""Of those who have spent nothing yet. Only looked at."""

_INDEX = {Unit.MICROS: 0, Unit.TOKENS: 1}


class Need(NamedTuple):
    """What a series counts."""

    kind: Kind
    period: Period
    time_zone: str


class Series:
    """The meters of one kind of holder in the current period, and the sums of groups of them."""

    def __init__(self, need: Need, now: int) -> None:
        self.need = need
        self._zone = zone_of(need.time_zone)
        self.span = span_of(need.period, self._zone, now)
        self._meters: dict[str, Meter] = {}
        self._groups: Mapping[str, Collection[str]] = {}
        self._totals: dict[str, Meter] = {}
        self._totals_of: dict[str, list[Meter]] = {}

    def advance(self, now: int) -> None:
        """Begin the next period when its time has come. A clock that goes back changes nothing."""
        if now >= self.span.end:
            self.span = span_of(self.need.period, self._zone, now)
            self._meters = {}
            self.sum_up(self._groups)

    def meter(self, holder: str) -> Meter:
        """A holder's, made where there is none."""
        found = self._meters.get(holder)
        if found is None:
            found = self._meters[holder] = Meter()
        return found

    def meters(self, holder: str) -> list[Meter]:
        """All that a holder's spending is counted in: its own, and the totals of its groups."""
        return [self.meter(holder), *self._totals_of.get(holder, ())]

    def holders(self) -> Iterable[tuple[str, Meter]]:
        """All that have a meter."""
        return self._meters.items()

    def seen(self, holder: str) -> Meter:
        """A holder's, for a look: not kept where nothing was spent."""
        return self._meters.get(holder, _NOTHING)

    def total(self, group: str) -> Meter:
        """What the members of a group have together. The group is one of those summed up."""
        return self._totals[group]

    def totals_of(self, holder: str) -> list[Meter]:
        """The totals that a holder's meter is in."""
        return self._totals_of.get(holder, [])

    def sum_up(self, groups: Mapping[str, Collection[str]]) -> None:
        """Have totals of these groups from now on: asking a big one's members each time takes long."""
        self._groups = groups
        self._totals = {}
        self._totals_of = {}
        for group, members in groups.items():
            total = self._totals[group] = Meter()
            for holder in members:
                total.add(self.seen(holder))
                self._totals_of.setdefault(holder, []).append(total)


class Pot(msgspec.Struct, frozen=True, gc=False):
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


class _Place(NamedTuple):
    """Where one budget's figures for somebody are.

    `figure` is their place in a meter. `holder` is the pot's, `meter_of` whose meter it is; `group`
    is set where it is a group's total.
    """

    budget: Budget
    series: Series
    figure: int
    holder: str
    meter_of: str
    group: str

    def pot(self) -> Pot:
        """The budget as it stands."""
        series = self.series
        meter = series.total(self.group) if self.group else series.seen(self.meter_of)
        spent, reserved = meter.spent[self.figure], meter.reserved[self.figure]
        return Pot(self.budget, self.holder, spent, reserved, series.span)


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
        self._plans: dict[Who, list[_Place]] = {}

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
        self._plans.clear()
        for series in self._series.values():
            self._sum_up(series)

    def _sum_up(self, series: Series) -> None:
        """Have the totals of the groups that share a budget of this series, running requests included."""
        rules = self.rules
        for reservation in self._running:
            old = series.totals_of(reservation.who.holder(series.need.kind) or "")
            reservation.meters = [each for each in reservation.meters if each not in old]
        series.sum_up(
            {
                budget.subject: rules.members.get(budget.subject, ())
                for budget in rules.budgets
                if _is_of_group(budget) and need_of(budget) == series.need
            }
        )
        for reservation in self._running:
            holder = reservation.who.holder(series.need.kind) or ""
            # One that was made in an earlier period has nothing to give back to this one's totals.
            if series.seen(holder) in reservation.meters:
                reservation.meters += series.totals_of(holder)

    def spend(self, who: Who, started_at: int, micros: int, tokens: int) -> None:
        """Count what a response cost. What began in an earlier period is that one's."""
        paid = 0 if who.is_covered else micros
        self._advance(started_at)
        for series in self._series.values():
            holder = who.holder(series.need.kind)
            if holder is not None and started_at >= series.span.start:
                for meter in series.meters(holder):
                    meter.spent[0] += paid
                    meter.spent[1] += tokens

    def pots(self, who: Who, now: int) -> list[Pot]:
        """The pots that must have room for a request."""
        self._advance(now)
        plan = self._plans.get(who)
        if plan is None:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            plan = self._plans[who] = self._plan(who)
        return [place.pot() for place in plan]

    def _plan(self, who: Who) -> list[_Place]:
        """Where the figures are that somebody's requests are held against."""
        return [self._place(each, who) for each in self.rules.applying(who) if _counts(each, who)]

    def _place(self, budget: Budget, who: Who) -> _Place:
        own = who.holder(budget.kind) or ""
        group = budget.subject if _is_of_group(budget) else ""
        holder = "" if budget.is_shared else own
        return _Place(
            budget, self._series[need_of(budget)], _INDEX[budget.unit], holder, own, group
        )

    def _advance(self, now: int) -> None:
        for series in self._series.values():
            series.advance(now)

    def reserve(self, who: Who, estimate: Estimate, now: int) -> Reservation:
        """Hold back what a request may cost, of every pot that it will be counted in."""
        reservation = Reservation(who, estimate)
        self._advance(now)
        for series in self._series.values():
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
        for meter in series.meters(holder):
            meter.reserved[0] += reservation.estimate.micros
            meter.reserved[1] += reservation.estimate.tokens
            reservation.meters.append(meter)


def _is_of_group(budget: Budget) -> bool:
    """Whether it is one pot for a group."""
    return budget.is_shared and budget.scope is Scope.GROUP


def _counts(budget: Budget, who: Who) -> bool:
    """Whether a budget holds a request: dollars are not spent on what a plan covers, but 0 blocks."""
    return budget.unit is Unit.TOKENS or not who.is_covered or not budget.amount
