"""A gateway key in the store, for tests that only need one to be there."""

from __future__ import annotations

import sqlite3


def insert_key(connection: sqlite3.Connection, name: str = "laptop") -> None:
    """Add a key that nobody has the secret of."""
    connection.execute(
        "INSERT INTO gateway_keys"
        " (id, name, user, secret_hash, created_at, providers, models, is_admin)"
        " VALUES (?, ?, 'ada', x'00', 1, '[]', '[]', 0)",
        (f"id-{name}", name),
    )
    if connection.in_transaction:
        connection.commit()
