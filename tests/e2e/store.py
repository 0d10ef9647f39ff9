"""The store as a test reads it: straight from the tables, in the JSON form of the records.

Written apart from the gateway's own reader, so that each checks the other.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JsonObject = dict[str, Any]

_START = (
    "started_at initiator_id provider provider_name route model client api_key_id "
    "client_session_id correlating_tool_call_id credential_kind credential_hint "
    "requested_model model_rule plan agent_id parent_agent_id parent_session_id metadata"
)
_END = (
    "ended_at status status_code error_type error_message duration_ms "
    "time_to_first_byte_ms streaming attempts served_hint"
)
_CHILDREN = {
    "token_usages": (
        "token_usage",
        (
            "created_at msg_id input_tokens output_tokens cache_read_input_tokens "
            "cache_write_input_tokens cost_micros cost_basis price_source metadata"
        ),
    ),
    "user_prompts": ("prompt_usage", "created_at msg_id prompt metadata"),
    "tool_usages": (
        "tool_usage",
        (
            "created_at msg_id tool_call_id tool input item_id server_url injected "
            "invocation_error metadata"
        ),
    ),
    "tool_results": (
        "tool_result",
        "created_at tool_call_id is_error size content truncated metadata",
    ),
    "model_thoughts": ("model_thought", "created_at content metadata"),
}
_BOOLEANS = frozenset({"streaming", "injected", "is_error", "truncated"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Interception:
    """All records of one interception, in their JSON form."""

    start: JsonObject
    end: JsonObject | None = None
    token_usages: list[JsonObject] = field(default_factory=list)
    prompts: list[JsonObject] = field(default_factory=list)
    tool_usages: list[JsonObject] = field(default_factory=list)
    tool_results: list[JsonObject] = field(default_factory=list)
    thoughts: list[JsonObject] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The interception's id."""
        result: str = self.start["interception_id"]
        return result

    @property
    def ended(self) -> JsonObject:
        """Its end, which must exist."""
        assert self.end is not None, f"{self.start['model']} has not ended"
        return self.end

    @property
    def status(self) -> str:
        """How it ended; "running" while it has not."""
        return "running" if self.end is None else self.end["status"]


def read_records(database: Path, after: int = 0) -> list[JsonObject]:
    """All records in commit order; with `after`, those of interceptions begun after that number."""
    uri = f"{database.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        rows = sorted(_rows(connection, after), key=lambda row: row[0])
    return [record for _, record in rows]


def last_number(database: Path) -> int:
    """The number of the interception begun last."""
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        return connection.execute("SELECT max(seq) FROM interceptions").fetchone()[0] or 0


def read_interceptions(database: Path, after: int = 0) -> list[Interception]:
    """All interceptions with their records, oldest first; `after` as in `read_records`."""
    found: dict[str, Interception] = {}
    lists = {
        "token_usage": "token_usages",
        "prompt_usage": "prompts",
        "tool_usage": "tool_usages",
        "tool_result": "tool_results",
        "model_thought": "thoughts",
    }
    for record in read_records(database, after):
        identity, kind = record["interception_id"], record["record_type"]
        if kind == "interception_start":
            found[identity] = Interception(record)
        elif kind == "interception_end":
            found[identity].end = record
        else:
            getattr(found[identity], lists[kind]).append(record)
    return list(found.values())


def _rows(connection: sqlite3.Connection, after: int) -> Iterator[tuple[int, JsonObject]]:
    # One transaction, so that no interception is seen without what was committed with it.
    connection.execute("BEGIN")
    ids: dict[int, str] = {}
    for row in connection.execute("SELECT * FROM interceptions WHERE seq > ?", (after,)):
        ids[row["seq"]] = row["id"]
        yield row["seq"], _record("interception_start", row["id"], row, _START)
        if row["end_seq"] is not None:
            yield row["end_seq"], _record("interception_end", row["id"], row, _END)
    for table, (kind, columns) in _CHILDREN.items():
        for row in connection.execute(
            f"SELECT * FROM {table} WHERE interception_seq > ?", (after,)
        ):
            identity = ids[row["interception_seq"]]
            yield row["seq"], _record(kind, identity, row, columns)


def _record(kind: str, identity: str, row: sqlite3.Row, columns: str) -> JsonObject:
    names = columns.split()
    record: JsonObject = {
        "time": _time(row[names[0]]),
        "level": "info",
        "message": "interception log",
        "record_type": kind,
        "interception_id": identity,
    }
    for column in names:
        value = row[column]
        if column.endswith("_at"):
            value = _time(value)
        elif column == "metadata":
            value = json.loads(value)
        elif column in _BOOLEANS:
            value = bool(value)
        record[column] = value
    return record


def _time(microseconds: int) -> str:
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"
