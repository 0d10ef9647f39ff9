"""Frames of `application/vnd.amazon.eventstream` as AWS writes them (Smithy, "Amazon Event Stream")."""

from __future__ import annotations

import base64
import struct
import zlib

from tests.simulator.sse import to_json

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7


def frame(
    event_type: str,
    payload: bytes,
    *,
    message_type: str = "event",
    content_type: str = "application/json",
) -> bytes:
    """One message. `message_type` is `event` or `exception`; `event_type` names which."""
    kind = ":event-type" if message_type == "event" else ":exception-type"
    return message(
        {kind: event_type, ":content-type": content_type, ":message-type": message_type}, payload
    )


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """A message with string headers: prelude, its checksum, headers, payload, checksum."""
    encoded = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", 16 + len(encoded) + len(payload), len(encoded))
    head = prelude + struct.pack("!I", zlib.crc32(prelude)) + encoded + payload
    return head + struct.pack("!I", zlib.crc32(head))


def chunk(event: bytes) -> bytes:
    """InvokeModelWithResponseStream's wrapping of one event of the model."""
    return frame("chunk", to_json({"bytes": base64.b64encode(event).decode(), "p": "abcdefgh"}))


def _header(name: str, value: str) -> bytes:
    raw_name, raw_value = name.encode(), value.encode()
    return (
        bytes([len(raw_name)])
        + raw_name
        + bytes([_STRING])
        + struct.pack("!H", len(raw_value))
        + raw_value
    )
