"""What a view is made of: columns, each with its kind, the SQL it comes from, and a word about it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

EXCERPT = 200
"""Characters of a prompt that a list shows: two lines of a spreadsheet's cell."""


class Kind(StrEnum):
    """What a column holds. All may be NULL."""

    TEXT = "text"
    INTEGER = "integer"
    REAL = "real"
    BOOLEAN = "boolean"
    TIME = "time"
    """RFC 3339 in UTC in a view; microseconds in the store."""
    JSON = "json"
    """A JSON document as text."""


class Column(NamedTuple):
    """A column of a view: `sql` is what it is worked out from."""

    name: str
    kind: Kind
    sql: str
    help: str


class View(NamedTuple):
    """A view: its columns over the tables of `origin`. With `grouping` it has sums."""

    name: str
    help: str
    columns: tuple[Column, ...]
    origin: str
    grouping: str = ""

    def select(self, columns: Sequence[Column] | None = None, *, raw_times: bool = False) -> str:
        """A SELECT without conditions. Raw times are microseconds."""
        chosen = self.columns if columns is None else columns
        names = ", ".join(
            f"{_time(c.sql) if c.kind is Kind.TIME and not raw_times else c.sql} AS {c.name}"
            for c in chosen
        )
        return f"SELECT {names} FROM {self.origin} {self.grouping}"  # noqa: S608 (our own names)


def _time(moment: str) -> str:
    """RFC 3339 of microseconds. The remainder is made positive: times before 1970 count down."""
    rest = f"(({moment} % 1000000 + 1000000) % 1000000)"
    second = f"(({moment} - {rest}) / 1000000)"
    return f"strftime('%Y-%m-%dT%H:%M:%S', {second}, 'unixepoch') || printf('.%06dZ', {rest})"


def columns(kind: Kind, table: str, names: str) -> list[Column]:
    """Columns that are named as in their table."""
    return [Column(n, kind, f"{table}.{n}", HELP.get(n, "")) for n in names.split()]


HELP = {
    "status_code": "HTTP status that the client saw",
    "error_type": "the provider's, or ours, in one word",
    "error_message": "what went wrong",
    "initiator_id": "who made the request",
    "api_key_id": "the gateway key used",
    "provider": "the API's family",
    "provider_name": "the configured provider",
    "route": "path of the API",
    "model": "the model that the provider was asked for",
    "requested_model": "the client's, where a rule replaced it",
    "model_rule": "that rule",
    "client": "the program that asked",
    "client_session_id": "the session as the client names it",
    "agent_id": "the client's name for the agent",
    "parent_agent_id": "the agent that started it",
    "plan": "the subscription that covers it; NULL where tokens are paid for",
    "credential_kind": "centralized, byok or empty",
    "credential_hint": "the credential, masked",
    "served_hint": "the one that served, where another",
    "attempts": "requests sent to the provider",
    "streaming": "whether the answer was streamed",
    "duration_ms": "from the request to the answer's end",
    "time_to_first_byte_ms": "from the request to the answer's first byte",
    "input_tokens": "input that was not cached",
    "cache_read_input_tokens": "input read from the cache",
    "cache_write_input_tokens": "input written to the cache",
    "output_tokens": "output, reasoning included",
    "reasoning_tokens": "output spent on reasoning",
    "unpriced": "token records without a price",
    "estimated": "token records that are estimates",
    "context_window": "the model's, in tokens",
    "metadata": "further facts",
    "msg_id": "the provider's id of the response",
    "tool_call_id": "the provider's id of the call",
    "item_id": "the Responses API's item",
    "tool": "the tool's name",
    "input": "its arguments, JSON text",
    "server_url": "the MCP server",
    "injected": "whether the gateway added the tool",
    "invocation_error": "what the gateway's own call came to",
    "cost_basis": "wire, estimated or unpriced",
    "price_source": "where the price was from",
    "requests": "how many",
    "errors": "failed requests",
    "aborted": "requests that clients broke off",
}
TOKENS = (
    "input_tokens cache_read_input_tokens cache_write_input_tokens output_tokens reasoning_tokens"
)


def cost(micros: str) -> list[Column]:
    """A cost in dollars, and in the exact millionths that `micros` is."""
    return [
        Column("cost_usd", Kind.REAL, f"{micros} / 1e6", "list price in US dollars"),
        Column("cost_micros", Kind.INTEGER, micros, "the same in millionths, exact"),
    ]


def moment_columns(name: str, moment: str, about: str) -> tuple[Column, Column]:
    """A time as text, and as the number to compare and sort by."""
    number = name.removesuffix("_at") + "_us"
    return (
        Column(name, Kind.TIME, moment, about),
        Column(
            number, Kind.INTEGER, moment, f"{name} in microseconds since 1970: quick to filter by"
        ),
    )


SEQ_HELP = "place in the order of writing: quick to sort by"
_STARTED, _STARTED_US = moment_columns("started_at", "i.started_at", "when the request came")
_ENDED, _ENDED_US = moment_columns("ended_at", "i.ended_at", "when the answer ended")
