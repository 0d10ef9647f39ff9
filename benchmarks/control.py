"""What access control costs: small requests with all of it switched on, beside the plain gateway.

On are gateway keys, the rate limit, the concurrency limit and the circuit breaker, with bounds that
nothing here reaches, and the choice between the operator's credential and a client's own. The
clients send a gateway key and are served with the operator's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.payloads import SMALL
from benchmarks.recorded import recorded_row
from benchmarks.report import Row, failed_by, share_of_other
from benchmarks.rounds import Entry, alternate, burst, cpu_note, plan
from benchmarks.servers import Setup

if TYPE_CHECKING:
    from benchmarks.bench import Bench

PART = "control"
CONNECTIONS = 64
LEAST = 0.85
"""Share of the plain gateway's rate."""

_GUARDED = Setup(
    options=(
        *("--aibridge-rate-limit", "1000000", "--aibridge-max-concurrency", "10000"),
        *("--aibridge-circuit-breaker-enabled", "--aibridge-allow-byok"),
    ),
    with_key=True,
)


async def measure(bench: Bench) -> list[Row]:
    """The rate beside the plain gateway's, and whether all was recorded."""
    async with bench.serving("aigw") as plain, bench.serving("aigw", _GUARDED) as guarded:
        entries = {
            "plain": Entry(*plain, SMALL, CONNECTIONS),
            "guarded": Entry(*guarded, SMALL, CONNECTIONS),
        }
        figures = await alternate(bench, entries)
        figures["guarded"].errors += await burst(entries["guarded"], plan(bench)[1] / 3)
        recorded = await recorded_row(PART, SMALL, *guarded)
    row = share_of_other(
        PART,
        "small requests with keys, limits and breaker",
        "req/s",
        other=figures["plain"].rate,
        what="plain aigw",
        aigw=figures["guarded"].rate,
        least=LEAST,
        note=cpu_note(figures),
    )
    errors = sum(found.errors for found in figures.values())
    return [failed_by(errors, row), recorded]
