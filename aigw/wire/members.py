"""Where the members of a JSON object lie in its bytes, for edits that rewrite nothing else.

Only for text that a real parser has accepted: the scan trusts that it is JSON.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

# A string in one piece, or one byte of structure. Everything between them is literals and space.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|([{}\[\],:])', re.DOTALL)
_SPACE = b" \t\r\n"


class Member(NamedTuple):
    """One member: its decoded key, where that begins, and the span of the value without space."""

    key: str
    start: int
    value_start: int
    value_end: int


def members(text: bytes, start: int) -> list[Member]:
    """The members of the object whose `{` is at `start`, in order, duplicates included.

    Raises:
        ValueError: there is no object there, or it does not end.
    """
    found: list[Member] = []
    depth = 0
    key: re.Match[bytes] | None = None
    value_start = -1
    for token in _TOKEN.finditer(text, start):
        mark = token[1]
        if mark is None:
            if depth == 1 and key is None:
                key = token
        elif mark in b"{[":
            depth += 1
        elif depth == 1 and mark in b",}":
            if key is not None and value_start >= 0:
                found.append(_member(text, key, value_start, token.start()))
            key, value_start = None, -1
            if mark == b"}":
                return found
        elif mark in b"}]":
            depth -= 1
        elif depth == 1 and mark == b":":
            value_start = token.end()
    raise ValueError("no whole JSON object")


def _member(text: bytes, key: re.Match[bytes], start: int, end: int) -> Member:
    value = text[start:end]
    value_start = start + len(value) - len(value.lstrip(_SPACE))
    value_end = start + len(value.rstrip(_SPACE))
    return Member(_KEY.decode(key[0]), key.start(), value_start, value_end)


_KEY = msgspec.json.Decoder(str)
