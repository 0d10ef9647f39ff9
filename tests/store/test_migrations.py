"""A store of an older version, brought to the current one."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aigw.records import InterceptionEnd, InterceptionStart, ToolUsage
from aigw.store.database import open_for_writing
from aigw.store.migrations import MIGRATIONS
from aigw.store.rollup import roll_up
from aigw.store.schema import SCHEMA_VERSION
from aigw.store.transaction import Transaction
from tests.store.agents import Step, agents, arrivals, expected, stored
from tests.store.rows import NOON, start

if TYPE_CHECKING:
    from aigw.records import Record

_START = (
    "started_at",
    "initiator_id",
    "api_key_id",
    "provider",
    "provider_name",
    "route",
    "model",
    "client",
    "client_session_id",
    "correlating_tool_call_id",
    "credential_kind",
    "credential_hint",
)
_END = (
    "ended_at",
    "status",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_input_tokens",
    "reasoning_tokens",
)


class Version2:
    """A store as the version before sessions wrote it."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        for version in MIGRATIONS[:2]:
            self.connection.executescript(version)
        self.connection.execute("PRAGMA user_version = 2")
        self._seq = 0
        self._seqs: dict[str, int] = {}

    def write(self, record: Record, responses: Counter[str]) -> None:
        """Insert a record; with its end an interception gets `responses` token usages."""
        self._seq += 1
        key = record.interception_id
        if isinstance(record, InterceptionStart):
            self._seqs[key] = self._seq
            fields = {name: getattr(record, name) for name in _START}
            self._insert("interceptions", seq=self._seq, id=key, metadata="{}", **fields)
        elif isinstance(record, ToolUsage):
            self._insert(
                "tool_usages", seq=self._seq, interception_seq=self._seqs[key], id=record.id,
                created_at=NOON, msg_id="m", tool_call_id=record.tool_call_id, item_id="",
                tool="Bash", input="{}", injected=0, metadata="{}",
            )  # fmt: skip
        elif isinstance(record, InterceptionEnd):
            for number in range(responses[key]):
                self._insert(
                    "token_usages", seq=self._seq, interception_seq=self._seqs[key],
                    id=f"k{number}", created_at=NOON, msg_id="m", input_tokens=1, output_tokens=1,
                    cache_read_input_tokens=0, cache_write_input_tokens=0, metadata="{}",
                )  # fmt: skip
                self._seq += 1
            values = [getattr(record, name) for name in _END]
            self.connection.execute(
                f"UPDATE interceptions SET end_seq = ?, {' = ?, '.join(_END)} = ? WHERE id = ?",
                (self._seq, *values, key),
            )

    def _insert(self, table: str, **fields: Any) -> None:
        marks = ",".join("?" * len(fields))
        self.connection.execute(
            f"INSERT INTO {table} ({','.join(fields)}) VALUES ({marks})", list(fields.values())
        )


def as_of_version_2(steps: list[Step], responses: Counter[str]) -> None:
    """Take out of the steps what that version did not record."""
    for step in steps:
        step.start.plan = step.start.parent_session_id = None
        if step.end is not None:
            step.end.cost_micros = step.end.estimated = 0
            step.end.unpriced = responses[step.end.interception_id]


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_older_versions_recorded_is_linked_and_summed_up(data: st.DataObject) -> None:
    steps = data.draw(agents())
    responses = Counter({s.start.interception_id: data.draw(st.integers(0, 2)) for s in steps})
    batches = data.draw(arrivals(steps))
    as_of_version_2(steps, responses)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "aigw.db"
        old = Version2(path)
        with closing(old.connection), old.connection:
            old.connection.execute("BEGIN")
            for batch in batches:
                for record in batch:
                    old.write(record, responses)
        with closing(open_for_writing(path, "normal")) as connection:
            assert stored(connection) == expected(steps)
            assert not roll_up(connection)
            # And the next session finds its place beside them.
            Transaction(connection).write([start("new", NOON, client_session_id="new")])
            assert stored(connection).sessions["new"] == ("new", "local")


def test_who_starts_an_older_store_is_told_that_it_takes_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="aigw.store")
    Version2(tmp_path / "old.db").connection.close()
    open_for_writing(tmp_path / "old.db", "normal").close()
    assert f"from schema version 2 to {SCHEMA_VERSION}" in caplog.text
    caplog.clear()
    open_for_writing(tmp_path / "new.db", "normal").close()
    assert not caplog.records
