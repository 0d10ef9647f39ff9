"""OTLP/JSON: threads as traces, one `TracesData` object a line.

A Collector reads such a file with its `otlpjsonfile` receiver. Source:
https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, NamedTuple

from aigw import __version__
from aigw.export.otlp_spans import Facts, Span, attribute_list, chat_span, thread_span, tool_span
from aigw.export.reading import Reading, Rows
from aigw.store.record_views import INTERCEPTIONS, PROMPTS, THOUGHTS, TOKEN_USAGES, TOOL_CALLS
from aigw.store.view import Column, Kind, View

_WINDOW = 2_048
"""Seqs read in one go: with the records of its interceptions, whose texts are long."""

_NOT_ASKED = {"tool_calls", "prompt", "metadata", "started_us", "ended_us"}
_COLUMNS = (
    *(c for c in INTERCEPTIONS.columns if c.name not in _NOT_ASKED),
    Column("thread_seq", Kind.INTEGER, "i.thread_seq", ""),
)
_OWNER = Column("owner", Kind.INTEGER, "t.interception_seq", "")

_THREAD_END = """
SELECT root.seq, max(max(i.started_at, ifnull(i.ended_at, 0)))
FROM json_each(?) AS chosen
CROSS JOIN interceptions AS root ON root.seq = chosen.value
CROSS JOIN interceptions AS i ON i.session_seq = root.session_seq AND i.thread_seq = root.seq
GROUP BY root.seq
"""


class _Piece(NamedTuple):
    """Interceptions and what belongs to them, by their seqs."""

    interceptions: list[Facts]
    prompts: dict[int, list[Facts]]
    thoughts: dict[int, list[Facts]]
    calls: dict[int, list[Facts]]
    usages: dict[int, list[Facts]]
    thread_ends: dict[int, int]


def write(reading: Reading, out: BinaryIO, encode: Callable[[Any], bytes]) -> None:
    """Write the spans, those of an interception on one line."""
    resource = {
        "attributes": attribute_list(
            {"service.name": "aigw", "service.version": __version__}.items()
        )
    }
    scope = {"name": "aigw", "version": __version__}
    for piece in reading.completed(_COLUMNS, _WINDOW, lambda rows: _completed(reading, rows)):
        for found in piece.interceptions:
            spans = _spans(piece, found, encode)
            line = {"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}
            out.write(encode({"resourceSpans": [line]}) + b"\n")


def _completed(reading: Reading, rows: Rows) -> _Piece:
    found = [_facts(_COLUMNS, row) for row in rows]
    for facts in found:
        # A thread goes on when retention has deleted its beginning, whose id it bore.
        facts["thread_id"] = facts["thread_id"] or f"thread {facts['thread_seq']}"
        facts["streaming"] = None if facts["streaming"] is None else bool(facts["streaming"])
    seqs = [facts["seq"] for facts in found]
    roots = [facts["seq"] for facts in found if facts["thread_id"] == facts["id"]]
    ends = reading.connection.execute(_THREAD_END, (json.dumps(roots),)).fetchall()
    return _Piece(
        found,
        _children(reading, PROMPTS, ["prompt"], seqs),
        _children(reading, THOUGHTS, ["content"], seqs),
        _children(
            reading,
            TOOL_CALLS,
            [
                "tool_call_id",
                "tool",
                "input",
                "server_url",
                "injected",
                "invocation_error",
                "result",
                "result_is_error",
                "result_truncated",
                "result_at",
                "created_at",
                "seq",
            ],
            seqs,
        ),
        _children(reading, TOKEN_USAGES, ["msg_id"], seqs),
        dict(ends),
    )


def _children(
    reading: Reading, view: View, names: list[str], seqs: list[int]
) -> dict[int, list[Facts]]:
    columns = [_OWNER, *(column for column in view.columns if column.name in names)]
    found: dict[int, list[Facts]] = defaultdict(list)
    for row in reading.of_interceptions(view, columns, seqs):
        found[row[0]].append(_facts(columns, row))
    return found


def _facts(columns: Sequence[Column], row: tuple[Any, ...]) -> Facts:
    return {column.name: value for column, value in zip(columns, row, strict=True)}


def _spans(piece: _Piece, found: Facts, encode: Callable[[Any], bytes]) -> list[Span]:
    seq = found["seq"]
    calls = piece.calls.get(seq, [])
    response_ids = [usage["msg_id"] for usage in piece.usages.get(seq, []) if usage["msg_id"]]
    spans: list[Span] = []
    if seq in piece.thread_ends:
        spans.append(thread_span(found, piece.thread_ends[seq]))
    spans.append(
        chat_span(
            found,
            piece.prompts.get(seq, []),
            piece.thoughts.get(seq, []),
            calls,
            response_ids[-1] if response_ids else "",
            encode,
        )
    )
    spans += [tool_span(found, call) for call in calls]
    return spans
