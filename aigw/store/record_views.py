"""The views of interceptions and of the records that belong to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigw.store.view import (
    EXCERPT,
    SEQ_HELP,
    TOKENS,
    Column,
    Kind,
    View,
    columns,
    cost,
    moment_columns,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_STARTED, _STARTED_US = moment_columns("started_at", "i.started_at", "when the request came")
_ENDED, _ENDED_US = moment_columns("ended_at", "i.ended_at", "when the answer ended")

INTERCEPTIONS = View(
    "v_interceptions",
    "One request and its answer.",
    (
        Column("id", Kind.TEXT, "i.id", "the interception"),
        Column("session_id", Kind.TEXT, "s.id", "its session"),
        Column("thread_id", Kind.TEXT, "root.id", "the first interception of its thread"),
        Column("parent_id", Kind.TEXT, "above.id", "the one whose tool call it answers"),
        _STARTED,
        _ENDED,
        Column(
            "status",
            Kind.TEXT,
            "CASE WHEN i.end_seq IS NULL THEN 'running' ELSE i.status END",
            "completed, failed, aborted or running",
        ),
        *columns(Kind.INTEGER, "i", "status_code"),
        *columns(
            Kind.TEXT,
            "i",
            "error_type error_message initiator_id api_key_id provider provider_name route model"
            " requested_model model_rule client client_session_id agent_id parent_agent_id",
        ),
        Column(
            "parent_session_id", Kind.TEXT, "i.parent_session_id", "the session that started its"
        ),
        *columns(Kind.TEXT, "i", "plan credential_kind credential_hint served_hint"),
        *columns(Kind.INTEGER, "i", "attempts"),
        *columns(Kind.BOOLEAN, "i", "streaming"),
        *columns(Kind.INTEGER, "i", f"duration_ms time_to_first_byte_ms {TOKENS}"),
        *cost("i.cost_micros"),
        *columns(Kind.INTEGER, "i", "unpriced estimated context_window"),
        Column(
            "tool_calls",
            Kind.INTEGER,
            "(SELECT count(*) FROM main.tool_usages AS t WHERE t.interception_seq = i.seq)",
            "tool calls that the model made",
        ),
        Column(
            "prompt",
            Kind.TEXT,
            f"(SELECT substr(p.prompt, 1, {EXCERPT}) FROM main.user_prompts AS p"  # noqa: S608
            " WHERE p.interception_seq = i.seq ORDER BY p.seq LIMIT 1)",
            f"the user's prompt, its first {EXCERPT} characters",
        ),
        *columns(Kind.JSON, "i", "metadata"),
        _STARTED_US,
        _ENDED_US,
        Column("seq", Kind.INTEGER, "i.seq", SEQ_HELP),
    ),
    "main.interceptions AS i LEFT JOIN main.sessions AS s ON s.seq = i.session_seq"
    " LEFT JOIN main.interceptions AS root ON root.seq = i.thread_seq"
    " LEFT JOIN main.interceptions AS above ON above.seq = i.parent_seq",
)


def _child(name: str, about: str, table: str, own: Sequence[Column]) -> View:
    """A view of the records of one type, with what one asks of the interception they belong to."""
    time, number = moment_columns("created_at", "t.created_at", "when")
    return View(
        name,
        about,
        (
            Column("interception_id", Kind.TEXT, "i.id", "the interception"),
            Column("session_id", Kind.TEXT, "s.id", "its session"),
            Column("thread_id", Kind.TEXT, "root.id", "its thread"),
            time,
            *columns(Kind.TEXT, "i", "initiator_id provider_name model client"),
            *own,
            *columns(Kind.JSON, "t", "metadata"),
            number,
            Column("seq", Kind.INTEGER, "t.seq", SEQ_HELP),
        ),
        f"main.{table} AS t JOIN main.interceptions AS i ON i.seq = t.interception_seq"
        " LEFT JOIN main.sessions AS s ON s.seq = i.session_seq"
        f" LEFT JOIN main.interceptions AS root ON root.seq = i.thread_seq",
    )


PROMPTS = _child(
    "v_prompts",
    "The user's prompts, whole.",
    "user_prompts",
    [
        *columns(Kind.TEXT, "t", "msg_id"),
        Column("prompt", Kind.TEXT, "t.prompt", "as sent, markup included"),
    ],
)

# A result comes with an interception that goes on from the one of the call. A subquery for each
# column and not one join: SQLite would make that join for `count(*)` too.
_RESULT = (
    "(SELECT r.{} FROM main.interceptions AS b JOIN main.tool_results AS r"
    " ON r.interception_seq = b.seq AND r.tool_call_id = t.tool_call_id"
    " WHERE t.tool_call_id != '' AND b.parent_seq = t.interception_seq ORDER BY r.seq LIMIT 1)"
)


def _result(name: str, kind: Kind, column: str, about: str) -> Column:
    return Column(name, kind, _RESULT.format(column), about)


TOOL_CALLS = _child(
    "v_tool_calls",
    "The tool calls that models made, with what the tools returned.",
    "tool_usages",
    [
        *columns(Kind.TEXT, "t", "msg_id tool_call_id item_id tool input server_url"),
        *columns(Kind.BOOLEAN, "t", "injected"),
        *columns(Kind.TEXT, "t", "invocation_error"),
        _result("result", Kind.TEXT, "content", "what the tool returned; NULL where unknown"),
        _result("result_is_error", Kind.BOOLEAN, "is_error", "whether the tool failed"),
        _result("result_size", Kind.INTEGER, "size", "bytes of the whole result"),
        _result("result_truncated", Kind.BOOLEAN, "truncated", "whether the result is cut short"),
        _result("result_at", Kind.TIME, "created_at", "when the result went to the model"),
    ],
)

THOUGHTS = _child(
    "v_thoughts",
    "Reasoning that models showed.",
    "model_thoughts",
    [
        Column("source", Kind.TEXT, "json_extract(t.metadata, '$.source')", "where it was shown"),
        Column("content", Kind.TEXT, "t.content", "the text"),
    ],
)

TOKEN_USAGES = _child(
    "v_token_usages",
    "What each response of a provider cost in tokens.",
    "token_usages",
    [
        *columns(Kind.TEXT, "t", "msg_id"),
        *columns(Kind.INTEGER, "t", TOKENS.removesuffix(" reasoning_tokens")),
        *cost("t.cost_micros"),
        *columns(Kind.TEXT, "t", "cost_basis price_source"),
        *columns(Kind.TEXT, "i", "plan"),
    ],
)
