"""A record as one line for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aigw.cli.money import FINE, dollars
from aigw.cli.text import clock_time, visible
from aigw.records import (
    RECORD_TYPES,
    CostBasis,
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

    from aigw.cli.highlight import Highlighter

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


def line(
    record: Record, *, width: int | None, colour: bool, matches: Highlighter | None = None
) -> str:
    """Time, id, type and what matters, on one line; cut to `width` columns when that is given.

    With `matches` and colour, what was searched for is bold, and the line shows the first of it.
    """
    kind = RECORD_TYPES[type(record)]
    word, code = _LOOK[kind]
    if _is_bad(record):
        code = _FAILURE
    # Much longer text than fits is not even looked at: a prompt can be megabytes.
    limit = None if width is None else 2 * width
    head = f"{clock_time(record_time(record))} {visible(record.interception_id[:SHORT_ID])} "
    label = f"{word:<{_WORD_WIDTH}} "
    room = None if width is None else width - len(head) - len(label)
    style = code if kind in _PAINTED or _is_bad(record) else ""
    if colour and matches is not None and kind in _TEXT:
        lead, text = _TEXT[kind](record)
        body = _highlighted(lead, text, room, style, matches)
        return f"{paint(head, _DIM)}{paint(label, code)}{body}"
    content = _CONTENT[type(record)](record, limit)
    if room is not None:
        content = cut(content, room)
    if not colour:
        return f"{head}{label}{content}"
    return f"{paint(head, _DIM)}{paint(label, code)}{paint(content, style) if style else content}"


def _highlighted(lead: str, text: str, room: int | None, style: str, matches: Highlighter) -> str:
    from aigw.cli.highlight import Piece, shown

    lead = visible(lead)
    if room is None:
        return shown([Piece(lead, False), *matches.pieces(text)], style)
    lead = cut(lead, room)
    left = room - len(lead)
    pieces = [Piece(lead, False)]
    for piece in matches.excerpt(text, max(1, left)):
        shortened = cut(visible(piece.text), left)
        pieces.append(Piece(shortened, piece.is_match))
        left -= _width(shortened)
        if left <= 0 or shortened != visible(piece.text):
            break
    return shown(pieces, style)


def paint(text: str, code: str) -> str:
    """Text in an ANSI colour."""
    return f"\x1b[{code}m{text}\x1b[0m"


def cut(text: str, width: int) -> str:
    """At most `width` columns of it, wide characters counted as two."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "\u2026"


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


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
    cost = f", {dollars(record.cost_micros, FINE)}" if record.cost_micros else ""
    return visible(
        f"{record.status.value}{code}, {timing}{cost}" + (f", {why[:limit]}" if why else "")
    )


def _tokens(record: TokenUsage, limit: int | None) -> str:
    del limit
    return (
        f"{record.input_tokens:,} in, {record.cache_read_input_tokens:,} cache read, "
        f"{record.cache_write_input_tokens:,} cache write, {record.output_tokens:,} out, "
        f"{cost_text(record.cost_micros, record.cost_basis)}"
    )


def cost_text(micros: int | None, basis: CostBasis) -> str:
    """What a token record cost, `~` where that is estimated."""
    if micros is None or basis is CostBasis.UNPRICED:
        return "no price"
    mark = "~" if basis is CostBasis.ESTIMATED else ""
    return f"{mark}{dollars(micros, FINE)}"


def _prompt(record: PromptUsage) -> tuple[str, str]:
    return "", record.prompt


def _tool(record: ToolUsage) -> tuple[str, str]:
    failed = f" [failed: {record.invocation_error}]" if record.invocation_error else ""
    return f"{record.tool}{failed} ", record.input


def _result(record: ToolResult) -> tuple[str, str]:
    error = "error, " if record.is_error else ""
    return f"({error}{record.size:,} bytes) ", record.content


def _thought(record: ModelThought) -> tuple[str, str]:
    return "", record.content


_TEXT: dict[RecordType, Callable[[Any], tuple[str, str]]] = {
    RecordType.PROMPT_USAGE: _prompt,
    RecordType.TOOL_USAGE: _tool,
    RecordType.TOOL_RESULT: _result,
    RecordType.MODEL_THOUGHT: _thought,
}
"""Of records with a text that is searched: what stands before it, and the text."""


def _with_text(record: Record, limit: int | None) -> str:
    lead, text = _TEXT[RECORD_TYPES[type(record)]](record)
    return visible(f"{lead}{text[:limit]}")


_CONTENT: dict[type, Callable[[Any, int | None], str]] = {
    InterceptionStart: _start,
    InterceptionEnd: _end,
    TokenUsage: _tokens,
    PromptUsage: _with_text,
    ToolUsage: _with_text,
    ToolResult: _with_text,
    ModelThought: _with_text,
}
