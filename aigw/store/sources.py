"""Where each record type lives, and how its rows become records again.

The opposite of `rows`: a record read back gives exactly the `log_object` that it was written with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from aigw.records import (
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
)
from aigw.store.rows import Row

_decode = msgspec.json.Decoder().decode


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One record type in the store.

    `seq` and `time` are its columns for commit order and record time; `columns` are what `make`
    turns into a record, the interception's id first. The table's alias is `t`, that of
    `interceptions` is `i` (the same one where the record lives in that table itself).
    """

    kind: RecordType
    table: str
    seq: str
    time: str
    columns: str
    make: Callable[[Row], Record]

    @property
    def is_child(self) -> bool:
        """Whether the rows belong to an interception, and are not its own."""
        return self.table != "interceptions"


def _metadata(text: str) -> dict[str, Any]:
    if text == "{}":
        return {}
    found = _decode(text)
    return found if isinstance(found, dict) else {}


def _start(row: Row) -> InterceptionStart:
    return InterceptionStart(
        interception_id=row[0],
        started_at=row[1],
        initiator_id=row[2],
        api_key_id=row[3],
        provider=row[4],
        provider_name=row[5],
        route=row[6],
        model=row[7],
        client=row[8],
        client_session_id=row[9],
        correlating_tool_call_id=row[10],
        credential_kind=row[11],
        credential_hint=row[12],
        requested_model=row[13],
        model_rule=row[14],
        plan=row[15],
        agent_id=row[16],
        parent_agent_id=row[17],
        parent_session_id=row[18],
        metadata=_metadata(row[19]),
    )


def _end(row: Row) -> InterceptionEnd:
    return InterceptionEnd(
        interception_id=row[0],
        ended_at=row[1],
        status=Status(row[2]),
        status_code=row[3],
        error_type=row[4],
        error_message=row[5],
        duration_ms=row[6] or 0,
        time_to_first_byte_ms=row[7],
        streaming=bool(row[8]),
        attempts=row[9],
        served_hint=row[10],
        input_tokens=row[11] or 0,
        output_tokens=row[12] or 0,
        cache_read_input_tokens=row[13] or 0,
        cache_write_input_tokens=row[14] or 0,
        reasoning_tokens=row[15] or 0,
        cost_micros=row[16] or 0,
        unpriced=row[17] or 0,
        estimated=row[18] or 0,
        context_window=row[19],
    )


def _token_usage(row: Row) -> TokenUsage:
    return TokenUsage(
        interception_id=row[0],
        id=row[1],
        created_at=row[2],
        msg_id=row[3],
        input_tokens=row[4],
        output_tokens=row[5],
        cache_read_input_tokens=row[6],
        cache_write_input_tokens=row[7],
        cost_micros=row[8],
        cost_basis=CostBasis(row[9]),
        price_source=row[10],
        metadata=_metadata(row[11]),
    )


def _prompt(row: Row) -> PromptUsage:
    return PromptUsage(
        interception_id=row[0],
        id=row[1],
        created_at=row[2],
        msg_id=row[3],
        prompt=row[4],
        metadata=_metadata(row[5]),
    )


def _tool_usage(row: Row) -> ToolUsage:
    return ToolUsage(
        interception_id=row[0],
        id=row[1],
        created_at=row[2],
        msg_id=row[3],
        tool_call_id=row[4],
        item_id=row[5],
        tool=row[6],
        input=row[7],
        server_url=row[8],
        injected=bool(row[9]),
        invocation_error=row[10],
        metadata=_metadata(row[11]),
    )


def _tool_result(row: Row) -> ToolResult:
    return ToolResult(
        interception_id=row[0],
        id=row[1],
        created_at=row[2],
        tool_call_id=row[3],
        is_error=bool(row[4]),
        size=row[5],
        content=row[6],
        truncated=bool(row[7]),
        metadata=_metadata(row[8]),
    )


def _thought(row: Row) -> ModelThought:
    return ModelThought(
        interception_id=row[0],
        id=row[1],
        created_at=row[2],
        content=row[3],
        metadata=_metadata(row[4]),
    )


def _child(kind: RecordType, table: str, columns: str, make: Callable[[Row], Record]) -> Source:
    names = ", ".join(f"t.{name}" for name in columns.split())
    return Source(
        kind=kind,
        table=table,
        seq="t.seq",
        time="t.created_at",
        columns=f"i.id, t.id, t.created_at, {names}, t.metadata",
        make=make,
    )


SOURCES: tuple[Source, ...] = (
    Source(
        kind=RecordType.INTERCEPTION_START,
        table="interceptions",
        seq="i.seq",
        time="i.started_at",
        columns="i.id, i.started_at, i.initiator_id, i.api_key_id, i.provider, i.provider_name,"
        " i.route, i.model, i.client, i.client_session_id, i.correlating_tool_call_id,"
        " i.credential_kind, i.credential_hint, i.requested_model, i.model_rule, i.plan, i.agent_id,"
        " i.parent_agent_id, i.parent_session_id, i.metadata",
        make=_start,
    ),
    _child(RecordType.PROMPT_USAGE, "user_prompts", "msg_id prompt", _prompt),
    _child(
        RecordType.TOOL_RESULT,
        "tool_results",
        "tool_call_id is_error size content truncated",
        _tool_result,
    ),
    _child(RecordType.MODEL_THOUGHT, "model_thoughts", "content", _thought),
    _child(
        RecordType.TOOL_USAGE,
        "tool_usages",
        "msg_id tool_call_id item_id tool input server_url injected invocation_error",
        _tool_usage,
    ),
    _child(
        RecordType.TOKEN_USAGE,
        "token_usages",
        "msg_id input_tokens output_tokens cache_read_input_tokens cache_write_input_tokens"
        " cost_micros cost_basis price_source",
        _token_usage,
    ),
    Source(
        kind=RecordType.INTERCEPTION_END,
        table="interceptions",
        seq="i.end_seq",
        time="i.ended_at",
        columns="i.id, i.ended_at, i.status, i.status_code, i.error_type, i.error_message,"
        " i.duration_ms, i.time_to_first_byte_ms, i.streaming, i.attempts, i.served_hint,"
        " i.input_tokens, i.output_tokens,"
        " i.cache_read_input_tokens, i.cache_write_input_tokens, i.reasoning_tokens,"
        " i.cost_micros, i.unpriced, i.estimated, i.context_window",
        make=_end,
    ),
)
"""In the order in which an interception's records usually come."""
