"""HAR documents checked against the format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

_SCHEMA = json.loads(Path(__file__).with_name("har-1.2.schema.json").read_text(encoding="utf-8"))
_VALIDATOR = Draft202012Validator(_SCHEMA)


def entries_of(content: bytes) -> list[dict[str, Any]]:
    """The entries of a document, which must be a HAR 1.2 one."""
    har = json.loads(content)
    _VALIDATOR.validate(har)
    for entry in har["log"]["entries"]:
        timings = entry["timings"]
        assert abs(entry["time"] - sum(timings.values())) < 0.01
    entries: list[dict[str, Any]] = har["log"]["entries"]
    return entries
