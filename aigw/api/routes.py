"""Which path of the read API is which, without a server: path and parameters in, JSON out."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from aigw.api.interceptions import handle, handle_names
from aigw.api.query import Answer, BadQuery, check_utf8
from aigw.api.sessions import handle_list, handle_one
from aigw.errors import StoreError
from aigw.store.interceptions import DISTINCT_COLUMNS, reading_async

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREFIXES = ("/api/v2/aibridge/", "/api/v2/ai-gateway/")

_ONE_SESSION = "sessions/"
_NAMES = frozenset({"interceptions", "sessions", *DISTINCT_COLUMNS})


def is_read_api(path: str) -> bool:
    """Whether a path is one of the read API's."""
    return _name(path) is not None


async def respond(
    path: str,
    query: Mapping[str, str],
    database: Path,
    *,
    initiator: str | None,
    me: str | None = None,
) -> tuple[int, bytes] | None:
    """The status and JSON body for a GET of `path`; None when it is not one of the read API's.

    The path is as it came, percent-encoded; so a session's id may hold any character.
    A caller who is not an admin sees only the records of one `initiator`: their own. None shows
    everybody's. `me` is what `initiator:me` means for a caller who sees them; None is everybody.

    Each call reads with a connection and thread of its own, so a long answer stops nobody.
    """
    name = _name(path)
    if name is None:
        return None
    try:
        check_utf8(query)
        status, body = await _answer(name, query, database, initiator, me)
    except BadQuery as error:
        status, body = 400, error.body
    except StoreError as error:
        status, body = _failure(name, error)
    return status, msgspec.json.encode(body)


async def _answer(
    name: str, params: Mapping[str, str], database: Path, initiator: str | None, me: str | None
) -> Answer:
    if name.startswith(_ONE_SESSION):
        session_id = unquote(name.removeprefix(_ONE_SESSION))
        return await handle_one(session_id, params, database, initiator)
    if name == "sessions":
        return await handle_list(params, database, initiator, initiator or me)
    async with reading_async(database) as reader:
        if name == "interceptions":
            return await handle(params, reader, initiator, initiator or me)
        return await handle_names(name, params, reader, initiator)


def _name(path: str) -> str | None:
    """What follows the prefix: a list's name, or `sessions/` and an id."""
    for prefix in PREFIXES:
        if path.startswith(prefix):
            name = path.removeprefix(prefix)
            is_session = name.startswith(_ONE_SESSION) and name != _ONE_SESSION
            return name if is_session or name in _NAMES else None
    return None


def _failure(name: str, error: StoreError) -> Answer:
    what = f"getting AI Bridge {name}"
    if name.startswith(_ONE_SESSION):
        what = "fetching session threads"
    return 500, {"message": f"Internal error {what}.", "detail": str(error)}
