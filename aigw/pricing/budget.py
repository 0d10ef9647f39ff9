"""Budgets: how much may be spent, by whom, in which time. The vocabulary of the other modules.

A budget of one key, user, client or session is one *pot*. A budget of a group, of everyone, or with
the subject `*` is an allowance: each member, user, key, client or session has a pot of its own, as
in Coder's gateway. A *shared* budget is one pot for all that it covers, and always applies besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from aigw.records import InterceptionStart

EACH = "*"
"""The subject that stands for each session, key, user or client by itself."""

MICROS = 1_000_000
"""Millionths of a US dollar in a dollar."""

LARGEST_MICROS = 1_000_000 * MICROS
"""A million dollars, as in Coder's gateway."""

LARGEST_TOKENS = 10**15
"""Far above any bill, far below where SQLite's integers end."""


class Scope(StrEnum):
    """What a budget is for. See `budget_rules` for which of several counts."""

    SESSION = "session"
    KEY = "key"
    USER = "user"
    CLIENT = "client"
    GROUP = "group"
    EVERYONE = "everyone"


class Period(StrEnum):
    """How long a budget lasts until it begins anew. Weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Unit(StrEnum):
    """What is counted: millionths of a US dollar that are paid, or tokens of all kinds."""

    MICROS = "micros"
    TOKENS = "tokens"


class Kind(StrEnum):
    """Whose spending is counted together."""

    SESSION = "session"
    KEY = "key"
    USER = "user"
    CLIENT = "client"
    ALL = "all"


_KINDS = {
    Scope.SESSION: Kind.SESSION,
    Scope.KEY: Kind.KEY,
    Scope.USER: Kind.USER,
    Scope.CLIENT: Kind.CLIENT,
    Scope.GROUP: Kind.USER,
    Scope.EVERYONE: Kind.USER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One row of `budgets`. `amount` is in the unit's smallest part; 0 lets nothing through.

    `subject` is a session's id, a key's id, a user, a client, a group, or `*`; of everyone it is `*`.
    `time_zone` is `UTC` or a name that `zoneinfo` knows.
    """

    id: int
    scope: Scope
    subject: str
    period: Period
    unit: Unit
    amount: int
    time_zone: str = "UTC"
    is_shared: bool = False
    updated_at: int = 0

    @property
    def kind(self) -> Kind:
        """Whose spending its pots hold. A group's shared pot is the sum of its members'."""
        if self.is_shared and self.scope is Scope.EVERYONE:
            return Kind.ALL
        return _KINDS[self.scope]

    @property
    def title(self) -> str:
        """What it is called in a sentence, as `user ada` or `each member of group dev`."""
        if self.scope is Scope.EVERYONE:
            return "everyone together" if self.is_shared else "each user"
        if self.scope is Scope.GROUP:
            shared = f"group {self.subject} together"
            return shared if self.is_shared else f"each member of group {self.subject}"
        return f"each {self.scope}" if self.subject == EACH else f"{self.scope} {self.subject}"


class Who(msgspec.Struct, frozen=True, gc=False):
    """Who spends. `key` and `session` are None where there is none; `is_covered`: by a plan."""

    user: str
    client: str
    key: str | None = None
    session: str | None = None
    is_covered: bool = False

    def holder(self, kind: Kind) -> str | None:
        """Whose pot of this kind it is; None where it has none."""
        match kind:
            case Kind.USER:
                return self.user
            case Kind.KEY:
                return self.key
            case Kind.CLIENT:
                return self.client
            case Kind.SESSION:
                return None if self.session is None else session_holder(self.user, self.session)
        return ""


def who_of(start: InterceptionStart) -> Who:
    """Who an interception is of."""
    return Who(
        start.initiator_id,
        start.client,
        start.api_key_id,
        start.client_session_id,
        start.plan is not None,
    )


def session_holder(user: str, session: str) -> str:
    """One name of two users is two sessions. No user's name holds a tab."""
    return f"{user}\t{session}"


def text_of_amount(unit: Unit, amount: int) -> str:
    """An amount for a person, dollars as in Coder's gateway: `US$5.00`, `2,000,000 tokens`.

    Cents are never rounded up: what is spent in part does not look spent. Below a dollar as many
    digits are shown as there are: US$0.0042 is not nothing.
    """
    if unit is Unit.TOKENS:
        return f"{amount:,} token{'' if amount == 1 else 's'}"
    cents, rest = divmod(amount, MICROS // 100)
    if not rest or amount >= MICROS:
        return f"US${cents // 100:,}.{cents % 100:02d}"
    return f"US${amount / MICROS:.6f}".rstrip("0")
