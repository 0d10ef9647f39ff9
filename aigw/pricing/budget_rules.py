"""Which budgets a request has to keep to.

For each period and unit the most specific budget that fits: of the session, the key, the user, the
client, a group, everyone; one that names its subject before one of each. Of several groups the
highest amount counts (Coder's policy `highest`). Shared budgets apply besides, all that fit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from aigw.pricing.budget import EACH, Budget, Period, Scope, Unit, Who

Members = Mapping[str, frozenset[str]]
"""The users of each group."""


class BudgetRules:
    """A set of budgets and the groups that they speak of."""

    def __init__(self, budgets: Iterable[Budget] = (), members: Members | None = None) -> None:
        self.budgets = tuple(budgets)
        self.members: Members = members or {}
        self._own: dict[tuple[Scope, str], list[Budget]] = defaultdict(list)
        self._shared: dict[tuple[Scope, str], list[Budget]] = defaultdict(list)
        for budget in self.budgets:
            table = self._shared if budget.is_shared else self._own
            table[budget.scope, budget.subject].append(budget)
        named = {budget.subject for budget in self.budgets if budget.scope is Scope.GROUP}
        self._groups: dict[str, list[str]] = defaultdict(list)
        for group in sorted(named):
            for user in self.members.get(group, ()):
                self._groups[user].append(group)

    def __bool__(self) -> bool:
        return bool(self.budgets)

    def applying(self, who: Who) -> list[Budget]:
        """The budgets that all must have room for a request."""
        chosen: dict[tuple[Period, Unit], Budget] = {}
        for rank in self._ranks(who):
            best: dict[tuple[Period, Unit], Budget] = {}
            for place in rank:
                for budget in self._own.get(place, ()):
                    slot = budget.period, budget.unit
                    if slot not in best or budget.amount > best[slot].amount:
                        best[slot] = budget
            chosen = best | chosen
        shared = (
            b for rank in self._ranks(who) for place in rank for b in self._shared.get(place, ())
        )
        return [*chosen.values(), *shared]

    def _ranks(self, who: Who) -> Iterator[list[tuple[Scope, str]]]:
        """Where a request's budgets are, the most specific first, those of equal rank together."""
        subjects = (
            (Scope.SESSION, who.session),
            (Scope.KEY, who.key),
            (Scope.USER, who.user),
            (Scope.CLIENT, who.client),
        )
        for scope, subject in subjects:
            if subject is not None:
                yield [(scope, subject)]
                yield [(scope, EACH)]
        yield [(Scope.GROUP, group) for group in self._groups.get(who.user, ())]
        yield [(Scope.EVERYONE, EACH)]
