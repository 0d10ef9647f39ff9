"""How long the questions about sessions take on the big store while a daemon writes into it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.commands import big_store, has_command, run_times
from benchmarks.machine import pinned
from benchmarks.report import Row, at_most, failed_by, percentile
from benchmarks.servers import ROOT, ServerError
from benchmarks.writing import LOAD, load_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

PART = "sessions"

RATE = 500.0
"""Interceptions a second that are written meanwhile."""

LEAST_RATE = 0.95
"""Share of `RATE` that must have been written: readers must not hold the writer up."""

LOAD_LIMIT = 600.0
"""Seconds after which the writing ends by itself, should this program be killed."""

_COMMANDS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("sessions",), 300),
    (("session", "{session}"), 300),
    (("usage", "--by", "model", "--since", "30d"), 1000),
    (("logs", "-n", "20", "-q", "function w1a2"), 500),
    (("statusline",), 150),
)
"""What is run, and the most that its median may be, in milliseconds."""


async def measure(bench: Bench) -> list[Row]:
    """The times of the commands, whether the writer kept its rate, and the size of the store."""
    return await asyncio.to_thread(_measure, bench)


def _measure(bench: Bench) -> list[Row]:
    kept = big_store(bench)
    # A copy: it is written into, and the kept one is for later runs too.
    with tempfile.TemporaryDirectory(prefix="aigw-bench-") as folder:
        store = Path(folder) / "big.db"
        shutil.copyfile(kept, store)
        with store.open("rb+") as copied:
            # The disk would otherwise still be busy with the copy while commits are timed.
            os.fsync(copied.fileno())
        count, session = _look(store)
        size = _size_row(store, count)
        with _writing(bench, store) as figures:
            rows = [_row(bench, store, session, *command) for command in _COMMANDS]
    return [*rows, _rate_row(figures), size]


def _look(store: Path) -> tuple[int, str]:
    """How many interceptions the store has, and the id of a session in its middle."""
    with contextlib.closing(sqlite3.connect(store)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM interceptions").fetchone()
        (session,) = connection.execute(
            "SELECT s.id FROM interceptions AS i JOIN sessions AS s ON s.seq = i.session_seq"
            " WHERE i.seq >= (SELECT max(seq) / 2 FROM interceptions)"
            " AND i.client_session_id IS NOT NULL ORDER BY i.seq LIMIT 1"
        ).fetchone()
    return count, session


def _row(bench: Bench, store: Path, session: str, command: tuple[str, ...], most: float) -> Row:
    name = f"`aigw {' '.join(command)}`".replace("{session}", "ID")
    if not has_command(command[0]):
        return Row(part=PART, name=name, unit="ms", note="there is no such command yet")
    arguments = [part.replace("{session}", session) for part in command]
    times, failures = run_times([*arguments, "--db", str(store)], 5 if bench.quick else 20)
    note = f"p95 {percentile(times, 95):.0f} ms, worst {max(times):.0f} ms"
    return failed_by(failures, at_most(PART, name, "ms", aigw=median(times), most=most, note=note))


@contextlib.contextmanager
def _writing(bench: Bench, store: Path) -> Iterator[dict[str, float]]:
    """A process that writes at `RATE`; the figures are filled in when it has ended."""
    figures: dict[str, float] = {}
    with pinned(bench.core):
        process = subprocess.Popen(
            [sys.executable, LOAD, store, "--rate", str(RATE), "--seconds", str(LOAD_LIMIT)],
            env=load_environment(ROOT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "writing\n":
            raise ServerError("the process that writes into the store did not start")
        yield figures
        output, _ = process.communicate(timeout=60)
        figures.update(json.loads(output))
    finally:
        process.kill()
        process.wait()


def _rate_row(figures: dict[str, float]) -> Row:
    return Row(
        part=PART,
        name="interceptions written meanwhile",
        unit="/s",
        aigw=figures["rate"],
        target=f">= {LEAST_RATE:.0%} of {RATE:.0f}",
        passed=figures["rate"] >= LEAST_RATE * RATE,
        note=f"a commit: p50 {figures['commit_p50_ms']:.1f} ms, p99 {figures['commit_p99_ms']:.1f} ms",
    )


def _size_row(store: Path, count: int) -> Row:
    size = store.stat().st_size
    return Row(
        part=PART,
        name="bytes of the store per interception",
        unit="bytes",
        aigw=size / count,
        note=f"{count:,} interceptions, {size / 1e6:,.0f} MB, full-text index and links included",
    )
