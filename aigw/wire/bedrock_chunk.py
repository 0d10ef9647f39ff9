"""The event within a `chunk` frame of InvokeModelWithResponseStream.

The payload is `{"bytes": <base64>, "p": <padding>}` (Amazon Bedrock API reference, "PayloadPart"); what
is encoded is one JSON object of the model's own API.
"""

from __future__ import annotations

from binascii import a2b_base64
from typing import Any

import msgspec

from aigw.wire.lenient import dict_of, parse

CHUNK = "chunk"
"""The type of the events that have one."""

MESSAGES_EVENTS = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    }
)
"""The types of the Messages API's events."""


class _Chunk(msgspec.Struct, gc=False):
    content: bytes = msgspec.field(default=b"", name="bytes")


class _Typed(msgspec.Struct, gc=False):
    type: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk).decode
_TYPED = msgspec.json.Decoder(_Typed).decode
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_START = b'{"type":"'
_START_LENGTH = len(_START)
_BY_BYTES = {name.encode(): name for name in MESSAGES_EVENTS}


def inner_event(payload: bytes) -> bytes | None:
    """The encoded bytes, empty where there are none; None for a payload that cannot be read."""
    try:
        return _CHUNK(payload).content
    except _BROKEN:
        return _inner_slowly(payload)


def _inner_slowly(payload: bytes) -> bytes | None:
    found = parse(payload)
    if not isinstance(found, dict):
        return None
    content = found.get("bytes", "")
    try:
        return a2b_base64(content, strict_mode=True)
    except (ValueError, TypeError):
        return None


def type_of(event: bytes) -> str:
    """The `type` of a Messages event; empty where it has none.

    Mostly it stands right at the start, and the event need not be parsed.
    """
    if event.startswith(_START):
        name = _BY_BYTES.get(event[_START_LENGTH : event.find(b'"', _START_LENGTH)])
        if name is not None:
            return name
    try:
        found = _TYPED(event).type
    except _BROKEN:
        found = dict_of(parse(event)).get("type")
    return found if isinstance(found, str) else ""
