"""Whatever the order in which records arrive, the tree is the one that the records alone give."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aigw.records import InterceptionEnd, InterceptionStart, ToolUsage
from aigw.store.database import open_for_writing
from aigw.store.rollup import roll_up
from aigw.store.transaction import Transaction
from tests.store.agents import MINUTE, Step, agents, arrivals, expected, stored
from tests.store.rows import NOON

if TYPE_CHECKING:
    from aigw.records import Record

LATE = NOON + 400 * MINUTE
"""When a daemon that was killed starts again."""


class Daemon:
    """Writes batches, and is killed and started again; `steps` is what it has stored."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.steps: dict[str, Step] = {}
        self._open()

    def _open(self) -> None:
        self.connection = open_for_writing(self._path, "normal")
        self._transaction = Transaction(self.connection)
        self._kept(self._transaction.end_orphans(LATE))

    def write(self, records: list[Record]) -> None:
        """Commit a batch."""
        self._transaction.write(records)
        self._kept(records)

    def _kept(self, records: list[Record]) -> None:
        for record in records:
            if isinstance(record, InterceptionStart):
                self.steps[record.interception_id] = Step(record, [], None)
                continue
            step = self.steps[record.interception_id]
            if step.end is not None:
                continue  # the answer did not outlive the daemon that was relaying it
            if isinstance(record, InterceptionEnd):
                step.end = record
            elif isinstance(record, ToolUsage):
                step.calls.append(record)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.connection.close()
        self._open()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without a record, to be copied: making one for each example takes long."""
    path = tmp_path_factory.mktemp("empty") / "aigw.db"
    open_for_writing(path, "normal").close()
    return path


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_order_of_arrival_gives_the_same_tree(empty: Path, data: st.DataObject) -> None:
    batches = data.draw(arrivals(data.draw(agents())))
    restarts = data.draw(st.sets(st.integers(0, len(batches)), max_size=2), label="restarts")
    with TemporaryDirectory() as folder:
        path = Path(shutil.copy(empty, folder))
        daemon = Daemon(path)
        for number, batch in enumerate(batches):
            daemon.write(batch)
            if number in restarts:
                daemon.restart()
            if data.draw(st.integers(0, 3), label="upkeep?") == 0:
                roll_up(daemon.connection, data.draw(st.sampled_from((1, 3, 10, 1000))))
        while roll_up(daemon.connection, 7):
            pass
        with closing(daemon.connection):
            assert stored(daemon.connection) == expected(daemon.steps.values())
