"""Edits of a JSON object's own members in its bytes: everything else stays as it was sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import msgspec

from aigw.wire.members import Member, members

_SPACE = b" \t\r\n"


_NAME = re.compile(rb'[ \t\r\n]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_AFTER = re.compile(rb"[ \t\r\n]*([,}])")

_KEY = msgspec.json.Decoder(str)
_VALUES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError)


def edit_object(
    body: bytes,
    *,
    set: Mapping[str, bytes] | None = None,
    delete: AbstractSet[str] = frozenset(),
) -> bytes | None:
    """The object with some members set and some left out; None when the body is no JSON object.

    Values of `set` are raw JSON. They replace each member of that name, so that duplicates agree,
    or come first in the object where there was none. A name in both is set.
    """
    values = set or {}
    start = len(body) - len(body.lstrip(_SPACE))
    found = _members(body, start) if body[start : start + 1] == b"{" else None
    if found is None:
        return None
    present = {member.key for member in found}
    added = [_member(name, value) for name, value in values.items() if name not in present]
    if not added and present.isdisjoint(values) and present.isdisjoint(delete):
        return body
    kept = _kept(body, found, values, delete - values.keys())
    first = found[0].start if found else start + 1
    last = found[-1].value_end if found else start + 1
    joint = b"," if added and kept else b""
    head = body[: start + 1] + b",".join(added) + joint + body[start + 1 : first]
    return head + kept + body[last:]


def set_model(body: bytes, model: str) -> bytes | None:
    """The object with this `model`; None when the body is no JSON object."""
    return edit_object(body, set={"model": json.dumps(model).encode()})


def _kept(
    body: bytes, found: list[Member], values: Mapping[str, bytes], delete: AbstractSet[str]
) -> bytes:
    """The members that stay, each followed by what stood between it and its successor."""
    parts: list[bytes] = []
    for index, member in enumerate(found):
        if member.key in delete:
            continue
        if parts:
            before = found[index - 1].value_end
            parts.append(body[before : member.start])
        value = values.get(member.key)
        if value is None:
            parts.append(body[member.start : member.value_end])
        else:
            parts += (body[member.start : member.value_start], value)
    return b"".join(parts)


def _member(name: str, value: bytes) -> bytes:
    return json.dumps(name).encode() + b":" + value


def _members(body: bytes, start: int) -> list[Member] | None:
    """The members of the object that the text is; None when it is none to a real parser."""
    try:
        values = _VALUES.decode(body)
    except RecursionError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Text cut in the middle of an emoji is JSON to the standard library only.
        if not _is_object_to_python(body):
            return None
    else:
        found = _located(body, start, values)
        if found is not None:
            return found
    try:
        return members(body, start)
    except _BROKEN:
        return None


def _located(body: bytes, start: int, values: dict[str, msgspec.Raw]) -> list[Member] | None:
    """The members by the lengths of their values, which a scan of long ones takes much longer for.

    JSON texts of which one begins with the other are the same, but for numbers, after which
    another byte than `,` or `}` shows it. None where that fails: a name is there more than once.
    """
    found: list[Member] = []
    position = start + 1
    while name := _NAME.match(body, position):
        key = _KEY.decode(name[1])
        value = bytes(values.get(key, b"")).rstrip(_SPACE)
        end = name.end() + len(value)
        after = _AFTER.match(body, end)
        if not value or after is None or not body.startswith(value, name.end()):
            return None
        found.append(Member(key, name.start(1), name.end(), end))
        if after[1] == b"}":
            return found
        position = after.end()
    return None


def _is_object_to_python(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body.decode(), parse_int=str, parse_float=str), dict)
    except (ValueError, RecursionError):
        return False
