"""When gateway keys were last used: noted in memory, written now and then."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Mapping

from aigw.errors import StoreError
from aigw.store.key_ring import KeyRing
from aigw.store.writer import Writer

_log = logging.getLogger("aigw.keys")

EVERY_SECONDS = 30.0
"""How far `aigw keys list` may be behind. A write for every request would double their number."""


async def note_uses_regularly(writer: Writer, ring: KeyRing) -> None:
    """Write what `ring` has noted, every half minute. `note_uses` writes the rest at the end."""
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        await note_uses(writer, ring)


async def note_uses(writer: Writer, ring: KeyRing) -> None:
    """Write what `ring` has noted; what cannot be written is kept for the next time."""
    uses = ring.take_uses()
    if not uses:
        return
    try:
        await writer.call(lambda connection: store_uses(connection, uses))
    except (sqlite3.Error, StoreError) as error:
        ring.put_back_uses(uses)
        _log.warning("cannot write when gateway keys were last used: %s", error)


def store_uses(connection: sqlite3.Connection, uses: Mapping[str, int]) -> None:
    """Write the moments (microseconds, by key id) in one transaction, never back in time.

    Raises:
        sqlite3.Error: as SQLite says; nothing was written.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(
            "UPDATE gateway_keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE id = ?",
            [(moment, key_id) for key_id, moment in uses.items()],
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
