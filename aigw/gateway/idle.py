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


class Deadline:
    """Ends what its `with` block awaits with a TimeoutError after `seconds`; zero: never.

    What `asyncio.timeout` does for a part of the time, which counts where every request has one.
    """

    __slots__ = ("_cancelling", "_is_over", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_over = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        if self._seconds <= 0:
            return
        task = asyncio.current_task()
        assert task is not None, "only a task can be ended"
        self._task = task
        self._cancelling = task.cancelling()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._end)

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        if not self._is_over:
            return
        is_ours = self._task.uncancel() <= self._cancelling
        # Who else has cancelled the task meanwhile must not be kept from it.
        if is_ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError

    def _end(self) -> None:
        self._is_over = True
        self._task.cancel()
