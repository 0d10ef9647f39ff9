"""One session, read from the store: found by an id, and its threads page by page.

A look at the whole session (its interceptions' own rows, few columns of them) tells which threads
there are and which hangs below which tool call; only the page's threads are then read in full.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext

from aigw.store.filters import LISTED_IDS
from aigw.store.reader import snapshot
from aigw.store.session_contents import join_results, read_steps
from aigw.store.session_look import Look, children_of, look_at, matching_threads
from aigw.store.session_parts import Session, SessionRow, Step, Thread
from aigw.store.sessions import summarise
from aigw.store.text_room import cut_at

LAST = "last"
"""What stands for the id of the session that was active last."""

THREADS_ON_PAGE = 50
"""As the reference's API: some seconds of reading for a person, and at most some megabytes."""

_ROW = "s.seq, s.id, s.initiator_id, s.parent_id, s.started_at, s.last_active_at"


class UnknownSessionError(ValueError):
    """No session has this id, or begins with it."""


def find_session(
    connection: sqlite3.Connection, wanted: str, owner: str | None = None
) -> SessionRow:
    """The session of an id, of the beginning of an id, or `last` for the one active last.

    An interception's id leads to its session, too. Of equal ids of several initiators the one
    active last is meant. With an `owner` only that initiator's sessions are there.

    Raises:
        UnknownSessionError: there is none.
        ValueError: there are several (the message names some), or nothing was asked for.
    """
    wanted = wanted.strip()
    if not wanted:
        raise ValueError("a session id is needed, or its first characters, or `last`")
    if wanted == LAST:
        found = _rows(connection, "1", (), owner)
        if not found:
            raise UnknownSessionError("there is no session yet")
        return found[0]
    if not _is_text(wanted):
        raise UnknownSessionError(f"there is no session {wanted!r}")
    exact = exact_session(connection, wanted, owner)
    if exact is not None:
        return exact
    found = _beginning(connection, wanted, owner)
    if not found:
        raise UnknownSessionError(
            f"there is no session {wanted!r}, and no interception: `aigw sessions` lists them"
        )
    if len(found) > 1:
        shown = ", ".join(row.id for row in found[:LISTED_IDS])
        more = ", ..." if len(found) > LISTED_IDS else ""
        raise ValueError(f"several sessions begin with {wanted!r}: {shown}{more}")
    return found[0]


def exact_session(
    connection: sqlite3.Connection, wanted: str, owner: str | None = None
) -> SessionRow | None:
    """The session of a whole id, its own or that of one of its interceptions."""
    if not _is_text(wanted):
        return None
    found = _rows(connection, "s.id = ?", (wanted,), owner) or _rows(
        connection,
        "s.seq = (SELECT session_seq FROM interceptions WHERE id = ?)",
        (wanted.lower(),),
        owner,
    )
    return found[0] if found else None


def read_session(
    connection: sqlite3.Connection,
    seq: int,
    *,
    after: str | None = None,
    before: str | None = None,
    limit: int = THREADS_ON_PAGE,
    families: bool = False,
    text: str | None = None,
) -> Session:
    """A session with one page of its threads, read in one transaction.

    Args:
        connection: a reader's.
        seq: the session's key, from `find_session`.
        after: the id of a thread (of any interception in it): the page begins after it.
        before: the same: the page ends before it.
        limit: how many threads a page has at most.
        families: pages count threads that no tool call started; those that one did come on the
            page of the call, besides.
        text: only threads with a record that matches (with `families`: or a sub-agent's does);
            words as in `search.match_expression`.

    Raises:
        ValueError: the session is gone, a cursor is not in it, or both cursors are given.
    """
    if after is not None and before is not None:
        raise ValueError("a page comes after a thread or before one: give one of the two")
    with nullcontext() if connection.in_transaction else snapshot(connection):
        found = _rows(connection, "s.seq = ?", (seq,), None)
        look = look_at(connection, found[0]) if found else None
        if look is None:
            raise ValueError("the session is gone: it has just been pruned")
        wanted = None if text is None else matching_threads(connection, seq, text)
        order = _pageable(look, wanted, families=families)
        begin, end = _window(look, order, after, before, limit, families=families)
        page = order[begin:end]
        shown = _with_descendants(look, page) if families else page
        cut = cut_at(connection, json.dumps([seq for key in shown for seq in look.threads[key]]))
        threads = _threads(connection, look, shown, cut)
        summary = summarise(connection, seq)
        assert summary is not None, "its interceptions have been seen in the same transaction"
        return Session(
            summary=summary,
            tool_errors=_tool_errors(connection, seq),
            threads=threads,
            children=children_of(connection, look.row, look.calls),
            position=begin,
            page_count=len(page),
            pageable=len(order),
            before=look.ids[order[begin]] if 0 < begin < len(order) else None,
            after=look.ids[order[end - 1]] if 0 < end < len(order) else None,
            texts_cut_at=cut,
        )


