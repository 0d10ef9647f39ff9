"""Which records a reader wants, and the SQL that says so.

Names (provider, model, client, initiator) match without regard to case, and `*` stands for any
text. SQLite's LIKE folds ASCII letters only, which is what these names are made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from aigw.patterns import matches
from aigw.provider_types import PROVIDER_TYPES
from aigw.records import RecordType

if TYPE_CHECKING:
    import sqlite3

Condition: TypeAlias = tuple[str, list[Any]]
"""SQL over the alias `i` of `interceptions`, and its parameters."""

LISTED_IDS = 5
"""How many candidates an ambiguous id prefix names: enough to see what differs."""

RUNNING = "running"
"""The status of an interception that has not ended: the store has none for it yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """All that are given must hold. Times are record times in microseconds, `until` exclusive.

    `provider` is a provider's type or its configured name; `interception` a whole id (see
    `resolve_id`); `status` that of the record's interception, `running` while it has not ended;
    `text` is searched for in what prompts, tool inputs, tool results and thoughts say.
    """

    types: frozenset[RecordType] = frozenset(RecordType)
    since: int | None = None
    until: int | None = None
    provider: str | None = None
    model: str | None = None
    client: str | None = None
    initiator: str | None = None
    session: str | None = None
    interception: str | None = None
    status: str | None = None
    text: str | None = None

    @property
    def on_interception(self) -> Condition:
        """The conditions on the interception that a record belongs to; empty SQL for none."""
        found: list[Condition] = []
        if self.interception is not None:
            found.append(("i.id = ?", [self.interception]))
        if self.session is not None:
            named = "i.session_seq IN (SELECT s.seq FROM sessions AS s WHERE s.id = ?)"
            found.append((named, [self.session]))
        if self.provider is not None:
            either = f"({_like('i.provider')} OR {_like('i.provider_name')})"
            found.append((either, [like_pattern(self.provider)] * 2))
        for column, wanted in (
            ("i.model", self.model),
            ("i.client", self.client),
            ("i.initiator_id", self.initiator),
        ):
            if wanted is not None:
                found.append((_like(column), [like_pattern(wanted)]))
        if self.status == RUNNING:
            found.append(("i.end_seq IS NULL", []))
        elif self.status is not None:
            found.append(("i.status = ?", [self.status]))
        return joined(found)

    @property
    def on_quarter(self) -> Condition:
        """What the names in it ask of a row of `usage_quarters`, alias `q`; empty for nothing.

        Where `on_interception` has an index to go by (an id, a session), that is sooner.
        """
        if self.interception is not None or self.session is not None:
            return joined([])
        found = [
            (_like(column), [like_pattern(wanted)])
            for column, wanted in (
                ("q.model", self.model),
                ("q.client", self.client),
                ("q.initiator_id", self.initiator),
            )
            if wanted is not None
        ]
        if self.provider is not None and not may_be_family(self.provider, wildcards=True):
            found.append((_like("q.provider_name"), [like_pattern(self.provider)]))
        return joined(found)


def joined(conditions: list[Condition]) -> Condition:
    """All of the conditions as one."""
    sql = " AND ".join(text for text, _ in conditions)
    return sql, [value for _, values in conditions for value in values]


def named(column: str, wanted: str, *, wildcards: bool = False) -> Condition:
    """The condition that a column holds a name, upper and lower case being the same.

    Without `wildcards` a star is a star. ASCII letters are folded only, as LIKE does.
    """
    if wildcards and "*" in wanted:
        return f"{column} LIKE ? ESCAPE '\\'", [like_pattern(wanted)]
    return f"{column} = ? COLLATE NOCASE", [wanted]


def may_be_family(name: str, *, wildcards: bool) -> bool:
    """Whether an interception's `provider` may be this: the sums have its `provider_name` alone.

    Families are named like types of providers, so every other name can only be a configured one.
    """
    if wildcards:
        return any(matches(name, known) for known in PROVIDER_TYPES)
    return name.casefold() in PROVIDER_TYPES


def like_pattern(name: str) -> str:
    """A LIKE pattern for a name in which `*` stands for any text and nothing else is special."""
    for special in "\\%_":
        name = name.replace(special, "\\" + special)
    return name.replace("*", "%")


def _like(column: str) -> str:
    return f"{column} LIKE ? ESCAPE '\\'"


def resolve_id(connection: sqlite3.Connection, prefix: str) -> str:
    """The whole id of the one interception whose id begins with `prefix`.

    Raises:
        ValueError: there is none, or there are several (the message names some).
    """
    wanted = prefix.strip().lower()
    if not wanted:
        raise ValueError("an interception id is needed, or its first characters")
    # The first text after every one that begins with the prefix: ids are ASCII.
    rows = connection.execute(
        "SELECT id FROM interceptions WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (wanted, wanted + "\U0010ffff", LISTED_IDS + 1),
    ).fetchall()
    if not rows:
        raise ValueError(f"there is no interception {prefix!r}")
    if len(rows) > 1:
        shown = ", ".join(row[0] for row in rows[:LISTED_IDS])
        more = ", ..." if len(rows) > LISTED_IDS else ""
        raise ValueError(f"several interceptions begin with {prefix!r}: {shown}{more}")
    found: str = rows[0][0]
    return found
