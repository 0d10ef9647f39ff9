"""A record as one line for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aigw.cli.text import clock_time, visible
from aigw.records import (
    RECORD_TYPES,
    InterceptionEnd,
    InterceptionStart,
    ModelThought,
    PromptUsage,
    Record,
    RecordType,
    Status,
    TokenUsage,
    ToolResult,
    ToolUsage,
    record_time,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SHORT_ID = 13
"""Characters of an id shown: the whole millisecond of a UUIDv7. Commands take such a prefix."""

_LOOK: dict[RecordType, tuple[str, str]] = {
    RecordType.INTERCEPTION_START: ("> start", "36"),
    RecordType.INTERCEPTION_END: ("< end", "36"),
    RecordType.TOKEN_USAGE: ("# tokens", "33"),
    RecordType.PROMPT_USAGE: ("? prompt", "1;32"),
    RecordType.TOOL_USAGE: ("$ tool", "35"),
    RecordType.TOOL_RESULT: ("= result", "34"),
    RecordType.MODEL_THOUGHT: ("~ thought", "2"),
}
_FAILURE = "1;31"
_DIM = "2"
_WORD_WIDTH = 9


def line(record: Record, *, width: int | None, colour: bool) -> str:
    """Time, id, type and what matters, on one line; cut to `width` columns when that is given."""
    kind = RECORD_TYPES[type(record)]
    word, code = _LOOK[kind]
    if _is_bad(record):
        code = _FAILURE
    # Much longer text than fits is not even looked at: a prompt can be megabytes.
    limit = None if width is None else 2 * width
    head = f"{clock_time(record_time(record))} {visible(record.interception_id[:SHORT_ID])} "
    label = f"{word:<{_WORD_WIDTH}} "
    content = _CONTENT[type(record)](record, limit)
    if width is not None:
        content = cut(content, width - len(head) - len(label))
    if not colour:
        return f"{head}{label}{content}"
    body = content if kind not in _PAINTED and not _is_bad(record) else paint(content, code)
    return f"{paint(head, _DIM)}{paint(label, code)}{body}"


def paint(text: str, code: str) -> str:
    """Text in an ANSI colour."""
    return f"\x1b[{code}m{text}\x1b[0m"


def cut(text: str, width: int) -> str:
    """At most `width` columns of it, wide characters counted as two."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "\u2026"


_PAINTED = frozenset({RecordType.MODEL_THOUGHT, RecordType.TOKEN_USAGE})


def _is_bad(record: Record) -> bool:
    if isinstance(record, InterceptionEnd):
        return record.status is Status.FAILED
    return isinstance(record, ToolResult) and record.is_error


def _start(record: InterceptionStart, limit: int | None) -> str:
    del limit
    who = f"{record.client or 'unknown client'}, {record.initiator_id}"
    session = f" session {record.client_session_id}" if record.client_session_id else ""
    model = record.model or "no model"
    return visible(f"{model} ({who}) {record.provider_name} {record.route}{session}")


def _end(record: InterceptionEnd, limit: int | None) -> str:
    code = "" if record.status_code is None else f" {record.status_code}"
    first = record.time_to_first_byte_ms
    timing = f"{record.duration_ms} ms" + ("" if first is None else f", first byte {first} ms")
    why = ": ".join(part for part in (record.error_type, record.error_message) if part)
    return visible(f"{record.status.value}{code}, {timing}" + (f", {why[:limit]}" if why else ""))


def _tokens(record: TokenUsage, limit: int | None) -> str:
    del limit
    return (
        f"{record.input_tokens:,} in, {record.cache_read_input_tokens:,} cache read, "
        f"{record.cache_write_input_tokens:,} cache write, {record.output_tokens:,} out"
    )


def _prompt(record: PromptUsage, limit: int | None) -> str:
    return visible(record.prompt[:limit])


def _tool(record: ToolUsage, limit: int | None) -> str:
    failed = f" [failed: {record.invocation_error}]" if record.invocation_error else ""
    return visible(f"{record.tool}{failed} {record.input[:limit]}")


def _result(record: ToolResult, limit: int | None) -> str:
    error = "error, " if record.is_error else ""
    return visible(f"({error}{record.size:,} bytes) {record.content[:limit]}")


def _thought(record: ModelThought, limit: int | None) -> str:
    return visible(record.content[:limit])


_CONTENT: dict[type, Callable[[Any, int | None], str]] = {
    InterceptionStart: _start,
    InterceptionEnd: _end,
    TokenUsage: _tokens,
    PromptUsage: _prompt,
    ToolUsage: _tool,
    ToolResult: _result,
    ModelThought: _thought,
}
