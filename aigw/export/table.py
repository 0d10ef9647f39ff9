"""Records as flat tables, for CSV and Parquet: typed columns and rows of plain values.

The table of interceptions has the columns of `v_interceptions`; that of a record type has the
fields of its JSON form.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec

from aigw.export.reading import Reading, Rows
from aigw.records import RECORD_TYPES, TIME_FIELDS, RecordType, logged_fields
from aigw.store.record_views import INTERCEPTIONS
from aigw.store.view import Kind

_INTERNAL = {"started_us", "ended_us", "seq"}
"""Columns of the view that are for SQL: what they say is in others."""


class Table(NamedTuple):
    """Names and kinds of the columns, and the rows in pieces: times in microseconds, JSON as text."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    pieces: Iterator[Rows]


def interceptions(reading: Reading) -> Table:
    """One row an interception, with its sums, its cost and the start of its prompt."""
    columns = [column for column in INTERCEPTIONS.columns if column.name not in _INTERNAL]
    kinds = tuple(column.kind for column in columns)
    booleans = [place for place, kind in enumerate(kinds) if kind is Kind.BOOLEAN]
    return Table(
        tuple(column.name for column in columns),
        kinds,
        (
            [_with_booleans(row, booleans) for row in rows]
            for rows in reading.interceptions(columns)
        ),
    )


def _with_booleans(row: tuple[Any, ...], places: list[int]) -> tuple[Any, ...]:
    values = list(row)
    for place in places:
        values[place] = None if row[place] is None else bool(row[place])
    return tuple(values)


def records(reading: Reading, record_type: RecordType) -> Table:
    """One row a record of one type; the filters of `reading` select that type alone."""
    (kind,) = (kind for kind, name in RECORD_TYPES.items() if name is record_type)
    names = logged_fields(kind)
    hints = get_type_hints(kind)
    kinds = tuple(_kind(name, hints[name]) for name in names)
    return Table(
        names,
        kinds,
        ([_row(record, names) for record in records] for records in reading.records()),
    )


def _row(record: msgspec.Struct, names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(_plain(getattr(record, name)) for name in names)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    # An enumeration's member is text already, but writers look at the exact type.
    return str(value) if isinstance(value, str) else value


def _kind(name: str, hint: Any) -> Kind:
    if name in TIME_FIELDS:
        return Kind.TIME
    if isinstance(hint, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    if hint is bool:
        return Kind.BOOLEAN
    if hint is int:
        return Kind.INTEGER
    return Kind.TEXT if isinstance(hint, type) and issubclass(hint, str) else Kind.JSON
