"""Server-sent events: bytes in, whole events out.

Follows the HTML standard, "Server-sent events", section 9.2.6: lines end in LF, CR or CRLF, one
leading BOM is skipped, comments and unknown fields are ignored, an event without data is none, and
what is not closed by a blank line when the bytes end was never sent.
"""

from __future__ import annotations

import msgspec

EVENT_LIMIT = 16 * 1024 * 1024
"""Bytes of one event beyond which it is skipped. The largest real ones, a `response.completed` that
repeats a whole answer with its tools, are a few MiB; this bounds what one stream can hold."""

_BOM = b"\xef\xbb\xbf"
_DATA = b"data: "
_DATA_LENGTH = len(_DATA)


class SseEvent(msgspec.Struct, gc=False):
    """One event. `event` is its name, empty when the stream gave none."""

    event: str
    data: bytes


SHOWN_BYTES = 512
"""As much of an unfinished event is shown: its name and type stand at its beginning."""


class SseReader:
    """Cuts a stream into events. Any split of the same bytes gives the same events.

    An event larger than `limit` bytes is skipped, and reading goes on after it.
    """

    __slots__ = ("_after_cr", "_at_start", "_buffer", "_limit", "_scanned", "_skipping")

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._limit = limit
        self._after_cr = False
        self._at_start = True
        self._skipping = False

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that these bytes complete, in order."""
        if self._after_cr or b"\r" in data:
            data = self._with_lf(data)
        if not self._buffer:
            # Providers mostly send one whole event at a time.
            if 0 <= data.find(b"\n\n") == len(data) - 2 <= self._limit and not self._at_start:
                event = _event(data[:-2])
                return [] if event is None else [event]
            return self._cut(data)
        buffer = self._buffer
        buffer += data
        # The blank line may be split between the feeds: look one byte back.
        if buffer.find(b"\n\n", max(self._scanned - 1, 0)) < 0:
            self._remember_length()
            return []
        data = bytes(buffer)
        buffer.clear()
        return self._cut(data)

    def is_lone_event(self, data: bytes, start: int) -> bool:
        """Whether these bytes would be one whole event whose only line end after `start` is its last.

        Nothing is taken in: whoever knows what is before `start` need not have it cut.
        """
        return (
            0 <= data.find(b"\n", start) == len(data) - 2 <= self._limit
            and data.endswith(b"\n\n")
            and not (self._buffer or self._after_cr or self._at_start or b"\r" in data)
        )

    @property
    def unfinished(self) -> bytes:
        """The first bytes of an event that is not whole yet; empty between events."""
        return bytes(self._buffer[:SHOWN_BYTES])

    @property
    def unfinished_length(self) -> int:
        """How many bytes of an event that is not whole yet have come, line ends counted as LF."""
        return len(self._buffer)

    def finish(self) -> list[SseEvent]:
        """The end of the bytes: an event that no blank line closed is dropped (the standard)."""
        self._buffer.clear()
        return []

    def _with_lf(self, data: bytes) -> bytes:
        """The bytes with every line end as LF; a CRLF may be split between two feeds."""
        if not data:
            return data
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            if not data:
                self._after_cr = False
                return data
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _cut(self, data: bytes) -> list[SseEvent]:
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        events: list[SseEvent] = []
        for block in blocks:
            if self._skipping or len(block) > self._limit:
                self._skipping = False
                self._at_start = False
                continue
            event = _event(block.removeprefix(_BOM) if self._at_start else block)
            self._at_start = False
            if event is not None:
                events.append(event)
        if rest:
            self._buffer += rest
            self._remember_length()
        return events

    def _remember_length(self) -> None:
        """Note how far the buffer was searched; empty it when its event is too large to keep."""
        length = len(self._buffer)
        # The last byte may be the first half of the closing blank line.
        if self._skipping or length > self._limit + 1:
            self._skipping = True
            del self._buffer[: length - 1]
            length = 1
        self._scanned = length


def _event(block: bytes) -> SseEvent | None:
    """The event of a block; None when it has no data."""
    # The two shapes that every provider sends; the rest takes the standard's way.
    end = block.find(b"\n")
    if end < 0:
        if block.startswith(_DATA) and len(block) > _DATA_LENGTH:
            return SseEvent("", block[_DATA_LENGTH:])
    elif (
        block.startswith(b"event: ")
        and block.startswith(_DATA, end + 1)
        and block.find(b"\n", end + 1) < 0
        and len(block) > end + 1 + _DATA_LENGTH
    ):
        name = block[7:end].decode("utf-8", "replace")
        return SseEvent(name, block[end + 1 + _DATA_LENGTH :])
    return _parse(block)


def _parse(block: bytes) -> SseEvent | None:
    """Read a block line by line as the standard says."""
    name = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    joined = b"\n".join(data)
    # The standard drops an event whose data is the empty string.
    return SseEvent(name.decode("utf-8", "replace"), joined) if joined else None
