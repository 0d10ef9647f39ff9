"""What a record costs to write: interceptions a second that the store takes, and the whole gateway.

With `--against` another checkout takes turns, so that what linking, sums and costs add is seen beside
what was there before. The store alone is measured in a process that does nothing else: its figure
says what changed, and how much of a gateway's time that is. The target is the whole gateway's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.machine import pinned
from benchmarks.payloads import SMALL
from benchmarks.report import Row, failed_by, share_of_other
from benchmarks.rounds import Entry, alternate, cpu_note
from benchmarks.servers import ROOT, Setup, clean_environment

if TYPE_CHECKING:
    from benchmarks.bench import Bench

PART = "writing"
CONNECTIONS = 64
LEAST_OF_OTHER = 0.85
"""Share of the other gateway's rate that this one must reach: slowed by less than 15 %."""

ROUND_LIMIT = 120.0
"""Seconds that one round of the store alone may take."""

_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("the store alone: agents' steps with tools", ()),
    ("the store alone: requests without tools or session", ("--plain",)),
)


async def measure(bench: Bench) -> list[Row]:
    """The rows of the store alone, and with another checkout the whole gateway's."""
    rows = [await asyncio.to_thread(_store_row, bench, name, given) for name, given in _KINDS]
    if bench.against is not None:
        rows.append(await _gateway_row(bench, bench.against))
    return rows


def _store_row(bench: Bench, name: str, given: tuple[str, ...]) -> Row:
    roots = {"aigw": ROOT, **({"other": bench.against} if bench.against else {})}
    rates: dict[str, list[float]] = {side: [] for side in roots}
    cpu: dict[str, list[float]] = {side: [] for side in roots}
    sides = list(roots)
    for number in range(3 if bench.quick else 7):
        for side in sides if number % 2 == 0 else reversed(sides):
            count = 3_000 if bench.quick else 20_000
            figures = _round(bench, roots[side], ["--count", str(count), *given])
            rates[side].append(figures["rate"])
            cpu[side].append(figures["cpu"])
    each = {side: median(found) for side, found in cpu.items()}
    note = "cpu/unit (µs): " + ", ".join(f"{side} {value:.0f}" for side, value in each.items())
    if "other" not in roots:
        return Row(part=PART, name=name, unit="/s", aigw=median(rates["aigw"]), note=note)
    return share_of_other(
        PART, name, "/s", other=median(rates["other"]), what="other",
        aigw=median(rates["aigw"]), least=None,
        note=f"{note}: {each['aigw'] - each['other']:+.0f} µs each",
    )  # fmt: skip


def _round(bench: Bench, root: Path, given: list[str]) -> dict[str, float]:
    """One run of `store_load.py` with a checkout's aigw, on a new database."""
    with tempfile.TemporaryDirectory(prefix="aigw-bench-") as folder, pinned(bench.core):
        done = subprocess.run(
            [sys.executable, str(LOAD), str(Path(folder) / "bench.db"), *given],
            cwd=folder,
            env=load_environment(root),
            capture_output=True,
            text=True,
            timeout=ROUND_LIMIT,
            check=True,
        )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


LOAD = Path(__file__).with_name("store_load.py")


def load_environment(root: Path) -> dict[str, str]:
    """The environment in which `store_load.py` finds a checkout's aigw."""
    return {**clean_environment(), "PYTHONPATH": os.fspath(root)}


async def _gateway_row(bench: Bench, against: Path) -> Row:
    async with contextlib.AsyncExitStack() as stack:
        entries: dict[str, Entry] = {}
        for name, setup in (("aigw", Setup()), ("other", Setup(root=against))):
            server, target = await stack.enter_async_context(bench.serving(name, setup))
            entries[name] = Entry(server, target, SMALL, CONNECTIONS)
        figures = await alternate(bench, entries)
    row = share_of_other(
        PART, "the whole gateway: small requests", "req/s", other=figures["other"].rate,
        what="other", aigw=figures["aigw"].rate, least=LEAST_OF_OTHER, note=cpu_note(figures),
    )  # fmt: skip
    return failed_by(sum(found.errors for found in figures.values()), row)
