"""`GET .../sessions` and `GET .../sessions/{id}`."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from aigw.api.apart import read_apart
from aigw.api.query import (
    INVALID_SESSION_SEARCH,
    INVALID_VALUE,
    Answer,
    BadQuery,
    parse_session_query,
    small_integer,
)
from aigw.store.reader import snapshot
from aigw.store.session_object import session_object, summary_object
from aigw.store.session_tree import exact_session, read_session
from aigw.store.sessions import UnknownCursorError, has_sessions, list_sessions

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from pathlib import Path

    from aigw.store.sessions import SessionQuery

THREADS = 50
LARGEST_THREADS = 200
"""Threads of a session on one page: when none is asked for, and at most."""

NOT_FOUND: Answer = (404, {"message": "Session not found."})


@dataclass(frozen=True, slots=True)
class ThreadQuery:
    """Which page of a session's threads: after one, before one, or the first."""

    after_id: str | None
    before_id: str | None
    limit: int


async def handle_list(
    params: Mapping[str, str], database: Path, owner: str | None, me: str | None
) -> Answer:
    """A page of sessions with the count of all that match. As `parse_query`: `owner`, `me`.

    Raises:
        BadQuery: the parameters are not understood.
    """
    query = parse_session_query(params, owner=owner, me=me)
    return await read_apart(database, partial(_list, query=query, me=me))


async def handle_one(
    session_id: str, params: Mapping[str, str], database: Path, owner: str | None
) -> Answer:
    """One session with a page of its threads. With an `owner` only that one's sessions are there.

    Raises:
        BadQuery: the parameters are not understood.
    """
    query = parse_thread_query(params)
    return await read_apart(
        database, partial(_one, session_id=session_id, query=query, owner=owner)
    )


def parse_thread_query(params: Mapping[str, str]) -> ThreadQuery:
    """What page of threads the parameters ask for.

    Raises:
        BadQuery: they are not understood.
    """
    after_id, before_id = _thread_id(params, "after_id"), _thread_id(params, "before_id")
    if after_id and before_id:
        raise BadQuery("Cannot use both after_id and before_id in the same request.")
    text = params.get("limit", "")
    limit = small_integer(text) if text else THREADS
    if limit is None or not 1 <= limit <= LARGEST_THREADS:
        problem = f"Limit must be between 1 and {LARGEST_THREADS}."
        raise BadQuery("Invalid limit query parameter.", problem)
    return ThreadQuery(after_id, before_id, limit)


def _thread_id(params: Mapping[str, str], name: str) -> str | None:
    text = params.get(name, "")
    if not text:
        return None
    try:
        return str(uuid.UUID(text))
    except ValueError:
        problem = f'Query param "{name}" must be a valid uuid'
        raise BadQuery(f"Invalid {name} query parameter.", problem) from None


def _list(connection: sqlite3.Connection, *, query: SessionQuery, me: str | None) -> Answer:
    name = query.initiator
    # The caller exists, whether or not there are sessions of theirs yet.
    known = name is None or (me is not None and name.lower() == me.lower())
    if not known and not has_sessions(connection, str(name), query.owner):
        problem = f'user "{name}" either does not exist, or you are unauthorized to view them'
        raise BadQuery(INVALID_SESSION_SEARCH, "", ("initiator", problem))
    try:
        page = list_sessions(connection, query)
    except UnknownCursorError as error:
        raise BadQuery(INVALID_VALUE, f"after_session_id: {error}") from None
    return 200, {"count": page.count, "sessions": [summary_object(s) for s in page.sessions]}


def _one(
    connection: sqlite3.Connection, *, session_id: str, query: ThreadQuery, owner: str | None
) -> Answer:
    with snapshot(connection):
        row = exact_session(connection, session_id, owner)
        if row is None:
            return NOT_FOUND
        try:
            found = read_session(
                connection, row.seq, after=query.after_id, before=query.before_id, limit=query.limit
            )
        except ValueError as error:
            # The session is there, so it is the cursor that is not.
            raise BadQuery("Invalid pagination cursor.", str(error)) from None
    return 200, session_object(found)
