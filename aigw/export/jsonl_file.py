"""JSON lines: the records as `aigw logs --json` prints them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO

from aigw.export.reading import Reading
from aigw.records import log_object


def write(reading: Reading, out: BinaryIO, encode: Callable[[Any], bytes]) -> None:
    """Write one record a line."""
    out.writelines(
        b"".join(encode(log_object(record)) + b"\n" for record in records)
        for records in reading.records()
    )
