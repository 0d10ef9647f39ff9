from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from aigw.store.reader import open_reader
from tests.store.rows import Store, new_store

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path / "aigw.db") as made:
        yield made


@pytest.fixture
def reader(store: Store) -> Iterator[sqlite3.Connection]:
    with closing(open_reader(store.path)) as connection:
        yield connection
