"""Writes interceptions into a store as the daemon does: `python benchmarks/store_load.py FILE ...`.

A process of its own, with the real `Writer` and its upkeep. It prints one JSON object at its end.
Run by path, with a checkout of aigw in PYTHONPATH: it must run with older ones too, so it fills in
only the fields that their records have, and imports nothing of this package.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from aigw.records import (
    IdSource,
    InterceptionEnd,
    InterceptionStart,
    PromptUsage,
    Record,
    Status,
    TokenUsage,
    ToolResult,
    ToolUsage,
)
from aigw.store.search import index_batch
from aigw.store.writer import Writer
from aigw.tasks import spawn

try:
    from aigw.store.rollup import roll_up
except ImportError:  # a checkout from before there were sums
    roll_up = None  # type: ignore[assignment]

SIDE_BY_SIDE = 64
"""Interceptions that run at a time in a closed loop: as the connections of `small`."""

ANSWER_SECONDS = 0.02
"""How long an answer takes at a given rate."""

AGENTS = 64
STEPS = 20
"""Steps of an agent before another session takes its place."""

_random = random.Random(11)
_WORDS = [f"w{n:x}" for n in range(5_000)]


class _Agent:
    """What one agent asks, step by step: with tools in a named session, or like a chat without."""

    def __init__(self, number: int, with_tools: bool) -> None:
        self._with_tools = with_tools
        self._session = f"load-{time.time_ns()}-{number}" if with_tools else None
        self._call: str | None = None
        self._ids = IdSource()

    def step(self) -> tuple[list[Record], list[Record]]:
        """What is committed before the request goes on, and what before the answer ends."""
        now = time.time_ns() // 1000
        key = self._ids.new(now)
        asked: list[Record] = [
            InterceptionStart(
                interception_id=key, started_at=now, initiator_id="local", provider="anthropic",
                provider_name="anthropic", route="/v1/messages", model="claude-sonnet-4-5",
                client="Claude Code", client_session_id=self._session,
                correlating_tool_call_id=self._call, credential_kind="byok",
                credential_hint="sk-...abcd",
            )
        ]  # fmt: skip
        common: dict[str, Any] = {"interception_id": key, "created_at": now}
        if self._call is not None:
            asked.append(
                ToolResult(
                    id=self._ids.new(now), tool_call_id=self._call, is_error=False, size=400,
                    content=_text(60), **common,
                )
            )  # fmt: skip
        tokens = {"input_tokens": 1_000, "output_tokens": 300, "cache_read_input_tokens": 40_000}
        answered: list[Record] = [
            PromptUsage(id=self._ids.new(now), msg_id="msg_01", prompt=_text(40), **common),
            _made(TokenUsage, id=self._ids.new(now), msg_id="msg_01", cost_micros=12_345,
                  price_source="genai-prices", **tokens, **common),
        ]  # fmt: skip
        if self._with_tools:
            self._call = f"toolu_{_random.getrandbits(96):024x}"
            answered.append(
                ToolUsage(id=self._ids.new(now), msg_id="msg_01", tool_call_id=self._call,
                          tool="Bash", input=json.dumps({"command": _text(8)}), **common)
            )  # fmt: skip
        answered.append(
            _made(InterceptionEnd, interception_id=key, ended_at=now + 20_000,
                  status=Status.COMPLETED, status_code=200, duration_ms=20,
                  time_to_first_byte_ms=10, streaming=True, cost_micros=12_345, **tokens)
        )  # fmt: skip
        return asked, answered


def _text(words: int) -> str:
    return " ".join(_random.choices(_WORDS, k=words))


def _made(kind: type[Any], **fields: Any) -> Record:
    """A record, without the fields that this checkout's does not have."""
    known = {name: value for name, value in fields.items() if name in kind.__struct_fields__}
    made: Record = kind(**known)
    return made


def _agents(with_tools: bool) -> Iterator[_Agent]:
    number = 0
    agents = [_Agent(number, with_tools) for number in range(AGENTS)]
    steps = [_random.randrange(STEPS) for _ in agents]
    while True:
        place = number % AGENTS
        yield agents[place]
        steps[place] += 1
        number += 1
        if steps[place] % STEPS == 0:
            agents[place] = _Agent(number, with_tools)


async def _interception(writer: Writer, agent: _Agent, answer: float) -> float:
    """One interception; returns the seconds that its commits took."""
    asked, answered = agent.step()
    began = time.perf_counter()
    await writer.commit(asked)
    taken = time.perf_counter() - began
    await asyncio.sleep(answer)
    began = time.perf_counter()
    await writer.commit(answered)
    return taken + time.perf_counter() - began


async def closed_loop(writer: Writer, count: int, with_tools: bool) -> dict[str, float]:
    """`count` interceptions, as many as fit each second, and all upkeep that they cause."""
    agents = _agents(with_tools)
    left = count

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await _interception(writer, next(agents), 0.0)

    began, busy = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(SIDE_BY_SIDE)))
    while await writer.call(lambda c: index_batch(c, 1_000)):
        pass
    while roll_up is not None and await writer.call(roll_up):
        pass
    seconds = time.perf_counter() - began
    return {"rate": count / seconds, "cpu": (time.process_time() - busy) / count * 1e6}


async def at_rate(writer: Writer, rate: float, limit: float) -> dict[str, float]:
    """So many interceptions a second until standard input ends, `limit` seconds at most."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(sys.stdin, over.set)
    loop.call_later(limit, over.set)
    agents = _agents(with_tools=True)
    running: set[asyncio.Task[float]] = set()
    commits: list[float] = []

    def done(task: asyncio.Task[float]) -> None:
        running.discard(task)
        commits.append(task.result())

    print("writing", flush=True)
    began = loop.time()
    begun = 0
    while not over.is_set():
        for _ in range(int((loop.time() - began) * rate) - begun):
            task = spawn(f"load-{begun}", _interception(writer, next(agents), ANSWER_SECONDS))
            running.add(task)
            task.add_done_callback(done)
            begun += 1
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), 0.005)
    seconds = loop.time() - began
    within = len(commits)
    await asyncio.gather(*running)
    ordered = sorted(commits)
    return {
        "rate": within / seconds,
        "commit_p50_ms": ordered[len(ordered) // 2] * 1e3 / 2,
        "commit_p99_ms": ordered[len(ordered) * 99 // 100] * 1e3 / 2,
    }


async def _main(arguments: argparse.Namespace) -> None:
    writer = Writer(arguments.file)
    writer.open(time.time_ns() // 1000)
    try:
        if arguments.rate:
            figures = await at_rate(writer, arguments.rate, arguments.seconds)
        else:
            figures = await closed_loop(writer, arguments.count, not arguments.plain)
    finally:
        await writer.close()
    print(json.dumps(figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--plain", action="store_true", help="no tools and no named sessions")
    parser.add_argument("--rate", type=float, default=0.0, help="interceptions a second")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long at the rate at most")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_main(_arguments()))
