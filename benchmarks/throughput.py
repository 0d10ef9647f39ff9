"""How much goes through: small requests, large requests, streams. Floor and gateway take turns.

With `--against` another checkout's gateway takes its turns too, and must not be much the quicker:
what was added since may not cost who does not use it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.load import ClosedLoop
from benchmarks.payloads import LARGE, SMALL, Workload, stream_workload
from benchmarks.recorded import recorded_row
from benchmarks.report import Row, failed_by, share, share_of_other
from benchmarks.rounds import Entry, Figures, alternate, burst, cpu_note, plan, rate
from benchmarks.servers import Setup

if TYPE_CHECKING:
    from benchmarks.bench import Bench


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
STREAMS = 64

LEAST_OF_OTHER = 0.90
"""Share of another checkout's rate that this one must reach."""

CASES = (
    Case("small", "small requests (1 KB, 0.7 KB back)", "req/s", SMALL, 64, 0.60),
    Case("large", "large requests (200 KB, 50 KB back)", "req/s", LARGE, 32, 0.60),
    Case("streams", "streams, relayed chunks", "chunks/s", stream_workload("step", STREAM_EVENTS), STREAMS, 0.70),
)  # fmt: skip


async def measure(bench: Bench, case: Case) -> list[Row]:
    """The throughput rows of a case, and the row that says whether all of it was recorded."""
    direct = await _direct_rate(bench, case)
    async with contextlib.AsyncExitStack() as stack:
        entries: dict[str, Entry] = {}
        for name in ("floor", "aigw", "other"):
            if name == "other" and bench.against is None:
                continue
            setup = Setup(root=bench.against) if name == "other" and bench.against else Setup()
            server, target = await stack.enter_async_context(bench.serving(name, setup))
            entries[name] = Entry(server, target, case.workload, case.connections)
        figures = await alternate(bench, entries)
        # A last burst, so that the records are counted while there is work put off.
        gateway = entries["aigw"]
        figures["aigw"].errors += await burst(gateway, plan(bench)[1] / 3)
        recorded = await recorded_row(case.part, case.workload, gateway.server, gateway.target)
    return [*_rows(case, figures, direct), recorded]


def _rows(case: Case, figures: dict[str, Figures], direct: float) -> list[Row]:
    floor, aigw, other = figures["floor"], figures["aigw"], figures.get("other")
    row = share(
        case.part,
        case.name,
        case.unit,
        floor=floor.rate,
        aigw=aigw.rate,
        least=case.least,
        note=f"{cpu_note(figures)}; direct {direct:,.0f}; put off {median(aigw.drains):.1f} s a round",
    )
    rows = [failed_by(floor.errors + aigw.errors, row)]
    if other is not None:
        compared = share_of_other(
            case.part,
            "  beside the other checkout",
            case.unit,
            other=other.rate,
            what="other",
            aigw=aigw.rate,
            least=LEAST_OF_OTHER,
            note="",
        )
        rows.append(failed_by(other.errors, compared))
    return rows


async def _direct_rate(bench: Bench, case: Case) -> float:
    tally = await ClosedLoop(bench.direct(), case.workload).run(case.connections, 1.0)
    return rate(case.workload, tally)
