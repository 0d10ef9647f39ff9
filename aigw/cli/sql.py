"""`aigw sql`: a person's own questions to the store, in SQL."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aigw.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aigw.store.guarded import Answer

DEFAULT_TIMEOUT = 60.0
"""Seconds. A statement that runs holds on to one state of the database, and the daemon's write-ahead
log grows meanwhile: a forgotten query must not fill its disk."""

DEFAULT_ROWS = 1_000
"""Rows of a table, which a person reads: more are cut off, and said to be."""

CELL_WIDTH = 80
"""Columns of a table's cell: prompts are pages long. --json and --csv have all of it."""

_BOLD = "1"


def sql(
    statement: Annotated[
        str | None,
        typer.Argument(
            metavar="SELECT", help="The statement; without it one from stdin, or the views."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma separated, with a head line.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0, show_default=False, help="At most so many rows; 0 for all. A table has 1000."
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="End it after so long; 0 never does.")
    ] = DEFAULT_TIMEOUT,
    db: Annotated[
        str | None, typer.Option(metavar="PATH", help="The database; default from the settings.")
    ] = None,
) -> None:
    """Ask the store a question in SQL: read-only, over stable views.

    Without a statement it is read from stdin; on a terminal the views are listed instead.
    micros('2h') is the moment two hours ago as a number, for columns that end in _us.
    """
    from aigw import clock
    from aigw.cli.database_place import database_place
    from aigw.cli.text import prepare_stdout
    from aigw.store.guarded import guarded_reader

    if json and csv:
        raise ConfigError("--json and --csv exclude each other")
    show = _json if json else _csv if csv else _table
    prepare_stdout()
    if statement is None and not sys.stdin.isatty():
        statement = sys.stdin.read()
        if not statement.strip():
            raise ConfigError("there is no statement on stdin: give one as the argument")
    if statement is None:
        _list_views(json=json)
        return
    shown = limit if limit is not None else 0 if json or csv else DEFAULT_ROWS
    functions = {"micros": _micros(clock.now())}
    with guarded_reader(database_place(db, os.environ), functions) as reader:
        answer = reader.run(statement, timeout or None)
        with closing(answer.rows):
            show(answer, shown)


def _micros(now: int) -> Callable[[str], int]:
    from aigw.cli.times import parse_when

    return lambda text: parse_when(str(text), now)


def _limited(answer: Answer, limit: int) -> Iterator[Sequence[Any]]:
    """The rows up to the limit; says so where there are more."""
    for number, row in enumerate(answer.rows):
        if limit and number == limit:
            sys.stdout.flush()
            sys.stderr.write(f"There are more than {limit:,} rows: see them with --limit 0.\n")
            return
        yield row


def _json(answer: Answer, limit: int) -> None:
    from aigw.cli.text import json_text

    for row in _limited(answer, limit):
        values = map(_json_value, row)
        sys.stdout.write(json_text(dict(zip(answer.columns, values, strict=True))) + "\n")


def _json_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and value in {float("inf"), float("-inf")}:
        # JSON has no such number.
        return None
    return value


def _csv(answer: Answer, limit: int) -> None:
    from csv import writer

    from aigw.cli.csv_cells import cell

    out = writer(sys.stdout, lineterminator="\n")
    out.writerow(map(cell, answer.columns))
    for row in _limited(answer, limit):
        out.writerow(map(cell, row))


def _table(answer: Answer, limit: int) -> None:
    from aigw.cli.messages import paint
    from aigw.cli.record_lines import cut
    from aigw.cli.text import visible

    # All rows before the first is printed: the widths depend on them, and the reading ends sooner.
    rows = list(_limited(answer, limit))
    texts = [[cut(visible(name), CELL_WIDTH) for name in answer.columns]]
    texts += [[cut(_shown(value), CELL_WIDTH) for value in row] for row in rows]
    numeric = [
        all(isinstance(v, int | float | None) for v in values) for values in zip(*rows, strict=True)
    ]
    for number, line in enumerate(_aligned(texts, numeric or [False] * len(answer.columns))):
        sys.stdout.write((paint(line, _BOLD, sys.stdout) if number == 0 else line) + "\n")


def _shown(value: Any) -> str:
    from aigw.cli.text import visible

    if value is None:
        return "-"
    if isinstance(value, bytes):
        return value[:CELL_WIDTH].hex()
    if isinstance(value, str):
        # Much longer text than fits is not even looked at.
        return visible(value[: 2 * CELL_WIDTH])
    # Sums of dollars: what a binary fraction cannot hold is not worth a column of digits.
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _aligned(rows: list[list[str]], to_the_right: Sequence[bool]) -> Iterator[str]:
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            " " * (width - cell_len(text)) + text
            if right
            else text + " " * (width - cell_len(text))
            for text, width, right in zip(row, widths, to_the_right, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _list_views(*, json: bool) -> None:
    from aigw.cli.messages import paint
    from aigw.cli.text import json_text
    from aigw.store.views import VIEWS

    for view in VIEWS:
        if json:
            columns = [{"name": c.name, "type": c.kind.value, "help": c.help} for c in view.columns]
            found = {"view": view.name, "help": view.help, "columns": columns}
            sys.stdout.write(json_text(found) + "\n")
            continue
        sys.stdout.write(f"{paint(view.name, _BOLD, sys.stdout)}: {view.help}\n")
        for column in view.columns:
            sys.stdout.write(f"  {column.name:<24} {column.kind.value:<8} {column.help}\n")
        sys.stdout.write("\n")
    if not json:
        sys.stdout.write(
            'Example: aigw sql "SELECT model, sum(cost_usd) FROM v_daily_usage GROUP BY 1"\n'
        )
