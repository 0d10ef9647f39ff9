"""Parquet: a typed table for DuckDB, pandas, Spark and others.

Written with arro3, Python's smallest way to the Parquet writer of Apache Arrow's Rust project. It
comes with the extra `parquet` and is imported here alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import UnsupportedOperation
from typing import TYPE_CHECKING, Any, BinaryIO

from aigw.errors import AigwError
from aigw.export.reading import Rows
from aigw.export.table import Table
from aigw.store.view import Kind

if TYPE_CHECKING:
    import arro3.core

ROW_GROUP = 16_384
"""Rows of a row group, all of which are in memory at once: readers like more, daemons' machines less."""

ROW_GROUP_BYTES = 32 * 1024 * 1024
"""Characters of text after which a row group is full, however few its rows: tool results are long."""

HOW_TO_INSTALL = "Parquet needs the extra `parquet`: pip install 'aigw[parquet]'"


class MissingLibraryError(AigwError):
    """The library that writes a format is not installed."""


def check_library() -> None:
    """Import what writes Parquet.

    Raises:
        MissingLibraryError: it is not installed; the message says how to.
    """
    try:
        import arro3.core  # noqa: PLC0415 (an extra)
        import arro3.io  # noqa: F401, PLC0415
    except ImportError as error:
        raise MissingLibraryError(HOW_TO_INSTALL) from error


def write(table: Table, out: BinaryIO) -> None:
    """Write the table, compressed with Zstandard. Times are UTC microseconds.

    Raises:
        MissingLibraryError: the library is not installed.
        Exception: whatever reading and writing raise.
    """
    check_library()
    import arro3.io  # noqa: PLC0415 (an extra)
    from arro3.core import RecordBatchReader  # noqa: PLC0415

    target: Any = _Target(out)
    batches = _Batches(table, target)
    reader = RecordBatchReader.from_batches(batches.schema, batches)
    try:
        arro3.io.write_parquet(reader, target, compression="zstd(3)", max_row_group_size=ROW_GROUP)
    # The library has errors of its own in place of ours: those are what happened.
    except BaseException as error:
        raise (target.failure or batches.failure or error) from error
    failure = target.failure or batches.failure
    if failure is not None:
        raise failure


class _Target:
    """The file as the library sees it. It keeps the first failure and goes on as if nothing were.

    The library panics, a page of it on stderr, when a write raises.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.failure: BaseException | None = None

    def write(self, data: bytes) -> int:
        if self.failure is None:
            try:
                self._out.write(data)
            except BaseException as error:  # noqa: BLE001 (raised again by `write` above)
                self.failure = error
        return len(data)

    def flush(self) -> None:
        if self.failure is None:
            try:
                self._out.flush()
            except BaseException as error:  # noqa: BLE001
                self.failure = error

    def seek(self, offset: int, whence: int = 0) -> int:
        """The library wants there to be such a method; a writer of Parquet never goes back."""
        raise UnsupportedOperation(f"seek({offset}, {whence})")


class _Batches:
    """The table's row groups, until the target fails; keeps what goes wrong here."""

    def __init__(self, table: Table, target: _Target) -> None:
        from arro3.core import DataType, Field, Schema  # noqa: PLC0415 (an extra)

        self._types = {
            Kind.TEXT: DataType.utf8(),
            Kind.JSON: DataType.utf8(),
            Kind.INTEGER: DataType.int64(),
            Kind.REAL: DataType.float64(),
            Kind.BOOLEAN: DataType.bool(),
            Kind.TIME: DataType.timestamp("us", tz="UTC"),
        }
        self.schema: Any = Schema(
            [
                Field(name, self._types[kind], nullable=True)
                for name, kind in zip(table.names, table.kinds, strict=True)
            ]
        )
        self.failure: BaseException | None = None
        self._target = target
        self._kinds = table.kinds
        self._groups = _groups(table.pieces)

    def __iter__(self) -> _Batches:
        return self

    def __next__(self) -> arro3.core.RecordBatch:
        from arro3.core import RecordBatch  # noqa: PLC0415 (an extra)

        if self._target.failure is not None:
            raise StopIteration
        try:
            rows = next(self._groups)
            columns = list(zip(*rows, strict=True))
            arrays = [
                self._array(kind, column) for kind, column in zip(self._kinds, columns, strict=True)
            ]
            return RecordBatch.from_arrays(arrays, schema=self.schema)
        except StopIteration:
            raise
        except BaseException as error:
            self.failure = error
            raise

    def _array(self, kind: Kind, values: tuple[Any, ...]) -> arro3.core.Array:
        from arro3.core import Array, DataType  # noqa: PLC0415 (an extra)

        if kind is Kind.TIME:
            return Array(values, DataType.int64()).cast(self._types[kind])
        return Array(values, self._types[kind])


def _groups(pieces: Iterator[Rows]) -> Iterator[Rows]:
    """The rows in row groups, none of them empty."""
    group: Rows = []
    size = 0
    for rows in pieces:
        for row in rows:
            group.append(row)
            size += sum(len(value) for value in row if isinstance(value, str))
            if len(group) == ROW_GROUP or size >= ROW_GROUP_BYTES:
                yield group
                group, size = [], 0
    if group:
        yield group
