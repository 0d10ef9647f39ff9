from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from aigw.records import log_object
from aigw.store.backup import check_copy, copy_database
from aigw.store.checkpoint import Checkpointer
from aigw.store.filters import Filters
from aigw.store.queries import tail
from aigw.store.reader import open_reader
from aigw.store.rollup import roll_up
from tests.cli.exporting import write_thread
from tests.cli.reading import Command
from tests.store.rows import NOON, Store, children, end, new_store, start


def test_a_copy_has_the_same_records(store: Store, command: Command, tmp_path: Path) -> None:
    store.whole()
    write_thread(store)
    store.start()
    target = tmp_path / "out" / "copy.db"
    target.parent.mkdir()
    (line,) = command.lines("backup", str(target))
    assert "4 interceptions" in line
    assert [path.name for path in target.parent.iterdir()] == ["copy.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with closing(open_reader(target)) as copy:
        copied = [log_object(record) for record in tail(copy, Filters(), 0)]
    assert copied == [log_object(record) for record in tail(store.connection, Filters(), 0)]
    found = command.json("backup", str(target), "--force", "--json")
    assert found == {
        "file": str(target),
        "bytes": target.stat().st_size,
        "interceptions": 4,
    }


def test_a_copy_is_one_file_that_a_daemon_can_go_on_with(
    store: Store, command: Command, tmp_path: Path
) -> None:
    key = store.whole()
    target = tmp_path / "copy.db"
    command.lines("backup", str(target))
    # Not in WAL mode: bytes 18 and 19 of the header (https://sqlite.org/fileformat.html).
    assert target.read_bytes()[18:20] == b"\x01\x01"
    with new_store(target) as restored:
        restored.whole(NOON + 1)
        ids = [
            row[0]
            for row in restored.connection.execute("SELECT id FROM interceptions ORDER BY seq")
        ]
        assert ids[0] == key
        assert len(ids) == 2


class Load(threading.Thread):
    """Writes as the daemon does, upkeep and checkpoints included, until it is told to stop."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.written = 0
        self.changed = threading.Condition()
        self.stopping = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with new_store(self.path) as store, closing(Checkpointer(self.path)) as checkpointer:
                turn = threading.Lock()
                while not self.stopping.is_set():
                    key, at = f"load-{self.written}", NOON + self.written
                    store.write(start(key, at, client_session_id=f"s-{self.written % 7}"))
                    store.write(*children(key, at, "text " * 200), end(key, at, cost_micros=3))
                    if self.written % 3 == 0:
                        roll_up(store.connection, 5)
                    if self.written % 200 == 0:
                        checkpointer.run(store.connection, turn)
                    with self.changed:
                        self.written += 1
                        self.changed.notify_all()
        except BaseException as error:
            self.error = error
            raise

    def wait_for(self, count: int) -> None:
        """Until so many interceptions are written."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.written >= count, 30), self.error


def test_a_copy_made_while_writes_go_on_is_of_one_moment(store: Store, tmp_path: Path) -> None:
    for number in range(600):
        store.whole(NOON - number - 1, prompt="filler " * 300)
    target = tmp_path / "copy.db"
    target.touch()
    load = Load(store.path)
    load.start()
    during: list[int] = []
    try:
        load.wait_for(200)
        before = load.written

        def progress(part: float) -> None:
            # The copy's snapshot is open, and the writer goes on.
            del part
            during.append(load.written)
            load.wait_for(load.written + 20)

        copied = copy_database(store.path, target, progress)
        check_copy(target)
        after = load.written
    finally:
        load.stopping.set()
        load.join()
    assert load.error is None
    assert after >= before + 20 * len(during) > before
    assert 600 + before <= copied <= 600 + during[0] + 1
    assert_consistent(target)


def assert_consistent(path: Path) -> None:
    with closing(sqlite3.connect(path)) as copy:
        assert copy.execute("PRAGMA foreign_key_check").fetchall() == []
        lost = (
            "SELECT count(*) FROM interceptions WHERE session_seq NOT IN (SELECT seq FROM sessions)"
        )
        assert copy.execute(lost).fetchone() == (0,)
        (rolled,) = copy.execute("SELECT value FROM meta WHERE key = 'rolled_seq'").fetchone()
        (summed,) = copy.execute("SELECT sum(requests) FROM usage_quarters").fetchone()
        tail_sql = "SELECT count(*) FROM interceptions WHERE end_seq > ? OR end_seq IS NULL"
        (rest,) = copy.execute(tail_sql, (rolled,)).fetchone()
        assert rest > 0
        assert copy.execute("SELECT count(*) FROM interceptions").fetchone() == (summed + rest,)


def test_a_writer_need_not_wait_between_steps(store: Store, tmp_path: Path) -> None:
    """In the middle of the copy, with its snapshot open, a commit goes through at once."""
    for number in range(200):
        store.whole(NOON + number, prompt="filler " * 4_000)
    target = tmp_path / "copy.db"
    target.touch()
    parts: list[float] = []

    def progress(part: float) -> None:
        parts.append(part)
        # The store's connection waits five seconds for a lock; here it must not wait at all.
        store.connection.execute("PRAGMA busy_timeout = 0")
        store.whole(NOON + 10_000 + len(parts), prompt="meanwhile")

    assert copy_database(store.path, target, progress) == 200
    assert len(parts) > 1
    assert parts == sorted(parts)
    assert parts[-1] == 1


@pytest.mark.parametrize(
    "name", ["aigw.db", "./aigw.db", "aigw.db-wal", "aigw.db-shm", "link", "hard"]
)
@pytest.mark.parametrize("force", [[], ["--force"]], ids=str)
def test_the_database_itself_is_no_target(
    store: Store, command: Command, tmp_path: Path, name: str, force: list[str]
) -> None:
    store.whole()
    (tmp_path / "link").symlink_to(store.path)
    os.link(store.path, tmp_path / "hard")
    before = store.path.read_bytes()
    assert command.run("backup", str(tmp_path / name), *force) == 1
    assert "the database itself" in command.err
    assert store.path.read_bytes() == before


def test_a_database_in_use_is_no_target(store: Store, command: Command, tmp_path: Path) -> None:
    store.whole()
    with new_store(tmp_path / "other.db") as other:
        other.whole()
        assert command.run("backup", str(other.path), "--force") == 1
        assert "in use" in command.err
        assert len(other.connection.execute("SELECT id FROM interceptions").fetchall()) == 1


def test_existing_files_stay(store: Store, command: Command, tmp_path: Path) -> None:
    store.whole()
    target = tmp_path / "there"
    target.write_text("mine")
    assert command.run("backup", str(target)) == 1
    assert "--force" in command.err
    assert target.read_text() == "mine"
    assert command.run("backup", str(tmp_path / "no" / "folder")) == 1
    assert command.run("backup", str(tmp_path)) == 1


def test_stdout_is_no_target(store: Store, command: Command, tmp_path: Path) -> None:
    """As `aigw export -o -` has it: there would be a file of that name instead."""
    store.whole()
    with contextlib.chdir(tmp_path):
        assert command.run("backup", "-") == 2
    assert "name a file" in command.err
    assert not (tmp_path / "-").exists()


def test_a_missing_database_is_told(command: Command, tmp_path: Path) -> None:
    command.database = tmp_path / "nothing.db"
    target = tmp_path / "copy.db"
    assert command.run("backup", str(target)) == 1
    assert "there is no database" in command.err
    assert not target.exists()
    assert not command.database.exists()


def test_a_damaged_database_gives_no_copy(store: Store, command: Command, tmp_path: Path) -> None:
    for number in range(50):
        store.whole(NOON + number, prompt="filler " * 500)
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damaged = tmp_path / "damaged.db"
    shutil.copy(store.path, damaged)
    size = damaged.stat().st_size
    with damaged.open("r+b") as file:
        for page in range(size // 2 // 4096, size // 4096, 3):
            file.seek(page * 4096)
            file.write(b"\xff" * 64)
    command.database = damaged
    target = tmp_path / "out" / "copy.db"
    target.parent.mkdir()
    assert command.run("backup", str(target)) == 1
    assert command.err.startswith("Error: ")
    assert list(target.parent.iterdir()) == []


INTERRUPTED = """
import os, signal, sys
from aigw.cli import progress
from aigw.cli.main import main
{when}
sys.exit(main(sys.argv[1:]))
"""
WHILE_COPYING = """
from contextlib import contextmanager
@contextmanager
def bar(label, shown=True):
    yield lambda part: os.kill(os.getpid(), signal.SIGINT)
progress.progress_bar = bar
"""


def test_an_interruption_leaves_nothing(store: Store, tmp_path: Path) -> None:
    store.whole()
    folder = tmp_path / "out"
    folder.mkdir()
    words = ["backup", str(folder / "copy.db"), "--db", str(store.path)]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(when=WHILE_COPYING), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "")
    assert list(folder.iterdir()) == []
