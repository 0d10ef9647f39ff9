"""However interceptions are counted and found, it is what looking at each of them would give."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw.store import interception_pages
from aigw.store.interception_pages import PageQuery, find_page
from aigw.store.interceptions import reading_async
from aigw.store.rollup import QUARTER, roll_up
from tests.store.histories import ANCHORS, History, moments, steps
from tests.store.rows import NOON, SECOND, Store, new_store

edges = st.one_of(st.none(), moments, moments.map(lambda at: at + 1))
names = st.fixed_dictionaries(
    {},
    optional={
        "owner": st.sampled_from(["me", "ME"]),
        "initiator": st.sampled_from(["you", "YOU"]),
        "provider": st.sampled_from(["openai", "Anthropic", "mine"]),
        "provider_name": st.sampled_from(["MINE", "openai"]),
        "model": st.sampled_from(["A", "b", "", "*"]),
        "client": st.sampled_from(["zed", ""]),
        "session_id": st.sampled_from(["S", "i-0001"]),
    },
)
queries = st.builds(
    lambda named, after, before, offset, limit, is_counted: (
        {**named, "offset": offset, "limit": limit, "is_counted": is_counted},
        after,
        before,
    ),
    names,
    edges,
    edges,
    st.integers(0, 4),
    st.integers(1, 5),
    st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(ANCHORS[:2]),
    st.lists(steps, min_size=5, max_size=30),
    st.lists(queries, min_size=10, max_size=10),
    st.sampled_from([0, 2, 1_000]),
)
def test_pages_are_those_of_the_interceptions(
    anchor: int, history: list[tuple[Any, ...]], asked: list[Any], walked: int
) -> None:
    with (
        TemporaryDirectory() as folder,
        new_store(Path(folder) / "aigw.db") as store,
        patch.object(interception_pages, "WALKED", walked),
    ):
        store.connection.execute("PRAGMA synchronous = OFF")
        History(store, anchor).make(history)
        rows = all_of(store)
        ids = [row["id"] for row in rows]
        for number, (named, after, before) in enumerate(asked):
            query = PageQuery(
                started_after=None if after is None else anchor + after,
                started_before=None if before is None else anchor + before,
                **named,
            )
            if ids and number % 2:
                query = replace(query, after_id=(*ids, "gone")[number % (len(ids) + 1)], offset=0)
            assert asyncio.run(found(store, query)) == expected(rows, query)


async def found(store: Store, query: PageQuery) -> tuple[int | None, list[str]]:
    async with reading_async(store.path) as reader:
        count, seqs = await find_page(reader, query)
    with closing(sqlite3.connect(store.path)) as connection:
        ids = dict(connection.execute("SELECT seq, id FROM interceptions"))
    return count, [ids[seq] for seq in seqs]


def all_of(store: Store) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(store.path)) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(
            "SELECT i.*, s.id AS session_id FROM interceptions AS i"
            " JOIN sessions AS s ON s.seq = i.session_seq"
        ).fetchall()


def expected(rows: list[sqlite3.Row], query: PageQuery) -> tuple[int | None, list[str]]:
    """The slow way."""
    columns = ("provider", "provider_name", "model", "client", "session_id")
    wanted = {name: getattr(query, name) for name in columns} | {"initiator_id": query.initiator}
    matching = [
        row
        for row in rows
        if all(name is None or row[c].lower() == name.lower() for c, name in wanted.items())
        and query.owner in (None, row["initiator_id"])
        and (query.started_after is None or row["started_at"] >= query.started_after)
        and (query.started_before is None or row["started_at"] <= query.started_before)
    ]
    places = sorted(((row["started_at"], row["id"]) for row in matching), reverse=True)
    count = len(places) if query.is_counted or query.session_id is not None else None
    if query.after_id is not None:
        cursor = [
            (row["started_at"], row["id"])
            for row in rows
            if row["id"] == query.after_id and query.owner in (None, row["initiator_id"])
        ]
        places = [place for place in places if cursor and place < cursor[0]]
    return count, [key for _, key in places[query.offset :][: query.limit]]


@pytest.fixture
def rolled(store: Store) -> Store:
    """A model of its own each hour, a common one between."""
    for n in range(60):
        store.whole(NOON + n * QUARTER, model=f"rare-{n // 4}" if n % 4 == 0 else "common")
    while roll_up(store.connection):
        pass
    return store


async def plans(store: Store, query: PageQuery) -> list[str]:
    """How SQLite reads for a page: the plans of all statements."""
    asked: list[str] = []
    async with reading_async(store.path) as reader:
        await reader.set_trace_callback(asked.append)
        await find_page(reader, query)
    with closing(sqlite3.connect(store.path)) as connection:
        return [row[3] for sql in asked for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]


@pytest.mark.parametrize("is_counted", [True, False])
@pytest.mark.parametrize(
    "named",
    [
        {"model": "rare-3"},
        {"owner": "local", "client": "zed"},
        {"started_after": NOON + SECOND},
        {},
    ],
    ids=str,
)
async def test_names_are_counted_and_found_without_reading_the_interceptions(
    rolled: Store, monkeypatch: pytest.MonkeyPatch, named: dict[str, Any], is_counted: bool
) -> None:
    monkeypatch.setattr(interception_pages, "WALKED", 4)
    used = await plans(rolled, PageQuery(**named, is_counted=is_counted))
    assert any("USING INDEX interceptions_started_at" in line for line in used) or not is_counted
    assert not any("SCAN i" in line for line in used)
    # What is in no sum yet is few; by its time it would be looked for among all.
    unsummed = [line for line in used if "INDEX interceptions_end_seq" in line]
    assert len(unsummed) == 2 or not is_counted


async def test_a_rare_name_is_looked_for_in_its_quarter_alone(
    rolled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interception_pages, "WALKED", 4)
    asked: list[str] = []
    async with reading_async(rolled.path) as reader:
        await reader.set_trace_callback(asked.append)
        count, seqs = await find_page(reader, PageQuery(model="rare-3"))
    assert (count, len(seqs)) == (1, 1)
    quarter = NOON + 12 * QUARTER
    between = f"i.started_at >= {quarter} AND i.started_at < {quarter + QUARTER}"
    assert sum("SELECT i.seq" in sql for sql in asked) == 1
    assert between in next(sql for sql in asked if "SELECT i.seq" in sql)


async def test_what_the_command_shows_is_not_counted(rolled: Store) -> None:
    asked: list[str] = []
    async with reading_async(rolled.path) as reader:
        await reader.set_trace_callback(asked.append)
        count, seqs = await find_page(reader, PageQuery(model="common", limit=3, is_counted=False))
    assert (count, len(seqs)) == (None, 3)
    assert not any("count(" in sql or "sum(" in sql for sql in asked)
