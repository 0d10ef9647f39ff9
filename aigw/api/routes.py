"""Which path of the read API is which, without a server: path and parameters in, JSON out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from aigw.api.interceptions import Answer, handle, handle_names
from aigw.errors import StoreError
from aigw.store.interceptions import DISTINCT_COLUMNS, reading_async

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREFIXES = ("/api/v2/aibridge/", "/api/v2/ai-gateway/")


async def respond(
    path: str,
    query: Mapping[str, str],
    database: Path,
    *,
    initiator: str | None = None,  # noqa: ARG001 (the queries learn of it next)
) -> tuple[int, bytes] | None:
    """The status and JSON body for a GET of `path`; None when it is not one of the read API's.

    Each call reads with a connection and thread of its own, so a long answer stops nobody.
    """
    name = _name(path)
    if name is None:
        return None
    try:
        async with reading_async(database) as reader:
            if name == "interceptions":
                status, body = await handle(query, reader)
            else:
                status, body = await handle_names(name, query, reader)
    except StoreError as error:
        status, body = _failure(name, error)
    return status, msgspec.json.encode(body)


def _name(path: str) -> str | None:
    for prefix in PREFIXES:
        if path.startswith(prefix):
            name = path.removeprefix(prefix)
            return name if name == "interceptions" or name in DISTINCT_COLUMNS else None
    return None


def _failure(name: str, error: StoreError) -> Answer:
    return 500, {"message": f"Internal error getting AI Bridge {name}.", "detail": str(error)}
