"""Records as rows: which table, which columns, and statements that write many rows at once.

A statement with many rows costs one step of SQLite, and so one release of the interpreter lock,
where `executemany` costs one per row: under load the writer and the event loop then wait for each
other far less.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import msgspec

from aigw.records import (
    InterceptionEnd,
    InterceptionStart,
    ModelThought,
    PromptUsage,
    Record,
    TokenUsage,
    ToolResult,
    ToolUsage,
)

Row: TypeAlias = tuple[Any, ...]

_encode = msgspec.json.Encoder().encode

ROWS_PER_STATEMENT = 32
"""Bounds the prepared statements kept (one per table and count) and stays far below SQLite's
limit of bound variables (32,766 since 3.32)."""

_CHILD = "seq, interception_seq, id, created_at"
COLUMNS: dict[str, str] = {
    "interceptions": (
        "seq, id, started_at, initiator_id, api_key_id, provider, provider_name, route, model, client,"
        " client_session_id, correlating_tool_call_id, credential_kind, credential_hint,"
        " requested_model, model_rule, plan, agent_id, parent_agent_id, parent_session_id, metadata,"
        " session_seq, thread_seq, parent_seq"
    ),
    "token_usages": (
        f"{_CHILD}, msg_id, input_tokens, output_tokens, cache_read_input_tokens,"
        " cache_write_input_tokens, cost_micros, cost_basis, price_source, metadata"
    ),
    "user_prompts": f"{_CHILD}, msg_id, prompt, metadata",
    "tool_usages": (
        f"{_CHILD}, msg_id, tool_call_id, item_id, tool, input, server_url, injected,"
        " invocation_error, metadata"
    ),
    "tool_results": f"{_CHILD}, tool_call_id, is_error, size, content, truncated, metadata",
    "model_thoughts": f"{_CHILD}, content, metadata",
}
_END_COLUMNS = (
    "end_seq",
    "ended_at",
    "status",
    "status_code",
    "error_type",
    "error_message",
    "duration_ms",
    "time_to_first_byte_ms",
    "streaming",
    "attempts",
    "served_hint",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_tokens",
    "cost_micros",
    "unpriced",
    "estimated",
    "context_window",
)


def _json(metadata: dict[str, Any]) -> str:
    return _encode(metadata).decode() if metadata else "{}"


class Place(NamedTuple):
    """Where an interception stands: its session, the root of its thread, and its parent there."""

    session_seq: int
    thread_seq: int
    parent_seq: int | None = None


def start_row(seq: int, r: InterceptionStart, place: Place) -> Row:
    """A row of `interceptions`, its end still open."""
    return (
        seq, r.interception_id, r.started_at, r.initiator_id, r.api_key_id, r.provider,
        r.provider_name, r.route, r.model, r.client, r.client_session_id,
        r.correlating_tool_call_id, r.credential_kind, r.credential_hint, r.requested_model,
        r.model_rule, r.plan, r.agent_id, r.parent_agent_id, r.parent_session_id, _json(r.metadata),
        *place,
    )  # fmt: skip


def end_row(interception_seq: int, seq: int, r: InterceptionEnd) -> Row:
    """The values that close a row of `interceptions`, its key first."""
    return (
        interception_seq, seq, r.ended_at, r.status.value, r.status_code, r.error_type,
        r.error_message, r.duration_ms, r.time_to_first_byte_ms, r.streaming, r.attempts,
        r.served_hint, r.input_tokens, r.output_tokens, r.cache_read_input_tokens,
        r.cache_write_input_tokens, r.reasoning_tokens, r.cost_micros, r.unpriced, r.estimated,
        r.context_window,
    )  # fmt: skip


def _token_usage(seq: int, parent: int, r: TokenUsage) -> Row:
    return (
        seq, parent, r.id, r.created_at, r.msg_id, r.input_tokens, r.output_tokens,
        r.cache_read_input_tokens, r.cache_write_input_tokens, r.cost_micros, r.cost_basis.value,
        r.price_source, _json(r.metadata),
    )  # fmt: skip


def _prompt(seq: int, parent: int, r: PromptUsage) -> Row:
    return (seq, parent, r.id, r.created_at, r.msg_id, r.prompt, _json(r.metadata))


def _tool_usage(seq: int, parent: int, r: ToolUsage) -> Row:
    return (
        seq, parent, r.id, r.created_at, r.msg_id, r.tool_call_id, r.item_id, r.tool, r.input,
        r.server_url, r.injected, r.invocation_error, _json(r.metadata),
    )  # fmt: skip


def _tool_result(seq: int, parent: int, r: ToolResult) -> Row:
    return (
        seq, parent, r.id, r.created_at, r.tool_call_id, r.is_error, r.size, r.content,
        r.truncated, _json(r.metadata),
    )  # fmt: skip


def _thought(seq: int, parent: int, r: ModelThought) -> Row:
    return (seq, parent, r.id, r.created_at, r.content, _json(r.metadata))


CHILD_ROWS: dict[type[Record], tuple[str, Callable[[int, int, Any], Row]]] = {
    TokenUsage: ("token_usages", _token_usage),
    PromptUsage: ("user_prompts", _prompt),
    ToolUsage: ("tool_usages", _tool_usage),
    ToolResult: ("tool_results", _tool_result),
    ModelThought: ("model_thoughts", _thought),
}
"""Table and row of each record that belongs to an interception: called with (seq, parent, record)."""


_INSERT = {
    table: f"INSERT INTO {table} ({columns}) VALUES {{rows}}"  # noqa: S608
    for table, columns in COLUMNS.items()
}

# VALUES as a table names its columns column1, column2, ...
_CLOSE = (
    "UPDATE interceptions SET "  # noqa: S608
    + ", ".join(f"{c} = v.column{i}" for i, c in enumerate(_END_COLUMNS, start=2))
    + " FROM (VALUES {rows}) AS v WHERE seq = v.column1"
)


def insert(connection: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    """Write rows of one table."""
    execute_with_rows(connection, _INSERT[table], rows)


def close(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Write the ends of interceptions: rows of `end_row`."""
    execute_with_rows(connection, _CLOSE, rows)


def execute_with_rows(
    connection: sqlite3.Connection, statement: str, rows: Sequence[Row]
) -> list[Row]:
    """Run a statement that has `{rows}` after its VALUES, for so many at once; returns what it finds."""
    found: list[Row] = []
    for first in range(0, len(rows), ROWS_PER_STATEMENT):
        part = rows[first : first + ROWS_PER_STATEMENT]
        text = _with_rows(statement, len(part), len(part[0]))
        found += connection.execute(text, [value for row in part for value in row])
    return found


@cache
def _with_rows(statement: str, count: int, width: int) -> str:
    row = "(" + ",".join("?" * width) + ")"
    return statement.replace("{rows}", ",".join([row] * count))
