"""`aigw session ID`: what an agent did, why, and what it cost, as a tree."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from aigw.cli.record_options import Database
from aigw.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aigw.store.session_parts import Session

LARGEST_LIMIT = 1000
"""Threads on one page: as many records in memory as a large answer of the API has."""


def session(
    session_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A session's id or an interception's, the start of one, or `last`."
        ),
    ] = "last",
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    thoughts: Annotated[
        bool, typer.Option("--thoughts", help="Show what the models thought.")
    ] = False,
    tools: Annotated[
        bool, typer.Option("--tools", help="Show arguments and results of tools in full.")
    ] = False,
    query: Annotated[
        str | None,
        typer.Option(
            "--query",
            "-q",
            metavar="TEXT",
            help='Highlight these words, "a phrase" or begin*, as `aigw logs -q` finds them.',
        ),
    ] = None,
    matching: Annotated[
        bool, typer.Option("--matching", help="With -q: only threads in which something matches.")
    ] = False,
    limit: Annotated[int, typer.Option(help="At most so many threads, 1 to 1000.")] = 50,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Begin after the thread of this id.")
    ] = None,
    before: Annotated[
        str | None, typer.Option(metavar="ID", help="End before the thread of this id.")
    ] = None,
    initiator: Annotated[
        str | None, typer.Option(help="Whose session, where several have one of this id.")
    ] = None,
    db: Database = None,
) -> None:
    """Show what an agent did: prompts, steps, tool calls with their results, sub-agents, cost.

    Without an id it is the session that was active last. Threads that a tool call started stand
    below that call.
    """
    from aigw.cli.database_place import database_place
    from aigw.cli.pen import pen_for
    from aigw.cli.text import prepare_stdout, print_json
    from aigw.store.reader import reading
    from aigw.store.session_tree import find_session, read_session

    if not 1 <= limit <= LARGEST_LIMIT:
        raise ConfigError(f"--limit must be from 1 to {LARGEST_LIMIT}, not {limit}")
    if after is not None and before is not None:
        raise ConfigError("--after and --before exclude each other")
    if matching and query is None:
        raise ConfigError("--matching needs words to match: give -q WORDS")
    try:
        pen = pen_for(query)
    except ValueError as error:
        raise ConfigError(f"--query: {error}") from error
    with reading(database_place(db, os.environ)) as connection:
        try:
            found = read_session(
                connection,
                find_session(connection, session_id, initiator).seq,
                after=after,
                before=before,
                limit=limit,
                families=True,
                text=query if matching else None,
            )
        except ValueError as error:
            raise _told(error) from error
    prepare_stdout()
    if json:
        from aigw.store.session_object import session_object

        print_json(session_object(found))
        return
    from aigw.cli.session_lines import Tree

    for line in Tree(found, pen, thoughts=thoughts, tools=tools).lines():
        sys.stdout.write(f"{line}\n")
    for line in _paging(found, matching=matching):
        sys.stdout.write(f"\n{line}\n")


def _told(error: ValueError) -> StoreError:
    # Clients choose the ids of their sessions.
    from aigw.cli.text import visible

    return StoreError(visible(str(error)))


def _paging(found: Session, *, matching: bool) -> Iterator[str]:
    """What of the session is not shown, and how to see it."""
    from aigw.cli.session_words import count

    if found.texts_cut_at is not None:
        yield (
            f"Texts are cut to {count(found.texts_cut_at, 'character')}, as there is too much for "
            "one page: see fewer threads with --limit, or one request with `aigw show`."
        )
    if matching:
        yield f"{count(found.pageable, 'thread')} of {found.summary.threads:,} with a match."
    if found.before is None and found.after is None:
        return
    # An id of ours, and not the client's: that one may hold anything.
    asked = f"aigw session {found.threads[0].id}"
    first, last = found.position + 1, found.position + found.page_count
    how = []
    if found.after is not None:
        how.append(f"go on with `{asked} --after {found.after}`")
    if found.before is not None:
        how.append(f"go back with `{asked} --before {found.before}`")
    yield f"These are {first:,} to {last:,} of {count(found.pageable, 'thread')}: {', '.join(how)}."
