"""Server-sent events as the providers write them."""

from __future__ import annotations

from typing import Any

import msgspec


def data_event(value: Any) -> bytes:
    """An event without a name."""
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def named_event(value: dict[str, Any]) -> bytes:
    """An event named after its `type`."""
    return b"event: " + value["type"].encode() + b"\n" + data_event(value)
