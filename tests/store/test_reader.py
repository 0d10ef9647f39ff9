from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from aigw.errors import StoreError
from aigw.store.reader import NoDatabase, open_reader, reading
from tests.store.rows import Store, new_store

if TYPE_CHECKING:
    from pathlib import Path


def test_missing_file_is_not_created(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    with pytest.raises(NoDatabase, match="aigw serve"):
        open_reader(path)
    assert list(tmp_path.iterdir()) == []


def test_empty_file_has_no_database_yet(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(NoDatabase, match="empty"):
        open_reader(path)


def test_other_file_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match="not a SQLite database"):
        open_reader(path)


def test_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot open"):
        open_reader(tmp_path)


def test_foreign_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (x)")
    with pytest.raises(StoreError, match="not one of aigw's"):
        open_reader(path)


def test_newer_database_is_refused(store: Store) -> None:
    store.connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer aigw"):
        open_reader(store.path)


def test_damaged_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "aigw.db"
    with new_store(path) as made:
        made.whole()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(StoreError, match="damaged"), reading(path) as connection:
        connection.execute("SELECT * FROM interceptions").fetchall()


def test_reader_cannot_write(reader: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM interceptions")


def test_locked_database_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aigw.store.reader.BUSY_SECONDS", 0.05)
    store.connection.execute("PRAGMA journal_mode = DELETE")
    store.connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked by another program"):
        open_reader(store.path)


def test_path_with_every_special_character(tmp_path: Path) -> None:
    path = tmp_path / "a b%20#c&d=e.db"
    with new_store(path) as made:
        made.whole()
        with reading(path) as connection:
            assert connection.execute("SELECT count(*) FROM interceptions").fetchone() == (1,)
