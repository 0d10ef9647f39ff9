"""Whatever has been rolled up, pruned or is still running: sums are those of the interceptions."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, tzinfo
from itertools import product
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from aigw.store.reader import open_reader
from aigw.store.rollup import QUARTER, roll_up
from aigw.store.usage import DIMENSIONS, FIGURES, PERIODS, Sums, period_label, usage
from aigw.store.views import create_views
from tests.store.histories import ANCHORS, History, moments, steps
from tests.store.rows import HOUR, SECOND, new_store

if TYPE_CHECKING:
    from collections.abc import Sequence

from pathlib import Path

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/St_Johns",
    "Pacific/Kiritimati",
    "Africa/Monrovia",
)
questions = st.lists(st.sampled_from(DIMENSIONS), max_size=3, unique=True)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(ANCHORS),
    st.lists(steps, min_size=2, max_size=30),
    st.lists(questions, min_size=3, max_size=3),
    st.lists(moments, max_size=3),
    st.sampled_from(ZONES),
    st.booleans(),
)
def test_sums_are_those_of_the_interceptions(
    anchor: int,
    history: list[tuple[Any, ...]],
    asked: list[list[str]],
    bounds: list[int],
    zone: str,
    is_rolled: bool,
) -> None:
    with TemporaryDirectory() as folder, new_store(Path(folder) / "aigw.db") as store:
        store.connection.execute("PRAGMA synchronous = OFF")
        History(store, anchor).make(history)
        while is_rolled and roll_up(store.connection):
            pass
        # Bounds at all times that the history has: the edges cut quarters apart.
        times = {step[1] for step in history if step[0] in ("whole", "begin")}
        edges = [None, *(anchor + at for at in sorted(times | set(bounds)))]
        with closing(open_reader(store.path)) as reader:
            for by, since, until in product(asked, edges, edges):
                expected = added_up(reader, by, since, until, ZoneInfo(zone))
                assert usage(reader, by, since, until, ZoneInfo(zone)) == expected
            by = ["day", "provider", "model", "client", "initiator", "plan"]
            assert daily(reader) == added_up(reader, by, None, None, UTC)


def daily(reader: sqlite3.Connection) -> dict[tuple[str, ...], Sums]:
    """What `v_daily_usage` has, in the form of `usage`."""
    create_views(reader)
    found: dict[tuple[str, ...], Sums] = {}
    with closing(reader.cursor()) as cursor:
        cursor.row_factory = sqlite3.Row
        for row in cursor.execute("SELECT * FROM v_daily_usage"):
            kinds = ("day", "provider_name", "model", "client", "initiator_id", "plan")
            sums = {name: row[name] for name in FIGURES if not name.startswith("plan_")}
            if row["plan"]:
                covered = {"plan_micros": row["cost_micros"], "plan_estimated": row["estimated"]}
                sums |= {"cost_micros": 0, **covered}
            found[tuple(row[kind] or "" for kind in kinds)] = Sums(**sums)
            assert row["cost_usd"] == row["cost_micros"] / 1_000_000
    return found


def added_up(
    reader: sqlite3.Connection,
    by: Sequence[str],
    since: int | None,
    until: int | None,
    zone: tzinfo,
) -> dict[tuple[str, ...], Sums]:
    """The slow way: each interception by itself."""
    found: dict[tuple[str, ...], Sums] = {}
    with closing(reader.cursor()) as cursor:
        cursor.row_factory = sqlite3.Row
        rows = cursor.execute(
            "SELECT i.*, s.id AS session FROM interceptions AS i"
            " JOIN sessions AS s ON s.seq = i.session_seq"
        ).fetchall()
    for row in rows:
        at = row["started_at"]
        if (since is not None and at < since) or (until is not None and at >= until):
            continue
        local = datetime.fromtimestamp(at // SECOND, zone)
        key = tuple(period_label(n, local) if n in PERIODS else name_of(row, n) for n in by)
        found.setdefault(key, Sums()).add(sums_of(row))
    return dict(sorted(found.items()))


def name_of(row: sqlite3.Row, dimension: str) -> str:
    column = {"provider": "provider_name", "initiator": "initiator_id", "key": "api_key_id"}
    return row[column.get(dimension, dimension)] or ""


def sums_of(row: sqlite3.Row) -> Sums:
    cost = row["cost_micros"] or 0
    return Sums(
        requests=1,
        input_tokens=row["input_tokens"] or 0,
        cache_read_input_tokens=row["cache_read_input_tokens"] or 0,
        cache_write_input_tokens=row["cache_write_input_tokens"] or 0,
        output_tokens=row["output_tokens"] or 0,
        reasoning_tokens=row["reasoning_tokens"] or 0,
        errors=row["status"] == "failed",
        aborted=row["status"] == "aborted",
        cost_micros=0 if row["plan"] else cost,
        plan_micros=cost if row["plan"] else 0,
        unpriced=row["unpriced"] or 0,
        estimated=row["estimated"] or 0,
        plan_estimated=(row["estimated"] or 0) if row["plan"] else 0,
    )


def test_whole_quarters_are_read_from_their_sums(tmp_path: Path) -> None:
    """A sum that only `usage_quarters` has shows: it is read there, and only between the edges."""
    noon = ANCHORS[-1] + 12 * HOUR
    with new_store(tmp_path / "aigw.db") as store:
        for n in range(4):
            store.whole(noon + n * QUARTER)
        while roll_up(store.connection):
            pass
        store.connection.execute("UPDATE usage_quarters SET requests = requests + 10")
        with closing(open_reader(store.path)) as reader:
            utc = ZoneInfo("UTC")
            assert usage(reader, [], None, None, utc)[()].requests == 44
            assert usage(reader, [], noon, noon + 4 * QUARTER, utc)[()].requests == 44
            # The first and the last quarter are cut: their records are counted one by one.
            assert usage(reader, [], noon - 1, noon + 3 * QUARTER + 1, utc)[()].requests == 34
            assert usage(reader, [], noon, noon + 1, utc)[()].requests == 1
            assert usage(reader, ["session"], None, None, utc)[("session-1",)].requests == 4


def test_a_quarter_that_is_cut_counts_in_part(tmp_path: Path) -> None:
    noon = ANCHORS[0] + 12 * HOUR
    with new_store(tmp_path / "aigw.db") as store:
        for at in (noon, noon + 5 * SECOND, noon + QUARTER, noon + QUARTER + 5 * SECOND):
            store.whole(at)
        while roll_up(store.connection):
            pass
        with closing(open_reader(store.path)) as reader:
            for by in DIMENSIONS:
                found = usage(reader, [by], noon + 1, noon + QUARTER + 1, ZoneInfo("UTC"))
                assert sum(sums.requests for sums in found.values()) == 2


def test_midnight_within_a_quarter(tmp_path: Path) -> None:
    monrovia = ZoneInfo("Africa/Monrovia")
    midnight = int(datetime(1971, 7, 1, tzinfo=monrovia).timestamp()) * SECOND
    assert midnight % QUARTER
    with new_store(tmp_path / "aigw.db") as store:
        for at in (midnight - 40 * HOUR, midnight - 1, midnight, midnight + SECOND):
            store.whole(at)
        while roll_up(store.connection):
            pass
        with closing(open_reader(store.path)) as reader:
            for by in (["day"], ["hour"], ["session", "day"]):
                assert usage(reader, by, None, None, monrovia) == added_up(
                    reader, by, None, None, monrovia
                )
