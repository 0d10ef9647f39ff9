"""Telling of thresholds: once for each pot, period and threshold, also over restarts.

Spending is compared as it is counted. Everything else is done off the request's path: the notice is
claimed in the store, written to the log, counted, and handed to the webhook and the command. What
fails there is logged and disturbs nobody. A notice holds names and figures, never a prompt or key.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple

from aigw import clock
from aigw.errors import StoreError
from aigw.pricing.budget import Who, text_of_amount
from aigw.pricing.budget_delivery import deliver
from aigw.pricing.budget_gate import BudgetGate
from aigw.pricing.budget_settings import BudgetSettings
from aigw.pricing.budget_table import Claim, read_claims, store_claim
from aigw.pricing.ledger import Pot
from aigw.records import rfc3339
from aigw.store.writer import Writer

_log = logging.getLogger("aigw.budgets")

MESSAGE = "budget threshold passed"
"""The message of the log line, and the `event` of a notice."""

LONGEST_PERIOD = 32 * 24 * 3600 * 1_000_000
"""Microseconds. Notices of older periods cannot be given again."""

WAITING_NOTICES = 1_000
"""Notices that may wait for a slow store, webhook or command: each has some hundred bytes."""

LAST_SECONDS = 5.0
"""How long a stop waits for notices on their way: less than a service manager gives the daemon."""


class Notice(NamedTuple):
    """A threshold that a pot has passed."""

    pot: Pot
    threshold: int

    @property
    def claim(self) -> Claim:
        """What is stored of it."""
        pot = self.pot
        return Claim(pot.budget.id, pot.holder, pot.span.start, self.threshold)


class BudgetNotices:
    """Watches a gate's pots. `run` until cancelled; `finish` before the store closes.

    Args:
        on_passed: counts a notice: the budget's scope and the threshold.
    """

    def __init__(
        self,
        gate: BudgetGate,
        writer: Writer,
        settings: BudgetSettings,
        on_passed: Callable[[str, int], None],
    ) -> None:
        self._gate = gate
        self._writer = writer
        self._settings = settings
        self._on_passed = on_passed
        self._given: set[Claim] = set()
        self._passed: asyncio.Queue[Notice] = asyncio.Queue(WAITING_NOTICES)
        self._told: asyncio.Queue[dict[str, Any]] = asyncio.Queue(WAITING_NOTICES)
        gate.on_spent = self.look

    def configure(self, settings: BudgetSettings) -> None:
        """Go by other thresholds, another webhook or command."""
        self._settings = settings

    async def read(self) -> None:
        """Learn which notices were given, at the start and when budgets have changed."""
        since = clock.now() - LONGEST_PERIOD
        try:
            self._given = await self._writer.call(lambda c: read_claims(c, since))
        except (sqlite3.Error, StoreError) as error:
            # The store refuses to take the same claim twice all the same.
            _log.warning("cannot read which budget notices were given: %s", error)

    def look(self, who: Who) -> None:
        """Somebody has spent something: find the thresholds that have been passed."""
        thresholds = self._settings.thresholds
        if not thresholds:
            return
        for pot in self._gate.ledger.pots(who, clock.now()):
            if not pot.budget.amount or pot.spent * 100 < pot.budget.amount * thresholds[0]:
                continue
            for threshold in thresholds:
                notice = Notice(pot, threshold)
                if pot.spent * 100 < pot.budget.amount * threshold or notice.claim in self._given:
                    continue
                self._given.add(notice.claim)
                self._put(self._passed, notice)

    async def run(self) -> None:
        """Claim and tell, until cancelled."""
        while True:
            notice = await self._passed.get()
            try:
                await self._tell(notice)
            except Exception:  # noqa: BLE001 (the next notice may do better)
                _log.exception("a budget notice could not be given")
            finally:
                self._passed.task_done()

    async def run_deliveries(self) -> None:
        """Reach the webhook and the command, until cancelled."""
        while True:
            payload = await self._told.get()
            try:
                await deliver(payload, self._settings.webhook, self._settings.command)
            except Exception:  # noqa: BLE001 (whatever it is, the next notice may do better)
                _log.exception("a budget notice could not be delivered")
            finally:
                self._told.task_done()

    async def finish(self) -> None:
        """Give notices on their way some seconds."""
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self._passed.join()
                await self._told.join()
        except TimeoutError:
            _log.warning("stopping: budget notices on their way are given up")

    async def _tell(self, notice: Notice) -> None:
        claim, now = notice.claim, clock.now()
        try:
            if not await self._writer.call(lambda c: store_claim(c, claim, now)):
                return
        except (sqlite3.Error, StoreError) as error:
            _log.warning("cannot keep that a budget notice was given: %s", error)
        payload = payload_of(notice)
        fields = {"time": rfc3339(now), "level": "warning", "message": MESSAGE, **payload}
        _log.warning(MESSAGE, extra={"fields": fields})
        self._on_passed(notice.pot.budget.scope.value, notice.threshold)
        if self._settings.webhook or self._settings.command:
            self._put(self._told, payload)

    @staticmethod
    def _put(queue: asyncio.Queue[Any], value: Any) -> None:
        try:
            queue.put_nowait(value)
        except asyncio.QueueFull:
            _log.error("a budget notice is lost: %d wait already", WAITING_NOTICES)


def payload_of(notice: Notice) -> dict[str, Any]:
    """A notice as the log, the webhook and the command get it. Amounts are micro-dollars or tokens."""
    pot = notice.pot
    budget = pot.budget
    spent, amount = (text_of_amount(budget.unit, n) for n in (pot.spent, budget.amount))
    return {
        "event": "budget_threshold",
        "threshold": notice.threshold,
        "budget_id": budget.id,
        "budget": budget.title,
        "scope": budget.scope.value,
        "subject": budget.subject,
        "shared": budget.is_shared,
        "holder": pot.holder.replace("\t", " "),
        "period": budget.period.value,
        "unit": budget.unit.value,
        "amount": budget.amount,
        "spent": pot.spent,
        "text": f"{spent} of {amount} spent",
        "period_start": rfc3339(pot.span.start),
        "resets_at": rfc3339(pot.span.end),
    }
