"""`aigw export`: records as files of several formats."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

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
from aigw.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw.export.reading import Reading
    from aigw.export.table import Table
    from aigw.records import RecordType
    from aigw.store.filters import Filters

FORMATS = ("jsonl", "csv", "parquet", "otlp-json", "har")
_BY_ENDING = {".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet", ".har": "har"}
_WHOLE_INTERCEPTIONS = frozenset({"otlp-json", "har"})
_TABLES = frozenset({"csv", "parquet"})


def _complete_format(incomplete: str) -> list[str]:
    return [name for name in FORMATS if name.startswith(incomplete)]


def export(
    schema_type: Annotated[
        str | None,
        typer.Argument(metavar="TYPE", help="With --schema: the record type, or record."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="jsonl, csv, parquet, otlp-json or har. Default by the file's ending, or jsonl.",
            autocompletion=_complete_format,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; default stdout."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a file that is there already.")
    ] = False,
    record_type: Annotated[
        list[str] | None,
        typer.Option(
            "--record-type",
            metavar="TYPE",
            help="Only this type; repeat for several. With csv and parquet a table of it.",
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
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of a line of jsonl, and stop.")
    ] = False,
    db: Database = None,
) -> None:
    """Write records to a file or to stdout, oldest first, whether or not the daemon runs.

    jsonl has the objects of `aigw logs --json`. csv and parquet have one row an interception, or
    with --record-type one a record. otlp-json has traces for OpenTelemetry, har a list of requests.
    A file appears when it is whole.
    """
    if schema:
        _print_schema(schema_type)
        return
    if schema_type is not None:
        raise ConfigError(f"{schema_type!r} is unexpected: a TYPE goes with --schema")
    from aigw.cli.filters import make_filters
    from aigw.settings import database_path

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
    target = None if output in {None, "-"} else Path(str(output))
    chosen = _format(format, target)
    _check(chosen, record_type, target)
    _export(database_path(db, os.environ), filters, chosen, target, overwrite=force)


def _print_schema(name: str | None) -> None:
    from aigw.cli.filters import unknown
    from aigw.export import schemas
    from aigw.records import RecordType

    known = ["record", *(kind.value for kind in RecordType)]
    if name is not None and name not in known:
        raise unknown("--schema", name, known)
    sys.stdout.write(schemas.text(name or "record"))


def _format(name: str | None, target: Path | None) -> str:
    from aigw.cli.filters import unknown

    if name is None:
        ending = "" if target is None else target.suffix.lower()
        return _BY_ENDING.get(ending, "jsonl")
    if name not in FORMATS:
        raise unknown("--format", name, FORMATS)
    return name


def _check(chosen: str, record_types: list[str] | None, target: Path | None) -> None:
    """What the format cannot do is said before anything is read."""
    if record_types and chosen in _WHOLE_INTERCEPTIONS:
        raise ConfigError(f"{chosen} holds whole interceptions: leave --record-type out")
    if chosen in _TABLES and record_types and len(set(record_types)) > 1:
        raise ConfigError(f"{chosen} is one table: give --record-type once, or use jsonl")
    if chosen == "parquet":
        from aigw.export.parquet_file import check_library

        if target is None and sys.stdout.isatty():
            raise ConfigError("parquet is no text: name a file with -o, or redirect stdout")
        check_library()


def _export(
    database: Path, filters: Filters, chosen: str, target: Path | None, *, overwrite: bool
) -> None:
    from aigw.cli.filters import whole_ids
    from aigw.cli.progress import progress_bar
    from aigw.export.output_file import OutputFile
    from aigw.export.reading import Reading
    from aigw.store.backup import refuse_own
    from aigw.store.reader import reading

    with reading(database) as connection:
        if target is not None:
            refuse_own(database, target)
        filters = whole_ids(connection, filters)
        output = None if target is None else OutputFile(target, overwrite=overwrite)
        with (
            output or nullcontext(),
            progress_bar("Exporting", shown=output is not None) as progress,
        ):
            out: BinaryIO = sys.stdout.buffer if output is None else output.stream
            _write(chosen, Reading(connection, filters, progress), out, _encoder(target))
            out.flush()


def _write(chosen: str, reading: Reading, out: BinaryIO, encode: Callable[[Any], bytes]) -> None:
    if chosen == "jsonl":
        from aigw.export import jsonl_file

        jsonl_file.write(reading, out, encode)
    elif chosen == "csv":
        from aigw.cli.csv_cells import cell
        from aigw.export import csv_file

        csv_file.write(_table(reading), out, cell)
    elif chosen == "parquet":
        from aigw.export import parquet_file

        parquet_file.write(_table(reading), out)
    elif chosen == "otlp-json":
        from aigw.export import otlp_file

        otlp_file.write(reading, out, encode)
    else:
        from aigw.export import har_file

        har_file.write(reading, out, encode)


def _table(reading: Reading) -> Table:
    from aigw.export import table
    from aigw.records import RecordType

    types = reading.filters.types
    if types == frozenset(RecordType):
        return table.interceptions(reading)
    only: RecordType = next(iter(types))
    return table.records(reading, only)


def _encoder(target: Path | None) -> Callable[[Any], bytes]:
    """JSON as bytes: UTF-8 in a file, and on stdout as `aigw logs --json` has it."""
    import msgspec

    from aigw.cli.text import json_text

    if target is not None:
        return msgspec.json.Encoder().encode
    return lambda value: json_text(value).encode()
