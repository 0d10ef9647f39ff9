"""Reading the store for one answer: in a thread and with a connection of its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from aigw.store.reader import reading

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

Read = TypeVar("Read")

CHECKED_EVERY = 10_000
"""Steps of SQLite's machine between two looks at whether anybody still waits: about a millisecond."""


async def read_apart(database: Path, read: Callable[[sqlite3.Connection], Read]) -> Read:
    """What `read` returns or raises for a read-only connection in autocommit mode.

    The event loop's own few threads are left alone: a long answer must not keep others, nor the
    look-ups of host names, waiting. Where the caller is cancelled the reading ends soon: who asks
    and leaves, again and again, must not fill the machine with threads.

    Raises:
        StoreError: as `reader.open_reader`, and for SQLite's own errors.
    """
    done: Future[Read] = Future()
    left = threading.Event()

    def work() -> None:
        # From here on the waiting cannot take the future away.
        done.set_running_or_notify_cancel()
        try:
            with reading(database) as connection:
                connection.set_progress_handler(left.is_set, CHECKED_EVERY)
                found = read(connection)
        except BaseException as error:  # noqa: BLE001 (it is raised where it is awaited)
            done.set_exception(error)
        else:
            done.set_result(found)

    threading.Thread(target=work, name="read-api", daemon=True).start()
    try:
        return await asyncio.wrap_future(done)
    finally:
        left.set()
