"""Fills the steps of a session with what they hold: prompts, thoughts, tool calls, results, tokens.

Each table is asked once, for all the steps of a page, by its index of interceptions.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from aigw.store.session_parts import Call, CallResult, Step, Thought, Tokens
from aigw.store.text_room import beginning

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

_FACTS = [
    "seq",
    "id",
    "parent_id",
    "started_at",
    "ended_at",
    "provider",
    "provider_name",
    "route",
    "model",
    "requested_model",
    "client",
    "credential_kind",
    "credential_hint",
    "api_key_id",
    "agent_id",
    "plan",
    "status",
    "status_code",
    "error_type",
    "error_message",
    "duration_ms",
    "time_to_first_byte_ms",
    "streaming",
    "attempts",
    "context_window",
    "metadata",
]
_SUMS = [
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_tokens",
    "cost_micros",
    "unpriced",
    "estimated",
]
_STEP_COLUMNS = [*_FACTS, *_SUMS]

_CHOSEN = "IN (SELECT value FROM json_each(?1))"
_CALL_COLUMNS = (
    "t.seq, t.id, i.id, t.created_at, t.msg_id, t.tool_call_id, t.item_id, t.tool, t.input,"
    " t.server_url, t.injected, t.invocation_error, t.metadata"
)
_RESULT_COLUMNS = (
    "i.id, t.tool_call_id, t.created_at, t.is_error, t.size, t.content, t.truncated, t.metadata"
)


def read_steps(
    connection: sqlite3.Connection, seqs: Sequence[int], cut: int | None = None
) -> dict[int, Step]:
    """The interceptions of these seqs as steps with all they hold, in order of time.

    Texts are cut to `cut` characters, where it is given.
    """
    chosen = json.dumps(list(seqs))
    columns = ", ".join(
        "(SELECT p.id FROM interceptions AS p WHERE p.seq = i.parent_seq)"
        if name == "parent_id"
        else f"ifnull(i.{name}, 0)"
        if name in _SUMS
        else f"i.{name}"
        for name in _STEP_COLUMNS
    )
    rows = connection.execute(
        f"SELECT {columns} FROM interceptions AS i WHERE i.seq {_CHOSEN}"  # noqa: S608 (our own names)
        " ORDER BY i.started_at, i.id",
        (chosen,),
    )
    steps = {row[0]: _step(row) for row in rows}
    _add_texts(connection, chosen, steps, cut)
    _add_calls(connection, chosen, steps, cut)
    return steps


class _Made(NamedTuple):
    """A tool call of the session, by when and in which interception; None for one of another page."""

    at: int
    interception_id: str
    call: Call | None


def join_results(
    connection: sqlite3.Connection, session_seq: int, steps: dict[int, Step], cut: int | None = None
) -> None:
    """Give each call of the steps its result, wherever in the session that was brought.

    A call's result is the first one of its id after it; of calls that share an id, the latest one
    before the result is meant. Results that belong to no call of the session stay with their step.
    """
    results = list(_results(connection, "t.interception_seq", json.dumps(list(steps)), cut))
    made = _made(connection, session_seq, steps, [result.tool_call_id for _, result in results])
    for seq, result in results:
        step = steps[seq]
        maker = _latest(made, result.tool_call_id, step.started_at, step.id)
        if maker is None:
            step.other_results.append(result)
        elif maker.call is not None:
            # A client that tries a request again brings the same results again.
            maker.call.result = maker.call.result or result
    _join_from_elsewhere(connection, session_seq, steps, made, cut)


def _made(
    connection: sqlite3.Connection,
    session_seq: int,
    steps: dict[int, Step],
    answered: Iterable[str],
) -> dict[str, list[_Made]]:
    """The session's calls by id, in order of time: of the ids that the steps call or answer."""
    found: dict[str, list[_Made]] = {call_id: [] for call_id in answered if call_id}
    for step in steps.values():
        for call in step.calls:
            if call.tool_call_id:
                calls = found.setdefault(call.tool_call_id, [])
                calls.append(_Made(step.started_at, step.id, call))
    # Servers that number calls anew give one id to many: through the session, not through the id.
    elsewhere = connection.execute(
        "SELECT t.tool_call_id, i.started_at, i.id FROM interceptions AS i"
        " CROSS JOIN tool_usages AS t ON t.interception_seq = i.seq"
        " WHERE i.session_seq = ? AND i.seq NOT IN (SELECT value FROM json_each(?))"
        " AND t.tool_call_id IN (SELECT value FROM json_each(?))",
        (session_seq, json.dumps(list(steps)), json.dumps(list(found))),
    )
    for call_id, at, interception_id in elsewhere:
        # Of an id with a NUL SQLite has looked for the beginning.
        if call_id in found:
            found[call_id].append(_Made(at, interception_id, None))
    for calls in found.values():
        calls.sort(key=_moment)
    return found


def _moment(made: _Made) -> tuple[int, str]:
    return made.at, made.interception_id


