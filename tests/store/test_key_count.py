from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aigw.errors import StoreError
from aigw.store.key_count import count_keys
from aigw.store.schema import MIGRATIONS
from tests.store.gateway_keys import insert_key
from tests.store.rows import new_store


def test_no_database_has_no_keys_and_none_is_made(tmp_path: Path) -> None:
    assert count_keys(tmp_path / "none" / "aigw.db") == 0
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_has_no_keys(tmp_path: Path) -> None:
    path = tmp_path / "aigw.db"
    path.write_bytes(b"")
    assert count_keys(path) == 0


def test_a_database_from_before_keys(tmp_path: Path) -> None:
    path = tmp_path / "aigw.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"{MIGRATIONS[0]}\nPRAGMA user_version = 1;")
    assert count_keys(path) == 0


def test_keys_are_counted_revoked_ones_too(tmp_path: Path) -> None:
    path = tmp_path / "aigw.db"
    with new_store(path):
        assert count_keys(path) == 0
        with closing(sqlite3.connect(path)) as connection:
            insert_key(connection, "one")
            insert_key(connection, "two")
            connection.execute("UPDATE gateway_keys SET revoked_at = 1")
            connection.commit()
        assert count_keys(path) == 2


def test_what_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "aigw.db"
    path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(StoreError, match="not a SQLite database"):
        count_keys(path)
