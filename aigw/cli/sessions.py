"""`aigw sessions`: which sessions there are, the last active first, and what each came to."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from aigw.cli.record_options import Client, Database, Model, Provider

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from aigw.cli.pen import Pen
    from aigw.store.sessions import SessionQuery, SessionSummary

DEFAULT_SESSIONS = 20
"""Two lines each: what a screen holds."""

SHORTEST_ID = 13
"""Characters of an id that are shown at least: the whole millisecond of a UUIDv7."""

AT_ONCE = 500
"""Sessions read in one go, so that `-n 0` takes as little memory in a large store as in a small one."""


def sessions(
    number: Annotated[
        int,
        typer.Option("--number", "-n", min=0, help="How many of the last sessions; 0 for all."),
    ] = DEFAULT_SESSIONS,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Active from then on: 2h, 7d, a date, or RFC 3339."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begun before then: as for --since.")
    ] = None,
    provider: Provider = None,
    model: Model = None,
    client: Client = None,
    initiator: Annotated[str | None, typer.Option(help="Who made the requests.")] = None,
    status: Annotated[
        str | None,
        typer.Option(help="With requests that are completed, failed, aborted or running."),
    ] = None,
    query: Annotated[
        str | None,
        typer.Option(
            "--query",
            "-q",
            metavar="TEXT",
            help='All these words, "a phrase" or begin*, in a prompt, tool call or thought.',
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    db: Database = None,
) -> None:
    """List sessions, the last active first: who, when, what it came to, first and last prompt.

    `aigw session ID` shows what one of them did; a beginning of the id is enough. `>` marks
    sessions that another one started.
    """
    from aigw import clock
    from aigw.cli.database_place import database_place
    from aigw.cli.filters import moment, one_of_statuses, searchable
    from aigw.cli.pen import pen_for
    from aigw.store.reader import reading
    from aigw.store.sessions import SessionQuery

    now = clock.now()
    wanted = SessionQuery(
        active_since=moment("--since", since, now),
        active_until=moment("--until", until, now),
        any_provider=provider,
        model=model,
        client=client,
        initiator=initiator,
        status=one_of_statuses(status),
        text=searchable(query),
        wildcards=True,
        is_counted=False,
    )
    with reading(database_place(db, os.environ)) as connection:
        pages = _pages(connection, wanted, number)
        if json:
            _print_json(pages)
        else:
            _print_table(connection, pages, pen_for(query))


def _pages(
    connection: sqlite3.Connection, query: SessionQuery, number: int
) -> Iterator[tuple[list[SessionSummary], bool]]:
    """The sessions in pages, and with the last whether there are more than were asked for."""
    from dataclasses import replace

    from aigw.store.sessions import list_sessions

    left = number or None
    while True:
        size = AT_ONCE if left is None else min(AT_ONCE, left)
        # One more than is shown tells whether there are more.
        found = list_sessions(connection, replace(query, limit=size + 1)).sessions
        page, has_more = found[:size], len(found) > size
        left = None if left is None else left - len(page)
        is_last = not has_more or left == 0
        yield page, has_more and is_last
        if is_last:
            return
        last = page[-1]
        query = replace(query, after_session_id=last.id, after_active_at=last.last_active_at)


def _print_json(pages: Iterator[tuple[list[SessionSummary], bool]]) -> None:
    from aigw.cli.text import json_text, prepare_stdout
    from aigw.store.session_object import summary_object

    prepare_stdout()
    for page, has_more in pages:
        for summary in page:
            sys.stdout.write(f"{json_text(summary_object(summary))}\n")
        if has_more:
            sys.stderr.write("There are more sessions: -n 0 lists all.\n")


def _print_table(
    connection: sqlite3.Connection, pages: Iterator[tuple[list[SessionSummary], bool]], pen: Pen
) -> None:
    from aigw.cli.session_table import SessionTable
    from aigw.cli.text import prepare_stdout
    from aigw.store.sessions import unique_beginning

    prepare_stdout()
    table = SessionTable(pen)
    for page, has_more in pages:
        ids = [unique_beginning(connection, summary.id, SHORTEST_ID) for summary in page]
        for line in table.lines(page, ids):
            sys.stdout.write(f"{line}\n")
        if has_more:
            sys.stdout.write("\nThere are more sessions: -n 0 lists all.\n")
    for line in table.notes():
        sys.stdout.write(f"\n{line}\n")
