"""How many gateway keys there are, whether or not a daemon has made the database yet."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from aigw.store.reader import BUSY_SECONDS, database_uri, translated
from aigw.store.schema import schema_version

KEYS_SINCE = 2
"""The first version of the schema with gateway keys."""


def count_keys(database: Path) -> int:
    """The gateway keys in a database, revoked ones too; 0 where there is no database.

    Revoked ones count because the first key made ends open mode for good: revoking the last one
    must shut everybody out, not let everybody in.

    Raises:
        StoreError: the database cannot be read.
    """
    if not database.is_file():
        return 0
    uri = database_uri(database)
    with (
        translated(database),
        closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection,
    ):
        if schema_version(connection) < KEYS_SINCE:
            return 0
        found: int = connection.execute("SELECT count(*) FROM gateway_keys").fetchone()[0]
        return found
