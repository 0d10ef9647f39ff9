"""Sessions of coding agents for tests: what they record, and where each interception belongs.

`Expected` is worked out from the records alone, by the rules in the docstring of store/linking.py,
with none of its code.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from aigw.records import (
    InterceptionEnd,
    InterceptionStart,
    Record,
    Status,
    ToolUsage,
)
from tests.store.rows import NOON, end, start

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

MINUTE = 60_000_000
QUARTER = 15 * MINUTE

KINDS = ("provider_name", "model", "client", "initiator_id", "api_key_id", "plan")
FIGURES = (
    "input_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_micros",
    "unpriced",
    "estimated",
)


@dataclass(slots=True)
class Step:
    """One interception: its start, the calls its model makes, and its end unless it still runs."""

    start: InterceptionStart
    calls: list[ToolUsage]
    end: InterceptionEnd | None

    def records(self) -> list[Record]:
        """All records, in the order in which they come about."""
        return [self.start, *self.calls, *([self.end] if self.end else [])]


_IDS = st.uuids(version=4).map(str)


@st.composite
def _step(draw: st.DrawFn, at: int, calls: list[str], **fields: Any) -> Step:
    key = draw(_IDS)
    first = start(
        key,
        at,
        model=draw(st.sampled_from(("opus", "haiku"))),
        api_key_id=draw(st.sampled_from((None, "k1"))),
        plan=draw(st.sampled_from((None, "claude"))),
        **fields,
    )
    usages = [
        ToolUsage(
            interception_id=key, created_at=at, id=f"u{number}", msg_id="m", tool_call_id=call,
            tool="Bash", input="{}",
        )
        for number, call in enumerate(calls)
    ]  # fmt: skip
    last = None
    if draw(st.integers(0, 9)):
        # An end before the start: the clock was set back.
        lasted = draw(st.sampled_from((MINUTE, 0, 5 * QUARTER, -MINUTE)))
        figures = {name: draw(st.integers(0, 50)) for name in FIGURES}
        last = end(key, at + lasted, status=draw(st.sampled_from(Status)), **figures)
    return Step(first, usages, last)


@st.composite
def _agent(draw: st.DrawFn, number: int) -> list[Step]:
    """One agent's loop: prompts, parallel calls, their results, the same request again."""
    fields: dict[str, Any] = {
        "initiator_id": draw(st.sampled_from(("ann", "ann", "bob"))),
        "client": draw(st.sampled_from(("Claude Code", "Claude Code", "Codex"))),
        "client_session_id": draw(st.sampled_from((None, None, "s1", "s2", f"own-{number}"))),
    }
    # Servers that number their calls anew use the same ids again and again.
    reused = draw(st.booleans())
    at = NOON + draw(st.integers(0, 3)) * QUARTER
    open_calls: list[str] = []
    steps: list[Step] = []
    for turn in range(draw(st.integers(1, 5))):
        at += draw(st.sampled_from((0, 1, MINUTE, QUARTER)))
        answered = draw(st.sampled_from([None, *open_calls, *open_calls]))
        calls = [
            f"call_{n}" if reused else f"call_{number}_{turn}_{n}"
            for n in range(draw(st.integers(0, 2)))
        ]
        given = {
            **fields,
            "correlating_tool_call_id": answered,
            "parent_session_id": draw(st.sampled_from((None, None, None, "s1", "s2", "s3"))),
        }
        times = draw(st.sampled_from((1, 1, 1, 2)))  # 2: a retry of the same request
        steps += [draw(_step(at, calls, **given)) for _ in range(times)]
        open_calls = [*open_calls, *calls]
    return steps


@st.composite
def _stray(draw: st.DrawFn) -> Step:
    """An interception that fits nowhere in particular: the maker is missing, or one of many."""
    calls = st.sampled_from(("call_0", "call_1", "call_0_0_0", "", "nobodys"))
    return draw(
        _step(
            NOON + draw(st.integers(0, 4)) * QUARTER,
            draw(st.lists(calls, max_size=2)),
            initiator_id=draw(st.sampled_from(("ann", "bob"))),
            client=draw(st.sampled_from(("Claude Code", "Codex"))),
            client_session_id=draw(st.sampled_from((None, "s1"))),
            correlating_tool_call_id=draw(st.none() | calls),
        )
    )


@st.composite
def agents(draw: st.DrawFn) -> list[Step]:
    """Several agents side by side, and strays; all ids differ."""
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 4))):
        steps += draw(_agent(number))
    steps += draw(st.lists(_stray(), max_size=3))
    by_id = {step.start.interception_id: step for step in steps}
    return list(by_id.values())


