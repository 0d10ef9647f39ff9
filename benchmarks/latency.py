"""What the gateway adds to a call at 100 requests a second, against the same call made directly.

Direct, floor and gateway take turns in slices of a few seconds, so that the machine's noise falls
on all of them. Times run from the write of the request to the last byte of the answer, or for
streams to the first byte of the body.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from benchmarks.load import OpenLoop, Target
from benchmarks.payloads import LARGE, SMALL, Workload, stream_workload
from benchmarks.report import Row, at_most, failed_by, percentile

if TYPE_CHECKING:
    from benchmarks.bench import Bench

RATE = 100.0
P50_MS = 1.0
P99_MS = 5.0

Samples: TypeAlias = "Mapping[str, array[float]]"


async def measure(bench: Bench) -> list[Row]:
    """Added latency at p50 and p99: small requests, large ones, first byte of streams."""
    rows: list[Row] = []
    async with bench.both() as servers:
        targets = {"direct": bench.direct(), **{name: pair[1] for name, pair in servers.items()}}
        # Large requests have no target of their own: what they add is for information.
        for workload, what, bound in (
            (SMALL, "added latency, small requests", True),
            (stream_workload("burst", 25), "added time to first byte, streams", True),
            (LARGE, "added latency, large requests", False),
        ):
            samples, errors = await _sample(bench, targets, workload)
            rows += _rows(what, samples, errors, bound=bound)
    return rows


async def _sample(
    bench: Bench, targets: Mapping[str, Target], workload: Workload
) -> tuple[Samples, int]:
    slices, seconds = (2, 1.5) if bench.quick else (8, 4.0)
    samples = {name: array("d") for name in targets}
    errors = 0
    for target in targets.values():
        await OpenLoop(target, workload).run(RATE, 0.5)
    for _ in range(slices):
        for name, target in targets.items():
            tally = await OpenLoop(target, workload).run(RATE, seconds)
            samples[name].extend(tally.firsts if workload.events else tally.totals)
            errors += tally.errors
    return samples, errors


def _rows(what: str, samples: Samples, errors: int, *, bound: bool) -> list[Row]:
    rows: list[Row] = []
    for percent, most in ((50, P50_MS), (99, P99_MS)):
        direct, floor, aigw = (
            percentile(samples[name], percent) * 1000 for name in ("direct", "floor", "aigw")
        )
        row = at_most(
            "latency",
            f"{what}, p{percent}",
            "ms",
            aigw=aigw - direct,
            most=most if bound else None,
            floor=floor - direct,
            note=f"direct {direct:.2f} ms, {len(samples['aigw'])} calls",
        )
        rows.append(failed_by(errors, row))
    return rows
