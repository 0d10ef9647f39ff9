"""Noticing that a provider has stalled, at the price of one timer per answer, not one per chunk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self


class IdleWatch:
    """Calls `stalled` when nothing was read for `seconds` while somebody was waiting to read.

    The reader sets `since` to the loop's time when it begins to wait, and to None while it does
    something else: a slow client is not a stalled provider. Zero seconds means no limit.
    """

    __slots__ = ("_loop", "_seconds", "_stalled", "_timer", "expired", "since")

    def __init__(self, seconds: float, stalled: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._stalled = stalled
        self._timer: asyncio.TimerHandle | None = None
        self.since: float | None = None
        self.expired = False

    def __enter__(self) -> Self:
        if self._seconds > 0:
            self._timer = self._loop.call_later(self._seconds, self._check)
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        now = self._loop.time()
        waited = 0.0 if self.since is None else now - self.since
        if waited >= self._seconds:
            self.expired = True
            self._stalled()
        else:
            self._timer = self._loop.call_at(now + self._seconds - waited, self._check)