@st.composite
def arrivals(draw: st.DrawFn, steps: list[Step]) -> list[list[Record]]:
    """All records in batches, in any order in which each start is before what belongs to it."""
    moments: list[tuple[int, int, Record]] = []
    disorder = draw(st.sampled_from((0, 0, 5, 1000)))
    for number, step in enumerate(sorted(steps, key=lambda step: step.start.started_at)):
        moment = number * 4
        for record in step.records():
            moment = max(moment, number * 4 + draw(st.integers(0, disorder)))
            moments.append((moment, number, record))
    # Sorting is stable: an interception's own records stay in their order.
    ordered = [record for *_, record in sorted(moments, key=lambda m: m[:2])]
    batches: list[list[Record]] = []
    while ordered:
        size = draw(st.integers(1, 8))
        batches.append(ordered[:size])
        ordered = ordered[size:]
    return batches


@dataclass(slots=True)
class Expected:
    """What the store must say of the interceptions given to it."""

    parents: dict[str, str | None] = field(default_factory=dict)
    threads: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The id and the initiator of each one's session."""
    session_rows: set[tuple[Any, ...]] = field(default_factory=set)
    quarters: dict[tuple[Any, ...], tuple[int, ...]] = field(default_factory=dict)


def expected(steps: Iterable[Step]) -> Expected:
    """Work it out."""
    found = Expected()
    ordered = sorted(steps, key=_age)
    made = [
        (maker, call.tool_call_id) for maker in ordered for call in maker.calls if call.tool_call_id
    ]
    for step in ordered:
        key = step.start.interception_id
        makers = [
            maker
            for maker, call in made
            if call == step.start.correlating_tool_call_id
            and _namespace(maker.start) == _namespace(step.start)
            and _age(maker) < _age(step)
        ]
        parent = makers[-1].start.interception_id if makers else None
        found.parents[key] = parent
        # The parent is older, so it has its place already.
        found.threads[key] = found.threads[parent] if parent else key
        name = step.start.client_session_id
        found.sessions[key] = (name or found.threads[key], step.start.initiator_id)
    found.session_rows = _session_rows(ordered, found.sessions)
    found.quarters = _quarters(ordered)
    return found


def _age(step: Step) -> tuple[int, str]:
    return step.start.started_at, step.start.interception_id


def _namespace(record: InterceptionStart) -> tuple[str, str, str | None]:
    return record.initiator_id, record.client, record.client_session_id


def _session_rows(
    steps: Iterable[Step], sessions: dict[str, tuple[str, str]]
) -> set[tuple[Any, ...]]:
    members: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        members.setdefault(sessions[step.start.interception_id], []).append(step)
    rows: set[tuple[Any, ...]] = set()
    for (name, initiator), inside in members.items():
        named = {step.start.parent_session_id for step in inside} - {None, name}
        moments = [step.start.started_at for step in inside]
        ends = [step.end.ended_at for step in inside if step.end]
        rows.add((name, initiator, min(named, default=None), min(moments), max(moments + ends)))
    return rows


def _quarters(steps: Iterable[Step]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    sums: dict[tuple[Any, ...], Counter[int]] = {}
    for step in steps:
        if step.end is None:
            continue
        kinds = (getattr(step.start, name) or "" for name in KINDS)
        total = sums.setdefault((step.start.started_at // QUARTER, *kinds), Counter())
        figures = [getattr(step.end, name) for name in FIGURES]
        states = [step.end.status is status for status in (Status.FAILED, Status.ABORTED)]
        total.update(dict(enumerate([1, *states, *figures])))
    width = 3 + len(FIGURES)
    return {key: tuple(total[n] for n in range(width)) for key, total in sums.items()}


def stored(connection: sqlite3.Connection) -> Expected:
    """The same of what is in the store."""
    found = Expected()
    for key, parent, thread, session, initiator in connection.execute(
        "SELECT i.id, p.id, t.id, s.id, s.initiator_id FROM interceptions AS i"
        " LEFT JOIN interceptions AS p ON p.seq = i.parent_seq"
        " LEFT JOIN interceptions AS t ON t.seq = i.thread_seq"
        " LEFT JOIN sessions AS s ON s.seq = i.session_seq"
    ):
        found.parents[key] = parent
        found.threads[key] = thread
        found.sessions[key] = (session, initiator)
    found.session_rows = set(
        connection.execute(
            "SELECT id, initiator_id, parent_id, started_at, last_active_at FROM sessions"
        )
    )
    found.quarters = quarters(connection)
    return found


def quarters(connection: sqlite3.Connection) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """The sums in the store."""
    columns = ", ".join(("quarter", *KINDS, "requests", "errors", "aborted", *FIGURES))
    rows = connection.execute(f"SELECT {columns} FROM usage_quarters")
    return {row[:7]: row[7:] for row in rows}
