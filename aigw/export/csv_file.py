"""CSV (RFC 4180): a table as a spreadsheet opens it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any, BinaryIO

from aigw.export.table import Table
from aigw.records import rfc3339
from aigw.store.view import Kind

_TEXT = frozenset({Kind.TEXT, Kind.JSON})


def write(table: Table, out: BinaryIO, cell: Callable[[Any], str]) -> None:
    """Write the table with a head line, in UTF-8. `cell` makes a text's cell, in which nothing acts."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    # Numbers and what is missing are the csv module's own business: a million rows have many.
    shown = [(place, _shown(kind, cell)) for place, kind in enumerate(table.kinds)]
    changed = [(place, show) for place, show in shown if show is not None]
    writer.writerow(table.names)
    _pass_on(text, out)
    for rows in table.pieces:
        for row in rows:
            values = list(row)
            for place, show in changed:
                if row[place] is not None:
                    values[place] = show(row[place])
            writer.writerow(values)
        _pass_on(text, out)


def _shown(kind: Kind, cell: Callable[[Any], str]) -> Callable[[Any], str] | None:
    if kind is Kind.TIME:
        return rfc3339
    return cell if kind in _TEXT or kind is Kind.BOOLEAN else None


def _pass_on(text: io.StringIO, out: BinaryIO) -> None:
    out.write(text.getvalue().encode("utf-8"))
    text.seek(0)
    text.truncate()
