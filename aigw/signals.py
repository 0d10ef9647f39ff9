"""What the daemon does on signals: stop, or read its configuration again.

| signal | effect |
|---|---|
| SIGINT, SIGTERM | stop in good order; a second one ends the process at once |
| SIGHUP, ignored at start (`nohup`) | stays ignored |
| SIGHUP, the daemon had a terminal at start, and that is gone | stop, as programs do then |
| SIGHUP otherwise | reload |
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Callable

TERMINAL_GRACE_SECONDS = 1.0
"""How long after a SIGHUP the terminal is looked at again: a window that closes sends the signal
first, and lets go of its terminal a moment later."""

_GONE = frozenset({errno.ENXIO, errno.ENOTTY, errno.EIO})
"""What opening the controlling terminal fails with when there is none: tty(4)."""


class Terminal:
    """The terminal that a process was started from, if it was."""

    def __init__(self, path: str = "/dev/tty") -> None:
        self._path = path
        self._was_there = self._error() is None

    @property
    def is_gone(self) -> bool:
        """Whether there was one, and there is no more."""
        return self._was_there and self._error() in _GONE

    def _error(self) -> int | None:
        try:
            os.close(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY))
        except OSError as error:
            return error.errno
        return None


def on_signals(stopping: asyncio.Event, reload: Callable[[], object]) -> None:
    """Set `stopping` or call `reload` as the table above says. On the running event loop."""
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop, number)
        except NotImplementedError:
            # Windows' loop has no signal handlers: Python's own run between its callbacks.
            signal.signal(number, lambda n, _frame: loop.call_soon_threadsafe(stop, n))
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, Hangup(Terminal(), stopping, reload))


class Hangup:
    """What SIGHUP means: called for each."""

    def __init__(
        self, terminal: Terminal, stopping: asyncio.Event, reload: Callable[[], object]
    ) -> None:
        self._terminal = terminal
        self._stopping = stopping
        self._reload = reload

    def __call__(self) -> None:
        """Stop when the terminal has gone; else reload, and look at it once more."""
        if self._stopping.is_set():
            # A closing terminal sends more than one: unlike a second Ctrl-C, that is no impatience.
            return
        if self._terminal.is_gone:
            self._stopping.set()
            return
        self._reload()
        asyncio.get_running_loop().call_later(TERMINAL_GRACE_SECONDS, self._look_again)

    def _look_again(self) -> None:
        if self._terminal.is_gone:
            self._stopping.set()
