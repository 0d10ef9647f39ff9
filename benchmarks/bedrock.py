"""Streams from Amazon Bedrock beside Anthropic's of the same events, through one gateway in turns.

A Messages client's stream is signed for, taken out of its frames and written as server-sent events. A
client of Bedrock's own API gets the frames as they are; that is for information.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.bedrock_payloads import native_workload, translated_workload
from benchmarks.payloads import stream_workload
from benchmarks.recorded import recorded_row
from benchmarks.report import Row, failed_by, share_of_other
from benchmarks.rounds import Entry, Figures, alternate, burst, cpu_note, plan
from benchmarks.servers import Setup
from benchmarks.throughput import STREAM_EVENTS, STREAMS

if TYPE_CHECKING:
    from benchmarks.bench import Bench

PART = "bedrock"
LEAST = 0.50
"""Share of the rate of Anthropic's streams."""

_CONFIG = """
[[providers]]
type = "bedrock"
base_url = "{upstream}"
bedrock_region = "us-east-1"
bedrock_access_key = "AKIAEXAMPLE"
bedrock_access_key_secret = "bench"
"""


async def measure(bench: Bench) -> list[Row]:
    """Both rates beside Anthropic's, and whether all was recorded."""
    workloads = {
        "anthropic": stream_workload("step", STREAM_EVENTS),
        "translated": translated_workload(STREAM_EVENTS),
        "own API": native_workload(STREAM_EVENTS),
    }
    async with bench.serving("aigw", Setup(config=_CONFIG)) as (server, target):
        entries = {
            name: Entry(server, target, workload, STREAMS) for name, workload in workloads.items()
        }
        figures = await alternate(bench, entries)
        translated = entries["translated"]
        figures["translated"].errors += await burst(translated, plan(bench)[1] / 3)
        recorded = await recorded_row(PART, translated.workload, server, target)
    return [
        _row("Bedrock streams as Messages, chunks", figures, "translated", LEAST),
        _row("Bedrock streams in its own API, frames", figures, "own API", None),
        recorded,
    ]


def _row(name: str, figures: dict[str, Figures], which: str, least: float | None) -> Row:
    anthropic, found = figures["anthropic"], figures[which]
    row = share_of_other(
        PART,
        name,
        "chunks/s",
        other=anthropic.rate,
        what="Anthropic's",
        aigw=found.rate,
        least=least,
        note=cpu_note({name: figures[name] for name in ("anthropic", which)}),
    )
    return failed_by(anthropic.errors + found.errors, row)
