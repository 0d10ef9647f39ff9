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
from aigw.store.filters import Condition, joined, named, resolve_id
from aigw.store.reader import open_reader, translated
from aigw.store.rollup import ROLLED_SEQ
from aigw.store.schema import SEARCHED
from aigw.store.sources import SOURCES, Source
from aigw.store.text_room import LENGTHS, ROOM, beginning, fair_share

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

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


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """Which interceptions, and which page of them. Times are inclusive, in microseconds.

    `after_id` is the id that the page before ended with; `offset` counts from the newest. `owner` is
    the initiator, letter by letter, whose interceptions alone may be seen; None for everybody's.
    """

    owner: str | None = None
    initiator: str | None = None
    provider: str | None = None
    provider_name: str | None = None
    model: str | None = None
    client: str | None = None
    session_id: str | None = None
    started_after: int | None = None
    started_before: int | None = None
    after_id: str | None = None
    offset: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """`count` is how many interceptions match on all pages."""

    count: int
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
    where, values = _matching(query)
    count = f"SELECT count(*) FROM interceptions AS i WHERE {where}"  # noqa: S608 (our own names)
    counted = await _all(connection, count, values)
    if not counted[0][0]:
        # Looking for a page of nothing would take as long again.
        return Page(0, [])
    if query.after_id is not None:
        # As with Coder's, an id that is not there, or may not be seen, has nothing after it.
        seen, owner = _owned("o", query.owner)
        cursor = (
            "(i.started_at, i.id) < (SELECT o.started_at, o.id FROM interceptions AS o"  # noqa: S608
            f" WHERE o.id = ? AND {seen})"
        )
        where, values = joined([(where, values), (cursor, [query.after_id, *owner])])
    rows = await _all(
        connection,
        f"{_SELECT} FROM interceptions AS i WHERE {where}"
        " ORDER BY i.started_at DESC, i.id DESC LIMIT ? OFFSET ?",
        [*values, query.limit, query.offset],
    )
    chosen = json.dumps([row[0] for row in rows])
    cut = fair_share((row[0] for row in await _all(connection, LENGTHS, [chosen])), ROOM)
    return Page(counted[0][0], await _with_children(connection, rows, cut), cut)


async def one(connection: aiosqlite.Connection, interception_id: str) -> dict[str, Any] | None:
    """One interception by its whole id."""
    sql = f"{_SELECT} FROM interceptions AS i WHERE i.id = ?"
    rows = await _all(connection, sql, [interception_id])
    found = await _with_children(connection, rows)
    return found[0] if found else None


async def initiator_exists(
    connection: aiosqlite.Connection, name: str, owner: str | None = None
) -> bool:
    """Whether any session is of this initiator, upper and lower case being the same.

    With an `owner` only that one's are looked at.
    """
    seen, values = _owned("s", owner)
    same, wanted = named("s.initiator_id", name)
    # There is a session wherever there is an interception, and they are far fewer.
    sql = f"SELECT 1 FROM sessions AS s WHERE {same} AND {seen} LIMIT 1"  # noqa: S608
    return bool(await _all(connection, sql, [*wanted, *values]))


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
    seen, values = _owned("i", owner)
    # The sums know the names of all that ended; the rest is a moment's worth.
    wanted = f"i.{column} != '' AND substr(i.{column}, 1, length(?)) = ? COLLATE NOCASE AND {seen}"
    rows = await _all(
        connection,
        f"SELECT i.{column} FROM usage_quarters AS i WHERE {wanted}"  # noqa: S608
        f" UNION SELECT i.{column} FROM interceptions AS i WHERE i.end_seq IS NULL AND {wanted}"
        f" UNION SELECT i.{column} FROM interceptions AS i WHERE i.end_seq >"
        f" ifnull((SELECT value FROM meta WHERE key = '{ROLLED_SEQ}'), 0) AND {wanted}"
        " ORDER BY 1 LIMIT ? OFFSET ?",
        [*[begin, begin, *values] * 3, limit, offset],
    )
    return [row[0] for row in rows]


def _matching(query: PageQuery) -> Condition:
    found: list[Condition] = [_owned("i", query.owner)]
    for column, wanted in (
        ("i.initiator_id", query.initiator),
        ("i.provider", query.provider),
        ("i.provider_name", query.provider_name),
        ("i.model", query.model),
        ("i.client", query.client),
    ):
        if wanted is not None:
            found.append(named(column, wanted))
    if query.session_id is not None:
        sql, values = named("s.id", query.session_id)
        found.append((f"i.session_seq IN (SELECT s.seq FROM sessions AS s WHERE {sql})", values))  # noqa: S608
    if query.started_after is not None:
        found.append(("i.started_at >= ?", [query.started_after]))
    if query.started_before is not None:
        found.append(("i.started_at <= ?", [query.started_before]))
    return joined(found)


def _owned(alias: str, owner: str | None) -> Condition:
    """The condition that an interception may be seen by its owner; always true without one."""
    return ("1", []) if owner is None else (f"{alias}.initiator_id = ?", [owner])


async def _all(connection: aiosqlite.Connection, sql: str, values: list[Any]) -> list[Any]:
    return list(await connection.execute_fetchall(sql, values))


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
        children = await _all(
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