def _pageable(look: Look, wanted: Collection[int] | None, *, families: bool) -> list[int]:
    """The threads that pages count, in order of time."""
    if not families:
        return [key for key in look.threads if wanted is None or key in wanted]
    chosen = None if wanted is None else {look.tops[key] for key in wanted if key in look.tops}
    return [
        key
        for key in look.threads
        if key not in look.links.calls and (chosen is None or key in chosen)
    ]


def _window(
    look: Look,
    order: Sequence[int],
    after: str | None,
    before: str | None,
    limit: int,
    *,
    families: bool,
) -> tuple[int, int]:
    """Begin and end of the page in `order`."""
    cursor = after or before
    if cursor is None:
        return 0, min(limit, len(order))
    place = look.place_of(cursor, top=families)
    if place is None:
        raise ValueError(f"no thread of this session has the interception {cursor!r}")
    if after is not None:
        begin = next((n for n, key in enumerate(order) if look.places[key] > place), len(order))
        return begin, min(begin + limit, len(order))
    end = next((n for n, key in enumerate(order) if look.places[key] >= place), len(order))
    return max(0, end - limit), end


def _with_descendants(look: Look, page: Sequence[int]) -> list[int]:
    chosen = set(page)
    # Calls come before what they start, so one pass in order of time finds all generations.
    for key in look.threads:
        call = look.links.calls.get(key)
        if call is not None and call.thread in chosen:
            chosen.add(key)
    return [key for key in look.threads if key in chosen]


def _threads(
    connection: sqlite3.Connection, look: Look, page: Sequence[int], cut: int | None
) -> list[Thread]:
    steps = read_steps(connection, [seq for key in page for seq in look.threads[key]], cut)
    join_results(connection, look.row.seq, steps, cut)
    return [look.thread(key, _retries(steps[seq] for seq in look.threads[key])) for key in page]


def _retries(steps: Iterator[Step]) -> list[Step]:
    """The steps, those marked that ask again what failed or was aborted just before."""
    found = list(steps)
    latest: dict[str, Step] = {}
    for step in found:
        if step.parent_id is None:
            continue
        tried = latest.get(step.parent_id)
        if tried is not None and tried.status in ("failed", "aborted"):
            step.retry_of = tried.id
        latest[step.parent_id] = step
    return found


def _tool_errors(connection: sqlite3.Connection, seq: int) -> int:
    # A request that is tried again brings its results again.
    (count,) = connection.execute(
        "SELECT count(DISTINCT t.tool_call_id) FROM interceptions AS i"
        " CROSS JOIN tool_results AS t ON t.interception_seq = i.seq"
        " WHERE i.session_seq = ? AND t.is_error",
        (seq,),
    ).fetchone()
    return int(count)


def _beginning(connection: sqlite3.Connection, wanted: str, owner: str | None) -> list[SessionRow]:
    """The sessions whose ids begin so, one of each id; else those of such interceptions."""
    # The first text after every one that begins with the prefix.
    bounds = (wanted, wanted + "\U0010ffff")
    found = _rows(connection, "s.id >= ? AND s.id < ?", bounds, owner, grouped=True)
    if found:
        return found
    lower = wanted.lower()
    # Those that begin with one character may be millions: then the first ones stand for them.
    inner = "SELECT session_seq FROM interceptions WHERE id >= ? AND id < ? LIMIT 10000"
    where = f"s.seq IN (SELECT session_seq FROM ({inner}))"  # noqa: S608
    return _rows(connection, where, (lower, lower + "\U0010ffff"), owner)


def _rows(
    connection: sqlite3.Connection,
    where: str,
    values: tuple[object, ...],
    owner: str | None,
    *,
    grouped: bool = False,
) -> list[SessionRow]:
    """A few sessions, active last first; `grouped` by id, each that one."""
    seen = "" if owner is None else " AND s.initiator_id = ?"
    # With a bare max() SQLite takes the other columns from the row that has it.
    columns = _ROW.replace("s.last_active_at", "max(s.last_active_at)") if grouped else _ROW
    order = (
        "GROUP BY s.id ORDER BY s.id" if grouped else "ORDER BY s.last_active_at DESC, s.seq DESC"
    )
    rows = connection.execute(
        f"SELECT {columns} FROM sessions AS s WHERE {where}{seen} {order} LIMIT ?",  # noqa: S608
        (*values, *([] if owner is None else [owner]), LISTED_IDS + 1),
    )
    return [SessionRow(*row) for row in rows]


def _is_text(wanted: str) -> bool:
    """Whether SQLite can take it: a command line's bytes need not be UTF-8."""
    return wanted.isascii() or not any("\ud800" <= character <= "\udfff" for character in wanted)
