"""The tables, and how an older database becomes a current one.

Identity: every record gets a `seq` from one counter of the store's single writer, so `seq` is the
commit order over all tables, unique across them, and never reused: the next one follows the highest
there is, or `next_seq` in `meta`, which retention raises when it deletes. It is each table's integer primary key,
the rowid of a record's entry in the full-text index, and the cursor of `aigw logs -f`.
`interceptions` holds two records in one row: `seq` is the start's, `end_seq` the end's.

Times are integer microseconds UTC. Text is UTF-8. `metadata` is a JSON object.

Migrations are ordered, each runs in one transaction together with its `user_version`, and none is
edited after a release: a change is a new one at the end. docs/schema.md explains every table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from aigw.errors import StoreError

_VERSION_1 = """
CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE interceptions (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  started_at INTEGER NOT NULL,
  initiator_id TEXT NOT NULL,
  api_key_id TEXT,
  provider TEXT NOT NULL,
  provider_name TEXT NOT NULL,
  route TEXT NOT NULL,
  model TEXT NOT NULL,
  client TEXT NOT NULL,
  client_session_id TEXT,
  correlating_tool_call_id TEXT,
  credential_kind TEXT NOT NULL,
  credential_hint TEXT NOT NULL,
  metadata TEXT NOT NULL,
  end_seq INTEGER,
  ended_at INTEGER,
  status TEXT,
  status_code INTEGER,
  error_type TEXT,
  error_message TEXT,
  duration_ms INTEGER,
  time_to_first_byte_ms INTEGER,
  streaming INTEGER,
  input_tokens INTEGER,
  output_tokens INTEGER,
  cache_read_input_tokens INTEGER,
  cache_write_input_tokens INTEGER,
  reasoning_tokens INTEGER
);
CREATE INDEX interceptions_started_at ON interceptions (started_at);
CREATE INDEX interceptions_end_seq ON interceptions (end_seq);
CREATE INDEX interceptions_session ON interceptions (client_session_id)
  WHERE client_session_id IS NOT NULL;

CREATE TABLE token_usages (
  seq INTEGER PRIMARY KEY,
  interception_seq INTEGER NOT NULL REFERENCES interceptions (seq) ON DELETE CASCADE,
  id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  msg_id TEXT NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cache_read_input_tokens INTEGER NOT NULL,
  cache_write_input_tokens INTEGER NOT NULL,
  metadata TEXT NOT NULL
);
CREATE INDEX token_usages_interception ON token_usages (interception_seq);

CREATE TABLE user_prompts (
  seq INTEGER PRIMARY KEY,
  interception_seq INTEGER NOT NULL REFERENCES interceptions (seq) ON DELETE CASCADE,
  id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  msg_id TEXT NOT NULL,
  prompt TEXT NOT NULL,
  metadata TEXT NOT NULL
);
CREATE INDEX user_prompts_interception ON user_prompts (interception_seq);

CREATE TABLE tool_usages (
  seq INTEGER PRIMARY KEY,
  interception_seq INTEGER NOT NULL REFERENCES interceptions (seq) ON DELETE CASCADE,
  id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  msg_id TEXT NOT NULL,
  tool_call_id TEXT NOT NULL,
  item_id TEXT NOT NULL,
  tool TEXT NOT NULL,
  input TEXT NOT NULL,
  server_url TEXT,
  injected INTEGER NOT NULL,
  invocation_error TEXT,
  metadata TEXT NOT NULL
);
CREATE INDEX tool_usages_interception ON tool_usages (interception_seq);

CREATE TABLE tool_results (
  seq INTEGER PRIMARY KEY,
  interception_seq INTEGER NOT NULL REFERENCES interceptions (seq) ON DELETE CASCADE,
  id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  tool_call_id TEXT NOT NULL,
  is_error INTEGER NOT NULL,
  size INTEGER NOT NULL,
  content TEXT NOT NULL,
  truncated INTEGER NOT NULL,
  metadata TEXT NOT NULL
);
CREATE INDEX tool_results_interception ON tool_results (interception_seq);

CREATE TABLE model_thoughts (
  seq INTEGER PRIMARY KEY,
  interception_seq INTEGER NOT NULL REFERENCES interceptions (seq) ON DELETE CASCADE,
  id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  content TEXT NOT NULL,
  metadata TEXT NOT NULL
);
CREATE INDEX model_thoughts_interception ON model_thoughts (interception_seq);

CREATE VIRTUAL TABLE search USING fts5 (text, content = '', tokenize = 'unicode61');
-- Merging segments less often halves the cost of indexing; queries stay far below a millisecond.
INSERT INTO search (search, rank) VALUES ('automerge', 16);
"""

_VERSION_2 = """
ALTER TABLE interceptions ADD COLUMN requested_model TEXT;
ALTER TABLE interceptions ADD COLUMN model_rule TEXT;
ALTER TABLE interceptions ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;
ALTER TABLE interceptions ADD COLUMN served_hint TEXT;

CREATE TABLE gateway_keys (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  user TEXT NOT NULL,
  secret_hash BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  last_used_at INTEGER,
  revoked_at INTEGER,
  providers TEXT NOT NULL,
  models TEXT NOT NULL,
  rate_limit INTEGER,
  max_concurrency INTEGER,
  is_admin INTEGER NOT NULL
) WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2)
"""Statement `n` takes a database from version `n` to `n + 1`."""

SCHEMA_VERSION = len(MIGRATIONS)

CHILD_TABLES = ("token_usages", "user_prompts", "tool_usages", "tool_results", "model_thoughts")
"""The tables whose rows belong to one interception."""

SEARCHED: dict[str, str] = {
    "user_prompts": "prompt",
    "tool_usages": "input",
    "tool_results": "content",
    "model_thoughts": "content",
}
"""Which column of which table is in the full-text index `search`, by rowid = seq."""


def schema_version(connection: sqlite3.Connection) -> int:
    """The version of an open database; 0 for a new one."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


_LAST_SEQS = " UNION ALL ".join(
    [
        "SELECT value - 1 AS last FROM meta WHERE key = 'next_seq'",
        "SELECT max(end_seq) FROM interceptions",
        *(f"SELECT max(seq) FROM {table}" for table in ("interceptions", *CHILD_TABLES)),  # noqa: S608
    ]
)


def last_seq(connection: sqlite3.Connection) -> int:
    """The highest `seq` handed out; 0 in a store that never held a record."""
    last: int | None = connection.execute(f"SELECT max(last) FROM ({_LAST_SEQS})").fetchone()[0]  # noqa: S608
    return last or 0


def keep_last_seq(connection: sqlite3.Connection) -> None:
    """Note how far `seq` has come, in the transaction of the caller, who is about to delete rows."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('next_seq', ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (last_seq(connection) + 1,),
    )


def check_version(connection: sqlite3.Connection) -> None:
    """Refuse a database that a newer aigw has made.

    Raises:
        StoreError: the database's version is newer than this program's.
    """
    version = schema_version(connection)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the database has schema version {version}, this aigw knows up to {SCHEMA_VERSION}: "
            "it was written by a newer aigw. Upgrade aigw, or name another database with --db."
        )


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to the current schema. Two processes may do so at once: one waits.

    Raises:
        StoreError: the database is newer than this program.
    """
    check_version(connection)
    while (version := schema_version(connection)) < SCHEMA_VERSION:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have been first while this one waited for its turn.
            if schema_version(connection) == version:
                for statement in _statements(MIGRATIONS[version]):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _statements(script: str) -> Iterator[str]:
    # Not executescript: it commits what is open first, and the check above must be inside.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
