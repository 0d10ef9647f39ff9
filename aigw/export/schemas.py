"""JSON Schemas (draft 2020-12) of the records' JSON form, made from the record types themselves.

`schemas/v1/` holds them as files, which `aigw export --schema` prints; a test keeps them in step.
Within a version a schema only gains properties, and those are not required (a field of a record
that has a default is not): a document that was valid stays so. `python -m aigw.export.schemas` writes the files anew.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

import msgspec

from aigw.records import LOG_MESSAGE, RECORD_TYPES, TIME_FIELDS, RecordType, logged_fields

VERSION = 1
DIALECT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = Path(__file__).parent / "schemas" / f"v{VERSION}"

_TIME = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$",
}
_PLAIN: dict[Any, str] = {str: "string", int: "integer", bool: "boolean"}
_ABOUT_ALL: dict[str, dict[str, Any]] = {
    "time": _TIME,
    "level": {"const": "info"},
    "message": {"const": LOG_MESSAGE},
}


def schema_id(name: str) -> str:
    """The `$id` of a record type's schema, its version within."""
    return f"urn:aigw:schema:v{VERSION}:{name}"


def schema(record_type: RecordType) -> dict[str, Any]:
    """The schema of one record type."""
    (kind,) = (kind for kind, name in RECORD_TYPES.items() if name is record_type)
    hints = get_type_hints(kind)
    properties = {
        **_ABOUT_ALL,
        "record_type": {"const": record_type.value},
        **{name: _property(name, hints[name]) for name in logged_fields(kind)},
    }
    return {
        "$schema": DIALECT,
        "$id": schema_id(record_type.value),
        "title": record_type.value,
        "description": " ".join((kind.__doc__ or "").split("\n\n")[0].split()),
        "type": "object",
        "properties": properties,
        "required": [*_ABOUT_ALL, "record_type", *_without_default(kind)],
    }


def _without_default(kind: type[msgspec.Struct]) -> list[str]:
    logged = logged_fields(kind)
    return [f.name for f in msgspec.structs.fields(kind) if f.required and f.name in logged]


def any_record() -> dict[str, Any]:
    """The schema of a line of any record type, which holds those of all."""
    return {
        "$schema": DIALECT,
        "$id": schema_id("record"),
        "title": "record",
        "description": "A line of `aigw export --format jsonl`, of any record type.",
        "type": "object",
        "oneOf": [{"$ref": schema_id(name.value)} for name in RecordType],
        "$defs": {name.value: schema(name) for name in RecordType},
    }


def text(name: str) -> str:
    """The shipped schema of a record type, or of `record`."""
    return (FOLDER / f"{name}.json").read_text(encoding="utf-8")


def files() -> dict[str, str]:
    """What the files must hold, by their names."""
    made = {name.value: schema(name) for name in RecordType} | {"record": any_record()}
    return {
        f"{name}.json": msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n"
        for name, found in made.items()
    }


def _property(name: str, hint: Any) -> dict[str, Any]:
    if name in TIME_FIELDS:
        return _TIME
    if isinstance(hint, UnionType):
        (inner,) = (part for part in get_args(hint) if part is not NoneType)
        return {"type": [_PLAIN[inner], "null"]}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    return {"type": _PLAIN.get(hint, "object")}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file_name, content in files().items():
        (FOLDER / file_name).write_text(content, encoding="utf-8")
