"""How long the commands take on a store of a million interceptions, files in the page cache."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from aigw.store.schema import SCHEMA_VERSION
from benchmarks.report import Row, at_most, failed_by
from benchmarks.servers import ROOT, clean_environment

if TYPE_CHECKING:
    from benchmarks.bench import Bench

PART = "commands"
INTERCEPTIONS = 1_000_000
QUICK_INTERCEPTIONS = 100_000
BUILD_LIMIT = 1200.0
STORE_AGE_LIMIT = 7 * 86_400.0
"""A built store is used again for so many seconds: its records must lie in the last 30 days."""

_COMMANDS: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("aigw --help", ("--help",), 200),
    ("aigw logs -n 20", ("logs", "-n", "20"), 300),
    ("aigw usage --by day --since 30d", ("usage", "--by", "day", "--since", "30d"), 1000),
    ("aigw usage --by session --since 30d", ("usage", "--by", "session", "--since", "30d"), None),
    (
        "aigw interceptions list --initiator user-3",
        ("interceptions", "list", "--initiator", "user-3"),
        None,
    ),
    ("aigw sessions -q 'function w1a2'", ("sessions", "-q", "function w1a2"), None),
    ("aigw logs -n 20 -q 'function w1a2'", ("logs", "-n", "20", "-q", "function w1a2"), None),
)


async def measure(bench: Bench) -> list[Row]:
    """The median time of each command."""
    store = await asyncio.to_thread(big_store, bench)
    count = QUICK_INTERCEPTIONS if bench.quick else INTERCEPTIONS
    rows: list[Row] = []
    for name, arguments, most in _COMMANDS:
        database = () if "--help" in arguments else ("--db", str(store))
        repeats = 5 if bench.quick else 15
        times, failures = await asyncio.to_thread(run_times, [*arguments, *database], repeats)
        note = f"{count:,} interceptions, worst {max(times):.0f} ms" if database else ""
        row = at_most(PART, f"`{name}`", "ms", aigw=median(times), most=most, note=note)
        rows.append(failed_by(failures, row))
    return rows


def big_store(bench: Bench) -> Path:
    """The big database; built when there is none yet."""
    count = QUICK_INTERCEPTIONS if bench.quick else INTERCEPTIONS
    name = f"aigw-bench-store-{count}-v{SCHEMA_VERSION}.db"
    path = bench.store or Path(tempfile.gettempdir()) / name
    if path.exists() and time.time() - path.stat().st_mtime < STORE_AGE_LIMIT:
        return path
    print(f"building {path} ({count:,} interceptions), kept for later runs", file=sys.stderr)
    subprocess.run(
        [sys.executable, "-m", "benchmarks.build_store", str(path), str(count)],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        timeout=BUILD_LIMIT,
        check=True,
    )
    return path


def run_times(arguments: list[str], repeats: int) -> tuple[list[float], int]:
    """Milliseconds of each run after a first one that fills the page cache, and how many failed."""
    times: list[float] = []
    failures = 0
    for _ in range(repeats + 1):
        started = time.perf_counter()
        done = subprocess.run(
            [*aigw_command(), *arguments],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        times.append((time.perf_counter() - started) * 1000)
        failures += done.returncode != 0 or not done.stdout
    return times[1:], failures


def aigw_command() -> list[str]:
    """How `aigw` is run: as the installed script where there is one, as users do."""
    script = Path(sys.executable).with_name("aigw")
    return [str(script)] if script.exists() else [sys.executable, "-m", "aigw"]


def has_command(name: str) -> bool:
    """Whether this aigw knows a command."""
    done = subprocess.run(
        [*aigw_command(), name, "--help"],
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0
