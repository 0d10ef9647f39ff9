"""Opening the file: modes, settings, and what is said of a file that will not do."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from aigw.errors import StoreError
from aigw.store import database
from aigw.store.database import open_for_writing
from aigw.store.schema import CHILD_TABLES, SCHEMA_VERSION, SEARCHED
from tests.store.rows import NOON, new_store, start
from tests.store.writing import Locked

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX file modes")


def setting(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_new_database(tmp_path: Path) -> None:
    with closing(open_for_writing(tmp_path / "aigw.db", "normal")) as connection:
        assert setting(connection, "auto_vacuum") == 2
        assert setting(connection, "journal_mode") == "wal"
        assert setting(connection, "synchronous") == 1
        assert setting(connection, "foreign_keys") == 1
        assert setting(connection, "busy_timeout") == 0
        assert setting(connection, "wal_autocheckpoint") == 0
        assert setting(connection, "user_version") == SCHEMA_VERSION
        assert connection.isolation_level is None
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        assert {"meta", "interceptions", "search", *CHILD_TABLES, *SEARCHED} <= names


def test_full_synchronisation(tmp_path: Path) -> None:
    with closing(open_for_writing(tmp_path / "aigw.db", "full")) as connection:
        assert setting(connection, "synchronous") == 2


def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    with new_store(tmp_path / "aigw.db") as store:
        store.write(start("i", NOON))
    with closing(open_for_writing(tmp_path / "aigw.db", "normal")) as connection:
        assert connection.execute("SELECT id FROM interceptions").fetchall() == [("i",)]
        assert setting(connection, "auto_vacuum") == 2


@posix
def test_modes(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "aigw.db"
    before = os.umask(0o022)
    try:
        with new_store(path) as store:
            store.start()
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            files = {file.name: file.stat().st_mode for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert set(files) == {"aigw.db", "aigw.db-wal", "aigw.db-shm"}
    for name, mode in files.items():
        assert stat.S_IMODE(mode) == 0o600, name


@posix
def test_a_file_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "aigw.db"
    path.touch(mode=0o644)
    path.chmod(0o644)
    with closing(open_for_writing(path, "normal")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_newer_version(tmp_path: Path) -> None:
    path = tmp_path / "aigw.db"
    with closing(open_for_writing(path, "normal")) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match=r"newer aigw.*--db"):
        open_for_writing(path, "normal")
    with closing(sqlite3.connect(path)) as connection:
        assert setting(connection, "user_version") == SCHEMA_VERSION + 1


@pytest.mark.parametrize("content", [b"not a database at all, but long enough for a header " * 40])
def test_not_a_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "aigw.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not an intact SQLite database"):
        open_for_writing(path, "normal")
    assert path.read_bytes() == content


def test_a_damaged_schema(tmp_path: Path) -> None:
    path = tmp_path / "aigw.db"
    with new_store(path) as store:
        store.whole()
        store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damaged = bytearray(path.read_bytes())
    damaged[100:3000] = os.urandom(2900)
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match="not an intact SQLite database"):
        open_for_writing(path, "normal")


def test_a_locked_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "aigw.db"
    with new_store(path):
        pass
    monkeypatch.setattr(database, "OPENING_SECONDS", 0.05)
    with Locked(path), pytest.raises(StoreError, match="locked by another program"):
        open_for_writing(path, "normal")


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write the database .*--db"):
        open_for_writing(tmp_path / "file" / "aigw.db", "normal")


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write the database"):
        open_for_writing(tmp_path, "normal")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere"
)
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="cannot write the database"):
            open_for_writing(tmp_path / "aigw.db", "normal")
    finally:
        tmp_path.chmod(0o700)


def test_an_old_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "OLDEST_SQLITE", (99, 0, 0))
    with pytest.raises(StoreError, match="newer Python"):
        open_for_writing(tmp_path / "aigw.db", "normal")


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        open_for_writing(path, "normal")
    assert path.read_bytes() == before
