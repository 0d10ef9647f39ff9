"""Edits of a JSON object's own members in its bytes: everything else stays as it was sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import msgspec

from aigw.wire.members import Member, members

_SPACE = b" \t\r\n"


class _Object(msgspec.Struct, gc=False):
    """Any JSON object: its members are checked, and none is built."""


_CHECK = msgspec.json.Decoder(_Object)
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
    if body[start : start + 1] != b"{" or not _is_object(body):
        return None
    try:
        found = members(body, start)
    except _BROKEN:
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


def _is_object(body: bytes) -> bool:
    """Whether the text is JSON to a real parser, so that the scan may trust it."""
    try:
        _CHECK.decode(body)
    except RecursionError:
        return False
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Text cut in the middle of an emoji is JSON to the standard library only.
        return _is_object_to_python(body)
    return True


def _is_object_to_python(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body.decode(), parse_int=str, parse_float=str), dict)
    except (ValueError, RecursionError):
        return False
