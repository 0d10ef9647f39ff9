"""How much goes through: small requests, large requests, streams. Floor and gateway take turns.

The machine is noisy and its noise lasts longer than a round, so rounds alternate (A B, B A, ...)
and medians are compared. A round lasts until its last answer is in *and* the server has no work
left, so that what a gateway puts off counts. Processor time per unit is in the note: it depends
less than throughput on what else the machine does.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.load import ClosedLoop, Tally, Target
from benchmarks.machine import cpu_seconds, settle
from benchmarks.payloads import LARGE, SMALL, Workload, stream_workload
from benchmarks.recorded import recorded_row
from benchmarks.report import Row, failed_by, share

if TYPE_CHECKING:
    from benchmarks.bench import Bench
    from benchmarks.servers import Server


@dataclass(frozen=True, slots=True)
class Case:
    """One throughput measurement and its target. `least` is the share of the floor's rate."""

    part: str
    name: str
    unit: str
    workload: Workload
    connections: int
    least: float


# 205 events a stream: a typical answer of an agent. One event in flight per stream, so that each
# is relayed on its own however fast the provider is (`upstream.py`, step).
STREAM_EVENTS = 205

CASES = (
    Case("small", "small requests (1 KB, 0.7 KB back)", "req/s", SMALL, 64, 0.60),
    Case("large", "large requests (200 KB, 50 KB back)", "req/s", LARGE, 32, 0.60),
    Case("streams", "streams, relayed chunks", "chunks/s", stream_workload("step", STREAM_EVENTS), 64, 0.70),
)  # fmt: skip


@dataclass(slots=True)
class Figures:
    """The rounds of one server."""

    rates: list[float]
    cpu: list[float]
    drains: list[float]
    errors: int = 0


async def measure(bench: Bench, case: Case) -> list[Row]:
    """The throughput row of a case, and the row that says whether all of it was recorded."""
    rounds, seconds = (3, 1.5) if bench.quick else (7, 4.0)
    results: dict[str, Figures] = defaultdict(lambda: Figures([], [], []))
    direct = await _direct_rate(bench, case)
    async with bench.both() as servers:
        for server, target in servers.values():
            warmed = await ClosedLoop(target, case.workload).run(case.connections, seconds / 3)
            results[server.name].errors += warmed.errors
            await settle(server.pid)
        for number in range(rounds):
            names = ["floor", "aigw"] if number % 2 == 0 else ["aigw", "floor"]
            for name in names:
                server, target = servers[name]
                await _round(case, server, target, seconds, results[name])
        gateway, target = servers["aigw"]
        # A last burst, so that the records are counted while there is work put off.
        last = await ClosedLoop(target, case.workload).run(case.connections, seconds / 3)
        results["aigw"].errors += last.errors
        recorded = await recorded_row(case.part, case.workload, gateway, target)
    floor, aigw = results["floor"], results["aigw"]
    note = (
        f"cpu/unit {median(floor.cpu):.0f} and {median(aigw.cpu):.0f} µs; "
        f"direct {direct:,.0f}; put off {median(aigw.drains):.1f} s a round"
    )
    row = share(
        case.part,
        case.name,
        case.unit,
        floor=median(floor.rates),
        aigw=median(aigw.rates),
        least=case.least,
        note=note,
    )
    return [failed_by(floor.errors + aigw.errors, row), recorded]


async def _round(
    case: Case, server: Server, target: Target, seconds: float, figures: Figures
) -> None:
    before = cpu_seconds(server.pid)
    tally = await ClosedLoop(target, case.workload).run(case.connections, seconds)
    drain = await settle(server.pid)
    used = cpu_seconds(server.pid) - before
    figures.rates.append(_rate(case, tally, drain))
    figures.cpu.append(used / max(1, tally.events or tally.requests) * 1e6)
    figures.drains.append(drain)
    figures.errors += tally.errors


async def _direct_rate(bench: Bench, case: Case) -> float:
    tally = await ClosedLoop(bench.direct(), case.workload).run(case.connections, 1.0)
    return _rate(case, tally, 0.0)


def _rate(case: Case, tally: Tally, drain: float) -> float:
    return tally.event_rate(drain) if case.workload.events else tally.rate(drain)
