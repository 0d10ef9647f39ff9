"""The machine's cores, the event loop, and what a process costs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psutil

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

T = TypeVar("T")

MEGABYTE: Final = 1_000_000

FILES_NEEDED: Final = 8192
"""File descriptors of the load generator: 1,000 streams take 2,000 on its side, both ends."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where it installs, else on asyncio's own loop."""
    factory = None
    if sys.platform != "win32":
        with contextlib.suppress(ImportError):
            import uvloop  # noqa: PLC0415

            factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


def cores() -> tuple[int, int] | None:
    """The core of the server under test and the core of the load; None where they cannot be chosen."""
    if sys.platform == "linux":
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) > 1:
            return allowed[0], allowed[-1]
    return None


def pin(core: int | None) -> None:
    """Keep this thread, and the children it starts from now on, on one core."""
    if sys.platform == "linux" and core is not None:
        os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """On that core for a moment: a child started within keeps it."""
    if sys.platform != "linux" or core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_file_limit() -> None:
    """Allow this process FILES_NEEDED open files, as far as the system does."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_NEEDED if hard == resource.RLIM_INFINITY else min(FILES_NEEDED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process."""
    return float(psutil.Process(pid).memory_info().rss) / MEGABYTE


def cpu_seconds(pid: int) -> float:
    """Processor time a process has used so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


class OtherWork:
    """Measures what else keeps a core busy while our children run there.

    A figure taken beside much other work is worth little; the report shows how much there was.
    """

    def __init__(self, core: int | None) -> None:
        self._core = core
        self._started = time.monotonic()
        self._busy = self._others()

    def _others(self) -> float:
        if self._core is None:
            return 0.0
        times = psutil.cpu_times(percpu=True)[self._core]
        busy = sum(times) - times.idle - getattr(times, "iowait", 0.0)
        # On Linux the times of guests are part of the user's.
        busy -= getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        ours = os.times()
        return busy - ours.children_user - ours.children_system

    def share(self) -> float:
        """The share of the time since the start, 0 to 1; the children must have ended."""
        seconds = time.monotonic() - self._started
        return min(1.0, max(0.0, (self._others() - self._busy) / seconds)) if seconds else 0.0


async def settle(pid: int, limit: float = 30.0) -> float:
    """Wait until a process has no work left, and return how long it went on, in seconds.

    A gateway may answer first and index later: that work belongs to the round that caused it.
    """
    loop = asyncio.get_running_loop()
    started = busy_until = loop.time()
    used = cpu_seconds(pid)
    while loop.time() - started < limit:
        await asyncio.sleep(0.1)
        now, used_now = loop.time(), cpu_seconds(pid)
        if used_now - used <= 0.01:
            break
        used, busy_until = used_now, now
    return busy_until - started
