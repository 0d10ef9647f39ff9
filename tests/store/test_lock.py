"""One daemon per database, and a note that is believed only while its daemon lives."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aigw.errors import StoreError
from aigw.store.lock import DaemonLock, Runtime, is_locked, read_runtime, runtime_path

ROOT = Path(__file__).parents[2]

_HOLD = """
import os, sys
from pathlib import Path
from aigw.store.lock import DaemonLock, Runtime
lock = DaemonLock(Path(sys.argv[1]))
lock.acquire()
lock.publish(Runtime(pid=os.getpid(), address="http://127.0.0.1:4321", started_at=1, version="9"))
print("held", flush=True)
sys.stdin.read()
lock.release()
"""


@contextmanager
def holder(database: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock until its stdin closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(database)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"held"
        yield process
    finally:
        process.kill()
        process.communicate()


def runtime() -> Runtime:
    return Runtime(pid=os.getpid(), address="http://127.0.0.1:1", started_at=2, version="1")


def test_a_second_process_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    database = tmp_path / "aigw.db"
    with holder(database) as process:
        assert is_locked(database)
        found = read_runtime(database)
        assert found is not None
        assert (found.pid, found.address) == (process.pid, "http://127.0.0.1:4321")
        with pytest.raises(StoreError, match="already uses") as refused:
            DaemonLock(database).acquire()
        assert str(process.pid) in str(refused.value)
        assert "http://127.0.0.1:4321" in str(refused.value)
        assert "--db" in str(refused.value)
        # The one refused has disturbed nothing.
        assert read_runtime(database) == found
        process.communicate(b"")
        assert process.returncode == 0
    assert not is_locked(database)
    assert not runtime_path(database).exists()


def test_the_note_of_a_killed_process_is_not_believed(tmp_path: Path) -> None:
    database = tmp_path / "aigw.db"
    with holder(database) as process:
        process.kill()
        process.wait()
    assert runtime_path(database).exists()
    assert not is_locked(database)
    assert read_runtime(database) is None
    lock = DaemonLock(database)
    lock.acquire()
    lock.publish(runtime())
    assert read_runtime(database) == runtime()
    lock.release()
    assert read_runtime(database) is None


def test_each_database_has_its_own_lock(tmp_path: Path) -> None:
    first, second = DaemonLock(tmp_path / "a.db"), DaemonLock(tmp_path / "b.db")
    first.acquire()
    second.acquire()
    first.release()
    assert is_locked(tmp_path / "b.db")
    second.release()


def test_asking_does_not_disturb_who_holds_it(tmp_path: Path) -> None:
    database = tmp_path / "aigw.db"
    assert not is_locked(database)
    assert list(tmp_path.iterdir()) == []
    lock = DaemonLock(database)
    lock.acquire()
    for _ in range(3):
        assert is_locked(database)
    assert read_runtime(database) is None
    lock.release()
    lock.release()
    assert not is_locked(database)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff"])
def test_a_broken_note_is_no_note(tmp_path: Path, content: bytes) -> None:
    database = tmp_path / "aigw.db"
    lock = DaemonLock(database)
    lock.acquire()
    runtime_path(database).write_bytes(content)
    assert read_runtime(database) is None
    with pytest.raises(StoreError, match="already uses"):
        DaemonLock(database).acquire()
    lock.release()


@pytest.mark.skipif(os.name == "nt", reason="POSIX file modes")
def test_modes(tmp_path: Path) -> None:
    database = tmp_path / "made" / "aigw.db"
    before = os.umask(0)
    try:
        lock = DaemonLock(database)
        lock.acquire()
        lock.publish(runtime())
    finally:
        os.umask(before)
    assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700
    names = {path.name for path in database.parent.iterdir()}
    assert names == {"aigw.db.lock", "aigw.db.daemon.json"}
    for path in database.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    lock.release()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--db"):
        DaemonLock(tmp_path / "file" / "aigw.db").acquire()


def test_the_note_keeps_what_commands_need_and_shows_no_token(tmp_path: Path) -> None:
    database = tmp_path / "aigw.db"
    lock = DaemonLock(database)
    lock.acquire()
    left = runtime()
    left.control_token, left.certificate = "canary-token", "-----BEGIN CERTIFICATE-----"
    left.listening = "https://0.0.0.0:1"
    lock.publish(left)
    found = read_runtime(database)
    lock.release()
    assert found == left
    assert "canary" not in f"{found!r} {found}"


def test_the_note_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    database = tmp_path / "aigw.db"
    lock = DaemonLock(database)
    lock.acquire()
    runtime_path(database).write_text(
        '{"pid": 7, "address": "http://127.0.0.1:1", "started_at": 2, "version": "0.1"}'
    )
    found = read_runtime(database)
    lock.release()
    assert found is not None
    assert (found.control_token, found.certificate, found.listening) == ("", None, "")
