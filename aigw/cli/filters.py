"""The options by which commands narrow records down: the same everywhere, and the same errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigw.errors import ConfigError, StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from aigw.records import RecordType
    from aigw.store.filters import Filters

STATUSES = ("completed", "failed", "aborted", "running")


def make_filters(
    *,
    record_type: list[str] | None,
    since: str | None,
    until: str | None,
    provider: str | None,
    model: str | None,
    client: str | None,
    initiator: str | None,
    session: str | None,
    interception: str | None,
    status: str | None,
    query: str | None,
) -> Filters:
    """The filters that the options of these names say.

    Raises:
        ConfigError: one of them means nothing.
    """
    from aigw import clock
    from aigw.store.filters import Filters

    now = clock.now()
    return Filters(
        types=_types(record_type),
        since=moment("--since", since, now),
        until=moment("--until", until, now),
        provider=provider,
        model=model,
        client=client,
        initiator=initiator,
        session=session,
        interception=interception,
        status=one_of_statuses(status),
        text=searchable(query),
    )


def whole_ids(
    connection: sqlite3.Connection, filters: Filters, *, may_come: bool = False
) -> Filters:
    """The filters, shortened ids of an interception and of a session looked up.

    With `may_come` a session that is not there yet is waited for, and its id taken as it is.

    Raises:
        StoreError: there is no such interception or session, or there are several.
    """
    from dataclasses import replace

    from aigw.cli.text import visible
    from aigw.store.filters import resolve_id
    from aigw.store.session_tree import UnknownSessionError, find_session

    try:
        if filters.interception is not None:
            filters = replace(filters, interception=resolve_id(connection, filters.interception))
        if filters.session is not None:
            filters = replace(filters, session=find_session(connection, filters.session).id)
    except UnknownSessionError as error:
        if not may_come:
            raise StoreError(visible(str(error))) from error
    except ValueError as error:
        raise StoreError(visible(str(error))) from error
    return filters


def _types(names: list[str] | None) -> frozenset[RecordType]:
    from aigw.records import RecordType

    if not names:
        return frozenset(RecordType)
    known = [kind.value for kind in RecordType]
    for name in names:
        if name not in known:
            raise unknown("--record-type", name, known)
    return frozenset(RecordType(name) for name in names)


def one_of_statuses(name: str | None) -> str | None:
    """What `--status` says, which must be a status.

    Raises:
        ConfigError: it is none.
    """
    if name is not None and name not in STATUSES:
        raise unknown("--status", name, STATUSES)
    return name


def unknown(flag: str, given: str, known: Iterable[str]) -> ConfigError:
    """The error of a word that is none of those known."""
    return ConfigError(f"{flag} {given!r} is not known: use one of {', '.join(known)}")


def moment(flag: str, text: str | None, now: int) -> int | None:
    """The time that an option says, in microseconds.

    Raises:
        ConfigError: it says none.
    """
    if text is None:
        return None
    from aigw.cli.times import parse_when

    try:
        return parse_when(text, now)
    except ValueError as error:
        raise ConfigError(f"{flag}: {error}") from error


def searchable(text: str | None) -> str | None:
    """What `--query` says, which must hold a word.

    Raises:
        ConfigError: there is nothing to search for.
    """
    if text is None:
        return None
    from aigw.store.search import match_expression

    try:
        match_expression(text)
    except ValueError as error:
        raise ConfigError(f"--query: {error}") from error
    return text
