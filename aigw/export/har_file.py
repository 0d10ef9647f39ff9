"""HAR 1.2: interceptions as browsers' developer tools list requests.

Only what the store has: no bodies, no headers, no host. Our own fields are under `_aigw`. Whole
exchanges, bodies included, are what `--aibridge-dump-dir` writes.

Source: http://www.softwareishard.com/blog/har-12-spec/
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec

from aigw import __version__
from aigw.export.reading import Reading
from aigw.records import rfc3339
from aigw.store.record_views import INTERCEPTIONS
from aigw.store.view import Column, Kind

HOST = "https://aigw.invalid"
"""No host is recorded, and the format wants one: RFC 2606 keeps this name from ever being one."""

_COLUMNS = tuple(
    c for c in INTERCEPTIONS.columns if c.name not in {"started_us", "ended_us", "seq"}
)
_UNKNOWN = -1


def write(reading: Reading, out: BinaryIO, encode: Callable[[Any], bytes]) -> None:
    """Write one document, an entry for each interception."""
    creator = encode({"name": "aigw", "version": __version__})
    out.write(b'{"log":{"version":"1.2","creator":' + creator + b',"entries":[')
    separator = b"\n"
    for rows in reading.interceptions(_COLUMNS):
        for row in rows:
            out.write(separator + encode(entry(row)))
            separator = b",\n"
    comment = encode("Bodies and headers are not recorded.")
    out.write(b'\n],"comment":' + comment + b"}}\n")


def entry(row: tuple[Any, ...]) -> dict[str, Any]:
    """The entry of one interception, given as a row of `v_interceptions` with raw times."""
    found = {column.name: value for column, value in zip(_COLUMNS, row, strict=True)}
    duration = max(0, found["duration_ms"] or 0)
    first_byte = found["time_to_first_byte_ms"]
    wait = duration if first_byte is None else min(max(0, first_byte), duration)
    return {
        "startedDateTime": rfc3339(found["started_at"])[: -len("000Z")] + "Z",
        "time": duration,
        "request": _request(found),
        "response": _response(found),
        "cache": {},
        "timings": {"send": 0, "wait": wait, "receive": duration - wait},
        "_resourceType": "fetch",
        "_aigw": {c.name: _value(c, found[c.name]) for c in _COLUMNS},
    }


def _request(found: dict[str, Any]) -> dict[str, Any]:
    path = quote(f"/{found['provider_name']}{found['route']}", safe="/:@!$&'()*+,;=~%")
    return {
        # All that is intercepted is posted: what asks for nothing costs nothing.
        "method": "POST",
        "url": f"{HOST}{path}",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": [],
        "queryString": [],
        "headersSize": _UNKNOWN,
        "bodySize": _UNKNOWN,
    }


def _response(found: dict[str, Any]) -> dict[str, Any]:
    status = found["status_code"] or 0
    response: dict[str, Any] = {
        "status": status,
        "statusText": _status_text(status),
        "httpVersion": "HTTP/1.1" if status else "",
        "cookies": [],
        "headers": [],
        "content": {
            "size": 0,
            "mimeType": "text/event-stream" if found["streaming"] else "application/json",
        },
        "redirectURL": "",
        "headersSize": _UNKNOWN,
        "bodySize": _UNKNOWN,
    }
    error = found["error_message"] or found["error_type"]
    if error or not status:
        # Where Chrome puts its own errors.
        response["_error"] = error or f"no answer: {found['status']}"
    return response


def _status_text(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _value(column: Column, value: Any) -> Any:
    if value is None:
        return None
    if column.kind is Kind.TIME:
        return rfc3339(value)
    if column.kind is Kind.JSON:
        return msgspec.json.decode(value)
    return bool(value) if column.kind is Kind.BOOLEAN else value
