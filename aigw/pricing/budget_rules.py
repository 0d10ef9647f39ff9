"""Which budgets a request has to keep to.

For each period and unit the most specific budget that fits who asks: of the key, the user, a group,
everyone; one that names its subject before one of each. Of several groups the highest amount counts
(Coder's policy `highest`). Budgets of the session and of the client apply besides, each the most
specific of its scope: clients name these themselves, so none of them may lift another's limit.
Shared budgets apply besides too, all that fit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from aigw.pricing.budget import EACH, Budget, Period, Scope, Unit, Who

_Rank = list[tuple[Scope, str]]
_Chain = list[_Rank]

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
        chains = [
            _named(Scope.SESSION, who.session),
            _named(Scope.CLIENT, who.client),
            list(self._ranks(who)),
        ]
        places = [place for chain in chains for rank in chain for place in rank]
        shared = (budget for place in places for budget in self._shared.get(place, ()))
        return [*(budget for chain in chains for budget in self._chosen(chain)), *shared]

    def _chosen(self, ranks: _Chain) -> Iterable[Budget]:
        """For each period and unit the budget of the first rank that has one."""
        chosen: dict[tuple[Period, Unit], Budget] = {}
        for rank in ranks:
            best: dict[tuple[Period, Unit], Budget] = {}
            for place in rank:
                for budget in self._own.get(place, ()):
                    slot = budget.period, budget.unit
                    if slot not in best or budget.amount > best[slot].amount:
                        best[slot] = budget
            chosen = best | chosen
        return chosen.values()

    def _ranks(self, who: Who) -> Iterator[_Rank]:
        """Where the budgets of who asks are, the most specific first, those of equal rank together."""
        yield from _named(Scope.KEY, who.key)
        yield from _named(Scope.USER, who.user)
        yield [(Scope.GROUP, group) for group in self._groups.get(who.user, ())]
        yield [(Scope.EVERYONE, EACH)]


def _named(scope: Scope, subject: str | None) -> _Chain:
    """Where the budgets of a name are: its own before those of each."""
    return [] if subject is None else [[(scope, subject)], [(scope, EACH)]]
