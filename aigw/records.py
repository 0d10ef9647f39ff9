"""The record types: the vocabulary that every other module speaks.

An *interception* is one request and its answer. It yields records of seven types, named after
the "interception log" contract of Coder's AI Gateway plus one of ours (`tool_result`):

    interception_start   who asked what model, with which client and credential
    interception_end     how it went: status, error, timings
    token_usage          what one provider response cost in tokens
    prompt_usage         the user's last prompt, as sent
    tool_usage           a tool call the model made
    tool_result          what a tool returned, as the client sent it back
    model_thought        reasoning the model showed

Times are integer microseconds since the Unix epoch, UTC; `rfc3339` makes their text form, which is
the only form that leaves the program. A record's JSON form is `log_object`: the structured log, the
`--json` output of `aigw logs` and the tests all use that one function.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

CALL_ID_LIMIT = 512
"""Longest id of a tool call kept as it is, in characters. Those of providers have some 30; proxies put
signatures of kilobytes into theirs, and a client can send megabytes, which would be in every answer."""

LOG_MESSAGE = "interception log"
"""The message of every structured log line: SIEM rules written for Coder's gateway match on it."""


class RecordType(StrEnum):
    """The `record_type` field of a record's JSON form."""

    INTERCEPTION_START = "interception_start"
    INTERCEPTION_END = "interception_end"
    TOKEN_USAGE = "token_usage"  # noqa: S105 (a record type)
    PROMPT_USAGE = "prompt_usage"
    TOOL_USAGE = "tool_usage"
    TOOL_RESULT = "tool_result"
    MODEL_THOUGHT = "model_thought"


class Status(StrEnum):
    """How an interception ended."""

    COMPLETED = "completed"
    """The provider answered in full (a `response.incomplete` included: its reason is the error type)."""
    FAILED = "failed"
    """The provider answered with an error, broke off, or could not be reached."""
    ABORTED = "aborted"
    """The client went away, or the gateway stopped, before the answer was whole."""


class CostBasis(StrEnum):
    """What a token record's cost rests on."""

    WIRE = "wire"
    """The provider counted the tokens."""
    ESTIMATED = "estimated"
    """The answer broke off before the provider counted, or it counts nothing: so many tokens at least."""
    UNPRICED = "unpriced"
    """Nobody knows the model's price. Such a record is never taken as free."""


STOPPED_TYPE = "gateway_stopped"
STOPPED_MESSAGE = "the gateway ended before the answer did"
"""Error type and message of an interception that the gateway cut short, by a stop or a crash."""


class InterceptionStart(msgspec.Struct, gc=False, kw_only=True):
    """The first record of an interception, committed before a byte goes upstream.

    `provider` is the API's family (`openai`, `anthropic`, `copilot`), `provider_name` the configured
    instance, `route` the API path without prefix or query (`/v1/messages`). `model` is the one that
    the provider is asked for; where a rule of the gateway put it in place of the client's, that one
    is `requested_model` and `model_rule` names the rule. `credential_kind` is `centralized`, `byok`
    or empty when no credential was sent; `credential_hint` is masked, of the one tried first.
    `plan` names the subscription that covers the request (`claude`, `chatgpt`, `copilot`), None where
    each token is paid for. `agent_id` is the client's name for the (sub-)agent that asks, and
    `parent_agent_id` for the one that started it; `parent_session_id` is the client's session that
    started this one. They are None where the client does not tell.
    """

    interception_id: str
    started_at: int
    initiator_id: str
    provider: str
    provider_name: str
    route: str
    model: str
    client: str
    api_key_id: str | None = None
    client_session_id: str | None = None
    correlating_tool_call_id: str | None = None
    credential_kind: str = ""
    credential_hint: str = ""
    requested_model: str | None = None
    model_rule: str | None = None
    plan: str | None = None
    agent_id: str | None = None
    parent_agent_id: str | None = None
    parent_session_id: str | None = None
    metadata: dict[str, Any] = {}


