"""Builds a big store for measuring the readers: `python benchmarks/build_store.py FILE [COUNT]`.

COUNT interceptions (1,000,000 unless told) over the 60 days before now, each with one prompt, one
token usage, and on average half a tool call, half a tool result and 0.3 thoughts. Words follow a
Zipf-like distribution, so that the full-text index has common and rare ones.
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
from aigw.store import rows
from aigw.store.schema import migrate
from aigw.store.search import index_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

DAYS = 60
TRANSACTION = 5_000
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


def _tool(key: str, now: int, ids: IdSource) -> Iterator[Record]:
    call = f"toolu_{key[-12:]}"
    result = _text(60)
    yield ToolResult(
        interception_id=key,
        created_at=now,
        id=ids.new(now),
        tool_call_id=call,
        is_error=False,
        size=len(result),
        content=result,
    )
    yield ToolUsage(
        interception_id=key,
        created_at=now,
        id=ids.new(now),
        msg_id="msg_01",
        tool_call_id=call,
        tool="Bash",
        input=f'{{"command":"{_text(10)}"}}',
    )


def _interception(at: int, ids: IdSource) -> Iterator[Record]:
    key = ids.new(at)
    provider, model, route, client = _random.choice(_MODELS)
    yield InterceptionStart(
        interception_id=key,
        started_at=at,
        initiator_id="local",
        provider=provider,
        provider_name=provider,
        route=route,
        model=model,
        client=client,
        client_session_id=f"session-{at // 1_800_000_000}",
        credential_kind="byok",
        credential_hint="sk-...abcd",
        metadata={"request_user_agent": f"{client}/2.1.4 (external, cli)"},
    )
    now = at + 1_000_000
    yield PromptUsage(
        interception_id=key, created_at=now, id=ids.new(now), msg_id="msg_01", prompt=_text(40)
    )
    if _random.random() < 0.5:
        yield from _tool(key, now, ids)
    if _random.random() < 0.3:
        yield ModelThought(
            interception_id=key,
            created_at=now,
            id=ids.new(now),
            content=_text(50),
            metadata={"source": "thinking"},
        )
    tokens: dict[str, Any] = {
        "input_tokens": _random.randrange(3_000),
        "output_tokens": _random.randrange(1_500),
        "cache_read_input_tokens": _random.randrange(90_000),
        "cache_write_input_tokens": _random.randrange(4_000),
    }
    yield TokenUsage(
        interception_id=key, created_at=now, id=ids.new(now), msg_id="msg_01", **tokens
    )
    yield InterceptionEnd(
        interception_id=key,
        ended_at=now,
        status=_random.choice(_STATUSES),
        status_code=200,
        duration_ms=1_000,
        time_to_first_byte_ms=300,
        streaming=True,
        reasoning_tokens=100,
        **tokens,
    )


def _insert(connection: sqlite3.Connection, records: Iterator[Record], seq: int) -> int:
    """Write records of whole interceptions with seqs from `seq` on; returns the next one."""
    tables: dict[str, list[rows.Row]] = {}
    ends: list[rows.Row] = []
    parent = 0
    for record in records:
        if isinstance(record, InterceptionStart):
            parent = seq
            tables.setdefault("interceptions", []).append(rows.start_row(seq, record))
        elif isinstance(record, InterceptionEnd):
            ends.append(rows.end_row(parent, seq, record))
        else:
            table, row = rows.CHILD_ROWS[type(record)]
            tables.setdefault(table, []).append(row(seq, parent, record))
        seq += 1
    for table, values in tables.items():
        rows.insert(connection, table, values)
    rows.close(connection, ends)
    return seq


def build(path: Path, count: int) -> None:
    """Make the database anew."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -200000")
    migrate(connection)
    end = time.time_ns() // 1000
    step = DAYS * 86_400_000_000 // count
    ids = IdSource()
    seq = 1
    for first in range(0, count, TRANSACTION):
        numbers = range(first, min(count, first + TRANSACTION))
        records = (r for n in numbers for r in _interception(end - (count - n) * step, ids))
        connection.execute("BEGIN")
        seq = _insert(connection, records, seq)
        connection.execute("COMMIT")
    connection.execute("INSERT INTO meta VALUES ('next_seq', ?)", (seq,))
    began = time.monotonic()
    indexed = 0
    while found := index_batch(connection, 5_000):
        indexed += found
    taken = time.monotonic() - began
    print(f"{seq - 1} records, {indexed} indexed at {taken / max(indexed, 1) * 1e6:.1f} us each")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
