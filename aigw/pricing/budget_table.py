"""The tables `budgets` and `group_members`: reading them, and what `aigw budgets` does to them.

Each change raises `budgets_version` in `meta`, in its own transaction: a running daemon looks at
that number (`budget_watch`) and reads the tables anew.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from aigw.errors import StoreError
from aigw.pricing.budget import Budget, Period, Scope, Unit
from aigw.pricing.budget_rules import BudgetRules, Members
from aigw.store.changes import changing
from aigw.store.reader import NoDatabase, reading, snapshot

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_COLUMNS = "id, scope, subject, period, unit, amount, time_zone, is_shared, updated_at"


class Claim(NamedTuple):
    """A threshold that one pot has passed in one period: the key of `budget_notices`."""

    budget_id: int
    holder: str
    period_start: int
    threshold: int


def budgets_version(connection: sqlite3.Connection) -> int:
    """A number that grows with every change to budgets or groups; 0 before the first."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'budgets_version'").fetchone()
    return 0 if row is None else int(row[0])


def read_rules(connection: sqlite3.Connection) -> BudgetRules:
    """All budgets and groups.

    Raises:
        sqlite3.Error: as SQLite says.
        ValueError: a row was not written by this aigw.
    """
    rows = connection.execute(f"SELECT {_COLUMNS} FROM budgets ORDER BY id").fetchall()  # noqa: S608 (our own names)
    budgets = [
        Budget(
            id=row[0],
            scope=Scope(row[1]),
            subject=row[2],
            period=Period(row[3]),
            unit=Unit(row[4]),
            amount=row[5],
            time_zone=row[6],
            is_shared=bool(row[7]),
            updated_at=row[8],
        )
        for row in rows
    ]
    return BudgetRules(budgets, read_members(connection))


def read_members(connection: sqlite3.Connection) -> Members:
    """The users of each group."""
    members: dict[str, set[str]] = defaultdict(set)
    for group, user in connection.execute("SELECT group_name, user FROM group_members"):
        members[group].add(user)
    return {group: frozenset(users) for group, users in sorted(members.items())}


def read_claims(connection: sqlite3.Connection, since: int) -> set[Claim]:
    """The notices given of periods that began at `since` (microseconds) or later."""
    rows = connection.execute(
        "SELECT budget_id, holder, period_start, threshold FROM budget_notices"
        " WHERE period_start >= ?",
        (since,),
    )
    return {Claim(*row) for row in rows}


def store_claim(connection: sqlite3.Connection, claim: Claim, now: int) -> bool:
    """Note that a notice is given; False where it was before, or the budget is gone.

    Raises:
        sqlite3.Error: as SQLite says.
    """
    made = connection.execute(
        "INSERT OR IGNORE INTO budget_notices SELECT ?, ?, ?, ?, ? FROM budgets WHERE id = ?",
        (*claim, now, claim.budget_id),
    )
    return made.rowcount == 1


def list_rules(path: Path) -> BudgetRules:
    """All budgets and groups; none where there is no database.

    Raises:
        StoreError: the database cannot be read.
    """
    with contextlib.suppress(NoDatabase), reading(path) as connection, snapshot(connection):
        return read_rules(connection)
    return BudgetRules()


def set_budget(path: Path, budget: Budget) -> Budget:
    """Make a budget, or change the one of the same scope, subject, period, unit and kind.

    Its `id` counts for nothing. A changed amount or time zone has its thresholds told of anew.
    Returns the budget as it is stored.

    Raises:
        StoreError: the database cannot be written.
    """
    key = (budget.scope, budget.subject, budget.period, budget.unit, budget.is_shared)
    values = (budget.amount, budget.time_zone, budget.updated_at)
    with changing(path) as connection:
        found = connection.execute(
            "SELECT id, amount, time_zone FROM budgets"
            " WHERE scope = ? AND subject = ? AND period = ? AND unit = ? AND is_shared = ?",
            key,
        ).fetchone()
        if found is None:
            made = connection.execute(
                "INSERT INTO budgets (scope, subject, period, unit, is_shared, amount, time_zone,"
                " updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*key, *values),
            ).lastrowid
        else:
            made = found[0]
            connection.execute(
                "UPDATE budgets SET amount = ?, time_zone = ?, updated_at = ? WHERE id = ?",
                (*values, made),
            )
            if found[1:] != values[:2]:
                connection.execute("DELETE FROM budget_notices WHERE budget_id = ?", (made,))
        _raise_version(connection)
    assert made is not None
    return _with_id(budget, made)


def _with_id(budget: Budget, number: int) -> Budget:
    from dataclasses import replace  # noqa: PLC0415 (only commands make budgets)

    return replace(budget, id=number)


def unset_budgets(path: Path, chosen: set[int]) -> int:
    """Delete budgets by id; how many there were.

    Raises:
        StoreError: the database cannot be written.
    """
    with changing(path) as connection:
        gone = sum(
            connection.execute("DELETE FROM budgets WHERE id = ?", (number,)).rowcount
            for number in chosen
        )
        _raise_version(connection)
    return gone


def add_member(path: Path, group: str, user: str) -> bool:
    """Put a user into a group, which is made with its first member; whether it was not in it.

    Raises:
        StoreError: the database cannot be written.
    """
    with changing(path) as connection:
        added = connection.execute(
            "INSERT OR IGNORE INTO group_members (group_name, user) VALUES (?, ?)", (group, user)
        )
        _raise_version(connection)
    return added.rowcount == 1


def remove_member(path: Path, group: str, user: str) -> None:
    """Take a user out of a group, which is gone with its last member.

    Raises:
        StoreError: it was not in it, or the database cannot be written.
    """
    with changing(path) as connection:
        gone = connection.execute(
            "DELETE FROM group_members WHERE group_name = ? AND user = ?", (group, user)
        )
        if not gone.rowcount:
            raise StoreError(f"{user!r} is not in the group {group!r}: see `aigw groups list`.")
        _raise_version(connection)


def _raise_version(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('budgets_version', 1)"
        " ON CONFLICT (key) DO UPDATE SET value = value + 1"
    )
