"""The one edit of a request's body: asking a streaming chat completion for its usage.

Bytes are inserted or replaced in place; nothing else of the body changes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from aigw.wire.members import Member, members

_KEY = "stream_options"
_ASK = b'"include_usage":true'
_OPTIONS = b'"stream_options":{' + _ASK + b"}"


class _Options(msgspec.Struct, gc=False):
    include_usage: Any = None


class _Body(msgspec.Struct, gc=False):
    stream_options: _Options | msgspec.UnsetType | None = msgspec.UNSET


_BODY = msgspec.json.Decoder(_Body)


def ask_for_usage(body: bytes) -> bytes | None:
    """The body with `stream_options.include_usage` true, whichever duplicate a parser believes.

    None when that cannot be done safely: the body is not a JSON object, or its options are of
    another type than the API's. Such a request goes on as it is, for the provider to judge.
    """
    start = len(body) - len(body.lstrip(b" \t\r\n"))
    if body[start : start + 1] != b"{":
        return None
    try:
        if _BODY.decode(body).stream_options is msgspec.UNSET:
            return _insert(body, start, _OPTIONS)
        edited = _edit_options(body, start)
        options = None if edited is None else _BODY.decode(edited).stream_options
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        return None
    return edited if isinstance(options, _Options) and options.include_usage is True else None


def _edit_options(body: bytes, start: int) -> bytes | None:
    """The body with every `stream_options` member asking; None when one has an unknown shape."""
    given = [member for member in members(body, start) if member.key == _KEY]
    for member in reversed(given):
        value = _asking(body, member)
        if value is None:
            return None
        body = body[: member.value_start] + value + body[member.value_end :]
    return body


def _asking(body: bytes, options: Member) -> bytes | None:
    """The value of a `stream_options` member, edited; None when it is neither object nor null."""
    value = body[options.value_start : options.value_end]
    if value == b"null":
        return b"{" + _ASK + b"}"
    if value[:1] != b"{":
        return None
    given = [member for member in members(value, 0) if member.key == "include_usage"]
    if not given:
        return _insert(value, 0, _ASK)
    for member in reversed(given):
        if value[member.value_start : member.value_end] not in (b"true", b"false", b"null"):
            return None
        value = value[: member.value_start] + b"true" + value[member.value_end :]
    return value


def _insert(text: bytes, start: int, member: bytes) -> bytes:
    """The text with a member put right after the object's opening brace at `start`."""
    rest = text[start + 1 :]
    comma = b"" if rest.lstrip(b" \t\r\n")[:1] == b"}" else b","
    return text[: start + 1] + member + comma + rest
