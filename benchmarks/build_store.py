"""Builds a big store for measuring the readers: `python benchmarks/build_store.py FILE [COUNT]`.

COUNT interceptions (1,000,000 unless told) over the 60 days before now, in sessions of twenty: agents
that run side by side, each with four prompts of five steps. A step has one token usage and 0.3
thoughts on average, brings the result of the call before it, and but for the last makes a call. A tenth
of the agents does not tell its session, so that each of its prompts is one. Words follow a Zipf-like
distribution, so that the full-text index has common and rare ones. All is written by the store's own
transactions, so it is linked and summed up as the daemon does it.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import time
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigw.records import (
    CostBasis,
    IdSource,
    InterceptionEnd,
    InterceptionStart,
    ModelThought,
    PromptUsage,
    Record,
    Status,
    TokenUsage,
    ToolResult,
    ToolUsage,
)
from aigw.store.rollup import roll_up
from aigw.store.schema import migrate
from aigw.store.search import index_batch, merge_step
from aigw.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

DAYS = 60
TRANSACTION = 1_000
"""Interceptions in one transaction."""

_random = random.Random(7)
_WORDS = [f"w{n:x}" for n in range(20_000)]
_WORDS[:8] = ["the", "file", "test", "function", "error", "fix", "please", "return"]
_WEIGHTS = list(accumulate(1 / (n + 3) for n in range(len(_WORDS))))
_POOL = _random.choices(_WORDS, cum_weights=_WEIGHTS, k=1_000_000)
_MODELS = (
    ("anthropic", "claude-opus-4-5", "/v1/messages", "Claude Code"),
    ("anthropic", "claude-sonnet-4-5", "/v1/messages", "Claude Code"),
    ("anthropic", "claude-haiku-4-5", "/v1/messages", "Claude Code"),
    ("openai", "gpt-5.1-codex", "/v1/responses", "Codex"),
    ("openai", "gpt-5.1", "/v1/chat/completions", "Zed"),
)
_STATUSES = [Status.COMPLETED] * 96 + [Status.FAILED] * 3 + [Status.ABORTED]


def _text(words: int) -> str:
    first = _random.randrange(len(_POOL) - words)
    return " ".join(_POOL[first : first + words])


STEPS = 5
PROMPTS = 4
SIDE_BY_SIDE = 40
"""Agents that run at a time."""


class Agent:
    """One session, step by step."""

    def __init__(self, number: int) -> None:
        self.model = _random.choice(_MODELS)
        self.user = f"user-{_random.randrange(20)}"
        self.session = None if number % 10 == 0 else f"session-{number}"
        self.left = STEPS * PROMPTS
        self.call: str | None = None

    def step(self, at: int, ids: IdSource) -> list[Record]:
        """The records of the next interception."""
        key = ids.new(at)
        provider, model, route, client = self.model
        first = self.left % STEPS == 0
        call, self.call = self.call, None
        self.left -= 1
        if self.left % STEPS:
            self.call = f"toolu_{_random.getrandbits(96):024x}"
        now = at + 1_000_000
        start = InterceptionStart(
            interception_id=key,
            started_at=at,
            initiator_id=self.user,
            provider=provider,
            provider_name=provider,
            route=route,
            model=model,
            client=client,
            client_session_id=self.session,
            correlating_tool_call_id=call,
            credential_kind="byok",
            credential_hint="sk-...abcd",
            metadata={"request_user_agent": f"{client}/2.1.4 (external, cli)"},
        )
        child: dict[str, Any] = {"interception_id": key, "created_at": now}
        found: list[Record] = [start]
        if call is not None:
            text = _text(60)
            found.append(
                ToolResult(
                    id=ids.new(at), tool_call_id=call, is_error=False, size=len(text), content=text,
                    **child,
                )
            )  # fmt: skip
        if first:
            found.append(PromptUsage(id=ids.new(now), msg_id="msg_01", prompt=_text(40), **child))
        if self.call is not None:
            command = f'{{"command":"{_text(10)}"}}'
            found.append(
                ToolUsage(
                    id=ids.new(now), msg_id="msg_01", tool_call_id=self.call, tool="Bash",
                    input=command, **child,
                )
            )  # fmt: skip
        if _random.random() < 0.3:
            source = {"source": "thinking"}
            found.append(ModelThought(id=ids.new(now), content=_text(50), metadata=source, **child))
        return [*found, *_ending(key, now, ids)]


def _ending(key: str, now: int, ids: IdSource) -> list[Record]:
    tokens: dict[str, Any] = {
        "input_tokens": _random.randrange(3_000),
        "output_tokens": _random.randrange(1_500),
        "cache_read_input_tokens": _random.randrange(90_000),
        "cache_write_input_tokens": _random.randrange(4_000),
    }
    cost = _random.randrange(200_000)
    usage = TokenUsage(
        interception_id=key, created_at=now, id=ids.new(now), msg_id="msg_01", cost_micros=cost,
        cost_basis=CostBasis.WIRE, price_source="genai-prices", **tokens,
    )  # fmt: skip
    end = InterceptionEnd(
        interception_id=key,
        ended_at=now,
        status=_random.choice(_STATUSES),
        status_code=200,
        duration_ms=1_000,
        time_to_first_byte_ms=300,
        streaming=True,
        reasoning_tokens=100,
        cost_micros=cost,
        context_window=200_000,
        **tokens,
    )
    return [usage, end]


def _interceptions(count: int, end: int, ids: IdSource) -> Iterator[list[Record]]:
    """`count` interceptions, evenly over the days before `end` (microseconds)."""
    step = DAYS * 86_400_000_000 // count
    agents = [Agent(number) for number in range(SIDE_BY_SIDE)]
    # Begun at different steps, so that not all sessions end together.
    for agent in agents:
        agent.left = _random.randrange(1, PROMPTS + 1) * STEPS
    made = SIDE_BY_SIDE
    for number in range(count):
        place = _random.randrange(SIDE_BY_SIDE)
        yield agents[place].step(end - (count - number) * step, ids)
        if agents[place].left == 0:
            agents[place] = Agent(made)
            made += 1


def build(path: Path, count: int) -> None:
    """Make the database anew."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -200000")
    migrate(connection)
    transaction = Transaction(connection)
    began = time.monotonic()
    batch: list[Record] = []
    for number, records in enumerate(_interceptions(count, time.time_ns() // 1000, IdSource()), 1):
        batch += records
        if number % TRANSACTION == 0 or number == count:
            transaction.write(batch)
            batch = []
    print(f"{count} written at {(time.monotonic() - began) / count * 1e6:.1f} us each")
    began = time.monotonic()
    while roll_up(connection, 100_000):
        pass
    print(f"rolled up at {(time.monotonic() - began) / count * 1e6:.1f} us each")
    began = time.monotonic()
    indexed = 0
    while found := index_batch(connection, 5_000):
        indexed += found
    # As the daemon's upkeep does it between two batches.
    while merge_step(connection):
        pass
    taken = time.monotonic() - began
    print(
        f"{transaction.records_written} records, {indexed} indexed at {taken / max(indexed, 1) * 1e6:.1f} us each"
    )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
