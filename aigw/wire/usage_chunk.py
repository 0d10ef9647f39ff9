"""Keeps from a client the usage that the gateway asked for in its place.

With `include_usage` a chat stream gains one last event with the usage and no choices, and the other
events a member `"usage":null` (platform.openai.com API reference, "Chat Completions", streaming).
Both are taken out again; every other byte goes on as it came.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from aigw.wire.members import members
from aigw.wire.sse import EVENT_LIMIT, SseReader

# Two line ends in a row, where a CRLF is one; begun by a set, which the engine skips to fast.
_END = re.compile(rb"[\r\n](?:(?<=\n)(?:\n|\r\n?)|(?<=\r)(?:\n(?:\n|\r\n?)|\r\n?))")
_DATA = b"data: "
_LONGEST_END = 4
_USUAL_TAIL = b',"usage":null}'


class _Chunk(msgspec.Struct, gc=False):
    choices: Any = msgspec.UNSET
    usage: Any = msgspec.UNSET


_CHUNK = msgspec.json.Decoder(_Chunk)


class UsageChunkFilter:
    """Filters the bytes of one stream. Any split of the same bytes gives the same output.

    An event is held until it is whole; one larger than `sse.EVENT_LIMIT` passes as it is.
    """

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._passing = False
        self._after_cr: bool | None = None

    def feed(self, data: bytes) -> bytes:
        """What may go to the client now."""
        if not data:
            return b""
        if not self._buffer and self._after_cr is None and b"\r" not in data:
            # Providers mostly send whole events, and end lines with LF.
            *events, rest = data.split(b"\n\n")
            if not rest and len(data) <= self._limit:
                return b"".join([_filtered(event + b"\n\n") for event in events])
        kept: list[bytes] = []
        if self._after_cr is not None:
            # The second half of a CRLF shares the fate of the event that it ends.
            if data.startswith(b"\n"):
                kept.append(data[:1] if self._after_cr else b"")
                data = data[1:]
            self._after_cr = None
        searched = max(len(self._buffer) - _LONGEST_END, 0)
        self._buffer += data
        self._cut(searched, kept)
        return b"".join(kept)

    def finish(self) -> bytes:
        """The rest: an event that was never closed."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _cut(self, searched: int, kept: list[bytes]) -> None:
        start = 0
        if _END.search(self._buffer, searched):
            buffer = bytes(self._buffer)
            while end := _END.search(buffer, max(start, searched)):
                passed = self._filtered(buffer[start : end.end()])
                kept.append(passed)
                start = end.end()
                if start == len(buffer) and buffer.endswith(b"\r"):
                    self._after_cr = bool(passed)
            del self._buffer[:start]
        # The last line end may be the first half of the event's end.
        if self._passing or len(self._buffer) > self._limit + 2:
            self._pass_on(kept)

    def _filtered(self, event: bytes) -> bytes:
        too_large = self._passing or len(event.rstrip(b"\r\n")) > self._limit
        self._passing = False
        return event if too_large else _filtered(event)

    def _pass_on(self, kept: list[bytes]) -> None:
        """Release an event that is too large to hold, but for what may begin its end."""
        self._passing = True
        tail = max(len(self._buffer) - _LONGEST_END, 0)
        kept.append(bytes(self._buffer[:tail]))
        del self._buffer[:tail]


def _filtered(event: bytes) -> bytes:
    """The event as the client would have got it: nothing for the extra one."""
    if b'"usage"' not in event:
        return event
    one_line = event.startswith(b"data: {") and event.find(b"\n") == len(event) - len(b"\n\n")
    if not one_line:
        return _filtered_slowly(event)
    payload = event[len(_DATA) : -2]
    edited = _edited(payload)
    if edited is None:
        return b""
    return event if edited is payload else _DATA + edited + b"\n\n"


def _filtered_slowly(event: bytes) -> bytes:
    """Any other framing: only the payload is replaced, where it stands in one piece."""
    events = SseReader().feed(event)
    payload = events[0].data if len(events) == 1 else b""
    edited = _edited(payload)
    if edited is None:
        return b""
    return event.replace(payload, edited) if event.count(payload) == 1 else event


def _edited(payload: bytes) -> bytes | None:
    """The payload without an added `usage: null`; None for the extra usage event."""
    try:
        chunk = _CHUNK.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return payload
    if chunk.choices == [] and isinstance(chunk.usage, dict):
        return None
    if chunk.usage is not None:
        return payload
    if payload.endswith(_USUAL_TAIL) and payload.count(b'"usage"') == 1:
        return payload[: -len(_USUAL_TAIL)] + b"}"
    return _without_usage(payload)


def _without_usage(payload: bytes) -> bytes:
    """The payload without its one `usage` member and one comma beside it."""
    start = len(payload) - len(payload.lstrip())
    found = members(payload, start)
    given = [position for position, member in enumerate(found) if member.key == "usage"]
    if len(given) != 1:
        return payload
    position = given[0]
    if position > 0:
        before = found[position - 1].value_end
        return payload[:before] + payload[found[position].value_end :]
    if len(found) > 1:
        return payload[: found[0].start] + payload[found[1].start :]
    return payload
