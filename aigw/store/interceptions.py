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
from aigw.store.filters import Condition, joined, like_pattern, resolve_id
from aigw.store.reader import open_reader, translated
from aigw.store.sources import SOURCES, Source

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

DISTINCT_COLUMNS = {"models": "model", "clients": "client", "providers": "provider_name"}

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
]

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
        f"SELECT {', '.join(_COLUMNS)} FROM interceptions AS i WHERE {where}"  # noqa: S608
        " ORDER BY i.started_at DESC, i.id DESC LIMIT ? OFFSET ?",
        [*values, query.limit, query.offset],
    )
    return Page(counted[0][0], await _with_children(connection, rows))


async def one(connection: aiosqlite.Connection, interception_id: str) -> dict[str, Any] | None:
    """One interception by its whole id."""
    sql = f"SELECT {', '.join(_COLUMNS)} FROM interceptions WHERE id = ?"  # noqa: S608
    rows = await _all(connection, sql, [interception_id])
    found = await _with_children(connection, rows)
    return found[0] if found else None


async def initiator_exists(
    connection: aiosqlite.Connection, name: str, owner: str | None = None
) -> bool:
    """Whether any interception is of this initiator, upper and lower case being the same.

    With an `owner` only that one's are looked at.
    """
    seen, values = _owned("i", owner)
    sql = (
        "SELECT 1 FROM interceptions AS i"  # noqa: S608
        f" WHERE i.initiator_id LIKE ? ESCAPE '\\' AND {seen} LIMIT 1"
    )
    return bool(await _all(connection, sql, [_literal(name), *values]))


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
    rows = await _all(
        connection,
        f"SELECT DISTINCT {column} FROM interceptions AS i"  # noqa: S608
        f" WHERE {column} != '' AND {column} LIKE ? ESCAPE '\\' AND {seen}"
        f" ORDER BY {column} LIMIT ? OFFSET ?",
        [_literal(begin) + "%", *values, limit, offset],
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
        ("i.client_session_id", query.session_id),
    ):
        if wanted is not None:
            found.append((f"{column} LIKE ? ESCAPE '\\'", [_literal(wanted)]))
    if query.started_after is not None:
        found.append(("i.started_at >= ?", [query.started_after]))
    if query.started_before is not None:
        found.append(("i.started_at <= ?", [query.started_before]))
    return joined(found)


def _owned(alias: str, owner: str | None) -> Condition:
    """The condition that an interception may be seen by its owner; always true without one."""
    return ("1", []) if owner is None else (f"{alias}.initiator_id = ?", [owner])


def _literal(name: str) -> str:
    # The API has no wildcard: a star is a star.
    return "*".join(like_pattern(part) for part in name.split("*"))


async def _all(connection: aiosqlite.Connection, sql: str, values: list[Any]) -> list[Any]:
    return list(await connection.execute_fetchall(sql, values))


async def _with_children(
    connection: aiosqlite.Connection, rows: Iterable[Any]
) -> list[dict[str, Any]]:
    found = {row[0]: _interception(dict(zip(_COLUMNS, row, strict=True))) for row in rows}
    chosen = json.dumps(list(found))
    for source in SOURCES:
        if not source.is_child:
            continue
        children = await _all(
            connection,
            f"SELECT t.interception_seq, {source.columns} FROM {source.table} AS t"  # noqa: S608
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
