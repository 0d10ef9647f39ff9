"""Whatever the order in which records arrive, the tree is the one that the records alone give."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aigw.records import InterceptionEnd, InterceptionStart, ToolUsage
from aigw.store.database import open_for_writing
from aigw.store.linking import LOOKED_THROUGH, SAME_CALL_ID, Linker
from aigw.store.rollup import roll_up
from aigw.store.transaction import Transaction
from tests.store.agents import MINUTE, Step, agents, arrivals, expected, stored
from tests.store.rows import NOON, Store, end, start

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


@settings(max_examples=75, deadline=None, suppress_health_check=list(HealthCheck))
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


def called(key: str, call: str) -> ToolUsage:
    """A tool call that an interception's model made."""
    return ToolUsage(
        interception_id=key, created_at=NOON, id=f"{key}-{call}", msg_id="m", tool_call_id=call,
        tool="Bash", input="{}",
    )  # fmt: skip


def sessions(store: Store) -> list[tuple[object, ...]]:
    """All sessions after the upkeep: id, parent, beginning and last activity in minutes from noon."""
    while roll_up(store.connection):
        pass
    return store.connection.execute(
        "SELECT id, parent_id, (started_at - ?1) / ?2, (last_active_at - ?1) / ?2 FROM sessions"
        " ORDER BY id",
        (NOON, MINUTE),
    ).fetchall()


def step(key: str, minute: int, call: str | None = None, **fields: Any) -> InterceptionStart:
    """An interception that brings the result of a call, in a session without a name."""
    given = {"client_session_id": None, "correlating_tool_call_id": call}
    return start(key, NOON + minute * MINUTE, **(given | fields))


def test_a_later_step_tells_which_session_started_its_thread(store: Store) -> None:
    store.write(step("a", 0), called("a", "c1"))
    store.write(step("b", 1, "c1", parent_session_id="outer"))
    assert sessions(store) == [("a", "outer", 0, 1)]


def test_of_several_starting_sessions_the_order_decides_nothing(store: Store) -> None:
    named = {"client_session_id": "s"}
    store.write(step("a", 0, parent_session_id="y", **named))
    store.write(step("b", 1, parent_session_id="x", **named))
    store.write(step("c", 2, parent_session_id="z", **named))
    assert sessions(store) == [("s", "x", 0, 2)]


def test_a_session_is_not_its_own_parent(store: Store) -> None:
    store.write(step("a", 0, client_session_id="s", parent_session_id="s"))
    assert sessions(store) == [("s", None, 0, 0)]


def test_a_session_forgets_what_moved_to_a_later_maker_of_the_call(store: Store) -> None:
    store.write(step("a", 0), called("a", "call_0"))
    store.write(step("c", 5, "call_0"), end("c", NOON + 9 * MINUTE))
    assert sessions(store) == [("a", None, 0, 9)]
    store.write(step("b", 3), called("b", "call_0"))
    assert sessions(store) == [("a", None, 0, 0), ("b", None, 3, 9)]


def test_a_session_named_like_the_first_interception_of_a_thread(store: Store) -> None:
    store.write(step("x", 0, client_session_id="a"))
    store.write(step("a", 1), step("b", 2, client_session_id="a"))
    assert sessions(store) == [("a", None, 0, 2)]


@pytest.mark.parametrize(
    "others", [{"initiator_id": "bob"}, {"client": "Codex"}, {"client_session_id": "s"}]
)
@pytest.mark.parametrize("call_comes_first", [True, False])
def test_another_ones_call_with_the_same_id(
    store: Store, others: dict[str, str], call_comes_first: bool
) -> None:
    made: list[Record] = [step("a", 0, **others), called("a", "call_0")]
    asked: list[Record] = [step("b", 1, "call_0")]
    for batch in [made, asked] if call_comes_first else [asked, made]:
        store.write(*batch)
    assert len(sessions(store)) == 2
    assert stored(store.connection).parents == {"a": None, "b": None}


def flooded(store: Store) -> None:
    """Somebody uses a call id more often than is looked at."""
    for number in range(SAME_CALL_ID + 10):
        key = f"eve-{number}"
        store.write(step(key, 1, initiator_id="eve"), called(key, "call_0"))


@pytest.mark.parametrize("name", ["s", None])
def test_however_often_others_use_the_call_id_meanwhile(store: Store, name: str | None) -> None:
    store.write(step("a", 0, client_session_id=name), called("a", "call_0"))
    flooded(store)
    store.write(step("b", 2, "call_0", client_session_id=name))
    assert stored(store.connection).parents["b"] == "a"


@pytest.mark.parametrize("others", [{"initiator_id": "bob"}, {"client": "Codex"}])
@pytest.mark.parametrize("name", ["s", None])
def test_nor_is_it_then_another_ones_call(
    store: Store, name: str | None, others: dict[str, str]
) -> None:
    store.write(step("a", 0, client_session_id=name, **others), called("a", "call_0"))
    flooded(store)
    store.write(step("b", 2, "call_0", client_session_id=name))
    store.write(step("a2", 3, client_session_id=name, **others), called("a2", "call_0"))
    assert stored(store.connection).parents["b"] is None


def test_nor_the_call_of_a_thread_that_only_has_the_sessions_name(store: Store) -> None:
    store.write(step("s", 0), called("s", "call_0"))
    flooded(store)
    store.write(step("b", 2, "call_0", client_session_id="s"))
    assert stored(store.connection).parents["b"] is None
    assert len(sessions(store)) == SAME_CALL_ID + 10 + 1


def test_a_long_session_is_looked_through_from_its_end(store: Store) -> None:
    """That it takes no longer in a longer session bounds what results of unknown calls cost."""
    late = step("z", 10_000, "nobodys", client_session_id="s")
    looks = []
    for of in (LOOKED_THROUGH, 4 * LOOKED_THROUGH):
        for number in range(of):
            store.write(step(f"{of}-{number:04}", of + number, client_session_id="s"))
        steps: list[None] = []
        store.connection.set_progress_handler(lambda into=steps: into.append(None), 1)
        assert Linker(store.connection)._makers(late) == []
        store.connection.set_progress_handler(None, 1)
        looks.append(len(steps))
    assert looks[0] > LOOKED_THROUGH
    assert looks[1] < looks[0] * 1.2
