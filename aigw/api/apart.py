"""Reading the store for one answer: in a thread and with a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, TypeVar

from aigw.store.reader import reading

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

Read = TypeVar("Read")


async def read_apart(database: Path, read: Callable[[sqlite3.Connection], Read]) -> Read:
    """What `read` returns or raises for a read-only connection in autocommit mode.

    The event loop's own few threads are left alone: a long answer must not keep others, nor the
    look-ups of host names, waiting.

    Raises:
        StoreError: as `reader.open_reader`, and for SQLite's own errors.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Read] = loop.create_future()

    def settle(result: Read | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type] (what `read` returned, None included)

    def work() -> None:
        result, problem = None, None
        try:
            with reading(database) as connection:
                result = read(connection)
        except BaseException as error:  # noqa: BLE001 (it is raised where it is awaited)
            problem = error
        # The daemon may have ended meanwhile.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, problem)

    threading.Thread(target=work, name="read-api", daemon=True).start()
    return await done
