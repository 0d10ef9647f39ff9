"""A small store with the records a test wants, written by the store's own code."""

from __future__ import annotations

from contextlib import contextmanager
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
from aigw.store.database import open_for_writing
from aigw.store.search import index_batch
from aigw.store.transaction import Transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

NOON = 1_767_268_800_000_000
"""2026-01-01T12:00:00Z."""
SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR


class Store:
    """A database that a test writes to. `connection` is the writing one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection: sqlite3.Connection = open_for_writing(path, "normal")
        self._transaction = Transaction(self.connection)
        self._ids = IdSource()

    def write(self, *records: Record) -> None:
        """Commit the records in one transaction."""
        self._transaction.write(records)

    def index(self) -> int:
        """Bring the full-text index up to date."""
        total = 0
        while found := index_batch(self.connection, 1000):
            total += found
        return total

    def start(self, at: int = NOON, **fields: Any) -> str:
        """Commit an interception's start; returns its id."""
        record = start(self._ids.new(at), at, **fields)
        self.write(record)
        return record.interception_id

    def whole(self, at: int = NOON, *, prompt: str = "hello", **fields: Any) -> str:
        """Commit an interception with a record of every type; returns its id."""
        status = fields.pop("status", Status.COMPLETED)
        first = start(self._ids.new(at), at, **fields)
        key = first.interception_id
        self.write(first, *children(key, at, prompt), end(key, at + SECOND, status=status))
        return key


@contextmanager
def new_store(path: Path) -> Iterator[Store]:
    """A new store, closed at the end."""
    store = Store(path)
    try:
        yield store
    finally:
        store.connection.close()


def start(key: str, at: int = NOON, **fields: Any) -> InterceptionStart:
    """An interception's start, everything set."""
    given: dict[str, Any] = {
        "initiator_id": "local",
        "provider": "anthropic",
        "provider_name": "anthropic",
        "route": "/v1/messages",
        "model": "claude-opus-4-5",
        "client": "Claude Code",
        "client_session_id": "session-1",
        "credential_kind": "byok",
        "credential_hint": "sk-...abcd",
        "metadata": {"request_user_agent": "claude-cli/2", "n": [1, None, "\u00e9"]},
    }
    return InterceptionStart(interception_id=key, started_at=at, **(given | fields))


def end(key: str, at: int, **fields: Any) -> InterceptionEnd:
    """An interception's end."""
    given: dict[str, Any] = {
        "status": Status.COMPLETED,
        "status_code": 200,
        "duration_ms": 1000,
        "time_to_first_byte_ms": 300,
        "streaming": True,
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_read_input_tokens": 30,
        "cache_write_input_tokens": 40,
        "reasoning_tokens": 5,
    }
    return InterceptionEnd(interception_id=key, ended_at=at, **(given | fields))


def prompt(key: str, text: str, at: int = NOON) -> PromptUsage:
    """A prompt."""
    return PromptUsage(
        interception_id=key, created_at=at, id=f"p-{key}", msg_id="msg_1", prompt=text
    )


def children(key: str, at: int, text: str) -> list[Record]:
    """One record of each type that belongs to an interception."""
    return [
        prompt(key, text, at),
        ToolResult(
            interception_id=key,
            created_at=at,
            id="r",
            tool_call_id="call_0",
            is_error=True,
            size=9000,
            content="no such file",
            truncated=True,
            metadata={"k": 1},
        ),
        ModelThought(
            interception_id=key,
            created_at=at,
            id="t",
            content="let me think",
            metadata={"source": "thinking"},
        ),
        ToolUsage(
            interception_id=key,
            created_at=at,
            id="u",
            msg_id="msg_1",
            tool_call_id="call_1",
            tool="Bash",
            input='{"command":"ls"}',
            item_id="fc_1",
            server_url="https://mcp.example",
            injected=True,
            invocation_error="boom",
        ),
        TokenUsage(
            interception_id=key,
            created_at=at,
            id="k",
            msg_id="msg_1",
            input_tokens=10,
            output_tokens=20,
            cache_read_input_tokens=30,
            cache_write_input_tokens=40,
            metadata={"completion_reasoning": 5},
        ),
    ]
