from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

from aigw.api.apart import read_apart
from aigw.tasks import spawn
from tests.store.rows import new_store

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
LONG = 20
"""Seconds, for a test that fails."""


async def test_reading_ends_when_nobody_waits_for_it(tmp_path: Path) -> None:
    begun, ended = threading.Event(), threading.Event()

    def read(connection: sqlite3.Connection) -> None:
        begun.set()
        try:
            connection.execute(ENDLESS).fetchone()
        finally:
            ended.set()

    with new_store(tmp_path / "aigw.db"):
        reading = spawn("read", read_apart(tmp_path / "aigw.db", read))
        assert await asyncio.to_thread(begun.wait, LONG)
        reading.cancel()
        assert await asyncio.to_thread(ended.wait, LONG)
