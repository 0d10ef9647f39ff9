"""The sums and the sessions, whatever is pruned, killed or read between two upkeeps."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aigw.store.database import open_for_writing
from aigw.store.reader import open_reader, snapshot
from aigw.store.retention import prune_batch
from aigw.store.rollup import FIGURES, KINDS, roll_up, rolled_seq
from aigw.store.transaction import Transaction
from tests.store.agents import QUARTER, agents, arrivals
from tests.store.rows import NOON
from tests.store.writing import begun, ended

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


@settings(max_examples=75, deadline=None, suppress_health_check=list(HealthCheck))
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


DIES = """
import os, signal, sys
from pathlib import Path
from aigw.store.database import open_for_writing
from aigw.store.rollup import roll_up
from aigw.store.transaction import Transaction
from tests.store.writing import begun, ended

connection = open_for_writing(Path(sys.argv[1]), "normal")
transaction = Transaction(connection)
transaction.write([begun(0), begun(1), ended(0)])
roll_up(connection)
transaction.write([begun(2), ended(2), ended(1)])

def die(sql):
    if sql.strip().startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

connection.set_trace_callback(die)
roll_up(connection)
"""


@pytest.mark.parametrize(
    "statement", ["BEGIN", "INSERT INTO usage_quarters", "UPDATE sessions", "COMMIT"]
)
def test_a_kill_during_the_upkeep_loses_and_doubles_nothing(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "aigw.db"
    died = subprocess.run(
        [sys.executable, "-c", DIES, path, statement], env=_environment(), timeout=60, check=False
    )
    assert died.returncode == -signal.SIGKILL
    with closing(open_for_writing(path, "normal")) as connection:
        assert kept_sums(connection) == true_sums(connection, rolled_seq(connection))
        assert rolled_seq(connection) == 3
        while roll_up(connection):
            pass
        assert rolled_seq(connection) == 6
        assert kept_sums(connection) == true_sums(connection, 6)
        assert sum(row[0] for row in kept_sums(connection).values()) == 3


PRUNES = """
import sqlite3, sys, time
from pathlib import Path
from aigw.store.database import open_for_writing
from aigw.store.retention import prune_batch

connection = open_for_writing(Path(sys.argv[1]), "normal")
connection.execute("PRAGMA busy_timeout = 10000")
print("pruning", flush=True)
deleted = 0
while deleted < int(sys.argv[2]):
    deleted += prune_batch(connection, int(sys.argv[3]), 3)["interceptions"]
"""


def test_others_prune_and_read_while_the_upkeep_runs(tmp_path: Path) -> None:
    path = tmp_path / "aigw.db"
    many = 400
    with closing(open_for_writing(path, "normal")) as connection:
        connection.execute("PRAGMA busy_timeout = 10000")
        transaction = Transaction(connection)
        transaction.write([begun(0)])
        with subprocess.Popen(
            [sys.executable, "-c", PRUNES, path, str(many), str(NOON + many + 1)],
            env=_environment(), stdout=subprocess.PIPE,
        ) as pruning, closing(open_reader(path)) as reader:  # fmt: skip
            assert pruning.stdout is not None
            pruning.stdout.readline()
            try:
                for number in range(1, many + 1):
                    transaction.write([begun(number)])
                    transaction.write([ended(number)])
                    if number % 3 == 0:
                        roll_up(connection, 5)
                    with snapshot(reader):
                        assert kept_sums(reader) == true_sums(reader, rolled_seq(reader))
                        check_sessions(reader)
                assert pruning.wait(60) == 0
            finally:
                pruning.kill()
        while roll_up(connection):
            pass
        # What still runs is never pruned, and counts once it has ended.
        assert kept_sums(connection) == {}
        transaction.write([ended(0)])
        roll_up(connection)
        assert kept_sums(connection) == true_sums(connection, rolled_seq(connection)) != {}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
