"""JSON and server-sent events as the providers write them."""

from __future__ import annotations

import json
from typing import Any


def to_json(value: Any) -> bytes:
    """Compact JSON. The standard library's, as it lets through what clients really send: text cut
    in the middle of an emoji, which stricter encoders refuse."""
    return json.dumps(value, separators=(",", ":")).encode()


def data_event(value: Any) -> bytes:
    """An event without a name."""
    return b"data: " + to_json(value) + b"\n\n"


def named_event(value: dict[str, Any]) -> bytes:
    """An event named after its `type`."""
    kind: str = value["type"]
    return b"event: " + kind.encode() + b"\n" + data_event(value)
