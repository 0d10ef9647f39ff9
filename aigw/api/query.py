"""The search language and paging of the read API, as Coder's: pure functions over parameters.

`key:value` pairs separated by spaces, double quotes around what holds a space or a colon, the
whole lower-cased. Sections 9 of the reference's surface page lists keys and error texts.
"""

from __future__ import annotations

import re
import string
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from aigw.store.interceptions import PageQuery
from aigw.store.sessions import SessionQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_LIMIT = 100
LARGEST_LIMIT = 1000

Answer: TypeAlias = tuple[int, Any]
"""A status and the object of the JSON body."""

INVALID_VALUE = "Query parameter has invalid value."
INVALID_VALUES = "Query parameters have invalid values."
INVALID_SEARCH = "Invalid workspace search query."
"""Sic: Coder's handler took the text from its workspaces."""

INVALID_SESSION_SEARCH = "Invalid session search query."

_BARE_WORD_KEY = "initiator"
# As the store compares names: an upper case letter beyond ASCII is another one than its lower case.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_INT = (1 << 63) - 1
# Go's RFC 3339 takes nanoseconds; the store has microseconds.
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.IGNORECASE | re.ASCII
)
_GO_LAYOUT = "2006-01-02T15:04:05.999999999Z07:00"


class BadQuery(Exception):  # noqa: N818 (the request is at fault, not the program)
    """A parameter is wrong. `body` is Coder's error object, for a 400."""

    def __init__(self, message: str, detail: str = "", *validations: tuple[str, str]) -> None:
        super().__init__(detail or message)
        self.body: dict[str, Any] = {"message": message}
        if detail:
            self.body["detail"] = detail
        if validations:
            self.body["validations"] = [{"field": f, "detail": d} for f, d in validations]


def parse_query(
    params: Mapping[str, str], *, owner: str | None = None, me: str | None = None
) -> PageQuery:
    """What the parameters of a list request ask for.

    `owner` is the initiator whose records alone the caller may see; None for everybody's. `me` is
    the initiator that the caller is; None where nobody has an identity.

    Raises:
        BadQuery: they are not understood.
    """
    after_id = _after_id(params)
    offset, limit = _offset_and_limit(params, "after_id")
    found = _search_values(params.get("q", ""), me, INVALID_SEARCH)
    return PageQuery(owner=owner, after_id=after_id, offset=offset, limit=limit, **found)


def parse_session_query(
    params: Mapping[str, str], *, owner: str | None = None, me: str | None = None
) -> SessionQuery:
    """As `parse_query`, of a list of sessions.

    `after_active_at` goes with `after_session_id` and is ours: it holds the place in the list of a
    session that has been active since.

    Raises:
        BadQuery: they are not understood.
    """
    offset, limit = _offset_and_limit(params, "after_session_id")
    found = _search_values(params.get("q", ""), me, INVALID_SESSION_SEARCH)
    return SessionQuery(
        owner=owner,
        after_session_id=params.get("after_session_id") or None,
        after_active_at=_after_active_at(params),
        offset=offset,
        limit=limit,
        **found,
    )


def search_terms(text: str, message: str = INVALID_SEARCH) -> dict[str, list[str]]:
    """The values of each key in a search text, lower-cased; a bare word is an initiator.

    `message` is what an error says.

    Raises:
        BadQuery: an element is not `key:value`.
    """
    found: dict[str, list[str]] = {}
    for element in _split(text.translate(_LOWER), str.isspace, keep_quotes=True):
        if element.startswith(":") or element.endswith(":"):
            problem = f"Query element {_quoted(element)} cannot start or end with ':'"
            raise BadQuery(message, "", ("q", problem))
        # A lone quote is a word of nothing.
        *keys, value = _split(element, ":".__eq__, keep_quotes=False) or [""]
        if len(keys) > 1:
            problem = f"Query element {_quoted(element)} can only contain 1 ':'"
            raise BadQuery(message, "", ("q", problem))
        found.setdefault(keys[0] if keys else _BARE_WORD_KEY, []).append(value)
    return found


def paging(params: Mapping[str, str]) -> tuple[int, int]:
    """Limit and offset of the lists of names.

    Raises:
        BadQuery: they are no numbers, or out of range.
    """
    query = parse_query({key: params[key] for key in ("limit", "offset") if key in params})
    return query.limit, query.offset


