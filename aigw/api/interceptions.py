"""`GET .../interceptions`, and the lists of models, clients and providers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigw.api.query import INVALID_SEARCH, Answer, BadQuery, paging, parse_query, search_terms
from aigw.store import interceptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiosqlite


async def handle(
    params: Mapping[str, str], reader: aiosqlite.Connection, owner: str | None, me: str | None
) -> Answer:
    """A page of interceptions with the count of all that match. As `parse_query`: `owner`, `me`."""
    try:
        query = parse_query(params, owner=owner, me=me)
    except BadQuery as error:
        return 400, error.body
    name = query.initiator
    # The caller exists, whether or not there are records of theirs yet.
    known = name is None or (me is not None and name.lower() == me.lower())
    if not known and not await interceptions.initiator_exists(reader, str(name), owner):
        problem = f'user "{name}" either does not exist, or you are unauthorized to view them'
        return 400, BadQuery(INVALID_SEARCH, "", ("initiator", problem)).body
    page = await interceptions.page(reader, query)
    found = {"count": page.count, "results": page.results, "texts_cut_at": page.texts_cut_at}
    return 200, found


async def handle_names(
    kind: str, params: Mapping[str, str], reader: aiosqlite.Connection, owner: str | None
) -> Answer:
    """The names of a kind (`models`, `clients`, `providers`) that occur, by the beginning in `q`.

    With an `owner` only those of that initiator's interceptions.
    """
    try:
        limit, offset = paging(params)
        values = [value for found in search_terms(params.get("q", "")).values() for value in found]
    except BadQuery as error:
        return 400, error.body
    begin = " ".join(values)
    return 200, await interceptions.distinct(reader, kind, begin, limit, offset, owner)