class InterceptionEnd(msgspec.Struct, gc=False, kw_only=True):
    """The last record of an interception. `status_code` is the one the client saw (None: none sent).

    `time_to_first_byte_ms` runs from the request's arrival to the first byte of the answer's body.
    The token fields, `cost_micros`, and how many records are `unpriced` and `estimated`, are sums over
    the interception's `token_usage` records, kept here so that reports read one table;
    `context_window` is the model's, in tokens, where it is known. All those are not part of the JSON
    form. `attempts` counts the
    requests sent to the provider, one for each credential tried. `served_hint` is the masked
    credential that the answer was got with, None where it is the one tried first.
    """

    interception_id: str
    ended_at: int
    status: Status
    status_code: int | None = None
    error_type: str | None = None
    error_message: str | None = None
    duration_ms: int = 0
    time_to_first_byte_ms: int | None = None
    streaming: bool = False
    attempts: int = 1
    served_hint: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    reasoning_tokens: int = 0
    cost_micros: int = 0
    unpriced: int = 0
    estimated: int = 0
    context_window: int | None = None


class TokenUsage(msgspec.Struct, gc=False, kw_only=True):
    """Final cumulative token counts of one provider response. `input_tokens` excludes cached input.

    `metadata` holds the further token kinds (`completion_reasoning`, `cache_read_input`, ...).
    `cost_micros` is the list price in millionths of a US dollar, as known when the record was made;
    None where there was no price. `price_source` says where the price was from.
    """

    interception_id: str
    created_at: int
    id: str
    msg_id: str
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    cost_micros: int | None = None
    cost_basis: CostBasis = CostBasis.UNPRICED
    price_source: str = ""
    metadata: dict[str, Any] = {}


class PromptUsage(msgspec.Struct, gc=False, kw_only=True):
    """The last user prompt of a request, markup included. `msg_id` is the response's id, or empty."""

    interception_id: str
    created_at: int
    id: str
    msg_id: str
    prompt: str
    metadata: dict[str, Any] = {}


class ToolUsage(msgspec.Struct, gc=False, kw_only=True):
    """A tool call the model made. `input` is JSON text; `item_id` is the Responses API's item id."""

    interception_id: str
    created_at: int
    id: str
    msg_id: str
    tool_call_id: str
    tool: str
    input: str
    item_id: str = ""
    server_url: str | None = None
    injected: bool = False
    invocation_error: str | None = None
    metadata: dict[str, Any] = {}


class ToolResult(msgspec.Struct, gc=False, kw_only=True):
    """A tool's result as the client sent it back. `size` is the whole result in bytes of UTF-8.

    `content` may be cut short (`truncated`); `tool_call_id` links it to the `tool_usage` record.
    """

    interception_id: str
    created_at: int
    id: str
    tool_call_id: str
    is_error: bool
    size: int
    content: str
    truncated: bool = False
    metadata: dict[str, Any] = {}


class ModelThought(msgspec.Struct, gc=False, kw_only=True):
    """Reasoning the model showed.

    `metadata["source"]` is `thinking`, `reasoning_summary`, `commentary` or `reasoning_content`.
    """

    interception_id: str
    created_at: int
    id: str
    content: str
    metadata: dict[str, Any] = {}


Record: TypeAlias = (
    InterceptionStart
    | InterceptionEnd
    | TokenUsage
    | PromptUsage
    | ToolUsage
    | ToolResult
    | ModelThought
)

RECORD_TYPES: dict[type[msgspec.Struct], RecordType] = {
    InterceptionStart: RecordType.INTERCEPTION_START,
    InterceptionEnd: RecordType.INTERCEPTION_END,
    TokenUsage: RecordType.TOKEN_USAGE,
    PromptUsage: RecordType.PROMPT_USAGE,
    ToolUsage: RecordType.TOOL_USAGE,
    ToolResult: RecordType.TOOL_RESULT,
    ModelThought: RecordType.MODEL_THOUGHT,
}

