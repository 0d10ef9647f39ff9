"""Keeps the budgets in memory in step with the store's tables, which `aigw budgets` changes.

At the start, before anything is served, budgets and sums are read at once. Later the version of the
tables is looked at a few times a second, and what a new budget needs is read beside running
requests: token records made meanwhile are kept apart until it is known whether the sums that were
read hold them. Until then the old budgets stay in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from aigw import clock
from aigw.errors import StoreError
from aigw.pricing.budget import Who
from aigw.pricing.budget_gate import BudgetGate, tokens_of
from aigw.pricing.budget_rules import BudgetRules
from aigw.pricing.budget_table import budgets_version, read_rules
from aigw.pricing.ledger import Series
from aigw.pricing.spend import Mark, fill, mark, records_since
from aigw.records import TokenUsage
from aigw.store.reader import open_reader, reading, snapshot
from aigw.store.writer import Writer

_log = logging.getLogger("aigw.budgets")

LOOK_SECONDS = 0.25
"""How long a change may take to be noticed: who types a command does not notice that."""

_FAULTS = (sqlite3.Error, StoreError, ValueError)


class BudgetWatch:
    """Reads the tables for a gate. `open` it once, then `run` it; `close` it at the end.

    Args:
        gate: whose budgets it keeps.
        writer: of the store.
        on_change: awaited before a change comes into force.
    """

    def __init__(
        self,
        path: Path,
        gate: BudgetGate,
        writer: Writer,
        on_change: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._path = path
        self._gate = gate
        self._writer = writer
        self._on_change = on_change
        self._connection: sqlite3.Connection | None = None
        self._version: int | None = None
        self._failing = False

    def open(self) -> None:
        """Read the budgets and what was spent, before the first request.

        Raises:
            StoreError: they cannot be read. Requests would then be let through unchecked.
        """
        try:
            connection = self._connected()
            with snapshot(connection):
                self._version = budgets_version(connection)
                rules = read_rules(connection)
                series = self._new_series(rules)
                fill(connection, series)
        except _FAULTS as error:
            self.close()
            raise StoreError(f"cannot read the budgets in {self._path}: {error}") from error
        self._gate.ledger.count(series)
        self._gate.ledger.use(rules)

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def run(self) -> None:
        """Look for changes until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception:  # noqa: BLE001 (the next look may do better, and must come)
                _log.exception("looking for changes of budgets failed")

    async def look(self) -> None:
        """Look for a change, and go by it. What cannot be read leaves everything as it was."""
        try:
            connection = self._connected()
            if budgets_version(connection) == self._version:
                return
            with snapshot(connection):
                version = budgets_version(connection)
                rules = read_rules(connection)
                before = mark(connection)
            if self._on_change is not None:
                await self._on_change()
            series = self._new_series(rules)
            if series:
                await self._fill(series, before)
        except _FAULTS as error:
            self.close()
            if not self._failing:
                self._failing = True
                _log.warning("cannot read the budgets, those known stay in force: %s", error)
            return
        self._gate.ledger.count(series)
        self._gate.ledger.use(rules)
        self._version = version
        self._gate.wake()
        if self._failing:
            self._failing = False
        _log.info("budgets have changed: there are %d", len(rules.budgets))

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_reader(self._path)
        return self._connection

    def _new_series(self, rules: BudgetRules) -> list[Series]:
        now = clock.now()
        return [Series(need, now) for need in self._gate.ledger.missing(rules)]

    async def _fill(self, series: list[Series], before: Mark) -> None:
        """Read what the store holds, and add what was recorded meanwhile and is not in that."""
        with self._recording() as meanwhile:
            # What was recorded before this moment is committed when this returns.
            await self._writer.commit([])
            committed = await asyncio.to_thread(self._read, series, before)
            for record, who, started_at in meanwhile:
                if record.id not in committed:
                    for each in series:
                        add(each, who, started_at, record)

    @contextlib.contextmanager
    def _recording(self) -> Iterator[list[tuple[TokenUsage, Who, int]]]:
        seen: list[tuple[TokenUsage, Who, int]] = []
        self._gate.on_record = lambda *record: seen.append(record)
        try:
            yield seen
        finally:
            self._gate.on_record = None

    def _read(self, series: list[Series], before: Mark) -> set[str]:
        with reading(self._path) as connection, snapshot(connection):
            fill(connection, series)
            return records_since(connection, before)


def add(series: Series, who: Who, started_at: int, record: TokenUsage) -> None:
    """Count one record in one series."""
    holder = who.holder(series.need.kind)
    if holder is not None and started_at >= series.span.start:
        spent = series.meter(holder).spent
        spent[0] += 0 if who.is_covered else record.cost_micros or 0
        spent[1] += tokens_of(record)