def _latest(
    made: dict[str, list[_Made]], call_id: str, at: int, interception_id: str
) -> _Made | None:
    """The latest call of an id before an interception."""
    calls = made.get(call_id, [])
    end = bisect_left(calls, (at, interception_id), key=_moment)
    return calls[end - 1] if end else None


def _join_from_elsewhere(
    connection: sqlite3.Connection,
    session_seq: int,
    steps: dict[int, Step],
    made: dict[str, list[_Made]],
    cut: int | None,
) -> None:
    """Look for what is not answered on this page in the rest of the session."""
    open_ids = [
        call_id
        for call_id, calls in made.items()
        if any(each.call is not None and each.call.result is None for each in calls)
    ]
    if not open_ids:
        return
    rows = connection.execute(
        "SELECT t.seq, t.tool_call_id, i.started_at, i.id FROM interceptions AS i"
        " CROSS JOIN tool_results AS t ON t.interception_seq = i.seq"
        " WHERE i.session_seq = ?2 AND t.tool_call_id IN (SELECT value FROM json_each(?1))"
        " AND i.seq NOT IN (SELECT value FROM json_each(?3)) ORDER BY i.started_at, i.id, t.seq",
        (json.dumps(open_ids), session_seq, json.dumps(list(steps))),
    )
    chosen: dict[int, Call] = {}
    for seq, *answer in rows:
        maker = _latest(made, *answer)
        if maker is not None and maker.call is not None and maker.call.result is None:
            chosen.setdefault(seq, maker.call)
    found = dict(_results(connection, "t.seq", json.dumps(list(chosen)), cut, key="t.seq"))
    for seq, call in chosen.items():
        call.result = call.result or found[seq]


def _add_texts(
    connection: sqlite3.Connection, chosen: str, steps: dict[int, Step], cut: int | None
) -> None:
    for seq, prompt in connection.execute(
        f"SELECT interception_seq, {beginning('prompt', cut)} FROM user_prompts"  # noqa: S608
        f" WHERE interception_seq {_CHOSEN} ORDER BY seq",
        (chosen,),
    ):
        steps[seq].prompt = prompt
    for seq, at, content, metadata in connection.execute(
        f"SELECT interception_seq, created_at, {beginning('content', cut)}, metadata"  # noqa: S608
        " FROM model_thoughts"
        f" WHERE interception_seq {_CHOSEN} ORDER BY seq",
        (chosen,),
    ):
        source = _metadata(metadata).get("source")
        steps[seq].thoughts.append(Thought(at, content, source if isinstance(source, str) else ""))
    for row in connection.execute(
        "SELECT interception_seq, msg_id, cost_micros, cost_basis, price_source, metadata"  # noqa: S608
        f" FROM token_usages WHERE interception_seq {_CHOSEN} ORDER BY seq",
        (chosen,),
    ):
        steps[row[0]].tokens.append(Tokens(*[*row[1:-1], _metadata(row[-1])]))


def _add_calls(
    connection: sqlite3.Connection, chosen: str, steps: dict[int, Step], cut: int | None
) -> None:
    columns = _CALL_COLUMNS.replace("t.input", beginning("t.input", cut))
    rows = connection.execute(
        f"SELECT t.interception_seq, {columns} FROM tool_usages AS t"  # noqa: S608
        " CROSS JOIN interceptions AS i ON i.seq = t.interception_seq"
        f" WHERE t.interception_seq {_CHOSEN} ORDER BY t.seq",
        (chosen,),
    )
    for row in rows:
        *fields, injected, error, metadata = row[1:]
        fields += [bool(injected), error, _metadata(metadata)]
        steps[row[0]].calls.append(Call(*fields))


def _results(
    connection: sqlite3.Connection,
    column: str,
    chosen: str,
    cut: int | None,
    key: str = "t.interception_seq",
) -> Iterable[tuple[int, CallResult]]:
    columns = _RESULT_COLUMNS.replace("t.content", beginning("t.content", cut))
    if cut is not None:
        columns = columns.replace("t.truncated", f"t.truncated OR length(t.content) > {cut}")
    rows = connection.execute(
        f"SELECT {key}, {columns} FROM tool_results AS t"  # noqa: S608
        " CROSS JOIN interceptions AS i ON i.seq = t.interception_seq"
        f" WHERE {column} {_CHOSEN} ORDER BY i.started_at, i.id, t.seq",
        (chosen,),
    )
    for row in rows:
        *fields, is_error, size, content, truncated, metadata = row[1:]
        fields += [bool(is_error), size, content, bool(truncated), _metadata(metadata)]
        yield row[0], CallResult(*fields)


def _step(row: Sequence[Any]) -> Step:
    fields = dict(zip(_STEP_COLUMNS, row, strict=True))
    if fields["streaming"] is not None:
        fields["streaming"] = bool(fields["streaming"])
    fields["metadata"] = _metadata(fields["metadata"])
    return Step(**fields)


def _metadata(text: str) -> dict[str, Any]:
    if text == "{}":
        return {}
    found = msgspec.json.decode(text)
    return found if isinstance(found, dict) else {}
