"""The sums and the sessions, whatever is pruned, killed or read between two upkeeps."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aigw.store.database import open_for_writing
from aigw.store.retention import prune_batch
from aigw.store.rollup import FIGURES, KINDS, roll_up, rolled_seq
from aigw.store.transaction import Transaction
from tests.store.agents import QUARTER, agents, arrivals
from tests.store.rows import NOON

if TYPE_CHECKING:
    import sqlite3

_TOTALS = (
    "count(*)",
    "input_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "status = 'failed'",
    "status = 'aborted'",
    "cost_micros",
    "unpriced",
    "estimated",
)


def true_sums(connection: sqlite3.Connection, until: int) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """The sums over the interceptions that ended up to a seq, from their rows alone."""
    kinds = ", ".join(f"ifnull({kind}, '')" for kind in KINDS)
    totals = ", ".join(t if t == "count(*)" else f"sum({t})" for t in _TOTALS)
    keys = ",".join("1234567")
    rows = connection.execute(
        f"SELECT started_at / {QUARTER}, {kinds}, {totals} FROM interceptions"
        f" WHERE end_seq <= ? GROUP BY {keys}",
        (until,),
    )
    return {row[:7]: row[7:] for row in rows}


def kept_sums(connection: sqlite3.Connection) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """What the store has worked out."""
    columns = ", ".join(("quarter", *KINDS, *FIGURES))
    rows = connection.execute(f"SELECT {columns} FROM usage_quarters")
    return {row[:7]: row[7:] for row in rows}


def check_sessions(connection: sqlite3.Connection) -> None:
    """There is a session exactly for what is left, and its times hold all that is left of it."""
    used = connection.execute("SELECT DISTINCT session_seq FROM interceptions").fetchall()
    assert sorted(connection.execute("SELECT seq FROM sessions")) == sorted(used)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without a record, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "aigw.db"
    open_for_writing(path, "normal").close()
    return path


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_sums_hold_what_is_left_at_every_moment(empty: Path, data: st.DataObject) -> None:
    batches = data.draw(arrivals(data.draw(agents())))
    with TemporaryDirectory() as folder:
        path = Path(shutil.copy(empty, folder))
        with closing(open_for_writing(path, "normal")) as connection:
            transaction = Transaction(connection)
            for batch in batches:
                transaction.write(batch)
                upkeep = data.draw(st.integers(0, 5), label="upkeep?")
                if upkeep <= 1:
                    roll_up(connection, data.draw(st.sampled_from((1, 3, 10, 1000))))
                elif upkeep == 2:
                    cutoff = NOON + data.draw(st.integers(0, 5)) * QUARTER
                    prune_batch(connection, cutoff, data.draw(st.integers(1, 4)))
                assert kept_sums(connection) == true_sums(connection, rolled_seq(connection))
                check_sessions(connection)
            while roll_up(connection, 5):
                pass
            assert kept_sums(connection) == true_sums(connection, rolled_seq(connection))
            check_sessions(connection)
            for seq, first, last in connection.execute(
                "SELECT session_seq, min(started_at), max(max(started_at, ifnull(ended_at, 0)))"
                " FROM interceptions GROUP BY 1"
            ):
                kept = connection.execute(
                    "SELECT started_at, last_active_at FROM sessions WHERE seq = ?", (seq,)
                ).fetchone()
                # What was pruned may have begun earlier and been active later.
                assert kept[0] <= first
                assert kept[1] >= last
