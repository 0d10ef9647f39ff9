"""Resident memory: idle after the start, and over 100,000 mixed requests, where it must stay flat."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.load import ClosedLoop, Target
from benchmarks.machine import resident_megabytes, settle
from benchmarks.payloads import LARGE, SMALL, stream_workload
from benchmarks.report import Row, at_most, failed_by

if TYPE_CHECKING:
    from benchmarks.bench import Bench

IDLE_MB = 90.0
GROWTH_MB = 10.0
"""What counts as flat from the second tenth to the last: caches fill during the first two, and an
allocator's pools move by a few megabytes; a leak of 125 bytes a request would show."""

STEPS = 10
_MIX = ((SMALL, 0.8, 32), (LARGE, 0.1, 16), (stream_workload("burst", 105), 0.1, 32))
_STEP_LIMIT = 120.0


async def measure(bench: Bench) -> list[Row]:
    """Idle memory and growth."""
    requests = 10_000 if bench.quick else 100_000
    async with bench.serving("aigw") as (server, target):
        await asyncio.sleep(1.0)
        idle = resident_megabytes(server.pid)
        readings: list[float] = []
        errors = 0
        for _ in range(STEPS):
            errors += await _step(target, requests // STEPS)
            await settle(server.pid)
            readings.append(resident_megabytes(server.pid))
    async with bench.serving("floor") as (floor, _):
        await asyncio.sleep(0.5)
        floor_idle = resident_megabytes(floor.pid)
    growth = at_most(
        "memory",
        f"growth over {requests:,} requests",
        "MB",
        aigw=readings[-1] - readings[1],
        most=GROWTH_MB,
        note="after each tenth: " + " ".join(f"{reading:.0f}" for reading in readings),
    )
    return [
        at_most("memory", "resident memory, idle", "MB", aigw=idle, most=IDLE_MB, floor=floor_idle),
        failed_by(errors, growth),
    ]


async def _step(target: Target, requests: int) -> int:
    errors = 0
    for workload, part, connections in _MIX:
        tally = await ClosedLoop(target, workload).run(
            connections, _STEP_LIMIT, round(requests * part)
        )
        errors += tally.errors
    return errors
