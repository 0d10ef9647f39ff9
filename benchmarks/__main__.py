"""`python -m benchmarks [--quick] [--only PART]... [--against DIR] [--json] [--store FILE]`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import (
    bedrock,
    commands,
    control,
    latency,
    memory,
    sessions,
    slow_streams,
    throughput,
    writing,
)
from benchmarks.bench import Bench
from benchmarks.machine import OtherWork, cores, pin, raise_file_limit, run
from benchmarks.report import Row, show_json, show_table
from benchmarks.servers import ServerError
from benchmarks.upstream import Upstream

Part = Callable[[Bench], Awaitable[list[Row]]]

PARTS: dict[str, Part] = {
    **{case.part: partial(throughput.measure, case=case) for case in throughput.CASES},
    control.PART: control.measure,
    bedrock.PART: bedrock.measure,
    "latency": latency.measure,
    slow_streams.PART: slow_streams.measure,
    "memory": memory.measure,
    writing.PART: writing.measure,
    commands.PART: commands.measure,
    sessions.PART: sessions.measure,
}

PART_LIMIT = 1500.0
"""Seconds a part may take: building the big store once may need 20 minutes of it on a slow machine."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short rounds, about a minute in all")
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART",
                        help=f"measure only this; repeatable: {', '.join(PARTS)}")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--store", type=Path, help="the big database of `commands` and `sessions`, built if absent"
    )
    parser.add_argument("--against", type=Path, metavar="DIR",
                        help="another checkout of aigw to compare with in the throughput parts and `writing`")  # fmt: skip
    return parser.parse_args()


async def _measure(arguments: argparse.Namespace, core: int | None) -> list[Row]:
    upstream = Upstream()
    against = arguments.against.resolve() if arguments.against else None
    bench = Bench(upstream, await upstream.start(), core, arguments.quick, arguments.store, against)
    rows: list[Row] = []
    for name in arguments.only or PARTS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        noise = OtherWork(core)
        measured = await _part(name, bench)
        # The commands run on the load's core.
        other = None if core is None or name in {commands.PART, sessions.PART} else noise.share()
        rows += [replace(row, other_work=other) for row in measured]
    await upstream.stop()
    return rows


async def _part(name: str, bench: Bench) -> list[Row]:
    try:
        async with asyncio.timeout(PART_LIMIT):
            return await PARTS[name](bench)
    except TimeoutError:
        return [_unmeasured(name, f"took more than {PART_LIMIT:.0f} s")]
    except ServerError as error:
        print(error, file=sys.stderr)
        return [_unmeasured(name, "the server did not start")]


def _unmeasured(name: str, why: str) -> Row:
    return Row(part=name, name=name, unit="", passed=False, note=why)


def main() -> int:
    """Measure and report; 1 when a target was missed."""
    arguments = _arguments()
    pair = cores()
    if pair is None:
        print("cannot give each side a core of its own here: figures will vary", file=sys.stderr)
    else:
        pin(pair[1])
    raise_file_limit()
    rows = run(_measure(arguments, pair[0] if pair else None))
    (show_json if arguments.json else show_table)(rows)
    return int(any(row.passed is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
