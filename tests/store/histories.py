"""Random histories of a store: what began, ended, was rolled up and pruned, in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from aigw.records import Status
from aigw.store.retention import prune_batch
from aigw.store.rollup import QUARTER, roll_up
from tests.store.rows import SECOND, Store, end, start

# Clocks change in Berlin, Cairo and Lord Howe; and in 1971 Monrovia was 44:30 away from UTC.
ANCHORS = tuple(
    int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()) * SECOND
    for day in ("2026-03-29", "2026-10-25", "2026-04-24", "2026-10-04", "1971-07-01")
)


@dataclass
class History:
    """Applies steps to a store. Moments are relative to the anchor."""

    store: Store
    anchor: int
    open: list[str] = field(default_factory=list)
    count: int = 0

    def make(self, steps: list[tuple[Any, ...]]) -> None:
        """Take the steps that `steps` below draws."""
        for name, *arguments in steps:
            getattr(self, name)(*arguments)

    def begin(self, at: int, fields: dict[str, Any]) -> None:
        self.count += 1
        key = f"i-{self.count:04d}"
        self.store.write(start(key, self.anchor + at, **fields))
        self.open.append(key)

    def finish(self, which: int, fields: dict[str, Any]) -> None:
        if self.open:
            key = self.open.pop(which % len(self.open))
            self.store.write(end(key, self.anchor, **fields))

    def whole(self, at: int, fields: dict[str, Any], ending: dict[str, Any]) -> None:
        self.begin(at, fields)
        self.finish(-1, ending)

    def prune(self, at: int) -> None:
        prune_batch(self.store.connection, self.anchor + at, 3)

    def roll(self, limit: int) -> None:
        roll_up(self.store.connection, limit)


# Relative to an anchor, and few: so that edges and records meet in one quarter.
moments = st.builds(
    lambda quarter, rest: quarter * QUARTER + rest,
    st.sampled_from([-96, -1, 0, 1, 2, 4, 96]),
    st.sampled_from([0, 870 * SECOND - 1, 870 * SECOND]),
)
starts = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["a", "b", ""]),
        "initiator_id": st.sampled_from(["me", "you"]),
        "client": st.sampled_from(["", "Zed"]),
        "plan": st.sampled_from([None, "claude"]),
        "api_key_id": st.sampled_from([None, "k1", "k2"]),
        "client_session_id": st.sampled_from([None, "s"]),
        "provider": st.sampled_from(["openai", "anthropic"]),
        "provider_name": st.sampled_from(["openai", "mine"]),
    }
)
ends = st.fixed_dictionaries(
    {
        "status": st.sampled_from(list(Status)),
        "input_tokens": st.integers(0, 9),
        "reasoning_tokens": st.integers(0, 9),
        "cost_micros": st.integers(0, 10**6),
        "unpriced": st.integers(0, 2),
        "estimated": st.integers(0, 1),
    }
)
whole = st.tuples(st.just("whole"), moments, starts, ends)
steps = st.one_of(
    whole,
    whole.map(tuple),  # not the same one: strategies that are equal count once
    whole.map(lambda step: step[:]),
    st.tuples(st.just("begin"), moments, starts),
    st.tuples(st.just("finish"), st.integers(0, 9), ends),
    st.tuples(st.just("roll"), st.integers(1, 20)),
    st.tuples(st.just("prune"), moments),
)
