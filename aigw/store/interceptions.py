"""Interceptions whole, as the read API and `aigw interceptions list` give them: newest first.

The objects have the fields of Coder's API, and ours beside them (status, timings, tool results,
thoughts). Count and page are read in one transaction, so they fit each other.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiosqlite
import msgspec

from aigw.records import RecordType, rfc3339
from aigw.store.filters import named, resolve_id
from aigw.store.interception_pages import PageQuery, all_rows, find_page, owned
from aigw.store.reader import open_reader, translated
from aigw.store.rollup import ROLLED_SEQ
from aigw.store.schema import SEARCHED
from aigw.store.sources import SOURCES, Source
from aigw.store.text_room import LENGTHS, ROOM, beginning, fair_share

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

__all__ = [
    "DISTINCT_COLUMNS",
    "Page",
    "PageQuery",
    "distinct",
    "initiator_exists",
    "one",
    "page",
    "read_whole",
    "reading_async",
]

DISTINCT_COLUMNS = {"models": "model", "clients": "client", "providers": "provider_name"}

# How columns are read, where that is not by their name on the interception's own row.
_READ_AS = {
    "session_id": "(SELECT s.id FROM sessions AS s WHERE s.seq = i.session_seq)",
    "thread_root_id": "(SELECT r.id FROM interceptions AS r WHERE r.seq = i.thread_seq)",
    "thread_parent_id": "(SELECT p.id FROM interceptions AS p WHERE p.seq = i.parent_seq)",
}

_COLUMNS = [
    "seq",
    "id",
    "api_key_id",
    "initiator_id",
    "provider",
    "provider_name",
    "route",
    "model",
    "client",
    "client_session_id",
    "credential_kind",
    "credential_hint",
    "requested_model",
    "model_rule",
    "metadata",
    "started_at",
    "ended_at",
    "status",
    "status_code",
    "error_type",
    "error_message",
    "duration_ms",
    "time_to_first_byte_ms",
    "streaming",
    "attempts",
    "served_hint",
    "session_id",
    "thread_root_id",
    "thread_parent_id",
    "agent_id",
    "parent_agent_id",
    "parent_session_id",
    "plan",
    "cost_micros",
    "unpriced",
    "estimated",
    "context_window",
]
_SELECT = "SELECT " + ", ".join(
    f"{_READ_AS[name]} AS {name}" if name in _READ_AS else f"i.{name}" for name in _COLUMNS
)

# What a record's list is called, and the fields of the record that Coder names otherwise.
_LISTS: dict[RecordType, str] = {
    RecordType.TOKEN_USAGE: "token_usages",
    RecordType.PROMPT_USAGE: "user_prompts",
    RecordType.TOOL_USAGE: "tool_usages",
    RecordType.TOOL_RESULT: "tool_results",
    RecordType.MODEL_THOUGHT: "model_thoughts",
}
_RENAMED = {"msg_id": "provider_response_id"}


@dataclass(frozen=True, slots=True)
class Page:
    """`count` is how many interceptions match on all pages; None where they were not counted."""

    count: int | None
    results: list[dict[str, Any]]
    texts_cut_at: int | None = None


@asynccontextmanager
async def reading_async(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    """A read-only connection whose statements run in a thread of its own, within one transaction.

    Raises:
        StoreError: as `open_reader`, and for SQLite's own errors inside.
    """
    with translated(path):
        # Opened first: aiosqlite leaves its thread behind when the opening fails.
        opened = await asyncio.to_thread(open_reader, path, shared=True)
        async with aiosqlite.Connection(lambda: opened, 64) as connection:
            await connection.execute("BEGIN")
            yield connection


async def page(connection: aiosqlite.Connection, query: PageQuery) -> Page:
    """One page of matching interceptions with all their records."""
    count, seqs = await find_page(connection, query)
    rows = await all_rows(
        connection,
        f"{_SELECT} FROM interceptions AS i WHERE i.seq IN (SELECT value FROM json_each(?))"  # noqa: S608 (our own names)
        " ORDER BY i.started_at DESC, i.id DESC",
        [json.dumps(seqs)],
    )
    chosen = json.dumps([row[0] for row in rows])
    cut = fair_share((row[0] for row in await all_rows(connection, LENGTHS, [chosen])), ROOM)
    return Page(count, await _with_children(connection, rows, cut), cut)


async def one(connection: aiosqlite.Connection, interception_id: str) -> dict[str, Any] | None:
    """One interception by its whole id."""
    sql = f"{_SELECT} FROM interceptions AS i WHERE i.id = ?"
    rows = await all_rows(connection, sql, [interception_id])
    found = await _with_children(connection, rows)
    return found[0] if found else None


async def initiator_exists(
    connection: aiosqlite.Connection, name: str, owner: str | None = None
) -> bool:
    """Whether any session is of this initiator, upper and lower case being the same.

    With an `owner` only that one's are looked at.
    """
    seen, values = owned("s", owner)
    same, wanted = named("s.initiator_id", name)
    # There is a session wherever there is an interception, and they are far fewer.
    sql = f"SELECT 1 FROM sessions AS s WHERE {same} AND {seen} LIMIT 1"  # noqa: S608
    return bool(await all_rows(connection, sql, [*wanted, *values]))


async def distinct(
    connection: aiosqlite.Connection,
    kind: str,
    begin: str,
    limit: int,
    offset: int,
    owner: str | None = None,
) -> list[str]:
    """The models, clients or providers that occur and begin with a text, sorted.

    With an `owner` only those of that initiator's interceptions.
    """
    column = DISTINCT_COLUMNS[kind]
    seen, values = owned("i", owner)
    # The sums know the names of all that ended; the rest is a moment's worth. The few names there
    # are, and not those of each row, are held against the text.
    rows = await all_rows(
        connection,
        f"SELECT name FROM (SELECT i.{column} AS name FROM usage_quarters AS i WHERE {seen}"  # noqa: S608
        f" UNION SELECT i.{column} FROM interceptions AS i WHERE i.end_seq IS NULL AND {seen}"
        f" UNION SELECT i.{column} FROM interceptions AS i WHERE i.end_seq >"
        f" ifnull((SELECT value FROM meta WHERE key = '{ROLLED_SEQ}'), 0) AND {seen})"
        " WHERE +name != '' AND substr(+name, 1, length(?)) = ? COLLATE NOCASE"
        " ORDER BY 1 LIMIT ? OFFSET ?",
        [*values * 3, begin, begin, limit, offset],
    )
    return [row[0] for row in rows]


async def _with_children(
    connection: aiosqlite.Connection, rows: Iterable[Any], cut: int | None = None
) -> list[dict[str, Any]]:
    found = {row[0]: _interception(dict(zip(_COLUMNS, row, strict=True))) for row in rows}
    chosen = json.dumps(list(found))
    for source in SOURCES:
        if not source.is_child:
            continue
        columns = source.columns
        if source.table in SEARCHED:
            text = f"t.{SEARCHED[source.table]}"
            columns = columns.replace(text, beginning(text, cut))
        children = await all_rows(
            connection,
            f"SELECT t.interception_seq, {columns} FROM {source.table} AS t"  # noqa: S608
            " CROSS JOIN interceptions AS i ON i.seq = t.interception_seq"
            " WHERE t.interception_seq IN (SELECT value FROM json_each(?)) ORDER BY t.seq",
            [chosen],
        )
        for row in children:
            found[row[0]][_LISTS[source.kind]].append(_child(source, row[1:]))
    return list(found.values())


def _interception(row: dict[str, Any]) -> dict[str, Any]:
    name = row["initiator_id"]
    initiator = {"id": name, "username": name, "name": name, "avatar_url": ""}
    return {
        "id": row["id"],
        "api_key_id": row["api_key_id"],
        "initiator": initiator,
        "provider": row["provider"],
        "provider_name": row["provider_name"],
        "route": row["route"],
        "model": row["model"],
        "requested_model": row["requested_model"],
        "model_rule": row["model_rule"],
        "client": row["client"] or None,
        "client_session_id": row["client_session_id"],
        "credential_kind": row["credential_kind"],
        "credential_hint": row["credential_hint"],
        "metadata": msgspec.json.decode(row["metadata"]),
        "started_at": rfc3339(row["started_at"]),
        "ended_at": None if row["ended_at"] is None else rfc3339(row["ended_at"]),
        "status": row["status"],
        "status_code": row["status_code"],
        "error_type": row["error_type"],
        "error_message": row["error_message"],
        "duration_ms": row["duration_ms"],
        "time_to_first_byte_ms": row["time_to_first_byte_ms"],
        "streaming": None if row["streaming"] is None else bool(row["streaming"]),
        "attempts": None if row["ended_at"] is None else row["attempts"],
        "served_hint": row["served_hint"],
        "session_id": row["session_id"],
        "thread_root_id": row["thread_root_id"],
        "thread_parent_id": row["thread_parent_id"],
        "agent_id": row["agent_id"],
        "parent_agent_id": row["parent_agent_id"],
        "parent_session_id": row["parent_session_id"],
        "plan": row["plan"],
        "cost_micros": row["cost_micros"],
        "unpriced": row["unpriced"],
        "estimated": row["estimated"],
        "context_window": row["context_window"],
        **{name: [] for name in _LISTS.values()},
    }


def _child(source: Source, row: tuple[Any, ...]) -> dict[str, Any]:
    record = source.make(tuple(row))
    fields = {_RENAMED.get(name, name): getattr(record, name) for name in record.__struct_fields__}
    return {**fields, "created_at": rfc3339(fields["created_at"])}


def read_whole(path: Path, wanted: str) -> dict[str, Any]:
    """One interception by its id or the beginning of it, for a command.

    Raises:
        ValueError: there is none, or several begin so.
        StoreError: the database cannot be read.
    """
    connection: sqlite3.Connection = open_reader(path)
    try:
        with translated(path):
            whole = resolve_id(connection, wanted)
    finally:
        connection.close()

    async def read() -> dict[str, Any] | None:
        async with reading_async(path) as reader:
            return await one(reader, whole)

    found = asyncio.run(read())
    if found is None:
        raise ValueError(f"there is no interception {wanted!r}: it has just been pruned")
    return found