# What the JSON form leaves out: internal keys and the sums that only reports read.
_NOT_LOGGED = frozenset(
    {
        (InterceptionEnd, "input_tokens"),
        (InterceptionEnd, "output_tokens"),
        (InterceptionEnd, "cache_read_input_tokens"),
        (InterceptionEnd, "cache_write_input_tokens"),
        (InterceptionEnd, "reasoning_tokens"),
        (InterceptionEnd, "cost_micros"),
        (InterceptionEnd, "unpriced"),
        (InterceptionEnd, "estimated"),
        (InterceptionEnd, "context_window"),
        (TokenUsage, "id"),
        (PromptUsage, "id"),
        (ToolUsage, "id"),
        (ToolResult, "id"),
        (ModelThought, "id"),
    }
)
TIME_FIELDS = frozenset({"started_at", "ended_at", "created_at"})
"""The fields that hold a moment."""

_LOGGED_FIELDS: dict[type[msgspec.Struct], tuple[str, ...]] = {
    kind: tuple(f for f in kind.__struct_fields__ if (kind, f) not in _NOT_LOGGED)
    for kind in RECORD_TYPES
}


def logged_fields(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields of a record type that are in its JSON form, in order."""
    return _LOGGED_FIELDS[kind]


def record_time(record: Record) -> int:
    """The moment the record is about, in microseconds."""
    if isinstance(record, InterceptionStart):
        return record.started_at
    if isinstance(record, InterceptionEnd):
        return record.ended_at
    return record.created_at


def log_object(record: Record) -> dict[str, Any]:
    """The record's JSON form: one flat object, the same wherever a record is shown as JSON.

    >>> list(log_object(PromptUsage(interception_id="i", created_at=0, id="", msg_id="m", prompt="hi")))[:4]
    ['time', 'level', 'message', 'record_type']
    """
    kind = type(record)
    result: dict[str, Any] = {
        "time": rfc3339(record_time(record)),
        "level": "info",
        "message": LOG_MESSAGE,
        "record_type": RECORD_TYPES[kind].value,
    }
    for name in _LOGGED_FIELDS[kind]:
        value = getattr(record, name)
        result[name] = rfc3339(value) if name in TIME_FIELDS else value
    return result


def kept_call_id(given: str) -> str:
    """A tool call's id as it is recorded: of a long one the beginning and a digest of all of it.

    A call and its results have the same id then, too.
    """
    if len(given) <= CALL_ID_LIMIT:
        return given
    import hashlib  # noqa: PLC0415 (hardly ever needed)

    digest = hashlib.sha256(given.encode()).hexdigest()
    return f"{given[: CALL_ID_LIMIT - len(digest) - 1]}~{digest}"


def rfc3339(microseconds: int) -> str:
    """RFC 3339 text in UTC with microseconds, as `2026-01-02T03:04:05.000006Z`."""
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{microseconds % 1_000_000:06d}Z"


_LAST_COUNT = 0xFFF
"""The counter of an id has 12 bits."""


class IdSource:
    """Makes UUIDv7 ids (RFC 9562 section 5.7) that never sort before an earlier one of the same source.

    The clock may go backwards: the timestamp part then stands still and a 12-bit counter in
    `rand_a` (section 6.2, method 1) keeps the order. Not safe to share between threads.
    """

    def __init__(self) -> None:
        self._milliseconds = -1
        self._counter = 0
        self._head = ""
        self._tails: Iterator[str] = iter(())

    def new(self, now: int) -> str:
        """A new id for the moment `now` (microseconds since the epoch), in its text form."""
        milliseconds = now // 1000
        if milliseconds > self._milliseconds:
            self._begin(milliseconds)
        elif self._counter == _LAST_COUNT:
            self._begin(self._milliseconds + 1)
        else:
            self._counter += 1
        tail = next(self._tails, None) or self._more_tails()
        return f"{self._head}{self._counter:03x}-{tail}"

    def _begin(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds
        self._counter = 0
        text = f"{milliseconds:012x}"
        self._head = f"{text[:8]}-{text[8:]}-7"

    def _more_tails(self) -> str:
        # The system's randomness is asked for in blocks: a call per id would cost more than the
        # rest of the id.
        block = os.urandom(4096).hex()
        parts = (block[start : start + 16] for start in range(0, len(block), 16))
        self._tails = (f"{'89ab'[int(part[0], 16) & 3]}{part[1:4]}-{part[4:]}" for part in parts)
        return next(self._tails)