def _offset_and_limit(params: Mapping[str, str], cursor: str) -> tuple[int, int]:
    offset = _integer(params, "offset", 0)
    limit = _integer(params, "limit", DEFAULT_LIMIT)
    if params.get(cursor) and offset != 0:
        raise BadQuery(
            INVALID_VALUES,
            f"Cannot use both {cursor} and offset pagination in the same request.",
        )
    if not 1 <= limit <= LARGEST_LIMIT:
        raise BadQuery(
            "Invalid pagination limit value.",
            f"Pagination limit must be in range (0, {LARGEST_LIMIT}]",
        )
    return offset, limit


def small_integer(text: str) -> int | None:
    """A number of at most 64 bits in digits; None for any other text."""
    # int() takes more than digits (" 1_0"), and text of any length.
    if re.fullmatch(r"[+-]?[0-9]{1,19}", text) and abs(int(text)) <= _LARGEST_INT:
        return int(text)
    return None


def check_utf8(params: Mapping[str, str]) -> None:
    """Refuse what cannot be written as UTF-8, half of a surrogate pair: no record has it.

    Raises:
        BadQuery: a parameter cannot.
    """
    for name, value in params.items():
        if any("\ud800" <= character <= "\udfff" for character in value):
            problem = "Query params must be UTF-8"
            raise BadQuery(INVALID_VALUES, "", (name, problem))


def _search_values(text: str, me: str | None, message: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    problems: list[tuple[str, str]] = []
    for key, values in search_terms(text, message).items():
        reader = _KEYS.get(key)
        if reader is None:
            problems.append((key, f"{_quoted(key)} is not a valid query param"))
        elif len(values) > 1:
            times = f"found {len(values)} times"
            problems.append((key, f"Query param {_quoted(key)} provided more than once, {times}"))
        else:
            try:
                found[key] = reader(values[0])
            except ValueError as error:
                why = f"must be a valid date format ({_GO_LAYOUT}): {error}"
                problems.append((key, f"Query param {_quoted(key)} {why}"))
    after, before = found.get("started_after"), found.get("started_before")
    if after is not None and before is not None and before <= after:
        text = '"started_before" must be after "started_after" if set'
        problems.append(("started_before", text))
    if problems:
        raise BadQuery(message, "", *problems)
    if found.get("initiator") == "me":
        # Without identities every record is the local user's own.
        found["initiator"] = me
    return found


def moment(text: str) -> int:
    """An RFC 3339 time in microseconds.

    Raises:
        ValueError: it is none.
    """
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    whole, fraction, zone = found.groups()
    parsed = datetime.fromisoformat(whole.upper() + zone.upper())
    microseconds = int((fraction or ".0")[1:7].ljust(6, "0"))
    return (parsed - _EPOCH) // timedelta(microseconds=1) + microseconds


_KEYS: dict[str, Callable[[str], Any]] = {
    "initiator": str,
    "provider": str,
    "provider_name": str,
    "model": str,
    "client": str,
    "session_id": str,
    "started_after": moment,
    "started_before": moment,
}


def _split(text: str, is_delimiter: Callable[[str], bool], *, keep_quotes: bool) -> list[str]:
    """Split at delimiters outside double quotes; empty parts are left out."""
    parts = [""]
    quoted = False
    for character in text:
        if character == '"':
            quoted = not quoted
            if not keep_quotes:
                continue
        if is_delimiter(character) and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _after_id(params: Mapping[str, str]) -> str | None:
    text = params.get("after_id", "")
    if not text:
        return None
    try:
        return str(uuid.UUID(text))
    except ValueError:
        problem = 'Query param "after_id" must be a valid uuid'
        raise BadQuery(INVALID_VALUES, "", ("after_id", problem)) from None


def _after_active_at(params: Mapping[str, str]) -> int | None:
    text = params.get("after_active_at", "")
    if not text:
        return None
    problem = 'Query param "after_active_at" goes with after_session_id'
    if params.get("after_session_id"):
        try:
            return moment(text)
        except ValueError as error:
            problem = f'Query param "after_active_at" must be a valid date format: {error}'
    raise BadQuery(INVALID_VALUES, "", ("after_active_at", problem))


def _integer(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name, "")
    if not text:
        return default
    value = small_integer(text)
    if value is not None and (name != "offset" or value >= 0):
        return value
    problem = f'Query param "{name}" must be a valid integer'
    raise BadQuery(INVALID_VALUES, "", (name, problem))
