"""`aigw logs`: the last records, or all, or the new ones as they are committed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from aigw.cli.record_options import (
    Client,
    Database,
    Initiator,
    Interception,
    Model,
    Provider,
    Query,
    Session,
    Since,
    Status,
    Until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from aigw.records import Record
    from aigw.store.filters import Filters

DEFAULT_LINES = 100
DEFAULT_LINES_FOLLOWING = 10
"""As `tail -f` and `kubectl logs` do: a little context, then what is new."""


def logs(
    record_type: Annotated[
        list[str] | None,
        typer.Option("--record-type", metavar="TYPE", help="Only this type; repeat for several."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new records as they come.")
    ] = False,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines",
            "-n",
            min=0,
            show_default=False,
            help="How many of the last records; 0 for all. Default 100, with --follow 10.",
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    provider: Provider = None,
    model: Model = None,
    client: Client = None,
    initiator: Initiator = None,
    session: Session = None,
    interception: Interception = None,
    status: Status = None,
    query: Query = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    db: Database = None,
) -> None:
    """Show the latest records, oldest first, or follow new ones.

    Works whether or not the daemon runs. With --json a line is the same object as in the
    structured log.
    """
    from aigw.cli.database_place import database_place
    from aigw.cli.filters import make_filters

    filters = make_filters(
        record_type=record_type,
        since=since,
        until=until,
        provider=provider,
        model=model,
        client=client,
        initiator=initiator,
        session=session,
        interception=interception,
        status=status,
        query=query,
    )
    path = database_place(db, os.environ)
    if lines is None:
        lines = DEFAULT_LINES_FOLLOWING if follow else DEFAULT_LINES
    show = _printer(query, json=json)
    if follow:
        _follow(path, filters, lines, show)
    else:
        _print_last(path, filters, lines, show)


def _print_last(
    path: Path, filters: Filters, lines: int, show: Callable[[Iterable[Record]], None]
) -> None:
    from aigw.cli.filters import whole_ids
    from aigw.store.queries import tail
    from aigw.store.reader import reading

    with reading(path) as connection:
        show(tail(connection, whole_ids(connection, filters), lines))


def _follow(
    path: Path, filters: Filters, lines: int, show: Callable[[Iterable[Record]], None]
) -> None:
    from contextlib import closing

    from aigw.cli.filters import whole_ids
    from aigw.store.follow import Follower
    from aigw.store.reader import NoDatabase, reading

    try:
        with reading(path) as connection:
            filters = whole_ids(connection, filters, may_come=True)
    except NoDatabase:
        # There is nothing to look shortened ids up in: they have to be whole ones.
        pass
    with closing(Follower(path, filters, _notice)) as follower:
        show(follower.last(lines))
        for records in follower.new():
            if records:
                show(records)


def _notice(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _printer(query: str | None, *, json: bool) -> Callable[[Iterable[Record]], None]:
    """Prints records and flushes once per call, so that a follower's reader sees them at once."""
    from aigw.cli.messages import wants_colour
    from aigw.cli.record_lines import line
    from aigw.cli.text import json_text, prepare_stdout
    from aigw.records import log_object

    prepare_stdout()
    out = sys.stdout
    colour = wants_colour(out)
    matches = None
    if query is not None and colour:
        from aigw.cli.highlight import Highlighter

        matches = Highlighter(query)

    def text(record: Record) -> str:
        if json:
            return json_text(log_object(record))
        return line(record, width=_width(), colour=colour, matches=matches)

    def show(records: Iterable[Record]) -> None:
        for record in records:
            out.write(f"{text(record)}\n")
        out.flush()

    return show


def _width() -> int | None:
    """The terminal's columns, None where lines are not cut. Asked each time: windows are resized."""
    if not sys.stdout.isatty():
        return None
    from shutil import get_terminal_size

    return get_terminal_size().columns
