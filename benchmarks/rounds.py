"""Rounds of a closed loop in which several servers, or several ways through one, take turns.

The machine is noisy and its noise lasts longer than a round, so rounds alternate (A B C, C B A, ...)
and medians are compared. A round lasts until its last answer is in *and* the server has no work
left, so that what a gateway puts off counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.load import ClosedLoop, Tally, Target
from benchmarks.machine import cpu_seconds, settle

if TYPE_CHECKING:
    from benchmarks.bench import Bench
    from benchmarks.payloads import Workload
    from benchmarks.servers import Server


@dataclass(frozen=True, slots=True)
class Entry:
    """What takes its turn: requests of a workload to a server, over so many connections."""

    server: Server
    target: Target
    workload: Workload
    connections: int


@dataclass(slots=True)
class Figures:
    """The rounds of one entry. `cpu` is in microseconds for each unit."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    drains: list[float] = field(default_factory=list)
    errors: int = 0

    @property
    def rate(self) -> float:
        """Units a second."""
        return median(self.rates)


def plan(bench: Bench) -> tuple[int, float]:
    """How many rounds each has, and how many seconds a round."""
    return (3, 1.5) if bench.quick else (7, 4.0)


async def alternate(bench: Bench, entries: Mapping[str, Entry]) -> dict[str, Figures]:
    """Warm all of them up and let them take turns."""
    rounds, seconds = plan(bench)
    figures = {name: Figures() for name in entries}
    for name, entry in entries.items():
        figures[name].errors += await burst(entry, seconds / 3)
        await settle(entry.server.pid)
    names = list(entries)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            await _round(entries[name], seconds, figures[name])
    return figures


async def burst(entry: Entry, seconds: float) -> int:
    """Requests that are not measured; how many of them failed."""
    tally = await ClosedLoop(entry.target, entry.workload).run(entry.connections, seconds)
    return tally.errors


def cpu_note(figures: Mapping[str, Figures]) -> str:
    """Processor time per unit: it depends less than throughput on what else the machine does."""
    each = ", ".join(f"{name} {median(found.cpu):.0f}" for name, found in figures.items())
    return f"cpu/unit (µs): {each}"


def rate(workload: Workload, tally: Tally, drain: float = 0.0) -> float:
    """Units a second: events of a stream, else requests."""
    return tally.event_rate(drain) if workload.events else tally.rate(drain)


async def _round(entry: Entry, seconds: float, figures: Figures) -> None:
    pid = entry.server.pid
    before = cpu_seconds(pid)
    tally = await ClosedLoop(entry.target, entry.workload).run(entry.connections, seconds)
    drain = await settle(pid)
    used = cpu_seconds(pid) - before
    figures.rates.append(rate(entry.workload, tally, drain))
    figures.cpu.append(used / max(1, tally.events or tally.requests) * 1e6)
    figures.drains.append(drain)
    figures.errors += tally.errors
