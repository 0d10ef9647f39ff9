"""CSV (RFC 4180): a table as a spreadsheet opens it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any, BinaryIO

from aigw.export.table import Table
from aigw.records import rfc3339
from aigw.store.view import Kind


def write(table: Table, out: BinaryIO, cell: Callable[[Any], str]) -> None:
    """Write the table with a head line, in UTF-8. `cell` makes a value's text, in which nothing acts."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    times = [place for place, kind in enumerate(table.kinds) if kind is Kind.TIME]
    writer.writerow(table.names)
    _pass_on(text, out)
    for rows in table.pieces:
        for row in rows:
            values = list(row)
            for place in times:
                values[place] = None if row[place] is None else rfc3339(row[place])
            writer.writerow(map(cell, values))
        _pass_on(text, out)


def _pass_on(text: io.StringIO, out: BinaryIO) -> None:
    out.write(text.getvalue().encode("utf-8"))
    text.seek(0)
    text.truncate()
