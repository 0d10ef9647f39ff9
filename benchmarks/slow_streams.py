"""A thousand streams at once at 20 events a second each, as when a company's agents all think.

An event's added delay is the time from its write by the provider to its arrival; a pause that the
gateway adds between two events is never longer than the later one's delay, so the bound on the
delay is the stricter. `direct` shows what of it is the load generator's own.
"""

from __future__ import annotations

import math
import time

from benchmarks.bench import Bench, MemoryWatch
from benchmarks.load import SlowStreams, Target
from benchmarks.machine import cpu_seconds
from benchmarks.payloads import Workload, stream_workload
from benchmarks.report import Row, at_most, failed_by, percentile
from benchmarks.upstream import PACE

PART = "slow-streams"
STREAMS = 1000
DELAY_MS = 100.0
MEMORY_MB = 250.0
RAMP = 2.0
"""Seconds over which the streams start: their events then spread evenly over time."""


async def measure(bench: Bench) -> list[Row]:
    """Completion, added delay at p99 and resident memory under 1,000 slow streams."""
    events = 100 if bench.quick else 600
    workload = stream_workload("paced", events)
    limit = RAMP + events * PACE + 20
    direct, _ = await _run(bench.direct(), workload, limit)
    async with bench.serving("floor") as (_, target):
        floor, _ = await _run(target, workload, limit)
    async with bench.serving("aigw") as (server, target):
        watch = MemoryWatch(server.pid)
        used, started = cpu_seconds(server.pid), time.monotonic()
        delays, completed = await _run(target, workload, limit)
        load = (cpu_seconds(server.pid) - used) / (time.monotonic() - started)
        peak = watch.stop()
    worst = max(delays, default=math.nan)
    note = f"{events} events each; worst {worst:.0f} ms; {load:.0%} of the core used"
    errors = STREAMS - completed
    return [
        Row(
            part=PART,
            name="1,000 slow streams, completed",
            unit="streams",
            aigw=completed,
            target=f"= {STREAMS:,}",
            passed=not errors,
        ),
        failed_by(
            errors,
            at_most(
                PART,
                "1,000 slow streams, added delay p99",
                "ms",
                aigw=percentile(delays, 99),
                most=DELAY_MS,
                floor=percentile(floor, 99),
                note=f"direct {percentile(direct, 99):.2f} ms; {note}",
            ),
        ),
        at_most(
            PART,
            "1,000 slow streams, resident memory",
            "MB",
            aigw=peak,
            most=MEMORY_MB,
            note="peak",
        ),
    ]


async def _run(target: Target, workload: Workload, limit: float) -> tuple[list[float], int]:
    """Delays in milliseconds, and how many streams came to their end in full."""
    streams = SlowStreams(target, workload)
    tally = await streams.run(STREAMS, RAMP, limit)
    return [delay * 1000 for delay in streams.delays], tally.requests
